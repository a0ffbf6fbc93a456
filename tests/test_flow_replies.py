"""Answers by the API and from a terminal: looked at, scheduled, called back, in the customer's words."""

from __future__ import annotations

import datetime as dt
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from connectors.base import Message, Window
from inbox.conversations import load
from outbox.reply_commands import moment, variables
from tests.hubs import TEAMS, Stage, configuration, running, until, write

CHANNELS = """
  shop-wechat: {kind: wechat, app_id: wx1, app_secret: s, token: t, api_base: 'http://127.0.0.1:9'}
  sms-cn: {kind: twilio-sms, account_sid: AC00000000000000000000000000000000, auth_token: t, from_number: '+15005550006', api_base: 'http://127.0.0.1:9'}
  site-chat: {kind: webchat, allowed_origins: []}
"""  # noqa: E501  # one channel a line
TEXTS = """
parcel:
  variables: [tracking]
  text: {zh: "{{ contact.name || 您 }}好，单号 {{ tracking }}", en: "{{ contact.name || Hello }}, {{ tracking }}"}
  by_kind: {twilio-sms: "{{ tracking }}"}
complaint-received: {zh: 收到投诉, en: Received}
"""
OPENID, VISITOR = "wechat:openid-1", "visitor:v-1"
YEAR = 31_536_000


@pytest.fixture
async def stage(store_url: str, tmp_path: Path) -> AsyncIterator[Stage]:
    more = f"{TEAMS}\ndelivery: {{undo: 30s, fallback: {{wechat: [{{channel: sms-cn}}]}}}}\n"
    config = write(tmp_path, configuration(CHANNELS, more=more), templates=TEXTS)
    async with running(store_url, config) as made:
        yield made


async def written(stage: Stage, address: str, channel: str, text: str = "hi", **fields: Any) -> dict[str, Any]:
    """Let a customer write; return the conversation."""
    await stage.hub.recorder.record(channel, [Message(f"e-{text}-{address}", address, 1, text, **fields)])
    [one] = await until(lambda: stage.conversations(q=address))
    return one


async def test_a_preview_keeps_nothing(stage: Stage) -> None:
    """Parts, cost and obstacles are told; no message, no delivery and no file comes of it."""
    one = await written(stage, OPENID, "shop-wechat", window=Window(YEAR * 10**3, 2))
    file = {"name": "a.txt", "content": "aGVsbG8="}
    path = f"/conversations/{one['id']}/replies/preview"
    plan = await stage.api("POST", path, {"text": "字" * 683, "attachments": [file]}, status=200)

    assert ("refuse", ["quota_used"]) == (plan["action"], [each["code"] for each in plan["obstacles"]])
    assert 2 == plan["window"]["messages_left"]
    short = await stage.api("POST", path, {"text": "好的", "attachments": [file]})
    assert ("split", 2, [["a.txt"]]) == (
        short["action"],
        short["cost"]["messages"],
        [part["attachments"] for part in short["parts"] if part["attachments"]],
    )
    assert 1 == (await stage.api("GET", f"/conversations/{one['id']}"))["messages"]
    kept = stage.hub.live.current.settings.attachments.path
    assert [] == [path for path in kept.rglob("*") if path.is_file()]
    for content in ("é", "aGVsbG8", "a b"):
        await stage.api("POST", path, {"attachments": [{"name": "a.txt", "content": content}]}, status=422)


TONGUES = [
    ("en-US,en;q=0.9", "it does not go", "is closed until"),
    ("zh-CN", "不能发送", "回复窗口已关闭"),
    ("", "不能发送", "回复窗口已关闭"),
    ("fr, en", "it does not go", "is closed until"),
]


@pytest.mark.parametrize(("language", "will", "why"), TONGUES, ids=[one for one, *_ in TONGUES])
async def test_a_program_is_told_in_its_language(stage: Stage, language: str, will: str, why: str) -> None:
    """What becomes of an answer and why it does not go is told as Accept-Language asks, else in the hub's language."""
    one = await written(stage, OPENID, "shop-wechat", window=Window(60, 5))
    path = f"/conversations/{one['id']}/replies"
    plan = await stage.api("POST", f"{path}/preview", {"text": "好的"}, language=language)
    refused = await stage.api("POST", path, {"text": "好的"}, language=language, status=409)

    assert (will, True) == (plan["will"], why in plan["obstacles"][0]["why"])
    assert (True, True) == (why in refused["detail"], why in refused["obstacles"][0]["why"])


async def test_what_is_kept_is_in_the_language_of_the_hub(stage: Stage) -> None:
    """A reason that stays with a delivery does not depend on who asked for it; the answer does."""
    one = await written(stage, OPENID, "shop-wechat", window=Window(60, 5))
    await stage.api("PUT", f"/contacts/{one['contact']['id']}", {"addresses": ["tel:+8613800138000"]})
    given = await stage.api("POST", f"/conversations/{one['id']}/replies", {"text": "好的"}, language="en")
    [outbound] = [each for each in await stage.messages(one["id"]) if each["direction"] == "outbound"]

    assert "is closed until" in given["plan"]["obstacles"][0]["why"]
    assert "is closed until" not in str(outbound)


