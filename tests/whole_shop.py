"""A hub with everything configured, and conversations with all that can hang on one: for tests of the whole API."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from connectors.base import Media, Message
from hub import now_ms
from outbox.drafts import Draft
from outbox.letters import Letter
from tests.hubs import ROUTES, Stage, configuration, running, until, write
from tests.survey_stage import CSAT, LONG

NOBODY = "host: 127.0.0.1, port: 9, tls: none"
CHANNELS = f"""
  site-chat: {{kind: webchat, allowed_origins: []}}
  mail:
    {{kind: email, address: shop@example.com, imap: {{{NOBODY}, user: shop, password: secret}}, smtp: {{{NOBODY}}}}}
"""
MORE = """
people: {rate: 10000}
webhooks:
  crm: {url: 'http://127.0.0.1:9/hook', secret: whsec_b29vb29vb29vb29vb29vb29vb29vb29vb29vb28=, allow_private: true}
reports:
  weekly: {what: survey, survey: csat, every: weekly mon 09:00, to: [boss@example.net], format: [html]}
"""
SURVEYS = CSAT + LONG


@asynccontextmanager
async def whole(store_url: str, folder: Path, teams: str) -> AsyncIterator[Stage]:
    """Run a hub with web chat, surveys, a webhook that nobody answers, and a scheduled report."""
    config = write(folder, configuration(CHANNELS, more=teams + MORE) + "surveys: surveys.yaml\n", routes=ROUTES)
    (folder / "surveys.yaml").write_text(SURVEYS, encoding="utf-8")
    async with running(store_url, config) as stage:
        yield stage


class Shop:
    """Conversations by their kind, each with all that hangs on it; *ids* are by kind and by what they name."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.ids: dict[str, dict[str, str]] = {}

    async def open(self, kind: str, text: str) -> None:
        """Let a customer write and somebody answer; *text* decides about the team."""
        address, stage = f"visitor:{kind}-0001", self.stage
        media = (Media("text/plain", "a", data=b"file"),)
        event = Message(f"{kind}-1", address, 1, text, name=f"顾客{kind}", media=media)
        await stage.hub.recorder.record("site-chat", [event])
        [one] = await until(lambda: stage.conversations(q=address))
        base = f"/conversations/{one['id']}"
        note = await stage.api("POST", f"{base}/notes", {"text": f"secret of {kind}"})
        replied = await stage.api("POST", f"{base}/replies", {"text": f"answer to {kind}"})
        [inbound] = [each for each in await stage.messages(one["id"]) if each["direction"] == "inbound"]
        draft = Draft(one["id"], f"key{kind}", "lilei", "李雷", f"draft of {kind}", 1, "not_approved")
        await stage.hub.drafts.hold(draft)
        address = f"mailto:{kind}@example.com"  # no server takes it: it stays due
        letter = Letter(channel="mail", address=address, key=kind, lane="notice", text="x", about=one["id"])
        owed, _ = await stage.hub.deliveries.owe_letter(letter, now_ms())
        body = {"conversation": one["id"], "answers": {"score": 2}, "key": kind}
        entered = (await stage.api("POST", "/surveys/csat/responses", body))["response"]
        self.ids[kind] = {
            "c": one["id"], "m": inbound["id"], "note": note["message"]["id"], "k": one["contact"]["id"],
            "d": replied["delivery"]["id"], "reply": replied["message"]["id"], "w": draft.id, "letter": owed.id,
            "i": entered["invitation"], "r": entered["id"],
        }  # fmt: skip

    async def rest(self) -> dict[str, str]:
        """Add what hangs on no conversation."""
        stage = self.stage
        written = {"name": "双十一", "text": "优惠开始了", "segment": {"tags": ["vip"]}}
        campaign = await stage.api("POST", "/campaigns", written)
        shunted = await stage.hub.recorder.shunt("site-chat", b"\xff", "no JSON", {}, 1)
        history = await stage.api("GET", "/routes/history")
        return {"campaigns": campaign["id"], "shunted": shunted, "routes": history["items"][0]["hash"]}

    async def told(self) -> list[dict[str, Any]]:
        """Return what the webhook was told, or will be."""
        found: list[dict[str, Any]] = (await self.stage.api("GET", "/webhooks/crm/deliveries"))["items"]
        return found
