"""Huiliu: the composition root. The only module that knows all packages; it builds, runs and stops the hub."""

from __future__ import annotations

import gc

gc.disable()  # nothing of what is loaded now is garbage; looking for some takes a tenth of a start

import asyncio
import contextlib
import logging
import os
import secrets
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import aiohttp
import typer
from aiohttp import web
from pydantic import BaseModel, SecretStr

from config import commands as config_commands
from config.channels import Unavailable as KindUnavailable
from config.channels import UnknownKind as NoSuchKind
from config.faults import ConfigError, Fault
from config.loading import Attempt, Loaded, attempt, load, partial_settings
from config.reload import Live, changed
from config.settings import Settings
from connectors import registry
from connectors import webhook as webhook_posting
from connectors.base import Capabilities, Event, Kit, WebhookCall
from connectors.calls import Announcing
from connectors.ingress import Ingress, Unavailable, rebuilt
from inbox.api import Api, Token, Tokens
from inbox.channels import Channel
from inbox.client import Client
from inbox.commands import AsJson
from inbox.console_page import ConsolePage
from inbox.crowd import Crowd, Nursery
from inbox.doctor import examine_all, told
from inbox.durability import Durability, Finding
from inbox.embedded import Embedded, EmbeddedError
from inbox.gate import HERE
from inbox.listening import BELL
from inbox.logs import configure
from inbox.memory import ChannelMemory
from inbox.opening import Unfit, open_store
from inbox.partitions import shared_key
from inbox.recording import Shunted
from inbox.serving import Serving, origin_of
from inbox.store import StoreError
from inbox.usage import speaking
from inbox.work import Actor
from outbox import webhooks
from outbox.endpoint_ledger import address
from outbox.leave_pages import LeavePages
from outbox.proofreading import RULES as PROOFS
from outbox.proofreading import proofread
from outbox.survey_page import SurveyPages
from outbox.webhook_sending import Endpoint
from outbox.withholding import withheld
from router.interface import interface
from router.lint import RULES, lint
from router.parts import Parts, guard_of
from router.probes import Probes
from router.ruleset import prepare
from router.scripts import SCRIPTS
from router.trial import prove

log = logging.getLogger("hub")

FINISH = 6.0  # seconds; with what else a stop may wait for, it is over in ten
PEERS = 5.0
PROVE = 1.0


# Messages under way are many small objects that soon go by themselves: looking for cycles every 700 of them, which is
# the default, takes a twentieth of the time and finds nothing.
gc.freeze()  # or the first collection would look through all of it after all
gc.enable()

COLLECTING = (10_000, 20, 20)


def now_ms() -> int:
    """Return the wall clock in milliseconds since 1970 UTC."""
    return time.time_ns() // 1_000_000


def kinds(kind: str) -> type[BaseModel]:
    """Return the options of a kind of channel, for the configuration. Raises `UnknownKind`, `Unavailable`."""
    try:
        return registry.find(kind).Options
    except registry.UnknownKind as error:
        raise NoSuchKind(kind, error.known) from None
    except registry.Broken as error:
        raise KindUnavailable(error.reason) from None


def able(loaded: Loaded) -> dict[str, Capabilities]:
    """Return what each kind of channel in use can carry, as far as its connector can be used."""
    found: dict[str, Capabilities] = {}
    for kind in {channel.kind for channel in loaded.settings.channels.values()}:
        with contextlib.suppress(registry.KindError):
            found[kind] = registry.find(kind).capabilities
    return found


