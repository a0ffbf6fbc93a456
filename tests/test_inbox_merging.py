"""A merge or a split that dies at any step is finished by somebody else, and many at once leave one truth."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import random
from collections.abc import AsyncIterator, Coroutine
from typing import Any

import pytest

from inbox import contacts
from inbox.conversations import Conflict
from inbox.kinship import Gave, Merge, given, joined, parted
from inbox.leases import Held
from inbox.merging import BUSY, DUE, Merging, NoMerge
from inbox.opening import open_store
from inbox.partitions import COUNT, key, parse_id, partition_of, tag
from inbox.store import Store
from inbox.wakes import Wakes
from inbox.work import Actor, Refusal
from router.scripts import SCRIPTS
from tests.dying import Died, Dying

NOW = 1_795_000_000_000
LATER = NOW + 60_000
LEI = Actor("agent", "lilei", "李雷")
VALUES = {
    "wang": {"name": "王芳", "tags": "vip", "tier": "gold"},
    "fang": {"name": "芳芳", "tags": "vip,loud", "language": "zh-CN"},
    "sms": {"tags": "sms", "channel": "sms"},
}


@pytest.fixture
async def store(store_url: str) -> AsyncIterator[Store]:
    opened = (await open_store(store_url, SCRIPTS, "always"))[0]
    yield opened
    await opened.close()


NUMBERS = itertools.count(1)


async def somebody(store: Store, name: str) -> str:
    """Make a contact with one address, and return its id."""
    number = next(NUMBERS)
    address = f"visitor:{name}{number}"
    partition = partition_of(address)
    contact = f"k{partition}-{number}"
    fields = {**VALUES[name], "addresses": address, "since": str(number)}
    words = [word for pair in fields.items() for word in pair]
    await store.do(tag(partition), "HSET", key(partition, f"k:{number}"), *words)
    await store.do(tag(partition), "HSET", key(partition, f"a:{address}"), "contact", contact)
    return contact


def merging(store: Store, now: int = NOW) -> Merging:
    """Return one process's way to merge; what rings in the background is no step of it."""
    return Merging(store, Wakes(store.real if isinstance(store, Dying) else store), lambda: now)


async def finish(store: Store) -> None:
    """Do what the owners of all partitions do by the clock."""
    mend = merging(store, LATER)
    for partition in range(COUNT):
        await mend.turn(Held(partition, "1"))
        assert not await store.do(tag(partition), "ZCARD", key(partition, DUE))


async def seen(store: Store, *names: str) -> list[dict[str, str]]:
    """Return what contacts have for themselves, without what only the machinery needs."""
    found = []
    for name in names:
        fields = await contacts.own(store, name)
        assert BUSY not in fields
        found.append(
            {
                one: value
                for one, value in fields.items()
                if one in {*VALUES["wang"], "language", "channel", "addresses", "into"}
            }
        )
    return found


async def died(work: Coroutine[Any, Any, Any]) -> bool:
    """Do *work* and tell whether the process died of it."""
    try:
        await work
    except Died:
        return True
    return False


@pytest.mark.parametrize("heard", [False, True])
async def test_a_merge_that_dies_at_any_step(store: Store, *, heard: bool) -> None:
    """Whatever the step: afterwards both are one, or nothing has happened; and a split gives back what there was."""
    for at in itertools.count(1):
        host, guest = await somebody(store, "wang"), await somebody(store, "fang")
        before = await seen(store, host, guest)
        process = Dying(store, at, heard=heard)
        over = not await died(merging(process).merge(host, guest, LEI))
        await finish(store)
        root, fields = await contacts.resolve(store, guest)
        standing = await merging(store).all(root, fields)
        if standing:
            assert root == host
            assert fields["tags"] == "vip,loud"
            assert fields["language"] == "zh-CN"
            await merging(store).split(host, standing[0].id, LEI)
        else:
            assert not over
        assert await seen(store, host, guest) == before
        if over:
            break
    assert at > 10


