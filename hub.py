"""Huiliu: the composition root. The only module that knows all packages; it builds, runs and stops the hub."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import secrets
import signal
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import aiohttp
import typer
from aiohttp import web
from itsdangerous import BadData, URLSafeTimedSerializer
from pydantic import BaseModel, SecretStr

import router.archive
import router.assignment
from config import commands as config_commands
from config.channels import Unavailable as KindUnavailable
from config.channels import UnknownKind as NoSuchKind
from config.faults import ConfigError, Fault, nearest
from config.loading import Attempt, Loaded, attempt, load, partial_settings
from config.reload import Live
from config.settings import Settings
from connectors import registry
from connectors.base import Event, Kit, Media, WebhookCall
from connectors.ingress import Ingress, Unavailable, rebuilt
from inbox import commands as inbox_commands
from inbox import conversations, leases, memory, placing, readers, recording, sla, sla_commands, ticks
from inbox.api import Api, Token, Tokens
from inbox.attachments import Attachments, NoAttachment
from inbox.channels import Channel, Channels
from inbox.chores import Chore
from inbox.client import Client
from inbox.commands import AsJson
from inbox.crowd import Crowd, Nursery
from inbox.doctor import examine_all
from inbox.durability import Durability, Finding
from inbox.embedded import Embedded, EmbeddedError
from inbox.endpoints import FILE_HEADERS, FileBody, Inbox
from inbox.fetching import Fetching
from inbox.listening import BELL, Listening
from inbox.logs import configure
from inbox.memory import ChannelMemory
from inbox.opening import Unfit, open_store
from inbox.partitions import shared_key
from inbox.placing import Placer
from inbox.promises import Promises, due_times
from inbox.readers import Reader, Readers
from inbox.recording import Recorder, Shunted
from inbox.serving import Serving, origin_of
from inbox.status import Status
from inbox.store import Store, StoreError
from inbox.ticks import Ticks
from inbox.wakes import Wakes
from inbox.work import Actor, Desk
from outbox import commands as outbox_commands
from outbox import deliveries, worker
from outbox.deliveries import Deliveries, NoDelivery, NotNow
from outbox.endpoints import Outbox
from outbox.worker import Worker
from router import commands as router_commands
from router import staff_commands
from router.assignment import Assigner
from router.crews import roster
from router.endpoints import Routing
from router.lint import RULES, lint
from router.lookups import Orders
from router.overdue import Overdue
from router.presence import Presences
from router.proof import Proof
from router.proof_endpoints import ERRORS, Proving
from router.reader import Router
from router.replays import Replays
from router.ruleset import Rules, prepare
from router.staff import Staff
from router.trial import prove
from router.wording import fill

log = logging.getLogger("hub")

SCRIPTS = (
    recording.RECORD,
    conversations.COMMIT,
    leases.TAKE,
    leases.BEAT_SCRIPT,
    readers.ADVANCE,
    placing.LOCATE,
    memory.MEMORY,
    ticks.RESCORE,
    ticks.REWIND,
    deliveries.CLAIM,
    deliveries.RECLAIM,
    deliveries.PART,
    deliveries.LEAVE,
    deliveries.SETTLE,
    deliveries.RECEIPT,
    worker.RATE,
    *router.assignment.SCRIPTS,
    router.archive.KEEP,
)
FINISH = 6.0  # seconds; with what else a stop may wait for, it is over in ten
PEERS = 5.0
PROVE = 1.0
LINK_LIFE = 31 * 24 * 3600  # a web chat shows its last 30 days


# Messages under way are many small objects that soon go by themselves: looking for cycles every 700 of them, which is
# the default, takes a twentieth of the time and finds nothing.
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


@dataclass
class Hub:
    """One hub process. *live* holds the configuration, *store* is open; *place* names this worker among its peers."""

    live: Live
    store: Store
    place: str
    durability: Durability | None = None
    findings: Sequence[Finding] = ()
    http: aiohttp.ClientSession = field(init=False)
    serving: Serving = field(init=False)

    def __post_init__(self) -> None:
        self.channels = Channels()
        self.wakes = Wakes(self.store)
        files = self.live.current.settings.attachments
        self.attachments = Attachments(files.path, files.max_size)
        self.recorder = Recorder(self.store, self.wakes, self.attachments)
        self.placer = Placer(self.store)
        self.deliveries = Deliveries(self.store, self.wakes)
        self.desk = Desk(self.store, self.wakes, now_ms)
        self.assigner = Assigner(self.store, self.desk, lambda: self._roster, now_ms, self._locale)
        self.presences = Presences(self.store, self.wakes, self.assigner, lambda: self._roster, now_ms)
        self.staff = Staff(
            self.store,
            self.assigner,
            self.presences,
            lambda: self._roster,
            lambda: self.live.current.settings,
            now_ms,
        )
        overdue = Overdue(
            self.store,
            self.wakes,
            self.desk,
            self.assigner,
            self.presences,
            lambda: self._roster,
            now_ms,
            self._locale,
        )
        self.orders = Orders(lambda: self.live.current.settings.facts.order, lambda: self.http)
        self.hooks: Counter[tuple[str, str]] = Counter()
        self.worker = Worker(
            self.store,
            self.wakes,
            self.deliveries,
            self.placer,
            self.channels,
            self.attachments,
            now_ms,
            self._media_url,
        )
        self.proof = Proof(self.store, self.place, self.live, now_ms)
        self.router = Router(
            self.store,
            self.wakes,
            self.placer,
            self.recorder,
            self.deliveries,
            self.assigner,
            self.channels,
            lambda: self._rules,
            now_ms,
            self.orders,
            self.proof.shadow.observe,
        )
        self.replays = Replays(self.store, now_ms)
        self.ticks = Ticks(self.store, self.wakes, lambda: self._promises, now_ms)
        fetching = Fetching(self.store, self.wakes, self.channels, self.attachments, now_ms)
        listening = Listening(self.wakes, self.channels, self.recorder, now_ms)
        self.readers = Readers(
            self.store,
            self.wakes,
            self.place,
            now_ms(),
            [Reader("router", self.router.handle), Reader("outbox", self.worker.handle)],
            [
                self.worker.follow,
                Chore(self.wakes, "f", fetching.turn, now_ms).follow,
                Chore(self.wakes, "z", self.desk.wake_snoozed, now_ms).follow,
                self.ticks.follow,
                listening.follow,
                overdue.follow,
            ],
        )
        self.status = Status(
            self.store,
            self.channels,
            lambda: [
                ("counts", self.recorder.counts),
                ("sends", self.worker.counts),
                ("hooks", self.hooks),
                ("lookups", self.orders.counts),
                ("routing", Counter({("", name): count for name, count in self.router.counts.items()})),
                ("shadow", Counter({("", name): count for name, count in self.proof.shadow.counts.items()})),
                ("sla", self.ticks.counts),
            ],
        )
        self._use(self.live.current, prepare(self.live.current, now_ms))
        self._signer: URLSafeTimedSerializer | None = None
        self._tokens = Tokens([])
        self._cli_token = ""
        self._drained = False

    def _use(self, loaded: Loaded, rules: Rules) -> None:
        """Take a configuration into use, all of it at once."""
        self._rules = rules
        self.proof.use(rules)
        self._roster = roster(loaded.settings)
        self._promises = Promises.of(loaded.settings)

    def _locale(self) -> str:
        return self.live.current.settings.locale

    async def start(self, *, shared: bool) -> None:
        """Open everything and listen. Raises `StoreError`, OSError."""
        self.http = aiohttp.ClientSession(auto_decompress=True, cookie_jar=aiohttp.DummyCookieJar())
        await self._secrets()
        await self.proof.keep(self._rules, "start")
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
        app.router.add_get("/files/{token}", self._file)
        app.router.add_get("/healthz", self._healthz)
        app.router.add_get("/readyz", self._readyz)
        app.router.add_get("/metrics", self._metrics)
        self.serving = Serving(app, ingress.hook, ingress.lobby, settings.attachments.max_size)
        await self.serving.start(settings.http.host, settings.http.port, shared=shared)
        log.info("listening on %s:%d", settings.http.host, self.serving.port)

    async def run(self, stop: asyncio.Event) -> None:
        """Work until *stop* is set, then stop intake, finish sends in flight and leave the rest due."""
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
            ]
            await stop.wait()
            log.info("stopping: no more intake, sends in flight are finished")
            await self.ingress.close()
            await asyncio.gather(self.serving.stop(), self.worker.finish(FINISH))
            for task in tasks:
                task.cancel()
        with contextlib.suppress(StoreError, TimeoutError):
            async with asyncio.timeout(1.0):
                await self.status.share()
                await self.proof.leave()
        await asyncio.gather(*(channel.close() for channel in self.channels))
        await self.http.close()

    def reloaded(self, loaded: Loaded) -> None:
        """Take a new configuration into use (called by `Live`)."""
        self._reloading = asyncio.get_running_loop().create_task(self._reconnect(loaded), name="reconnect")

    async def _reconnect(self, loaded: Loaded) -> None:
        rules = await asyncio.to_thread(prepare, loaded, now_ms)  # thousands of routes take seconds to compile
        if loaded is self.live.current:
            await self.proof.keep(rules, "reload")
        if loaded is not self.live.current:
            return  # a newer one is on its way
        self._use(loaded, rules)
        await self._connect(loaded)
        log.info("the configuration was reloaded")
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
        replaced = [one for one in self.channels if channels.get(one.name) is not one]
        self.channels.by_name = channels
        await asyncio.gather(*(one.close() for one in replaced))
        tokens = [
            (
                one.token.get_secret_value(),
                Token(name, one.role, self._actor(settings, name, one.agent)),
            )
            for name, one in settings.api_tokens.items()
        ]
        tokens.append((self._cli_token, Token("cli", "admin", Actor("token", "cli", "CLI"))))
        self._tokens = Tokens(tokens)

    @staticmethod
    def _actor(settings: Settings, token: str, agent: str | None) -> Actor:
        if agent is not None:
            return Actor("agent", agent, str(settings.agents[agent].name) if agent in settings.agents else agent)
        return Actor("token", token, token)

    async def _secrets(self) -> None:
        """Fetch the hub's own signing key and command-line token; the first process makes them."""
        for name in ("signing_key", "cli_token"):
            await self.store.do("hub", "SET", shared_key("hub", name), secrets.token_urlsafe(32), "NX")
        key = await self.store.do("hub", "GET", shared_key("hub", "signing_key"))
        self._signer = URLSafeTimedSerializer(key, salt="files")
        self._cli_token = await self.store.do("hub", "GET", shared_key("hub", "cli_token"))
        path = self.live.current.settings.store.path / "cli.token"
        await asyncio.to_thread(write_secret, path, self._cli_token)

    def api(self) -> Api:
        """Build the API's one table of routes."""

        async def find_file(given: str | FileBody) -> Media:
            return await inbox_part.find_file(given)

        outbox = Outbox(
            self.store,
            self.deliveries,
            self.channels,
            lambda: self.live.current.settings,
            lambda name, conversation: fill(self.live.current, name, conversation, now_ms()),
            find_file,
            now_ms,
        )
        inbox_part = Inbox(
            self.store,
            self.desk,
            self.recorder,
            self.attachments,
            self.channels,
            lambda: self.live.current.settings,
            lambda conversation: due_times(self._promises, conversation),
            self._replay,
            self.staff.at_work,
            outbox.delivery_shapes,
            now_ms,
        )
        routing = Routing(
            self.store,
            self.placer,
            self.channels,
            lambda: self._rules,
            self.proof.archive,
            now_ms,
        )
        accounts = sla.Accounts(self.store, lambda: self._promises, now_ms)
        proving = Proving(self.proof, self.replays, prove)
        parts = (inbox_part, accounts, outbox, routing, proving, self.staff)
        routes = [route for part in parts for route in part.routes()]
        extra: dict[type[Exception], tuple[int, str]] = {
            NoDelivery: (404, "There is no such delivery"),
            NotNow: (409, "That makes no sense now"),
            **ERRORS,
        }
        return Api(routes, lambda: self._tokens, extra)

    async def _record(self, channel: str, events: Sequence[Event]) -> None:
        """Make events durable, for the ingress. Raises `Unavailable`."""
        try:
            await self.recorder.record(channel, events)
        except StoreError as error:
            raise Unavailable(str(error), retry_after=2.0) from None
        known = self.channels.get(channel)
        if known is not None:
            known.last_event_at = now_ms()

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
        except StoreError:
            raise
        except Exception as error:  # noqa: BLE001  # whatever it is, it is the answer to the admin's question
            return f"{type(error).__name__}: {error}"
        return ""

    def _count(self, channel: str, outcome: str) -> None:
        self.hooks[channel, outcome] += 1

    def _media_url(self, media: Media) -> str:
        """Return a public address of a kept file that expires after a month."""
        assert self._signer is not None
        token = self._signer.dumps([media.ref.removeprefix("sha256:"), media.type, media.name])
        return f"{self.live.current.settings.public_url}/files/{token}"

    async def _file(self, request: web.Request) -> web.Response:
        """Serve a file to whoever holds its signed address: the platform, or the customer."""
        assert self._signer is not None
        try:
            sha, kind, _ = self._signer.loads(request.match_info["token"], max_age=LINK_LIFE)
            data = await self.attachments.read(sha)
        except (BadData, NoAttachment, ValueError):
            raise web.HTTPNotFound from None
        safe = (
            kind
            if kind.startswith(("image/", "audio/", "video/")) and "svg" not in kind
            else "application/octet-stream"
        )
        disposition = "inline" if safe == kind else "attachment"
        headers = {**FILE_HEADERS, "Content-Disposition": disposition, "Content-Type": safe}
        return web.Response(body=data, headers=headers)

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

    async def _healthz(self, _: web.Request) -> web.Response:
        return web.json_response({"status": "alive"})

    async def _readyz(self, _: web.Request) -> web.Response:
        """Ready when the store answers and every required channel is up or only degraded."""
        problems = [
            f"channel {one.name} is down: {one.reason}" for one in self.channels if one.required and one.state == "down"
        ]
        try:
            await self.store.do("hub", "PING")
        except StoreError as error:
            problems.append(str(error))
        kept = self.durability
        body: dict[str, Any] = {
            "status": "not ready" if problems else "ready",
            "problems": problems,
            "warnings": [finding.message for finding in self.findings],
            "configuration": [str(fault) for fault in self.live.last_error],
            "store": {
                "url": self.live.current.settings.store.address,
                "appendonly": kept.appendonly if kept else None,
                "appendfsync": kept.appendfsync if kept else None,
                "maxmemory_policy": kept.maxmemory_policy if kept else None,
                "version": kept.version if kept else None,
            },
            "channels": {one.name: one.state for one in self.channels},
        }
        return web.json_response(body, status=503 if problems else 200)

    async def _metrics(self, _: web.Request) -> web.Response:
        gauges = {
            "huiliu_partitions_held": ("Partitions that this process owns", float(len(self.readers.leases.held))),
            "huiliu_workers": ("Processes that are alive", float(len(self.readers.leases.living))),
            "huiliu_config_faults": ("Faults of the files as they are now", float(len(self.live.last_error))),
            "huiliu_config_loaded_timestamp_seconds": (
                "When the configuration in use was read",
                self.live.last_loaded_at / 1000,
            ),
            "huiliu_shadow_faults": (
                "Faults of the routes that are only watched",
                float(len(self._rules.shadow_faults)),
            ),
        }
        try:
            text = await self.status.metrics(gauges, now_ms(), await self.staff.metrics())
        except StoreError:
            return web.Response(status=503, headers={"Retry-After": "2"})
        return web.Response(body=text, headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"})


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
    return Hub(live, store, place, durability, findings)


async def work(config: Path, url: str, index: int, *, shared: bool) -> None:
    """Run one hub process on the store at *url* until it is told to stop.

    Raises `ConfigError`, `Unfit`, `StoreError`, OSError.
    """
    loaded = load(config, kinds, prove=prove)
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
        print(f"huiliu: http://{loaded.settings.http.host}:{hub.serving.port}", flush=True)
        await hub.run(stop)
    finally:
        await hub.store.close()


async def serve(config: Path, nursery: Nursery | None, workers: int) -> None:
    """Start the store if it is ours, then one process, or several out of *nursery*.

    Raises `ConfigError`, `EmbeddedError`, `Unfit`, `StoreError`, OSError.
    """
    settings = load(config, kinds, prove=prove).settings
    async with contextlib.AsyncExitStack() as stack:
        url = settings.store.url.get_secret_value()
        if url == "embedded":
            # It watches over its server by itself; whoever watched too would start a second one on the same files.
            store = await stack.enter_async_context(Embedded(settings.store.path, durability=settings.store.durability))
            url = store.url
        if nursery is None:
            await work(config, url, 0, shared=False)
        else:
            await Crowd(nursery, url, workers).run()


def finished(process: Coroutine[Any, Any, None]) -> int:
    """Run *process* to its end and return the exit code; what an admin can mend is told in one line."""
    try:
        asyncio.run(process)
    except (ConfigError, EmbeddedError, Unfit, StoreError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def main() -> None:
    """Run the command line."""
    command_line()(hoisted(sys.argv[1:]))


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


def command_line() -> typer.Typer:
    """Build the command line; commands of the packages are added to ours."""
    app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False, help="Huiliu 汇流")
    chosen: dict[str, Path] = {}

    def loaded(*, proven: bool = False) -> Loaded:
        try:
            return load(chosen["config"], kinds, prove=prove if proven else None)
        except ConfigError as error:
            print(error, file=sys.stderr)
            raise typer.Exit(1) from None

    def locale() -> str:
        return language(chosen["config"])

    def connect() -> Client:
        try:
            return Client.of(partial_settings(chosen["config"], ("http", "store")))
        except ConfigError as error:
            print(error, file=sys.stderr)
            raise typer.Exit(1) from None

    @app.callback()
    def options(
        config: Annotated[str, typer.Option("-c", "--config", help="configuration file / 配置文件")] = "",
    ) -> None:
        chosen["config"] = Path(config or os.environ.get("HUILIU_CONFIG", "") or "huiliu.yaml")

    @app.command()
    def run(
        workers: Annotated[int, typer.Option(min=1, max=64, help="processes / 进程数")] = 1,
        logs: Annotated[str, typer.Option("--logs", help="console or json")] = "console",
    ) -> None:
        """Run the daemon. / 运行服务。"""
        configure(logs)
        config = chosen["config"]

        def one_of_many(index: int, url: str) -> int:
            return finished(work(config, url, index, shared=True))

        nursery = None
        if workers > 1:
            loaded(proven=True)  # and with it the code and the word lists of channels and rules, for all workers
            nursery = Nursery(one_of_many)
        raise typer.Exit(finished(serve(config, nursery, workers)))

    @app.command()
    def init(
        directory: Annotated[str, typer.Argument()] = ".",
        preset: Annotated[str, typer.Option("--preset", help="starter or shop / 预设：starter 或 shop")] = "starter",
    ) -> None:
        """Write starter files. / 写入起步配置。"""
        raise typer.Exit(config_commands.init(directory, preset=preset, locale=locale()))

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
            if rule not in RULES:
                hint = nearest(rule, RULES)
                print(f"no rule {rule!r}" + (f" (did you mean {hint}?)" if hint else ""), file=sys.stderr)
                raise typer.Exit(2)
        code = config_commands.check(
            files or [],
            kinds,
            config=str(chosen["config"]),
            prove=prove,
            lint=lambda loaded: [each for each in lint(loaded, now_ms()) if each.rule not in (ignored or [])],
            strict=strict,
            as_json=as_json,
            locale=locale(),
        )
        raise typer.Exit(code)

    @app.command()
    def schema(which: Annotated[str, typer.Argument()] = "huiliu") -> None:
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
        raise typer.Exit(asyncio.run(examine_all(loaded(), as_json=as_json)))

    app.add_typer(inbox_commands.commands(connect))
    app.add_typer(outbox_commands.commands(connect))
    app.add_typer(sla_commands.commands(connect, locale), name="sla")

    def imagine() -> tuple[Path, Callable[[Mapping[Path, bytes]], Attempt]]:
        config = chosen["config"]
        return config, lambda instead: attempt(config, kinds, prove=prove, instead=instead)

    routes = router_commands.commands(loaded, connect, locale, imagine)
    app.add_typer(routes, name="routes", help="Routes. / 路由。")
    app.add_typer(staff_commands.agents(connect, locale), name="agents", help="Who is there. / 客服在线状态。")
    app.add_typer(staff_commands.reports(connect, locale), name="report", help="Reports. / 报表。")
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