@dataclass
class Hub(Parts):
    """One hub process at work. *durability* and *findings* are what the store was found to promise."""

    durability: Durability | None = None
    findings: Sequence[Finding] = ()
    serving: Serving = field(init=False)

    async def start(self, *, shared: bool) -> None:
        """Open everything and listen. Raises `StoreError`, OSError."""
        self.http = aiohttp.ClientSession(
            # Each channel has a limit of its own; a common one would let a platform that hangs stop the others.
            connector=Announcing(limit=0),
            auto_decompress=True,
            cookie_jar=aiohttp.DummyCookieJar(),
        )
        try:
            await self._open(shared=shared)
        except BaseException:
            await self._let_go()
            raise

    async def _open(self, *, shared: bool) -> None:
        await self._secrets()
        await self.proof.keep(self.rules, "start")
        await self.proof.share()
        await self._connect(self.live.current)
        settings = self.live.current.settings
        ingress = self.ingress = Ingress(
            lambda: self.channels.by_name,
            self._record,
            self._shunt,
            public_url=settings.public_url,
            now=now_ms,
            count=self._count,
            remote=origin_of(settings.http.trusted_proxies),
            away=StoreError,
        )
        app = web.Application()
        self.api().mount(app)
        app.add_routes(ingress.routes())
        app.add_routes(self.links.routes())
        app.add_routes(LeavePages(self.leaving, lambda: self.links.seals, self.locale).routes())
        app.add_routes(SurveyPages(self.means, self.survey_answers, self.links.surveys).routes())
        app.add_routes(Probes(self, self.durability, self.findings).routes())
        app.add_routes(ConsolePage().routes())
        self.serving = Serving(app, ingress.hook, ingress.lobby, settings.attachments.max_size)
        await self.serving.start(settings.http.host, settings.http.port, shared=shared)
        log.info("listening on %s:%d", settings.http.host, self.serving.port)

    async def run(self, stop: asyncio.Event) -> None:
        """Work until *stop* is set, then stop intake, finish sends in flight and leave the rest due."""
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [
                    group.create_task(self.readers.run(), name="readers"),
                    group.create_task(self.wakes.run(), name="wakes"),
                    group.create_task(self.status.run(), name="status"),
                    group.create_task(self.ticks.run(), name="ticks"),
                    group.create_task(self.live.watch(), name="watch"),
                    group.create_task(self._count_peers(), name="peers"),
                    group.create_task(self._prove(), name="proof"),
                    group.create_task(self.replays.run(), name="replays"),
                    group.create_task(self.worker.breakers.run(), name="breakers"),
                    group.create_task(self.schedule.run(), name="schedule"),
                    group.create_task(self.tail.run(), name="tail"),
                    group.create_task(self.caretaker.run(), name="search"),
                ]
                await stop.wait()
                log.info("stopping: no more intake, sends in flight are finished")
                await self.ingress.close()
                await self.streams.close()
                await asyncio.gather(self.serving.stop(), self.worker.finish(FINISH))
                for task in tasks:
                    task.cancel()
            with contextlib.suppress(StoreError, TimeoutError):
                async with asyncio.timeout(1.0):
                    await self.status.share()
                    await self.proof.leave()
        finally:
            await self.serving.stop()
            await self._let_go()

    async def _let_go(self) -> None:
        """Close what is open towards others."""
        await asyncio.gather(*(channel.close() for channel in (*self.channels, *self.channels.unlisted.values())))
        await self.http.close()
        self.search.close()

    def reloaded(self, loaded: Loaded) -> None:
        """Take a new configuration into use (called by `Live`)."""
        self._reloading = asyncio.get_running_loop().create_task(self._reconnect(loaded), name="reconnect")

    async def _reconnect(self, loaded: Loaded) -> None:
        rules = await asyncio.to_thread(prepare, loaded, now_ms)  # thousands of routes take seconds to compile
        if loaded is self.live.current:
            await self.proof.keep(rules, "reload")
        if loaded is not self.live.current:
            return  # a newer one is on its way
        self.use(loaded, rules)
        await self._connect(loaded)
        log.info("the configuration was reloaded")
        if waits := self.live.postponed:
            log.warning("what has changed in %s is used from the next start on", ", ".join(waits))
        self.wakes.ring((BELL,))
        with contextlib.suppress(StoreError):
            await self.assigner.mend()

    async def _connect(self, loaded: Loaded) -> None:
        """Build the connectors of new and changed channels; the others go on as they are."""
        settings = loaded.settings
        channels: dict[str, Channel] = {}
        for name, one in settings.channels.items():
            known = self.channels.get(name)
            if known is not None and known.source == one:
                channels[name] = known
                continue
            channel = Channel(name, one.kind, required=one.required, rate=one.rate, source=one)
            if one.broken or one.options is None:
                channel.mark("down", one.broken or "the connector has no options", now_ms())
            else:
                try:
                    kit = Kit(name, self.http, ChannelMemory(self.store, self.wakes, name), settings.public_url, now_ms)
                    channel.connector = registry.find(one.kind)(one.options, kit)
                except Exception as error:
                    log.exception("the connector of channel %s cannot be built", name)
                    channel.mark("down", f"{type(error).__name__}: {error}", now_ms())
                secret = getattr(one.options, "secret_path", None)
                channel.secret_path = secret.get_secret_value() if isinstance(secret, SecretStr) else str(secret or "")
            channels[name] = channel
        endpoints = self._endpoints(settings)
        replaced = [one for one in self.channels if channels.get(one.name) is not one]
        replaced += [one for name, one in self.channels.unlisted.items() if endpoints.get(name) is not one]
        self.channels.by_name, self.channels.unlisted = channels, endpoints
        self.wakes.ring((webhooks.BELL,))
        await asyncio.gather(*(one.close() for one in replaced))
        tokens = [
            (
                one.token.get_secret_value(),
                Token(name, one.role, self._actor(settings, name, one.agent), rate=one.rate or 0.0),
            )
            for name, one in settings.api_tokens.items()
        ]
        tokens.append((self._cli_token, Token(HERE, "admin", Actor("token", HERE, "CLI"))))
        self.tokens = Tokens(tokens)

    def _endpoints(self, settings: Settings) -> dict[str, Channel]:
        """Build the outgoing webhooks as channels of the outbox; what has not changed goes on as it is."""
        endpoints: dict[str, Channel] = {}
        for name, one in settings.webhooks.items():
            label = address(name)
            known = self.channels.unlisted.get(label)
            if known is not None and known.source == one:
                endpoints[label] = known
                continue
            options = webhook_posting.WebhookOptions(
                url=one.url,
                secrets=one.keys,
                headers=one.headers,
                timeout=one.timeout / 1000,
                allow_private=one.allow_private,
            )
            kit = Kit(label, self.http, ChannelMemory(self.store, self.wakes, label), settings.public_url, now_ms)
            posting = webhook_posting.Webhook(options, kit)
            connector = Endpoint(name, one, posting, self.press, self.ledger, self.links.base, now_ms)
            endpoints[label] = Channel(label, connector.kind, connector, required=False, source=one)
        return endpoints

    @staticmethod
    def _actor(settings: Settings, token: str, agent: str | None) -> Actor:
        if agent is not None:
            return Actor("agent", agent, str(settings.agents[agent].name) if agent in settings.agents else agent)
        return Actor("token", token, token)

    async def _secrets(self) -> None:
        """Fetch the hub's own signing key and command-line token; the first process makes them."""
        for name in ("signing_key", "cli_token", "pseudonyms"):
            await self.store.do("hub", "SET", shared_key("hub", name), secrets.token_urlsafe(32), "NX")
        self.links.use(await self.store.do("hub", "GET", shared_key("hub", "signing_key")))
        self._cli_token = await self.store.do("hub", "GET", shared_key("hub", "cli_token"))
        self.pseudonyms = await self.store.do("hub", "GET", shared_key("hub", "pseudonyms"))
        self.withheld = await withheld(self.store)
        path = self.live.current.settings.store.path / "cli.token"
        await asyncio.to_thread(write_secret, path, self._cli_token)

    def api(self) -> Api:
        """Build the API."""
        return interface(self, self._replay, doubts)

    async def _record(self, channel: str, events: Sequence[Event]) -> None:
        """Make events durable, for the ingress. Raises `Unavailable`."""
        try:
            await self.recorder.record(channel, events)
        except StoreError as error:
            raise Unavailable(str(error), retry_after=2.0) from None
        known = self.channels.get(channel)
        if known is not None:
            known.heard(events, now_ms())

    async def _shunt(self, channel: str, raw: bytes, error: str, meta: Mapping[str, object]) -> None:
        try:
            await self.recorder.shunt(channel, raw, error, meta, now_ms())
        except StoreError as failure:
            raise Unavailable(str(failure), retry_after=2.0) from None

    async def _replay(self, one: Shunted) -> str:
        """Run a shunted payload through its connector again; return what is still wrong, "" if it is recorded."""
        if one.meta.get("stage") == "routing":
            await self.recorder.log_again(one)
            return ""
        channel = self.channels.get(one.channel)
        if channel is None or channel.connector is None or not hasattr(channel.connector, "receive"):
            return f"channel {one.channel} is not up"
        try:
            call: WebhookCall = rebuilt(one.raw, one.meta)
            received = await channel.connector.receive(call)
            await self.recorder.record(one.channel, received.events)
            if received.left is not None:
                return f"a part of it: {received.left.error}"
        except StoreError:
            raise
        except Exception as error:  # noqa: BLE001  # whatever it is, it is the answer to the admin's question
            return f"{type(error).__name__}: {error}"
        return ""

    def _count(self, channel: str, outcome: str) -> None:
        self.hooks[channel, outcome] += 1

    async def _count_peers(self) -> None:
        """Look from time to time whether there is another process to wake, for ever."""
        while True:
            await asyncio.sleep(PEERS)
            self.wakes.alone = len(self.readers.leases.living) <= 1

    async def _prove(self) -> None:
        """Say where the rules of this process stand, and what the shadow found, every second, for ever."""
        while True:
            await asyncio.sleep(PROVE)
            try:
                await self.proof.share()
            except StoreError:
                log.debug("where the rules stand is said when the store is back")
            except Exception:
                log.exception("where the rules stand could not be said; it is tried again")


