"""Huiliu: the composition root. The only module that knows all packages; it builds, runs and stops the hub."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import logging
import os
import secrets
import signal
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Annotated, Any

import aiohttp
import typer
from aiohttp import web
from itsdangerous import BadData, URLSafeTimedSerializer
from pydantic import BaseModel, SecretStr

import router.assignment
from config import commands as config_commands
from config.channels import Unavailable as KindUnavailable
from config.channels import UnknownKind as NoSuchKind
from config.conditions import walk
from config.faults import ConfigError, Fault
from config.loading import Loaded, load
from config.reload import Live
from config.routes import Route as RouteModel
from config.settings import Settings
from config.templates import render
from connectors import registry
from connectors.base import Event, Kit, Media, WebhookCall
from connectors.ingress import Ingress, Unavailable, rebuilt
from connectors.simulators import scenario
from inbox import commands as inbox_commands
from inbox import conversations, leases, memory, readers, recording
from inbox.api import Api, Token, Tokens
from inbox.attachments import Attachments, NoAttachment
from inbox.channels import Channel, Channels
from inbox.chores import Chore
from inbox.client import Client
from inbox.commands import AsJson
from inbox.conversations import Conversation
from inbox.durability import Durability, Finding, judge
from inbox.embedded import Embedded, EmbeddedError
from inbox.endpoints import FILE_HEADERS, FileBody, Inbox
from inbox.fetching import Fetching
from inbox.listening import BELL, Listening
from inbox.logs import configure
from inbox.memory import ChannelMemory
from inbox.opening import Unfit, examine, open_store
from inbox.partitions import shared_key
from inbox.placing import Placer
from inbox.readers import Reader, Readers
from inbox.recording import Recorder, Shunted
from inbox.serving import Serving
from inbox.status import Status
from inbox.store import Store, StoreError, Topology
from inbox.valkey import death_signal
from inbox.wakes import Wakes
from inbox.work import Actor, Desk
from outbox import commands as outbox_commands
from outbox import deliveries, worker
from outbox.deliveries import Deliveries, NoDelivery, NotNow
from outbox.endpoints import Outbox
from outbox.worker import Worker
from router import commands as router_commands
from router.assignment import Assigner, Crew
from router.endpoints import Routing
from router.reader import Router, Rules
from router.rules import compile_routes
from router.trial import prove

log = logging.getLogger("hub")

SCRIPTS = (
    recording.RECORD,
    conversations.COMMIT,
    leases.TAKE,
    leases.BEAT_SCRIPT,
    readers.ADVANCE,
    memory.MEMORY,
    deliveries.CLAIM,
    deliveries.LEAVE,
    deliveries.SETTLE,
    deliveries.RECEIPT,
    worker.RATE,
    router.assignment.DRAIN,
    router.assignment.HOLD,
)
FINISH = 8.0
RESPAWN = 0.3
MEND = 5.0
LINK_LIFE = 7 * 24 * 3600


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


def prepare_rules(loaded: Loaded) -> Rules:
    """Compile the routes of a configuration that has been checked."""
    settings = loaded.settings
    tree = compile_routes(loaded.routes, settings.hours, timezone=settings.timezone)

    def acknowledgement(name: str, conversation: Conversation) -> str | None:
        return fill(loaded, name, conversation)

    about = frozenset(name for file in loaded.routes for route in file.routes for name in asking(route))
    return Rules(tree, acknowledgement, about)


def asking(route: RouteModel) -> list[str]:
    """Return the names of a route and those inside it whose condition asks about the conversation itself."""
    names = [name for inner in route.routes for name in asking(inner)]
    if route.when is not None and any(one.conversation is not None for _, one in walk(route.when, ())):
        names.append(route.name)
    return names


def fill(loaded: Loaded, name: str, conversation: Conversation) -> str | None:
    """Fill a template for a conversation; None if there is no such template."""
    template = loaded.templates.get(name)
    if template is None:
        return None
    settings = loaded.settings
    team, agent = settings.teams.get(conversation.team), settings.agents.get(conversation.agent)
    sla = settings.sla.get(conversation.sla or (team.sla if team and team.sla else ""))
    values = {
        "contact.name": conversation.name,
        "conversation.id": conversation.id,
        "team.name": str(team.name) if team else "",
        "agent.name": str(agent.name) if agent else "",
        "channel.name": conversation.channel,
        "sla.first_reply": f"{sla.first_reply // 60_000} min" if sla and sla.first_reply else "",
    }
    return render(template, values, settings.locale)


def crews(settings: Settings) -> dict[str, Crew]:
    """Return the teams as assignment sees them; an agent's own capacity goes before the team's."""
    return {
        name: Crew(
            name,
            team.assign.strategy,
            tuple(
                (one, capacity if (capacity := settings.agents[one].capacity) is not None else team.assign.capacity)
                for one in team.members
            ),
        )
        for name, team in settings.teams.items()
    }


def due_times(settings: Settings, conversation: Conversation) -> dict[str, int | None]:
    """Return until when the conversation should be answered and resolved; None where nothing is promised.

    Promises that run in opening hours only are not computed here: a wrong time would be worse than none.
    """
    team = settings.teams.get(conversation.team)
    sla = settings.sla.get(conversation.sla or (team.sla if team and team.sla else ""))
    times: dict[str, int | None] = {"first_reply_due": None, "next_reply_due": None, "resolution_due": None}
    if sla is None or sla.hours is not None or conversation.status == "resolved":
        return times
    if sla.first_reply and not conversation.first_reply_at:
        times["first_reply_due"] = conversation.opened_at + sla.first_reply
    if sla.next_reply and conversation.first_reply_at and conversation.status == "open":
        times["next_reply_due"] = conversation.last_inbound_at + sla.next_reply
    if sla.resolution:
        times["resolution_due"] = conversation.opened_at + sla.resolution
    return times


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
        self.assigner = Assigner(self.store, self.desk, lambda: self._crews, now_ms)
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
        )
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
                Chore(self.wakes, "p", fetching.turn, now_ms).follow,
                Chore(self.wakes, "z", self.desk.wake_snoozed, now_ms).follow,
                listening.follow,
            ],
        )
        self.status = Status(
            self.store,
            self.channels,
            lambda: [
                ("counts", self.recorder.counts),
                ("sends", self.worker.counts),
                ("hooks", self.hooks),
                ("routing", Counter({("", name): count for name, count in self.router.counts.items()})),
            ],
        )
        self._use(self.live.current)
        self._signer: URLSafeTimedSerializer | None = None
        self._tokens = Tokens([])
        self._cli_token = ""
        self._drained = False

    def _use(self, loaded: Loaded) -> None:
        """Take a configuration into use, all of it at once."""
        self._rules = prepare_rules(loaded)
        self._crews = crews(loaded.settings)

    async def start(self, *, shared: bool) -> None:
        """Open everything and listen. Raises `StoreError`, OSError."""
        self.http = aiohttp.ClientSession(auto_decompress=True, cookie_jar=aiohttp.DummyCookieJar())
        await self._secrets()
        await self._connect(self.live.current)
        settings = self.live.current.settings
        ingress = self.ingress = Ingress(
            lambda: self.channels.by_name,
            self._record,
            self._shunt,
            public_url=settings.public_url,
            now=now_ms,
            count=self._count,
        )
        app = web.Application()
        self.api().mount(app)
        app.add_routes(ingress.routes())
        app.router.add_get("/files/{token}", self._file)
        app.router.add_get("/healthz", self._healthz)
        app.router.add_get("/readyz", self._readyz)
        app.router.add_get("/metrics", self._metrics)
        self.serving = Serving(app, ingress.hook, settings.attachments.max_size)
        await self.serving.start(settings.http.host, settings.http.port, shared=shared)
        log.info("listening on %s:%d", settings.http.host, self.serving.port)

    async def run(self, stop: asyncio.Event) -> None:
        """Work until *stop* is set, then stop intake, finish sends in flight and leave the rest due."""
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(self.readers.run(), name="readers"),
                group.create_task(self.wakes.run(), name="wakes"),
                group.create_task(self.status.run(), name="status"),
                group.create_task(self.live.watch(), name="watch"),
                group.create_task(self._mend(), name="mend"),
            ]
            await stop.wait()
            log.info("stopping: no more intake, sends in flight are finished")
            await self.ingress.close()
            await self.serving.stop()
            await self.worker.finish(FINISH)
            for task in tasks:
                task.cancel()
        with contextlib.suppress(StoreError):
            await self.status.share()
        await self.http.close()

    def reloaded(self, loaded: Loaded) -> None:
        """Take a new configuration into use (called by `Live`)."""
        self._use(loaded)
        self._reloading = asyncio.get_running_loop().create_task(self._reconnect(loaded), name="reconnect")
        log.info("the configuration was reloaded")

    async def _reconnect(self, loaded: Loaded) -> None:
        await self._connect(loaded)
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
        self.channels.by_name = channels
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
            lambda name, conversation: fill(self.live.current, name, conversation),
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
            lambda conversation: due_times(self.live.current.settings, conversation),
            self._replay,
            self.assigner.loads,
            outbox.delivery_shapes,
            now_ms,
        )
        routing = Routing(
            self.store,
            self.placer,
            self.channels,
            lambda: self._rules,
            lambda: [
                file.model_dump(mode="json", exclude_unset=True, by_alias=True) for file in self.live.current.routes
            ],
            now_ms,
        )
        routes = [*inbox_part.routes(), *outbox.routes(), *routing.routes()]
        extra = {NoDelivery: (404, "There is no such delivery"), NotNow: (409, "That makes no sense now")}
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
        channel = self.channels.get(one.channel)
        if channel is None or channel.connector is None or not hasattr(channel.connector, "receive"):
            return f"channel {one.channel} is not up"
        call: WebhookCall = rebuilt(one.raw, one.meta)
        try:
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
        """Return a public address of a kept file that expires after a week."""
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

    async def _mend(self) -> None:
        """Finish what other processes left half done, for ever."""
        while True:
            await asyncio.sleep(MEND)
            self.wakes.alone = len(self.readers.leases.living) <= 1
            try:
                if self.readers.leases.held:
                    await self.assigner.mend()
            except StoreError:
                log.debug("mending waits for the store")

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
        }
        try:
            text = await self.status.metrics(gauges)
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
    """Run one hub process on the store at *url* until it is told to stop. Raises `ConfigError`, `Unfit`, `StoreError`."""
    loaded = load(config, kinds, prove=prove)
    hubs: list[Hub] = []

    def complain(faults: list[Fault]) -> None:
        for fault in faults:
            log.error("the configuration is not taken into use: %s", fault)

    live = Live(loaded, kinds, now=now_ms, prove=prove, on_change=lambda new: hubs[0].reloaded(new), on_fault=complain)
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
        print(f"huiliu: http://{loaded.settings.http.host}:{hub.serving.port}", flush=True)
        await hub.run(stop)
    finally:
        await hub.store.close()


async def serve(config: Path, workers: int) -> None:
    """Start the store if it is ours, then one process or several. Raises `ConfigError`, `EmbeddedError`, `StoreError`."""
    settings = load(config, kinds, prove=prove).settings
    async with contextlib.AsyncExitStack() as stack:
        url = settings.store.url.get_secret_value()
        supervising: asyncio.Task[None] | None = None
        if url == "embedded":
            store = await stack.enter_async_context(Embedded(settings.store.path, durability=settings.store.durability))
            supervising = asyncio.create_task(store.supervise(), name="store")
            url = store.url
        try:
            if workers == 1:
                await work(config, url, 0, shared=False)
            else:
                await Crowd(config, url, workers).run()
        finally:
            if supervising is not None:
                supervising.cancel()
                await asyncio.gather(supervising, return_exceptions=True)


@dataclass
class Crowd:
    """Several worker processes; one that dies is started again."""

    config: Path
    url: str
    count: int

    async def run(self) -> None:
        """Keep the workers running until told to stop; pass SIGHUP on."""
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        running_now: dict[int, asyncio.subprocess.Process] = {}
        loop.add_signal_handler(signal.SIGHUP, lambda: self._hang_up(running_now))
        keepers = [asyncio.create_task(self._keep(index, running_now, stop)) for index in range(self.count)]
        await stop.wait()
        for process in running_now.values():
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
        await asyncio.gather(*keepers)

    @staticmethod
    def _hang_up(running_now: dict[int, asyncio.subprocess.Process]) -> None:
        for process in running_now.values():
            process.send_signal(signal.SIGHUP)

    async def _keep(self, index: int, running_now: dict[int, asyncio.subprocess.Process], stop: asyncio.Event) -> None:
        """Start worker *index* whenever it is not running. The kernel ends it when this process dies."""
        environment = {**os.environ, "HUILIU_STORE_URL": self.url, "PYTHONSAFEPATH": "1"}
        arguments = (sys.executable, "-m", "hub", "-c", str(self.config), "run", "--worker", str(index))
        while not stop.is_set():
            process = await asyncio.create_subprocess_exec(*death_signal(), *arguments, env=environment)
            running_now[index] = process
            code = await process.wait()
            del running_now[index]
            if not stop.is_set():
                log.error("worker %d ended with code %s; starting it again", index, code)
                await asyncio.sleep(RESPAWN)


def main() -> None:
    """Run the command line."""
    command_line()()


def command_line() -> typer.Typer:
    """Build the command line; commands of the packages are added to ours."""
    app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False, help="Huiliu 汇流")
    chosen: dict[str, Path] = {}

    def loaded() -> Loaded:
        try:
            return load(chosen["config"], kinds, prove=None)
        except ConfigError as error:
            print(error, file=sys.stderr)
            raise typer.Exit(1) from None

    def connect() -> Client:
        return Client.of(loaded().settings)

    @app.callback()
    def options(
        config: Annotated[str, typer.Option("-c", "--config", help="configuration file / 配置文件")] = "",
    ) -> None:
        chosen["config"] = Path(config or os.environ.get("HUILIU_CONFIG", "") or "huiliu.yaml")

    @app.command()
    def run(
        workers: Annotated[int, typer.Option(min=1, max=64, help="processes / 进程数")] = 1,
        worker: Annotated[int, typer.Option(hidden=True)] = -1,
        logs: Annotated[str, typer.Option("--logs", help="console or json")] = "console",
    ) -> None:
        """Run the daemon. / 运行服务。"""
        configure(logs)
        try:
            if worker >= 0:
                asyncio.run(work(chosen["config"], os.environ["HUILIU_STORE_URL"], worker, shared=True))
            else:
                asyncio.run(serve(chosen["config"], workers))
        except (ConfigError, EmbeddedError, Unfit, StoreError, OSError) as error:
            print(error, file=sys.stderr)
            raise typer.Exit(1) from None

    @app.command()
    def init(directory: str = ".") -> None:
        """Write starter files. / 写入起步配置。"""
        raise typer.Exit(config_commands.init(directory, locale=locale()))

    @app.command()
    def check(files: Annotated[list[str] | None, typer.Argument()] = None, as_json: AsJson = False) -> None:
        """Check configuration and routes. / 检查配置与路由。"""
        config = str(chosen["config"])
        code = config_commands.check(files or [], kinds, config=config, prove=prove, as_json=as_json, locale=locale())
        raise typer.Exit(code)

    @app.command()
    def schema(which: Annotated[str, typer.Argument()] = "huiliu") -> None:
        """Print the JSON Schema of a file. / 输出 JSON Schema。"""
        known = {kind: kinds(kind) for kind in registry.known()}
        raise typer.Exit(config_commands.print_schema(known, which, locale=locale()))

    @app.command()
    def demo(
        once: Annotated[bool, typer.Option("--once", help="play the scenario to its end / 播完即退出")] = False,
    ) -> None:
        """Play every channel on this machine. / 在本机演示所有渠道。"""
        raise typer.Exit(asyncio.run(scenario.play(once=once, locale=locale())))

    @app.command()
    def doctor(as_json: AsJson = False) -> None:
        """Look whether everything is as it should be. / 体检。"""
        raise typer.Exit(asyncio.run(examine_all(loaded(), as_json=as_json)))

    app.add_typer(inbox_commands.commands(connect))
    app.add_typer(outbox_commands.commands(connect))
    app.add_typer(router_commands.commands(loaded, connect, locale), name="routes", help="Routes. / 路由。")
    return app


def locale() -> str:
    """Return the language of messages: $LANG decides, as everywhere in a terminal."""
    language = os.environ.get("LC_ALL") or os.environ.get("LC_MESSAGES") or os.environ.get("LANG") or ""
    return "zh-CN" if language.startswith("zh") else "en"


async def examine_all(loaded: Loaded, *, as_json: bool) -> int:
    """Print what is right and wrong with names, files and store; 1 if something is wrong."""
    findings = [*own_names(), *await store_findings(loaded)]
    if as_json:
        print(json.dumps([dataclasses.asdict(finding) for finding in findings], ensure_ascii=False, indent=2))
    else:
        for finding in findings:
            print(f"{finding.level}: {finding.message}")
        print(f"{loaded.path}: {'fine' if not findings else f'{len(findings)} finding(s)'}")
    return 1 if any(finding.level == "refuse" for finding in findings) else 0


async def store_findings(loaded: Loaded) -> list[Finding]:
    """Return what is weaker about the store than the configuration asks."""
    settings = loaded.settings.store
    url = settings.url.get_secret_value()
    if url == "embedded":
        return []
    try:
        return judge(await examine(Topology(url)), settings.durability)
    except StoreError as error:
        return [Finding("refuse", str(error))]


def own_names() -> list[Finding]:
    """Return which of our package names another distribution has taken (they are common words)."""
    here = Path(__file__).parent
    names = ("connectors", "config", "inbox", "outbox", "router")
    strangers = [name for name in names if Path(import_module(name).__file__ or "").parent.parent != here]
    owners = packages_distributions()
    doubled = [name for name in names if len(set(owners.get(name, []))) > 1]
    return [
        *(Finding("refuse", f"package {name} is not ours: another distribution lies over it") for name in strangers),
        *(Finding("warn", f"package {name} belongs to several distributions") for name in doubled),
    ]


if __name__ == "__main__":
    main()
