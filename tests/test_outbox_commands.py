"""The commands about consent, words and bulk sends, on a running hub."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

import hub
from tests.hubs import TOKEN, Stage, until
from tests.test_flow_campaigns import PHONES, TEXT, listed
from tests.test_flow_guard import POLICY
from tests.texting import texting
from tests.twilio_account import BUYER


async def run(stage: Stage, *words: str, code: int = 0) -> Result:
    """Run a command as a process of its own would, beside the hub's loop."""
    text = f"http: {{host: 127.0.0.1, port: {stage.base.rpartition(':')[2]}}}\n"
    config = stage.folder / "client.yaml"
    config.write_text(text, encoding="utf-8")
    done = await asyncio.to_thread(CliRunner().invoke, hub.command_line(), ["-c", str(config), *words])
    assert done.exit_code == code, (words, done.output, done.exception)
    return done


@pytest.fixture(autouse=True)
def _token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HUILIU_API_TOKEN", TOKEN)
    monkeypatch.setenv("LANG", "en_US.UTF-8")


async def test_a_bulk_send_from_the_terminal(store_url: str, tmp_path: Path) -> None:
    """A file is previewed, started, watched, paused and stopped; what is wrong with it is said with its place."""
    async with texting(store_url, tmp_path, guard=POLICY) as shop:
        stage = shop.stage
        (tmp_path / "vip.csv").write_text(listed(), encoding="utf-8-sig")
        file = tmp_path / "vip.yaml"
        body: dict[str, Any] = {"name": "vip", "text": TEXT, "list": "vip.csv", "consent_source": "form"}
        file.write_text(json.dumps({**body, "per_minute": 60}), encoding="utf-8")

        shown = await run(stage, "campaign", "preview", str(file))
        assert "total 60  minutes 1" in shown.output
        assert "双十一优惠" in shown.output
        await run(stage, "campaign", "start", str(file))
        found = json.loads((await run(stage, "campaign", "list", "--json")).output)
        [one] = found["items"]
        paused = json.loads((await run(stage, "campaign", "pause", one["id"], "--json")).output)
        assert (one["id"], "paused") == (paused["id"], paused["state"])
        assert "paused" in (await run(stage, "campaign", "show", one["id"])).output
        await run(stage, "campaign", "start", one["id"])
        assert "stopped" in (await run(stage, "campaign", "stop", one["id"])).output
        assert "stopped" in (await run(stage, "campaign", "start", one["id"], code=1)).output
        assert one["id"] in (await run(stage, "campaign", "list")).output

        file.write_text("name: vip\ntxt: hello\nlist: vip.csv\n", encoding="utf-8")
        assert "vip.yaml:2:1: txt: unknown key" in (await run(stage, "campaign", "preview", str(file), code=1)).output
        file.write_text("name: vip\ntext: hello\nlist: none.csv\n", encoding="utf-8")
        assert "none.csv: no such file" in (await run(stage, "campaign", "start", str(file), code=2)).output
        assert "cannot be read" in (await run(stage, "campaign", "preview", str(tmp_path / "none.yaml"), code=2)).output
        file.write_text(json.dumps({**body, "text": "最佳 {{ row.coupon }}"}), encoding="utf-8")
        assert "[block]" in (await run(stage, "campaign", "preview", str(file))).output
        await run(stage, "campaign", "start", str(file), "--anyway", code=1)
        assert len(shop.platform.messages) <= len(PHONES)


async def test_consent_and_words_from_the_terminal(store_url: str, tmp_path: Path) -> None:
    """Consent is shown and recorded; a text is tried against the policy, and the exit code says whether it leaves."""
    async with texting(store_url, tmp_path, guard=POLICY) as shop:
        stage = shop.stage
        await shop.platform.write(BUYER, "hello")
        [one] = await until(stage.conversations)
        contact = one["contact"]["id"]
        assert "unknown" in (await run(stage, "contact", "consent", contact)).output
        record = ("--address", f"tel:{BUYER}", "--state", "consented", "--lane", "campaign")
        assert "reason" in (await run(stage, "contact", "consent", contact, *record, code=1)).output
        shown = await run(stage, "contact", "consent", contact, *record, "--reason", "asked by phone")
        assert "asked by phone" in shown.output
        found = json.loads((await run(stage, "contact", "consent", contact, "--json")).output)
        assert ["consented"] == [word["state"] for word in found["items"]]

        assert "absolute-terms" in (await run(stage, "guard", "test", "最佳", code=1)).output
        await run(stage, "guard", "test", "再等等")
        clean = await run(stage, "guard", "test", "好的", "--channel", "sms", "--json")
        assert [] == json.loads(clean.output)["items"]
