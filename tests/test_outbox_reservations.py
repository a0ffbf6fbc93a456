"""What only one invitation can have is had by one, however many processes ask at once, and again by who asks again."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator

import pytest

from inbox.opening import open_store
from inbox.partitions import key, partition_of, tag
from inbox.store import Store
from outbox.reservations import Reservations
from router.scripts import SCRIPTS

DAY = 86_400_000
NOW = 1_795_000_000_000


@pytest.fixture
async def processes(store_url: str) -> AsyncIterator[list[Store]]:
    """Three processes' connections to one store."""
    stores = [(await open_store(store_url, SCRIPTS, "always"))[0] for _ in range(3)]
    yield stores
    for one in stores:
        await one.close()


async def contact(store: Store, name: str, *addresses: str) -> None:
    """Keep a contact with *addresses*, as merging leaves it."""
    partition = int(name[1:].partition("-")[0])
    record = key(partition, f"k:{name.partition('-')[2]}")
    await store.do(tag(partition), "HSET", record, "name", "x", "addresses", "\n".join(addresses))
    for address in addresses:
        home = partition_of(address)
        await store.do(tag(home), "HSET", key(home, f"a:{address}"), "contact", name)


async def test_a_quota_is_exact(processes: list[Store]) -> None:
    """600 invitations of three processes, each asked for twice, fill quotas of 100 and 40 to the last place."""
    held = [Reservations(store) for store in processes]
    quotas = [("all", 100), ("sms", 40)]

    async def take(number: int) -> tuple[int, bool]:
        wanted = quotas if number % 2 else quotas[:1]
        first = await held[number % 3].place("csat", wanted, f"i{number}")
        again = await held[(number + 1) % 3].place("csat", wanted, f"i{number}")
        assert first == again
        return number, first

    order = random.Random(1).sample(range(600), 600)
    found = dict(await asyncio.gather(*(take(number) for number in order)))

    assert 100 == sum(found.values())
    assert sum(got for number, got in found.items() if number % 2) <= 40
    given = next(number for number, got in found.items() if got and number % 2 == 0)
    await held[0].free("csat", ["all"], f"i{given}")
    assert await held[1].place("csat", quotas[:1], "i9999")
    assert not await held[2].place("csat", quotas[:1], "i9998")


async def test_a_person_is_asked_once_across_channels(processes: list[Store]) -> None:
    """Three channels of one contact ask at the same moment: one may; the others must wait 30 days from then."""
    addresses = ("wechat:o-1", "mailto:a@b.cn", "tel:+8613800138000")
    await contact(processes[0], "k7-one", *addresses)
    held = [Reservations(store) for store in processes]

    async def take(number: int) -> bool:
        return await held[number].leave_alone("k7-one", addresses[number], f"i{number}", NOW, 30 * DAY)

    found = await asyncio.gather(*(take(number) for number in range(3)))
    assert 1 == sum(found)
    winner = found.index(True)
    assert found == list(await asyncio.gather(*(take(number) for number in range(3))))
    other = (winner + 1) % 3
    assert not await held[0].leave_alone("k7-one", addresses[other], "late", NOW + 30 * DAY - 1, 30 * DAY)
    assert await held[0].leave_alone("k7-one", addresses[other], "late", NOW + 30 * DAY, 30 * DAY)


async def test_merging_contacts_merges_their_peace(processes: list[Store]) -> None:
    """Who was asked as one contact is left alone as another that they were merged with, and after a split as well."""
    store, held = processes[0], Reservations(processes[1])
    await contact(store, "k7-one", "wechat:o-1")
    await contact(store, "k9-two", "mailto:a@b.cn")
    assert await held.leave_alone("k9-two", "mailto:a@b.cn", "first", NOW, 30 * DAY)
    assert await held.leave_alone("k7-one", "wechat:o-2", "unrelated", NOW, 30 * DAY) is True
    await held.disturb("k7-one", "wechat:o-2", "unrelated")

    await contact(store, "k7-one", "wechat:o-1", "mailto:a@b.cn")  # the second one becomes part of the first
    assert not await held.leave_alone("k7-one", "wechat:o-1", "merged", NOW + DAY, 30 * DAY)
    await contact(store, "k7-one", "wechat:o-1")
    await contact(store, "k9-two", "mailto:a@b.cn")
    assert await held.leave_alone("k7-one", "wechat:o-1", "split", NOW + DAY, 30 * DAY)
    assert not await held.leave_alone("k9-two", "mailto:a@b.cn", "split", NOW + DAY, 30 * DAY)


async def test_a_turn_that_is_given_back_was_never_taken(processes: list[Store]) -> None:
    """An invitation that is suppressed leaves the peace that was there before it, for contact and address."""
    await contact(processes[0], "k7-one", "wechat:o-1")
    held = Reservations(processes[0])
    assert await held.leave_alone("k7-one", "wechat:o-1", "first", NOW, DAY)
    assert await held.leave_alone("k7-one", "wechat:o-1", "second", NOW + DAY, DAY)
    await held.disturb("k7-one", "wechat:o-1", "second")
    assert not await held.leave_alone("k7-one", "wechat:o-1", "third", NOW + DAY - 1, DAY)
    assert await held.leave_alone("k7-one", "wechat:o-1", "third", NOW + DAY, DAY)


async def test_each_code_is_given_once(processes: list[Store]) -> None:
    """200 invitations of three processes want 150 codes, each twice: 150 different ones go out."""
    codes = [f"CODE-{number}" for number in range(150)]
    held = [Reservations(store) for store in processes]
    await asyncio.gather(*(one.add_codes("csat", codes) for one in held))  # every process reads the same file

    async def give(number: int) -> str:
        first = await held[number % 3].code("csat", f"i{number}")
        assert first == await held[(number + 1) % 3].code("csat", f"i{number}")
        return first

    found = [code for code in await asyncio.gather(*(give(number) for number in range(200))) if code]

    assert sorted(found) == sorted(codes)
    assert 0 == await held[0].free_codes("csat")
    await held[0].add_codes("csat", [*codes, "CODE-NEW"])
    assert 1 == await held[1].free_codes("csat")


async def test_a_unit_keeps_its_number(processes: list[Store]) -> None:
    """Units of a stratum are numbered without a gap by three processes, also when each asks twice before it is done."""
    held = [Reservations(store) for store in processes]

    async def number(unit: int) -> int:
        first = await held[unit % 3].number("csat", "aftersales", f"u{unit}")
        assert first == await held[(unit + 1) % 3].number("csat", "aftersales", f"u{unit}")
        await held[unit % 3].numbered("csat", "aftersales", f"u{unit}")
        return first

    assert list(range(300)) == sorted(await asyncio.gather(*(number(unit) for unit in range(300))))