@pytest.mark.parametrize("heard", [False, True])
async def test_a_split_that_dies_at_any_step(store: Store, *, heard: bool) -> None:
    """The innermost of three leaves: whatever the step at which it dies, it ends whole, or has not begun."""
    for at in itertools.count(1):
        top, middle, inner = [await somebody(store, name) for name in ("wang", "fang", "sms")]
        before = await seen(store, top, middle, inner)
        await merging(store).merge(top, middle, LEI)
        between = await seen(store, top)
        _, first = await merging(store).merge(top, inner, LEI)
        await merging(store).split(top, first.id, LEI)
        assert await seen(store, top, inner) == [between[0], before[2]]
        _, second = await merging(store).merge(middle, inner, LEI)  # middle is part of top by now
        process = Dying(store, at, heard=heard)
        over = not await died(merging(process).split(top, second.id, LEI))
        await finish(store)
        root, fields = await contacts.resolve(store, inner)
        if root == top:
            assert not over
            assert "sms" in fields["tags"]
            await merging(store).split(top, second.id, LEI)
        assert await seen(store, top, inner) == [between[0], before[2]]
        with pytest.raises(Refusal):
            await merging(store).split(top, second.id, LEI)
        if over:
            break
    assert at > 10


@pytest.mark.parametrize("heard", [False, True])
async def test_a_split_of_a_nested_merge_that_dies(store: Store, *, heard: bool) -> None:
    """What was merged into one that was merged later leaves both: the outer one has given up what came through."""
    for at in itertools.count(1):
        top, middle, inner = [await somebody(store, name) for name in ("wang", "fang", "sms")]
        before = await seen(store, top, middle, inner)
        _, second = await merging(store).merge(middle, inner, LEI)
        await merging(store).merge(top, middle, LEI)
        assert (await contacts.load(store, inner))["tags"] == "vip,loud,sms"
        process = Dying(store, at, heard=heard)
        over = not await died(merging(process).split(top, second.id, LEI))
        await finish(store)
        root, fields = await contacts.resolve(store, inner)
        if root == top:
            assert not over
            await merging(store).split(top, second.id, LEI)
            fields = await contacts.load(store, top)
        else:
            fields = await contacts.load(store, top)
        assert (fields["tags"], fields["language"]) == ("vip,loud", "zh-CN")
        assert "channel" not in fields
        assert await seen(store, inner) == [before[2]]
        [outer] = await merging(store).all(top, fields)
        await merging(store).split(top, outer.id, LEI)
        assert await seen(store, top, middle, inner) == before
        if over:
            break
    assert at > 10


async def test_a_proof_that_dies_at_any_step(store: Store) -> None:
    """The reader comes again, and the contact lists the address that was proved."""
    for at in range(1, 6):
        contact, address = await somebody(store, "wang"), f"mailto:proved{at}@example.com"
        dying = Dying(store, at, heard=True)
        with contextlib.suppress(Died):
            await merging(dying).prove(contact, address, ("m", "shop"), LEI)
        await merging(store).prove(contact, address, ("m", "shop"), LEI)

        assert address in contacts.addresses_of(await contacts.load(store, contact))
        assert contact == await contacts.owner_of(store, address)


async def meanwhile(
    store: Store, monkeypatch: pytest.MonkeyPatch, contact: str, address: str, work: Coroutine[Any, Any, Any]
) -> None:
    """Do *work*, and let a contact get *address* right after it was seen that nobody has it."""
    owner_of = contacts.owner_of

    async def late(_: Store, asked: str) -> str:
        owner = await owner_of(store, asked)
        if asked == address and not owner:
            monkeypatch.setattr(contacts, "owner_of", owner_of)
            await contacts.reach(store, contact, LEI, [address], NOW)
        return owner

    monkeypatch.setattr(contacts, "owner_of", late)
    await work
    assert contacts.owner_of is owner_of


