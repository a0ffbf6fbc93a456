"""The frames of a web chat, in and out, and the items of a visitor's box (docs/channels/webchat.md). Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from connectors.base import Malformed

_ID = r"\A[A-Za-z0-9_-]{8,64}\Z"


class Say(Struct, frozen=True, tag_field="type", tag="message"):
    """The visitor wrote *text*; *id* is his page's own, the same whenever it sends the message again.

    *choice* is the id of the choice that he pressed, whose label *text* is.
    """

    id: Annotated[str, Meta(pattern=_ID)]
    text: str
    choice: Annotated[str, Meta(max_length=200)] = ""


class Delivered(Struct, frozen=True, tag_field="type", tag="delivered"):
    """The page got everything of the shop's after position *after* up to *upto*."""

    upto: Annotated[int, Meta(ge=1)]
    after: Annotated[int, Meta(ge=0)] = 0


class Read(Struct, frozen=True, tag_field="type", tag="read"):
    """The visitor saw everything of the shop's after position *after* up to *upto*."""

    upto: Annotated[int, Meta(ge=1)]
    after: Annotated[int, Meta(ge=0)] = 0


class Typing(Struct, frozen=True, tag_field="type", tag="typing"):
    """The visitor is typing."""


class Ping(Struct, frozen=True, tag_field="type", tag="ping"):
    """The page asks whether anybody is there."""


Frame = Say | Delivered | Read | Typing | Ping


class Hello(Struct, frozen=True):
    """The page asks for a token: it has *token* from before, or the shop names its customer by *user*."""

    token: str = ""
    user: str = ""


class Upload(Struct, frozen=True):
    """What the address of a posted file says about it."""

    id: Annotated[str, Meta(pattern=_ID)]
    name: Annotated[str, Meta(max_length=500)] = ""


class Item(Struct, frozen=True, omit_defaults=True, tag_field="type", tag="message"):
    """A message as it lies in a visitor's box and, with its position *n*, goes out to the page."""

    id: str
    at: int
    text: str = ""
    own: bool = False
    author: str = ""
    media: tuple[dict[str, Any], ...] = ()
    choices: tuple[dict[str, str], ...] = ()
    choice: str = ""


class Hint(Struct, frozen=True, tag_field="type", tag="typing"):
    """Somebody of the shop started (*on*) or stopped typing."""

    on: bool
    at: int


_frames: msgspec.json.Decoder[Frame] = msgspec.json.Decoder(Frame)
_hellos = msgspec.json.Decoder(Hello)
_items: msgspec.json.Decoder[Item | Hint] = msgspec.json.Decoder(Item | Hint)


def parse(body: bytes) -> Frame:
    """Return the frame in *body*. Raises `Malformed`, which shows nothing of it."""
    try:
        return _frames.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise Malformed("a frame is JSON with a known type and the fields of docs/channels/webchat.md") from None


def parse_hello(body: bytes) -> Hello:
    """Return the request for a token in *body*. Raises `Malformed`."""
    try:
        return _hellos.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise Malformed("a hello is JSON with the texts token and user, both optional") from None


def parse_upload(query: Mapping[str, str]) -> Upload:
    """Return what the address of a file says about it. Raises `Malformed`."""
    try:
        return msgspec.convert(dict(query), Upload)
    except msgspec.ValidationError:
        raise Malformed("a file comes with ?id= and ?name=, see docs/channels/webchat.md") from None


def parse_item(item: str) -> Item | Hint:
    """Return what lies in a box."""
    return _items.decode(item)


def numbered(item: str, position: int) -> str:
    """Return *item*, a JSON object, as the frame that the page gets: with its *position*."""
    return f'{{"n":{position},{item[1:]}'
