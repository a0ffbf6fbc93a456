"""Every rule set that was in use is kept by its hash, once, and decides as it did."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

import router.archive
import router.versions
from config.loading import Loaded, load
from hub import kinds
from inbox.store import Store
from router.archive import Archive, NoVersion, key
from router.rules import decide
from router.trial import prove
from router.versions import TooLarge, Unreadable, Version, diff, grow, pack, snapshot, unpack
from tests.backroom import opened
from tests.hubs import ROUTES, TEAMS, configuration, write
from tests.routing import message

HOURS = """
hours:
  office: {week: {mon-fri: ["09:00-18:00"]}, closed: [2026-10-01..2026-10-07]}
"""
NIGHT = """
  - name: night
    when: {hours: {office: closed}}
    set: {team: complaints}
"""


@pytest.fixture
async def store(store_url: str) -> AsyncIterator[Store]:
    async with opened(store_url) as made:
        yield made


def loaded(folder: Path, routes: str = ROUTES, *, hours: str = HOURS) -> Loaded:
    """Return a configuration with these routes."""
    return load(write(folder, configuration("", more=TEAMS + hours), routes=routes), kinds, prove=prove)


def test_a_set_survives_packing(tmp_path: Path) -> None:
    """What was kept has the same hash, texts and hours, and decides the same."""
    version = snapshot(loaded(tmp_path, ROUTES + NIGHT))
    again = unpack(pack(version))

    assert (version, version.hash) == (again, grow(again).hash)
    for asked in (message("我要退款"), message("在吗"), message("在吗", at=1_780_000_000_000)):
        assert decide(grow(version), asked) == decide(grow(again), asked)


def test_the_hash_is_of_all_that_decides(tmp_path: Path) -> None:
    """Routes, hours, time zone: another one of them is another set. The place of the files does not matter."""
    first = snapshot(loaded(tmp_path / "one"))
    moved = snapshot(loaded(tmp_path / "two"))
    others = [
        snapshot(loaded(tmp_path / "three", ROUTES + NIGHT)),
        snapshot(loaded(tmp_path / "four", hours=HOURS.replace("18:00", "17:00"))),
        snapshot(loaded(tmp_path / "five", hours=HOURS + "timezone: Europe/Berlin\n")),
    ]

    assert first.hash == moved.hash
    assert 4 == len({first.hash, *(one.hash for one in others)})


def test_environment_in_routes_is_kept_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A set decides by the words that the environment held when it was loaded, and its file keeps the variable."""
    monkeypatch.setenv("BAD_WORD", "甲")
    version = snapshot(loaded(tmp_path, ROUTES.replace("加微信刷单", "${BAD_WORD}")))
    monkeypatch.setenv("BAD_WORD", "乙")
    again = unpack(pack(version))

    assert "spam" == decide(grow(again), message("甲")).route
    assert "${BAD_WORD}" in again.files["routes.yaml"]


def test_what_cannot_be_read_says_so(tmp_path: Path) -> None:
    """Damage, and routes of another version of the hub, are `Unreadable` and nothing else."""
    version = snapshot(loaded(tmp_path))
    strange = dataclasses.replace(version, content=version.content.replace(b'"when"', b'"whom"'))
    for packed in (b"", b"rubbish", pack(version)[:-3], pack(strange)):
        with pytest.raises(Unreadable):
            unpack(packed)


def test_what_is_too_large_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A set beyond the limit is refused with both sizes."""
    version = snapshot(loaded(tmp_path))
    monkeypatch.setattr(router.versions, "LARGEST", 100)
    with pytest.raises(TooLarge, match="at most 100 are kept"):
        pack(version)


def test_the_difference_names_files_and_hours(tmp_path: Path) -> None:
    """A unified diff of every file; opening hours that changed are told too; equal sets differ in nothing."""
    old = snapshot(loaded(tmp_path / "one"))
    new = snapshot(loaded(tmp_path / "two", ROUTES + NIGHT, hours=HOURS.replace("18:00", "17:00")))
    lines = diff(old, new)

    assert f"--- {old.hash[:12]}/routes.yaml" in lines
    assert "+  - name: night" in lines
    assert any(line.startswith("+") and "17:00" in line for line in lines)
    assert [] == diff(old, old)


async def kept(store: Store, folder: Path, *routes: str) -> tuple[Archive, list[Version]]:
    """Return an archive in which these route files were loaded one after the other."""
    archive = Archive(store)
    versions = [snapshot(loaded(folder, text)) for text in routes]
    for number, version in enumerate(versions):
        await archive.keep(version, 1000 + number, "one", "start" if not number else "reload")
    return archive, versions


async def test_history_tells_each_change_once(store: Store, tmp_path: Path) -> None:
    """Workers that load the same set are one entry; going back to an older set is an entry of its own."""
    archive, (first, second, _) = await kept(store, tmp_path, ROUTES, ROUTES + NIGHT, ROUTES)
    assert not await archive.keep(first, 2000, "two", "reload")
    loads, following = await archive.history(2)
    more, end = await archive.history(2, following)

    assert [first.hash, second.hash, first.hash] == [one.hash for one in (*loads, *more)]
    assert [(1002, "one", "reload"), (1001, "one", "reload"), (1000, "one", "start")] == [
        (one.at, one.by, one.how) for one in (*loads, *more)
    ]
    assert "" == end


async def test_who_asked_for_a_set_is_remembered(store: Store, tmp_path: Path) -> None:
    """The next load of a set that somebody wanted back is theirs, the one after it is not."""
    archive, (first, second) = await kept(store, tmp_path, ROUTES, ROUTES + NIGHT)
    await archive.ask(first, "ops")
    for version in (first, second, first):
        await archive.keep(version, 3000, "two", "reload")
    loads, _ = await archive.history(3)

    assert [("two", "reload"), ("two", "reload"), ("ops", "rollback")] == [(one.by, one.how) for one in loads]


async def test_a_set_is_found_by_its_first_digits(store: Store, tmp_path: Path) -> None:
    """From four digits on, in any case; too few, unknown and ambiguous ones are told."""
    archive, (first, _) = await kept(store, tmp_path, ROUTES, ROUTES + NIGHT)
    for digits in (first.hash, first.hash[:16], first.hash[:8].upper()):
        assert first == await archive.find(digits)
    assert first.hash == (await archive.tree(first.short)).hash
    await store.do("rules", "ZADD", key("sets"), 1, first.hash[:6] + "zz")
    for digits, reason in (
        ("abc", "at least 4"),
        ("zzzzzz", "no rule set zzzzzz"),
        (first.hash[:16] + "zz", "no rule set"),
        (first.hash[:6], "could be"),
        ("", "at least 4"),
    ):
        with pytest.raises(NoVersion, match=reason):
            await archive.find(digits)


async def test_the_oldest_go_when_there_are_too_many(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beyond the limits the sets that were loaded longest ago are forgotten, never the one that is loaded."""
    monkeypatch.setattr(router.archive, "MOST", 2)
    archive, versions = await kept(store, tmp_path, *(ROUTES + f"\n# {number}" for number in range(4)))
    for version in versions[:2]:
        with pytest.raises(NoVersion):
            await archive.find(version.hash)
    assert versions[2:] == [await archive.find(one.hash) for one in versions[2:]]
    monkeypatch.setattr(router.archive, "MOST_BYTES", 1)
    await archive.keep(versions[0], 5000, "one", "reload")
    assert [versions[0].short] == await store.do("rules", "ZRANGE", key("sets"), 0, -1)
