"""Every POST that makes something: sent twice with one key it is done once, whatever it makes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from outbox.dispatch import Dispatch
from router.descriptions import DESCRIPTIONS
from tests.browsers import PASSWORD, signed_in
from tests.hubs import TEAMS, Stage, until
from tests.whole_shop import Shop, whole

pytestmark = pytest.mark.once

MAKING = {path for (method, path), one in DESCRIPTIONS.items() if method == "POST" and one.status in (201, 202)}
BODIES: dict[str, Any] = {
    "/conversations/{id}/notes": {"text": "once"},
    "/conversations/{id}/replies": {"text": "once"},
    "/attachments": "once",
    "/session/totp": {"password": PASSWORD},
    "/people": {"id": "new", "role": "readonly"},
    "/people/{id}/invitation": None,
    "/drafts/{id}/approve": {},
    "/campaigns": {"name": "x", "text": "hello", "segment": {"tags": ["vip"]}},
    "/campaigns/{id}/start": {"anyway": True},
    "/campaigns/{id}/pause": {},
    "/campaigns/{id}/stop": {},
    "/surveys/{id}/invitations": {"recipients": [{"channel": "site-chat", "address": "visitor:somebody1"}]},
    "/surveys/{id}/responses": {"answers": {"score": 4}, "channel": "site-chat", "address": "visitor:somebody2"},
    "/reports/scheduled/{id}/send": None,
    "/webhooks/{name}/deliveries/{id}/redeliver": {},
    "/webhooks/{name}/test": {},
    "/webhooks/{name}/replay": {"since": "2026-01-01T00:00:00Z"},
    "/routes/replays": {"files": [{"name": "routes.yaml", "text": "default: {team: frontdesk}"}]},
}
ELSEWHERE = {"/deliveries/{id}/retry", "/dead/{id}/retry", "/search/rebuild"}
"""What makes nothing: to try something again that is due already."""


@pytest.fixture
async def stage(store_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Stage]:
    async def idle(*_: object) -> None:
        """Leave bulk sends as they are: one to nobody would be done before it can be paused."""

    monkeypatch.setattr(Dispatch, "turn", idle)
    async with whole(store_url, tmp_path, TEAMS) as made:
        yield made


async def test_every_post_that_makes_something_is_done_once(stage: Stage) -> None:
    """The second call with the same key gets the first one's answer, also where the thing has gone on meanwhile."""
    assert MAKING <= BODIES.keys() | ELSEWHERE, "a new route that makes something: try it here"
    shop = Shop(stage)
    await shop.open("one", "我要退款")
    ids, rest = shop.ids["one"], await shop.rest()
    [told, *_] = await until(shop.told)
    boss = await signed_in(stage, "boss", "admin")
    names = {
        "conversations": ids["c"], "people": "boss", "drafts": ids["w"], "campaigns": rest["campaigns"],
        "surveys": "csat", "reports": "weekly", "webhooks": told["id"],
    }  # fmt: skip
    for path, body in BODIES.items():
        named = path.replace("{id}", names.get(path.split("/")[1], "")).replace("{name}", "crm")
        first, again = [await boss.call("POST", named, body, headers={"Idempotency-Key": "k1"}) for _ in range(2)]
        assert first.status in (200, 201, 202), (path, first.body)
        assert (first.status, first.body) == (again.status, again.body), path
        assert "Idempotency-Replayed" not in first.headers
        assert "Idempotency-Replayed" in again.headers, path
