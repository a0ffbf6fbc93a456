"""Texts as the search index knows them: folded, and cut into grams, which are single letters and pairs of them. Pure.

A pair of Chinese characters is a whole word more often than not, so pairs find words of two characters by one look-up;
longer words are found by all their pairs and then compared. What is no letter and no digit stands in no gram: it is
compared only.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass

from config.folding import fold

SEPARATOR = "\n"
"""Between the parts of a text; no word of a query contains it, so nothing is found across two parts."""

MOST_WORDS = 10
LONGEST = 200
MOST_GRAMS = 16
"""So many pairs of a word are looked up at most; the rest of it is compared."""

_RUN = re.compile(r"[^\W_]+")
_WORD = re.compile(r'"([^"]*)"|“([^”]*)”|([^\s"“”]+)|["“”]')


class BadQuery(ValueError):
    """Nothing can be looked for like this; the text says why."""


def plain(text: str) -> str:
    """Return *text* as it is compared: folded, every run of white space one blank, nothing that UTF-8 cannot carry."""
    folded = " ".join(fold(text).replace("\0", " ").split())
    return folded if folded.isascii() else folded.encode("utf-8", "replace").decode()


def joined(parts: Sequence[str]) -> str:
    """Return the parts of one thing as the index keeps them."""
    return SEPARATOR.join(filter(None, map(plain, parts)))


def grams(text: str) -> str:
    """Return the grams of a `plain` text, each once, separated by blanks.

    They are all pairs of letters or digits that stand side by side, and every letter beyond ASCII.
    """
    found: set[str] = set()
    for run in _RUN.findall(text):
        found.update(map("".join, itertools.pairwise(run)))
        if not run.isascii():
            found.update(letter for letter in run if letter > "\x7f")
    return " ".join(sorted(found))  # in order, so that the same text always gives the same


def expression(word: str) -> str:
    """Return an FTS5 query that everything with *word* in it fulfils; "" if there is nothing to look up by."""
    wanted: dict[str, None] = {}
    for run in _RUN.findall(word):
        pairs = ["".join(pair) for pair in itertools.pairwise(run)]
        wanted.update(dict.fromkeys(pairs or ([run] if run > "\x7f" else [])))
    chosen = list(wanted)
    if len(chosen) > MOST_GRAMS:
        chosen = [chosen[index * len(chosen) // MOST_GRAMS] for index in range(MOST_GRAMS)]
    return " AND ".join(f'"{gram}"' for gram in chosen)


@dataclass(frozen=True, slots=True)
class Query:
    """What is looked for: every one of *words*, anywhere."""

    words: tuple[str, ...]

    @property
    def expression(self) -> str:
        """The FTS5 query that everything with all words in it fulfils; "" if there is nothing to look up by."""
        return " AND ".join(filter(None, map(expression, self.words)))

    def fits(self, text: str) -> bool:
        """Tell whether a `joined` text has every word."""
        return all(word in text for word in self.words)


def parse(text: str) -> Query:
    """Return the query that somebody typed: words, and phrases in quotes. Raises `BadQuery`."""
    if len(text) > LONGEST:
        raise BadQuery(f"at most {LONGEST} characters can be looked for")
    found = (quoted or chinese or word for quoted, chinese, word in _WORD.findall(text))
    words = tuple(dict.fromkeys(filter(None, map(plain, found))))
    if not words:
        raise BadQuery("say what to look for")
    if len(words) > MOST_WORDS:
        raise BadQuery(f"at most {MOST_WORDS} words can be looked for at once")
    return Query(words)
