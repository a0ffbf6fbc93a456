"""A hub that asks surveys, with a web chat to ask on, for tests of pages and of sampling."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tests.hubs import TEAMS, Stage, configuration, running, until, write

CHAT = "  site-chat: {kind: webchat, allowed_origins: []}"
CSAT = """
csat:
  title: {zh: 服务满意度, en: Your experience with us}
  purpose: know how we do
  owner: service
  trigger: {on: resolved}
  cool_down: null
"""
LONG = """
long:
  title: {zh: 售后服务调查, en: About your return}
  purpose: know what slows returns down
  owner: service
  kind: custom
  trigger: {on: manual}
  cool_down: null
  invitation: {zh: 感谢您选择我们，几个问题，不到一分钟。, en: "Thank you for choosing us: questions of a minute."}
  thanks: {zh: 感谢您的评价，祝您生活愉快！, en: "Thank you for taking the time!"}
  questions:
    - id: ease
      kind: score
      min: 0
      max: 10
      text:
        zh: 您有多大可能把我们推荐给朋友或同事？
        en: "How likely are you to recommend us to a friend or colleague?"
      labels: {"0": {zh: 完全不会, en: Not at all}, "10": {zh: 一定会, en: Extremely likely}}
      branch: [{below: 7, to: slow}, {above: 8, to: end}]
    - id: other
      kind: yes_no
      text: {zh: 您还会再来吗？, en: "Will you come back?"}
      branch: [{any_of: [yes], to: end}]
    - id: slow
      kind: choices
      text: {zh: 哪里可以更好？, en: "What could be better?"}
      labels:
        reply: {zh: 回复速度, en: Speed of answers}
        refund: {zh: 退款速度, en: Speed of the refund}
        staff: {zh: 客服态度, en: Friendliness}
    - id: words
      kind: text
      text: {zh: 还有什么想告诉我们的？, en: "Is there anything else you want to tell us?"}
"""


@asynccontextmanager
async def asking(
    store_url: str, folder: Path, surveys: str = CSAT + LONG, *, more: str = TEAMS, channels: str = CHAT, index: int = 0
) -> AsyncIterator[Stage]:
    """Run a hub with a web chat and surveys."""
    config = write(folder, configuration(channels, more=more) + "surveys: surveys.yaml\n")
    (folder / "surveys.yaml").write_text(surveys, encoding="utf-8")
    async with running(store_url, config, index=index) as stage:
        yield stage


async def asked(stage: Stage, survey: str, visitor: str = "a-visitor1", *, language: str = "zh") -> tuple[str, str]:
    """Ask a visitor by hand; return the invitation and the address of its page."""
    body = {"recipients": [{"channel": "site-chat", "address": f"visitor:{visitor}", "language": language}]}
    [one] = (await stage.api("POST", f"/surveys/{survey}/invitations", body))["items"]

    async def sent() -> bool:
        found = await listed(stage, survey, "invitations")
        return any(each["id"] == one["id"] and each["state"] == "sent" for each in found)

    await until(sent)
    return str(one["id"]), f"{stage.base}/s/{stage.hub.links.surveys.token(one['id'])}"


async def listed(stage: Stage, survey: str, what: str, **query: str) -> list[dict[str, Any]]:
    """Return all invitations of, or all responses to, a survey."""
    found: list[dict[str, Any]] = []
    cursor = ""
    while True:
        given = "&".join(f"{name}={value}" for name, value in query.items())
        page = await stage.api("GET", f"/surveys/{survey}/{what}?limit=200&cursor={cursor}&{given}")
        found += page["items"]
        cursor = page["next"] or ""
        if not cursor:
            return found
