"""What a restore withholds: everything of the outbox and of the clocks that may have gone out since the backup."""

from __future__ import annotations

import msgspec
import pytest

from inbox.conversations import Conversation
from inbox.partitions import key, partition_of, tag
from inbox.store import Store, Topology
from inbox.wakes import Wakes
from outbox.campaigns import Campaign, Campaigns, State
from outbox.deliveries import Deliveries, Delivery
from outbox.invitations import RUNS, Invitations
from outbox.letters import Letter
from outbox.responses import Invitation
from outbox.withholding import LASTS, Withholding, may_be_out, withheld

NOW = 1_795_000_000_000
HOUR = 3_600_000
ADDRESS = "tel:+8613800138000"


@pytest.fixture
async def store(store_url: str) -> Store:
    return Store(Topology(store_url), ())


@pytest.mark.parametrize(("count", "ordered"), [(3, True), (3, False), (250, False)])
async def test_letters_become_uncertain(store: Store, count: int, ordered: bool) -> None:
    """However many there are, in a line or not; those for an endpoint go on, as it knows what it has had."""
    deliveries = Deliveries(store, Wakes(store))
    letters = [
        Letter(channel="sms", address=ADDRESS, key=str(number), lane="notice", ordered=ordered)
        for number in range(count)
    ]
    called = Letter(channel="webhook:crm", address="webhook:crm", key="e", lane="notice", ordered=False)
    owed = [(await deliveries.owe_letter(letter, NOW - HOUR))[0] for letter in (*letters, called)]

    assert count == await Withholding(store, "en", NOW).withhold()

    states = [(await deliveries.load(one.id)).state for one in owed]
    assert [*["uncertain"] * count, "queued"] == states
    assert ([], NOW) == (
        await store.do(tag(partition_of(ADDRESS)), "ZRANGE", key(partition_of(ADDRESS), "due"), 0, -1),
        await withheld(store),
    )
    assert 0 == await Withholding(store, "en", NOW).withhold()
    await store.close()


@pytest.mark.parametrize(("before", "after"), [("running", "braked"), ("preparing", "draft"), ("paused", "paused")])
async def test_bulk_sends_are_halted(store: Store, before: State, after: str) -> None:
    """What was running waits for a person and says why; nothing else changes."""
    campaigns = Campaigns(store, Wakes(store), lambda: NOW, lambda: "en")
    made, _ = await campaigns.create({"name": "sale", "text": "now", "segment": {}}, "lilei", NOW)
    await campaigns.turn(made.id, before, NOW, former=("draft",))

    await Withholding(store, "en", NOW).withhold()

    found: Campaign = await campaigns.load(made.id)
    assert (after, before != after) == (found.state, "backup" in found.why)
    await store.close()


@pytest.mark.parametrize(("due", "state"), [(NOW, "suppressed"), (NOW + 1, "waiting")])
async def test_invitations_that_were_due_are_given_up(store: Store, due: int, state: str) -> None:
    """Whose time had come may have been asked; whose time is to come is asked then."""
    invitations = Invitations(store, Wakes(store))
    place = partition_of(ADDRESS)
    one = Invitation(f"i{place}-x", "csat", "1", "sms", ADDRESS, created=NOW - HOUR)
    await invitations.create(one, due)
    await store.do(tag(place), "HSET", key(place, RUNS), "nps", NOW - HOUR)

    await Withholding(store, "en", NOW).withhold()

    assert state == (await invitations.load(one.id)).state
    assert str(NOW) == await store.do(tag(place), "HGET", key(place, RUNS), "nps")
    await store.close()


AUTOMATIC = Delivery(
    id="d1-x", conversation="c1-x", channel="sms", address=ADDRESS, message="m1-1-0", state="queued", lane="notice"
)


@pytest.mark.parametrize(
    ("change", "wrote", "now", "held"),
    [
        ({}, NOW - 1, NOW + HOUR, True),
        ({}, NOW, NOW + HOUR, False),  # the customer has written since
        ({"insist": True}, NOW - 1, NOW + HOUR, False),  # a person said so
        ({"lane": "reply"}, NOW - 1, NOW + HOUR, False),  # a person wrote it
        ({}, NOW - 1, NOW + LASTS, False),
    ],
)
def test_automatic_answers_wait_for_the_customer(change: dict[str, object], wrote: int, now: int, held: bool) -> None:
    """For a week what nobody wrote does not leave to a customer who has not written since the restore."""
    conversation = Conversation("c1-x", "sms", "twilio-sms", ADDRESS, "k1-x", last_inbound_at=wrote)

    assert held == may_be_out(msgspec.structs.replace(AUTOMATIC, **change), conversation, NOW, now)
    assert not may_be_out(AUTOMATIC, conversation, 0, now)
