"""Every recorded event finds its contact and its conversation, once, however often it is read."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from connectors.base import Capabilities, Echo, Message, Notice, Window
from inbox import contacts, past
from inbox import log as logbook
from inbox.leases import Fenced, Held
from inbox.log import Entry
from inbox.partitions import COUNT, key, parse_id, partition_of, tag
from inbox.placing import REOPEN_FOR, Decided, Placed, Placer, parse
from inbox.timeline import MESSAGES, items
from inbox.work import HUB
from tests.backroom import Platform, Room, message, room

ADDRESS = "tel:+8613800138000"
MAIL = Capabilities(threads=True, html=True, mixed=True, media=frozenset({"file"}))
DAY = 24 * 3600 * 1000


@pytest.fixture
async def inbox(store_url: str, tmp_path: Path) -> AsyncIterator[Room]:
    """A room with two chat channels and a mail box."""
    platforms = {"shop": Platform(), "spare": Platform(), "mail": Platform(MAIL)}
    async with room(store_url, tmp_path, platforms=platforms) as made:
        yield made


async def texts(inbox: Room, conversation_id: str) -> list[str]:
    """Return the words on a conversation's timeline, oldest first."""
    conversation = await inbox.load(conversation_id)
    found, _ = await items(inbox.store, conversation.place, MESSAGES, None, 200)
    return [item.entry.fields["tx"] for item in reversed(found) if item.entry.type in "eho"]


def neighbours(address: str, count: int, domain: str = "example.com") -> list[str]:
    """Return addresses that live in the partition of *address*."""
    wanted = partition_of(address)
    found = (f"mailto:n{number}@{domain}" for number in range(10_000))
    return [one for one in found if partition_of(one) == wanted][:count]


def strangers(address: str, count: int) -> list[str]:
    """Return addresses that all live in one partition, which is not that of *address*."""
    first = next(
        f"mailto:s{n}@example.com"
        for n in range(99)
        if partition_of(f"mailto:s{n}@example.com") != partition_of(address)
    )
    return neighbours(first, count)


async def test_the_first_message_opens_a_conversation(inbox: Room) -> None:
    """A new customer gets a contact and an open conversation with what is known of both."""
    conversation_id = await inbox.write("你好", ADDRESS, name="王芳")

    one = await inbox.load(conversation_id)
    assert ("shop", "scripted", ADDRESS, "open", "王芳", 1) == (
        one.channel, one.kind, one.address, one.status, one.name, one.messages,
    )  # fmt: skip
    contact = parse_id(one.contact, "k")
    fields = await inbox.store.do(str(contact.partition), "HGETALL", f"hl:{{{contact.partition}}}:k:{contact.key}")
    assert {"name": "王芳", "addresses": ADDRESS} == {
        name: value for name, value in zip(fields[::2], fields[1::2], strict=True) if name != "since"
    }


async def test_the_next_message_continues_it(inbox: Room) -> None:
    """Messages of one customer on one channel stand in one conversation, in the order in which they came."""
    ids = {await inbox.write(text, ADDRESS) for text in ("one", "two", "three")}

    [conversation_id] = ids
    assert ["one", "two", "three"] == await texts(inbox, conversation_id)
    assert 3 == (await inbox.load(conversation_id)).messages


async def test_two_channels_of_one_address_are_two_conversations(inbox: Room) -> None:
    """One phone number on two channels is one contact with two conversations, each answered on its own channel."""
    for channel in ("shop", "spare"):
        await inbox.recorder.record(channel, [message("hi", ADDRESS, now=inbox.clock())])
    await inbox.route()

    found = await inbox.conversations()
    assert {"shop", "spare"} == {one.channel for one in found}
    assert 1 == len({one.contact for one in found})


@pytest.mark.parametrize(
    ("ago", "opens"),
    [
        pytest.param(DAY, False, id="a day later it is reopened"),
        pytest.param(REOPEN_FOR - 60_000, False, id="shortly before the limit it is reopened"),
        pytest.param(REOPEN_FOR + 60_000, True, id="after the limit a new one is opened"),
    ],
)
async def test_writing_after_the_end(inbox: Room, ago: int, opens: bool) -> None:
    """Who writes soon after the end goes on where it ended; later it is a new matter with the same contact."""
    first = await inbox.write("broken", ADDRESS)
    inbox.clock.offset -= ago
    await inbox.desk.resolve(first, HUB)
    inbox.clock.offset += ago

    second = await inbox.write("again", ADDRESS)

    assert opens == (second != first)
    now = await inbox.load(second)
    assert "open" == now.status
    assert (await inbox.load(first)).contact == now.contact
    if opens:
        assert "resolved" == (await inbox.load(first)).status


