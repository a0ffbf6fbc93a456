"""Whatever comes from outside is stored once, whole, and counted."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from connectors.base import Echo, Event, Ignored, Media, Message, Notice, Receipt, Window
from inbox import log as logbook
from inbox.attachments import Attachments
from inbox.log import Entry
from inbox.partitions import COUNT, partition_of
from inbox.recording import LAST_TIME, Recorder, Rest, receipt_partition
from inbox.store import Store
from inbox.wakes import Wakes
from tests.backroom import message, opened

ADDRESS = "tel:+8613800138000"
NUMBERS = itertools.count()
LETTERS = st.characters(codec="utf-8")


@pytest.fixture
async def store(store_url: str) -> AsyncIterator[Store]:
    async with opened(store_url) as store:
        yield store


@pytest.fixture
def recorder(store: Store, tmp_path: Path) -> Recorder:
    return Recorder(store, Wakes(store), Attachments(tmp_path / "files", max_size=1000))


async def logged(store: Store, address: str = ADDRESS) -> list[Entry]:
    """Return everything in the log of an address's partition."""
    return await logbook.read(store, partition_of(address), "0-0", 1000)


async def all_logged(store: Store) -> int:
    lengths = await asyncio.gather(*(store.do(str(p), "XLEN", f"hl:{{{p}}}:log") for p in range(COUNT)))
    return sum(lengths)


async def test_parallel_deliveries_of_one_message_store_it_once(store: Store, recorder: Recorder) -> None:
    """32 deliveries at once of each of 200 ids leave 200 messages, and the other 6200 are counted as duplicates."""
    events = [message("hi", f"tel:+86138{number:08}", id=f"m{number}", now=1) for number in range(200)]

    await asyncio.gather(*(recorder.record("shop", [event]) for event in events for _ in range(32)))

    assert 200 == await all_logged(store)
    assert {"received": 6400, "recorded": 200, "duplicate": 6200} == {
        outcome: count for (_, outcome), count in recorder.counts.items()
    }


async def test_a_duplicate_is_known_after_a_restart(store: Store, recorder: Recorder, store_url: str) -> None:
    """Another process that has never seen the id finds it in the store, and says where the first one stands."""
    [first] = await recorder.record("shop", [message("hi", id="m1", now=1)])
    async with opened(store_url) as other:
        again = Recorder(other, Wakes(other), Attachments(Path()))
        [second] = await again.record("shop", [message("hi", id="m1", now=2)])

    assert first is not None
    assert second is not None
    assert (True, False) == (first.first, second.first)
    assert first.position == second.position


@pytest.mark.parametrize(
    ("one", "other"),
    [
        pytest.param(("shop", message("a", id="m1")), ("spare", message("a", id="m1")), id="of two channels"),
        pytest.param(("shop", message("a", id="m1")), ("shop", message("a", id="m2")), id="with two ids"),
        pytest.param(("shop", message("a", id="m1")), ("shop", Notice("m1", ADDRESS, 1, "enter")), id="of two kinds"),
        pytest.param(("shop", message("a", id="m1")), ("shop", Echo("m1", ADDRESS, 1, "a")), id="theirs and ours"),
        pytest.param(("shop", Receipt("m1", "sent", 1)), ("shop", Receipt("m1", "read", 2)), id="two states"),
    ],
)
async def test_different_events_are_no_duplicates(
    store: Store, recorder: Recorder, one: tuple[str, Event], other: tuple[str, Event]
) -> None:
    """Channel, kind of event, id and (for receipts) state together tell events apart."""
    await recorder.record(one[0], [one[1]])
    [recorded] = await recorder.record(other[0], [other[1]])

    assert recorded is not None
    assert recorded.first


async def test_received_is_the_sum_of_what_became_of_events(store: Store, recorder: Recorder) -> None:
    """Received = recorded + duplicate + ignored + shunted, for every channel, in any order of events."""
    for number in range(40):
        event: Event = Ignored(f"i{number}", "typing") if number % 4 == 0 else message("hi", id=f"m{number % 7}", now=1)
        await recorder.record(f"c{number % 3}", [event])
        if number % 5 == 0:
            await recorder.shunt(f"c{number % 3}", b"?", "not understood", {}, 1)

    for channel in ("c0", "c1", "c2"):
        counts = {outcome: count for (name, outcome), count in recorder.counts.items() if name == channel}
        assert counts["received"] == sum(counts[name] for name in ("recorded", "duplicate", "ignored", "shunted"))


async def test_an_ignored_event_leaves_nothing(store: Store, recorder: Recorder) -> None:
    """What the connector deliberately does not keep is counted and not stored."""
    assert [None] == await recorder.record("shop", [Ignored("i1", "typing")])
    assert 0 == await all_logged(store)


async def test_the_events_of_one_call_keep_their_order(store: Store, recorder: Recorder) -> None:
    """Messages of one customer that come in one webhook stand in the log as they came, files or not."""
    files = [(Media("image/png", data=b"x" * 500),), (), (Media("image/png", data=b"y" * 900),), (), ()]
    events = [message(f"{number}", id=f"m{number}", now=1, media=media) for number, media in enumerate(files)]

    await recorder.record("shop", events)

    assert ["0", "1", "2", "3", "4"] == [entry.fields["tx"] for entry in await logged(store)]


