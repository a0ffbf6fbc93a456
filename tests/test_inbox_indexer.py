"""The index follows the logs: whatever happens to its process and its files, it holds every message once."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import sqlite3
import sys
from collections import Counter
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import msgspec
import pytest

from connectors.base import Echo, Media, Message
from inbox import contacts
from inbox.finding import Finder, Narrow, NoIndex
from inbox.generations import Generations
from inbox.grams import parse
from inbox.indexer import STATES, WANTED, Errand, Indexer, Standing
from inbox.partitions import key, parse_id, tag
from inbox.search import forget
from inbox.store import Store
from inbox.wakes import Wakes
from inbox.work import Actor, Desk
from tests.hubs import until
from tests.talking import AT, Talk, talking

ADMIN = Actor("agent", "lilei", "李雷")


async def found(folder: Path, text: str, narrow: Narrow | None = None) -> Counter[str]:
    """Return the ids of all messages with *text*, and how often each is found."""
    finder = Finder(lambda: folder)
    ids: Counter[str] = Counter()
    after = 0
    try:
        while True:
            hits = await finder.messages(parse(text), narrow or Narrow(), after, 200)
            ids.update(str(hit.place) for hit in hits.found)
            after = hits.after
            if not after:
                return ids
    except NoIndex:
        return Counter()
    finally:
        finder.close()


async def conversations(folder: Path, text: str) -> list[str]:
    finder = Finder(lambda: folder)
    try:
        return [name for _, name in (await finder.conversations(parse(text), Narrow(), None, 200))[0]]
    finally:
        finder.close()


@contextlib.asynccontextmanager
async def keeping(store: Store, folder: Path) -> AsyncIterator[Indexer]:
    """Keep an index in *folder* while the context lasts, in this process."""
    indexer = Indexer(store, Generations(folder), "here")
    task = asyncio.create_task(indexer.run())
    try:
        yield indexer
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        indexer.close()


async def settled(indexer: Indexer) -> None:
    """Do all there is to do."""
    while await indexer.turn():
        pass


@contextlib.asynccontextmanager
async def indexing(store_url: str, tmp_path: Path) -> AsyncIterator[tuple[Talk, Indexer]]:
    """Yield customers who write and an indexer that works when it is told."""
    async with talking(store_url, tmp_path) as talk:
        indexer = Indexer(talk.store, Generations(tmp_path / "search"), "here")
        try:
            yield talk, indexer
        finally:
            indexer.close()


async def start(store_url: str, folder: Path) -> asyncio.subprocess.Process:
    """Start the process that a hub starts."""
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "inbox.indexer"), stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.DEVNULL
    )
    assert child.stdin is not None
    child.stdin.write(msgspec.json.encode(Errand(store_url, "", str(folder), "here")) + b"\n")
    return child


def committed(folder: Path) -> int:
    """Return how many messages are in the index for good."""
    path = Generations(folder).current()
    if path is None:
        return 0
    with (
        contextlib.suppress(sqlite3.Error),
        contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as db,
    ):
        return int(db.execute("SELECT count(*) FROM messages").fetchone()[0])
    return 0


async def reached(folder: Path, count: int) -> bool:
    """Tell whether so many messages are in the index."""
    return await asyncio.to_thread(committed, folder) >= count


@pytest.mark.timeout(300)
async def test_killed_again_and_again_it_loses_and_doubles_nothing(store_url: str, tmp_path: Path) -> None:
    """A kill -9 at any moment of the work costs nothing: places and words are written together."""
    folder = tmp_path / "search"
    async with talking(store_url, tmp_path) as talk:
        await talk.say("one", *(f"退款 {number}!" for number in range(500)))
        for most in (1, 250):
            child = await start(store_url, folder)
            await until(partial(reached, folder, most), 60)
            child.kill()
            await child.wait()
        child = await start(store_url, folder)
        await until(partial(reached, folder, 500), 60)
        assert child.stdin is not None
        child.stdin.close()  # what a hub's end looks like, however it ended
        assert await child.wait() == 0
        ids = await found(folder, "退款")
        assert len(ids) == 500
        assert set(ids.values()) == {1}


async def test_built_anew_while_customers_write(store_url: str, tmp_path: Path) -> None:
    """While a new index is built the old one answers, with what is written meanwhile; then the new one has it all."""
    folder = tmp_path / "search"
    async with talking(store_url, tmp_path) as talk, keeping(talk.store, folder):
        await talk.many(20, 10, "before")

        async def all_of(word: str, count: int) -> bool:
            return len(await found(folder, word)) == count

        await until(lambda: all_of("before", 200), 60)
        old = Generations(folder).current()
        writing = asyncio.create_task(talk.many(20, 10, "meanwhile"))
        await talk.store.do("hub", "SET", WANTED, 1)

        async def swapped() -> bool:
            assert len(await found(folder, "before")) == 200  # at every moment
            return Generations(folder).current() != old

        await until(swapped, 60)
        await writing
        await until(lambda: all_of("meanwhile", 200), 60)
        ids = await found(folder, "e")
        assert len(ids) == 400
        assert set(ids.values()) == {1}
        assert [path.name for path in folder.glob("*.db")] == [Generations(folder).current().name]  # type: ignore[union-attr]


async def test_taken_away_it_comes_back(store_url: str, tmp_path: Path) -> None:
    """Whoever deletes the files while the hub runs finds everything again a little later."""
    folder = tmp_path / "search"
    async with talking(store_url, tmp_path) as talk, keeping(talk.store, folder):
        await talk.say("one", "退款")
        await until(lambda: found(folder, "退款"), 30)
        shutil.rmtree(folder)
        await talk.say("one", "退货")
        await until(lambda: found(folder, "退货"), 30)
        assert await found(folder, "退款")


@pytest.mark.parametrize("damage", ["torn", "version", "store"])
async def test_what_does_not_fit_is_built_anew(store_url: str, tmp_path: Path, damage: str) -> None:
    """A broken file, one of another version, and one of another store are no index of this store."""
    async with indexing(store_url, tmp_path) as (talk, indexer):
        await talk.say("one", "退款")
        await settled(indexer)
        indexer.close()
        path = Generations(tmp_path / "search").current()
        assert path is not None
        if damage == "torn":
            path.write_bytes(b"SQLite format 3\0" + b"x" * 5000)
        elif damage == "version":
            with contextlib.closing(sqlite3.connect(path)) as db:
                db.execute("UPDATE facts SET value = '0' WHERE name = 'version'")
                db.commit()
        else:
            with contextlib.closing(sqlite3.connect(path)) as db:
                db.execute("UPDATE places SET position = '99999999999999-0'")  # a store that was set back
                db.commit()
        async with keeping(talk.store, tmp_path / "search"):
            await until(lambda: found(tmp_path / "search", "退款"), 30)


async def test_what_can_be_found(store_url: str, tmp_path: Path) -> None:
    """Texts, subjects, ids of platforms, names of files, details such as an order's number, notes of agents."""
    async with indexing(store_url, tmp_path) as (talk, indexer):
        media = (Media("application/pdf", "发票-2026.pdf", 3, ref="https://example.com/x"),)
        whole = Message(
            *("MSG-77", "wechat:u", AT, "正文 Hello"),
            subject="主题行",
            media=media,
            details={"order": {"id": 420001234}},
        )
        name = await talk.place(whole)
        await talk.place(Echo("OUT-1", "wechat:u", AT + 1, "我们的回答", author="客服"))
        await Desk(talk.store, Wakes(talk.store), lambda: AT).note(name, ADMIN, "仅内部可见")
        await settled(indexer)
        folder = tmp_path / "search"
        for text in ("正文", "hello", "主题", "msg-77", "发票-2026", "42000123", "我们的", "内部"):
            assert len(await found(folder, text)) == 1, text
        assert len(await found(folder, "部", Narrow(direction="note"))) == 1
        for text in ("正文", name, "wechat:u", "仅内部可见 hello"):
            assert await conversations(folder, text) == [name], text