async def test_doing_it_twice_changes_nothing(inbox: Room) -> None:
    """A reader that starts again from the beginning leaves every conversation as it was, with its version."""
    rng = random.Random(7)
    for number in range(60):
        channel = rng.choice(("shop", "spare"))
        await inbox.recorder.record(channel, [message(f"{number}", f"tel:+861380013800{number % 5}", now=number + 1)])
    await inbox.route()
    before = {one.id: (one, await texts(inbox, one.id)) for one in await inbox.conversations()}

    for _ in range(2):
        inbox.forget()
        await inbox.route()

    assert before == {one.id: (one, await texts(inbox, one.id)) for one in await inbox.conversations()}


async def test_any_part_may_be_read_again(inbox: Room) -> None:
    """Entries placed in overlapping batches, each batch once or twice, stand on the timeline once and in order."""
    rng = random.Random(11)
    for number in range(40):
        await inbox.recorder.record("shop", [message(f"{number:02}", ADDRESS, now=number + 1)])
    entries = await logbook.read(inbox.store, partition_of(ADDRESS), "0-0", 100)
    start = 0
    while start < len(entries):
        end = start + rng.randint(1, 9)
        for _ in range(rng.randint(1, 2)):
            await inbox.router.handle(inbox.held(ADDRESS), entries[max(0, start - 3) : end])
        start = end

    [one] = await inbox.conversations()
    assert [f"{number:02}" for number in range(40)] == await texts(inbox, one.id)
    assert 40 == one.messages


async def test_a_notice_of_a_stranger_opens_nothing(inbox: Room) -> None:
    """Following a shop is no request: nobody gets work of it, but the window that it grants is known later."""
    now = inbox.clock()
    await inbox.recorder.record("shop", [Notice("n1", ADDRESS, now, "follow", Window(3600, 3))])
    await inbox.route()

    assert [] == await inbox.conversations()
    record = await inbox.store.do(
        str(partition_of(ADDRESS)), "HMGET", f"hl:{{{partition_of(ADDRESS)}}}:a:{ADDRESS}", "wu:shop", "wl:shop"
    )
    assert [str(now + 3_600_000), "3"] == record


async def test_a_notice_of_a_customer_stands_on_the_timeline(inbox: Room) -> None:
    """What a known customer does is seen in the conversation, counts as no message and reopens nothing."""
    conversation_id = await inbox.write("hi", ADDRESS)
    await inbox.desk.resolve(conversation_id, HUB)
    await inbox.recorder.record("shop", [Notice("n1", ADDRESS, inbox.clock(), "unfollow")])
    await inbox.route()

    one = await inbox.load(conversation_id)
    assert ("resolved", 1) == (one.status, one.messages)
    found, _ = await items(inbox.store, one.place, MESSAGES, None, 10)
    assert "unfollow" == found[0].entry.rest()["name"]


async def test_a_person_in_the_platforms_tool_is_seen(inbox: Room) -> None:
    """What a colleague wrote past the hub stands on the timeline as ours, and the customer's turn is not lost."""
    conversation_id = await inbox.write("hi", ADDRESS)
    await inbox.recorder.record("shop", [Echo("h1", ADDRESS, inbox.clock(), "answered elsewhere", author="Zhao")])
    await inbox.route()

    one = await inbox.load(conversation_id)
    found, _ = await items(inbox.store, one.place, MESSAGES, None, 10)
    assert ("h", "answered elsewhere", "Zhao") == (
        found[0].entry.type, found[0].entry.fields["tx"], found[0].entry.fields["n"],
    )  # fmt: skip
    assert "open" == one.status


GRANTS = [
    pytest.param([(0, 3600, 5), (10, 60, 3)], 0, (0, 3600, "5"), id="a shorter grant does not cut an open window"),
    pytest.param([(0, 3600, 5), (10, 7200, 5)], 0, (10, 7200, "5"), id="a longer one replaces it"),
    pytest.param([(0, 3600, 5), (10, 3600, 5)], 3, (10, 3600, "5"), id="a new message renews what was used"),
    pytest.param([(0, 3600, 5), (10, 60, 3)], 5, (10, 60, "3"), id="a shorter one counts when all are used up"),
    pytest.param([(0, 3600, None), (10, 60, 3)], 0, (0, 3600, ""), id="without a limit of messages"),
]


@pytest.mark.parametrize(("grants", "used", "kept"), GRANTS)
async def test_windows(
    inbox: Room, grants: list[tuple[int, int, int | None]], used: int, kept: tuple[int, int, str]
) -> None:
    """The better of two rights to answer is kept."""
    start = inbox.clock()
    place = str(partition_of(ADDRESS))
    for number, (after, seconds, messages) in enumerate(grants):
        if number and used:
            await inbox.store.do(place, "HINCRBY", f"hl:{{{place}}}:a:{ADDRESS}", "wl:shop", -used)
        event = message("hi", ADDRESS, at=start + after * 1000, window=Window(seconds, messages))
        await inbox.recorder.record("shop", [event])
        await inbox.route()

    until, left = await inbox.store.do(place, "HMGET", f"hl:{{{place}}}:a:{ADDRESS}", "wu:shop", "wl:shop")
    assert (start + (kept[0] + kept[1]) * 1000, kept[2]) == (int(until), left)


