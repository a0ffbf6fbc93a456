"""What becomes of a message is decided from facts alone, for every kind of channel."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors import registry
from connectors.base import Capabilities, Media, Metered, PlatformTemplate, Window
from connectors.registry import find
from outbox.forecast import LEEWAY, MOST_PARTS, Content, Facts, Fallback, Way, plan_send
from outbox.obstacles import Obstacle
from outbox.plan import measure

NOW = 1_800_000_000_000
HOUR = 3_600_000
DAY = 24 * HOUR
MB = 1 << 20
IMAGE = Media("image/jpeg", "a.jpg", 200_000, ref="sha256:1")
PDF = Media("application/pdf", "a.pdf", 300_000, ref="sha256:2")
VIDEO = Media("video/mp4", "a.mp4", 3 * MB, ref="sha256:3")
LARGE = Media("image/png", "b.png", 11 * MB, ref="sha256:4")
HUGE = Media("application/zip", "b.zip", 26 * MB, ref="sha256:5")
TEMPLATE = PlatformTemplate("tmpl-1", {"thing1": "您有新回复"})
CHINESE = "字"
STRICT = Capabilities(templates=True, texts=False)


def way(kind: str, **facts: Any) -> Way:
    """Return a channel of *kind* that is open, unless *facts* say otherwise."""
    connector = find(kind)
    meter: Any = connector.segments if issubclass(connector, Metered) else None
    known: dict[str, Any] = {}
    if connector.capabilities.window is not None:
        known = {"open_until": NOW + HOUR, "left": connector.capabilities.window.messages}
    segments = (lambda text: meter(None, text)) if meter is not None else None
    can = facts.pop("capabilities", connector.capabilities)
    return Way(f"my-{kind}", kind, "x:1", can, segments=segments, **{**known, **facts})


# kind, facts of the way, content, then: action, codes, messages, segments
RULES = [
    # WeChat: 48 hours and 5 messages after a message, a minute and 3 after a click; 2048 bytes of text
    ("wechat", {}, {"text": "好的"}, "send", [], 1, None),
    ("wechat", {"left": 1}, {"text": "好的"}, "send", [], 1, None),
    ("wechat", {"left": 0}, {"text": "好的"}, "refuse", ["quota_used"], 0, None),
    ("wechat", {"left": 2, "owed": 2}, {"text": "好的"}, "refuse", ["quota_used"], 0, None),
    ("wechat", {"left": 2, "owed": 1}, {"text": "好的"}, "send", [], 1, None),
    ("wechat", {"open_until": NOW + LEEWAY}, {"text": "好的"}, "refuse", ["window_closed"], 0, None),
    ("wechat", {"open_until": NOW + LEEWAY + 1}, {"text": "好的"}, "send", [], 1, None),
    ("wechat", {"open_until": None}, {"text": "好的"}, "refuse", ["window_closed"], 0, None),
    ("wechat", {"open_until": NOW + 60_000, "left": 3}, {"text": CHINESE * 2046}, "split", [], 3, None),
    ("wechat", {"open_until": NOW + 60_000, "left": 3}, {"text": CHINESE * 2047}, "refuse", ["quota_used"], 0, None),
    ("wechat", {}, {"text": CHINESE * 682}, "send", [], 1, None),
    ("wechat", {}, {"text": CHINESE * 683}, "split", [], 2, None),
    ("wechat", {"left": 1}, {"text": CHINESE * 683}, "refuse", ["quota_used"], 0, None),
    ("wechat", {}, {"text": "看图", "media": (IMAGE,)}, "split", [], 2, None),
    ("wechat", {"left": 1}, {"text": "看图", "media": (IMAGE,)}, "refuse", ["quota_used"], 0, None),
    ("wechat", {}, {"media": (LARGE,)}, "refuse", ["media_refused"], 0, None),
    ("wechat", {}, {"media": (PDF,)}, "send", [], 1, None),
    ("wechat", {"open_until": 0, "left": 0}, {"template": TEMPLATE}, "send", [], 1, None),
    ("wechat", {}, {"text": "a", "html": "<b>a</b>"}, "send", ["html_left_out"], 1, None),
    # SMS by Aliyun: approved templates; free text in a variable of one, 35 characters at most
    ("aliyun-sms", {}, {"text": CHINESE * 35}, "send", [], 1, None),
    ("aliyun-sms", {}, {"text": CHINESE * 36}, "split", [], 2, None),
    ("aliyun-sms", {}, {"text": CHINESE * 35 * (MOST_PARTS + 1)}, "refuse", ["too_long"], 0, None),
    ("aliyun-sms", {}, {"template": TEMPLATE}, "send", [], 1, None),
    ("aliyun-sms", {"capabilities": STRICT}, {"template": TEMPLATE}, "send", [], 1, None),
    ("aliyun-sms", {"capabilities": STRICT}, {"text": "a"}, "refuse", ["template_only"], 0, None),
    ("aliyun-sms", {"capabilities": STRICT}, {"text": ""}, "refuse", ["empty"], 0, None),
    ("aliyun-sms", {}, {"text": "see", "media": (IMAGE,)}, "refuse", ["media_refused"], 0, None),
    # SMS by Twilio: no window; 1600 UTF-16 units a message, billed in segments of 160/153 and 70/67
    ("twilio-sms", {}, {"text": "a" * 160}, "send", [], 1, 1),
    ("twilio-sms", {}, {"text": "a" * 161}, "send", [], 1, 2),
    ("twilio-sms", {}, {"text": CHINESE * 70}, "send", [], 1, 1),
    ("twilio-sms", {}, {"text": CHINESE * 71}, "send", [], 1, 2),
    ("twilio-sms", {}, {"text": "😀" * 800}, "send", [], 1, 25),
    ("twilio-sms", {}, {"text": "😀" * 801}, "split", [], 2, 26),
    ("twilio-sms", {}, {"text": "a" * 1601}, "split", [], 2, 12),
    ("twilio-sms", {}, {"text": "a" * 1600 * (MOST_PARTS + 1)}, "refuse", ["too_long"], 0, None),
    ("twilio-sms", {}, {"text": "see", "media": (IMAGE,) * 10}, "send", [], 1, 1),
    ("twilio-sms", {}, {"text": "see", "media": (IMAGE,) * 11}, "split", [], 2, 1),
    ("twilio-sms", {}, {"text": "see", "media": (VIDEO, VIDEO)}, "split", [], 2, 1),
    ("twilio-sms", {}, {"media": (LARGE,)}, "refuse", ["media_refused"], 0, None),
    ("twilio-sms", {}, {"template": TEMPLATE}, "refuse", ["no_template"], 0, None),
    # mail: any length, HTML, 20 MB a mail
    ("email", {}, {"text": "a" * 100_000, "html": "<b>a</b>"}, "send", [], 1, None),
    ("email", {}, {"text": "see", "media": (PDF,) * 20}, "send", [], 1, None),
    ("email", {}, {"text": "see", "media": (LARGE, LARGE)}, "split", [], 2, None),
    ("email", {}, {"media": (HUGE,)}, "refuse", ["media_refused"], 0, None),
    # TikTok Shop: 30 days after a chat; 2000 characters; pictures up to 10 MB and no other files
    ("tiktok-shop", {}, {"text": CHINESE * 2000}, "send", [], 1, None),
    ("tiktok-shop", {}, {"text": CHINESE * 2001}, "split", [], 2, None),
    ("tiktok-shop", {"open_until": NOW}, {"text": "hi"}, "refuse", ["window_closed"], 0, None),
    ("tiktok-shop", {"open_until": None}, {"text": "hi"}, "send", [], 1, None),
    ("tiktok-shop", {}, {"media": (IMAGE,)}, "send", [], 1, None),
    ("tiktok-shop", {}, {"media": (PDF,)}, "refuse", ["media_refused"], 0, None),
    ("tiktok-shop", {}, {"media": (LARGE,)}, "refuse", ["media_refused"], 0, None),
    # web chat: always open; 4000 characters, files up to 25 MB
    ("webchat", {}, {"text": "a" * 4000, "media": (IMAGE, PDF)}, "send", [], 1, None),
    ("webchat", {}, {"text": "a" * 4001}, "split", [], 2, None),
    ("webchat", {}, {"media": (HUGE,)}, "refuse", ["media_refused"], 0, None),
    ("webchat", {}, {"text": "\u200b \n"}, "refuse", ["empty"], 0, None),
]


@pytest.mark.parametrize(("kind", "facts", "content", "action", "codes", "messages", "segments"), RULES)
def test_every_channel_keeps_its_platforms_rules(
    kind: str, facts: Any, content: Any, action: str, codes: list[str], messages: int, segments: int | None
) -> None:
    """Window, quota, length, files and cost are known before anything is asked of the platform."""
    plan = plan_send(Facts(NOW, way(kind, **facts), Content(**content)))

    assert (action, codes) == (plan.action, [one.code for one in plan.obstacles])
    assert (messages, segments) == (plan.cost.messages, plan.cost.segments)


def test_every_kind_has_rules_here() -> None:
    """A built-in kind without a row in the table is one whose rules nobody has written down."""
    assert {"aliyun-sms", "email", "tiktok-shop", "twilio-sms", "webchat", "wechat"} == {row[0] for row in RULES}
    assert {row[0] for row in RULES} <= set(registry.BUILT_IN)


THIRD = Capabilities(text_limit=40, media=frozenset({"image"}), media_limit=100, window=Window(60, 2))
THIRDS = [
    ({}, "a" * 40, "send", []),
    ({}, "a" * 80, "split", []),
    ({}, "a" * 81, "refuse", ["quota_used"]),
    ({"left": None}, "a" * 81, "split", []),
    ({"open_until": 0}, "a", "refuse", ["window_closed"]),
    ({"open_until": None}, "a", "refuse", ["window_closed"]),
]


@pytest.mark.parametrize(("facts", "text", "action", "codes"), THIRDS)
def test_a_third_partys_rules_are_its_capabilities(facts: Any, text: str, action: str, codes: list[str]) -> None:
    """Nobody has to teach the planner about a connector that is not ours."""
    third = Way("line", "line", "line:1", THIRD, **{"open_until": NOW + 60_000, "left": 2, **facts})
    plan = plan_send(Facts(NOW, third, Content(text)))

    assert (action, codes) == (plan.action, [one.code for one in plan.obstacles])


CLOSED = way("wechat", open_until=0)
SMS, MAIL = way("twilio-sms"), way("email")
WORDS = Content("好的")
BY_TEMPLATE = Fallback(CLOSED, Content("您有新回复", template=TEMPLATE), "reply-waits")
BY_SMS, BY_MAIL, HOLD = Fallback(SMS, WORDS), Fallback(MAIL, WORDS), Fallback(CLOSED, WORDS, hold=DAY)
OPTED_OUT = Obstacle("opted_out", "block", "opted out")
FALLBACKS = [
    pytest.param({}, (), "refuse", "my-wechat", "", id="nothing configured"),
    pytest.param({}, (BY_TEMPLATE, BY_SMS), "template", "my-wechat", "window_closed", id="the first that goes"),
    pytest.param({}, (BY_SMS, BY_TEMPLATE), "channel", "my-twilio-sms", "window_closed", id="in their order"),
    pytest.param({}, (replace(BY_TEMPLATE, missing=("a",)), BY_SMS), "channel", "my-twilio-sms", "window_closed",
                 id="a template without its values is none"),
    pytest.param({}, (Fallback(CLOSED, WORDS), BY_MAIL), "channel", "my-email", "window_closed",
                 id="what is closed too is left out"),
    pytest.param({}, (replace(BY_SMS, way=replace(SMS, objections=(OPTED_OUT,))), HOLD), "hold", "my-wechat",
                 "window_closed", id="who has opted out there is not written to there"),
    pytest.param({"way": replace(CLOSED, objections=(OPTED_OUT,))}, (BY_SMS, HOLD), "refuse", "my-wechat", "",
                 id="who has opted out is not written to elsewhere"),
    pytest.param({"content": Content("", media=(LARGE,)), "way": way("wechat")}, (HOLD,), "refuse", "my-wechat", "",
                 id="no waiting makes a file smaller"),
    pytest.param({"content": Content("", media=(LARGE,)), "way": way("wechat")},
                 (Fallback(MAIL, Content("", media=(LARGE,))),), "channel", "my-email", "media_refused",
                 id="a file goes where it can"),
    pytest.param({"done": 1}, (BY_SMS,), "refuse", "my-wechat", "", id="what is half out goes nowhere else"),
    pytest.param({"insist": True}, (BY_SMS,), "send", "my-wechat", "", id="a person insists"),
    pytest.param({"later": True}, (BY_SMS,), "send", "my-wechat", "", id="the customer may write until then"),
]  # fmt: skip


@pytest.mark.parametrize(("facts", "steps", "action", "channel", "because"), FALLBACKS)
def test_what_a_channel_does_not_take_goes_as_configured(
    facts: Any, steps: Any, action: str, channel: str, because: str
) -> None:
    """A template, another channel, waiting, or a refusal: the first step that truly goes."""
    given = {"way": CLOSED, "content": WORDS, **facts}
    plan = plan_send(Facts(NOW, fallback=steps, **given))

    assert (action, channel, because) == (plan.action, plan.way.channel, plan.because)


@pytest.mark.parametrize(
    ("lane", "action", "weight"),
    [("survey", "hold", "hold"), ("campaign", "hold", "hold"), ("notice", "hold", "hold"), ("reply", "send", "warn")],
)
def test_quiet_hours_delay_what_nobody_waits_for(lane: Any, action: str, weight: str) -> None:
    """Surveys wait for the morning; who answers a customer at night is only told."""
    plan = plan_send(Facts(NOW, SMS, WORDS, lane, quiet_until=NOW + HOUR))

    assert (action, [("quiet_hours", weight, NOW + HOUR)]) == (
        plan.action,
        [(one.code, one.weight, one.until) for one in plan.obstacles],
    )
    assert plan.until == (NOW + HOUR if action == "hold" else None)


def test_the_longest_hold_holds() -> None:
    """Of two reasons to wait the later one counts, also one of others."""
    cool = Obstacle("cool_down", "hold", "asked lately", NOW + DAY)
    held = plan_send(Facts(NOW, replace(SMS, objections=(cool,)), WORDS, "survey", quiet_until=NOW + HOUR))

    assert ("hold", NOW + DAY) == (held.action, held.until)


@pytest.mark.parametrize("locale", ["zh-CN", "en"])
def test_reasons_are_said_in_the_hubs_language(locale: str) -> None:
    """Whoever is refused reads why."""
    [one] = plan_send(Facts(NOW, way("wechat", left=0), Content("a"), locale=locale)).obstacles

    assert ("额度" in one.why) == (locale == "zh-CN")
    assert "{" not in one.why


@given(
    st.sampled_from(["wechat", "twilio-sms", "email", "tiktok-shop", "webchat"]),
    st.text(st.characters(codec="utf-8"), max_size=6000),
    st.lists(st.sampled_from([IMAGE, PDF, VIDEO, LARGE]), max_size=12),
    st.integers(0, 5),
)
def test_what_goes_fits(kind: str, text: str, media: list[Media], left: int) -> None:
    """Every part of a plan that goes is one that the platform takes, and all of them together fit into the window."""
    here = way(kind, left=left) if kind == "wechat" else way(kind)
    plan = plan_send(Facts(NOW, here, Content(text, media=tuple(media))))
    able = here.capabilities

    assert plan.goes == (plan.blocks == ())
    for part in plan.parts:
        assert part.text or part.media
        assert able.text_limit is None or measure(part.text, able.text_unit) <= able.text_limit
        assert not able.media_count or len(part.media) <= able.media_count
        assert not able.media_total or sum(one.size for one in part.media) <= able.media_total
    assert kind != "wechat" or len(plan.parts) <= left