def doubts(loaded: Loaded) -> list[Fault]:
    """Return what can be used and is probably not meant, in routes, settings and texts."""
    return [*lint(loaded, now_ms(), able(loaded)), *proofread(loaded, guard_of(loaded))]


def write_secret(path: Path, text: str) -> None:
    """Write a file that only its owner can read."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    fresh = path.with_suffix(f".{os.getpid()}")
    fresh.touch(mode=0o600)
    fresh.write_text(text, encoding="utf-8")
    fresh.replace(path)


@contextlib.asynccontextmanager
async def running(hub: Hub, *, shared: bool = False) -> AsyncIterator[Hub]:
    """Run a hub while the context lasts: for tests and the demo."""
    stop = asyncio.Event()
    await hub.start(shared=shared)
    task = asyncio.create_task(hub.run(stop))
    try:
        yield hub
    finally:
        stop.set()
        await task


async def open_hub(live: Live, url: str, place: str) -> Hub:
    """Open the store at *url* and build a hub on it. Raises `Unfit`, `StoreError`."""
    store, durability, findings = await open_store(url, SCRIPTS, live.current.settings.store.durability)
    for finding in findings:
        log.warning("%s", finding.message)
    return Hub(live, store, place, now_ms, durability, findings)


def current(config: Path, known: Loaded | None) -> Loaded:
    """Return the configuration as it is now; *known* is what it was. Raises `ConfigError`."""
    if known is not None and not changed(known.files):
        return known
    return load(config, kinds, prove=prove)


async def work(config: Path, url: str, index: int, *, shared: bool, known: Loaded | None = None) -> None:
    """Run one hub process on the store at *url* until it is told to stop.

    Raises `ConfigError`, `Unfit`, `StoreError`, OSError.
    """
    loaded = current(config, known)
    hubs: list[Hub] = []

    def take(new: Loaded) -> None:
        hubs[0].reloaded(new)

    def complain(faults: list[Fault]) -> None:
        for fault in faults:
            log.error("the configuration is not taken into use: %s", fault)

    live = Live(loaded, kinds, now=now_ms, prove=prove, on_change=take, on_fault=complain)
    hub = await open_hub(live, url, f"{os.uname().nodename}-{loaded.settings.http.port}-{index}")
    hubs.append(hub)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    reloads: set[asyncio.Task[bool]] = set()
    loop.add_signal_handler(signal.SIGHUP, lambda: reloads.add(loop.create_task(live.reload())))
    try:
        await hub.start(shared=shared)
        gc.freeze()  # what is loaded stays: a full collection over it would stop the process for 40 ms and more
        gc.set_threshold(*COLLECTING)
        gc.enable()
        print(f"huiliu: http://{loaded.settings.http.host}:{hub.serving.port}", flush=True)
        await hub.run(stop)
    finally:
        await hub.store.close()


async def serve(config: Path, nursery: Nursery | None, workers: int, known: Loaded) -> None:
    """Start the store if it is ours, then one process, or several out of *nursery*.

    Raises `ConfigError`, `EmbeddedError`, `Unfit`, `StoreError`, OSError.
    """
    settings = known.settings
    async with contextlib.AsyncExitStack() as stack:
        url = settings.store.url.get_secret_value()
        if url == "embedded":
            # It watches over its server by itself; whoever watched too would start a second one on the same files.
            store = await stack.enter_async_context(Embedded(settings.store.path, durability=settings.store.durability))
            url = store.url
        if nursery is None:
            await work(config, url, 0, shared=False, known=known)
        else:
            gc.enable()
            await Crowd(nursery, url, workers).run()


def finished(process: Coroutine[Any, Any, None], locale: str = "en") -> int:
    """Run *process* to its end and return the exit code; what an admin can mend is told in one line."""
    try:
        asyncio.run(process)
    except ConfigError as error:
        return config_commands.refuse(error, locale)
    except Unfit as error:
        print("; ".join(told(finding.message, locale) for finding in error.findings), file=sys.stderr)
        return 1
    except (EmbeddedError, StoreError, OSError) as error:
        print(told(str(error), locale), file=sys.stderr)
        return 1
    return 0


def main() -> None:
    """Run the command line."""
    arguments = hoisted(sys.argv[1:])
    words = arguments[2:] if arguments[:1] in (["-c"], ["--config"]) else arguments
    command_line(only_run=words[:1] == ["run"])(arguments)


def hoisted(arguments: list[str]) -> list[str]:
    """Put -c FILE first wherever it stands: it says which hub is meant, before or after the command."""
    for index, word in enumerate(arguments):
        if word == "--":
            break
        if word in ("-c", "--config") and index + 1 < len(arguments):
            return [*arguments[index : index + 2], *arguments[:index], *arguments[index + 2 :]]
        if word.startswith("--config="):
            return [word, *arguments[:index], *arguments[index + 1 :]]
    return arguments


def command_line(*, only_run: bool = False) -> typer.Typer:
    """Build the command line; commands of the packages are added to ours, unless it shall *only_run* the hub."""
    here = Path("huiliu.yaml")
    chosen = {"config": here if here.is_file() else Path(os.environ.get("HUILIU_CONFIG", "") or here)}

    def locale() -> str:
        return language(chosen["config"])

    app = typer.Typer(cls=speaking(locale), no_args_is_help=True, pretty_exceptions_enable=False, help="Huiliu 汇流")

    def loaded(*, proven: bool = False) -> Loaded:
        try:
            return load(chosen["config"], kinds, prove=prove if proven else None)
        except ConfigError as error:
            raise typer.Exit(config_commands.refuse(error, locale())) from None

    def connect() -> Client:
        try:
            return Client.of(partial_settings(chosen["config"], ("http", "store")), locale())
        except ConfigError as error:
            raise typer.Exit(config_commands.refuse(error, locale())) from None

    @app.callback()
    def options(
        config: Annotated[str, typer.Option("-c", "--config", help="configuration file / 配置文件")] = "",
    ) -> None:
        if config:
            chosen["config"] = Path(config)

    @app.command()
    def run(
        workers: Annotated[int, typer.Option(min=1, max=64, help="processes / 进程数")] = 1,
        logs: Annotated[str, typer.Option("--logs", help="console or json / 控制台或 JSON")] = "console",
    ) -> None:
        """Run the daemon. / 运行服务。"""
        configure(logs)
        gc.disable()  # until what is loaded stays
        config = chosen["config"]

        def one_of_many(index: int, url: str) -> int:
            return finished(work(config, url, index, shared=True, known=known), locale())

        known = loaded(proven=True)  # and with it the code and the word lists of channels and rules, for all workers
        nursery = Nursery(one_of_many) if workers > 1 else None
        raise typer.Exit(finished(serve(config, nursery, workers, known), locale()))

    @app.command()
    def init(
        directory: Annotated[str, typer.Argument()] = "",
        preset: Annotated[str, typer.Option("--preset", help="starter or shop / 预设：starter 或 shop")] = "starter",
        as_json: AsJson = False,
    ) -> None:
        """Write starter files. / 写入起步配置。"""
        config = chosen["config"]
        target = str(Path(directory) / config.name if directory else config)
        raise typer.Exit(config_commands.init(target, preset=preset, as_json=as_json, locale=locale()))

    @app.command()
    def check(
        files: Annotated[list[str] | None, typer.Argument()] = None,
        strict: Annotated[bool, typer.Option("--strict", help="warnings are faults / 提醒也算错误")] = False,
        ignored: Annotated[
            list[str] | None, typer.Option("--ignore", metavar="RULE", help="no such warnings / 不要这种提醒")
        ] = None,
        as_json: AsJson = False,
    ) -> None:
        """Check configuration and routes. / 检查配置与路由。"""
        for rule in ignored or []:
            if rule not in (*RULES, *PROOFS):
                raise typer.Exit(config_commands.unknown_rule(rule, (*RULES, *PROOFS), locale=locale()))
        code = config_commands.check(
            files or [],
            kinds,
            config=str(chosen["config"]),
            prove=prove,
            lint=lambda loaded: [each for each in doubts(loaded) if each.rule not in (ignored or [])],
            strict=strict,
            as_json=as_json,
            locale=locale(),
        )
        raise typer.Exit(code)

    @app.command()
    def schema(
        which: Annotated[str, typer.Argument()] = "huiliu",
        as_json: AsJson = False,  # noqa: ARG001  # it prints nothing else
    ) -> None:
        """Print the JSON Schema of a file. / 输出 JSON Schema。"""
        known: dict[str, type[BaseModel]] = {}
        for kind in registry.known():
            with contextlib.suppress(KindUnavailable):  # a broken connector has no options to describe
                known[kind] = kinds(kind)
        raise typer.Exit(config_commands.print_schema(known, which, locale=locale()))

    @app.command()
    def demo(
        once: Annotated[bool, typer.Option("--once", help="play the scenario to its end / 播完即退出")] = False,
    ) -> None:
        """Play every channel on this machine. / 在本机演示所有渠道。"""
        from connectors.simulators import scenario  # noqa: PLC0415  # the daemon starts faster without the simulators

        raise typer.Exit(asyncio.run(scenario.play(once=once, locale=locale())))

    @app.command()
    def doctor(as_json: AsJson = False) -> None:
        """Look whether everything is as it should be. / 体检。"""
        raise typer.Exit(asyncio.run(examine_all(loaded(), locale(), as_json=as_json)))

    if only_run:
        return app
    from router.command_groups import add_groups  # noqa: PLC0415  # the daemon starts faster without all commands

    def imagine() -> tuple[Path, Callable[[Mapping[Path, bytes]], Attempt]]:
        config = chosen["config"]
        return config, lambda instead: attempt(config, kinds, prove=prove, instead=instead)

    add_groups(app, loaded, connect, locale, imagine)
    return app


def language(config: Path) -> str:
    """Return the language of messages: $LANG decides, as everywhere in a terminal, else the configuration."""
    said = os.environ.get("LC_ALL") or os.environ.get("LC_MESSAGES") or os.environ.get("LANG") or ""
    if said.startswith(("zh", "en")):
        return "zh-CN" if said.startswith("zh") else "en"
    try:
        return partial_settings(config, ("locale",)).locale if config.exists() else "en"
    except ConfigError:
        return "en"


if __name__ == "__main__":
    main()
