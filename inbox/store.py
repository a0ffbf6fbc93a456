"""The one way to the store: commands of concurrent tasks share a round trip and, with AOF always, an fsync.

A `Link` is one connection that is always pipelined: whatever tasks ask for during one turn of the
event loop leaves in one write, and batches grow while earlier ones fly (group commit). Connecting,
authentication, TLS, Sentinel and Cluster topology are redis-py's; only the reading and writing of
packed commands is ours, because one awaited redis-py call costs more than a whole HTTP request.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections import deque
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit, urlunsplit

import hiredis
import redis.asyncio as redis_asyncio
from redis.asyncio.connection import Connection, parse_url
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel
from redis.backoff import NoBackoff
from redis.crc import key_slot
from redis.exceptions import RedisClusterException, RedisError

log = logging.getLogger(__name__)

Reply = Any
Word = str | bytes | float
SLOTS = 16384
MOVED = frozenset({"MOVED", "ASK", "CLUSTERDOWN"})
MAX_BATCHES = 4
MAX_BATCH = 512
MAX_WAITING = 20_000
ANSWER_TIMEOUT = 2.5  # WeChat hangs up after 5 s: a store that is silent must become a 503 well before
LOOKS = 5
CONNECT_TIMEOUT = 2.0
CONNECT_ERRORS = (RedisError, RedisClusterException, OSError, TimeoutError, AttributeError, TypeError)


class StoreError(Exception):
    """Base of everything that the store may raise."""


class StoreDown(StoreError):
    """The store cannot be reached or did not answer in time; a write may or may not have happened."""


class Overloaded(StoreError):
    """More commands wait for the store than memory should hold; nothing was sent."""


class Refused(StoreError):
    """The store answered with an error: the first word is its code (OOM, READONLY, LOADING, …)."""

    @property
    def code(self) -> str:
        return str(self).partition(" ")[0]


class Script:
    """A Lua script that touches one slot, known to the store by its SHA-1."""

    def __init__(self, source: str, name: str) -> None:
        self.name = name
        self.source = source
        self.sha = hashlib.sha1(source.encode(), usedforsecurity=False).hexdigest()

    @classmethod
    def load(cls, path: Path) -> Script:
        """Read a script from a file. Raises OSError."""
        return cls(path.read_text(encoding="utf-8"), path.stem)


class Link:
    """One pipelined connection to one node. *open_connection* returns a connected redis-py connection.

    A node that answers nothing for *patience* seconds is given up within twice that time.
    """

    def __init__(
        self, open_connection: Callable[[], Any], scripts: Iterable[Script], patience: float = ANSWER_TIMEOUT
    ) -> None:
        self._open = open_connection
        self._scripts = tuple(scripts)
        self._patience = patience
        self._pending: list[tuple[bytes, asyncio.Future[Reply]]] = []
        self._waiting: deque[asyncio.Future[Reply]] = deque()
        self._batches: deque[list[int]] = deque()
        self._connection: Connection | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._runner: asyncio.Task[None] | None = None
        self._watchdog: asyncio.TimerHandle | None = None
        self._seen = 0
        self._scheduled = False
        self._away = False
        self._closing = False
        self._loop = asyncio.get_running_loop()

    def do(self, command: bytes) -> asyncio.Future[Reply]:
        """Queue one packed command; the future gets its reply, or raises `StoreError`."""
        if len(self._pending) + len(self._waiting) >= MAX_WAITING:
            raise Overloaded("too many commands wait for the store")
        future: asyncio.Future[Reply] = self._loop.create_future()
        self._pending.append((command, future))
        if not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self._flush)
        return future

    async def close(self) -> None:
        """Drop the connection; whatever waits fails with `StoreDown`."""
        self._closing = True
        if self._runner is not None:
            self._runner.cancel()
            await asyncio.gather(self._runner, return_exceptions=True)
        self._fail(StoreDown("the hub closed its connection to the store"))

    def _flush(self) -> None:
        self._scheduled = False
        if self._writer is None:
            if self._runner is None or self._runner.done():
                self._runner = self._loop.create_task(self._run(), name="store-link")
            return
        while self._pending and len(self._batches) < MAX_BATCHES:
            batch, self._pending = self._pending[:MAX_BATCH], self._pending[MAX_BATCH:]
            self._writer.write(b"".join([command for command, _ in batch]))
            self._waiting.extend([future for _, future in batch])
            self._batches.append([len(batch)])

    async def _run(self) -> None:
        error: StoreError = StoreDown("the connection to the store was lost")
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT):
                self._connection = await self._open()
            obey_cancellation()
            # The two private attributes are the price of sharing one round trip; test_inbox_store guards them.
            reader: Any = self._connection._reader  # noqa: SLF001
            self._writer = self._connection._writer  # noqa: SLF001
            for script in self._scripts:
                loaded: asyncio.Future[Reply] = self._loop.create_future()
                loaded.add_done_callback(lambda future: future.cancelled() or future.exception())
                self._pending.insert(0, (pack("SCRIPT", "LOAD", script.source), loaded))
            if self._away:
                self._away = False
                log.warning("the store is back")
            self._watch()
            self._flush()
            await self._read(reader)
        except asyncio.CancelledError:
            raise
        except StoreError as failure:
            error = failure
        except CONNECT_ERRORS as failure:
            error = StoreDown(f"the store cannot be reached ({type(failure).__name__})")
        finally:
            if self._watchdog is not None:
                self._watchdog.cancel()
            if not self._away and not self._closing:
                self._away = True
                log.error("the store is away: %s", error)
            self._fail(error)
            connection, self._connection, self._writer = self._connection, None, None
            if connection is not None:
                await discard(connection)
            if self._pending:  # asked for while the old connection was being closed
                self._loop.call_soon(self._flush)

    async def _read(self, reader: asyncio.StreamReader) -> None:
        parser = hiredis.Reader(encoding="utf-8", errors="surrogateescape")
        waiting, batches = self._waiting, self._batches
        demoted = False
        while True:
            data = await reader.read(1 << 18)
            if not data:
                return
            parser.feed(data)
            while (reply := parser.gets()) is not False:
                self._seen += 1
                future = waiting.popleft()
                head = batches[0]
                head[0] -= 1
                if not head[0]:
                    batches.popleft()
                if future.done():
                    continue
                if isinstance(reply, hiredis.ReplyError):
                    future.set_exception(Refused(str(reply)))
                    demoted = demoted or str(reply).startswith("READONLY")
                else:
                    future.set_result(reply)
            if demoted:
                return  # somebody else is the primary now; whoever connects anew asks who it is
            if self._pending:
                self._flush()

    def _watch(self, seen: int = -1, quiet: int = 0) -> None:
        """Give the connection up when commands wait and not one answer came for a while (a half-open peer)."""
        quiet = quiet + 1 if self._waiting and self._seen == seen else 0
        if quiet >= LOOKS and self._writer is not None:
            self._writer.transport.abort()
            return
        self._watchdog = self._loop.call_later(self._patience / LOOKS, self._watch, self._seen, quiet)

    def _fail(self, error: StoreError) -> None:
        self._batches.clear()
        futures = [*self._waiting, *(future for _, future in self._pending)]
        self._waiting.clear()
        self._pending.clear()
        for future in futures:
            if not future.done():
                future.set_exception(error)
                future.exception()  # nobody may be waiting any more; that is no leak


def obey_cancellation() -> None:
    """Raise CancelledError if this task was cancelled: redis-py swallows a cancellation that meets an answer."""
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


async def discard(connection: Connection) -> None:
    """Close a connection whatever state it is in."""
    try:
        await connection.disconnect(nowait=True)
    except CONNECT_ERRORS:
        log.debug("a broken connection did not close cleanly")


def pack(*command: Word) -> bytes:
    """Encode one command in RESP."""
    packed: bytes = hiredis.pack_command(command)  # type: ignore[arg-type]
    return packed


@dataclass
class Topology:
    """Where a slot lives: one node (possibly found through Sentinel), or a cluster."""

    url: str
    password: str | None = None
    _cluster: redis_asyncio.RedisCluster | None = field(default=None, repr=False)
    _asking: asyncio.Lock = field(default_factory=asyncio.Lock, repr=False)

    @property
    def clustered(self) -> bool:
        return self.url.startswith("redis+cluster")

    def _arguments(self, url: str) -> dict[str, Any]:
        arguments: dict[str, Any] = dict(parse_url(url))
        if self.password is not None:
            arguments["password"] = self.password
        arguments.update(retry=Retry(NoBackoff(), 0), socket_connect_timeout=CONNECT_TIMEOUT, protocol=2)
        return arguments

    async def node(self, slot: int) -> str:
        """Name the node that serves *slot*: "" when there is only one."""
        if not self.clustered:
            return ""
        if self._cluster is None:
            async with self._asking:  # of many that ask at first, one client is made and kept
                if self._cluster is None:
                    await self.refresh()
        assert self._cluster is not None
        try:
            return str(self._cluster.nodes_manager.get_node_from_slot(slot).name)
        except CONNECT_ERRORS as error:
            raise StoreDown(f"no node of the cluster serves slot {slot} ({type(error).__name__})") from None

    async def refresh(self) -> None:
        """Ask the cluster anew which node serves what. Raises `StoreDown`."""
        if not self.clustered:
            return
        try:
            if self._cluster is None:
                client = redis_asyncio.RedisCluster.from_url(
                    self.url.replace("redis+cluster", "redis", 1),
                    password=self.password,
                    require_full_coverage=False,
                    retry=Retry(NoBackoff(), 0),
                    socket_connect_timeout=CONNECT_TIMEOUT,
                )
                await client.initialize()
                self._cluster = client
            else:
                await self._cluster.nodes_manager.initialize()
        except CONNECT_ERRORS as error:
            raise StoreDown(f"the cluster cannot be reached ({type(error).__name__})") from None

    async def nodes(self) -> list[str]:
        """Name every primary node. Raises `StoreDown`."""
        if not self.clustered:
            return [""]
        if self._cluster is None:
            await self.refresh()
        assert self._cluster is not None
        return [str(node.name) for node in self._cluster.get_primaries()]

    async def connect(self, node: str) -> Connection:
        """Open a connection to *node* that has authenticated."""
        url = self.url
        if self.clustered:
            parts = urlsplit(url.replace("redis+cluster", "redis", 1))
            credentials = f"{parts.netloc.rpartition('@')[0]}@" if "@" in parts.netloc else ""
            url = urlunsplit((parts.scheme, credentials + node, "", "", ""))
        elif url.startswith("redis+sentinel"):
            url = await self._master(url)
        arguments = self._arguments(url)
        connection_class = arguments.pop("connection_class", Connection)
        connection: Connection = connection_class(**arguments)
        try:
            await connection.connect()  # type: ignore[no-untyped-call]
        except BaseException:  # cancelled, too: redis-py leaves a socket behind whose handshake was interrupted
            await discard(connection)
            raise
        return connection

    async def _master(self, url: str) -> str:
        """Ask the sentinels of redis+sentinel://[:pw@]h1:p1,h2:p2/name[?db=0] where the primary is."""
        parts = urlsplit(url)
        credentials, _, hosts = parts.netloc.rpartition("@")
        pairs = [(host, int(port or 26379)) for host, _, port in (one.partition(":") for one in hosts.split(","))]
        sentinel = Sentinel(pairs, socket_connect_timeout=CONNECT_TIMEOUT)  # type: ignore[no-untyped-call]
        try:
            host, port = await sentinel.discover_master(parts.path.strip("/") or "mymaster")
        finally:
            for each in sentinel.sentinels:
                await each.aclose()
        db = parse_qs(parts.query).get("db", ["0"])[0]
        return f"redis://{credentials + '@' if credentials else ''}{host}:{port}/{db}"

    async def client(self) -> redis_asyncio.Redis:
        """Return a plain redis-py client of any node: for publish/subscribe and administration. Raises `StoreDown`."""
        url = self.url.replace("redis+cluster", "redis", 1)
        if url.startswith("redis+sentinel"):
            try:
                url = await self._master(url)
            except CONNECT_ERRORS as error:
                raise StoreDown(f"no sentinel names the primary ({type(error).__name__})") from None
        password = {"password": self.password} if self.password else {}
        return redis_asyncio.Redis.from_url(url, **password)  # type: ignore[arg-type]

    async def admin(self) -> redis_asyncio.Redis | redis_asyncio.RedisCluster:
        """Return a redis-py client for administration: of the node, or of the whole cluster. Raises `StoreDown`."""
        if self.clustered:
            return redis_asyncio.RedisCluster.from_url(
                self.url.replace("redis+cluster", "redis", 1), password=self.password, require_full_coverage=False
            )
        return await self.client()

    async def close(self) -> None:
        """Let the topology client go."""
        if self._cluster is not None:
            await self._cluster.aclose()


