"""What can be wrong with route files, each with the very words an admin reads, and their place."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from pathlib import Path

import pytest

from config.conditions import moment
from config.documents import validate
from config.faults import ConfigError
from config.lookups import Lookups
from config.routes import RouteFile, problems
from tests.routing import Names, document, found, load

GOOD = """
default: {team: frontdesk, sla: standard}
routes:
  - name: complaint
    when: {text: {any_of: [投诉, 差评, "12315", 曝光]}}
    set: {team: complaints, stage: complaint, priority: urgent, tags: [complaint], acknowledge: complaint-received}
    routes:
      - name: legal-threat
        when: {text: {any_of: [律师, 起诉, 法院]}}
        set: {agent: team-lead, tags: [legal], risk: high}
  - name: refund
    when:
      all:
        - {text: {regex: "退(款|货|钱)|refund"}}
        - {not: {contact: {tag: blocked}}}
    set: {team: aftersales, stage: aftersale, tags: [refund]}
  - name: night
    when: {hours: {office: closed}, conversation: new}
    set: {acknowledge: after-hours}
    continue: true
tests:
  - name: a complaint beats a refund
    message: {channel: shop-wechat, text: 不退款我就投诉到12315}
    expect: {team: complaints, priority: urgent, route: complaint}
"""


def faults(tmp_path: Path, text: str, **known: tuple[str, ...]) -> list[str]:
    """Return what an admin reads about the route file *text*, without the name of the file."""
    page = document(tmp_path / "routes.yaml", text)
    try:
        file = validate(page, RouteFile)
    except ConfigError as error:
        listed = error.faults
    else:
        listed = tuple(page.faults([problem for _, problem in problems([file], Names(), **known)]))
    return [str(fault).removeprefix(f"{page.file}:") for fault in listed]


def test_the_example_of_the_contract_is_fine(tmp_path: Path) -> None:
    """A file with nested routes, composed conditions and tests has no faults."""
    assert faults(tmp_path, GOOD) == []


def with_route(line: str) -> str:
    return f"default: {{team: frontdesk}}\nroutes:\n  - {line}\n"


def with_when(condition: str) -> str:
    return with_route(f"{{name: a, set: {{team: legal}}, when: {{{condition}}}}}")


TEAMS = "frontdesk, aftersales, complaints, legal or vip-desk"
CHANNELS = "shop-wechat, service-mail or sms-cn"
RE2 = "a regular expression of RE2"
SOME = "at least one condition"
EVENTS = (
    "message, sla_warning, sla_breach, score, opt_out, opt_in, order_event, follow, unfollow, enter, scan, click, "
    "view or location"
)
CONDITIONS = (
    "channel, kind, text, subject, sender, contact, language, sentiment, order, attachments, hours, conversation, "
    "event, at, all, any, …"
)

# file, line:column, path, what is wrong, what was expected, the nearest right thing
FAULTS: list[tuple[str, str, str, str, str, str]] = [
    (
        with_route("{name: a, set: {team: complaint}}"),
        "3:27",
        "routes[0].set.team",
        'there is no team "complaint"',
        TEAMS,
        "complaints",
    ),
    (
        with_route("{name: a, set: {agent: lile}}"),
        "3:28",
        "routes[0].set.agent",
        'there is no agent "lile"',
        "lilei or team-lead",
        "lilei",
    ),
    (
        with_route("{name: a, set: {sla: standart}}"),
        "3:26",
        "routes[0].set.sla",
        'there is no service level "standart"',
        "standard or complaint",
        "standard",
    ),
    ("default: {team: front-desk}", "1:17", "default.team", 'there is no team "front-desk"', TEAMS, "frontdesk"),
    (
        with_when("channel: [sms-cn, shop-wehcat]"),
        "3:60",
        "routes[0].when.channel[1]",
        'there is no channel "shop-wehcat"',
        CHANNELS,
        "shop-wechat",
    ),
    (
        with_when("kind: wecaht"),
        "3:48",
        "routes[0].when.kind",
        'there is no channel of kind "wecaht"',
        "email, twilio-sms or wechat",
        "wechat",
    ),
    (
        with_when("hours: {offices: closed}"),
        "3:50",
        "routes[0].when.hours.offices",
        'there is no opening hours "offices"',
        "office",
        "office",
    ),
    (
        with_when("conversation: {team: complains}"),
        "3:63",
        "routes[0].when.conversation.team",
        'there is no team "complains"',
        TEAMS,
        "complaints",
    ),
    (
        with_when("event: sla_braech"),
        "3:49",
        "routes[0].when.event",
        'there is no event "sla_braech"',
        EVENTS,
        "sla_breach",
    ),
    (
        with_when("attachments: imgae"),
        "3:55",
        "routes[0].when.attachments",
        '"imgae" is no type of file',
        "image, voice, video or file, or a MIME type like image/png or image/*",
        "image",
    ),
    (
        with_when("attachments: {any_of: [image, pciture]}"),
        "3:72",
        "routes[0].when.attachments.any_of[1]",
        '"pciture" is no type of file',
        "image, voice, video or file, or a MIME type like image/png or image/*",
        "",
    ),
    (
        with_route("{name: default, set: {team: legal}}"),
        "3:12",
        "routes[0].name",
        '"default" stands for no route at all',
        "another name",
        "",
    ),
    (with_route("{name: a}"), "3:5", "routes[0].set", 'route "a" decides nothing', "set or routes", ""),
    (
        with_route("{name: a, set: {tags: x}}\n  - {name: b, set: {tags: x}, routes: [{name: a, set: {tags: x}}]}"),
        "4:47",
        "routes[1].routes[0].name",
        'another route is called "a"',
        "each name once",
        "",
    ),
    (
        "routes: [{name: a, set: {team: legal}}]",
        "1:1",
        "default",
        "there is no default",
        "the team for messages that no route matches",
        "",
    ),
    ("default: {tags: x}", "1:1", "default", "the default names no team", "team, agent or ignore", ""),
    (with_route("{name: a, set: {team: ''}}"), "3:27", "routes[0].set.team", "this is empty", "text", ""),
    (
        with_route("{name: a, set: {team: legal}, when: }"),
        "3:41",
        "routes[0].when",
        "this is empty",
        "a condition, or no `when` at all",
        "",
    ),
    (with_when(""), "3:35", "routes[0].when", "this condition is empty", SOME, ""),
    (with_when("all: []"), "3:42", "routes[0].when.all", "this list is empty", SOME, ""),
    (with_when("any: [{text: 退}, {}]"), "3:59", "routes[0].when.any[1]", "this condition is empty", SOME, ""),
    (with_when("not: {}"), "3:42", "routes[0].when.not", "this condition is empty", SOME, ""),
    (with_when("not: "), "3:47", "routes[0].when.not", "this is empty", "a condition", ""),
    (with_when("text: "), "3:48", "routes[0].when.text", "this is empty", "text, a list or a mapping (key: value)", ""),
    (with_when("text: []"), "3:42", "routes[0].when.text", "this list is empty", "at least one text", ""),
    (
        with_when("text: [退款, '']"),
        "3:53",
        "routes[0].when.text[1]",
        "this text is empty",
        "something to look for",
        "",
    ),
    (
        with_when('text: {any_of: "\\u200b"}'),
        "3:57",
        "routes[0].when.text.any_of",
        "this text is empty",
        "something to look for",
        "",
    ),
    (
        with_when("text: {exact: true}"),
        "3:42",
        "routes[0].when.text",
        "this condition is empty",
        "any_of, all_of, none_of, regex, equals or starts_with",
        "",
    ),
    (
        with_when("contact: {}"),
        "3:42",
        "routes[0].when.contact",
        "this condition is empty",
        "tag, tier or language",
        "",
    ),
    (
        with_when("hours: {}"),
        "3:42",
        "routes[0].when.hours",
        "this condition is empty",
        "opening hours, like {office: closed}",
        "",
    ),
    (
        with_when("at: {timezone: Asia/Shanghai}"),
        "3:42",
        "routes[0].when.at",
        "this condition is empty",
        "after, before, days or time",
        "",
    ),
    (
        with_when("sentiment: negatve"),
        "3:53",
        "routes[0].when.sentiment",
        '"negatve" is not known',
        "negative, neutral or positive, or a list or a mapping (key: value)",
        "negative",
    ),
    (
        with_when("sentiment: {}"),
        "3:42",
        "routes[0].when.sentiment",
        "this condition is empty",
        "is, below or above",
        "",
    ),
    (
        with_when("sentiment: {is: []}"),
        "3:54",
        "routes[0].when.sentiment.is",
        "this list is empty",
        "at least one text",
        "",
    ),
    (
        with_when("sentiment: {below: -2}"),
        "3:61",
        "routes[0].when.sentiment.below",
        "-2 is not allowed",
        "at least -1",
        "",
    ),
    (
        with_when("any: [{order: {piad: true}}]"),
        "3:57",
        "routes[0].when.any[0].order.piad",
        'facts.order has no field "piad"',
        "status, amount, paid or labels",
        "paid",
    ),
    (
        with_when("order: {amount: '>= viel'}"),
        "3:58",
        "routes[0].when.order.amount",
        '">= viel" is no comparison',
        'something like ">= 500" or "> 10, < 99.9"',
        "",
    ),
    (
        with_when("order: {status: []}"),
        "3:50",
        "routes[0].when.order.status",
        "this list is empty",
        "at least one text",
        "",
    ),
    (
        with_when("order: {}"),
        "3:42",
        "routes[0].when.order",
        "this condition is empty",
        "fields of the order, like {status: shipped}",
        "",
    ),
    (
        with_when("text: {regex: '(?<!不)退款'}"),
        "3:56",
        "routes[0].when.text.regex",
        "negative look-behind (?<!…) is not available in RE2",
        RE2,
        "",
    ),
    (
        with_when("text: {regex: '\\b退款'}"),
        "3:56",
        "routes[0].when.text.regex",
        "\\b or \\B beside a character that is not ASCII: boundaries are known around ASCII words only; leave it out",
        RE2,
        "",
    ),
    (
        with_when("subject: {regex: ['退', '(退']}"),
        "3:65",
        "routes[0].when.subject.regex[1]",
        "an opening bracket ( has no closing one; write \\( for the character",
        RE2,
        "",
    ),
    (
        with_when("sender: {regex: '*@x'}"),
        "3:58",
        "routes[0].when.sender.regex",
        "there is nothing before * to repeat; write \\* for the character",
        RE2,
        "",
    ),
    (
        with_route("{name: a, when: {channel: sms-cn}, routes: [{name: b, when: {event: score}, set: {tags: x}}]}"),
        "3:73",
        "routes[0].routes[0].when.event",
        'a score never gets here: route "a" around it is about messages',
        "event: [message, score] there too",
        "",
    ),
    (
        "default: {team: legal}\ntests: [{name: t, message: {text: x}, expect: {}}]",
        "2:39",
        "tests[0].expect",
        "this test expects nothing",
        "a key of `set`, or route",
        "",
    ),
    (
        "default: {team: legal}\ntests: [{name: t, message: {text: x}, expect: {route: defualt}}]",
        "2:55",
        "tests[0].expect.route",
        'there is no route "defualt"',
        "default",
        "default",
    ),
    (
        "default: {team: legal}\ntests: [{name: t, message: {text: x}, expect: {team: leagl}}]",
        "2:54",
        "tests[0].expect.team",
        'there is no team "leagl"',
        TEAMS,
        "legal",
    ),
    (
        "default: {team: legal}\ntests: [{name: t, message: {channel: sms}, expect: {team: legal}}]",
        "2:38",
        "tests[0].message.channel",
        'there is no channel "sms"',
        CHANNELS,
        "sms-cn",
    ),
    (
        "default: {team: legal}\ntests: [{name: t, message: {order: {piad: true}}, expect: {team: legal}}]",
        "2:37",
        "tests[0].message.order.piad",
        'facts.order has no field "piad"',
        "status, amount, paid or labels",
        "paid",
    ),
    (
        with_route("{name: a, set: {team: legal, pirority: low}}"),
        "3:34",
        "routes[0].set.pirority",
        "unknown key",
        "team, agent, priority, stage, tags, sla, risk, acknowledge, survey, skills or ignore",
        "priority",
    ),
    (
        with_route("{name: a, set: {priority: hihg}}"),
        "3:31",
        "routes[0].set.priority",
        '"hihg" is not known',
        "low, normal, high or urgent",
        "high",
    ),
    (
        with_route("{name: a, set: {stage: after-sale}}"),
        "3:28",
        "routes[0].set.stage",
        '"after-sale" is not known',
        "presale, order, aftersale, complaint or feedback",
        "aftersale",
    ),
    (
        with_route("{name: a, set: {team: legal}, contiune: true}"),
        "3:35",
        "routes[0].contiune",
        "unknown key",
        "name, when, set, continue, routes, owner or review_by",
        "continue",
    ),
    (
        with_when("txet: 退款"),
        "3:42",
        "routes[0].when.txet",
        "unknown key",
        CONDITIONS,
        "text",
    ),
    (
        with_when("text: {any: 退款}"),
        "3:49",
        "routes[0].when.text.any",
        "unknown key",
        "any_of, all_of, none_of, regex, equals, starts_with or exact",
        "any_of",
    ),
    (
        with_when("conversation: {age: 2 hours}"),
        "3:62",
        "routes[0].when.conversation.age",
        '"2 hours" is no comparison',
        'something like ">= 3" or "> 2, < 10"',
        "",
    ),
    (
        with_when("conversation: {age: 2h}"),
        "3:62",
        "routes[0].when.conversation.age",
        '"2h" asks for an age to the millisecond',
        'something like "> 2h" or "<= 1d"',
        "",
    ),
    (
        with_when("conversation: newest"),
        "3:56",
        "routes[0].when.conversation",
        '"newest" is not known',
        "new or reopened, or a mapping (key: value)",
        "new",
    ),
    (
        with_when("at: {after: tomorrow}"),
        "3:54",
        "routes[0].when.at.after",
        '"tomorrow" is no moment',
        "a moment like 2026-11-11 or 2026-11-11T20:00, with or without +08:00",
        "",
    ),
    (
        with_when("at: {days: mon-fry}"),
        "3:53",
        "routes[0].when.at.days",
        '"mon-fry" names no days',
        "days like mon, mon-fri or sat,sun",
        "mon-fri",
    ),
    (
        with_when("at: {time: 9-12}"),
        "3:53",
        "routes[0].when.at.time",
        '"9-12" is not an interval of time',
        'times like "09:00-18:00", up to 24:00',
        "",
    ),
    (
        with_when("hours: {office: shut}"),
        "3:58",
        "routes[0].when.hours.office",
        '"shut" is not known',
        "open or closed",
        "",
    ),
    (with_when("text: [投诉, 12315]"), "3:53", "routes[0].when.text[1]", "12315 is a number", "text", ""),
]


@pytest.mark.parametrize(("text", "place", "path", "what", "expected", "near"), FAULTS)
def test_says_what_is_wrong(
    tmp_path: Path, text: str, place: str, path: str, what: str, expected: str, near: str
) -> None:
    """Each fault is named with its place, what was expected and the nearest right thing, and nothing else is."""
    hint = f"; did you mean {near}?" if near else ""
    wanted = f"; expected {expected}" if expected else ""

    assert faults(tmp_path, text) == [f"{place}: {path}: {what}{wanted}{hint}"]


@pytest.mark.parametrize("text", ["2026-11-20T02:00:00Z", "2026-11-20T02:00:00.000Z", "2026-11-20 10:00+08:00"])
def test_a_moment_can_be_pasted_as_the_hub_prints_it(text: str) -> None:
    """With or without fractions of a second, in UTC or any other zone."""
    assert dt.datetime(2026, 11, 20, 2, tzinfo=dt.UTC) == moment(text)


def test_orders_need_nobody_to_ask_yet(tmp_path: Path) -> None:
    """Routes about orders, and their tests, can be written before it is known who is asked: any field may be named."""
    file = validate(document(tmp_path / "routes.yaml", with_when("order: {status: shipped}")), RouteFile)

    assert [] == list(problems([file], replace(Names(), facts=Lookups())))


def test_templates_and_surveys_are_checked_where_they_are_known(tmp_path: Path) -> None:
    """Names of templates and surveys are compared with those that exist, once they are given."""
    text = with_route("{name: a, set: {acknowledge: [hello, helo], survey: csta}}")

    assert faults(tmp_path, text) == []
    assert faults(tmp_path, text, templates=("hello",), surveys=("csat",)) == [
        '3:42: routes[0].set.acknowledge[1]: there is no template "helo"; expected hello; did you mean hello?',
        '3:57: routes[0].set.survey: there is no survey "csta"; expected csat; did you mean csat?',
    ]


def test_kinds_without_a_channel_may_be_allowed(tmp_path: Path) -> None:
    """A file that is meant for several shops may name kinds of which this one has no channel."""
    text = with_when("kind: tiktok-shop")

    assert len(faults(tmp_path, text)) == 1
    assert faults(tmp_path, text, kinds=("tiktok-shop",)) == []


def test_one_default_and_unique_names_across_files(tmp_path: Path) -> None:
    """All files together have one default and no name twice; the later file is the one to be mended."""
    first = load(tmp_path, "default: {team: legal}\nroutes: [{name: a, set: {tags: x}}]")
    second = load(tmp_path, "default: {team: legal}\nroutes: [{name: a, set: {tags: x}}]")

    assert [(number, problem.path) for number, problem in problems([first, second], Names())] == [
        (1, ("default",)),
        (1, ("routes", 0, "name")),
    ]


def test_no_files_are_no_problem() -> None:
    """A hub without route files has no faults in them."""
    assert found() == []


def test_schema_knows_every_key() -> None:
    """The JSON Schema for editors has the shorthands and the keys whose names are Python's."""
    schema = RouteFile.model_json_schema(by_alias=True)
    condition = schema["$defs"]["Condition"]["properties"]

    assert {"not", "all", "any", "text", "hours"} <= condition.keys()
    assert "continue" in schema["$defs"]["Route"]["properties"]
    assert {"type": "string"} in condition["text"]["anyOf"]
