"""What a store that was made out of a backup must not send by itself: it may have gone out after the backup was made.

Restoring puts what stood in the outbox before a person, as uncertain. What comes up again later, for messages and
times before the restore, is caught by the mark that is left here: by the router, which acknowledges no message that is
older, and just before it leaves.
"""

from __future__ import annotations

import contextlib

from inbox.conversations import Conversation
from inbox.partitions import COUNT, Id, key, shared_key, tag
from inbox.store import Store
from inbox.wakes import Wakes
from outbox.campaigns import Campaigns, NotThen, State
from outbox.deliveries import Deliveries
from outbox.endpoint_ledger import SCHEME
from outbox.invitations import DUE, RUNS, Invitations
from outbox.reasons import reason
from outbox.records import FINAL, Delivery

WITHHELD = shared_key("hub", "withheld")
"""When a restore withheld what was owed, in milliseconds since 1970 UTC."""

CODE = "restored"
HALTED: dict[State, State] = {"running": "braked", "preparing": "draft"}
LASTS = 7 * 24 * 3_600_000
"""For how long automatic messages to who has not written since are withheld: what was late comes up soon."""


async def withheld(store: Store) -> int:
    """Return when a restore last withheld what was owed, 0 = never. Raises `StoreError`."""
    return int(await store.do("hub", "GET", WITHHELD) or 0)


def may_be_out(delivery: Delivery, conversation: Conversation, since: int, now: int) -> bool:
    """Tell whether an automatic message may have gone out before a restore *since*, after the backup.

    It may unless the customer has written since, or a person says that it is to go.
    """
    automatic = delivery.lane == "notice" and not delivery.insist
    return automatic and since <= now < since + LASTS and conversation.last_inbound_at < since


class Withholding:
    """Withholds what was owed in a store on which no hub is at work. *locale* is the language of reasons."""

    def __init__(self, store: Store, locale: str, now: int) -> None:
        wakes = Wakes(store)
        wakes.alone = True
        self._store = store
        self._deliveries = Deliveries(store, wakes)
        self._invitations = Invitations(store, wakes)
        self._campaigns = Campaigns(store, wakes, lambda: now, lambda: locale)
        self._why = reason(CODE, locale)
        self._now = now

    async def withhold(self) -> int:
        """Put everything before a person; return how many deliveries that are. Raises `StoreError`."""
        count = 0
        for partition in range(COUNT):
            count += await self._owed(partition)
            await self._bulk_sends(partition)
            await self._invited(partition)
        await self._store.do("hub", "SET", WITHHELD, self._now)
        return count

    async def _owed(self, partition: int) -> int:
        """Make what is owed uncertain. Each that is settled lets the next of its line come up, until none is left."""
        done: set[str] = set()
        count = 0
        while names := [one for one in await self._range(partition, "due") if one not in done]:
            found = await self._deliveries.load_many([Id("d", partition, name) for name in names])
            done.update(names)
            for delivery in found:
                # The receiver of a webhook knows by its id what it has had.
                if delivery is not None and not delivery.channel.startswith(f"{SCHEME}:"):
                    count += await self._doubt(delivery)
        return count

    async def _doubt(self, delivery: Delivery) -> bool:
        if delivery.state in FINAL:
            return False
        await self._deliveries.settle(
            delivery, "uncertain", self._now, expect=delivery.state, force=True, error=self._why, code=CODE
        )
        return True

    async def _bulk_sends(self, partition: int) -> None:
        """Halt what was running: a person says whether it goes on. What was being prepared is prepared anew."""
        for name in await self._range(partition, "campaigns"):
            for former, state in HALTED.items():
                with contextlib.suppress(NotThen):
                    await self._campaigns.turn(
                        f"b{partition}-{name}", state, self._now, former=(former,), facts=("why", self._why)
                    )

    async def _invited(self, partition: int) -> None:
        """Give up invitations and reminders whose time has come, and times of schedules that have passed."""
        name = key(partition, DUE)
        for job in await self._store.do(tag(partition), "ZRANGEBYSCORE", name, "-inf", self._now):
            what, _, invitation = job.partition(":")
            [one] = await self._invitations.load_many([Id("i", partition, invitation)])
            if what == "send" and one is not None:
                await self._invitations.suppress(one, CODE)
            elif what == "remind":
                await self._store.do(tag(partition), "ZREM", name, job)
        runs = key(partition, RUNS)
        for survey in await self._store.do(tag(partition), "HKEYS", runs):
            await self._store.do(tag(partition), "HSET", runs, survey, self._now)

    async def _range(self, partition: int, name: str) -> list[str]:
        found: list[str] = await self._store.do(tag(partition), "ZRANGE", key(partition, name), 0, -1)
        return found
