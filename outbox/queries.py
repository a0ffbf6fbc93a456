"""Asks platforms what became of messages of which no answer came."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import Counter
from collections.abc import Callable, Sequence

from connectors.base import Known, Querier, Question, SendError
from inbox.channels import Channel, Channels
from inbox.leases import Held
from inbox.partitions import Id, partition_of
from inbox.store import Store, StoreError
from inbox.wakes import Wakes
from outbox.deliveries import Deliveries, NotNow
from outbox.echoes import Echoes
from outbox.material import Material, material
from outbox.plan import plan
from outbox.records import Delivery

log = logging.getLogger(__name__)

ASKS = (5_000, 60_000, 300_000, 1_800_000)
"""Milliseconds after the attempt at which the platform is asked; then only a person can tell."""

SURE = 50_000
"""Milliseconds after which a platform that does not list a message will not list it any more."""

SKEW = 120_000
"""Milliseconds by which a platform's clock may differ from ours."""

LIMIT = 15.0
FEW = 20
LOOK = 10.0


def querier(channel: Channel | None) -> Querier | None:
    """Return the connector, if its platform can be asked."""
    connector: object = channel.connector if channel is not None else None
    return connector if isinstance(connector, Querier) else None


class Queries:
    """Settles what is uncertain by asking."""

    def __init__(
        self,
        store: Store,
        wakes: Wakes,
        deliveries: Deliveries,
        channels: Channels,
        now: Callable[[], int],
        counts: Counter[tuple[str, str]],
    ) -> None:
        self._store = store
        self._wakes = wakes
        self._deliveries = deliveries
        self._echoes = Echoes(store, deliveries)
        self._channels = channels
        self._now = now
        self._counts = counts

    def first(self, channel: Channel | None, now: int) -> int | None:
        """Return when to ask about what has become uncertain *now*, None where nobody can be asked."""
        return now + ASKS[0] if querier(channel) is not None else None

    async def follow(self, held: Held) -> None:
        """Ask what is to be asked about a partition, for ever."""
        with self._wakes.listen(f"u{held.partition}") as news:
            while True:
                news.clear()
                wait = LOOK
                try:
                    names, later = await self._deliveries.questions(held.partition, self._now(), FEW)
                    await self._ask_all([Id("d", held.partition, name) for name in names])
                    if later is not None:
                        wait = min(LOOK, max(0.01, (later - self._now()) / 1000))
                except StoreError as error:
                    log.debug("questions about partition %d wait: %s", held.partition, error)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(wait):
                        await news.wait()

    async def _ask_all(self, places: Sequence[Id]) -> None:
        """Ask each platform, one question at a time: the next answer may hang on what the last one settled."""
        found = await self._deliveries.load_many(places)
        by_channel: dict[str, list[Id]] = {}
        for place, delivery in zip(places, found, strict=True):
            by_channel.setdefault(delivery.channel if delivery is not None else "", []).append(place)
        async with asyncio.TaskGroup() as group:
            for name, asked in by_channel.items():
                group.create_task(self._ask_in_turn(asked), name=f"ask-{name}")

    async def _ask_in_turn(self, places: Sequence[Id]) -> None:
        for place in places:
            try:
                await self._ask(place)
            except StoreError as error:
                log.debug("a question waits for the store: %s", error)

    async def _ask(self, place: Id) -> None:
        """Ask about one delivery and settle it if the answer is clear. Raises `StoreError`."""
        [delivery] = await self._deliveries.load_many([place])
        channel = self._channels.get(delivery.channel) if delivery is not None else None
        asked = querier(channel)
        if delivery is None or delivery.state != "uncertain" or channel is None or asked is None:
            await self._deliveries.ask_again(place, None)
            return
        now = self._now()
        late = [delivery.changed + wait for wait in ASKS if delivery.changed + wait > now]
        await self._deliveries.ask_again(place, late[0] if late else None)
        try:
            carried = await material(self._store, delivery, channel)
            text = plan(carried.text, carried.media, channel.capabilities)[delivery.part].text
            async with asyncio.timeout(LIMIT):
                known = await asked.query(self._question(delivery, carried))
            if known is not None:
                await self._conclude(delivery, text, known)
        except (SendError, TimeoutError, IndexError) as error:
            log.debug("the platform of %s did not tell: %s", channel.name, error)
        except NotNow:
            log.debug("a delivery was settled while its platform was asked")
        except StoreError:
            raise
        except Exception:
            log.exception("the connector of %s cannot ask its platform", channel.name)

    def _question(self, delivery: Delivery, carried: Material) -> Question:
        at = delivery.created - SKEW
        return Question(delivery.outbound_id(delivery.part, delivery.of), delivery.address, at, carried.handle)

    async def _conclude(self, delivery: Delivery, text: str, known: tuple[Known, ...]) -> None:
        """Find the message among those that belong to nothing else of ours. Raises `NotNow`, `StoreError`."""
        channel, address, now = delivery.channel, delivery.address, self._now()
        if await self._echoes.in_flight(partition_of(address), channel, address, text):
            return  # the same words are on their way to the same person: which is which is told later
        owners = [await self._deliveries.linked(channel, one.external_id) for one in known]
        # Whoever linked an id to this very delivery and died before it said so leaves one that is not among its own.
        settled = {*delivery.external_ids, *delivery.past}
        strangers = [
            one
            for one, owner in zip(known, owners, strict=True)
            if owner is None or (owner == delivery.id and one.external_id not in settled)
        ]
        # Some platforms give back our own id, which says more than any words.
        name = delivery.outbound_id(delivery.part, delivery.of)
        ours = next((one for one in strangers if name == one.external_id or one.text == text), None)
        if ours is not None:
            facts = {"external_id": ours.external_id, "state": ours.state, "error": ours.error}
            await self._deliveries.arrived(delivery, now, cause="query", **facts)
            self._counts[channel, "query_found"] += 1
        elif not strangers and now >= delivery.changed + SURE:
            await self._deliveries.absent(delivery, now)
            self._counts[channel, "query_absent"] += 1
