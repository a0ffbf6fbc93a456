"""Holidays out of calendar files: what real calendars look like, and what is no calendar."""

from __future__ import annotations

import contextlib
import datetime as dt
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.calendars import BadCalendar, parse
from config.loading import attempt
from tests.config_kinds import kinds


def calendar(*events: str) -> bytes:
    """Return a calendar with *events*, each given as its lines."""
    lines = ["BEGIN:VCALENDAR", "VERSION:2.0"]
    for event in events:
        lines += ["BEGIN:VEVENT", *event.strip().splitlines(), "END:VEVENT"]
    return "\r\n".join([*lines, "END:VCALENDAR", ""]).encode()


def event(name: str, start: str, *more: str) -> str:
    return "\n".join([f"SUMMARY:{name}", f"DTSTART{start}", *more])


NEW_YEAR = ";VALUE=DATE:20270101"
EVENTS = [
    pytest.param([event("元旦（休）", NEW_YEAR)], "0101", "", id="no end: one day"),
    pytest.param(
        [event("元旦（休）", NEW_YEAR, "DTEND;VALUE=DATE:20270104")], "0101 0102 0103", "", id="the end is not in"
    ),
    pytest.param([event("元旦（休）", NEW_YEAR, "DTEND;VALUE=DATE:20270101")], "0101", "", id="ends when it begins"),
    pytest.param([event("元旦（休）", NEW_YEAR, "DURATION:P2D")], "0101 0102", "", id="for two days"),
    pytest.param([event("元旦（休）", NEW_YEAR, "DURATION:P1W")], "01 02 03 04 05 06 07", "", id="for a week"),
    pytest.param([event("元旦 假期 第1天/共3天", NEW_YEAR)], "0101", "", id="假期"),
    pytest.param([event("元旦放假", NEW_YEAR)], "0101", "", id="放假"),
    pytest.param([event("元旦（班）", NEW_YEAR)], "", "0101", id="班"),
    pytest.param([event("国庆节调休（班）", NEW_YEAR)], "", "0101", id="调休 and 班"),
    pytest.param([event("国庆节调休（休）", NEW_YEAR)], "0101", "", id="调休 and 休"),
    pytest.param([event("Special Working Day", NEW_YEAR)], "", "0101", id="English"),
    pytest.param([event("元旦", NEW_YEAR, "X-APPLE-SPECIAL-DAY:WORK-HOLIDAY")], "0101", "", id="Apple, off"),
    pytest.param([event("元旦", NEW_YEAR, "X-APPLE-SPECIAL-DAY:ALTERNATE-WORKDAY")], "", "0101", id="Apple, on"),
    pytest.param(
        [event("元旦 补班", ":20270101T090000", "DTEND:20270101T180000", "STATUS:TENTATIVE")],
        "",
        "0101",
        id="with times",
    ),
    pytest.param(
        [event("元旦 休", ":20270101T000000", "DTEND:20270102T000000")], "0101", "", id="midnight to midnight"
    ),
    pytest.param([event("元旦（休）", NEW_YEAR), event("小寒", ";VALUE=DATE:20270105")], "0101", "", id="solar terms"),
    pytest.param(
        [event("New Year", NEW_YEAR), event("Meeting", ":20270105T090000")], "0101", "", id="nothing is marked"
    ),
    pytest.param(
        [event("Carnival", NEW_YEAR), event("Make-up day", ";VALUE=DATE:20270109")], "0101", "0109", id="both"
    ),
    pytest.param([event("元旦（休）", NEW_YEAR, "STATUS:CANCELLED")], "", "", id="cancelled"),
    pytest.param(
        [event("小寒", ";VALUE=DATE:20270105", "RRULE:FREQ=YEARLY"), event("元旦休", NEW_YEAR)], "0101", "", id="x"
    ),
    pytest.param([event("元旦（休）", NEW_YEAR, "BEGIN:VALARM", "DTSTART:1", "END:VALARM")], "0101", "", id="an alarm"),
    pytest.param([], "", "", id="no events"),
]


@pytest.mark.parametrize(("events", "closed", "opened"), EVENTS)
def test_events(events: list[str], closed: str, opened: str) -> None:
    """Every form in which holidays are published gives the days that are meant."""
    days = parse(calendar(*events))

    def dates(text: str) -> set[dt.date]:
        return {dt.date(2027, 1, int(word[-2:])) for word in text.split()}

    assert (dates(closed), dates(opened)) == (set(days.closed), set(days.open))


