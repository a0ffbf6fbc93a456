"""Words that stand in a file of their own, one a line, because there are too many for a route file."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path as FilePath
from typing import Annotated, Any

from pydantic import (
    Field,
    PrivateAttr,
    SerializationInfo,
    SerializerFunctionWrapHandler,
    ValidationInfo,
    model_serializer,
    model_validator,
)

from config import content
from config.faults import Fault, Wrong
from config.folding import fold
from config.values import Section

MAX_WORDS = 100_000
MAX_LENGTH = 200  # characters of a word
MAX_FAULTS = 20  # of one file; a file of the wrong sort would have thousands
COMMENT = "#"

Find = Callable[[str], tuple[str, ...]]
"""Returns the words of a file that a route file names. Raises `Wrong`."""


class Wordlist(Section):
    """A file of words. One word a line; what stands behind a # at the beginning or after a space is a comment."""

    file: Annotated[str, Field(min_length=1)]
    """The file, relative to the route file."""
    _words: tuple[str, ...] = PrivateAttr(default=())

    @property
    def words(self) -> tuple[str, ...]:
        """The words in the file, as written."""
        return self._words

    @model_serializer(mode="wrap")
    def _written(self, standard: SerializerFunctionWrapHandler, info: SerializationInfo) -> Any:
        """Write the words out for whoever asks for the whole: a rule set that is kept does not depend on files."""
        return list(self.words) if (info.context or {}).get("whole") else standard(self)

    @model_validator(mode="after")
    def _found(self, info: ValidationInfo) -> Wordlist:
        find: Find | None = (info.context or {}).get("words")
        if find is None:
            raise Wrong("a file of words cannot be read here", expected="the words themselves")
        self._words = find(self.file)
        return self


@dataclass(slots=True)
class Wordlists:
    """The files of words that route files name, each read once.

    *faults* is what is wrong in them; *files* holds the SHA-256 of each by its absolute path, "" if it is unreadable,
    *texts* what is written in each. *instead* holds what shall be taken for the content of a file, by its absolute
    path; if *closed*, no other file is read. Names are relative to route files, and those to *root*.
    """

    root: FilePath = FilePath()
    instead: Mapping[FilePath, bytes] = field(default_factory=dict)
    closed: bool = False
    faults: list[Fault] = field(default_factory=list)
    files: dict[FilePath, str] = field(default_factory=dict)
    texts: dict[FilePath, str] = field(default_factory=dict)
    _known: dict[FilePath, tuple[str, ...]] = field(default_factory=dict)

    def beside(self, file: str) -> Find:
        """Return the function that finds words for the route file called *file*."""
        directory = self.root / FilePath(file).parent

        def find(name: str) -> tuple[str, ...]:
            place = directory / name
            key = place.absolute()
            if key not in self._known:
                self._known[key] = self._read(place)
            return self._known[key]

        return find

    def _read(self, place: FilePath) -> tuple[str, ...]:
        self.files[place.absolute()] = ""
        raw = self.instead.get(FilePath(os.path.normpath(place.absolute())))
        if raw is None and self.closed:
            raise Wrong("this file of words is not in use", expected="one that the routes in use name")
        if raw is None:
            try:
                raw, _ = content.read(place, content.LARGEST + 1)
            except (OSError, ValueError) as error:
                raise Wrong(f"the file of words cannot be read ({content.why(error)})") from None
        self.files[place.absolute()] = hashlib.sha256(raw).hexdigest()
        self.texts[place.absolute()] = raw.decode("utf-8-sig", "replace")
        words, flaws = parse(raw)
        self.faults += [Fault(str(place), line, column, "", what, expected) for line, column, what, expected in flaws]
        return words


Flaw = tuple[int, int, str, str]


def parse(raw: bytes) -> tuple[tuple[str, ...], list[Flaw]]:
    """Return the words in *raw*, each once, and what is wrong with it: line, column, what, expected."""
    if len(raw) > content.LARGEST:
        return (), [(1, 1, "the file is larger than 8 MB", f"at most {MAX_WORDS} words")]
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        place = content.position(raw, error.start)
        return (), [(*place, "the file is not UTF-8" + content.likely_encoding(raw), "UTF-8")]
    words: dict[str, None] = {}
    flaws: list[Flaw] = []
    for number, line in enumerate(text.split("\n"), 1):
        word = _word(line)
        if not word:
            continue
        column = line.index(word) + 1
        flaws += [(number, column, *flaw) for flaw in _flaws(word)]
        words[word] = None
        if len(words) > MAX_WORDS:
            flaws.append((number, column, f"there are more than {MAX_WORDS} words", f"at most {MAX_WORDS} words"))
        if len(flaws) >= MAX_FAULTS or len(words) > MAX_WORDS:
            break
    if not words:
        flaws.append((1, 1, "there is no word in this file", "one word a line"))
    return tuple(words), flaws


def _word(line: str) -> str:
    """Return the word in *line* without the comment and the space around it."""
    for end, character in enumerate(line):
        if character == COMMENT and (end == 0 or line[end - 1].isspace()):
            return line[:end].strip()
    return line.strip()


def _flaws(word: str) -> Iterator[tuple[str, str]]:
    if len(word) > MAX_LENGTH:
        yield f"this word has more than {MAX_LENGTH} characters", "one word a line"
    elif any(ord(character) < 0x20 for character in word):
        yield "this word holds a character that nobody can write", "text"
    elif not fold(word).strip():
        yield "this text is empty", "something to look for"