async def test_of_two_who_are_given_an_address_one_gets_it(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """The other is refused and does not list it; what else was given in the same breath, and was got, stays."""
    first, second = await somebody(store, "wang"), await somebody(store, "fang")
    wanted, spare = "mailto:wanted@example.com", "mailto:spare@example.com"

    with pytest.raises(Refusal, match=first):
        await meanwhile(store, monkeypatch, first, wanted, contacts.reach(store, second, LEI, [spare, wanted], NOW))

    lists = [contacts.addresses_of(await contacts.load(store, one))[1:] for one in (first, second)]
    assert [[wanted], [spare]] == lists
    assert [first, second] == [await contacts.owner_of(store, one) for one in (wanted, spare)]


async def test_of_two_proofs_at_once_both_count(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who has proved an address that somebody else gets at that moment is that person, as if they had come later."""
    first, second = await somebody(store, "wang"), await somebody(store, "fang")
    address = "mailto:both@example.com"
    proof = merging(store).prove(second, address, ("m", "shop"), LEI)
    await meanwhile(store, monkeypatch, first, address, proof)

    assert [first, first] == await contacts.roots(store, [first, second])


async def test_processes_that_merge_and_split_at_random(store: Store) -> None:
    """Four processes at six contacts: no lock stays, no contact is lost, and taken apart each is what it was."""
    names = [await somebody(store, name) for name in ("wang", "fang", "sms", "wang", "fang", "sms")]
    before = await seen(store, *names)
    chance = random.Random(7)

    async def work(process: Merging) -> None:
        for _ in range(12):
            one, other = chance.sample(names, 2)
            try:
                if chance.random() < 0.6:
                    await process.merge(one, other, LEI)
                else:
                    standing = await process.all(*await contacts.resolve(store, one))
                    if standing:
                        await process.split(one, chance.choice(standing).id, LEI)
            except (Refusal, NoMerge, Conflict):
                continue

    await asyncio.gather(*(work(merging(store)) for _ in range(4)))
    await finish(store)
    addresses: list[str] = []
    for root in {(await contacts.resolve(store, name))[0] for name in names}:
        addresses += contacts.addresses_of(await contacts.load(store, root))
    assert len(addresses) == len(set(addresses)) == len(names)
    while True:
        for name in names:
            root, fields = await contacts.resolve(store, name)
            standing = await merging(store).all(root, fields)
            if standing:
                await merging(store).split(root, standing[0].id, LEI)
                break
        else:
            break
    assert await seen(store, *names) == before


async def test_a_stale_helper_takes_nothing_up_again(store: Store) -> None:
    """A process that slept in the middle of a merge, which others have finished and taken back, changes nothing."""
    host, guest = await somebody(store, "wang"), await somebody(store, "fang")
    before = await seen(store, host, guest)
    reached, go = asyncio.Event(), asyncio.Event()

    class Sleeping(Dying):
        async def _count(self, work: Coroutine[Any, Any, Any]) -> Any:
            answer = await work
            self.count += 1
            if self.count == self._at:
                reached.set()
                await go.wait()
            return answer

    for at in range(3, 9):
        reached.clear()
        go.clear()
        sleeper = asyncio.create_task(merging(Sleeping(store, at, heard=True)).merge(host, guest, LEI))
        await asyncio.wait([sleeper, asyncio.create_task(reached.wait())], return_when=asyncio.FIRST_COMPLETED)
        await finish(store)
        for one in await merging(store).all(*await contacts.resolve(store, host)):
            await merging(store).split(host, one.id, LEI)
        go.set()
        await asyncio.gather(sleeper, return_exceptions=True)
        await finish(store)
        for one in await merging(store).all(*await contacts.resolve(store, host)):
            await merging(store).split(host, one.id, LEI)
        assert await seen(store, host, guest) == before
        assert parse_id(host, "k").partition in range(COUNT)


def test_what_is_given_is_taken_back() -> None:
    """Tags, addresses and values that came by a merge go with it; what somebody has changed since stays."""
    host = {"name": "A", "tags": "one", "addresses": "a:1"}
    guest = {"name": "B", "tags": "one,two", "tier": "gold", "language": "en", "addresses": "a:2"}
    gave, conflicts = given(host, guest)
    assert gave == Gave(("a:2",), ("two",), {"tier": "gold", "language": "en"})
    assert [(one.field, one.kept, one.left) for one in conflicts] == [("name", "A", "B")]
    merged = {**host, **joined(host, gave)}
    later = {**merged, "tier": "silver", "tags": "one,two,three", "addresses": f"{merged['addresses']}\na:3"}
    kept = {**later, **parted(later, gave)}
    assert kept == {"name": "A", "tags": "one,three", "tier": "silver", "language": "", "addresses": "a:1\na:3"}
    assert Merge("g1-1", "k1-1", 1, LEI).undone is None
