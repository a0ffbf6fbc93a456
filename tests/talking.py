"""Customers who write, without a hub: their messages are recorded and placed as a hub does it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from connectors.base import Capabilities, Echo, Message
from inbox.attachments import Attachments
from inbox.leases import Leases
from inbox.log import Entry
from inbox.partitions import shared_key
from inbox.placing import Decided, Placer, parse
from inbox.recording import Recorder, spread
from inbox.store import Store, Topology
from inbox.wakes import Wakes
from router.scripts import SCRIPTS
from tests.stores import PATIENCE

CHANNEL = "shop"
AT = 1_763_700_000_000


@dataclass
class Talk:
    """Writes messages of customers into *store*."""

    store: Store
    recorder: Recorder
    placer: Placer
    leases: Leases
    written: int = 0

    async def say(self, customer: str, *texts: str, team: str = "") -> str:
        """Let *customer* write *texts*, one after the other; return the conversation."""
        conversation = ""
        for text in texts:
            self.written += 1
            message = Message(f"x{self.written}", f"wechat:{customer}", AT + self.written, text, name=f"客户{customer}")
            conversation = await self.place(message, team)
        return conversation

    async def place(self, message: Message | Echo, team: str = "") -> str:
        """Record and place one message; return its conversation."""
        recorded = (await self.recorder.record(CHANNEL, [message]))[0]
        assert recorded is not None
        partition, _, words = spread(CHANNEL, message)
        fields = [word.decode() if isinstance(word, bytes) else str(word) for word in words]
        entry = Entry(partition, recorded.position, dict(zip(fields[::2], fields[1::2], strict=True)))
        origin = parse(entry, "wechat", Capabilities())
        spot = await self.placer.locate(origin)
        decided = Decided(set={"team": team}) if team else Decided()
        return (await self.placer.place(self.leases.held[partition], origin, spot, decided)).conversation

    async def many(self, customers: int, each: int, word: str) -> None:
        """Let customers write at the same time: each of them *each* messages with *word* and a number of its own."""
        await asyncio.gather(
            *(
                self.say(f"{word}{one}", *(f"{word} {one}.{number}!" for number in range(each)))
                for one in range(customers)
            )
        )


@asynccontextmanager
async def talking(store_url: str, folder: Path) -> AsyncIterator[Talk]:
    """Open a store in which customers write."""
    store = Store(Topology(store_url), SCRIPTS, patience=PATIENCE)
    try:
        await store.do("hub", "SET", shared_key("hub", "signing_key"), "key", "NX")
        leases = Leases(store, "test", 1, lambda _: None, lambda _: None)
        await leases.turn()
        wakes = Wakes(store)
        yield Talk(store, Recorder(store, wakes, Attachments(folder / "attachments", 1)), Placer(store), leases)
    finally:
        await store.close()
