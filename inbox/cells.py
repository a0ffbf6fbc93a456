"""Comma-separated files that a spreadsheet opens as what they are: marked as UTF-8, and no text is a formula."""

from __future__ import annotations

import csv
import datetime as dt
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TextIO

FORMULAS = frozenset("=+-@＝＋－＠\t\r\n|%")
"""With what a cell begins that a spreadsheet may run, also in full width."""

GUARD = "'"
LONGEST = 32_000
"""Characters of one cell; a spreadsheet takes 32,767."""


def harmless(text: str) -> str:
    """Return *text* as a cell that no spreadsheet takes for a formula, whatever spaces stand before it."""
    text = "".join(letter for letter in text[:LONGEST] if letter.isprintable() or letter in "\n\t\r")
    if text[:1] in FORMULAS or text.lstrip()[:1] in FORMULAS:
        return GUARD + text
    return text


def written(value: object) -> str:
    """Return a cell: numbers as they are, with a point; texts harmless; nothing for None."""
    match value:
        case None:
            return ""
        case bool():
            return str(int(value))
        case int() | float():
            return repr(value)
        case dt.datetime():
            return value.isoformat(sep=" ", timespec="seconds")
        case _:
            return harmless(str(value))


def write(file: TextIO, heads: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write a table into a file that was opened by `opened`."""
    writer = csv.writer(file, lineterminator="\r\n")
    writer.writerow([harmless(head) for head in heads])
    for row in rows:
        writer.writerow([written(value) for value in row])


def opened(path: Path) -> TextIO:
    """Open a file for `write`; it begins with the mark by which Excel knows UTF-8."""
    return path.open("w", encoding="utf-8-sig", errors="replace", newline="")
