"""A hub that is cut short, in its start or at work, leaves nothing open behind."""

from __future__ import annotations

import asyncio
import gc
from pathlib import Path

import pytest

from tests.hubs import configuration, running, write

CHANNELS = """
  site-chat: {kind: webchat}
  shop-wechat: {kind: wechat, app_id: wx1, app_secret: secret, token: token}
"""


async def cut_short(store_url: str, config: Path, turns: int) -> int:
    """Cancel a hub after so many turns of the event loop; return the port that it listened on, 0 for none."""
    ports = [0]

    async def live() -> None:
        async with running(store_url, config) as stage:
            ports.append(stage.hub.serving.port)
            await asyncio.Event().wait()

    task = asyncio.create_task(live())
    for _ in range(turns):
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    return ports[-1]


@pytest.mark.once  # on a cluster it is redis-py itself that leaves sockets behind when its client is cancelled
@pytest.mark.parametrize("turns", [*range(0, 60, 3), *range(60, 600, 20)])
async def test_a_hub_that_is_cut_short_closes_what_it_had_opened(store_url: str, tmp_path: Path, turns: int) -> None:
    """Whenever it is cancelled, it ends, and no session and no socket is left for the collector to find."""
    port = await cut_short(store_url, write(tmp_path, configuration(CHANNELS)), turns)
    gc.collect()  # what is found unclosed is a warning, and those are errors
    if port:
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", port)
