"""Changed files are in use within two seconds, however they were changed, and a bad one never is."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from config.faults import Fault
from config.loading import Loaded, load
from config.reload import DEBOUNCE, LOOK_EVERY, Live
from tests.config_kinds import kinds

LIMIT = 30.0
TEXT = "teams: {{front: {{name: {}}}}}\nroutes: routes.yaml\n"
ROUTES = "default: {team: front}\n"


class Watched:
    """A configuration that is followed, and what was heard of it."""

    def __init__(self, file: Path) -> None:
        self.clock = 1000
        self.heard: asyncio.Queue[Loaded | list[Fault]] = asyncio.Queue()
        self.live = Live(
            load(file, kinds, environ={}),
            kinds,
            now=lambda: self.clock,
            environ={},
            on_change=self.heard.put_nowait,
            on_fault=self.heard.put_nowait,
        )

    async def next(self) -> Loaded | list[Fault]:
        """Return what is heard next."""
        async with asyncio.timeout(LIMIT):
            return await self.heard.get()

    def name(self) -> str:
        """Return what the current configuration calls its team."""
        return self.live.current.settings.teams["front"].name


@asynccontextmanager
async def followed(file: Path) -> AsyncIterator[Watched]:
    """Follow *file* until the end of the block."""
    watched = Watched(file)
    task = asyncio.create_task(watched.live.watch())
    try:
        yield watched
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A configuration of two files."""
    (tmp_path / "routes.yaml").write_text(ROUTES)
    path = tmp_path / "huiliu.yaml"
    path.write_text(TEXT.format("one"))
    return path


def test_no_change_waits_longer_than_two_seconds() -> None:
    """What the longest waits of the watch add up to, but for what a busy machine adds."""
    assert DEBOUNCE + LOOK_EVERY < 2000


def rewritten(file: Path, text: str) -> None:
    """Write over the file, as some editors do."""
    file.write_text(text)


def replaced(file: Path, text: str) -> None:
    """Move a new file into the place of the old one, as most editors and tools do."""
    new = file.with_name(".new")
    new.touch(mode=0o600)
    new.write_text(text)
    new.replace(file)


@pytest.mark.parametrize("change", [rewritten, replaced])
async def test_a_change_is_used(file: Path, change: Callable[[Path, str], None]) -> None:
    """Each change is in use in time."""
    async with followed(file) as watched:
        for name in ("two", "three"):
            watched.clock += 1
            change(file, TEXT.format(name))

            # Whoever writes over a file lets others see half of it for a moment.
            while not isinstance(await watched.next(), Loaded):
                pass
            assert (name, watched.clock) == (watched.name(), watched.live.last_loaded_at)


def mounted(directory: Path) -> Path:
    """Lay files out as Kubernetes mounts them: links into a directory that is itself a link."""
    for name in ("one", "two"):
        (directory / f"..{name}").mkdir()
        (directory / f"..{name}" / "huiliu.yaml").write_text(TEXT.format(name))
        (directory / f"..{name}" / "routes.yaml").write_text(ROUTES)
    (directory / "..data").symlink_to("..one")
    for part in ("huiliu.yaml", "routes.yaml"):
        (directory / part).symlink_to(f"..data/{part}")
    return directory / "huiliu.yaml"


def swapped(directory: Path) -> None:
    """Put the second version in use, in one step."""
    (directory / "..data_tmp").symlink_to("..two")
    (directory / "..data_tmp").replace(directory / "..data")


async def test_a_linked_directory_is_followed(tmp_path: Path) -> None:
    """Kubernetes swaps the link to the directory that all files are linked into."""
    async with followed(mounted(tmp_path)) as watched:
        swapped(tmp_path)
        await watched.next()

        assert watched.name() == "two"


async def test_a_bad_file_is_not_used(file: Path) -> None:
    """The old configuration stays, the faults are told, and mending the file ends the matter."""
    async with followed(file) as watched:
        replaced(file, "teams: {front: {nme: two}}\nroutes: routes.yaml\n")
        faults = await watched.next()

        assert isinstance(faults, list)
        assert faults == watched.live.last_error
        assert [fault.path for fault in faults] == ["teams.front.nme"]
        assert (watched.name(), watched.live.last_loaded_at) == ("one", 1000)

        replaced(file, TEXT.format("two"))

        assert isinstance(await watched.next(), Loaded)
        assert (watched.name(), watched.live.last_error) == ("two", [])


async def test_going_back_is_no_change(file: Path) -> None:
    """A file that is mended to what is in use clears the faults without a new configuration."""
    watched = Watched(file)
    first = watched.live.current
    replaced(file, "nonsense: 1\n")
    await watched.live._catch_up()
    assert isinstance(await watched.next(), list)

    replaced(file, TEXT.format("one"))
    await watched.live._catch_up()

    assert watched.live.last_error == []
    assert watched.live.current is first
    assert watched.heard.empty()


