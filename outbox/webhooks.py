"""Follows the logs for the outgoing webhooks and owes each endpoint the events that it wants.

An endpoint's place in each log is in the store. When too much waits for one that fails, its place stays where it is:
the log holds what it misses, and nothing is copied. Doing an entry again owes nothing twice.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from config.webhooks import Webhook
from inbox import log as logbook
from inbox.bulletins import Bulletin
from inbox.conversations import pairs
from inbox.leases import Fenced, Held
from inbox.log import Entry
from inbox.partitions import COUNT, before, key, new_key, partition_of, tag
from inbox.press import Press
from inbox.store import Script, Store, StoreError, Word
from inbox.wakes import Wakes
from outbox.deliveries import Deliveries, NotNow
from outbox.endpoint_ledger import Ledger, State, address
from outbox.letters import Letter
from outbox.records import Delivery
from outbox.retries import STANDARD_WEBHOOKS
from outbox.webhook_sending import TEST

log = logging.getLogger(__name__)

RELAY = Script.load(Path(__file__).parent / "scripts" / "relay.lua")
BELL = "webhooks"
BATCH = 64
LOOK = 10.0  # bells ring for nearly everything
SOON = 0.1  # a message is placed moments after it is logged, which rings no bell
PAUSE = 0.5
MOST_WAITING = 1_000
PROBE = 5 * 60_000  # milliseconds between looks whether an endpoint is back, while nothing more fits
FORGOTTEN = 14 * 24 * 3_600_000  # milliseconds without being configured; then an endpoint begins anew
AGAIN = frozenset({"dead", "failed", "uncertain"})


class Relay:
    """Owes events to endpoints. *webhooks* are those that are configured now."""

    def __init__(
        self,
        store: Store,
        wakes: Wakes,
        press: Press,
        deliveries: Deliveries,
        ledger: Ledger,
        webhooks: Callable[[], Mapping[str, Webhook]],
        now: Callable[[], int],
    ) -> None:
        self._store = store
        self._wakes = wakes
        self._press = press
        self._deliveries = deliveries
        self._ledger = ledger
        self._webhooks = webhooks
        self._now = now

    async def follow(self, held: Held) -> None:
        """Follow a partition until it is lost; sleeps while no webhook is configured."""
        with self._wakes.listen(BELL) as told:
            while True:
                told.clear()
                try:
                    await self._while_configured(held)
                except Fenced:
                    return
                await told.wait()

    async def _while_configured(self, held: Held) -> None:
        loop = asyncio.get_running_loop()
        with self._wakes.listen_to((f"p{held.partition}", BELL), set()) as news:
            while webhooks := self._webhooks():
                news.clear()
                wait = LOOK
                try:
                    if await self._turn(held, webhooks):
                        wait = SOON
                except StoreError as error:
                    log.debug("the webhooks of partition %d wait: %s", held.partition, error)
                    wait = PAUSE
                except Fenced:
                    raise
                except Exception:
                    log.exception("the webhooks of partition %d failed; they are tried again", held.partition)
                alarm = loop.call_later(wait, news.set)
                await news.wait()
                alarm.cancel()

    async def _turn(self, held: Held, webhooks: Mapping[str, Webhook]) -> bool:
        """Owe what comes next to every endpoint; tell whether there was anything. Raises `Fenced`, `StoreError`."""
        arguments: list[Word] = ["open", held.epoch, self._now(), FORGOTTEN, *webhooks]
        reply = await self._store.run(RELAY, tag(held.partition), [key(held.partition, "log")], arguments)
        if reply == -1:
            raise Fenced
        places = pairs(reply)
        for name, webhook in webhooks.items():
            if partition_of(address(name)) == held.partition:
                await self._look_after(name, webhook)
        read = False
        for place in {places[name] for name in webhooks}:
            entries = await logbook.read(self._store, held.partition, place, BATCH)
            if entries:
                read = True
                group = [name for name in webhooks if places[name] == place]
                await self._owe(held, {name: webhooks[name] for name in group}, places, entries)
        return read

    async def _owe(
        self, held: Held, group: Mapping[str, Webhook], places: Mapping[str, str], entries: Sequence[Entry]
    ) -> None:
        """Owe the events of *entries* to the endpoints of *group*, and note how far each is."""
        states = dict(
            zip(group, await asyncio.gather(*(self._ledger.state(n, w.url) for n, w in group.items())), strict=True)
        )
        types = frozenset().union(*(w.types for n, w in group.items() if not states[n].disabled_at))
        told = await self._press.bulletins(entries, lambda name: name in types)
        moves: list[Word] = []
        for name, webhook in group.items():
            last = entries[-1].id
            if not states[name].disabled_at:
                last = await self._owe_one(name, webhook, places, entries, told)
            if last:
                moves += [name, places[name], last]
        if moves:
            keys = [key(held.partition, "log")]
            if await self._store.run(RELAY, tag(held.partition), keys, ("move", held.epoch, *moves)) == -1:
                raise Fenced

    async def _owe_one(
        self,
        name: str,
        webhook: Webhook,
        places: Mapping[str, str],
        entries: Sequence[Entry],
        told: Sequence[Sequence[Bulletin]],
    ) -> str:
        """Owe an endpoint what it wants while there is room; return the last entry that is done with, "" if none."""
        room = MOST_WAITING - await self._ledger.waiting(name)
        upto, again = places.get(f"{name} upto", "0-0"), places.get(f"{name} key", "")
        done = ""
        owed: list[tuple[Bulletin, str, bool]] = []
        for entry, found in zip(entries, told, strict=True):
            wanted = [one for one in found if wants(webhook, one)]
            if len(owed) + len(wanted) > room and wanted:
                break
            repeated = not before(upto, entry.id)
            owed += [(one, again if repeated else "", repeated) for one in wanted]
            done = entry.id
        await asyncio.gather(*(self._owe_letter(name, *each) for each in owed))
        return done

    async def _owe_letter(self, name: str, one: Bulletin, again: str, repeated: bool) -> None:
        """Owe one event. *repeated* in a replay: what has failed is sent again, and with *again* everything is."""
        letter = event_letter(name, str(one.id), one.type, one.conversation, again)
        await self._ledger.note(name, letter.name, self._now())
        delivery, fresh = await self._deliveries.owe_letter(letter, self._now())
        if repeated and not fresh and delivery.state in AGAIN:
            await self._deliveries.retry(delivery.id, self._now())

    async def _look_after(self, name: str, webhook: Webhook) -> None:
        """Hasten what waits for an endpoint that is back, and try one delivery when nothing more fits."""
        state = await self._ledger.state(name, webhook.url)
        if state.recovered and not state.disabled_at:
            await self._hasten(await self._ledger.sweep(name))
            if not any(one.state == "deferred" for one in await self._ledger.sweep(name)):
                await self._ledger.forget_recovery(name)
        elif await self._ledger.waiting(name) >= MOST_WAITING:
            found = await self._ledger.sweep(name)
            if found and _long_ago(state, self._now()):
                await self._hasten([one for one in found if one.state == "deferred"][:1])

    async def _hasten(self, found: Sequence[Delivery]) -> None:
        now = self._now()
        for one in found:
            if one.state == "deferred" and one.due > now:
                try:
                    await self._deliveries.settle(
                        one, "queued", now, due=now, expect="deferred", force=True, requeue=True
                    )
                except NotNow:
                    continue

    async def replay(self, name: str, since: int, *, everything: bool) -> None:
        """Read the logs again for an endpoint from a time on.

        What it has not had is sent, and with *everything* the rest once more. Raises `StoreError`.
        """
        again = new_key() if everything else ""
        arguments = ("rewind", name, f"{max(0, since - 1)}-{2**53}", again)
        await asyncio.gather(*(self._store.run(RELAY, tag(one), [key(one, "log")], arguments) for one in range(COUNT)))
        self._wakes.ring((BELL,))

    async def test(self, name: str) -> Delivery:
        """Owe an endpoint an event that means nothing. Raises `StoreError`."""
        return await self._owe_again(name, f"{TEST}{new_key()}", "webhook.test", "")

    async def redeliver(self, name: str, delivery: Delivery, entry: Entry) -> Delivery:
        """Owe the event of *delivery*, whose log entry is *entry*, once more: with the same id. Raises `StoreError`."""
        return await self._owe_again(name, entry.fields["tx"], str(entry.rest().get("subject", "")), delivery.about)

    async def _owe_again(self, name: str, event: str, kind: str, about: str) -> Delivery:
        letter = event_letter(name, event, kind, about, new_key())
        await self._ledger.note(name, letter.name, self._now())
        return (await self._deliveries.owe_letter(letter, self._now()))[0]


def event_letter(name: str, event: str, kind: str, about: str, again: str) -> Letter:
    """Return the letter that owes an endpoint an event; *again* tells repetitions apart."""
    return Letter(
        channel=address(name),
        address=address(name),
        key=f"{event}/{again}" if again else event,
        lane="notice",
        text=event,
        subject=kind,
        about=about,
        ordered=False,
        schedule=STANDARD_WEBHOOKS,
    )


def wants(webhook: Webhook, one: Bulletin) -> bool:
    """Tell whether an endpoint is to be told of an event."""
    return (
        one.type in webhook.types
        and (not webhook.teams or not one.teams.isdisjoint(webhook.teams))
        and (not webhook.channels or one.data.get("conversation", {}).get("channel") in webhook.channels)
    )


def _long_ago(state: State, now: int) -> bool:
    return state.last is None or now - state.last.at >= PROBE