async def test_files_are_kept_by_their_hash(store: Store, recorder: Recorder, tmp_path: Path) -> None:
    """The bytes lie in a file, once however often they come; the log holds the hash, name, type and size."""
    media = (Media("image/png", "a.png", data=b"picture"), Media("image/png", "b.png", data=b"picture"))
    await recorder.record("shop", [message("see", id="m1", now=1, media=media)])

    [entry] = await logged(store)
    kept = entry.rest()["media"]
    assert [("a.png", 7), ("b.png", 7)] == [(one["name"], one["size"]) for one in kept]
    assert kept[0]["ref"] == kept[1]["ref"]
    assert "data" not in kept[0]
    [file] = [path for path in (tmp_path / "files").rglob("*") if path.is_file()]
    assert b"picture" == file.read_bytes()
    assert f"sha256:{file.name}" == kept[0]["ref"]


async def test_a_file_that_is_too_large_does_not_cost_the_message(store: Store, recorder: Recorder) -> None:
    """The words are stored, the file is refused with the reason, and nothing of it lies on the disk."""
    await recorder.record("shop", [message("see", id="m1", now=1, media=(Media("a/b", data=b"x" * 1001),))])

    [entry] = await logged(store)
    assert "see" == entry.fields["tx"]
    assert entry.rest()["media"][0]["ref"].startswith("refused:the file has 1001 bytes")


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    text=st.text(st.characters(codec="utf-8"), max_size=200), name=st.text(st.characters(codec="utf-8"), max_size=20)
)
async def test_every_text_comes_back_as_it_was(store: Store, recorder: Recorder, text: str, name: str) -> None:
    """NUL, controls, emoji, rare Chinese and right-to-left text survive storing, in every field."""
    details = {"note": text, "list": [name]}
    event = Message(f"h{next(NUMBERS)}", ADDRESS, 1, text, name=name, subject=text, html=text, details=details)
    [recorded] = await recorder.record("shop", [event])

    assert recorded is not None
    entry = (await logbook.fetch(store, [(recorded.partition, recorded.position)]))[0]
    assert entry is not None
    body = entry.rest()
    assert (text, name) == (entry.fields["tx"], entry.fields["n"])
    assert [text, text] == [body.get("subject", ""), body.get("html", "")]
    assert details == body["details"]


@pytest.mark.parametrize(
    ("given_", "kept"),
    [
        ("\ud83d\ude00", "😀"),
        ("a\ud800b", "a�b"),
        ("\udc00", "�"),
        ("好\ud83d", "好�"),
    ],
)
async def test_half_a_character_does_not_lose_the_message(
    store: Store, recorder: Recorder, given_: str, kept: str
) -> None:
    """JSON can carry one half of a surrogate pair, UTF-8 cannot: pairs are joined, halves become U+FFFD."""
    await recorder.record("shop", [message(given_, id="m1", now=1, name=given_, subject=given_)])

    [entry] = await logged(store)
    assert (kept, kept, kept) == (entry.fields["tx"], entry.fields["n"], entry.rest()["subject"])


@pytest.mark.parametrize(("claimed", "kept"), [(-1, 1), (0, 1), (5, 5), (10**18, LAST_TIME)])
async def test_a_claimed_time_can_always_be_printed(store: Store, recorder: Recorder, claimed: int, kept: int) -> None:
    """A sender may claim any date; what is kept can be shown as RFC 3339."""
    await recorder.record("shop", [message("hi", id="m1", at=claimed)])

    [entry] = await logged(store)
    assert str(kept) == entry.fields["at"]


async def test_what_an_event_has_beyond_its_fields_comes_back(store: Store, recorder: Recorder) -> None:
    """Window, handle, references and the mark of machine mail are stored and read with their types."""
    event = message("hi", id="m1", now=1, refs=("<a@b>",), handle="h1", window=Window(60, 3), auto=True)
    await recorder.record("shop", [event])

    [entry] = await logged(store)
    assert Rest(refs=("<a@b>",), handle="h1", window=(60, 3), auto=True) == decoded(entry)


def decoded(entry: Entry) -> Rest:
    return msgspec.json.decode(entry.fields["b"], type=Rest)


async def test_a_receipt_is_logged_where_its_message_is_known(store: Store, recorder: Recorder) -> None:
    """Receipts of one platform message, whatever their order, meet in one partition."""
    for state in ("read", "delivered"):
        await recorder.record("shop", [Receipt("x1", state, 1)])

    entries = await logbook.read(store, receipt_partition("shop", "x1"), "0-0", 10)
    assert ["read", "delivered"] == [entry.fields["st"] for entry in entries]


async def test_shunted_payloads_come_back_byte_by_byte(store: Store, recorder: Recorder) -> None:
    """What nobody could parse is listed newest first, read with error and description, and can be dropped once."""
    raw = bytes(range(256))
    meta: dict[str, Any] = {"url": "https://hub.example.com/hooks/shop", "headers": [["A", "b"]]}
    first = await recorder.shunt("shop", raw, "no JSON", meta, 1000)
    second = await recorder.shunt("gone", b"", "x" * 900, {}, 2000)

    found, following = await recorder.shunted("", 10)
    assert ([second, first], "") == ([one.id for one in found], following)
    one = await recorder.find_shunted(first)
    assert one is not None
    assert (raw, "no JSON", meta, 1000, "shop") == (one.raw, one.error, one.meta, one.at, one.channel)
    assert 500 == len(found[0].error)
    assert await recorder.drop_shunted(first)
    assert not await recorder.drop_shunted(first)
    assert await recorder.find_shunted(first) is None


async def test_a_long_list_of_shunted_payloads_comes_in_pages(store: Store, recorder: Recorder) -> None:
    """Every payload is on exactly one page, although many were shunted in the same millisecond."""
    ids = {await recorder.shunt(f"c{number % 5}", b"?", "?", {}, number // 10) for number in range(43)}

    seen: list[str] = []
    cursor = ""
    while True:
        found, cursor = await recorder.shunted(cursor, 7)
        seen += [one.id for one in found]
        if not cursor:
            break
    assert sorted(ids) == sorted(seen)
