"""Partitions have one owner at a time, change hands within seconds, and never have two that count."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from inbox import leases as module
from inbox.conversations import Change, commit
from inbox.leases import Fenced, Held, Leases, wanted
from inbox.partitions import COUNT, key, tag
from inbox.store import Store
from tests.backroom import opened


@pytest.fixture(autouse=True)
def long_lived(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever is slow here is not dead for it; the tests say who is."""
    monkeypatch.setattr("inbox.leases.DEAD_AFTER", 60.0)


@pytest.fixture
async def store(store_url: str) -> AsyncIterator[Store]:
    async with opened(store_url) as store:
        yield store


class Worker(Leases):
    """A worker that notes what it takes and loses."""

    def __init__(self, store: Store, place: str, started: int = 1) -> None:
        self.taken: list[int] = []
        self.lost: list[int] = []
        super().__init__(store, place, started, lambda held: self.taken.append(held.partition), self.lost.append)


async def rounds(*workers: Worker, count: int = 3) -> None:
    """Let every worker do some rounds."""
    for _ in range(count):
        for worker in workers:
            await worker.turn()


async def forget(store: Store, worker: Worker) -> None:
    """Let the store believe that a worker has not beaten for a while."""
    await store.do("hub", "ZADD", "hl:{hub}:workers", 1, worker.worker)


async def effect(store: Store, held: Held) -> None:
    """Change something as the owner of a partition."""
    await commit(store, held.partition, Change(epoch=held.epoch, records=[("x", ["by", held.epoch])]))


async def test_one_worker_takes_everything(store: Store) -> None:
    """Alone, a worker owns every partition after its first round."""
    one = Worker(store, "one")
    await one.turn()

    assert set(range(COUNT)) == set(one.held)
    assert COUNT == len(one.taken)


@pytest.mark.parametrize("count", [2, 3, 5])
async def test_workers_share_the_partitions(store: Store, count: int) -> None:
    """Several workers own all partitions, none twice, and nobody more than twice the fair share."""
    workers = [Worker(store, f"w{number}") for number in range(count)]
    await rounds(*workers)

    owned = [partition for worker in workers for partition in worker.held]
    assert list(range(COUNT)) == sorted(owned)
    assert 2 * COUNT / count > max(len(worker.held) for worker in workers)


def test_a_worker_that_joins_moves_only_its_own_share() -> None:
    """With a fourth worker the other three give up what it gets and exchange nothing among themselves."""
    three = ["a#1", "b#1", "c#1"]
    before = {name: wanted(name, three) for name in three}
    after = {name: wanted(name, [*three, "d#1"]) for name in three}

    assert all(after[name] <= before[name] for name in three)
    assert set(range(COUNT)) == set().union(*before.values())


async def test_the_dead_are_replaced(store: Store) -> None:
    """When a worker has not beaten for a while the others own everything."""
    one, two = Worker(store, "one"), Worker(store, "two")
    await rounds(one, two)
    await forget(store, one)
    await rounds(two, count=1)

    assert set(range(COUNT)) == set(two.held)


async def test_an_old_owner_changes_nothing_any_more(store: Store) -> None:
    """A worker that was thought dead and wakes up is refused, and learns that it has lost the partitions."""
    one, two = Worker(store, "one"), Worker(store, "two")
    await one.turn()
    old = dict(one.held)
    await two.turn()
    await forget(store, one)
    await two.turn()

    for partition in (0, 17, 63):
        with pytest.raises(Fenced):
            await effect(store, old[partition])
        await effect(store, two.held[partition])
    await rounds(one, two)
    owned = [partition for worker in (one, two) for partition in worker.held]
    assert list(range(COUNT)) == sorted(owned)
    for worker in (one, two):
        for held in worker.held.values():
            await effect(store, held)


async def test_who_wakes_from_a_freeze_knows_at_once_what_it_has_lost(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first round after it drops what others have taken, though it takes nobody for dead yet."""
    one = Worker(store, "one", 1)
    await rounds(one)
    await Worker(store, "one", 2).turn()
    monkeypatch.setattr("inbox.leases.DEAD_AFTER", 0.0)
    await one.turn()

    assert ({}, COUNT) == (one.held, len(one.lost))


async def test_what_was_given_back_to_nobody_is_noticed(store: Store) -> None:
    """A worker that believes to own what it lost finds out by itself, without anything happening in the partition."""
    one, two = Worker(store, "one"), Worker(store, "two")
    await one.turn()
    await two.turn()
    await forget(store, one)
    await two.turn()
    await rounds(one, two, count=4)

    for worker in (one, two):
        for held in worker.held.values():
            assert held.epoch == await store.do(tag(held.partition), "HGET", key(held.partition, "lease"), "epoch")
    assert list(range(COUNT)) == sorted([*one.held, *two.held])


async def test_a_worker_that_starts_again_takes_its_own_place_at_once(store: Store) -> None:
    """A later worker at the same place does not wait until the former is thought dead, and the former is refused."""
    old = Worker(store, "one", 1)
    await old.turn()
    before = dict(old.held)
    new = Worker(store, "one", 2)
    await new.turn()

    assert set(range(COUNT)) == set(new.held)
    with pytest.raises(Fenced):
        await effect(store, before[5])


async def test_two_that_start_at_once_do_not_both_own(store: Store) -> None:
    """Whatever the order of their steps, a partition's epoch belongs to one of them."""
    workers = [Worker(store, f"w{number}") for number in range(4)]
    await asyncio.gather(*(worker.turn() for worker in workers))
    await rounds(*workers)

    epochs = [(partition, held.epoch) for worker in workers for partition, held in worker.held.items()]
    assert COUNT == len(epochs) == len(set(epochs)) == len({partition for partition, _ in epochs})


async def test_who_closes_leaves_at_once(store: Store) -> None:
    """A worker that stops in order gives everything up; the next round of another takes it, as nobody's."""
    one, two = Worker(store, "one"), Worker(store, "two")
    await one.turn()
    await one.close()
    await two.turn()

    assert set(range(COUNT)) == set(two.held)
    assert {} == one.held
    assert sorted(one.taken) == sorted(one.lost)


async def test_after_a_long_silence_nobody_is_thought_dead(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the store was away nobody could beat: the first round afterwards takes nothing from others."""
    one, two = Worker(store, "one"), Worker(store, "two")
    await rounds(one, two)
    mine = set(one.held)
    await forget(store, two)
    monkeypatch.setattr(module, "DEAD_AFTER", -1.0)
    await one.turn()

    assert mine == set(one.held)


async def test_the_dead_do_not_live_on_in_time_to_come(store: Store) -> None:
    """Where the store's clock has gone back, a worker that beat before is alive for no longer than any other."""
    dead, alive = Worker(store, "dead"), Worker(store, "alive")
    await dead.turn()
    seconds, _ = await store.do("hub", "TIME")
    await store.do("hub", "ZADD", "hl:{hub}:workers", (int(seconds) + 3600) * 1000, dead.worker)
    await alive.turn()

    score = await store.do("hub", "ZSCORE", "hl:{hub}:workers", dead.worker)
    seconds, _ = await store.do("hub", "TIME")
    assert float(score) <= (int(seconds) + 1) * 1000
