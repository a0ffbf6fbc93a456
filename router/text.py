"""A message's text as conditions read it: cut, folded once, searched once for all words of all routes. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from ahocorasick_rs import AhoCorasick, Implementation, MatchKind

from config.folding import fold

CAP = 16_384  # bytes of UTF-8 that are looked at

Field = Literal["text", "subject"]


def clip(text: str) -> str:
    """Return as much of *text* as conditions look at: 16 kB of UTF-8, whole characters; halves of pairs become "?"."""
    if len(text) * 4 <= CAP and text.isascii():
        return text
    # A platform's JSON may hold half a surrogate pair, which neither UTF-8 nor the engines can carry.
    raw = text[:CAP].encode("utf-8", "replace")
    return raw[:CAP].decode("utf-8", "ignore")


def plain(text: str) -> str:
    """Return *text* as it is compared unless a rule says exact: clipped, folded, without space around it."""
    return clip(fold(clip(text))).strip()


class Lexicon:
    """The words that conditions look for in one text, numbered in the order of `add`."""

    def __init__(self) -> None:
        self.numbers: dict[str, int] = {}
        self._automaton: AhoCorasick | None = None

    def add(self, words: Iterable[str]) -> frozenset[int]:
        """Note *words*, as folded as the text will be, and return their numbers."""
        return frozenset(self.numbers.setdefault(word, len(self.numbers)) for word in words)

    def build(self) -> None:
        """Make ready for `find`; nothing can be added afterwards."""
        if self.numbers:
            # The contiguous form finds as fast as the full table within a few per cent and builds in a tenth of
            # its time and memory.
            self._automaton = AhoCorasick(
                list(self.numbers),
                matchkind=MatchKind.Standard,
                store_patterns=False,
                implementation=Implementation.ContiguousNFA,
            )

    def find(self, text: str) -> frozenset[int]:
        """Return the numbers of all words in *text*, also of words inside words."""
        if self._automaton is None or not text:
            return frozenset()
        return frozenset(number for number, _, _ in self._automaton.find_matches_as_indexes(text, overlapping=True))


class Reading:
    """One message's text in one spelling. Each form is made when it is first asked for."""

    __slots__ = ("_data", "_found", "_lexicon", "text")

    def __init__(self, text: str, lexicon: Lexicon, *, exact: bool) -> None:
        self.text = clip(text) if exact else plain(text)
        self._lexicon = lexicon
        self._data: bytes | None = None
        self._found: frozenset[int] | None = None

    @property
    def found(self) -> frozenset[int]:
        """The numbers of the lexicon's words that are in the text."""
        if self._found is None:
            self._found = self._lexicon.find(self.text)
        return self._found

    @property
    def data(self) -> bytes:
        """The text in UTF-8, for regular expressions."""
        if self._data is None:
            self._data = self.text.encode()
        return self._data