def test_lines_may_be_folded_anywhere() -> None:
    """Lines are folded by octets, even within a character; any line end will do; a byte order mark does no harm."""
    plain = calendar(event("元旦（休）", NEW_YEAR))
    folded = plain.replace("元".encode(), b"\xe5\r\n \x85\x83")

    assert parse(plain) == parse(folded) == parse(b"\xef\xbb\xbf" + plain.replace(b"\r\n", b"\n"))


BAD = [
    (b"", None),
    (b"hello\r\n", (1, "this is no line of an iCalendar file")),
    (b"BEGIN:VEVENT\r\n", (1, "this is no iCalendar file")),
    (b"<html>:</html>\r\n", (1, "this is no line of an iCalendar file")),
    (calendar(event("元旦休", ":2027-01-01")), (5, "DTSTART holds no date")),
    (calendar(event("元旦休", ":20270230")), (5, "DTSTART holds no date")),
    (calendar(event("元旦休", ":20270101T000000Z")), (5, "DTSTART holds no date")),
    (calendar(event("元旦休", NEW_YEAR, "DTEND:20261231")), (3, "this event ends before it begins")),
    (calendar(event("元旦休", NEW_YEAR, "DTEND:20290101")), (3, "this event ends before it begins")),
    (calendar(event("元旦休", NEW_YEAR, "DURATION:PT3H")), (6, "DURATION holds no number of days")),
    (calendar(event("元旦休", NEW_YEAR, "RRULE:FREQ=YEARLY")), (6, "this event repeats")),
    (calendar("SUMMARY:元旦休"), (3, "this event has no date")),
    (calendar(event("元旦调休", NEW_YEAR)), (4, "调休 alone does not say")),
    (calendar(event("元旦休", NEW_YEAR)).replace(b"END:VCALENDAR", b""), (8, "the file ends in the middle")),
    (calendar(event("元旦休", NEW_YEAR)).replace(b"END:VEVENT", b"END:VTODO"), (6, "this ends what has not begun")),
    (b"BEGIN:VCALENDAR\r\nX:\xff\r\n", (2, "the file is not UTF-8")),
    (calendar(event("元旦休", ":99991231", "DURATION:P9999D")), (5, "DTSTART holds no date")),
    (b" " * (1 << 20) + b"  ", (1, "the file is larger than 1 MB")),
]


@pytest.mark.parametrize(("raw", "expected"), BAD)
def test_what_is_no_calendar(raw: bytes, expected: tuple[int, str] | None) -> None:
    """A file that cannot be used is refused with the line, and an empty one names no days."""
    if expected is None:
        assert not parse(raw).closed
        return
    with pytest.raises(BadCalendar) as raised:
        parse(raw)
    assert (raised.value.line, raised.value.what[: len(expected[1])]) == expected


@given(st.binary(max_size=300), st.binary(max_size=60))
def test_garbage_breaks_nothing(raw: bytes, inside: bytes) -> None:
    """Whatever stands in the file is either a calendar or refused."""
    for one in (raw, calendar(event("休", NEW_YEAR)).replace(b"20270101", inside)):
        with contextlib.suppress(BadCalendar):
            parse(one)


def test_the_configuration_goes_before_the_calendar(tmp_path: Path) -> None:
    """Dates of several files are put together; what `closed` and `open` say of a date counts; files are watched."""
    (tmp_path / "one.ics").write_bytes(calendar(event("休", NEW_YEAR, "DTEND:20270104"), event("班", ":20270109")))
    (tmp_path / "two.ics").write_bytes(calendar(event("班", ":20270110"), event("休", ":20270201")))
    (tmp_path / "huiliu.yaml").write_text(
        'hours: {office: {week: {mon-fri: ["09:00-18:00"]}, calendar: [one.ics, two.ics],'
        ' closed: [2027-01-10], open: {2027-01-02: ["10:00-12:00"]}}}\n'
    )
    loaded = attempt(tmp_path / "huiliu.yaml", kinds, environ={}).loaded
    assert loaded is not None
    office = loaded.settings.hours["office"]
    lengths = {
        day: sum(span.end - span.start for span in office.intervals(dt.date.fromisoformat(day))) // 3600
        for day in ("2027-01-01", "2027-01-02", "2027-01-09", "2027-01-10", "2027-02-01", "2027-02-02")
    }

    assert [0, 2, 9, 0, 0, 9] == list(lengths.values())
    assert {"one.ics", "two.ics"} <= {file.name for file in loaded.files}
