"""Who may do what: every route of the router, every role, every team."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from inbox.api import ANYONE, ROLES, SAFE, Route
from router.descriptions import DESCRIPTIONS
from tests.browsers import Browser, signed_in
from tests.followers import Follower
from tests.hubs import Stage, configuration, running, until, write
from tests.whole_shop import Shop, whole

pytestmark = pytest.mark.once

TEAMS = """
teams:
  frontdesk: {name: 前台, members: [hanmeimei], assign: {strategy: manual}}
  aftersales: {name: 售后组, members: [hanmeimei], assign: {strategy: manual}}
  complaints:
    {name: 投诉组, members: [lilei], assign: {strategy: manual}, restricted: true, supervisors: [sheng, kan, lucy]}
agents:
  lilei: {name: 李雷, email: lilei@example.com}
  hanmeimei: {name: 韩梅梅, email: hanmeimei@example.com}
  lucy: {name: Lucy}
"""
IDS = {"m": "m1-1-1", "r": "r1-abcdef-1"}
LETTERS = {
    "conversations": "c", "messages": "m", "contacts": "k", "shunted": "s", "deliveries": "d", "dead": "d",
    "drafts": "w", "campaigns": "b", "webhooks": "d",
}  # fmt: skip
OPEN = {
    "POST /session", "GET /session/ways", "POST /session/password", "GET /session/oidc/{provider}",
    "GET /session/oidc/{provider}/callback", "GET /openapi.json", "GET /docs", "GET /docs/{file}",
}  # fmt: skip
"""What is there before one has signed in: signing in itself, and the API's description."""


def sample(route: Route) -> str:
    """Return the path of a route with ids that fit and name nothing."""
    letter = LETTERS.get(route.path.split("/")[1], "d")
    path = route.path.replace("{id}", IDS.get(letter, f"{letter}1-abcdef")).replace("{response}", IDS["r"])
    return re.sub(r"\{\w+\}", "0", path)


def named(route: Route) -> str:
    """Return how a route is called."""
    return f"{route.method} {route.path}"


@pytest.fixture
async def stage(store_url: str, tmp_path: Path) -> AsyncIterator[Stage]:
    async with whole(store_url, tmp_path, TEAMS) as made:
        yield made


async def test_the_open_routes_are_these(stage: Stage) -> None:
    """Nothing but signing in and the description of the API is there for whoever comes along."""
    assert OPEN == {named(one) for one in stage.hub.api().routes if one.role == ANYONE}
    assert {one.role for one in stage.hub.api().routes} <= {ANYONE, *ROLES}


async def test_without_login_every_route_is_401(stage: Stage) -> None:
    """No token, no cookie, a wrong one of either, one of a session that has ended: 401, whatever the route."""
    ended = await signed_in(stage, "lilei", "agent")
    held = dict(ended.cookies)
    await ended.call("DELETE", "/session")
    tried = 0
    for route in stage.hub.api().routes:
        if named(route) in OPEN:
            continue
        for cookies in ({}, {"huiliu": "x" * 43}, {"huiliu": "\u00e9"}, held):
            answered = await Browser(stage, dict(cookies)).call(route.method, sample(route), {})
            assert answered.status == 401, (named(route), cookies)
            assert answered.headers["Content-Type"].startswith("application/problem+json")
            tried += 1
    assert tried == 4 * (len(stage.hub.api().routes) - len(OPEN))


async def test_with_the_wrong_role_every_route_is_403(stage: Stage) -> None:
    """A person of a lower role gets 403, one of the role or above does not: for every route and every role."""
    people = {
        "readonly": await signed_in(stage, "reader", "readonly"),
        "agent": await signed_in(stage, "lilei", "agent"),
        "supervisor": await signed_in(stage, "sheng", "supervisor"),
        "admin": await signed_in(stage, "boss", "admin"),
    }
    for route in stage.hub.api().routes:
        if named(route) in OPEN | {"DELETE /session", "GET /events"}:
            continue  # everybody may sign out, and a stream does not end
        for role, browser in people.items():
            answered = await browser.call(route.method, sample(route), {})
            if ROLES.index(role) < ROLES.index(route.role):
                assert answered.status == 403, (named(route), role)
                assert route.role in answered.body["detail"]
            else:
                assert answered.status not in (401, 403), (named(route), role, answered.body)


