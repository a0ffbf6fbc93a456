"""How two spellings of one text become equal: case, width, invisible characters, traditional characters.

Rules are written in one spelling and customers write in another. Both sides pass through `fold`
before they are compared, unless a rule says ``exact: true``.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, lru_cache

import opencc

# Han characters live in these blocks; only they can have a simplified form.
HAN = ((0x2E80, 0x3000), (0x3400, 0x4DC0), (0x4E00, 0xA000), (0xF900, 0xFB00), (0x20000, 0x323B0))

# Zero-width spaces and joiners, direction marks, soft hyphen and variation selectors show nothing,
# and are the usual way to slip a word past a filter.
INVISIBLE = dict.fromkeys(
    [
        *(0xAD, 0x34F, 0x61C, 0x180E, 0xFEFF),
        *(*range(0x200B, 0x2010), *range(0x202A, 0x202F), *range(0x2060, 0x2070)),
        *(*range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0)),
    ]
)
_HIDDEN = frozenset(map(chr, INVISIBLE))


def fold(text: str) -> str:
    """Return *text* as rules see it: no invisible characters, NFKC, case folded, simplified.

    Each traditional character becomes the simplified one that OpenCC's ``t2s`` gives for it alone.
    Whole phrases are not looked at, so that whatever contains a word still contains it when both
    are folded (``t2s`` keeps 乾 in 乾坤 and changes it elsewhere). Folding twice changes nothing.
    """
    if text.isascii():
        return text.lower()
    # Most texts need one or two of these steps; asking first costs a fifth of doing.
    if not _HIDDEN.isdisjoint(text):
        text = text.translate(INVISIBLE)
    text = unicodedata.normalize("NFKC", text).casefold()
    if not unicodedata.is_normalized("NFKC", text):
        text = unicodedata.normalize("NFKC", text)
    table, traditional = simplified()
    return text if traditional.isdisjoint(text) else text.translate(table)


@cache
def simplified() -> tuple[dict[int, str], frozenset[str]]:
    """Return the table from traditional to simplified characters, and its keys; built once, about 50 ms."""
    characters = [chr(point) for first, end in HAN for point in range(first, end)]
    converted = opencc.OpenCC("t2s").convert("\n".join(characters)).split("\n")
    table = {ord(old): new for old, new in zip(characters, converted, strict=True) if old != new}
    # 薴 becomes 苧, which alone becomes 苎: follow such chains to their end.
    for point, new in table.items():
        while ord(new) in table:
            new = table[ord(new)]  # noqa: PLW2901  # the end of the chain is what is kept
        table[point] = new
    return table, frozenset(map(chr, table))


@dataclass(frozen=True, slots=True)
class Traced:
    """A folded text of which every character knows from where in the original it comes."""

    text: str
    starts: Sequence[int]
    ends: Sequence[int]

    def span(self, start: int, end: int) -> tuple[int, int]:
        """Return where in the original the characters from *start* up to *end* stand: from, up to."""
        return self.starts[start], self.ends[end - 1]


def traced(text: str) -> Traced:
    """Fold *text* piece by piece (a character with what combines with it), so that a match can be shown in it.

    The text is that of `fold`, but for what only whole texts compose, such as the letters of Korean syllables.
    """
    if text.isascii():
        return Traced(text.lower(), range(len(text)), range(1, len(text) + 1))
    pieces: list[str] = []
    starts: list[int] = []
    ends: list[int] = []
    at = 0
    while at < len(text):
        end = at + 1
        while end < len(text) and unicodedata.combining(text[end]):
            end += 1
        piece = _piece(text[at:end])
        pieces.append(piece)
        starts += [at] * len(piece)
        ends += [end] * len(piece)
        at = end
    return Traced("".join(pieces), starts, ends)


@lru_cache(maxsize=1 << 14)
def _piece(text: str) -> str:
    return fold(text)
