"""What an admin writes of webhooks: strict, with a hint, and secret."""

from __future__ import annotations

from pathlib import Path

import pytest

from config import chinese
from config.faults import Fault
from config.happenings import EVENTS, chosen
from config.loading import attempt
from hub import kinds
from inbox.bulletins import _MAKERS, _PLACED, _STATES

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwTestsOnly00="
GOOD = """
teams: {complaints: {name: 投诉组}}
channels: {shop: {kind: webchat}}
webhooks:
  crm:
    url: https://crm.example.com/huiliu?key=very-secret-token
    secrets: [SECRET, SECRET]
    events: [message.received, "conversation.*", huiliu.sla.breach]
    teams: [complaints]
    channels: [shop]
    content: thin
    timeout: 10s
    headers: {X-Api-Key: very-secret-header}
    disable_after: 2d
""".replace("SECRET", SECRET)
FAULTS = [
    ("message.received", "mesage.received", 'there is no event "mesage.received"', "message.received"),
    ('"conversation.*"', '"conversations.*"', 'there is no event "conversations.*"', "conversation.*"),
    ("https://crm.example.com/huiliu?key=very-secret-token", "ftp://x", '"ftp://x" is not a web address', ""),
    ("https://crm.example.com/huiliu?key=very-secret-token", "https://a:b@crm/", "has a user or a fragment", ""),
    ("https://crm.example.com/huiliu?key=very-secret-token", "http://10.0.0.1/", "in a private network", ""),
    (f"[{SECRET}, {SECRET}]", "[whsec_c2hvcnQ=]", "whsec_ and 24 to 64 random bytes", ""),
    (f"[{SECRET}, {SECRET}]", "[]", "every call is signed", ""),
    ("[complaints]", "[complaint]", 'there is no team "complaint"', "complaints"),
    ("[shop]", "[shopp]", 'there is no channel "shopp"', "shop"),
    ("content: thin", "content: slim", "slim", ""),
    ("timeout: 10s", "timeout: 2m", '"2m" is no useful wait', ""),
    ("X-Api-Key", "webhook-id", "cannot be a header here", ""),
    ("disable_after", "disable_afer", "unknown key", "disable_after"),
]


def loaded(folder: Path, text: str) -> tuple[Fault, ...]:
    """Write and load a file; return its faults."""
    (folder / "huiliu.yaml").write_text(text, encoding="utf-8")
    return tuple(attempt(folder / "huiliu.yaml", kinds, environ={}).faults)


def test_takes_what_is_right(tmp_path: Path) -> None:
    """Everything that can be said loads, and means what it says."""
    (tmp_path / "huiliu.yaml").write_text(GOOD, encoding="utf-8")
    done = attempt(tmp_path / "huiliu.yaml", kinds, environ={})
    assert done.loaded is not None, done.faults
    one = done.loaded.settings.webhooks["crm"]

    assert {
        "message.received",
        "sla.breach",
        *(name for name in EVENTS if name.startswith("conversation.")),
    } == one.types
    assert (2, "https://crm.example.com/huiliu", 10_000) == (len(one.keys), one.shown, one.timeout)
    assert "very-secret" not in repr(one)
    assert "MfKQ9" not in repr(one)


@pytest.mark.parametrize(("old", "new", "what", "near"), FAULTS)
def test_says_what_is_wrong(tmp_path: Path, old: str, new: str, what: str, near: str) -> None:
    """Each slip is one fault with the nearest right thing, in Chinese as well, and shows no secret."""
    assert old in GOOD
    [one] = loaded(tmp_path, GOOD.replace(old, new))

    assert what in str(one)
    assert near == one.nearest
    assert "very-secret" not in str(one)
    assert SECRET not in str(one)
    assert chinese.said(one) != str(one)


def test_every_event_has_a_maker() -> None:
    """The names that may be asked for are those that entries of the log become."""
    single = {
        "message.ignored",
        "reply.created",
        "note.created",
        "delivery.changed",
        "contact.changed",
        "contact.merged",
        "contact.split",
        "contact.erased",
        "consent.changed",
    }
    placed = {"conversation.opened", "conversation.routed", *_PLACED.values()}

    assert set(EVENTS) == {*single, *placed, *_STATES.values(), "conversation.changed"}
    assert len(_MAKERS) == 9
    assert chosen(["*"]) == frozenset(EVENTS)
