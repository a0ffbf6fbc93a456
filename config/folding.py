"""How two spellings of one text become equal: case, width, invisible characters, traditional characters.

Rules are written in one spelling and customers write in another. Both sides pass through `fold`
before they are compared, unless a rule says ``exact: true``.
"""

from __future__ import annotations

import unicodedata
from functools import cache

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
