"""Lists show everything once, newest first, while conversations move under them."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from inbox import register
from inbox.contacts import LIST
from inbox.conversations import LATE, Change, commit
from inbox.lists import BadCursor, Filter, Place, page, parse_cursor
from inbox.partitions import Id, key, parse_id
from inbox.store import Store
from tests.backroom import opened


@pytest.fixture
async def store(store_url: str, tmp_path: Path) -> AsyncIterator[Store]:
    async with opened(store_url) as store:
        yield store


async def put(store: Store, number: int, at: int, partition: int | None = None, **values: str) -> str:
    """Store a conversation with its last activity at *at*."""
    place = Id("c", number % 64 if partition is None else partition, f"{number}-0")
    fields = {"channel": "shop", "kind": "k", "address": f"tel:{number}", "contact": "k1-1", "status": "open", **values}
    change = Change(id=place.key, set={**fields, "last_message_at": at}, log=[("", ["t", "s"])])
    await commit(store, place.partition, change)
    return str(place)


async def walk(store: Store, wanted: Filter, limit: int) -> list[str]:
    """Return the ids of all pages."""
    seen: list[str] = []
    cursor = ""
    while True:
        found = await page(store, wanted, cursor, limit)
        assert len(found.items) <= limit
        seen += [one.id for one in found.items]
        cursor = found.next
        if not cursor:
            return seen


@pytest.mark.parametrize("limit", [7, 50, 99, 100, 101, 200])
async def test_pages_show_everything_once_newest_first(store: Store, limit: int) -> None:
    """Whatever the size of a page: 100 conversations, each on exactly one, and none after the last."""
    ids = [await put(store, number, 1000 + number) for number in range(100)]

    assert ids[::-1] == await walk(store, Filter(), limit)


@pytest.mark.parametrize("limit", [8, 33])
async def test_many_of_one_moment_are_all_shown(store: Store, limit: int) -> None:
    """Platforms that tell seconds only give many conversations one time: 120 of them in one slot lose nobody."""
    ids = {await put(store, number, 5000 if number % 7 else 4000, partition=3) for number in range(120)}

    seen = await walk(store, Filter(), limit)
    assert sorted(ids) == sorted(seen)


FILTERS = [
    (Filter(), {"open", "resolved", "mine", "team", "spare"}),
    (Filter(status="resolved"), {"resolved"}),
    (Filter(status="resolved,open", team="aftersales"), {"mine", "team"}),
    (Filter(only=lambda one: not one.agent, status="open"), {"open", "team", "spare"}),
    (Filter(agent="lilei"), {"mine"}),
    (Filter(team="aftersales"), {"mine", "team"}),
    (Filter(channel="spare"), {"spare"}),
    (Filter(channel="spare", status="resolved"), set()),
    (Filter(team="aftersales", agent="lilei", status="open", channel="shop"), {"mine"}),
    (Filter(team="aftersales", channel="spare"), set()),
    (Filter(text="OPEN"), {"open"}),
    (Filter(text="tel:4"), {"spare"}),
    (Filter(text="nothing of the kind"), set()),
    (Filter(team="no such team"), set()),
]


@pytest.mark.parametrize(("wanted", "shown"), FILTERS)
async def test_filters(store: Store, wanted: Filter, shown: set[str]) -> None:
    """Filters narrow down together; the text looks into subject, name, address and id, in any case."""
    await put(store, 0, 1, subject="open")
    await put(store, 1, 2, subject="resolved", status="resolved")
    await put(store, 2, 3, subject="mine", team="aftersales", agent="lilei")
    await put(store, 3, 4, subject="team", team="aftersales")
    await put(store, 4, 5, subject="spare", channel="spare")

    assert shown == {one.subject for one in (await page(store, wanted, "", 50)).items}


@pytest.mark.parametrize("seed", range(3))
async def test_what_moves_is_neither_doubled_nor_lost(store: Store, seed: int) -> None:
    """While pages are turned conversations move up: what stays is seen once, what moves is not seen twice."""
    rng = random.Random(seed)
    ids = [await put(store, number, 1000 + number) for number in range(60)]
    moved: set[str] = set()
    seen: list[str] = []
    cursor = ""
    clock = 5000
    while True:
        found = await page(store, Filter(), cursor, 7)
        seen += [one.id for one in found.items]
        cursor = found.next
        if not cursor:
            break
        for one in rng.sample(ids, 4):
            clock += 1
            await put(store, int(one.partition("-")[2].partition("-")[0]), clock)
            moved.add(one)

    assert len(seen) == len(set(seen))
    assert set(ids) - moved <= set(seen)


async def test_a_search_that_finds_little_goes_on_in_the_next_page(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A filter without an index looks through so many at a time; the cursor leads on, maybe from an empty page."""
    monkeypatch.setattr("inbox.lists.SCAN_LIMIT", 10)
    ids = [await put(store, number, 1000 + number, subject="rare" if number == 3 else "x") for number in range(60)]

    found = await page(store, Filter(text="rare"), "", 5)
    assert [] == found.items
    assert found.next
    assert [ids[3]] == await walk(store, Filter(text="rare"), 5)


@pytest.mark.parametrize(
    "cursor",
    [
        "x",
        "1",
        "1:",
        ":c1-1",
        "1:c99-1",
        "1:d1-1",
        "x:c1-1",
        "1:c1-{",
        "²:c1-1",
        "1" * 20 + ":c1-1",
        "1:c²-1",
        "1.5:c1-1",
        "\x00",
    ],
)
async def test_a_cursor_that_no_list_gave_out_is_refused(store: Store, cursor: str) -> None:
    """A cursor is checked before the store is asked."""
    with pytest.raises(BadCursor):
        await page(store, Filter(), cursor, 10)


@pytest.mark.parametrize(
    ("cursor", "letter", "expected"),
    [("", "c", None), ("5:c1-1-0", "c", (5, Id("c", 1, "1-0"))), ("0:d63-ab", "d", (0, Id("d", 63, "ab")))],
)
def test_cursors(cursor: str, letter: str, expected: Place | None) -> None:
    """A cursor is the place in the index of the last item that was looked at."""
    assert expected == parse_cursor(cursor, letter)


async def test_all_that_is_late_is_on_the_pages(store: Store) -> None:
    """Also where many of one partition are: the list of what is late is ordered by when it was due, the first first."""
    ids = [await put(store, number, 5, partition=3) for number in range(10)]
    for number, name in enumerate(ids):
        await store.do("3", "ZADD", key(3, LATE), -(1_790_000_000_000 + number), parse_id(name, "c").key)

    assert ids == await walk(store, Filter(late=True), 50)


async def test_all_contacts_are_told_while_some_go(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """An export leaves nobody out because somebody before them is erased, and tells nobody twice who comes again."""
    monkeypatch.setattr(register, "CHUNK", 5)
    for number in range(17):
        name = f"{number}-0"
        await store.do("3", "HSET", key(3, f"k:{name}"), "name", "Li", "addresses", f"tel:{number}", "since", number)
        await store.do("3", "ZADD", key(3, LIST), 7 if 4 <= number < 11 else number, name)
    seen = []
    async for one in register.every(store, register.Wanted()):
        seen.append(one.id)
        if len(seen) == 5:
            await store.do("3", "ZREM", key(3, LIST), "0-0")
            await store.do("3", "ZADD", key(3, LIST), 99, "1-0")

    assert sorted(f"k3-{number}-0" for number in range(17)) == sorted(seen)
    assert 16 == len(await register.named(store, "Li"))
