"""Server-sent events: everything that happens, as it happens, to whoever keeps a connection open; resumable.

A client says with Last-Event-ID how far it is, and goes on exactly there, at any process, after any restart.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TypeVar

import msgspec
from aiohttp import web

from config.faults import Wrong
from config.happenings import EVENTS, chosen, pattern
from inbox.api import HEADERS, Ask, Problem, Route
from inbox.backlog import following
from inbox.bookmarks import START, BadBookmark, Bookmark, Place, decode, encode
from inbox.bulletins import Bulletin
from inbox.partitions import COUNT, parse_id
from inbox.press import Press, listed
from inbox.store import Store, StoreError
from inbox.tail import Sheet, Tail, ends, moved

log = logging.getLogger(__name__)
T = TypeVar("T")

HEARTBEAT = 15.0  # proxies close what is silent for a minute
PAUSE = 0.3
PATIENCE = 30.0  # a client that takes nothing for so long is let go; it comes back to where it was
RETRY = 2_000  # milliseconds until a browser connects again
OLDEST = 24 * 3_600_000  # milliseconds: who was away for longer reads the lists instead
MOST = 1_000
CATCHING_UP = 4  # at once: each holds some megabytes of log
GLANCE = 5.0
AGAIN = 1.0  # so soon somebody hears nothing more whose session has ended, or who may see less
PIECE = 1 << 16
STREAM = {
    **HEADERS,
    "Content-Type": "text/event-stream; charset=utf-8",
    "X-Accel-Buffering": "no",
}


class Reset(Exception):
    """The client cannot go on where it was; the text is a stable word for why."""


class Gone(Exception):
    """The client does not take what it is sent."""


@dataclass(frozen=True, slots=True)
class Want:
    """What a client wants to hear of; empty = everything. *hidden* are the teams of which it may hear nothing."""

    types: frozenset[str] = frozenset()
    teams: frozenset[str] = frozenset()
    conversation: str = ""
    hidden: frozenset[str] = frozenset()

    def takes(self, one: Bulletin) -> bool:
        """Tell whether an event is for the client."""
        return (
            (not self.types or one.type in self.types)
            and (not self.teams or not self.teams.isdisjoint(one.teams))
            and (not self.conversation or one.conversation == self.conversation)
            and one.team not in self.hidden
        )


@dataclass(slots=True)
class Listener:
    """One connection: what it wants, what is written next, and how far it is.

    *places* is behind the last entry that is done with, *skip* how many events of the next entry of a partition are.
    """

    want: Want
    response: web.StreamResponse
    places: tuple[Place, ...]
    skip: tuple[int, int] | None = None
    piece: bytearray = field(default_factory=bytearray)

    async def tell(self, sheet: Sheet) -> None:
        """Write the events of a sheet that the client wants and has not had. Raises `Gone`."""
        done = 0
        if self.skip is not None and self.skip[0] == sheet.entry.partition:
            done, self.skip = self.skip[1], None
        taken = [one for one in sheet.bulletins if one.ordinal >= done and self.want.takes(one)]
        for one in taken:
            self.piece += sheet.block(one, last=one is taken[-1])
        self.places = sheet.after
        if len(self.piece) >= PIECE:
            await self.flush()

    def control(self, name: str, now: int, **facts: str) -> None:
        """Write an event of the stream itself, which also tells the client how far it is."""
        mark = encode(Bookmark(now, self.places, self.skip))
        self.piece += b"id: %s\nevent: %s\ndata: %s\n\n" % (mark.encode(), name.encode(), msgspec.json.encode(facts))

    def beat(self, now: int) -> None:
        """Write a sign of life that is no event, and how far the client is."""
        self.piece += b":\nid: %s\n\n" % encode(Bookmark(now, self.places, self.skip)).encode()

    async def flush(self) -> None:
        """Hand over what is written. Raises `Gone` when the client takes nothing for a while."""
        piece, self.piece = self.piece, bytearray()
        if not piece:
            return
        try:
            async with asyncio.timeout(PATIENCE):
                await self.response.write(bytes(piece))
        except TimeoutError:
            raise Gone("it took nothing") from None
        except ConnectionError:
            raise Gone("it left") from None


class Streams:
    """The open connections of this process. *still* tells whether who called may still."""

    def __init__(
        self,
        store: Store,
        tail: Tail,
        press: Press,
        source: Callable[[], str],
        still: Callable[[Ask], Awaitable[bool]],
        now: Callable[[], int],
        heartbeat: float = HEARTBEAT,
    ) -> None:
        self._store = store
        self._tail = tail
        self._press = press
        self._source = source
        self._still = still
        self._now = now
        self._heartbeat = heartbeat
        self._open: set[asyncio.Task[object]] = set()
        self._turn = asyncio.Semaphore(CATCHING_UP)
        self._closing = False

    def routes(self) -> list[Route]:
        """Return the table: method, path, least role, handler."""
        return [Route("GET", "/events", "readonly", self.follow)]

    @property
    def count(self) -> int:
        """How many connections are open."""
        return len(self._open)

    async def close(self) -> None:
        """End every connection; the clients come back elsewhere."""
        self._closing = True
        for task in self._open:
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)

    async def follow(self, ask: Ask) -> web.StreamResponse:
        """Answer with a stream that ends only when one side goes."""
        want = wanted(ask)
        if self._closing or len(self._open) >= MOST:
            raise Problem(503, "Too many streams", "Try again in a moment.")
        response = web.StreamResponse(headers=STREAM)
        await response.prepare(ask.request)
        if ask.request.method == "HEAD":
            return response
        task: asyncio.Task[object] = asyncio.get_running_loop().create_task(self._serve(ask, want, response))
        self._open.add(task)
        task.add_done_callback(self._open.discard)
        try:
            while not task.done() and ask.request.transport is not None:
                await asyncio.wait([task], timeout=GLANCE)  # a client that goes tells nobody
        finally:
            task.cancel()
        return response

    async def _serve(self, ask: Ask, want: Want, response: web.StreamResponse) -> None:
        listener = Listener(want, response, (START,) * COUNT)
        try:
            with self._tail.listening(want.types):
                await self._stream(ask, listener)
        except Gone as gone:
            log.info("a stream of events was closed: %s", gone)
            if ask.request.transport is not None:
                ask.request.transport.abort()
        except ConnectionError:
            log.debug("a stream of events was closed by its client")
        except Exception:
            log.exception("a stream of events failed; its client comes back to where it was")

    async def _stream(self, ask: Ask, listener: Listener) -> None:
        listener.piece += b"retry: %d\n\n" % RETRY
        await self._patiently(listener, self._look)
        await self._patiently(listener, lambda: self._resume(ask, listener))
        number = await self._patiently(listener, lambda: self._catch_up(listener))
        loop = asyncio.get_running_loop()
        asked = 0.0
        while True:
            if loop.time() >= asked + AGAIN:
                if not await self._patiently(listener, lambda: self._still(ask)):
                    return
                asked = loop.time()
            if number < self._tail.first:  # it took its time, and the tail let go what comes next for it
                number = await self._patiently(listener, lambda: self._catch_up(listener))
            for sheet in self._tail.since(number):
                number += 1
                await listener.tell(sheet)
                if number < self._tail.first:
                    break
            await listener.flush()
            news = await self._tail.wait(number, self._heartbeat)
            if number == self._tail.end:
                listener.places = self._tail.places
            if not news:
                listener.beat(self._now())
                await listener.flush()

    async def _patiently(self, listener: Listener, work: Callable[[], Awaitable[T]]) -> T:
        """Do *work* as soon as the store lets us, with a sign of life while it does not. Raises `Gone`."""
        while True:
            try:
                return await work()
            except (StoreError, TimeoutError) as error:
                log.debug("a stream of events waits for the store: %s", error)
                await asyncio.sleep(PAUSE)
                listener.piece += b":\n\n"
                await listener.flush()

    async def _look(self) -> None:
        async with asyncio.timeout(self._heartbeat):
            await self._tail.look()

    async def _resume(self, ask: Ask, listener: Listener) -> None:
        """Find where the client goes on, and tell it. Raises `StoreError`."""
        text = ask.request.headers.get("Last-Event-ID", "") or ask.query("last_event_id")
        try:
            found = await self._checked(text) if text else Bookmark(0, self._tail.places)
            listener.places, listener.skip = found.places, found.within
            listener.control("ready", self._now())
        except Reset as reset:
            listener.places = self._tail.places
            listener.control("reset", self._now(), reason=str(reset))

    async def _checked(self, text: str) -> Bookmark:
        """Return the place of a client that was away. Raises `Reset`, `StoreError`."""
        try:
            found = decode(text)
        except BadBookmark:
            raise Reset("unknown") from None
        if self._now() - found.at > OLDEST:
            raise Reset("too_old")
        there = self._tail.places
        if any(one > other for one, other in zip(found.places, there, strict=True)):
            raise Reset("lost")  # the store has less than it had, or is another one
        behind = [partition for partition, place in enumerate(found.places) if place < there[partition]]
        for partition, (_, deleted) in zip(behind, await ends(self._store, behind), strict=True):
            if deleted > found.places[partition]:
                raise Reset("too_old")
        return found

    async def _catch_up(self, listener: Listener) -> int:
        """Tell from the logs what the client has missed; return the number of the sheet that comes next for it."""
        while True:
            upto, number = self._tail.places, self._tail.end
            if listener.want.conversation:
                home = parse_id(listener.want.conversation, "c").partition
                listener.places = (*upto[:home], listener.places[home], *upto[home + 1 :])
            while found := await self._missed(listener, upto):
                for sheet in found:
                    await listener.tell(sheet)
            listener.places = upto
            await listener.flush()
            if number >= self._tail.first:
                return number

    async def _missed(self, listener: Listener, upto: tuple[Place, ...]) -> list[Sheet]:
        async with self._turn:
            entries = await following(self._store, listener.places, upto)
            told = await self._press.bulletins(entries, listed(listener.want.types))
        sheets, places = [], listener.places
        for entry, found in zip(entries, told, strict=True):
            after = moved(places, entry)
            sheets.append(Sheet(entry, found, places, after, self._now(), self._source()))
            places = after
        return sheets


def wanted(ask: Ask) -> Want:
    """Return what a client asks for. Raises `Problem` 400, `UnknownId`."""
    try:
        patterns = [pattern(one.strip()) for one in ask.query("types").split(",") if one.strip()]
    except Wrong as wrong:
        hint = f"; did you mean {wrong.nearest}?" if wrong.nearest else ""
        raise Problem(400, "Bad parameter", f"{wrong.what}; expected {wrong.expected}{hint}") from None
    conversation = ask.query("conversation")
    if conversation:
        parse_id(conversation, "c")
    teams = frozenset(one.strip() for one in ask.query("team").split(",") if one.strip())
    types = chosen(patterns)
    return Want(frozenset() if types == frozenset(EVENTS) else types, teams, conversation, ask.hidden)