async def test_a_contact_learns_the_latest_name(inbox: Room) -> None:
    """A name that comes later, or changes, is the contact's; one that is missing does not erase it."""
    for name in ("", "小王", "", "王芳"):
        conversation_id = await inbox.write("hi", ADDRESS, name=name)

    one = await inbox.load(conversation_id)
    contact = parse_id(one.contact, "k")
    assert "王芳" == await inbox.store.do(
        str(contact.partition), "HGET", f"hl:{{{contact.partition}}}:k:{contact.key}", "name"
    )


async def mail(inbox: Room, external_id: str, sender: str, text: str, *refs: str) -> None:
    """Let a mail come in."""
    event = message(text, sender, id=external_id, now=inbox.clock(), refs=refs, subject="Re: broken")
    await inbox.recorder.record("mail", [event])


async def test_mails_belong_where_they_answer(inbox: Room) -> None:
    """Every mail without a known reference is a matter of its own; one that answers another joins it."""
    anna = "mailto:anna@example.com"
    for number, refs in enumerate([(), (), ("<0@x>",), ("<unknown@x>", "<1@x>"), ("<nobody@x>",)]):
        await mail(inbox, f"<{number}@x>", anna, f"mail {number}", *refs)
        await inbox.route()

    found = sorted([await texts(inbox, one.id) for one in await inbox.conversations()])
    assert [["mail 0", "mail 2"], ["mail 1", "mail 3"], ["mail 4"]] == found


async def test_every_thread_is_found_again(inbox: Room) -> None:
    """Whoever goes on in an old thread keeps the newer ones: what they have had to do with us is all of them."""
    anna = "mailto:anna@example.com"
    for number, refs in enumerate([(), (), ("<0@x>",), (), ("<1@x>",), ("<0@x>",)]):
        await mail(inbox, f"<{number}@x>", anna, f"mail {number}", *refs)
        await inbox.route()

    found = await inbox.conversations()
    had = await past.had(inbox.store, await contacts.load(inbox.store, found[0].contact))
    assert 3 == len(found)
    assert {one.id for one in found} == {str(one.place) for one in had}


async def test_a_colleagues_mail_joins_the_conversation_of_another_partition(inbox: Room) -> None:
    """Who answers in a colleague's thread writes into that conversation, once, also when it is read again."""
    anna = "mailto:anna@example.com"
    ben = strangers(anna, 1)[0]
    await mail(inbox, "<1@x>", anna, "broken")
    await inbox.route()
    await mail(inbox, "<2@x>", ben, "urgent", "<1@x>")
    await inbox.route()
    for _ in range(2):
        inbox.forget()
        await inbox.route()

    [one] = await inbox.conversations()
    assert (anna, ["broken", "urgent"], 2) == (one.address, await texts(inbox, one.id), one.messages)


async def test_colleagues_of_one_partition_do_not_lose_each_others_mails(inbox: Room) -> None:
    """Mails of several senders into one foreign conversation are all there, in whatever order they are placed."""
    anna = "mailto:anna@example.com"
    others = strangers(anna, 6)
    await mail(inbox, "<0@x>", anna, "broken")
    await inbox.route()
    for number, sender in enumerate(others):
        await mail(inbox, f"<{number + 1}@x>", sender, f"from {number}", "<0@x>")
    entries = await logbook.read(inbox.store, partition_of(others[0]), "0-0", 100)
    for entry in reversed(entries):
        await inbox.router.handle(inbox.held(others[0]), [entry])

    [one] = await inbox.conversations()
    assert {"broken", *(f"from {number}" for number in range(6))} == set(await texts(inbox, one.id))


async def test_a_crash_does_not_move_the_threads_of_earlier_mails(inbox: Room) -> None:
    """Two mails open two conversations; after they are read again an answer to the first still joins the first."""
    anna = "mailto:anna@example.com"
    await mail(inbox, "<1@x>", anna, "one")
    await mail(inbox, "<2@x>", anna, "two")
    await inbox.route()
    inbox.forget()
    await inbox.route()

    await mail(inbox, "<3@x>", anna, "to one", "<1@x>")
    await inbox.route()

    assert [["one", "to one"], ["two"]] == sorted([await texts(inbox, one.id) for one in await inbox.conversations()])


