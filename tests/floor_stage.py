"""A hub with a working day behind it, for the supervisor's and admin's views: something of everything they show."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from connectors.simulators.wechat import Fault, WeChatPlatform
from hub import now_ms
from tests.browsers import add
from tests.hubs import Stage, configuration, running, served, until, write
from tests.receiver import Receiver
from tests.survey_stage import CSAT

HOSTILE = (
    "<script>hit(1)</script>",
    "<img src=x onerror=hit(2)>",
    "<svg/onload=hit(3)>",
    "\"><iframe srcdoc='<script>parent.hit(4)</script>'>",
    "javascript:hit(5)",
    "{{constructor.constructor('hit(6)')()}}",
    "${hit(7)} `hit(8)`",
    "</textarea></title></script><script>hit(9)</script>",
    "<a href=javascript:hit(10)>https://a.example</a>",
)
"""Names and texts that run where somebody takes them for markup: `hit` is called then."""

SECRET = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
SEND = "custom/send"
CHANNELS = """  shop-wechat: {{kind: wechat, app_id: wxba5fad812f8e6fb9, app_secret: s3cret-of-the-app,
    token: pushtoken, api_base: '{wechat}'}}
  site-chat: {{kind: webchat, allowed_origins: []}}
  service-mail: {{kind: email, address: service@example.com, imap: {{host: 127.0.0.1, port: 9, user: s, password: p}},
    smtp: {{host: 127.0.0.1, port: 9, user: s, password: p}}}}"""
TEAMS = """
sla:
  standard: {{first_reply: 1s, next_reply: 20m, resolution: 24h}}
  calm: {{first_reply: 4h}}
hours:
  office: {{timezone: Asia/Shanghai, week: {{mon-fri: ["09:00-18:00"]}}}}
teams:
  frontdesk: {{name: {frontdesk}, members: [hanmeimei, wangfang], sla: calm, assign: {{strategy: manual}}}}
  aftersales: {{name: {aftersales}, members: [lilei, hanmeimei], sla: calm,
    assign: {{strategy: least-busy, capacity: 3}}}}
{hostile_team}
  complaints: {{name: {complaints}, members: [lilei], sla: standard, restricted: true, supervisors: [chief],
    assign: {{strategy: round-robin, capacity: 5}}}}
agents:
  lilei: {{name: {lilei}, email: lilei@example.com, skills: [refund], languages: [zh, en]}}
  hanmeimei: {{name: {hanmeimei}, email: hanmeimei@example.com}}
  wangfang: {{name: {wangfang}, email: wangfang@example.com}}
{hostile_agent}
surveys: surveys.yaml
shadow: shadow.yaml
reports:
  monday: {{every: weekly mon 09:00, to: [aftersales, boss@example.com], format: [html, xlsx]}}
webhooks:
  crm: {{url: "{receiver}/hook", secret: "{secret}", events: ["*"], allow_private: true}}
"""
NAMES = {
    "frontdesk": "前台", "aftersales": "售后组", "complaints": "投诉组",
    "lilei": "李雷", "hanmeimei": "韩梅梅", "wangfang": "王芳",
}  # fmt: skip
ROUTES = """
default: {team: frontdesk}
routes:
  - name: complaint
    when: {text: {any_of: [投诉, 差评, 曝光]}}
    set: {team: complaints, stage: complaint, priority: urgent, tags: [complaint], acknowledge: complaint-received}
    owner: 王芳
    review_by: 2020-01-01
  - name: refund
    when: {text: {any_of: [退款, 退货]}}
    set: {team: aftersales, stage: aftersale, tags: [refund]}
    routes:
      - name: refund-vip
        when: {contact: {tag: vip}}
        set: {priority: high}
  - name: english
    when: {all: [{language: en}, {not: {text: spam}}]}
    set: {tags: [english]}
    continue: true
  - name: spam
    when: {text: {any_of: [加微信刷单]}}
    set: {ignore: spam}
"""
SHADOW = ROUTES.replace("[退款, 退货]", "[退款]")
TEMPLATES = """
complaint-received: {zh: "您好 {{ contact.name || 顾客 }}，投诉已收到。", en: "We have received your complaint."}
parcel-sent:
  variables: [tracking]
  for_agents: true
  text: {zh: "您的包裹已发出，单号 {{ tracking }}。", en: "Your parcel is on its way: {{ tracking }}."}
