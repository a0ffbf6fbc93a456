"""Runs the channels that must be asked (mail boxes, polls): each in one process, the owner of its home partition."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from contextlib import aclosing

from connectors.base import ConnectorError, Event, Listener
from inbox.channels import Channel, Channels
from inbox.leases import Held
from inbox.logs import place
from inbox.partitions import partition_of
from inbox.recording import Recorder
from inbox.store import StoreError
from inbox.wakes import Wakes

log = logging.getLogger(__name__)

LOOK = 5.0
STORE_PAUSE = 0.5
RESTART = (1.0, 60.0)
BELL = "listen"


def home(channel: str) -> int:
    """Return the partition whose owner listens to *channel*."""
    return partition_of(f"listen\x00{channel}")


class Listening:
    """The listeners of this process."""

    def __init__(self, wakes: Wakes, channels: Channels, recorder: Recorder, now: Callable[[], int]) -> None:
        self._wakes = wakes
        self._channels = channels
        self._recorder = recorder
        self._now = now

    async def follow(self, held: Held) -> None:
        """Listen to the channels at home in a partition until it is lost; follow changes of the configuration."""
        running: dict[str, tuple[Channel, asyncio.Task[None]]] = {}
        try:
            with self._wakes.listen(BELL) as news:
                while True:
                    news.clear()
                    for name, (channel, task) in list(running.items()):
                        if self._channels.get(name) is not channel:
                            task.cancel()
                            del running[name]
                    for channel in self._channels:
                        listens = channel.name not in running and home(channel.name) == held.partition
                        if listens and channel.listener is not None:
                            task = asyncio.create_task(
                                self._listen(channel, channel.listener), name=f"listen-{channel.name}"
                            )
                            running[channel.name] = (channel, task)
                    self._look(channel for channel, _ in running.values())
                    try:
                        async with asyncio.timeout(LOOK):
                            await news.wait()
                    except TimeoutError:
                        pass
        finally:
            for _, task in running.values():
                task.cancel()
            await asyncio.gather(*(task for _, task in running.values()), return_exceptions=True)

    def _look(self, channels: Iterable[Channel]) -> None:
        """Show what listeners that mend themselves say of their trouble."""
        for channel in channels:
            trouble = getattr(channel.connector, "trouble", None)
            if trouble is not None:
                channel.mark("degraded" if trouble else "up", trouble, self._now())

    async def _listen(self, channel: Channel, listener: Listener) -> None:
        """Record what a channel yields, for ever; a listener that fails is started again, ever more slowly."""
        wait = RESTART[0]
        while True:
            try:
                async with aclosing(listener.listen()) as events:
                    async for event in events:
                        await self._record(channel, event)
                        wait = RESTART[0]
                reason = "the listener ended"
            except Exception as error:  # noqa: BLE001  # whatever it is, the channel must come back
                # Only errors of the contract promise that they hold nothing personal.
                reason = f"{type(error).__name__}: {error}" if isinstance(error, ConnectorError) else place(error)
            channel.mark("degraded", reason, self._now())
            log.warning("channel %s does not listen: %s", channel.name, reason)
            await asyncio.sleep(wait)
            wait = min(wait * 2, RESTART[1])

    async def _record(self, channel: Channel, event: Event) -> None:
        """Make one event durable before the listener goes on; while the store is away the source keeps it."""
        while True:
            try:
                await self._recorder.record(channel.name, [event])
            except StoreError as error:
                log.warning("channel %s waits for the store: %s", channel.name, error)
                await asyncio.sleep(STORE_PAUSE)
                continue
            channel.heard([event], self._now())
            channel.mark("up", "", self._now())
            return
