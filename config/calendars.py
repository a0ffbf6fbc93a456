"""Closed and open days out of an iCalendar file (RFC 5545): the dates of its events, and what they are called.

Calendars of Chinese holidays mark what their events are: 休 (or 假) a day off, 班 a make-up working day, Apple's with
X-APPLE-SPECIAL-DAY as well. Nothing repeats: public holidays are published year by year.
"""

from __future__ import annotations

import codecs
import datetime as dt
import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path as FilePath
from typing import Any

from config import content
from config.documents import Document
from config.faults import Fault, Path, Problem
from config.hours import LONGEST_RANGE, Closed, Hours, Open

MAX_SIZE = 1 << 20
APPLE = {"WORK-HOLIDAY": "closed", "ALTERNATE-WORKDAY": "open"}

_OPEN = re.compile(r"班|work(?:ing)?[ -]?day|make-?up", re.IGNORECASE)
_CLOSED = re.compile(r"休|假")
_SWAPPED = "调休"
_DATE = re.compile(r"(\d{8})(?:T\d{6}(Z?))?", re.ASCII)
_WEEKS_DAYS = re.compile(r"P(?:(\d{1,3})W|(\d{1,4})D)", re.ASCII)
_LINE = re.compile(
    r'([A-Za-z0-9-]+)((?:;[A-Za-z0-9-]+=(?:"[^"]*"|[^";:,]*)(?:,(?:"[^"]*"|[^";:,]*))*)*):(.*)', re.DOTALL
)


@dataclass(frozen=True, slots=True)
class Days:
    """What calendars say: dates that are closed, and dates that are open all the same."""

    closed: frozenset[dt.date] = frozenset()
    open: frozenset[dt.date] = frozenset()


@dataclass(slots=True)
class Calendars:
    """What came of reading the calendars of a configuration, by the name of the hours; *files* as in `Loaded`."""

    days: dict[str, Days] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    files: dict[FilePath, str] = field(default_factory=dict)

    def into(self, hours: Mapping[str, Hours]) -> dict[str, Hours]:
        """Return *hours* with the days of their calendars; what the configuration says of a date goes before them."""
        return {name: _with(each, self.days[name]) if name in self.days else each for name, each in hours.items()}


@dataclass(slots=True)
class _Event:
    """An event as far as it matters, with the line in which it begins."""

    line: int
    properties: dict[str, tuple[int, str]] = field(default_factory=dict)

    def text(self, name: str) -> str:
        return self.properties.get(name, (0, ""))[1]


class BadCalendar(Exception):
    """A line of a calendar cannot be used."""

    def __init__(self, line: int, what: str, expected: str) -> None:
        super().__init__(what)
        self.line, self.what, self.expected = line, what, expected


def read(document: Document) -> Calendars:
    """Read every calendar that the hours in *document* name; file names are relative to it."""
    found = Calendars()
    hours = document.data.get("hours") if isinstance(document.data, dict) else None
    for name, each in hours.items() if isinstance(hours, dict) else ():
        written = each.get("calendar") if isinstance(each, dict) else None
        listed = written if isinstance(written, list) else [written]
        for number, file in enumerate(listed):
            path: Path = ("hours", name, "calendar", *((number,) if isinstance(written, list) else ()))
            node = document.node(path)
            if isinstance(file, str) and file and "\0" not in file and node is not None and not node.broken:
                _read_into(found, name, path, FilePath(document.file).parent / file)
    return found


def _read_into(found: Calendars, name: str, path: Path, file: FilePath) -> None:
    try:
        raw, _ = content.read(file, MAX_SIZE + 1)
    except (OSError, ValueError) as error:
        found.problems.append(Problem(path, f'the file "{file.name}" cannot be read ({content.why(error)})'))
        found.files[file.absolute()] = ""
        return
    found.files[file.absolute()] = hashlib.sha256(raw).hexdigest()
    try:
        days = parse(raw)
    except BadCalendar as bad:
        found.faults.append(Fault(str(file), bad.line, 1, "", bad.what, bad.expected))
        return
    known = found.days.get(name, Days())
    found.days[name] = Days(known.closed | days.closed, known.open | days.open)


def parse(raw: bytes) -> Days:
    """Return the days that a calendar names.

    An event is a make-up day if it says 班, a day off if it says 休 or 假. Where no event of the file says so, all
    events without a time of day are days off. Cancelled events and those of which nothing says what they are do not
    count. Raises `BadCalendar`.
    """
    if len(raw) > MAX_SIZE:
        raise BadCalendar(1, "the file is larger than 1 MB", "")
    marked = [(event, _mark(event)) for event in _events(raw) if event.text("STATUS").upper() != "CANCELLED"]
    named = any(mark == "closed" for _, mark in marked)
    closed: set[dt.date] = set()
    opened: set[dt.date] = set()
    for event, mark in marked:
        if mark == "open":
            opened.update(_dates(event))
        elif mark == "closed" or (not named and "T" not in event.text("DTSTART")):
            closed.update(_dates(event))
    return Days(frozenset(closed), frozenset(opened))


