"""Download the files that platforms hand over as references, and try again until the platform gives them up.

A message is on the timeline before its files are: a platform that is slow with media neither delays
nor loses the words. A file that cannot be had is shown as such, with the reason. A file of somebody who was erased
meanwhile is nobody's any more.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import msgspec

from connectors.base import Media, SendError, Unreachable
from inbox import log as logbook
from inbox import rewriting
from inbox.attachments import Attachments, TooLarge
from inbox.channels import Channels
from inbox.leases import Held
from inbox.log import ERASED, Entry
from inbox.partitions import key, tag
from inbox.recording import Rest
from inbox.store import Script, Store, StoreError
from inbox.wakes import Wakes

log = logging.getLogger(__name__)

FETCHED = Script.load(Path(__file__).parent / "scripts" / "fetched.lua")
DUE = "fetch"
WAITS = (5_000, 30_000, 120_000, 600_000, 3_600_000, 3 * 3_600_000)
SCAN = 20


class Fetched(msgspec.Struct, frozen=True, omit_defaults=True):
    """What became of a file: its hash, or why it cannot be had; *tries* so far while neither is known."""

    sha: str = ""
    size: int = 0
    type: str = ""
    name: str = ""
    error: str = ""
    tries: int = 0


def pending(media: Media) -> bool:
    """Tell whether a file still has to be downloaded."""
    return media.data is None and bool(media.ref) and not media.ref.startswith(("sha256:", "refused:"))


class Fetching:
    """Works through the files that a partition still misses."""

    def __init__(
        self, store: Store, wakes: Wakes, channels: Channels, attachments: Attachments, now: Callable[[], int]
    ) -> None:
        self._store = store
        self._wakes = wakes
        self._channels = channels
        self._attachments = attachments
        self._now = now

    async def turn(self, held: Held) -> int | None:
        """Fetch what is due; return when the next one is. Raises `StoreError`."""
        name, slot = key(held.partition, DUE), tag(held.partition)
        for job in await self._store.do(slot, "ZRANGEBYSCORE", name, "-inf", self._now(), "LIMIT", 0, SCAN):
            try:
                await self._one(held.partition, job)
            except StoreError:
                raise
            except Exception:
                # Whatever is wrong with this one, those behind it are not to wait for it.
                log.exception("file %s of partition %s could not be looked at", job, held.partition)
                await self._store.do(slot, "ZADD", name, "XX", self._now() + WAITS[-1], job)
        later = await self._store.do(slot, "ZRANGE", name, 0, 0, "WITHSCORES")
        return int(float(later[1])) if later else None

    async def _one(self, partition: int, job: str) -> None:
        position, _, index = job.rpartition(":")
        entry = (await logbook.fetch(self._store, [(partition, position)]))[0]
        media = wanted(entry, int(index)) if entry is not None else None
        if entry is None or media is None:
            await self._store.do(tag(partition), "ZREM", key(partition, DUE), job)
            return
        known = await self._store.do(tag(partition), "HGET", key(partition, f"f:{position}"), index)
        tries = msgspec.json.decode(known, type=Fetched).tries if known else 0
        retryable = False
        try:
            result = await self.fetch(entry.fields["ch"], media)
        except SendError as error:
            result, retryable = Fetched(error=str(error)), error.retryable
        except TooLarge as error:
            result = Fetched(error=str(error))
        except StoreError:
            raise
        except Exception as error:
            # A fault of the connector or of our disk: the files behind this one must not wait for it.
            log.exception("a file of channel %s could not be fetched", entry.fields["ch"])
            result, retryable = Fetched(error=f"the hub failed ({type(error).__name__})"), True
        if retryable and tries < len(WAITS):
            again = msgspec.structs.replace(result, tries=tries + 1)
            await self._note(partition, job, again, self._now() + WAITS[tries])
            return
        await self._done(partition, job, result)

    async def fetch(self, channel_name: str, media: Media) -> Fetched:
        """Download a file and keep it. Raises a `SendError`, `TooLarge`, `StoreError`."""
        channel = self._channels.get(channel_name)
        if channel is not None and channel.connector is None:
            raise Unreachable(f"channel {channel_name} is down")
        if channel is None or channel.fetcher is None:
            return Fetched(error=f"channel {channel_name} cannot download files")
        got = await channel.fetcher.fetch(media)
        if got.data is None:
            return Fetched(error="the platform gave no file")
        sha = await self._attachments.save(got.data)
        return Fetched(sha, len(got.data), got.type or media.type, got.name or media.name)

    async def _note(self, partition: int, job: str, result: Fetched, again: int | None = None) -> bool:
        """Write down what became of a file; False if nobody wants it any more. *again*: when it is tried next."""
        position, _, index = job.rpartition(":")
        keys = [key(partition, DUE), key(partition, f"f:{position}")]
        arguments = (job, index, msgspec.json.encode(result), "" if again is None else again)
        return bool(await self._store.run(FETCHED, tag(partition), keys, arguments))

    async def _done(self, partition: int, job: str, result: Fetched) -> None:
        if result.error:
            log.warning("a file could not be fetched: %s", result.error)
        if not await self._note(partition, job, result):
            await self._drop(result.sha)
            return
        if result.sha and not await self._attachments.renew(result.sha):
            return  # somebody else's same file was erased meanwhile: it is due still
        await self._store.do(tag(partition), "ZREM", key(partition, DUE), job)
        self._wakes.ring((f"p{partition}",))

    async def _drop(self, sha: str) -> None:
        """Remove a file that came after its message was erased, unless somebody else's message needs it."""
        if not sha:
            return
        kept = await self._attachments.kept_at(sha)
        if sha not in await rewriting.mentioned(self._store, (sha,)):
            await self._attachments.remove(sha, kept)


def wanted(entry: Entry, index: int) -> Media | None:
    """Return the file at a place of a message, None if that is not there any more: whoever wrote it was erased."""
    body = entry.fields.get("b")
    if not body or entry.fields.get("ty") == ERASED:
        return None
    media = msgspec.json.decode(body, type=Rest).media
    return media[index] if index < len(media) else None
