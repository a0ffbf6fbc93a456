"""Files that come as references are fetched later, as often as it takes, and never in the way of words."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import cast

import pytest

from connectors.base import Connector, Media, Rejected, SendError, Throttled, Unreachable
from inbox import log as logbook
from inbox import rewriting, shapes
from inbox.attachments import Attachments
from inbox.channels import Channel
from inbox.fetching import DUE, WAITS, Fetching, pending
from inbox.partitions import key, tag
from inbox.timeline import MESSAGES, items
from outbox.blanking import blanked
from tests.backroom import Platform, Room, room

ADDRESS = "tel:+8613800138000"
PICTURE = Media("image/jpeg", "photo.jpg", ref="media-1")


class Library(Platform):
    """A platform from which files must be fetched."""

    def __init__(self) -> None:
        super().__init__()
        self.outcomes: list[Media | Exception] = []
        self.asked: list[str] = []

    async def fetch(self, media: Media) -> Media:
        self.asked.append(media.ref)
        outcome = self.outcomes.pop(0) if self.outcomes else Media("image/png", data=b"bytes")
        if isinstance(outcome, Exception):
            raise outcome
        return outcome


@pytest.fixture
async def inbox(store_url: str, tmp_path: Path) -> AsyncIterator[Room]:
    async with room(store_url, tmp_path, platforms={"shop": Library()}) as made:
        yield made


@pytest.fixture
def library(inbox: Room) -> Library:
    return cast("Library", inbox.platform())


@pytest.fixture
def fetching(inbox: Room) -> Fetching:
    return Fetching(inbox.store, inbox.wakes, inbox.channels, inbox.attachments, inbox.clock)


async def shown(inbox: Room, conversation_id: str) -> list[dict[str, object]]:
    """Return the files of a conversation's last message as the API shows them."""
    found, _ = await items(inbox.store, (await inbox.load(conversation_id)).place, MESSAGES, None, 1)
    entry = found[0].entry
    place = entry.partition
    reply = await inbox.store.do(str(place), "HGETALL", f"hl:{{{place}}}:f:{entry.id}")
    fetched = dict(zip(reply[::2], reply[1::2], strict=True))
    return shapes.attachments_shape(found[0], entry.rest()["media"], fetched)


async def test_a_file_is_fetched_and_shown(inbox: Room, fetching: Fetching, library: Library) -> None:
    """The message is there at once with the file pending; after the turn it is ready, with what was learnt of it."""
    one = await inbox.write("see", ADDRESS, media=(PICTURE,))
    assert ["pending"] == [file["state"] for file in await shown(inbox, one)]

    library.outcomes = [Media("image/webp", "better.webp", data=b"12345")]
    assert None is await fetching.turn(inbox.held(ADDRESS))

    [file] = await shown(inbox, one)
    assert ("ready", "image/webp", "better.webp", 5) == (file["state"], file["type"], file["name"], file["size"])
    assert ["media-1"] == library.asked
    await fetching.turn(inbox.held(ADDRESS))
    assert ["media-1"] == library.asked


@pytest.mark.parametrize(
    "error",
    [
        Unreachable("the platform is away"),
        Throttled("slowly", retry_after=1),
        RuntimeError("a bug of the connector"),
        OSError(28, "No space left on device"),
    ],
)
async def test_what_may_pass_is_tried_again(
    inbox: Room, fetching: Fetching, library: Library, error: Exception
) -> None:
    """A platform, a connector or a disk that fails for a while costs no file: it is fetched at the next time."""
    one = await inbox.write("see", ADDRESS, media=(PICTURE,))
    library.outcomes = [error]
    began = inbox.clock()
    due = await fetching.turn(inbox.held(ADDRESS))

    assert due is not None
    assert began + WAITS[0] <= due <= inbox.clock() + WAITS[0]
    assert ["pending"] == [file["state"] for file in await shown(inbox, one)]
    await fetching.turn(inbox.held(ADDRESS))
    assert 1 == len(library.asked)
    inbox.clock.offset += WAITS[0] + 1
    assert None is await fetching.turn(inbox.held(ADDRESS))
    assert ["ready"] == [file["state"] for file in await shown(inbox, one)]


async def test_after_the_last_try_the_reason_is_shown(inbox: Room, fetching: Fetching, library: Library) -> None:
    """A file that cannot be had after all waits is shown as failed, with the reason, and asked for no more."""
    one = await inbox.write("see", ADDRESS, media=(PICTURE,))
    library.outcomes = [Unreachable("the platform is away")] * (len(WAITS) + 1)
    for wait in (*WAITS, 1):
        await fetching.turn(inbox.held(ADDRESS))
        inbox.clock.offset += wait + 1

    [file] = await shown(inbox, one)
    assert ("failed", "the platform is away", None) == (file["state"], file["error"], file["url"])
    assert len(WAITS) + 1 == len(library.asked)