def _mark(event: _Event) -> str:
    """Return what an event is by its name or Apple's mark: "closed", "open", "" if neither. Raises `BadCalendar`."""
    apple = APPLE.get(event.text("X-APPLE-SPECIAL-DAY").upper())
    if apple is not None:
        return apple
    name = event.text("SUMMARY")
    rest = name.replace(_SWAPPED, "")
    if _OPEN.search(rest):
        return "open"
    if _CLOSED.search(rest):
        return "closed"
    if rest != name:
        raise BadCalendar(
            event.properties["SUMMARY"][0], "调休 alone does not say whether this day is open", "休 or 班 too"
        )
    return ""


def _dates(event: _Event) -> Iterator[dt.date]:
    """Yield every date of an event. Raises `BadCalendar`."""
    if "RRULE" in event.properties or "RDATE" in event.properties:
        line = event.properties.get("RRULE", event.properties.get("RDATE", (event.line, "")))[0]
        raise BadCalendar(line, "this event repeats", "an event for each date")
    if "DTSTART" not in event.properties:
        raise BadCalendar(event.line, "this event has no date", "DTSTART")
    first, timed = _date(event, "DTSTART")
    last = first
    if "DTEND" in event.properties:
        last, ends_timed = _date(event, "DTEND")
        if last > first and (not ends_timed or event.text("DTEND").endswith("T000000")):
            last -= dt.timedelta(days=1)  # DTEND is not part of the event
    elif "DURATION" in event.properties and not timed:
        last = first + dt.timedelta(days=_days(event) - 1)
    if not 0 <= (last - first).days < LONGEST_RANGE:
        raise BadCalendar(event.line, "this event ends before it begins, or lasts longer than a year", "at most a year")
    yield from (first + dt.timedelta(days=day) for day in range((last - first).days + 1))


def _date(event: _Event, name: str) -> tuple[dt.date, bool]:
    """Return the date that a property names, and whether a time of day stands with it. Raises `BadCalendar`."""
    line, text = event.properties[name]
    found = _DATE.fullmatch(text)
    try:
        if found is None or found[2] or not "1970" <= text[:4] < "9000":
            raise ValueError
        return dt.datetime.strptime(found[1], "%Y%m%d").date(), "T" in text  # noqa: DTZ007  # a date has no zone
    except ValueError:
        raise BadCalendar(line, f"{name} holds no date", "a date like 20261001, or a local time") from None


def _days(event: _Event) -> int:
    line, text = event.properties["DURATION"]
    found = _WEEKS_DAYS.fullmatch(text)
    if found is None or int(found[1] or found[2]) == 0:
        raise BadCalendar(line, "DURATION holds no number of days", "days or weeks like P3D")
    return int(found[1]) * 7 if found[1] else int(found[2])


def _events(raw: bytes) -> list[_Event]:
    """Return the events of a calendar. Raises `BadCalendar`."""
    events: list[_Event] = []
    inside: list[str] = []
    for number, line in _lines(raw):
        found = _LINE.fullmatch(line)
        if found is None:
            raise BadCalendar(number, "this is no line of an iCalendar file", "NAME:value")
        name, value = found[1].upper(), found[3].strip()
        if not inside and (name, value.upper()) != ("BEGIN", "VCALENDAR"):
            raise BadCalendar(number, "this is no iCalendar file", "BEGIN:VCALENDAR")
        if name == "BEGIN":
            inside.append(value.upper())
            if inside == ["VCALENDAR", "VEVENT"]:
                events.append(_Event(number))
        elif name == "END":
            if inside.pop() != value.upper():
                raise BadCalendar(number, "this ends what has not begun", "")
        elif inside == ["VCALENDAR", "VEVENT"]:
            events[-1].properties.setdefault(name, (number, value))
    if inside:
        raise BadCalendar(raw.count(b"\n") + 1, "the file ends in the middle", f"END:{inside[-1]}")
    return events


def _lines(raw: bytes) -> Iterator[tuple[int, str]]:
    """Yield the lines with their numbers; one that begins with a blank goes on the one before. Raises `BadCalendar`."""
    whole: list[tuple[int, bytes]] = []
    for number, line in enumerate(raw.removeprefix(codecs.BOM_UTF8).splitlines(), 1):
        if line[:1] in (b" ", b"\t") and whole:  # folded by octets, perhaps within a character
            whole[-1] = (whole[-1][0], whole[-1][1] + line[1:])
        elif line.strip():
            whole.append((number, line))
    for number, line in whole:
        try:
            yield number, line.decode()
        except UnicodeDecodeError:
            raise BadCalendar(number, "the file is not UTF-8", "UTF-8") from None


def _with(hours: Hours, days: Days) -> Hours:
    said: Any = {**dict.fromkeys(days.open - hours.closed.dates), **hours.open.dates}
    return hours.model_copy(update={"closed": Closed(hours.closed.dates | days.closed), "open": Open(said)})
