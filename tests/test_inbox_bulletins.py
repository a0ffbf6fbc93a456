"""Which entries of the log are told to the outside, under which names, and with ids that never change."""

from __future__ import annotations

import msgspec
import pytest

from inbox import log as logbook
from inbox.bulletins import Bulletin, BulletinId, heads, parse_bulletin_id, thinned
from inbox.log import Entry

STATES = [
    ("assigned", "conversation.assigned"),
    ("reopened", "conversation.reopened"),
    ("sla_warning", "sla.warning"),
    ("sla_breach", "sla.breach"),
    ("score", "survey.answered"),
    ("whatever_comes_later", "conversation.changed"),
]


def entry(kind: str, **fields: str) -> Entry:
    return Entry(5, "1763700000000-3", {"t": kind, **fields})


@pytest.mark.parametrize(("event", "name"), STATES)
def test_names_what_happens_to_a_conversation(event: str, name: str) -> None:
    """Every event of a timeline has a type; one that has no name of its own here is a change."""
    assert [((name,), "")] == [(one.types, one.name) for one in heads(entry(logbook.STATE, c="1-0", ev=event))]


def test_a_first_message_is_three_events() -> None:
    """It opens, is received, is routed, in this order; the ids say which is which."""
    body = msgspec.json.encode({"set": {"team": "a"}}).decode()
    told = heads(entry(logbook.PLACED, c="1-0", m="2-0", o="new", b=body))

    assert ["opened", "", "routed"] == [one.name for one in told]
    assert ["e5-1-0.opened", "e5-1-0", "e5-1-0.routed"] == [str(BulletinId(5, "1-0", one.name)) for one in told]


@pytest.mark.parametrize("kind", [logbook.MESSAGE, logbook.NOTICE, logbook.ECHO, logbook.RECEIPT])
def test_what_is_not_placed_yet_is_not_told(kind: str) -> None:
    """What comes in is told when it has found its place; receipts as what they change."""
    assert () == heads(entry(kind, a="tel:+861"))


def test_deliveries_outside_conversations_are_not_told() -> None:
    """A webhook that hears of deliveries does not hear of its own, for ever."""
    assert () == heads(entry(logbook.DELIVERY, c="", d="x", st="sent"))
    assert () == heads(entry(logbook.LETTER, d="x"))
    assert ("delivery.changed",) == heads(entry(logbook.DELIVERY, c="1-0", d="x", st="sent"))[0].types


@pytest.mark.parametrize("text", ["e5-1763700000000-3", "e0-1-0.opened", "e63-1-0.routed"])
def test_ids_come_back(text: str) -> None:
    """An id names its entry and which of its events it is."""
    assert text == str(parse_bulletin_id(text))


@pytest.mark.parametrize(
    "text", ["", "e64-1-0", "e05-1-0", "m5-1-0", "e5-1-0.", "e5-1-0.A", "e5-1", "e5-1-0\n", "test-1"]
)
def test_other_texts_are_no_ids(text: str) -> None:
    """Nothing else is taken for one."""
    assert parse_bulletin_id(text) is None


def test_what_is_thin_has_no_content() -> None:
    """Only what is listed stays; a part that nobody listed goes."""
    data = {
        "conversation": {"id": "c1", "team": "a", "subject": "secret", "contact": {"name": "secret"}},
        "message": {"id": "m1", "text": "secret"},
        "change": {"name": "score", "score": 5, "comment": "secret", "answers": {"q": "secret"}},
        "address": {"value": "secret"},
        "surprise": "secret",
    }

    assert "secret" not in str(thinned(data))
    assert {"id": "c1", "team": "a"} == thinned(data)["conversation"]
    assert {"name": "score", "score": 5} == thinned(data)["change"]


def test_is_a_cloud_event() -> None:
    """The attributes are those of CloudEvents 1.0; an empty subject is left out, as the format wants."""
    one = Bulletin("consent.changed", BulletinId(5, "1-0", ""), 0, "", frozenset(), 1_763_700_000_000, "", {})
    event = one.cloud_event("https://hub.example.com")

    assert {"specversion", "id", "source", "type", "time", "datacontenttype", "dataversion", "data"} == set(event)
    assert ("1.0", "huiliu.consent.changed", "2025-11-21T04:40:00.000Z") == tuple(
        event[name] for name in ("specversion", "type", "time")
    )
