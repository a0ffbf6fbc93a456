r"""Classes of characters in patterns: what ``\w`` means in Chinese, and what stands between [ and ]."""

from __future__ import annotations

import unicodedata
from functools import cache, lru_cache

import re2

from config.folding import fold

WORD = r"\p{L}\p{N}_"
SPACE = r"\t\n\v\f\r \x{85}\p{Z}"
CLASSES = {
    "d": r"\p{Nd}",
    "D": r"\P{Nd}",
    "w": f"[{WORD}]",
    "W": f"[^{WORD}]",
    "s": f"[{SPACE}]",
    "S": f"[^{SPACE}]",
}
MAX_LONGER = 64

# Scripts that an ASCII word may be in; general categories such as \p{L} hold ASCII letters too.
_ASCII_SCRIPTS = frozenset({"Latin", "Common", "Any"})


def inside(char: str) -> str:
    r"""Return what stands for the class ``\char`` inside [ ]; RE2 has no way to write \W and \S there."""
    known = {"d": CLASSES["d"], "D": CLASSES["D"], "w": WORD, "s": SPACE}
    return known.get(char) or _complement(char)


def is_foreign(name: str) -> bool:
    r"""Tell whether the characters of ``\p{name}`` are no ASCII letters."""
    return len(name.lstrip("^")) > 2 and name not in _ASCII_SCRIPTS


class Members:
    """What stands between [ and ], folded unless *exact*. *foreign*: some of it is not ASCII."""

    def __init__(self, *, exact: bool) -> None:
        self.foreign = False
        self._exact = exact
        self._parts: list[str] = []
        self._chars: set[str] | None = set()
        self._longer: set[str] = set()

    def add(self, part: str, *, foreign: bool = False) -> None:
        """Add a class of characters, as RE2 writes it inside [ ]."""
        self._parts.append(part)
        self._chars = None
        self.foreign |= foreign

    def single(self, char: str) -> None:
        """Add one character."""
        image = char if self._exact else fold(char)
        if len(image) == 1:
            self._parts.append(_escaped(ord(image)))
        elif image:
            # ㈱ is (株) when folded: two and more characters cannot stand in a class.
            self._longer.add(image)
        self.foreign |= not image.isascii()
        if self._chars is not None:
            self._chars.add(image)

    def range(self, low: int, high: int) -> None:
        """Add all characters from *low* to *high*, and what they become when folded."""
        self.add(f"{_escaped(low)}-{_escaped(high)}", foreign=low > 0x7F)
        if not self._exact:
            chars, longer = _images(low, high)
            self._parts.append(chars)
            self._longer |= longer

    def words(self) -> frozenset[str] | None:
        """Return all that can be matched; None if that is not known to be a few characters."""
        return None if self._chars is None else frozenset(self._chars - {""}) or None

    def source(self, *, negated: bool) -> str:
        """Return the class in RE2's words."""
        members = "".join(self._parts)
        if negated:
            return f"[^{members}]" if members else "(?s:.)"
        source = f"[{members}]" if members else r"[^\x00-\x{10ffff}]"
        if not self._longer:
            return source
        return "(?:" + "|".join([source, *sorted(map(re2.escape, self._longer))]) + ")"


def _escaped(point: int) -> str:
    return f"\\x{{{point:x}}}"


@lru_cache(maxsize=256)
def _images(low: int, high: int) -> tuple[str, frozenset[str]]:
    """Return what the characters of a range become when folded and fall outside of it: characters, longer texts."""
    chars: set[int] = set()
    longer: set[str] = set()
    for point in range(low, high + 1):
        if 0xD800 <= point < 0xE000:
            continue
        image = fold(chr(point))
        if len(image) == 1 and not low <= ord(image) <= high:
            chars.add(ord(image))
        elif len(image) > 1:
            longer.add(image)
    # The longer ones of a whole alphabet are ligatures and enclosed words; nobody who writes [一-龥] means them.
    return "".join(map(_escaped, sorted(chars))), frozenset(longer if len(longer) <= MAX_LONGER else ())


@cache
def _complement(char: str) -> str:
    r"""Return \W or \S as ranges, since RE2 has no way to write them inside a class."""
    outside: list[tuple[int, int]] = []
    for point in range(0x110000):
        category = unicodedata.category(chr(point))
        if char == "W":
            out = category[0] in "LN" or point == ord("_")
        else:
            out = category[0] == "Z" or 9 <= point <= 13 or point == 0x85
        if out or category == "Cs":
            continue
        if outside and outside[-1][1] == point - 1:
            outside[-1] = (outside[-1][0], point)
        else:
            outside.append((point, point))
    return "".join(f"{_escaped(low)}-{_escaped(high)}" for low, high in outside)
