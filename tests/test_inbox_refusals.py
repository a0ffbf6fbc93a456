"""What the hub and its doctor say, told in Chinese at a terminal."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

import hub
from inbox import doctor, refusals
from inbox.durability import Durability, Finding, judge
from inbox.embedded import EmbeddedError
from inbox.opening import Unfit
from inbox.periods import BadPeriod, parsed
from inbox.store import StoreDown

ROOT = Path(__file__).parent.parent


def titles() -> Iterator[str]:
    """Yield the title of every problem that a module of ours raises."""
    for package in ("inbox", "outbox", "router", "connectors"):
        for file in (ROOT / package).glob("*.py"):
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
                match node:
                    case ast.Call(func=ast.Name("Problem"), args=[ast.Constant(int()), ast.Constant(str(title)), *_]):
                        yield title
                    case ast.Dict(values=values):
                        for value in values:
                            match value:
                                case ast.Tuple([ast.Constant(int()), ast.Constant(str(title))]):
                                    yield title


@pytest.mark.parametrize("title", sorted(set(titles())))
def test_every_title_has_a_translation(title: str) -> None:
    """No refusal begins in English for who reads Chinese."""
    assert refusals.said(title, "zh-CN") != title


TOLD = [
    ("There is no such thing", "'x' is no delivery id", "没有这个编号：'x' 不是发送编号"),
    ("Bad parameter", "status must be one of open, pending", "参数不对：status 应为其中之一：open, pending"),
    ("The reply would not go", "请先确认", "回复发不出去：请先确认"),
    ("There is no such path", "", "没有这个地址"),
    ("Nobody knows", "this sentence", "Nobody knows：this sentence"),
    ("There is no such survey", "surveys are csat, nps", "没有这份问卷：问卷有 csat, nps"),
    ("There is no such report", "there are no scheduled reports", "没有这份报表：没有设置定时报表"),
    ("The candidate has faults", "a.yaml:1:2: x: unknown key", "候选规则有错误：a.yaml:1:2: x: 未知的键"),
]


@pytest.mark.parametrize(("title", "detail", "said"), TOLD, ids=[title for title, _, _ in TOLD])
def test_refusals_in_chinese(title: str, detail: str, said: str) -> None:
    """Title and detail are told each in Chinese where they are known, else as they are."""
    assert said == refusals.told(title, detail, "zh-CN")


@pytest.mark.parametrize(("text", "said"), [("soon", "不是时间"), ("2026-11-02T09:00:00", "没有时区，或年份不对")])
def test_what_is_no_time_is_told_in_chinese(text: str, said: str) -> None:
    """Also how a time is written."""
    with pytest.raises(BadPeriod) as caught:
        parsed(text, "", ZoneInfo("UTC"), 0)

    assert f"参数不对：{text!r} {said}；应为{refusals.WHEN}" == refusals.told(
        "Bad parameter", str(caught.value), "zh-CN"
    )


def test_refusals_in_english() -> None:
    """Otherwise they stay as the hub wrote them."""
    assert "Bad parameter: limit" == refusals.told("Bad parameter", "limit", "en")


STORES = [
    Durability(appendonly=False, appendfsync="no", maxmemory_policy="allkeys-lru", replicas=1, min_replicas_to_write=0),
    Durability(appendonly=True, appendfsync="everysec", maxmemory_policy="noeviction", write_error=True),
    Durability(appendonly=True, appendfsync="no", maxmemory_policy="noeviction"),
    Durability(appendonly=None, appendfsync=None, maxmemory_policy=None),
]


@pytest.mark.parametrize("store", STORES, ids=str)
def test_the_doctor_speaks_chinese(store: Durability) -> None:
    """Whatever is weak about a store has a sentence in Chinese, and stays as it is in English."""
    findings = judge(store, "always")

    assert findings
    for finding in findings:
        assert doctor.told(finding.message, "zh-CN") != finding.message
        assert doctor.told(finding.message, "en") == finding.message


def test_the_doctor_tells_faults_in_chinese() -> None:
    """A fault that the running hub found reads as `huiliu check` would tell it."""
    message = "the hub does not use the files as they are: routes.yaml:3:5: routes[0].nam: unknown key"

    assert "文件没有启用：routes.yaml:3:5: routes[0].nam: 未知的键" == doctor.told(message, "zh-CN")


STOPS = [
    (StoreDown("the store cannot be reached (ConnectionError)"), "连不上存储（ConnectionError）"),
    (Unfit([Finding("refuse", judge(STORES[2], "always")[0].message)]), "store.durability 要求 always"),
    (
        EmbeddedError(
            "/x is in use: hub is held by another hub, process 7; stop it, or give this hub a store.path of its own"
        ),
        "/x 已被占用：hub 由另一个汇流（进程 7）持有",
    ),
    (OSError("something else"), "something else"),
]


@pytest.mark.parametrize(("error", "said"), STOPS, ids=lambda one: type(one).__name__)
def test_why_a_hub_does_not_start(capsys: pytest.CaptureFixture[str], error: Exception, said: str) -> None:
    """Whatever keeps it from running is told in the language of the terminal, and ends it with 1."""

    async def fail() -> None:
        raise error

    assert 1 == hub.finished(fail(), "zh-CN")
    assert said in capsys.readouterr().err
