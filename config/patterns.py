r"""Regular expressions as admins write them, turned into RE2 that works on Chinese text.

RE2 (https://github.com/google/re2/wiki/Syntax) matches in linear time but knows ASCII only in
``\w \d \s``, and matches against folded text need a folded pattern. `read` translates both, and
says which words a text must contain for the pattern to match at all, so that most patterns are
never run. It refuses, by name, what RE2 cannot do.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import re2

from config.charsets import CLASSES, Members, inside, is_foreign
from config.folding import fold

MAX_PATTERN = 4_000  # characters
MAX_WORDS = 64  # alternatives that are worth looking up as words
MAX_MEMORY = 32 << 20  # bytes that RE2 may use for one pattern's states; less makes it forget and recompute them
# RE2 needs up to 0.5 µs per byte and thousand instructions: a pattern of this size takes 50 ms on 16 kB at worst.
MAX_PROGRAM = 100_000

_CONTROLS = {"a": "\a", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}
_REFUSED_GROUPS = (
    ("(?=", "look-ahead (?=…)"),
    ("(?!", "negative look-ahead (?!…)"),
    ("(?<=", "look-behind (?<=…)"),
    ("(?<!", "negative look-behind (?<!…)"),
    ("(?>", "atomic group (?>…)"),
    ("(?(", "conditional group (?(…)…)"),
    ("(?#", "comment (?#…)"),
    ("(?P=", "backreference (?P=…)"),
    ("(?P>", "recursion (?P>…)"),
    ("(?R", "recursion (?R)"),
    ("(?&", "recursion (?&…)"),
    ("(?|", "branch reset (?|…)"),
)
_REFUSED_ESCAPES = {
    "k": r"backreference \k",
    "g": r"backreference \g",
    "Z": r"\Z (write \z for the end of the text)",
    "G": r"\G",
    "X": r"\X",
    "R": r"\R",
    "K": r"\K",
    "N": r"\N",
    "C": r"\C (single bytes)",
    "U": r"\U (write the character, or \x{…})",
    "h": r"\h (write \s)",
    "H": r"\H (write \S)",
}
_QUANTIFIER = re.compile(r"[*+?]|\{(\d+)(?:,(\d*))?\}")
_OPEN_QUANTIFIER = re.compile(r"\{,\d+\}")
_FLAGS = re.compile(r"\(\?([a-zA-Z]*(?:-[a-zA-Z]+)?)([:)])")
_NAMED = re.compile(r"\(\?P?<([A-Za-z_]\w*)>")
_PROPERTY = re.compile(r"[pP](?:\{(\^?[A-Za-z_]+)\}|([A-Z]))")
_NUMBER = re.compile(r"x\{([0-9A-Fa-f]{1,6})\}|x([0-9A-Fa-f]{2})|u([0-9A-Fa-f]{4})|(0[0-7]{0,2})")
_POSIX = re.compile(r"\[:\^?[a-z]+:\]")

Words = frozenset[str]
NOTHING: Words = frozenset({""})


class BadPattern(ValueError):
    """A pattern cannot be used; the message names the part that is refused and says what to write instead."""


@dataclass(frozen=True, slots=True)
class Pattern:
    """A pattern ready to run. *words*: it matches exactly where one of these occurs, and needs no engine.

    *needs*: a text without any of these words cannot match (None: nothing is known).
    """

    source: str
    words: Words | None
    needs: Words | None
    search: Callable[[bytes], Any]


@lru_cache(maxsize=4_096)
def read(pattern: str, *, exact: bool = False) -> Pattern:
    """Translate and compile *pattern* for folded text, or for text as it was written if *exact*.

    Raises `BadPattern`.
    """
    if len(pattern) > MAX_PATTERN:
        raise BadPattern(f"the pattern is longer than {MAX_PATTERN} characters")
    if any("\ud800" <= char <= "\udfff" for char in pattern):
        raise BadPattern("the pattern holds half a character (a lone surrogate)")
    piece = _Reader(pattern, exact=exact).whole()
    options = re2.Options()
    options.max_mem = MAX_MEMORY
    options.log_errors = False
    options.never_capture = True
    options.case_sensitive = exact
    try:
        compiled = re2.compile(piece.source.encode(), options)
    except re2.error as error:
        reason = error.args[0].decode(errors="replace") if isinstance(error.args[0], bytes) else str(error)
        raise BadPattern(f"RE2 does not accept it: {reason}") from None
    if max(compiled.programsize, compiled.reverseprogramsize) > MAX_PROGRAM:
        raise BadPattern("the pattern is too large: count fewer repetitions of \\w, . or a large class")
    words = piece.words if piece.bare and piece.words is not None and "" not in piece.words else None
    return Pattern(piece.source, words, _shortest(piece.best()), compiled.search)


def _shortest(words: Words | None) -> Words | None:
    """Leave out words that hold another of *words*, which will be found there anyway."""
    if words is None:
        return None
    return frozenset(word for word in words if not any(other in word for other in words if other != word))


@dataclass(frozen=True, slots=True)
class _Piece:
    """A part of a pattern. *words*: all that it can match, if few; *needs*: one of these is in every match.

    *bare*: no anchors or boundaries inside. *empty*: may match nothing. *first*, *last*: begins or ends with a
    character that is not ASCII; *opens*, *closes*: begins or ends with a word boundary.
    """

    source: str
    words: Words | None = None
    needs: Words | None = None
    bare: bool = True
    empty: bool = False
    first: bool = False
    last: bool = False
    opens: bool = False
    closes: bool = False

    def best(self) -> Words | None:
        """Return the words of which every match holds one, None if there are none."""
        return _better(self.needs, self.words)


def _better(one: Words | None, other: Words | None) -> Words | None:
    """Return the rarer of two sets of words: the one whose shortest word is longer."""
    usable = [words for words in (one, other) if words and "" not in words]
    return max(usable, key=lambda words: (min(map(len, words)), -len(words)), default=None)


_EMPTY = _Piece("", words=NOTHING, empty=True)


def _join(left: _Piece, right: _Piece) -> _Piece:
    if (left.closes and right.first) or (left.last and right.opens):
        raise BadPattern(
            r"\b or \B beside a character that is not ASCII: boundaries are known around ASCII words only; leave it out"
        )
    words = needs = None
    if left.words is not None and right.words is not None and len(left.words) * len(right.words) <= MAX_WORDS:
        words = frozenset(map("".join, itertools.product(left.words, right.words)))
        needs = _better(left.needs, right.needs)
    else:
        needs = _better(left.best(), right.best())
    return _Piece(
        left.source + right.source,
        words,
        needs,
        bare=left.bare and right.bare,
        empty=left.empty and right.empty,
        first=left.first or (left.empty and right.first),
        last=right.last or (right.empty and left.last),
        opens=left.opens or (left.empty and right.opens),
        closes=right.closes or (right.empty and left.closes),
    )


def _either(branches: list[_Piece]) -> _Piece:
    if len(branches) == 1:
        return branches[0]
    words: Words | None = frozenset()
    needs: Words | None = frozenset()
    for branch in branches:
        best = branch.best()
        words = None if words is None or branch.words is None else words | branch.words
        needs = None if needs is None or best is None else needs | best
    return _Piece(
        "|".join(branch.source for branch in branches),
        words if words is not None and len(words) <= MAX_WORDS else None,
        needs if needs is not None and len(needs) <= MAX_WORDS else None,
        bare=all(branch.bare for branch in branches),
        empty=any(branch.empty for branch in branches),
        first=any(branch.first for branch in branches),
        last=any(branch.last for branch in branches),
        opens=any(branch.opens for branch in branches),
        closes=any(branch.closes for branch in branches),
    )


def _repeat(piece: _Piece, sign: str, least: int, most: int | None) -> _Piece:
    if most is None or most > 1:
        _join(piece, piece)  # the end of one repetition meets the beginning of the next
    words = None
    if most == 1 and piece.words is not None:
        words = piece.words if least else piece.words | NOTHING
    needs = piece.best() if least else None
    return replace(piece, source=piece.source + sign, words=words, needs=needs, empty=piece.empty or not least)


class _Reader:
    """Reads one pattern from left to right."""

    def __init__(self, pattern: str, *, exact: bool) -> None:
        self.pattern = pattern
        self.exact = exact
        self.at = 0
        self.depth = 0
        # With (?i) a word stands for its other cases too: words are no help then.
        self.loose = False

    def whole(self) -> _Piece:
        piece = self.branches()
        if self.at < len(self.pattern):
            raise BadPattern("a closing bracket ) has no opening one; write \\) for the character")
        return replace(piece, words=None, needs=None) if self.loose else piece

    def branches(self) -> _Piece:
        found = [self.sequence()]
        while self.ahead("|"):
            self.at += 1
            found.append(self.sequence())
        return _either(found)

    def sequence(self) -> _Piece:
        piece, run = _EMPTY, ""
        while self.at < len(self.pattern) and not self.ahead("|", ")"):
            atom = self.atom()
            if isinstance(atom, str):
                if not self.quantified():
                    run += atom
                    continue
                atom = self.literal(atom)
                if len(atom.words or ()) != 1 or len(next(iter(atom.words or NOTHING))) != 1:
                    atom = replace(atom, source=f"(?:{atom.source})")
            if run:
                piece, run = _join(piece, self.literal(run)), ""
            piece = _join(piece, self.repeated(atom))
        return _join(piece, self.literal(run)) if run else piece

    def ahead(self, *starts: str) -> bool:
        return self.pattern.startswith(starts, self.at)

    def take(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        if match := pattern.match(self.pattern, self.at):
            self.at = match.end()
        return match

    def quantified(self) -> bool:
        if _OPEN_QUANTIFIER.match(self.pattern, self.at):
            raise BadPattern("a repetition {,n} is plain text in RE2; write {0,n}")
        return _QUANTIFIER.match(self.pattern, self.at) is not None

    def repeated(self, piece: _Piece) -> _Piece:
        while self.quantified() and (match := self.take(_QUANTIFIER)):
            sign = match[0]
            least = int(match[1]) if match[1] else int(sign == "+")
            most = 1 if sign == "?" else None
            if match[1]:
                most = least if match[2] is None else int(match[2]) if match[2] else None
            if self.ahead("+"):
                raise BadPattern(f"possessive repetition {sign}+ is not available in RE2; write {sign}")
            if self.ahead("?"):
                self.at += 1
                sign += "?"
            piece = _repeat(piece, sign, least, most)
        return piece

    def literal(self, text: str) -> _Piece:
        shown = text if self.exact else fold(text)
        foreign = [not char.isascii() for char in shown] or [False]
        return _Piece(
            re2.escape(shown) if shown else "(?:)",
            words=frozenset({shown}),
            empty=not shown,
            first=foreign[0],
            last=foreign[-1],
        )

    def atom(self) -> _Piece | str:
        char = self.pattern[self.at]
        if char == "(":
            return self.group()
        if char == "[":
            return self.bracket()
        if char == "\\":
            return self.escape()
        self.at += 1
        if char in "^$":
            return _Piece(char, words=NOTHING, bare=False, empty=True)
        if char == ".":
            return _Piece(char)
        if char in "*+?":
            raise BadPattern(f"there is nothing before {char} to repeat; write \\{char} for the character")
        return char

    def group(self) -> _Piece:
        for start, name in _REFUSED_GROUPS:
            if self.ahead(start):
                raise BadPattern(f"{name} is not available in RE2")
        self.depth += 1
        if self.depth > 100:
            raise BadPattern("the pattern is nested more than 100 levels deep")
        head = "(?:"
        if flags := self.take(_FLAGS):
            self.flags(flags[1])
            if flags[2] == ")":
                self.depth -= 1
                return _Piece(flags[0], words=NOTHING, empty=True)
            head = flags[0]
        elif self.ahead("(?P<", "(?<"):
            if not self.take(_NAMED):
                raise BadPattern("this is no group name; write (?P<name>…)")
        elif self.ahead("(?"):
            raise BadPattern(f"the group {self.pattern[self.at : self.at + 3]}… is not available in RE2")
        else:
            self.at += 1
        inner = self.branches()
        if not self.ahead(")"):
            raise BadPattern("an opening bracket ( has no closing one; write \\( for the character")
        self.at += 1
        self.depth -= 1
        return replace(inner, source=f"{head}{inner.source})")

    def flags(self, flags: str) -> None:
        for flag in flags.replace("-", ""):
            if flag not in "imsU":
                raise BadPattern(f"the flag (?{flag}) is not available in RE2")
        self.loose = self.loose or (self.exact and "i" in flags.partition("-")[0])

    def escape(self) -> _Piece | str:
        self.at += 1
        if self.at == len(self.pattern):
            raise BadPattern("the pattern ends in a single backslash")
        char = self.pattern[self.at]
        if char in CLASSES:
            self.at += 1
            return _Piece(CLASSES[char])
        if char in "bB":
            self.at += 1
            return _Piece("\\" + char, words=NOTHING, bare=False, empty=True, opens=True, closes=True)
        if char in "Az":
            self.at += 1
            return _Piece("\\" + char, words=NOTHING, bare=False, empty=True)
        if char == "Q":
            quoted, _, rest = self.pattern[self.at + 1 :].partition("\\E")
            self.pattern, self.at = re.escape(quoted) + rest, 0
            return _EMPTY
        if match := self.take(_PROPERTY):
            foreign = is_foreign(match[1] or match[2])
            return _Piece("\\" + match[0], first=foreign, last=foreign)
        return self.character()

    def character(self) -> str:
        """Read what follows a backslash as one character."""
        char = self.pattern[self.at]
        if match := self.take(_NUMBER):
            point = int(match[4], 8) if match[4] else int(match[1] or match[2] or match[3], 16)
            if point > 0x10FFFF or 0xD800 <= point < 0xE000:
                raise BadPattern(f"\\{match[0]} is no character")
            return chr(point)
        if char in _REFUSED_ESCAPES:
            raise BadPattern(f"{_REFUSED_ESCAPES[char]} is not available in RE2")
        if char in "123456789":
            raise BadPattern(f"backreference \\{char} is not available in RE2")
        if char.isascii() and char.isalnum() and char not in _CONTROLS:
            raise BadPattern(f"\\{char} has no meaning in RE2")
        self.at += 1
        return _CONTROLS.get(char, char)

    def bracket(self) -> _Piece:
        self.at += 1
        negated = self.ahead("^")
        self.at += negated
        members = Members(exact=self.exact)
        begin = self.at
        while self.at == begin or not self.ahead("]"):
            if self.at >= len(self.pattern):
                raise BadPattern("a class [ has no closing ]; write \\[ for the character")
            self.member(members)
        self.at += 1
        foreign = members.foreign and not negated
        words = None if negated else members.words()
        return _Piece(
            members.source(negated=negated),
            words=words if words and len(words) <= MAX_WORDS else None,
            first=foreign,
            last=foreign,
        )

    def member(self, members: Members) -> None:
        if match := self.take(_POSIX):
            members.add(match[0])
            return
        low = self.endpoint(members)
        if low is None:
            return
        if not self.ahead("-") or self.ahead("-]"):
            members.single(low)
            return
        self.at += 1
        if self.at >= len(self.pattern):
            raise BadPattern("a class [ has no closing ]; write \\[ for the character")
        high = self.endpoint(members)
        if high is None or high < low:
            raise BadPattern("a range in [ ] must go from a lower character to a higher one")
        members.range(ord(low), ord(high))

    def endpoint(self, members: Members) -> str | None:
        """Read one character of a class; None if it was a whole class and has been added."""
        char = self.pattern[self.at]
        self.at += 1
        if char != "\\":
            return char
        if self.at == len(self.pattern):
            raise BadPattern("the pattern ends in a single backslash")
        char = self.pattern[self.at]
        if char in CLASSES:
            self.at += 1
            members.add(inside(char))
            return None
        if match := self.take(_PROPERTY):
            members.add("\\" + match[0], foreign=is_foreign(match[1] or match[2]))
            return None
        return self.character()
