"""The policy about words at work: answers, acknowledgements, bulk sends, reloads, and what `huiliu check` says."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from config.chinese import said
from config.loading import attempt
from hub import doubts, kinds
from tests.hubs import Stage, configuration, until, write
from tests.test_flow_campaigns import campaign
from tests.texting import texting
from tests.twilio_account import BUYER

POLICY = """
use: [advertising-law, strangers, secrets]
rules:
  - {name: house, words: [包赚], action: block, reason: {zh: 不能承诺收益, en: no promises of gains}, replace: 不作承诺}
  - {name: slow, words: [再等等], reason: {zh: 说法含糊, en: vague}}
"""


async def conversation(stage: Stage) -> dict[str, Any]:
    [one] = await until(stage.conversations)
    return one


async def test_answers_are_blocked_or_have_to_be_confirmed(store_url: str, tmp_path: Path) -> None:
    """A block answers 422 with the place in the text, a warning 409 until somebody confirms it, and nothing leaks."""
    async with texting(store_url, tmp_path, guard=POLICY) as shop:
        stage = shop.stage
        await shop.platform.write(BUYER, "订单 123456789012345678 到哪了")
        one = await conversation(stage)
        path = f"/conversations/{one['id']}/replies"

        blocked = await stage.api("POST", path, {"text": "放心，包赚的，最佳！", "anyway": True}, status=422)
        assert [("house", 3, 2, "不作承诺"), ("absolute-terms", 7, 2, "优质")] == [
            (each["rule"], each["offset"], each["length"], each["replace"]) for each in blocked["obstacles"]
        ]
        secret = await stage.api("POST", path, {"text": "卡号 6222021234567890128"}, status=422)
        assert "6222" not in json.dumps(secret)

        warned = await stage.api("POST", path, {"text": "请再等等，单号 876543210987654321"}, status=409)
        assert ["slow", "strange-order"] == [each["rule"] for each in warned["obstacles"]]
        await stage.api("POST", path, {"text": "请再等等，单号 876543210987654321", "confirm": ["slow"]}, status=409)
        preview = await stage.api("POST", f"{path}/preview", {"text": "请再等等"})
        assert ["slow"] == [each["rule"] for each in preview["obstacles"]]

        await stage.api("POST", path, {"text": "请再等等", "confirm": ["slow"]}, status=202)
        await stage.api("POST", path, {"text": "再等等吧", "confirm": ["guard"]}, status=202)
        await stage.api("POST", path, {"text": "再等等哦", "anyway": True}, status=202)
        await stage.api("POST", path, {"text": "订单 123456789012345678 已发出"}, status=202)

        async def sent() -> bool:
            return len(shop.texts()) == 4

        await until(sent)
        tried = await stage.api("POST", "/guard/test", {"text": "最佳", "channel": "sms"})
        assert [("absolute-terms", "block")] == [(each["rule"], each["weight"]) for each in tried["items"]]


async def test_a_machine_s_words_are_held_back_and_a_new_policy_is_used(store_url: str, tmp_path: Path) -> None:
    """An acknowledgement that is blocked becomes a dead letter with the reason; the file may change while it runs."""
    async with texting(store_url, tmp_path, guard="rules: []\n", templates=TEMPLATES) as shop:
        stage = shop.stage
        (tmp_path / "guard.yaml").write_text(POLICY, encoding="utf-8")

        async def reloaded() -> bool:
            return bool((await stage.api("POST", "/guard/test", {"text": "包赚"}))["items"])

        await until(reloaded)
        await shop.platform.write(BUYER, "我要投诉")

        async def dead() -> list[dict[str, Any]]:
            found: list[dict[str, Any]] = (await stage.api("GET", "/dead"))["items"]
            return found

        [letter] = await until(dead)
        assert ("guard", "不能承诺收益：包赚") == (letter["code"], letter["error"])
        assert [] == shop.texts()

        (tmp_path / "guard.yaml").write_text("rules: [{name: x}]", encoding="utf-8")

        async def refused() -> bool:
            return bool(stage.hub.live.last_error)

        await until(refused)
        assert (await stage.api("POST", "/guard/test", {"text": "包赚"}))["items"]


TEMPLATES = """
complaint-received: {zh: "您好，保证包赚", en: "We have received it."}
thanks: {zh: "谢谢。", en: "Thank you."}
"""


async def test_a_bulk_send_with_forbidden_words_never_starts(store_url: str, tmp_path: Path) -> None:
    """What is blocked in the text stops the whole bulk send; what stands in one row leaves that row out."""
    async with texting(store_url, tmp_path, guard=POLICY) as shop:
        body = campaign(text="全国第一！ {{ row.coupon }}")
        preview = await shop.stage.api("POST", "/campaign-preview", body)
        assert ["absolute-terms", "no-way-out"] == [each["rule"] for each in preview["obstacles"]]
        name = (await shop.stage.api("POST", "/campaigns", body))["id"]
        await shop.stage.api("POST", f"/campaigns/{name}/start", {"anyway": True}, status=422)

        listed = "phone,name,coupon\n+14158675300,a,C1\n+14158675301,b,包赚\n"
        body = campaign(text="您好 {{ row.coupon }}", list=listed)
        name = (await shop.stage.api("POST", "/campaigns", body))["id"]
        warned = await shop.stage.api("POST", f"/campaigns/{name}/start", {}, status=409)
        assert ["no_way_out"] == [each["code"] for each in warned["obstacles"]]
        await shop.stage.api("POST", f"/campaigns/{name}/start", {"anyway": True})

        async def done() -> dict[str, Any]:
            found: dict[str, Any] = await shop.stage.api("GET", f"/campaigns/{name}")
            return found if found["state"] == "done" else {}

        found = await until(done, 30)
        assert {"guard": 1} == found["left_out"]
        assert ["您好 C1"] == [one.body for one in shop.platform.messages]


FAULTS = [
    ("rules: [{name: x, reason: r}]", "1:9: rules[0]: a rule looks for one thing"),
    ("rules: [{name: x, reason: r, words: a, regex: b}]", "a rule looks for one thing"),
    ("rules: [{name: x, reason: r, regex: '(?=a)'}]", "rules[0].regex"),
    ("rules: [{name: x, reason: r, regex: 'a*'}]", "matches a text in which there is nothing"),
    ("rules: [{name: x, reason: r, words: ['  ']}]", "rules[0].words[0]: this text is empty"),
    ("rules: [{name: x, reason: r, words: []}]", "this list is empty"),
    ("rules: [{name: x, reason: r, words: a}, {name: x, reason: r, words: b}]", 'another rule is called "x"'),
    ("use: [advertizing-law]", "did you mean advertising-law"),
    ("use: [vague, vague]", "used twice"),
    ("use: [{preset: vague, without: [vague-word]}]", "did you mean vague-words"),
    ("rules: [{name: x, reason: r, words: a, only: {channels: [smss]}}]", "did you mean sms"),
    ("rules: [{name: x, reason: r, words: a, only: {kinds: [twilio-smss]}}]", "did you mean twilio-sms"),
    ("rules: [{name: x, reason: r, words: a, only: {lanes: [mail]}}]", "only.lanes[0]"),
    ("rules: [{name: x, reason: r, words: {file: none.txt}}]", "cannot be read"),
    ("rules: [{name: x, words: a}]", "reason"),
    ("orders: '('", "orders"),
    ("rule: []", "did you mean rules"),
]


@pytest.mark.parametrize(("policy", "told"), FAULTS, ids=[fault[0] for fault in FAULTS])
def test_what_is_wrong_with_a_policy_is_said(tmp_path: Path, policy: str, told: str) -> None:
    """A policy that cannot be used is refused with file, line, column, and the nearest right thing."""
    config = files(tmp_path, policy)
    found = attempt(config, kinds).faults

    assert any(told in str(fault) for fault in found), list(map(str, found))
    assert all(fault.file.endswith("guard.yaml") and fault.line == 1 for fault in found)


def files(folder: Path, policy: str, templates: str = TEMPLATES) -> Path:
    channel = (
        "  sms: {kind: twilio-sms, account_sid: AC00000000000000000000000000000000, auth_token: token, "
        "from_number: '+15005550006'}"
    )
    config = write(folder, configuration(channel) + "guard: guard.yaml\n", templates=templates)
    (folder / "guard.yaml").write_text(policy, encoding="utf-8")
    return config


def test_templates_are_held_against_the_policy(tmp_path: Path) -> None:
    """`huiliu check` warns of texts that would not leave, and of those that somebody would have to confirm."""
    loaded = attempt(files(tmp_path, POLICY), kinds).loaded
    assert loaded is not None
    found = [fault for fault in doubts(loaded) if fault.rule.startswith("guard")]

    assert [("guard-block", "complaint-received.zh", 2, "warning")] == [
        (fault.rule, fault.path, fault.line, fault.severity) for fault in found
    ]
    assert "包赚" in str(found[0])


def test_a_confirmation_must_exist(tmp_path: Path) -> None:
    """The template that confirms an opt-out is one that there is."""
    config = files(tmp_path, "rules: []")
    config.write_text(config.read_text(encoding="utf-8") + "consent: {confirm: thank}\n", encoding="utf-8")
    [fault] = attempt(config, kinds).faults

    assert 'consent.confirm: there is no template "thank"' in str(fault)
    assert "did you mean thanks" in str(fault)


@pytest.mark.parametrize("page", ["guard.md", "guard.zh-CN.md"])
def test_examples_of_the_guide_load(tmp_path: Path, page: str) -> None:
    """Whoever copies a policy out of the guide gets no fault."""
    text = (Path(__file__).parent.parent / "docs" / page).read_text(encoding="utf-8")
    blocks = [block for block in re.findall(r"```yaml\n(.*?)```", text, re.DOTALL) if block.startswith("# guard.yaml")]

    assert len(blocks) == 2
    for block in blocks:
        found = attempt(files(tmp_path, block.replace("shop-tiktok", "sms")), kinds).faults
        assert [] == list(map(str, found))


def test_faults_are_said_in_chinese(tmp_path: Path) -> None:
    """What is wrong with a policy is said in Chinese, too."""
    for policy, _ in FAULTS:
        for fault in attempt(files(tmp_path, policy), kinds).faults:
            told = said(fault).split(": ", 2)[-1]
            assert re.search("[\u4e00-\u9fff]", told), told