async def test_sending_is_known_before_typing(stage: Stage) -> None:
    """A conversation says whether an answer would go, by what way, and why."""
    closed = await written(stage, OPENID, "shop-wechat", window=Window(60, 5))
    shown = (await stage.api("GET", f"/conversations/{closed['id']}"))["sending"]
    assert ("refuse", ["window_closed"]) == (shown["action"], [one["code"] for one in shown["obstacles"]])

    contact = f"/contacts/{closed['contact']['id']}"
    known = await stage.api("PUT", contact, {"addresses": ["tel:+8613800138000"]})
    assert [OPENID, "tel:+8613800138000"] == known["addresses"]
    shown = (await stage.api("GET", f"/conversations/{closed['id']}"))["sending"]
    assert ("channel", "sms-cn", "tel:+8613800138000") == (shown["action"], shown["channel"], shown["address"])
    await stage.api("PUT", contact, {"addresses": ["13800138000"]}, status=422)

    other = await written(stage, VISITOR, "site-chat")
    await stage.api("PUT", f"/contacts/{other['contact']['id']}", {"addresses": [OPENID]}, status=409)


async def test_undo_within_its_time(stage: Stage) -> None:
    """The 202 says until when; a call in that time prevents the answer, and says who did."""
    one = await written(stage, VISITOR, "site-chat")
    owed = await stage.api("POST", f"/conversations/{one['id']}/replies", {"text": "oops"}, status=202)
    assert owed["delivery"]["undo_until"] is not None
    gone = await stage.api("POST", f"/deliveries/{owed['delivery']['id']}/cancel", {})
    assert ("failed", "cancelled") == (gone["state"], gone["code"])
    events = [m["event"] for m in await stage.messages(one["id"]) if m["direction"] == "event"]
    assert owed["delivery"]["id"] in [each.get("delivery") for each in events if each["name"] == "send_cancelled"]
    assert [] == (await stage.api("GET", "/dead"))["items"]
    assert "open" == (await stage.api("GET", f"/conversations/{one['id']}"))["status"]


async def test_what_is_scheduled_is_listed(stage: Stage) -> None:
    """It waits for a time; a time without a zone, in the past, or a condition without a time is refused."""
    one = await written(stage, VISITOR, "site-chat")
    path = f"/conversations/{one['id']}/replies"
    body = {"text": "later", "send_at": "2098-01-01T09:00:00+08:00"}
    await stage.api("POST", path, body, status=422)  # too far away
    for wrong in ({"send_at": "2026-11-22T09:00:00"}, {"send_at": "2001-01-01T00:00:00Z"}):
        await stage.api("POST", path, {"text": "x", **wrong}, status=422)
    await stage.api("POST", path, {"text": "x", "unless_customer_writes": True}, status=422)

    at = moment_in_a_week()
    owed = (await stage.api("POST", path, {"text": "later", "send_at": at}, status=202))["delivery"]
    [listed] = (await stage.api("GET", "/deliveries?state=scheduled"))["items"]
    assert (owed["id"], "queued", "time") == (listed["id"], listed["state"], listed["waits_for"])
    assert [] == await stage.hub.deliveries.lines.waiting(await load(stage.hub.store, one["id"]))


def moment_in_a_week() -> str:
    """Return a time to come as RFC 3339."""
    return (dt.datetime.now(dt.UTC) + dt.timedelta(days=7)).isoformat()


async def test_templates_are_listed_previewed_and_filled(stage: Stage) -> None:
    """In the customer's language, per kind, with what lacks a value named; a reply with a hole is refused."""
    [first, _] = sorted((await stage.api("GET", "/templates"))["items"], key=lambda one: one["id"] != "parcel")
    assert ("parcel", ["zh", "en"], ["twilio-sms"], ["tracking"]) == tuple(
        first[name] for name in ("id", "languages", "kinds", "needs")
    )
    one = await written(stage, VISITOR, "site-chat", text="where is my parcel, please?")
    path = "/templates/parcel/preview"
    shown = await stage.api("POST", path, {"conversation": one["id"]})
    assert ("Hello, ", ["tracking"]) == (shown["text"], shown["missing"])
    assert "SF1" == (await stage.api("POST", path, {"channel": "sms-cn", "variables": {"tracking": "SF1"}}))["text"]
    await stage.api("POST", "/templates/nothing/preview", {}, status=404)
    await stage.api("POST", path, {"channel": "nothing"}, status=422)

    reply = f"/conversations/{one['id']}/replies"
    refused = await stage.api("POST", reply, {"template": "parcel"}, status=422)
    assert "tracking" in refused["detail"]
    await stage.api("PUT", f"/contacts/{one['contact']['id']}", {"language": "zh"})
    owed = await stage.api("POST", reply, {"template": "parcel", "variables": {"tracking": "SF1"}}, status=202)
    assert "您好，单号 SF1" == owed["message"]["text"]


async def test_an_acknowledgement_speaks_the_customers_language(stage: Stage) -> None:
    """Whoever writes English is answered in English, although the hub's language is Chinese."""
    one = await written(stage, VISITOR, "site-chat", text="I want my money back, this is 投诉 and nothing else")

    async def answered() -> Any:
        return [m["text"] for m in await stage.messages(one["id"]) if m["direction"] == "outbound"]

    language = (await stage.api("GET", f"/conversations/{one['id']}"))["language"]
    assert ["Received" if language == "en" else "收到投诉"] == await until(answered)


def test_the_terminals_own_notations() -> None:
    """NAME=VALUE, and a time in this machine's zone."""
    assert {"a": "b=c", "d": ""} == variables(["a=b=c", "d="])
    assert moment("2026-11-22T09:00:00+08:00") == "2026-11-22T09:00:00+08:00"
    assert moment("2026-11-22T09:00")[-6] in "+-"
