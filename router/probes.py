"""What watches the hub asks: is it alive, is it ready, its figures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from inbox.durability import Durability, Finding
from inbox.store import StoreError
from router.parts import Parts


@dataclass(frozen=True, slots=True)
class Probes:
    """Serves them. *durability* and *findings* are what the store was found to promise."""

    parts: Parts
    durability: Durability | None
    findings: Sequence[Finding]

    def routes(self) -> list[web.RouteDef]:
        """Return where they are."""
        paths = (("/healthz", self.healthz), ("/readyz", self.readyz), ("/metrics", self.metrics))
        return [web.get(path, handler) for path, handler in paths]

    async def healthz(self, _: web.Request) -> web.Response:
        return web.json_response({"status": "alive"})

    async def readyz(self, _: web.Request) -> web.Response:
        """Ready when the store answers and every required channel is up or only degraded."""
        problems = [
            f"channel {one.name} is down: {one.reason}"
            for one in self.parts.channels
            if one.required and one.state == "down"
        ]
        try:
            await self.parts.store.do("hub", "PING")
        except StoreError as error:
            problems.append(str(error))
        kept = self.durability
        body: dict[str, Any] = {
            "status": "not ready" if problems else "ready",
            "problems": problems,
            "warnings": [
                *(finding.message for finding in self.findings),
                *(f"{path} has changed, which is used from the next start on" for path in self.parts.live.postponed),
            ],
            "configuration": [str(fault) for fault in self.parts.live.last_error],
            "store": {
                "url": self.parts.live.current.settings.store.address,
                "appendonly": kept.appendonly if kept else None,
                "appendfsync": kept.appendfsync if kept else None,
                "maxmemory_policy": kept.maxmemory_policy if kept else None,
                "version": kept.version if kept else None,
            },
            "channels": {one.name: one.state for one in self.parts.channels},
        }
        return web.json_response(body, status=503 if problems else 200)

    async def metrics(self, _: web.Request) -> web.Response:
        gauges = {
            "huiliu_partitions_held": ("Partitions that this process owns", float(len(self.parts.readers.leases.held))),
            "huiliu_event_streams": ("Open streams of events at this process", float(self.parts.streams.count)),
            "huiliu_workers": ("Processes that are alive", float(len(self.parts.readers.leases.living))),
            "huiliu_config_faults": ("Faults of the files as they are now", float(len(self.parts.live.last_error))),
            "huiliu_config_loaded_timestamp_seconds": (
                "When the configuration in use was read",
                self.parts.live.last_loaded_at / 1000,
            ),
            "huiliu_shadow_faults": (
                "Faults of the routes that are only watched",
                float(len(self.parts.rules.shadow_faults)),
            ),
        }
        try:
            more = [
                *await self.parts.staff.metrics(),
                *await self.parts.worker.breakers.metrics(),
                *await self.parts.ledger.metrics(self.parts.live.current.settings.webhooks),
                *await self.parts.search.metrics(),
            ]
            text = await self.parts.status.metrics(gauges, self.parts.now(), more)
        except StoreError:
            return web.Response(status=503, headers={"Retry-After": "2"})
        return web.Response(body=text, headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"})