async def test_the_index_follows_names_and_states(store_url: str, tmp_path: Path) -> None:
    """What is said of a contact or a conversation later is what is found."""
    async with indexing(store_url, tmp_path) as (talk, indexer):
        name = await talk.say("u", "退款", team="frontdesk")
        await settled(indexer)
        record = await talk.store.do(tag(parse_id(name, "c").partition), "HGET", _hash(name), "contact")
        await contacts.update(talk.store, record, ADMIN, {"name": "欧阳娜娜"}, AT)
        await settled(indexer)
        folder = tmp_path / "search"
        assert await conversations(folder, "欧阳") == [name]
        assert await found(folder, "退款", Narrow(team="frontdesk"))


def _hash(name: str) -> str:
    place = parse_id(name, "c")
    return key(place.partition, f"c:{place.key}")


async def test_what_is_forgotten_is_gone_from_every_index(store_url: str, tmp_path: Path) -> None:
    """Each machine's index removes a conversation, also one that is built later; others stay."""
    async with indexing(store_url, tmp_path) as (talk, indexer):
        gone, kept = await talk.say("one", "秘密 退款"), await talk.say("two", "退款")
        await settled(indexer)
        place = parse_id(gone, "c")
        await talk.store.do(tag(place.partition), "DEL", _hash(gone))
        await forget(talk.store, [gone], AT)
        await settled(indexer)
        other = Indexer(talk.store, Generations(tmp_path / "other"), "elsewhere")
        await settled(other)
        other.close()
        for folder in (tmp_path / "search", tmp_path / "other"):
            assert not await found(folder, "秘密")
            assert not await conversations(folder, "客户one")
            assert await conversations(folder, "退款") == [kept]


async def test_tells_how_it_stands(store_url: str, tmp_path: Path) -> None:
    """Each machine says in the store how many messages it has, how far behind it is, and how far a new one is."""
    async with talking(store_url, tmp_path) as talk, keeping(talk.store, tmp_path / "search"):
        await talk.many(3, 5, "退款")

        async def ready() -> Standing | None:
            said = await talk.store.do("hub", "HGET", STATES, "here")
            one = msgspec.json.decode(said, type=Standing) if said else None
            return one if one is not None and one.state == "ready" and one.messages == 15 else None

        standing = await until(ready, 30)
        assert standing is not None
        assert (standing.progress, standing.behind) == (1.0, 0.0)
        assert standing.size > 10_000
        assert standing.built > AT
