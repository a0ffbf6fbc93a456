"""Cut an answer into the platform messages that its channel can carry; nothing is ever cut off."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from connectors.base import Capabilities, Media, Rejected, media_family

BREAKS = ("\n\n", "\n", "。", "！", "？", ". ", "; ", "；", "，", ", ", " ")


@dataclass(frozen=True, slots=True)
class Part:
    """One platform message: text, files, or both where the channel mixes them."""

    text: str = ""
    media: tuple[Media, ...] = ()


def measure(text: str, unit: str) -> int:
    """Return the length of *text* in a channel's own unit."""
    if unit == "bytes":
        return len(text.encode())
    if unit == "utf16":
        return len(text.encode("utf-16-le")) // 2
    return len(text)


def plan(text: str, media: Sequence[Media], capabilities: Capabilities) -> list[Part]:
    """Return the parts of an answer in sending order. Raises `Rejected` when a file cannot go out on this channel."""
    for one in media:
        if not carries(one, capabilities):
            raise Rejected(f"this channel cannot carry {one.type}")
        if too_large(one, capabilities):
            raise Rejected(f"the file has {one.size} bytes; this channel carries at most {capabilities.media_limit}")
    pieces = [piece for piece in split(text, capabilities) if not blank(piece)]
    if capabilities.mixed:
        first, *more = bundles(media, capabilities) or [()]
        begin = [Part(pieces[0] if pieces else "", first)]
        return [*begin, *(Part(piece) for piece in pieces[1:]), *(Part("", bundle) for bundle in more)]
    return [*(Part(piece) for piece in pieces), *(Part(media=(one,)) for one in media)]


def carries(media: Media, capabilities: Capabilities) -> bool:
    """Tell whether a channel takes files of this family; one that takes files takes every file."""
    return not capabilities.media.isdisjoint((media_family(media.type), "file"))


def too_large(media: Media, capabilities: Capabilities) -> bool:
    """Tell whether a file is larger than a channel takes."""
    most = min(filter(None, (capabilities.media_limit, capabilities.media_total)), default=0)
    return bool(most) and media.size > most


def blank(text: str) -> bool:
    """Tell whether there is nothing to see in *text*: no platform takes an empty message."""
    return not any(letter.isprintable() and not letter.isspace() for letter in text)


def bundles(media: Sequence[Media], capabilities: Capabilities) -> list[tuple[Media, ...]]:
    """Cut files into what one message takes, in their order, by number and by size."""
    found: list[tuple[Media, ...]] = []
    bundle: tuple[Media, ...] = ()
    for one in media:
        more = (*bundle, one)
        many = capabilities.media_count and len(more) > capabilities.media_count
        if bundle and (many or (capabilities.media_total and sum(f.size for f in more) > capabilities.media_total)):
            found.append(bundle)
            more = (one,)
        bundle = more
    return [*found, bundle] if bundle else found


def split(text: str, capabilities: Capabilities) -> list[str]:
    """Cut *text* at the best break within the channel's limit; joined pieces give *text* again."""
    if not text:
        return []
    limit = capabilities.text_limit
    if limit is None:
        return [text]
    pieces: list[str] = []
    while measure(text, capabilities.text_unit) > limit:
        end = longest(text, limit, capabilities.text_unit)
        end = next((cut for mark in BREAKS if (cut := text.rfind(mark, 0, end) + len(mark)) > end // 2), end)
        pieces.append(text[:end])
        text = text[end:]
    return [*pieces, text] if text else pieces


def longest(text: str, limit: int, unit: str) -> int:
    """Return how many code points from the start of *text* fit into *limit* units (at least one)."""
    low, high = 1, min(len(text), limit)
    while low < high:
        middle = (low + high + 1) // 2
        if measure(text[:middle], unit) <= limit:
            low = middle
        else:
            high = middle - 1
    return low