async def test_an_answer_to_a_resolved_mail_reopens_it_at_any_time(inbox: Room) -> None:
    """A reference is stronger than the clock: the thread goes on however long ago it ended."""
    anna = "mailto:anna@example.com"
    await mail(inbox, "<1@x>", anna, "one")
    await inbox.route()
    [one] = await inbox.conversations()
    inbox.clock.offset -= 300 * DAY
    await inbox.desk.resolve(one.id, HUB)
    inbox.clock.offset += 300 * DAY
    await mail(inbox, "<2@x>", anna, "still broken", "<1@x>")
    await inbox.route()

    [again] = await inbox.conversations()
    assert (one.id, "open") == (again.id, again.status)


async def test_the_answers_verdict_is_found_by_message(inbox: Room) -> None:
    """The entry that placed a message is found from its id, at home and abroad, also when it was ignored."""
    anna = "mailto:anna@example.com"
    ben = strangers(anna, 1)[0]
    await mail(inbox, "<1@x>", anna, "broken")
    await inbox.route()
    await mail(inbox, "<2@x>", ben, "urgent", "<1@x>")
    await inbox.recorder.record("shop", [message("加微信刷单", ADDRESS, now=1)])
    await inbox.route()

    for address, kind in ((anna, "p"), (ben, "p"), (ADDRESS, "i")):
        event = (await logbook.read(inbox.store, partition_of(address), "0-0", 1))[0]
        found = await inbox.placer.verdict(parse_id(f"m{event.partition}-{event.id}", "m"))
        assert found is not None
        assert kind == found.type
    assert await inbox.placer.verdict(parse_id("m1-1-1", "m")) is None


async def test_an_event_of_a_lost_partition_is_refused(inbox: Room) -> None:
    """Whoever has lost the partition changes nothing any more."""
    [recorded] = await inbox.recorder.record("shop", [message("hi", ADDRESS, now=1)])
    assert recorded is not None
    entry: Entry = (await logbook.read(inbox.store, recorded.partition, "0-0", 1))[0]
    origin = parse(entry, "scripted", Capabilities())
    placer = Placer(inbox.store)
    old = Held(recorded.partition, str(int(inbox.held(ADDRESS).epoch) - 1))

    with pytest.raises(Fenced):
        await placer.place(old, origin, await placer.locate(origin), Decided())
    assert [] == await inbox.conversations()


async def meanwhile(inbox: Room, monkeypatch: pytest.MonkeyPatch, happens: Callable[[], Awaitable[Any]]) -> None:
    """Let something happen between finding where the next event belongs and putting it there; then route."""
    place = Placer.place

    async def late(*args: Any) -> Placed:
        monkeypatch.setattr(Placer, "place", place)
        await happens()
        return await place(*args)

    monkeypatch.setattr(Placer, "place", late)
    await inbox.route()
    assert Placer.place is place


WHAT_COMES = [
    pytest.param(message("hi", "tel:+8613900139000", now=1), id="a message"),
    pytest.param(Notice("n1", "tel:+8613900139000", 1, "follow", Window(3600, 3)), id="a notice of a stranger"),
]


@pytest.mark.parametrize("event", WHAT_COMES)
async def test_an_address_that_somebody_gets_meanwhile_stays_theirs(
    inbox: Room, monkeypatch: pytest.MonkeyPatch, event: Message | Notice
) -> None:
    """Who is said to have an address while its first event is placed has it, with all that comes from it."""
    known = (await inbox.load(await inbox.write("hi", ADDRESS))).contact
    await inbox.recorder.record("shop", [event])
    await meanwhile(inbox, monkeypatch, lambda: contacts.reach(inbox.store, known, HUB, [event.address], inbox.clock()))

    assert known == await contacts.owner_of(inbox.store, event.address)
    assert {known} == {one.contact for one in await inbox.conversations()}
    people = [await inbox.store.do(tag(one), "ZCARD", key(one, contacts.LIST)) for one in range(COUNT)]
    assert 1 == sum(people)


async def test_an_address_that_is_erased_meanwhile_is_a_strangers(inbox: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    """A message that was to continue what is gone by then opens a conversation of a contact that there is."""
    first = await inbox.load(await inbox.write("hi", ADDRESS))
    place = parse_id(first.contact, "k")

    async def erased() -> None:
        name = key(place.partition, f"k:{place.key}")
        await inbox.store.do(tag(place.partition), "DEL", key(partition_of(ADDRESS), f"a:{ADDRESS}"))
        await inbox.store.do(tag(place.partition), "DEL", name)

    await inbox.recorder.record("shop", [message("again", ADDRESS, now=1)])
    await meanwhile(inbox, monkeypatch, erased)

    owner = await contacts.owner_of(inbox.store, ADDRESS)
    assert [ADDRESS] == contacts.addresses_of(await contacts.load(inbox.store, owner))
    assert {(first.id, first.contact), (f"c{owner[1:]}", owner)} == {
        (one.id, one.contact) for one in await inbox.conversations()
    }
    assert ["hi"] == await texts(inbox, first.id)
