"""What an attacker or a careless platform might send, and what an error may never show."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import quote

import msgspec
from hypothesis import strategies as st
from multidict import CIMultiDict, CIMultiDictProxy
from pydantic import BaseModel
from yarl import URL

from connectors.base import Options, SecretStr, WebhookCall


def flips(data: bytes, most: int) -> Iterator[bytes]:
    """Yield *data* with one bit changed, for every bit or for *most* bits spread evenly."""
    bits = len(data) * 8
    for index in range(bits) if bits <= most else (index * bits // most for index in range(most)):
        changed = bytearray(data)
        changed[index // 8] ^= 1 << (index % 8)
        yield bytes(changed)


def with_proof(call: WebhookCall, name: str, value: str | None) -> WebhookCall:
    """Return *call* with the header or query parameter *name* set to *value* (None: without it)."""
    if name in call.query:
        rest = [(key, text) for key, text in URL(call.url).query.items() if key != name]
        url = URL(call.url).with_query(rest if value is None else [*rest, (name, value)])
        return msgspec.structs.replace(call, url=str(url), query=url.query)
    headers = CIMultiDict(call.headers)
    if value is None:
        headers.pop(name, None)
    else:
        headers[name] = value
    return msgspec.structs.replace(call, headers=CIMultiDictProxy(headers))


_JUNK: tuple[Any, ...] = (None, "", [], {}, -1, 1e308, True, "\x00", "😀", [[]], {"": None}, 2**70)


@st.composite
def damaged(draw: st.DrawFn, body: bytes) -> bytes:
    """Cut, repeat or overwrite a piece of *body*, or put another JSON value where one stood."""
    ways = ["cut", "drop", "write"]
    try:
        tree = json.loads(body)
        ways.append("json")
    except ValueError:
        tree = None
    way = draw(st.sampled_from(ways))
    start = draw(st.integers(0, len(body)))
    end = draw(st.integers(start, min(len(body), start + 40)))
    if way == "cut":
        return body[:start]
    if way == "drop":
        return body[:start] + body[end:]
    if way == "write":
        return body[:start] + draw(st.binary(max_size=8)) + body[end:]
    places = list(_places(tree))
    if not places:
        return json.dumps(draw(st.sampled_from(_JUNK))).encode()
    holder, key = draw(st.sampled_from(places))
    if draw(st.booleans()):
        holder[key] = draw(st.sampled_from(_JUNK))
    else:
        del holder[key]
    return json.dumps(tree).encode()


def _places(tree: Any) -> Iterator[tuple[Any, Any]]:
    items = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    for key, value in items:
        yield tree, key
        yield from _places(value)


def leaks(error: BaseException, words: Iterable[str]) -> list[str]:
    """Return those of *words* that the error, its cause or its context shows, as they are, quoted or in base64."""
    shown, queue, seen = "", [error], set()
    while queue:
        one = queue.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        shown += f"{one}\n{one!r}\n{one.args!r}\n"
        queue += [other for other in (one.__cause__, one.__context__) if other is not None]
    return [word for word in words if any(form in shown for form in {word, quote(word, safe=""), _base64(word)})]


def secrets_of(options: Options) -> tuple[str, ...]:
    """Return the value of every `SecretStr` in *options*, however deep."""
    return tuple(secret for secret in _secrets(options) if secret)


def _secrets(value: Any) -> Iterator[str]:
    if isinstance(value, SecretStr):
        yield value.get_secret_value()
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _secrets(item)
    elif isinstance(value, list | tuple | set | frozenset):
        for item in value:
            yield from _secrets(item)
    elif isinstance(value, BaseModel):
        yield from _secrets(vars(value))


def _base64(word: str) -> str:
    return base64.b64encode(word.encode()).decode()
