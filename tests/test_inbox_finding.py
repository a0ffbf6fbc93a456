"""The index finds exactly what somebody would find who reads every message."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from inbox import finding
from inbox.conversations import Conversation
from inbox.findable import DIRECTIONS, Piece, snippet
from inbox.finding import Finder, Narrow, NoIndex
from inbox.generations import Generations
from inbox.grams import BadQuery, Query, joined, parse
from inbox.index import Document, Index

PIECES = [*"退款货我要头髮a1ZＲ龘👍é-_ .。", "退款", "退货", "refund", "Order", "4200", "请问", "\n"]
TEXTS = st.lists(st.sampled_from(PIECES), min_size=1, max_size=12).map("".join)
TEAMS = ("frontdesk", "complaints")
DOCUMENTS = st.lists(st.tuples(st.integers(0, 4), TEXTS, st.sampled_from(list(DIRECTIONS.values()))), max_size=25)
QUERIES = st.lists(st.sampled_from(PIECES), min_size=1, max_size=5).map("".join)


def document(number: int, conversation: int, text: str, way: str) -> Document:
    return Document(number % 3, 1000 + number, number, f"c{conversation}-1-0", way, 1000 + number, [text])


def conversation(number: int) -> Conversation:
    """Return one of five conversations, of two teams; the odd ones were busy last."""
    return Conversation(
        f"c{number}-1-0",
        "shop",
        "wechat",
        f"wechat:u{number}",
        f"k{number}-1-0",
        team=TEAMS[number % 2],
        subject=f"第{number}号",
        last_message_at=100 + number % 2 * 50 + number,
        tags=("vip",) if number == 3 else (),
    )


@contextmanager
def indexed(documents: list[Document]) -> Iterator[tuple[Index, Finder]]:
    """Yield an index of *documents* and a finder that reads it."""
    with TemporaryDirectory() as name:
        generations = Generations(Path(name))
        index = Index(generations.fresh())
        for one in documents:
            index.add(one)
        for number in range(5):
            index.describe(conversation(number), {"name": f"客户{number}"})
        index.commit()
        generations.use(index.path)
        finder = Finder(lambda: Path(name))
        try:
            yield index, finder
        finally:
            finder.close()
            index.close()


async def everything(finder: Finder, query: Query, narrow: Narrow, count: int = 7) -> list[int]:
    """Return the numbers of all messages that are found, page by page."""
    found: list[int] = []
    after = 0
    while True:
        hits = await finder.messages(query, narrow, after, count)
        found += [hit.number for hit in hits.found]
        after = hits.after
        if not after:
            return found


async def all_conversations(finder: Finder, query: Query, narrow: Narrow) -> list[str]:
    found: list[str] = []
    after = None
    while True:
        spots, after = await finder.conversations(query, narrow, after, 2)
        found += [name for _, name in spots]
        if after is None:
            return found


@pytest.mark.parametrize("small", [False, True], ids=["as configured", "tiny steps"])
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(documents=DOCUMENTS, text=QUERIES, team=st.sampled_from(("", *TEAMS)), hidden=st.booleans())
def test_search_is_a_naive_scan(
    monkeypatch: pytest.MonkeyPatch, small: bool, documents: list[Any], text: str, team: str, hidden: bool
) -> None:
    """Messages and conversations are those that a scan of all texts finds, in order, whatever the sizes of steps."""
    if small:
        monkeypatch.setattr(finding, "LATEST", "ORDER BY 1 DESC LIMIT 3")
        monkeypatch.setattr(finding, "LOOKED", 3)
        monkeypatch.setattr(finding, "BROAD", 2)
        monkeypatch.setattr(finding, "WALKED", 2)
    try:
        query = parse(text)
    except BadQuery:
        return
    made = [document(number, *one) for number, one in enumerate(documents)]
    narrow = Narrow(team=team, hidden=frozenset({"complaints"}) if hidden else frozenset())
    shown = {
        number
        for number in range(5)
        if TEAMS[number % 2] not in narrow.hidden and (not team or TEAMS[number % 2] == team)
    }
    naive = [
        number + 1
        for number, one in enumerate(made)
        if int(one.conversation[1]) in shown and query.fits(joined(one.parts))
    ]

    def has(number: int, word: str) -> bool:
        card = joined([f"第{number}号", f"客户{number}", f"wechat:u{number}", f"c{number}-1-0", f"k{number}-1-0"])
        texts = [joined(one.parts) for one in made if one.conversation == f"c{number}-1-0"]
        return any(word in each for each in [card, *texts])

    spots = [conversation(number) for number in shown if all(has(number, word) for word in query.words)]
    wanted = [one.id for one in sorted(spots, key=lambda one: (one.last_message_at, one.id), reverse=True)]
    with indexed(made) as (_, finder):
        assert asyncio.run(everything(finder, query, narrow)) == naive[::-1]
        assert asyncio.run(all_conversations(finder, query, narrow)) == wanted


@pytest.mark.parametrize(
    ("narrow", "found"),
    [
        (Narrow(), {0, 1, 2, 3, 4}),
        (Narrow(tag="vip"), {3}),
        (Narrow(tag="vi"), set()),
        (Narrow(direction="note"), {4}),
        (Narrow(since=1002, until=1004), {2, 3}),
        (Narrow(kind="email"), set()),
        (Narrow(kind="wechat", channel="shop", status="open"), {0, 1, 2, 3, 4}),
    ],
)
def test_what_a_search_is_narrowed_to(narrow: Narrow, found: set[int]) -> None:
    """Each filter holds by itself."""
    made = [document(number, number, "退款", "note" if number == 4 else "inbound") for number in range(5)]
    with indexed(made) as (_, finder):
        assert {one - 1 for one in asyncio.run(everything(finder, parse("退款"), narrow))} == found


def test_a_message_is_found_by_its_id() -> None:
    """The id that the API gives a message leads to it and to no other."""
    made = [document(number, 0, "退款", "inbound") for number in range(4)]
    with indexed(made) as (_, finder):
        hits = asyncio.run(finder.messages(parse("m1-1001-1"), Narrow(), 0, 5))
        assert [str(hit.place) for hit in hits.found] == ["m1-1001-1"]
        assert asyncio.run(everything(finder, parse("m1-1001-2"), Narrow())) == []


def test_what_is_forgotten_leaves_no_words() -> None:
    """A forgotten conversation is not found, its neighbours are, and its words go out of the file."""
    made = [document(number, number % 2, f"退款 secret{number % 2}", "inbound") for number in range(40)]
    with indexed(made) as (index, finder):
        index.forget("c1-1-0")
        index.commit()
        assert asyncio.run(everything(finder, parse("secret1"), Narrow())) == []
        assert asyncio.run(all_conversations(finder, parse("客户1"), Narrow())) == []
        assert len(asyncio.run(everything(finder, parse("退款"), Narrow()))) == 20
        for _ in itertools.takewhile(bool, iter(index.settle, False)):
            pass
        assert not index.settle()
        path = index.path
        index.close()
        assert b"secret1" not in path.read_bytes()


def test_a_message_twice_is_there_once() -> None:
    """A log that is read again changes nothing; a message that has moved is found where it is now."""
    one = document(1, 0, "退款", "inbound")
    moved = Document(one.partition, one.ms, one.sequence, "c3-1-0", one.direction, one.at, one.parts)
    with indexed([one, one, moved, moved]) as (_, finder):
        hits = asyncio.run(finder.messages(parse("退款"), Narrow(), 0, 5))
        assert [hit.conversation for hit in hits.found] == ["c3-1-0"]


def test_without_an_index_nothing_is_claimed(tmp_path: Path) -> None:
    """That there is no index is told, not that there is nothing to be found."""
    finder = Finder(lambda: tmp_path / "nowhere")
    try:
        with pytest.raises(NoIndex):
            asyncio.run(finder.messages(parse("退款"), Narrow(), 0, 5))
    finally:
        finder.close()


@pytest.mark.parametrize(
    ("text", "query", "shown"),
    [
        ("我要退款", "退款", "我要[退款]"),
        ("頭髮", "头发", "[頭髮]"),
        ("ＯＲＤＥＲ\n12 order", '"order 12"', "[ＯＲＤＥＲ\n12] order"),
        ("退款 and refund", "refund 退款", "[退款] and [refund]"),
        ("x" * 100 + "退款" + "y" * 300, "退款", "…" + "x" * 24 + "[退款]" + "y" * 134 + "…"),
        ("👍退款👍", "退款", "👍[退款]👍"),
        ("nothing", "退款", "nothing"),
    ],
)
def test_a_snippet_marks_the_hits(text: str, query: str, shown: str) -> None:
    """What was looked for is marked in the customer's own spelling, with a little of what stands around it."""
    pieces: list[Piece] = snippet([text], parse(query))
    assert "".join(f"[{one.text}]" if one.hit else one.text for one in pieces) == shown


async def test_a_generation_that_is_swept_away_meanwhile_is_no_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    """Between being named as the one in use and being opened, a file may be deleted: the next one is asked."""
    with indexed([document(1, 1, "退款", "in")]) as (_, finder):
        real = Generations.current
        gone = iter([Path("/nowhere/index-1.db")])
        monkeypatch.setattr(Generations, "current", lambda self: next(gone, None) or real(self))
        hits = await finder.messages(parse("退款"), Narrow(), 0, 10)
        assert 1 == len(hits.found)


def test_while_generations_follow_each_other_one_is_always_in_use(tmp_path: Path) -> None:
    """Whoever asks in the moment in which a generation is replaced and swept away gets the one that replaced it."""
    generations = Generations(tmp_path)

    def renew() -> None:
        path = generations.fresh()
        path.touch()
        generations.use(path)
        generations.sweep(path)

    renew()
    with ThreadPoolExecutor(1) as other:
        renewed = [other.submit(renew) for _ in range(500)]
        while not renewed[-1].done():
            assert generations.current() is not None
    assert [None] * 500 == [one.result() for one in renewed]