@pytest.mark.parametrize(
    ("outcome", "reason"),
    [
        (Rejected("the file has expired"), "the file has expired"),
        (Media("image/png"), "the platform gave no file"),
        (Media("a/b", data=b"x" * 101), "the file has 101 bytes"),
    ],
)
async def test_what_will_not_pass_is_told_at_once(
    inbox: Room, library: Library, outcome: Media | SendError, reason: str, tmp_path: Path
) -> None:
    """A file that is gone, empty or too large is failed with the reason."""
    fetching = Fetching(inbox.store, inbox.wakes, inbox.channels, Attachments(tmp_path, 100), inbox.clock)
    one = await inbox.write("see", ADDRESS, media=(PICTURE,))
    library.outcomes = [outcome]
    assert None is await fetching.turn(inbox.held(ADDRESS))

    [file] = await shown(inbox, one)
    assert "failed" == file["state"]
    assert str(file["error"]).startswith(reason)


async def test_one_bad_file_does_not_stop_the_others(inbox: Room, fetching: Fetching, library: Library) -> None:
    """Every file of a message has its own fate."""
    media = tuple(Media("image/png", f"{number}.png", ref=f"m{number}") for number in range(4))
    one = await inbox.write("see", ADDRESS, media=media)
    library.outcomes = [RuntimeError("a bug"), Rejected("gone")]
    await fetching.turn(inbox.held(ADDRESS))

    assert ["failed", "pending", "ready", "ready"] == sorted(str(file["state"]) for file in await shown(inbox, one))


async def jobs(inbox: Room) -> list[str]:
    """Return what is still to be fetched in the partition of the customer."""
    here = inbox.held(ADDRESS).partition
    return list(await inbox.store.do(tag(here), "ZRANGE", key(here, DUE), 0, -1))


async def test_the_file_of_somebody_who_was_erased_is_not_asked_for(
    inbox: Room, fetching: Fetching, library: Library
) -> None:
    """What is left of their message names no file: nobody looks for it, and the files behind it come as ever."""
    await inbox.write("see", ADDRESS, media=(PICTURE,))
    here = inbox.held(ADDRESS).partition
    [job] = await jobs(inbox)
    [entry] = await logbook.fetch(inbox.store, [(here, job.rpartition(":")[0])])
    assert entry is not None
    await rewriting.rewrite(inbox.store, here, {entry.id: blanked(entry, "erased:1")})
    one = await inbox.write("and this", ADDRESS, media=(Media("image/png", "b.png", ref="media-2"),))

    assert None is await fetching.turn(inbox.held(ADDRESS))
    assert ["media-2"] == library.asked
    assert ["ready"] == [file["state"] for file in await shown(inbox, one)]
    assert [] == await jobs(inbox)


@pytest.mark.parametrize("number", ["9", "x"])
async def test_a_file_that_nobody_can_make_sense_of_holds_up_no_other(
    inbox: Room, fetching: Fetching, number: str
) -> None:
    """Whatever is wrong with the first file that is due, those behind it are fetched in the same turn."""
    one = await inbox.write("see", ADDRESS, media=(PICTURE,))
    here = inbox.held(ADDRESS).partition
    [job] = await jobs(inbox)
    wrong = f"{job.rpartition(':')[0]}:{number}"
    await inbox.store.do(tag(here), "ZADD", key(here, DUE), 1, wrong)

    due = await fetching.turn(inbox.held(ADDRESS))
    assert due is None or due > inbox.clock()
    assert ["ready"] == [file["state"] for file in await shown(inbox, one)]


async def test_a_channel_that_is_down_keeps_its_files(inbox: Room, fetching: Fetching) -> None:
    """A connector that could not be built today may be tomorrow; a channel that is gone for good is told."""
    one = await inbox.write("see", ADDRESS, media=(PICTURE,))
    up = inbox.channels.by_name
    inbox.channels.by_name = {"shop": Channel("shop", "scripted", None, reason="no secret")}
    assert await fetching.turn(inbox.held(ADDRESS)) is not None
    inbox.channels.by_name = up
    inbox.clock.offset += WAITS[0] + 1
    await fetching.turn(inbox.held(ADDRESS))
    assert ["ready"] == [file["state"] for file in await shown(inbox, one)]

    two = await inbox.write("see", ADDRESS, media=(PICTURE,))
    inbox.channels.by_name = {"shop": Channel("shop", "scripted", cast("Connector", Platform()))}
    await fetching.turn(inbox.held(ADDRESS))
    assert ["failed"] == [file["state"] for file in await shown(inbox, two)]


@pytest.mark.parametrize(
    ("media", "expected"),
    [
        (Media("a/b", ref="x"), True),
        (Media("a/b", ref="sha256:00"), False),
        (Media("a/b", ref="refused:too large"), False),
        (Media("a/b", data=b""), False),
        (Media("a/b"), False),
    ],
)
def test_pending(media: Media, expected: bool) -> None:
    """Only a platform's reference is still to be fetched."""
    assert expected == pending(media)