async def test_without_its_csrf_token_every_change_is_403(stage: Stage) -> None:
    """A cookie alone changes nothing: not without the token, not with another's, not from another site."""
    boss, other = await signed_in(stage, "boss", "admin"), await signed_in(stage, "second", "admin")
    changing = [one for one in stage.hub.api().routes if one.method not in SAFE and named(one) not in OPEN]
    assert len(changing) > 20
    foreign = {"Origin": "https://evil.example"}
    for route in changing:
        for headers in (
            {},
            {"X-CSRF-Token": ""},
            {"X-CSRF-Token": other.csrf},
            {"X-CSRF-Token": boss.csrf, **foreign},
            {"X-CSRF-Token": boss.csrf, "Origin": "null"},
            {"X-CSRF-Token": boss.csrf, "Sec-Fetch-Site": "cross-site"},
            {"X-CSRF-Token": boss.csrf, "Sec-Fetch-Site": "same-site"},
        ):
            answered = await boss.call(route.method, sample(route), {}, headers=headers, csrf=False)
            assert answered.status == 403, (named(route), headers)
    assert (await boss.call("GET", "/session")).status == 200


async def test_another_site_cannot_sign_somebody_in(stage: Stage) -> None:
    """Whoever is signed in as somebody else without knowing it gives away what they type."""
    for headers in ({"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}):
        for path in ("/session", "/session/password"):
            assert (await Browser(stage).call("POST", path, {}, headers=headers)).status == 403


async def test_a_token_needs_no_csrf_token(stage: Stage) -> None:
    """A program sends its token by itself; no browser does that for another site. It wins over a cookie."""
    boss = await signed_in(stage, "boss", "admin")
    headers = {"Authorization": "Bearer test-token-of-a-reader"}
    assert (await boss.call("GET", "/session", headers=headers)).body["id"] == "reader"
    headers = {"Authorization": "Bearer nonsense"}
    assert (await boss.call("GET", "/session", headers=headers)).status == 401


@pytest.fixture
async def shop(stage: Stage) -> Shop:
    made = Shop(stage)
    await made.open("open", "我要退款")
    await made.open("closed", "我要投诉")
    return made


# Whether the conversations of the restricted team are there for somebody: by role and by belonging to the team.
TABLE = [
    ("boss", "admin", True),
    ("sheng", "supervisor", True),
    ("other", "supervisor", False),
    ("lilei", "agent", True),
    ("hanmeimei", "agent", False),
    ("lucy", "agent", False),  # named as a supervisor of the team, but has not that role
    ("kan", "readonly", False),
    ("reader", "readonly", False),
]
SCOPED = {
    ("conversations", "id"): ("c",),
    ("messages", "id"): ("m", "note", "reply"),
    ("deliveries", "id"): ("d", "letter"),
    ("dead", "id"): ("d", "letter"),
    ("webhooks", "id"): ("d", "letter"),
    ("drafts", "id"): ("w",),
    ("surveys", "response"): ("r",),
}
"""What belongs to a conversation, by the first part of its path and the variable: which ids of the shop it may be."""

FREE = {
    ("contacts", "id"), ("agents", "id"), ("routes", "id"), ("shunted", "id"), ("people", "id"), ("sessions", "id"),
    ("session", "provider"), ("docs", "file"), ("messages", "index"), ("surveys", "id"), ("reports", "id"),
    ("campaigns", "id"), ("templates", "name"), ("webhooks", "name"),
}  # fmt: skip
"""What belongs to no team, or is a part of what is said before it in the path."""

BODIES: dict[str, dict[str, Any]] = {
    "notes": {"text": "x"}, "replies": {"text": "x"}, "assign": {"agent": None}, "tags": {"add": ["seen"]},
    "snooze": {"until": "2099-01-01T00:00:00Z"}, "preview": {"text": "x"}, "codes": {"codes": ["slow"]},
}  # fmt: skip
OTHERS = {"{index}": "0", "surveys/{id}": "surveys/csat", "webhooks/{name}": "webhooks/crm"}
"""What else stands in a path, and belongs to no team."""


async def test_every_route_with_an_id_says_whose_it_is(stage: Stage) -> None:
    """A route that names one thing is guarded by its conversation's team, or its things belong to no team."""
    named_ = {
        (one.path.split("/")[1], name) for one in stage.hub.api().routes for name in re.findall(r"{(\w+)}", one.path)
    }
    assert named_ == SCOPED.keys() | FREE, "a new kind of thing: say whose it is in ownership, or add it to FREE"


@pytest.mark.parametrize(("name", "role", "sees"), TABLE, ids=[f"{name}-{role}" for name, role, _ in TABLE])
async def test_no_object_is_there_for_an_outsider(shop: Shop, name: str, role: str, sees: bool) -> None:
    """Every route with an id: the restricted team's things are 404 for outsiders, word for word as if not there."""
    stage = shop.stage
    browser = await signed_in(stage, name, role)
    tried = 0
    for route in stage.hub.api().routes:
        first, body = route.path.split("/")[1], BODIES.get(route.path.rpartition("/")[2], {})
        scoped = [name for name in re.findall(r"{(\w+)}", route.path) if (first, name) in SCOPED]
        if not scoped or ROLES.index(role) < ROLES.index(route.role):
            continue
        for each in SCOPED[first, scoped[0]]:
            hidden, there = shop.ids["closed"][each], shop.ids["open"][each]
            absent = f"{hidden[0]}{hidden[1:].partition('-')[0]}-9-9"
            given = await browser.call(route.method, filled(route, scoped[0], hidden), body)
            missing = await browser.call(route.method, filled(route, scoped[0], absent), body)
            assert missing.status == 404
            tried += 1
            if sees:
                assert given.status < 400 or given.status in (404, 409), (named(route), given.body)
                assert given.status != 404 or hidden[0] in "md", (named(route), given.body)
            else:
                assert given.status == 404, (named(route), given.body)
                assert json.dumps(given.body).replace(hidden, "") == json.dumps(missing.body).replace(absent, "")
            seen = await browser.call(route.method, filled(route, scoped[0], there), body)
            assert seen.status < 400 or seen.status == 409 or there[0] in "md", (named(route), seen.body)
    assert tried >= 10
    if not sees:  # nothing happened to what is hidden
        one = await stage.api("GET", f"/conversations/{shop.ids['closed']['c']}")
        assert ("pending", "complaints", ["complaint"]) == (one["status"], one["team"], one["tags"])


def filled(route: Route, part: str, name: str) -> str:
    """Return the path of a route for one thing."""
    path = route.path.replace(f"{{{part}}}", name)
    for one, value in OTHERS.items():
        path = path.replace(one, value)
    return path


async def test_no_list_tells_of_it(shop: Shop) -> None:
    """No view without an id holds anything of a restricted conversation: no id, no name, no word.

    Contacts belong to the shop: their own list shows them.
    """
    ids, listed = shop.ids["closed"], ("c", "letter", "w", "i", "r")
    words = ["visitor:closed", "顾客closed", "secret of closed", "answer to closed", "draft of closed"]
    there, shared = shop.ids["open"], {ids["k"], "visitor:closed", "顾客closed"}
    for name, role, sees in TABLE:
        told, of_contacts = await everything(shop.stage, name, role)
        if sees:
            assert [ids[one] for one in listed if ids[one] not in told] == [], name
        else:
            assert [word for word in [*words, *ids.values()] if word in told] == [], name
            assert [word for word in {*words, *ids.values()} - shared if word in of_contacts] == [], name
        assert [there[one] for one in listed if there[one] not in told] == [], name


async def everything(stage: Stage, name: str, role: str) -> tuple[str, str]:
    """Return all that somebody is told by views without an id, however they ask; by those of contacts apart."""
    browser, told = await signed_in(stage, name, role), {False: "", True: ""}
    queries = [
        "q=visitor:closed",
        "q=secret",
        "team=complaints",
        "agent=lilei",
        "state=due",
        "status=pending",
        "limit=200",
    ]
    for route in stage.hub.api().routes:
        path = route.path.replace("surveys/{id}", "surveys/csat").replace("webhooks/{name}", "webhooks/crm")
        if route.method != "GET" or "{" in path or path in ("/events", "/docs", "/openapi.json"):
            continue
        if route.role != ANYONE and ROLES.index(role) < ROLES.index(route.role):
            continue
        takes = {one.name for one in DESCRIPTIONS[route.method, route.path].query}
        for query in ["", *(one for one in queries if one.partition("=")[0] in takes)]:
            answered = await browser.call("GET", f"{path}?{query}")
            assert answered.status in (200, 400, 422), (path, answered.body)
            if not isinstance(answered.body, bytes):
                told[path.startswith("/contacts")] += json.dumps(answered.body, ensure_ascii=False)
    return told[False], told[True]


@pytest.mark.parametrize(("name", "role", "sees"), [row for row in TABLE if row[1] != "readonly"])
async def test_no_bulk_action_reaches_it(shop: Shop, name: str, role: str, sees: bool) -> None:
    """By id it is missing, by filter it is not found."""
    browser = await signed_in(shop.stage, name, role)
    closed, there = shop.ids["closed"]["c"], shop.ids["open"]["c"]
    done = await browser.call("POST", "/conversations/bulk", {"action": "tag", "add": ["bulk"], "ids": [closed, there]})
    outcomes = {one["id"]: one["outcome"] for one in done.body["items"]}
    assert {there: "changed", closed: "changed" if sees else "missing"} == outcomes
    body = {"action": "resolve", "filter": {"status": "pending"}, "preview": True}
    found = {one["id"] for one in (await browser.call("POST", "/conversations/bulk", body)).body["items"]}
    assert ({there, closed} if sees else {there}) == found


async def test_what_leaves_the_team_is_seen_again(shop: Shop) -> None:
    """It is the team that a conversation is in now that counts."""
    outsider = await signed_in(shop.stage, "hanmeimei", "agent")
    base = f"/conversations/{shop.ids['closed']['c']}"
    assert (await outsider.call("GET", base)).status == 404
    await shop.stage.api("POST", f"{base}/assign", {"team": "frontdesk"})
    assert (await outsider.call("GET", base)).status == 200
    await outsider.call("POST", f"{base}/assign", {"team": "complaints"})
    assert (await outsider.call("GET", base)).status == 404


async def test_programs_stay_outside_too(shop: Shop) -> None:
    """A token sees what its agent sees; one without an agent is of no team, unless it is an admin's."""
    base = f"/conversations/{shop.ids['closed']['c']}"
    for token, status in (
        ("test-token-of-a-reader", 404),
        ("test-token-of-lilei", 200),
        ("test-token-of-an-admin", 200),
    ):
        await shop.stage.api("GET", base, token=token, status=status)


async def test_no_body_names_it(shop: Shop) -> None:
    """Where a body names a conversation or an invitation, a hidden one is as one that is not there."""
    outsider = await signed_in(shop.stage, "other", "supervisor")
    insider = await signed_in(shop.stage, "sheng", "supervisor")
    entered = {"answers": {"score": 3}}
    for path, name, body in (
        ("/surveys/csat/invitations", "conversations", {}),
        ("/surveys/csat/responses", "conversation", entered),
        ("/surveys/csat/responses", "invitation", entered),
        ("/templates/thanks/preview", "conversation", {}),
    ):
        letter = "i" if name == "invitation" else "c"
        hidden = shop.ids["closed"][letter]
        absent = f"{letter}{hidden[1:].partition('-')[0]}-9-9"
        said = [
            await outsider.call("POST", path, {**body, name: [one] if name.endswith("s") else one})
            for one in (hidden, absent)
        ]
        assert [404, 404] == [one.status for one in said], (path, said[0].body)
        assert said[0].body["title"] == said[1].body["title"]
        there = await insider.call("POST", path, {**body, name: [hidden] if name.endswith("s") else hidden})
        assert there.status in (200, 201, 409), (path, there.body)
    tested = await outsider.call("POST", "/guard/test", {"text": "x", "conversation": shop.ids["closed"]["c"]})
    assert tested.status == 404


async def test_asking_an_address_does_not_tell_of_it(shop: Shop) -> None:
    """A survey may go to an address whose latest conversation is hidden, but nothing tells of that conversation."""
    body = {"recipients": [{"channel": "site-chat", "address": "visitor:closed-0001"}], "key": "x"}
    for name, told in (("other", None), ("sheng", shop.ids["closed"]["c"])):
        browser = await signed_in(shop.stage, name, "supervisor")
        [one] = (await browser.call("POST", "/surveys/long/invitations", {**body, "key": name})).body["items"]
        assert told == one["conversation"]


async def test_reports_leave_it_out(shop: Shop) -> None:
    """Figures and single responses are of what the caller may see, and a report says what is not in it."""
    counted = {}
    for name, sees in (("other", False), ("sheng", True)):
        browser = await signed_in(shop.stage, name, "supervisor")
        service = (await browser.call("GET", "/reports/service")).body
        survey = (await browser.call("GET", "/reports/surveys/csat")).body
        assert ({} if sees else {"without": "投诉组"}) == service["filters"] == survey["filters"]
        for report in (service, survey):
            labels = [row["label"] for table in report["tables"] if table["key"] == "team" for row in table["rows"]]
            assert ("投诉组" in labels) is sees
        single = await browser.call("GET", "/reports/surveys/csat/responses?contacts=true")
        assert (shop.ids["closed"]["c"] in single.body.decode("utf-8-sig")) is sees
        assert shop.ids["open"]["c"] in single.body.decode("utf-8-sig")
        counted[sees] = next(one["estimate"]["n"] for one in survey["figures"] if one["key"] == "valid")
    assert {False: 1, True: 2} == counted


async def test_a_stream_tells_nothing_of_it(shop: Shop) -> None:
    """An outsider hears of every other conversation, live and after having been away, and nothing of a hidden one."""
    stage, followers = shop.stage, dict[str, Follower]()
    for name in ("hanmeimei", "lilei"):
        followers[name] = Follower(stage.http, cookies=(await signed_in(stage, name, "agent")).cookies)
        await followers[name].greet(stage.base)

    async def say(kind: str, text: str) -> None:
        await stage.api("POST", f"/conversations/{shop.ids[kind]['c']}/notes", {"text": text})

    async with asyncio.TaskGroup() as group:
        outsider = group.create_task(followers["hanmeimei"].hear(stage.base, "now the end"))
        insider = group.create_task(followers["lilei"].hear(stage.base, "now closed"))
        await say("closed", "now closed")
        await insider
        await say("open", "now the end")
        await outsider
    await say("closed", "later closed")
    await say("open", "later the end")
    await followers["lilei"].hear(stage.base, "later closed")
    await followers["hanmeimei"].hear(stage.base, "later the end")
    told = json.dumps(followers["hanmeimei"].events, ensure_ascii=False)
    assert [word for word in [*shop.ids["closed"].values(), "closed"] if word in told] == []


@pytest.mark.parametrize("what", ["signed out", "another role", "no agent of the team any more", "restricted"])
async def test_a_stream_ends_when_its_rights_do(stage: Stage, what: str) -> None:
    """Whose session has ended, who has another role, and who may see less than before is told nothing more."""
    shop, name = Shop(stage), "lilei" if what != "restricted" else "hanmeimei"
    await shop.open("open", "我要退款")
    browser = await signed_in(stage, name, "agent")
    follower = Follower(stage.http, cookies=browser.cookies)
    await follower.greet(stage.base)
    reading = asyncio.create_task(follower.hear(stage.base, "never said"))
    note = partial(stage.api, "POST", f"/conversations/{shop.ids['open']['c']}/notes", {"text": "x"})

    async def hears() -> bool:
        await note()
        return bool(follower.events)

    async def ended() -> bool:
        await note()
        return reading.done()

    await until(hears)
    config = stage.folder / "huiliu.yaml"
    match what:
        case "signed out":
            await browser.call("DELETE", "/session")
        case "another role":
            await stage.api("PUT", f"/people/{name}", {"role": "readonly"})
        case "restricted":
            text = config.read_text(encoding="utf-8")
            one = "{name: 售后组, "
            config.write_text(text.replace(one, f"{one}restricted: true, ").replace("members: [hanmeimei], ", ""))
            await stage.hub.live.reload()
        case _:
            config.write_text(config.read_text(encoding="utf-8").replace("members: [lilei]", "members: [hanmeimei]"))
            await stage.hub.live.reload()
    await until(ended)
    reading.result()


async def test_beyond_the_pace_every_route_is_429(store_url: str, tmp_path: Path) -> None:
    """Whatever somebody calls counts; who has called too much is told when to come again, and nothing is done."""
    config = write(tmp_path, configuration("", more=f"{TEAMS}\npeople: {{rate: 0.001}}"))
    async with running(store_url, config) as stage:
        boss = await signed_in(stage, "boss", "admin")
        assert (await boss.call("GET", "/teams")).status == 200
        for route in stage.hub.api().routes:
            if named(route) in OPEN:
                continue
            answered = await boss.call(route.method, sample(route), {})
            assert (answered.status, int(answered.headers["Retry-After"]) > 0) == (429, True), named(route)
