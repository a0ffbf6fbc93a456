"""A typed client of the API, for programs of one's own and for tests: answers are the types that describe the API.

Types are in `inbox.schemas`, `outbox.schemas` and `router.operations`; `Page`, `Done` in `inbox.openapi`. What is asked
again after a lost connection, a store that is away or too many calls is done once, thanks to idempotency keys.
"""

from __future__ import annotations

import http.client
import json
import time
import urllib.parse
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import msgspec

from inbox.client import Client, NoHub, NoToken, Refused
from inbox.openapi import Page
from inbox.partitions import new_key
from inbox.repeats import HEADER

T = TypeVar("T")
Body = msgspec.Struct | Mapping[str, Any]
PATIENCE = 30.0
PAUSE = 0.5
SILENCE = 60.0
"""Seconds without a word after which a stream is opened anew; the hub says something every 15."""


class Reset(Exception):
    """A stream cannot go on where it was: read the lists again, and follow anew. The text is a stable word for why."""


class Event(msgspec.Struct, frozen=True):
    """What happened (docs/events.md). With `events(after=mark)` a stream goes on behind it."""

    id: str
    type: str
    source: str
    time: str
    data: dict[str, Any]
    subject: str = ""
    mark: str = ""


@dataclass(frozen=True, slots=True)
class Seen(Generic[T]):
    """A *value*, and the *tag* that says that somebody edits just this state of it."""

    value: T
    tag: str


@dataclass(frozen=True, slots=True)
class TypedClient:
    """Calls a hub through *client*; tries again for *patience* seconds where that may help.

    Every method raises `NoHub` when nobody answers or the token is not known, `Refused` when the hub says no, and
    `msgspec.ValidationError` when the answer is not of the type that was asked for.
    """

    client: Client
    patience: float = PATIENCE

    @classmethod
    def at(cls, base: str, token: str) -> TypedClient:
        """Return a client of the hub at *base*, such as https://hub.example.com."""
        return cls(Client(base.rstrip("/"), token))

    def get(self, kind: type[T], path: str, **query: str | int) -> T:
        """Return what is at *path* below /api/v1."""
        return self.seen(kind, path, **query).value

    def seen(self, kind: type[T], path: str, **query: str | int) -> Seen[T]:
        """Return what is at *path*, with the tag by which `put` and `delete` edit just that."""
        data, headers = self._patiently("GET", _with(path, query), None, {})
        return Seen(msgspec.json.decode(data, type=kind), headers.get("ETag", ""))

    def pages(self, kind: type[T], path: str, **query: str | int) -> Iterator[T]:
        """Yield every item of a list, page by page."""
        cursor: str | None = ""
        while cursor is not None:
            page = self.get(Page[kind], path, **query, cursor=cursor)  # type: ignore[valid-type]  # a type at run time
            yield from page.items
            cursor = page.next

    def post(self, kind: type[T], path: str, body: Body | None = None, *, key: str = "") -> T:
        """Do something, once: also when it is asked again with the same *key* within a day."""
        data, _ = self._patiently("POST", path, body or {}, {HEADER: key or new_key()})
        return msgspec.json.decode(data, type=kind)

    def put(self, kind: type[T], path: str, body: Body, *, tag: str = "*") -> T:
        """Edit something, if it still is as *tag* says; `Refused` with status 412 if it is not."""
        data, _ = self._patiently("PUT", path, body, {"If-Match": tag} if tag != "*" else {})
        return msgspec.json.decode(data, type=kind)

    def delete(self, kind: type[T], path: str, *, tag: str = "*") -> T:
        """Take something away, if it still is as *tag* says."""
        data, _ = self._patiently("DELETE", path, None, {"If-Match": tag} if tag != "*" else {})
        return msgspec.json.decode(data, type=kind)

    def events(self, after: str = "", **query: str) -> Iterator[Event]:
        """Yield what happens behind the event with the mark *after*, or from now on; comes back by itself, for ever.

        *query* are the parameters of `GET /events`. Raises `Reset` as well.
        """
        mark, since = after, time.monotonic()
        while True:
            try:
                more = {"Last-Event-ID": mark} if mark else {}
                with self.client.opened("GET", _with("/events", query), patience=SILENCE, more=more) as stream:
                    for far, event in _blocks(stream):
                        mark, since = far or mark, time.monotonic()
                        if event is not None:
                            yield event
            except (NoHub, OSError, http.client.HTTPException) as error:
                if isinstance(error, NoToken) or time.monotonic() > since + self.patience:
                    raise _told(error) from None
            time.sleep(PAUSE)

    def _patiently(
        self, method: str, path: str, body: Body | None, more: Mapping[str, str]
    ) -> tuple[bytes, Mapping[str, str]]:
        """Call, again and again while it is worth it; return the answer with its headers."""
        text = msgspec.json.encode(body) if body is not None else None
        safe = method == "GET" or HEADER in more
        deadline = time.monotonic() + self.patience
        while True:
            try:
                with self.client.opened(method, path, text, more=more) as response:
                    return response.read(), response.headers
            except Refused as refusal:
                again = refusal.wait and (safe or refusal.status == 429)  # then nothing was done
                if not again or time.monotonic() + refusal.wait > deadline:
                    raise
                time.sleep(refusal.wait)
            except (NoHub, OSError, http.client.HTTPException) as error:
                if not safe or isinstance(error, NoToken) or time.monotonic() > deadline:
                    raise _told(error) from None
                time.sleep(PAUSE)


def _told(error: Exception) -> NoHub:
    return error if isinstance(error, NoHub) else NoHub(f"the connection was lost: {error}")


def _with(path: str, query: Mapping[str, str | int]) -> str:
    wanted = urllib.parse.urlencode({name: value for name, value in query.items() if value != ""})
    return f"{path}?{wanted}" if wanted else path


def _blocks(stream: Any) -> Iterator[tuple[str, Event | None]]:
    """Yield marks of a stream of server-sent events, each with the event before it if there is one. Raises `Reset`."""
    block: dict[str, str] = {}
    mark = ""
    for raw in stream:
        name, _, value = raw.decode().rstrip("\n").partition(":")
        if name or value:
            block[name] = value.removeprefix(" ")
            continue
        mark = block.get("id", mark)
        if block.get("event") == "reset":
            raise Reset(json.loads(block["data"])["reason"])
        told = "data" in block and "event" not in block
        event = msgspec.convert({**json.loads(block["data"]), "mark": mark}, Event) if told else None
        yield mark, event
        block = {}