class Store:
    """Commands and scripts, each sent to the node that serves its hash tag."""

    def __init__(self, topology: Topology, scripts: Iterable[Script], *, patience: float = ANSWER_TIMEOUT) -> None:
        self.topology = topology
        self._scripts = tuple(scripts)
        self._patience = patience
        self._links: dict[str, Link] = {}
        self._by_tag: dict[str, Link] = {}
        self._stale = False
        self._refreshing: asyncio.Task[None] | None = None
        self._closed = False

    async def close(self) -> None:
        """Close every connection; whoever asks later is told that the store is down."""
        self._closed = True
        links, self._links, self._by_tag = list(self._links.values()), {}, {}
        await asyncio.gather(*(link.close() for link in links))
        await self.topology.close()

    async def link(self, tag: str) -> Link:
        """Return the link to the node that serves ``{tag}``. Raises `StoreDown`."""
        known = self._by_tag.get(tag)
        if known is not None:
            return known
        if self._closed:
            raise StoreDown("the hub closed its connection to the store")
        if self._stale:
            await self._refresh()
        node = await self.topology.node(key_slot(tag.encode()))
        link = self._links.get(node)
        if link is None:
            link = self._links[node] = Link(partial(self.topology.connect, node), self._scripts, self._patience)
        self._by_tag[tag] = link
        return link

    async def _refresh(self) -> None:
        """Ask the cluster for its map, once for all who wait for it. Raises `StoreDown`."""
        if self._refreshing is None or self._refreshing.done():
            self._refreshing = asyncio.get_running_loop().create_task(self.topology.refresh(), name="store-map")
        await asyncio.shield(self._refreshing)
        self._stale = False

    async def do(self, tag: str, *command: Word) -> Reply:
        """Run one command on the node of *tag*. Raises `StoreError`."""
        return await self._send(tag, pack(*command))

    async def many(self, tag: str, commands: Sequence[Sequence[Word]]) -> list[Reply]:
        """Run several commands on the node of *tag* in one round trip; not atomic. Raises `StoreError`."""
        return await self.each([(tag, command) for command in commands])

    async def each(self, commands: Sequence[tuple[str, Sequence[Word]]]) -> list[Reply]:
        """Run (tag, command) pairs, in one round trip for each node; not atomic. Raises `StoreError`."""
        packed = [(tag, pack(*command)) for tag, command in commands]
        if len(packed) < 2:
            return [await self._send(tag, command) for tag, command in packed]
        sent: list[asyncio.Future[Reply]] = []
        try:
            for tag, command in packed:
                link = self._by_tag.get(tag) or await self.link(tag)
                sent.append(link.do(command))
            await asyncio.wait(sent)  # a task for each command would cost more than the command
        finally:
            for future in sent:
                future.cancel()  # only those that nobody waits for any more
        errors = [future.exception() for future in sent]
        if not any(errors):
            return [future.result() for future in sent]
        return [
            await self._settled(tag, command, future, error)
            for (tag, command), future, error in zip(packed, sent, errors, strict=True)
        ]

    async def _settled(
        self, tag: str, packed: bytes, sent: asyncio.Future[Reply], error: BaseException | None
    ) -> Reply:
        """Return the reply to one command of many; one that came to the wrong node is sent again."""
        if isinstance(error, Refused) and error.code in MOVED:
            return await self._send(tag, packed)
        if isinstance(error, StoreDown):
            self._lost()
        return sent.result()

    def run(
        self, script: Script, tag: str, keys: Sequence[str], arguments: Sequence[Word] = ()
    ) -> Coroutine[Any, Any, Reply]:
        """Run *script* on *keys*, all of which carry ``{tag}``. Raises `StoreError`, UnicodeEncodeError."""
        return self._send(tag, pack("EVALSHA", script.sha, len(keys), *keys, *arguments), script)

    async def _send(self, tag: str, packed: bytes, script: Script | None = None) -> Reply:
        """Send to the owner of *tag*, once more if the script or the cluster's map was out of date.

        A command that was refused did nothing, so sending it again is safe; one that got no answer
        is never sent again here.
        """
        for last in (False, True):
            link = self._by_tag.get(tag) or await self.link(tag)
            try:
                return await link.do(packed)
            except StoreDown:
                self._lost()
                raise
            except Refused as refusal:
                if script is not None and refusal.code == "NOSCRIPT" and not last:
                    await link.do(pack("SCRIPT", "LOAD", script.source))
                elif refusal.code not in MOVED:
                    raise
                elif last:
                    raise StoreDown(str(refusal)) from None
                else:
                    self._by_tag.clear()
                    self._stale = True
        raise AssertionError("unreachable: the second round returns or raises")

    def _lost(self) -> None:
        """A node is gone: what a cluster's map said of it may be wrong now."""
        if self.topology.clustered:
            self._by_tag.clear()
            self._stale = True

    @asynccontextmanager
    async def subscription(self, channel: str) -> AsyncIterator[Any]:
        """Subscribe to *channel* on a connection of its own. Raises `StoreDown`."""
        client = await self.topology.client()
        pubsub = client.pubsub(ignore_subscribe_messages=True)
        try:
            await pubsub.subscribe(channel)
            yield pubsub
        except CONNECT_ERRORS as error:
            raise StoreDown(f"the subscription was lost ({type(error).__name__})") from None
        finally:
            try:
                await pubsub.aclose()  # type: ignore[no-untyped-call]
                await client.aclose()
            except CONNECT_ERRORS:
                log.debug("a broken subscription did not close cleanly")