async def test_files_elsewhere_are_followed_too(file: Path, tmp_path: Path) -> None:
    """A file in another directory that a change brings in is watched from then on, even while it is missing."""
    other = tmp_path / "other"
    made(other)
    async with followed(file) as watched:
        replaced(file, TEXT.format("two").replace("routes.yaml", "other/more.yaml"))
        assert isinstance(await watched.next(), list)

        replaced(other / "more.yaml", ROUTES)
        assert isinstance(await watched.next(), Loaded)

        replaced(other / "more.yaml", ROUTES + "routes: [{name: x, set: {team: front}}]\n")
        assert isinstance(await watched.next(), Loaded)
        assert len(watched.live.current.routes[0].routes) == 1


async def test_a_secrets_file_is_followed(file: Path, tmp_path: Path) -> None:
    """A rotated secret is in use without a restart."""
    secret = tmp_path / "secret"
    replaced(secret, "one")
    rewritten(file, TEXT.format("one") + "api_tokens: {ops: {token_file: secret, role: admin}}\n")
    async with followed(file) as watched:
        replaced(secret, "two")
        await watched.next()

        assert watched.live.current.settings.api_tokens["ops"].token.get_secret_value() == "two"


async def test_touching_is_no_change(file: Path, tmp_path: Path) -> None:
    """What changes no content is not loaded again: only a later change is heard."""
    async with followed(file) as watched:
        os.utime(file)
        rewritten(tmp_path / "unrelated.log", "line")
        replaced(file, TEXT.format("one"))
        replaced(tmp_path / "routes.yaml", ROUTES + "tests: []\n")
        await watched.next()

        assert watched.heard.empty()


@pytest.mark.parametrize(
    ("change", "postponed"),
    [
        ("http: {port: 9, host: 127.0.0.2}", ["http.host", "http.port", "public_url"]),  # derived where it is not given
        ("store: {url: 'redis://:another@localhost'}", ["store.url"]),
        ("public_url: https://hub.example.com", ["public_url"]),
        ("locale: en", []),
    ],
)
async def test_what_waits_for_the_next_start_is_named(file: Path, change: str, postponed: list[str]) -> None:
    """What a running hub cannot take over is told by its path, without its value, until it is taken back."""
    watched = Watched(file)
    rewritten(file, f"{TEXT.format('one')}{change}\n")
    assert await watched.live.reload()
    assert postponed == watched.live.postponed
    rewritten(file, TEXT.format("one"))
    assert await watched.live.reload()

    assert [] == watched.live.postponed


async def test_asking_always_loads(file: Path) -> None:
    """SIGHUP reads everything again and says whether it is good."""
    watched = Watched(file)
    watched.clock = 2000

    assert await watched.live.reload()
    assert isinstance(await watched.next(), Loaded)
    assert watched.live.last_loaded_at == 2000

    rewritten(file, "nonsense: 1\n")

    assert not await watched.live.reload()
    assert watched.name() == "one"
    assert [fault.path for fault in watched.live.last_error] == ["nonsense"]


def made(directory: Path) -> None:
    """Make a directory."""
    directory.mkdir()


def moved(directory: Path, to: Path) -> None:
    """Move a directory."""
    directory.rename(to)


async def test_a_vanished_directory_is_survived(tmp_path: Path) -> None:
    """The last good configuration stays while everything is gone, and the files are found when they come back."""
    home, gone = tmp_path / "etc", tmp_path / "gone"
    made(home)
    rewritten(home / "routes.yaml", ROUTES)
    rewritten(home / "huiliu.yaml", TEXT.format("one"))
    async with followed(home / "huiliu.yaml") as watched:
        moved(home, gone)
        assert isinstance(await watched.next(), list)
        assert watched.name() == "one"

        rewritten(gone / "huiliu.yaml", TEXT.format("two"))
        moved(gone, home)
        while isinstance(await watched.next(), list):
            pass
        assert watched.name() == "two"


async def test_files_that_change_while_they_are_read_are_read_again(file: Path) -> None:
    """A second file that is replaced after the first was read: what is used is both as they are in the end."""
    replaced(file.with_name("more.yaml"), "routes: []\n")
    replaced(file, "teams: {front: {name: one}, back: {name: two}}\nroutes: [routes.yaml, more.yaml]\n")
    tried = []

    def prove(loaded: Loaded) -> list[Fault]:
        tried.append(loaded)
        if len(tried) == 1:  # everything was read; now the rest of the change arrives
            replaced(file.with_name("more.yaml"), "routes: [{name: new, when: {text: x}, set: {team: back}}]\n")
        return []

    live = Live(load(file, kinds, environ={}), kinds, now=lambda: 1, environ={}, prove=prove)
    replaced(file.with_name("routes.yaml"), "default: {team: back}\n")
    assert await live.reload()

    assert 2 == len(tried)
    first, second = live.current.routes
    assert ("back", ["new"]) == (first.default and first.default.team, [one.name for one in second.routes])
