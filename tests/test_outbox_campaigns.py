"""What of a bulk send belongs to the owner of its partition alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from inbox.leases import Fenced, Leases
from outbox.campaigns import Campaigns, Row, packed
from tests.backroom import room


async def test_who_has_lost_the_partition_does_not_begin_what_another_one_prepares(
    store_url: str, tmp_path: Path
) -> None:
    """The audience that goes out is the one that the owner has put together, whole."""
    async with room(store_url, tmp_path) as inbox:
        campaigns = Campaigns(inbox.store, inbox.wakes, inbox.clock, lambda: "en")
        made, _ = await campaigns.create({"name": "x", "text": "hi", "list": "phone\n1"}, "me", inbox.clock())
        one = await campaigns.turn(made.id, "preparing", inbox.clock(), former=("draft",))
        rows = packed([Row("shop", f"tel:+861380013800{number}") for number in range(3)])
        facts = ("total", 3, "next", 0, "at", inbox.clock())
        old = inbox.leases.held[one.place.partition]
        await campaigns.own(old, one, "rows", "first")
        await campaigns.own(old, one, "rows", "more", *rows)

        later = Leases(inbox.store, inbox.name, inbox.clock() + 1000, lambda _: None, lambda _: None)
        await later.turn()
        new = later.held[one.place.partition]
        await campaigns.own(new, one, "rows", "first")
        await campaigns.own(new, one, "rows", "more", rows[0])
        with pytest.raises(Fenced):
            await campaigns.own(old, one, "begin", inbox.clock(), *facts)
        assert "" == await campaigns.own(new, one, "rows", "more", *rows[1:])
        assert "" == await campaigns.own(new, one, "begin", inbox.clock(), *facts)

        now = await campaigns.load(one.id)
        assert ("running", 3, 3) == (now.state, now.total, len(await campaigns.rows(now, 0, 25)))