"""
SAID = (
    "你好，在吗",
    "我要退款，快递一直没到",
    "我要投诉！等太久了",
    "Hello, where is my parcel?",
    "退货怎么寄回",
    "什么时候发货",
)


@dataclass
class Floor:
    """The running hub, what plays the platform, and the tool that hears the webhooks."""

    stage: Stage
    platform: WeChatPlatform
    receiver: Receiver
    conversations: list[dict[str, Any]]


def texts(wechat: str, receiver: str, *, hostile: bool) -> tuple[str, str, str]:
    """Return configuration, surveys and routes; with *hostile* some of their names are."""
    quoted = [json.dumps(one) for one in HOSTILE]
    team = f"  evil: {{name: {quoted[1]}, members: [mallory]}}" if hostile else ""
    agent = f"  mallory: {{name: {quoted[2]}}}" if hostile else ""
    more = TEAMS.format(receiver=receiver, secret=SECRET, hostile_team=team, hostile_agent=agent, **NAMES)
    surveys = CSAT.replace("service\n", f"{quoted[0]}\n").replace("know how we do", quoted[3]) if hostile else CSAT
    evil = f"  - {{name: {quoted[1]}, when: {{text: {quoted[3]}}}, set: {{tags: {quoted[2]}, risk: {quoted[7]}}}}}\n"
    return configuration(CHANNELS.format(wechat=wechat), more=more), surveys, ROUTES + evil * hostile


@asynccontextmanager
async def floor(store_url: str, folder: Path, *, hostile: bool = False) -> AsyncIterator[Floor]:
    """Run a hub and let a day pass on it; *hostile*: some names and texts try to run."""
    platform = WeChatPlatform("wxba5fad812f8e6fb9", "s3cret-of-the-app", "pushtoken")
    receiver = Receiver(SECRET)
    async with served(platform.app) as wechat, served(receiver.app) as hook:
        config, surveys, routes = texts(wechat, hook, hostile=hostile)
        path = write(folder, config, routes=routes, templates=TEMPLATES)
        (folder / "surveys.yaml").write_text(surveys, encoding="utf-8")
        (folder / "shadow.yaml").write_text(SHADOW, encoding="utf-8")
        async with running(store_url, path) as stage:
            platform.hub_url = f"{stage.base}/hooks/shop-wechat"
            made = Floor(stage, platform, receiver, [])
            await work(made)
            if hostile:
                await attack(made)
            yield made


async def attack(floor: Floor) -> None:
    """Name people and bulk sends so that they would run, and answer and write what would."""
    stage = floor.stage
    for number, name in enumerate(HOSTILE):
        await stage.api("POST", "/people", {"id": f"evil{number}", "role": "readonly", "name": name})
        await stage.api("POST", "/campaigns", {"name": name, "text": f"{re.sub('[{}]', '', name)} STOP", "segment": {}})
        body = {"channel": "site-chat", "address": f"visitor:an-evil{number}", "answers": {"score": 3, "comment": name}}
        await stage.api("POST", "/surveys/csat/responses", body)
    raw = "\n".join(HOSTILE).encode()
    await stage.hub.recorder.shunt("shop-wechat", raw, HOSTILE[1], {}, now_ms())


async def work(floor: Floor) -> None:
    """Let customers write, agents answer, and some of it go wrong."""
    stage, platform = floor.stage, floor.platform
    for number, text in enumerate(SAID):
        await platform.write(openid(number), text)
    by_text: dict[str, dict[str, Any]] = {}

    async def there() -> bool:
        for one in await stage.conversations():
            by_text[(await stage.messages(one["id"]))[0]["text"]] = one
        return len(by_text) == len(SAID)

    await until(there)
    floor.conversations = [by_text[text] for text in SAID]
    for one in floor.conversations[:4]:
        agreed = {
            "address": one["contact"]["addresses"][0],
            "state": "consented",
            "lane": "campaign",
            "reason": "membership",
        }
        await stage.api("PUT", f"/contacts/{one['contact']['id']}/consent", agreed)
    await trouble(floor)
    await ask(floor)
    for name, role in (("boss", "admin"), ("chief", "supervisor"), ("guest", "readonly"), ("lilei", "agent")):
        await add(stage, name, role)
    await stage.api("POST", "/people", {"id": "newcomer", "role": "supervisor", "name": "新同事"})
    body = {"name": "双十一", "text": {"zh": "{{ contact.name }}您好，会员专属券已到账。拒收请回复TD"}, "segment": {}}
    await stage.api("POST", "/campaigns", body)


async def trouble(floor: Floor) -> None:
    """Let one answer be refused for good, one get lost on its way, and one payload be unreadable."""
    stage, platform = floor.stage, floor.platform

    async def acknowledged() -> bool:
        return bool(platform.received[openid(2)])

    await until(acknowledged)  # else the acknowledgement of the complaint might meet the fault
    for index, fault in ((0, Fault(errcode=45015)), (3, Fault(cut=True))):
        platform.fail(SEND, fault)
        one = floor.conversations[index]["id"]
        await stage.api("POST", f"/conversations/{one}/replies", {"text": "您好，马上为您查看", "client_id": "a"})
        state = "dead" if index == 0 else "uncertain"

        async def found(state: str = state) -> bool:
            return bool((await stage.api("GET", f"/deliveries?state={state}"))["items"])

        await until(found)
    raw = b"<xml><MsgType>unheard-of</MsgType></xml>"
    await stage.hub.recorder.shunt("shop-wechat", raw, "MsgType: expected text, image or event", {}, now_ms())


async def ask(floor: Floor) -> None:
    """Resolve a conversation, so that its customer is asked, and enter answers of others."""
    stage = floor.stage
    await stage.api("POST", f"/conversations/{floor.conversations[5]['id']}/resolve")
    for number in range(8):
        answers = {"score": 1 + number % 5, "comment": "物流太慢了" if number % 5 < 2 else "客服很耐心"}
        body = {"channel": "site-chat", "address": f"visitor:a-visitor{number}", "answers": answers, "mode": "phone"}
        await stage.api("POST", "/surveys/csat/responses", body)


def openid(number: int) -> str:
    """Return a customer of the shop."""
    return f"o9AgO5Kd5ggOC-customer-{number:05}"
