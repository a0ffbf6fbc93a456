"""What is wrong in a file that an admin wrote, said so that it can be found and mended."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

Path = tuple[str | int, ...]

LISTED = 16


@dataclass(frozen=True, slots=True)
class Problem:
    """Something wrong at *path* inside one document, before anybody knows in which line that is.

    *key* says that the last step of the path, the key itself, is wrong rather than its value. *rule* names the check
    that found it, where an admin may want to look it up.
    """

    path: Path
    what: str
    expected: str = ""
    nearest: str = ""
    key: bool = False
    rule: str = ""


@dataclass(frozen=True, slots=True)
class Fault:
    """A problem with its place: prints as ``file:line:column: path: what; expected …; did you mean …? [rule]``.

    An *error* refuses the files; a *warning* is for the admin to judge.
    """

    file: str
    line: int
    column: int
    path: str
    what: str
    expected: str = ""
    nearest: str = ""
    rule: str = ""
    severity: Literal["error", "warning"] = "error"

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}:{self.column}: "
        path = f"{self.path}: " if self.path else ""
        expected = f"; expected {self.expected}" if self.expected else ""
        nearest = f"; did you mean {self.nearest}?" if self.nearest else ""
        rule = f" [{self.rule}]" if self.rule else ""
        return f"{where}{path}{self.what}{expected}{nearest}{rule}"


class ConfigError(Exception):
    """A file cannot be used; *faults* says everything that is wrong with it, in file order."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        super().__init__("\n".join(map(str, faults)))
        self.faults = tuple(faults)


class Wrong(ValueError):
    """A value that a parser of ours refuses.

    *what* may hold the word ``{value}``: it is replaced by the value in quotes, or by "this value"
    where the value is a secret or came from the environment. Never format the value in yourself.
    """

    def __init__(self, what: str, *, expected: str = "", nearest: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.expected = expected
        self.nearest = nearest


def dotted(path: Path) -> str:
    """Print a path as admins would say it: ``teams.aftersales.members[0]``."""
    text = ""
    for step in path:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else step
    return text


def nearest(word: str, known: Iterable[str]) -> str:
    """Return the known word that *word* is most likely a slip of, "" if none is near."""
    close = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return close[0] if close else ""


def listed(words: Iterable[str], *, last: str = "or") -> str:
    """Print words as a person would list them: ``a, b or c``; a very long list is cut with an ellipsis."""
    known = list(words)
    if len(known) > LISTED:
        return ", ".join(known[:LISTED]) + ", …"
    return f" {last} ".join(part for part in (", ".join(known[:-1]), "".join(known[-1:])) if part)
