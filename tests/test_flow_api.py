"""The HTTP API of a running hub: who may call it, what it answers, and that nothing makes it fail."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import io
import json
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from connectors.base import Echo, Media, Message, Notice, Window
from inbox import work
from inbox.api import ANYONE, MAX_BODY, MAX_LIMIT, PREFIX, ROLES, Route
from inbox.conversations import commit, load
from inbox.partitions import COUNT, parse_id, partition_of
from inbox.store import StoreDown
from inbox.timeline import MESSAGES, items
from outbox.deliveries import Author, Reply
from tests.hubs import TEAMS, TOKEN, Stage, configuration, running, until, write

CHANNELS = """
  site-chat: {kind: webchat}
  shop-wechat: {kind: wechat, app_id: wxba5fad812f8e6fb9, app_secret: s3cret-of-the-app, token: pushtoken, encoding_aes_key: abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG, api_base: 'http://127.0.0.1:9', required: false}
"""  # noqa: E501  # one flow mapping of YAML
TOKENS = {
    "readonly": "test-token-of-a-reader",
    "agent": "test-token-of-lilei",
    "supervisor": "test-token-of-a-supervisor",
    "admin": TOKEN,
}
SAMPLES = {"c": "c1-1-1", "m": "m1-1-1", "k": "k1-1-1", "d": "d1-abcdef", "s": "s1-abcdef"}
ADDRESS = "visitor:a-0001"
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


@dataclass
class Answered:
    """An answer of the API."""

    status: int
    headers: dict[str, str]
    body: Any


@dataclass
class Api:
    """A client of every role, and one conversation to work on."""

    stage: Stage
    routes: tuple[Route, ...]
    conversation: str
    message: str

    async def call(
        self, method: str, path: str, body: Any = None, *, role: str = "admin", data: Any = None,
        headers: dict[str, str] | None = None,
    ) -> Answered:  # fmt: skip
        """Call the API as somebody of *role* ("" = without a token)."""
        sent = {"Authorization": f"Bearer {TOKENS[role]}"} if role else {}
        sent.update(headers or {})
        options: dict[str, Any] = {"data": data} if data is not None else {"json": body}
        url = f"{self.stage.base}{PREFIX}{path}"
        async with self.stage.http.request(method, url, headers=sent, **options) as response:
            raw = b"" if response.content_type == "text/event-stream" else await response.read()
            decoded = json.loads(raw) if raw and "json" in response.content_type else raw
            return Answered(response.status, dict(response.headers), decoded)

    async def record(
        self, text: str = "hi", address: str = ADDRESS, *, id: str, channel: str = "site-chat", **fields: Any
    ) -> str:
        """Let a customer write; return the conversation."""
        event = Message(id, address, 1_763_763_000_000, text, **fields)
        await self.stage.hub.recorder.record(channel, [event])

        async def placed() -> Any:
            found = (await self.call("GET", f"/conversations?q={address}")).body["items"]
            messages = []
            if found:
                messages = (await self.call("GET", f"/conversations/{found[0]['id']}/messages")).body["items"]
            return found if any(one["external_id"] == id for one in messages) else None

        found = await until(placed)
        return str(found[0]["id"])

    def path(self, route: Route) -> str:
        """Return the route's path with ids that fit and name nothing."""
        letter = {"conversations": "c", "messages": "m", "contacts": "k", "shunted": "s"}.get(
            route.path.split("/")[1], "d"
        )
        return filled(route.path, SAMPLES[letter])


def filled(path: str, name: str) -> str:
    """Return *path* with *name* for its id, and something that fits for the rest."""
    other = "crm" if path.startswith("/webhooks") else "thanks"
    return path.replace("{id}", name).replace("{index}", "0").replace("{name}", other).replace("{response}", "r0-0")


@pytest.fixture
async def api(store_url: str, tmp_path: Path) -> AsyncIterator[Api]:
    text = configuration(CHANNELS, more=TEAMS).replace(
        "api_tokens:", "api_tokens:\n  boss: {token: test-token-of-a-supervisor, role: supervisor}"
    )
    async with running(store_url, write(tmp_path, text)) as stage:
        guarded = tuple(one for one in stage.hub.api().routes if one.role != ANYONE)
        made = Api(stage, guarded, "", "")
        made.conversation = await made.record(
            "我要退款", id="e1", name="王芳", media=(Media("image/png", "图.png", data=b"\x89PNG"),)
        )
        [message] = [m for m in await stage.messages(made.conversation) if m["direction"] == "inbound"]
        made.message = message["id"]
        yield made


def problem(answered: Answered, status: int) -> dict[str, Any]:
    """Check that an answer is a problem as RFC 9457 has it, and return it."""
    assert status == answered.status, answered.body
    assert "application/problem+json" == answered.headers["Content-Type"].partition(";")[0]
    assert {"type", "title", "status"} <= set(answered.body)
    assert status == answered.body["status"]
    assert answered.body["title"]
    body: dict[str, Any] = answered.body
    return body


async def test_every_route_wants_a_token(api: Api) -> None:
    """Without a token, with a wrong one, or with something that is none, every route says 401 and nothing else."""
    headers = [
        {},
        {"Authorization": "Bearer nobody"},
        {"Authorization": "Bearer"},
        {"Authorization": "Basic b3BzOm9wcw=="},
    ]
    headers += [{"Authorization": "Bearer \udcff\udcfe"}, {"Authorization": f"bearer  {TOKEN}x"}]
    for route in api.routes:
        for given_ in headers:
            answered = await api.call(route.method, api.path(route), role="", headers=given_)
            problem(answered, 401)
            assert "Bearer" == answered.headers["WWW-Authenticate"]


async def test_every_route_wants_its_role(api: Api) -> None:
    """A role that is too low gets 403 with what is needed; one that is high enough gets past the door."""
    for route in api.routes:
        for role in ROLES:
            answered = await api.call(route.method, api.path(route), {}, role=role)
            if ROLES.index(role) < ROLES.index(route.role):
                assert route.role in problem(answered, 403)["detail"]
            else:
                assert answered.status not in (401, 403), (route, role)


async def test_what_is_not_there_is_404(api: Api) -> None:
    """Ids that fit and name nothing, ids of another kind, and what is no id at all."""
    for route in api.routes:
        if "{id}" not in route.path or route.path.endswith("/erase"):
            continue  # whoever is not there has been erased
        for name in (
            None,
            "x",
            "c1-1-1",
            "d1-abcdef",
            "k1-1-1",
            "m1-abc",
            "c99-1-1",
            "%00",
            "..%2F..",
            "c1-%C2%B2",
            "²",
        ):
            path = api.path(route) if name is None else filled(route.path, name)
            answered = await api.call(route.method, path, FITTING.get(route.path.rpartition("/")[2], {}))
            problem(answered, 404)
    for path in (
        "/nothing",
        "/conversations/",
        f"/conversations/{api.conversation}/nothing",
        "//",
        "/conversations/a/b/c",
    ):
        problem(await api.call("GET", path), 404)


STRANGE = ("x", "c1-1-1", "d1-abcdef", "k1-1-1", "m1-abc", "c99-1-1", "%00", "..%2F..", "c1-%C2%B2", "²")
FITTING: dict[str, dict[str, Any]] = {
    "replies": {"text": "x"},
    "notes": {"text": "x"},
    "assign": {"team": "frontdesk"},
    "snooze": {"until": "2099-01-01T00:00:00Z"},
    "tags": {"add": ["a"]},
    "merge": {"with": "k0-1-0"},
    "apart": {"with": "k0-1-0"},
    "split": {"merge": "k0-1-0"},
}


async def test_a_method_that_a_path_does_not_take_is_405(api: Api) -> None:
    """The answer names the methods that the path takes."""
    taken: dict[str, set[str]] = {}
    for route in api.stage.hub.api().routes:
        taken.setdefault(route.path, set()).add(route.method)
    for path, methods in taken.items():
        if any(re.fullmatch(re.sub(r"{\w+}", "[^/]+", one), path) for one in taken if one != path):
            continue  # other methods take it for an id
        for method in {"GET", "POST", "PUT", "DELETE", "PATCH"} - methods:
            answered = await api.call(method, api.path(Route(method, path, "admin", api.routes[0].handler)), {})
            problem(answered, 405)
            assert methods == set(answered.headers["Allow"].split(", "))


async def test_no_path_at_all_is_a_problem_like_any_other(api: Api) -> None:
    """The bare prefix of the API leads nowhere, and says so as every path does that leads nowhere."""
    for path in ("", "/", "/nowhere"):
        problem(await api.call("GET", path), 404)


async def test_what_is_null_in_a_reply_is_left_out(api: Api) -> None:
    """Programs that write every field of a reply need not leave out those that they have nothing for."""
    body = {"text": "好的", "attachments": None, "template": None, "client_id": None, "html": None, "subject": None}
    assert 202 == (await api.call("POST", f"/conversations/{api.conversation}/replies", body)).status


BAD_BODIES: list[tuple[bytes, int, str]] = [
    (b"{", 400, ""),
    (b"nonsense", 400, ""),
    (b"\xff\xfe", 400, ""),
    (b"[]", 422, "Expected `object`"),
    (b'"x"', 422, "Expected `object`"),
    (b"null", 422, "Expected `object`"),
    (b'{"surprise": 1}', 422, "surprise"),
    (b"[" * 20_000, 422, ""),
]


async def test_bodies_that_do_not_fit_are_told_where_and_what(api: Api) -> None:
    """What is no JSON is 400; what is JSON and not what the route takes is 422 with the place."""
    posts = [one for one in api.routes if one.method == "POST" and (one.path.rpartition("/")[2] in BODIES)]
    assert len(posts) >= 9
    for route in posts:
        path = route.path.replace("{id}", api.conversation)
        for data, status, detail in BAD_BODIES:
            told = problem(await api.call("POST", path, data=data), status)
            assert detail in told.get("detail", ""), (path, data[:30], told)
    half = b'{"text": "\\ud800"}'  # of a surrogate pair: no text
    problem(await api.call("POST", f"/conversations/{api.conversation}/notes", data=half), 400)


BODIES = {"replies", "notes", "assign", "resolve", "reopen", "snooze", "tags", "read", "explain"}
PLACES = [
    ("replies", {"text": 1}, "$.text"),
    ("replies", {"attachments": [{"name": 1}]}, "$.attachments[0].name"),
    ("notes", {}, "text"),
    ("notes", {"text": None}, "$.text"),
    ("notes", {"text": " "}, "give text"),
    ("assign", {"team": 5}, "$.team"),
    ("assign", {}, "a team, an agent"),
    ("assign", {"team": "nobody"}, "aftersales, complaints, frontdesk"),
    ("assign", {"team": ""}, "aftersales, complaints, frontdesk"),
    ("assign", {"agent": "nobody"}, "hanmeimei, lilei"),
    ("snooze", {"until": "tomorrow"}, "2026-11-21T09:30:00Z"),
    ("snooze", {"until": "2099-01-01T00:00:00"}, "zone"),
    ("snooze", {"until": "9999-12-31T23:59:59-23:59"}, "year"),
    ("tags", {"add": [1]}, "$.add[0]"),
    ("read", {"at": "9999-12-31T23:59:59-23:59"}, "year"),
]


async def test_what_does_not_fit_is_named(api: Api) -> None:
    """The detail says which field, what was expected, and what there is."""
    for verb, body, detail in PLACES:
        told = problem(await api.call("POST", f"/conversations/{api.conversation}/{verb}", body), 422)
        assert detail in told["detail"], (verb, body, told)


async def test_bodies_have_a_limit(api: Api) -> None:
    """More than a megabyte of JSON, and more than the largest file, are refused with 413."""
    path = f"/conversations/{api.conversation}/notes"
    for where, size in ((path, MAX_BODY + 1), ("/attachments", (25 << 20) + 1)):
        problem(await api.call("POST", where, data=io.BytesIO(b"x" * size)), 413)
    assert 201 == (await api.call("POST", path, {"text": "x" * 1000})).status


CONVERSATION = {
    "id", "channel", "kind", "status", "team", "agent", "priority", "stage", "tags", "subject", "contact", "opened_at",
    "last_message_at", "sla", "window",
}  # fmt: skip
MESSAGE = {
    "id", "direction", "author", "text", "html", "attachments", "at", "external_id", "delivery",
}  # fmt: skip


UNKNOWN: dict[str, Any] = {"tags": [], "tier": None, "language": None}


def check_conversation(one: dict[str, Any]) -> None:
    """Check a conversation's shape."""
    assert set(one) >= CONVERSATION
    assert {"id", "name", "addresses"} <= set(one["contact"])
    assert {"first_reply_due", "next_reply_due", "resolution_due"} <= set(one["sla"])
    assert one["window"] is None or {"open_until", "messages_left"} <= set(one["window"])
    for name in ("opened_at", "last_message_at"):
        assert TIME.fullmatch(one[name])


def check_message(one: dict[str, Any]) -> None:
    """Check a message's shape."""
    assert set(one) >= MESSAGE
    assert one["direction"] in {"inbound", "outbound", "note", "event"}
    assert {"kind", "id", "name"} <= set(one["author"])
    assert one["author"]["kind"] in {"contact", "agent", "hub"}
    assert TIME.fullmatch(one["at"])
    for file in one["attachments"]:
        assert {"id", "name", "type", "size", "url"} <= set(file)
    if one["delivery"] is not None:
        assert {"id", "state", "attempts", "error"} <= set(one["delivery"])


async def test_shapes(api: Api) -> None:
    """Everything that the API shows has all fields that its page names, in every list and every single view."""
    base = f"/conversations/{api.conversation}"
    replied = await api.call("POST", f"{base}/replies", {"text": "好的", "client_id": "1"}, role="agent")
    noted = await api.call("POST", f"{base}/notes", {"text": "careful"}, role="agent")
    hub = api.stage.hub
    await hub.recorder.record("site-chat", [Notice("n1", ADDRESS, 1, "enter"), Echo("h1", ADDRESS, 1, "by hand")])
    await api.record("second", id="e2")
    assert (202, 201) == (replied.status, noted.status)
    assert {"message", "delivery"} <= set(replied.body)
    for body in (replied.body, noted.body):
        check_message(body["message"])
    assert "queued" == replied.body["delivery"]["state"]

    listed = (await api.call("GET", "/conversations")).body
    assert {"items", "next"} == set(listed)
    for one in (*listed["items"], (await api.call("GET", base)).body):
        check_conversation(one)
    messages = (await api.call("GET", f"{base}/messages")).body["items"]
    for one in messages:
        check_message(one)
    assert {"inbound", "outbound", "note", "event"} == {one["direction"] for one in messages}
    told = {one["text"]: one["author"]["kind"] for one in messages if one["text"]}
    assert {"我要退款": "contact", "好的": "agent", "careful": "agent", "by hand": "agent", "second": "contact"} == told
    for verb, body in (
        ("tags", {"add": ["vip"]}),
        ("resolve", {}),
        ("reopen", {}),
        ("read", {}),
        ("assign", {"agent": "lilei"}),
    ):
        done = await api.call("POST", f"{base}/{verb}", body, role="agent")
        assert 200 == done.status, done.body
        check_conversation(done.body)


async def test_lists_have_one_form(api: Api) -> None:
    """Every list has items and next, takes limit up to 200 and a cursor of its own, and refuses any other."""
    lists = [
        one for one in api.routes
        if one.method == "GET" and "{name}" not in one.path and "/contacts" not in one.path
        and one.path.rpartition("/")[2] in {
            "conversations", "messages", "teams", "agents", "channels", "shunted", "deliveries", "dead", "trail",
        }
    ]  # fmt: skip
    assert 10 == len(lists)
    for route in lists:
        name = api.message if route.path.startswith("/messages/") else api.conversation
        path = route.path.replace("{id}", name)
        answered = await api.call("GET", path)
        assert (200, {"items", "next"}) == (answered.status, set(answered.body)), path
        if path in ("/teams", "/agents", "/channels") or path.startswith("/messages/"):
            continue  # as long as the configuration is, or a single decision
        for limit in ("1", f"{MAX_LIMIT}"):
            assert 200 == (await api.call("GET", f"{path}?limit={limit}")).status
        for limit in ("0", "201", "-1", "x", "1.5", "²", "9" * 5000, "٣"):
            assert "limit" in problem(await api.call("GET", f"{path}?limit={limit}"), 400)["detail"]
        for cursor in ("x", "-1", "²", "9" * 5000, "1:c1", "1:x1-1", "٣:c1-1-1", "%00"):
            problem(await api.call("GET", f"{path}?cursor={cursor}"), 400)


async def test_a_cursor_leads_through_everything(api: Api) -> None:
    """Conversations, messages and deliveries come in pages; each once, none after the last."""
    ids = {api.conversation}
    for number in range(7):
        ids.add(await api.record("hi", f"visitor:b-{number}", id=f"b{number}"))
    for number in range(9):
        await api.call("POST", f"/conversations/{api.conversation}/notes", {"text": f"{number}"})

    async def walk(path: str) -> list[dict[str, Any]]:
        seen: list[dict[str, Any]] = []
        cursor = ""
        while True:
            body = (await api.call("GET", f"{path}?limit=3&cursor={cursor}")).body
            assert len(body["items"]) <= 3
            seen += body["items"]
            if body["next"] is None:
                return seen
            cursor = body["next"]

    assert sorted(ids) == sorted(one["id"] for one in await walk("/conversations"))
    notes = [
        one["text"] for one in await walk(f"/conversations/{api.conversation}/messages") if one["direction"] == "note"
    ]
    assert [f"{number}" for number in reversed(range(9))] == notes
    upwards = (await api.call("GET", f"/conversations/{api.conversation}/messages?order=asc&limit=200")).body["items"]
    assert [f"{number}" for number in range(9)] == [one["text"] for one in upwards if one["direction"] == "note"]


async def test_filters_of_the_list(api: Api) -> None:
    """Team, agent, status, channel and words narrow the list; `me` is the token's agent; a wrong status is told."""
    await api.call("POST", f"/conversations/{api.conversation}/assign", {"agent": "lilei"})
    for query, count in (
        ("team=aftersales", 1), ("team=frontdesk", 0), ("agent=lilei", 1), ("agent=me", 1), ("status=open", 1),
        ("status=resolved", 0), ("channel=site-chat&status=open", 1), ("channel=x", 0), ("q=%E7%8E%8B", 1),
        ("q=zz", 0),
    ):  # fmt: skip
        found = await api.call("GET", f"/conversations?{query}", role="agent")
        assert count == len(found.body["items"]), query
    problem(await api.call("GET", "/conversations?status=new"), 400)


async def test_work_is_refused_when_it_makes_no_sense(api: Api) -> None:
    """Sleep in the past or of what is resolved, a tag with a comma: 409 with the reason."""
    base = f"/conversations/{api.conversation}"
    for verb, body in ( ("snooze", {"until": "2001-01-01T00:00:00Z"}), ("tags", {"add": ["a,b"]}),
    ):  # fmt: skip
        assert problem(await api.call("POST", f"{base}/{verb}", body), 409)["detail"]
    assert problem(await api.call("POST", f"{base}/notes", {"text": " "}), 422)["detail"]
    await api.call("POST", f"{base}/resolve")
    problem(await api.call("POST", f"{base}/snooze", {"until": "2099-01-01T00:00:00Z"}), 409)


async def test_times_show_what_holds_now(api: Api) -> None:
    """Snoozed until and resolved at are shown while it sleeps, or is resolved, and not after."""
    base = f"/conversations/{api.conversation}"
    done = (await api.call("POST", f"{base}/snooze", {"until": "2099-01-01T08:00:00+08:00"})).body
    assert ("snoozed", "2099-01-01T00:00:00.000Z") == (done["status"], done["snoozed_until"])
    done = (await api.call("POST", f"{base}/resolve")).body
    assert (None, True) == (done["snoozed_until"], bool(TIME.fullmatch(done["resolved_at"])))
    done = (await api.call("POST", f"{base}/reopen")).body
    assert ("open", None) == (done["status"], done["resolved_at"])


async def test_files_come_back_safely(api: Api) -> None:
    """A customer's file is given as a download that no browser renders, with its name, whatever it is."""
    [message] = [m for m in await api.stage.messages(api.conversation) if m["id"] == api.message]
    [file] = message["attachments"]
    answered = await api.call("GET", file["url"].removeprefix(PREFIX))

    assert (200, b"\x89PNG") == (answered.status, answered.body)
    assert "application/octet-stream" == answered.headers["Content-Type"]
    assert "attachment; filename*=UTF-8''%E5%9B%BE.png" == answered.headers["Content-Disposition"]
    assert "nosniff" == answered.headers["X-Content-Type-Options"]
    assert "sandbox" in answered.headers["Content-Security-Policy"]
    for index in ("1", "-1", "x", "²", "9" * 5000):
        problem(await api.call("GET", f"/messages/{api.message}/attachments/{index}"), 404)


async def test_a_reply_with_files(api: Api) -> None:
    """A file that was uploaded before, and one within the reply, both reach the customer's channel."""
    kept = await api.call("POST", "/attachments?name=%E5%9B%BE.png&type=image/png", data=b"picture", role="agent")
    assert (201, {"id", "name", "type", "size"}) == (kept.status, set(kept.body))
    assert ("图.png", "image/png", 7) == tuple(kept.body[name] for name in ("name", "type", "size"))
    inline = {"name": "a.txt", "type": "text/plain", "content": base64.b64encode(b"text").decode()}
    body = {"text": "see", "attachments": [kept.body["id"], {"name": "", "id": kept.body["id"]}, inline]}
    replied = await api.call("POST", f"/conversations/{api.conversation}/replies", body, role="agent")

    assert 202 == replied.status
    check_message(replied.body["message"])
    assert ["图.png", "图.png", "a.txt"] == [one["name"] for one in replied.body["message"]["attachments"]]
    answered = await api.call("GET", replied.body["message"]["attachments"][2]["url"].removeprefix(PREFIX))
    assert b"text" == answered.body


async def test_a_file_may_come_in_a_form(api: Api) -> None:
    """What curl -F sends is kept with its name and type; a form without a file, or with too much, is told."""
    form = aiohttp.FormData(quote_fields=False)
    form.add_field("note", "not the file")
    form.add_field("file", b"%PDF", filename="发票.pdf", content_type="application/pdf")
    kept = await api.call("POST", "/attachments", data=form)
    assert (201, "发票.pdf", "application/pdf", 4) == (
        kept.status, kept.body["name"], kept.body["type"], kept.body["size"],
    )  # fmt: skip
    empty = aiohttp.FormData()
    empty.add_field("note", "no file", content_type="text/plain")
    problem(await api.call("POST", "/attachments", data=empty), 422)
    large = aiohttp.FormData()
    large.add_field("file", io.BytesIO(b"x" * ((25 << 20) + 1)), filename="a")
    problem(await api.call("POST", "/attachments", data=large), 413)
    broken = {"Content-Type": "multipart/form-data"}
    problem(await api.call("POST", "/attachments", data=b"x", headers=broken), 422)


async def test_head_is_get_without_a_body(api: Api) -> None:
    """Whoever asks for the head of a view gets its status and no body, with the same rights."""
    for path, status in (
        (f"/conversations/{api.conversation}", 200),
        ("/conversations/c1-1-1", 404),
        ("/nothing", 404),
    ):
        assert status == (await api.call("HEAD", path)).status
        assert 401 == (await api.call("HEAD", path, role="")).status or status == 404


BAD_REPLIES: list[tuple[dict[str, Any], str]] = [
    ({}, "give text"),
    ({"text": "  "}, "give text"),
    ({"text": "a\0b"}, "NUL"),
    ({"template": "nothing"}, "nothing"),
    ({"attachments": ["0" * 64]}, "upload it first"),
    ({"attachments": [""]}, "upload it first"),
    ({"attachments": [{"name": "a", "content": "no base64!"}]}, "base64"),
    ({"attachments": [{"name": "a", "content": "内容"}]}, "base64"),
    ({"attachments": [{"name": "a", "type": "image/png\r\nX: y", "content": "YQ=="}]}, "image/png"),
    ({"text": "x" * 100_001}, "at most"),
    ({"attachments": ["a"] * 21}, "at most"),
    ({"text": "x", "agent": "nobody"}, "hanmeimei"),
]


async def test_replies_that_cannot_be(api: Api) -> None:
    """Empty, too large, with an unknown template, file or agent: 422, and nothing is owed."""
    for body, detail in BAD_REPLIES:
        told = problem(await api.call("POST", f"/conversations/{api.conversation}/replies", body), 422)
        assert detail in told.get("detail", ""), (body, told)
    assert [] == [one for one in await api.stage.messages(api.conversation) if one["direction"] == "outbound"]
    problem(await api.call("POST", "/attachments", data=b""), 422)
    problem(await api.call("POST", "/attachments?type=a%0D%0Ab", data=b"x"), 422)


async def test_a_client_id_makes_a_reply_idempotent(api: Api) -> None:
    """32 posts at once are one message; the later ones show what was said first."""
    path = f"/conversations/{api.conversation}/replies"
    calls = [api.call("POST", path, {"text": f"{number}", "client_id": "a"}) for number in range(32)]
    done = await asyncio.gather(*calls)

    assert {202} == {one.status for one in done}
    assert 1 == len({one.body["delivery"]["id"] for one in done}) == len({one.body["message"]["text"] for one in done})
    assert 31 == sum(one.body["duplicate"] for one in done)


@pytest.mark.parametrize(("path", "body"), [("notes", {"text": "call back"}), ("assign", {"agent": "lilei"})])
async def test_what_was_done_unheard_is_not_done_again(
    api: Api, monkeypatch: pytest.MonkeyPatch, path: str, body: dict[str, str]
) -> None:
    """A store that did it and whose answer was lost is 503; asked again with the same key it is done once."""

    async def unheard(*what: Any) -> Any:
        done = await commit(*what)
        if what[-1].once:  # what the hub does meanwhile is heard
            raise StoreDown("no answer")
        return done

    where, head = f"/conversations/{api.conversation}/{path}", {"Idempotency-Key": "k1"}
    with monkeypatch.context() as lost:
        lost.setattr(work, "commit", unheard)
        problem(await api.call("POST", where, body, headers=head), 503)
    assert (await api.call("POST", where, body, headers=head)).status in (200, 201)

    found, _ = await items(api.stage.hub.store, parse_id(api.conversation, "c"), MESSAGES, None, 50)
    authors = [json.loads(one.entry.fields["au"])["kind"] for one in found if "au" in one.entry.fields]
    assert 1 == authors.count("token")


async def test_templates_and_authors(api: Api) -> None:
    """A template is filled in before the text; an agent's token writes as that agent, an admin's may name one."""
    path = f"/conversations/{api.conversation}/replies"
    done = await api.call("POST", path, {"template": "complaint-received", "text": "more"}, role="agent")
    assert "您好 王芳，投诉已收到。\nmore" == done.body["message"]["text"]
    assert {"kind": "agent", "id": "lilei", "name": "李雷"} == done.body["message"]["author"]
    done = await api.call("POST", path, {"text": "x", "agent": "hanmeimei"})
    assert "韩梅梅" == done.body["message"]["author"]["name"]
    problem(await api.call("POST", path, {"text": "x", "agent": "hanmeimei"}, role="agent"), 403)


async def test_why_a_message_went_where_it_went(api: Api) -> None:
    """The trail of the conversation and that of the message tell the same decision, with every route's verdict."""
    trail = (await api.call("GET", f"/conversations/{api.conversation}/trail")).body["items"]
    [whole] = trail
    [single] = (await api.call("GET", f"/messages/{api.message}/trail")).body["items"]

    assert whole == single
    assert ("refund", api.message, api.conversation, "new") == tuple(
        single[name] for name in ("route", "message", "conversation", "opened")
    )
    assert ["complaint", "refund"] == [one["name"] for one in single["explanation"]["tried"]]
    [reply] = [
        (await api.call("POST", f"/conversations/{api.conversation}/replies", {"text": "x"})).body["message"]["id"]
    ]
    problem(await api.call("GET", f"/messages/{reply}/trail"), 404)


async def test_what_the_rules_would_say(api: Api) -> None:
    """Explaining an imagined message shows the decision; an unknown channel is told with those there are."""
    told = (await api.call("POST", "/routes/explain", {"channel": "site-chat", "text": "我要投诉"})).body
    assert "complaints" == told["decision"]["team"]
    answered = await api.call("POST", "/routes/explain", {"channel": "nothing"})
    assert "site-chat" in problem(answered, 422)["detail"]
    assert {"hash", "routes", "status"} == set((await api.call("GET", "/routes")).body)


async def test_dead_letters_and_deliveries(api: Api) -> None:
    """What cannot go out is a dead letter with its reason; it can be shown, retried and dropped, and says when not."""
    one = await api.record("hi", "wechat:openid-1", id="w1", channel="shop-wechat")
    refused = problem(await api.call("POST", f"/conversations/{one}/replies", {"text": "yes"}), 409)
    assert ["window_closed"] == [obstacle["code"] for obstacle in refused["obstacles"]]
    conversation = await load(api.stage.hub.store, one)
    owed, _ = await api.stage.hub.deliveries.enqueue(conversation, Reply(Author("hub"), "yes"), 1)
    name = owed.id

    async def dead() -> Any:
        return (await api.call("GET", "/dead")).body["items"]

    [letter] = await until(dead)
    assert (name, "dead") == (letter["id"], letter["state"])
    assert "window_closed" == letter["code"]
    shown = (await api.call("GET", f"/deliveries/{name}")).body
    assert letter.items() <= shown.items()
    assert [("queued", "accepted"), ("dead", "attempt")] == [(one["state"], one["cause"]) for one in shown["history"]]
    problem(await api.call("POST", f"/deliveries/{name}/cancel"), 409)
    assert 202 == (await api.call("POST", f"/dead/{name}/retry")).status

    async def waits() -> Any:
        found = (await api.call("GET", f"/deliveries/{name}")).body
        return found if found["state"] == "deferred" else None

    await until(waits)  # a person insisted, so the platform was asked; it is not there
    while (dropped := await api.call("POST", f"/dead/{name}/drop", role="supervisor")).status == 409:
        await until(waits)  # it was just being tried
    assert (200, "failed") == (dropped.status, dropped.body["state"])
    assert [] == (await api.call("GET", "/dead")).body["items"]
    problem(await api.call("GET", "/deliveries?state=sent"), 400)


async def test_who_reads_has_read_what_is_there(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also at a process whose clock is behind that of the log."""
    monkeypatch.setattr(api.stage.hub.desk, "_now", lambda: 1)
    found = await api.call("POST", f"/conversations/{api.conversation}/read")

    assert (200, False) == (found.status, found.body["unread"])


async def test_what_did_not_arrive_asks_for_attention(api: Api) -> None:
    """The conversation says which delivery is meant, the messages tell what became of it, reading it ends that."""
    one = await api.record("hi", "wechat:openid-1", id="w1", channel="shop-wechat")
    assert 200 == (await api.call("POST", f"/conversations/{one}/resolve")).status
    conversation = await load(api.stage.hub.store, one)
    owed, _ = await api.stage.hub.deliveries.enqueue(conversation, Reply(Author("agent", "lilei"), "yes"), 1)
    name = owed.id

    async def marked() -> Any:
        found = (await api.call("GET", f"/conversations/{one}")).body
        return found if found["attention"] else None

    found = await until(marked)
    assert ({"reason": "undelivered", "delivery": name}, "open", True) == (
        *(found["attention"], found["status"], found["unread"]),
    )
    told = (await api.call("GET", f"/conversations/{one}/messages?order=asc")).body["items"]
    [change] = [message["event"] for message in told if message.get("event", {}).get("name") == "delivery"]
    assert (name, "dead", "attempt", 1) == tuple(change[key] for key in ("delivery", "state", "cause", "attempt"))
    [event] = [message["event"] for message in told if message.get("event", {}).get("name") == "undelivered"]
    assert (name, "dead") == (event["delivery"], event["state"])
    everything = (await api.call("GET", f"/conversations/{one}/messages?deliveries=all")).body["items"]
    assert len(everything) >= len(told)
    problem(await api.call("GET", f"/conversations/{one}/messages?deliveries=some"), 400)
    problem(await api.call("POST", f"/deliveries/{name}/confirm"), 409)

    assert 200 == (await api.call("POST", f"/conversations/{one}/read")).status
    assert (await api.call("GET", f"/conversations/{one}")).body["attention"] is None


async def test_a_reply_that_waits_can_be_called_back(api: Api) -> None:
    """While its channel is away an answer is deferred: it is listed as due, and can be cancelled."""
    one = await api.record("hi", "wechat:openid-1", id="w1", channel="shop-wechat", window=Window(10**9, 5))
    replied = await api.call("POST", f"/conversations/{one}/replies", {"text": "yes"})
    name = replied.body["delivery"]["id"]

    async def deferred() -> Any:
        found = (await api.call("GET", f"/deliveries/{name}")).body
        return found if found["state"] == "deferred" else None

    waiting = await until(deferred)
    assert TIME.fullmatch(waiting["due_at"])
    assert name in [one["id"] for one in (await api.call("GET", "/deliveries")).body["items"]]
    while (cancelled := await api.call("POST", f"/deliveries/{name}/cancel")).status == 409:
        await until(deferred)  # it was just being tried
    assert "failed" == cancelled.body["state"]
    assert [] == (await api.call("GET", "/deliveries")).body["items"]


async def test_shunted_payloads(api: Api) -> None:
    """What nobody could parse is listed, shown byte by byte, replayed when it can be understood, and dropped."""
    hub = api.stage.hub
    raw = b"\xff<xml>"
    meta = {"method": "POST", "url": f"{api.stage.base}/chat/site-chat/hello", "path": "/chat/site-chat/hello"}
    meta |= {"remote": "127.0.0.1", "at": 1, "headers": []}  # type: ignore[dict-item]
    good = await hub.recorder.shunt("site-chat", b"{}", "was a bug", meta, 1)
    bad = await hub.recorder.shunt("shop-wechat", raw, "no XML", meta, 2)
    odd = await hub.recorder.shunt("site-chat", raw, "without a description", {}, 3)

    listed = (await api.call("GET", "/shunted")).body["items"]
    assert [odd, bad, good] == [one["id"] for one in listed]
    shown = (await api.call("GET", f"/shunted/{bad}")).body
    assert (raw, "no XML", 6) == (base64.b64decode(shown["raw_base64"]), shown["error"], shown["size"])
    for name in (bad, odd):
        assert problem(await api.call("POST", f"/shunted/{name}/replay"), 409)["detail"]
    done = await api.call("POST", f"/shunted/{good}/replay")
    assert (200, "recorded") == (done.status, done.body["state"])
    assert 200 == (await api.call("POST", f"/shunted/{bad}/drop")).status
    problem(await api.call("POST", f"/shunted/{bad}/drop"), 404)
    problem(await api.call("POST", f"/shunted/{good}/replay"), 404)


async def test_the_configuration_as_the_api_shows_it(api: Api) -> None:
    """Channels with state and capabilities, teams with members, agents with their load; no secret anywhere."""
    await api.call("POST", f"/conversations/{api.conversation}/assign", {"agent": "lilei"})

    async def counted() -> Any:
        found = (await api.call("GET", "/agents")).body["items"]
        return [one for one in found if one["id"] == "lilei" and one["conversations"] == 1]

    [lilei] = await until(counted)
    assert ("李雷", ["aftersales", "complaints"]) == (lilei["name"], lilei["teams"])
    teams = {one["id"]: one for one in (await api.call("GET", "/teams")).body["items"]}
    assert ("售后组", ["lilei", "hanmeimei"]) == (teams["aftersales"]["name"], teams["aftersales"]["members"])
    answered = await api.call("GET", "/channels")
    channels = {one["id"]: one for one in answered.body["items"]}
    assert {"site-chat", "shop-wechat"} == set(channels)
    chat, wechat = channels["site-chat"], channels["shop-wechat"]
    assert ("webchat", "up", True) == (chat["kind"], chat["state"], chat["required"])
    assert {"seconds": 172_800, "messages": 5} == wechat["capabilities"]["window"]
    assert "s3cret" not in json.dumps(answered.body)
    found = (await api.call("GET", f"/conversations/{api.conversation}")).body["contact"]
    contact = (await api.call("GET", f"/contacts/{found['id']}")).body
    expected = {"id": found["id"], "name": "王芳", "addresses": [ADDRESS], **UNKNOWN}
    assert expected == {name: contact[name] for name in expected}


async def test_operations(api: Api) -> None:
    """Alive, ready with the store's true durability, and counts that add up, for machines that watch."""
    http, base = api.stage.http, api.stage.base
    async with http.get(f"{base}/healthz") as response:
        assert (200, {"status": "alive"}) == (response.status, await response.json())
    async with http.get(f"{base}/readyz") as response:
        ready = await response.json()
        assert (200, "ready") == (response.status, ready["status"])
    assert (True, "always", "noeviction") == tuple(
        ready["store"][name] for name in ("appendonly", "appendfsync", "maxmemory_policy")
    )
    assert {"site-chat": "up", "shop-wechat": "up"} == ready["channels"]

    async def added() -> Any:
        async with http.get(f"{base}/metrics") as response:
            text = await response.text()
        found = re.findall(r'huiliu_events_total\{channel="site-chat",outcome="(\w+)"\} (\d+)', text)
        counts = {name: int(float(number)) for name, number in found}
        return (text, counts) if counts.get("received") else None

    text, counts = await until(added)
    assert counts["received"] == sum(counts.get(name, 0) for name in ("recorded", "duplicate", "ignored", "shunted"))
    for name in ("huiliu_channel_state", "huiliu_deliveries", "huiliu_workers", "huiliu_partitions_held"):
        assert name in text
    assert ADDRESS not in text


async def test_every_answer_is_protected(api: Api) -> None:
    """No answer of the API, good or bad, may be sniffed, framed or cached."""
    for path, role in (
        ("/conversations", "admin"),
        ("/conversations", ""),
        ("/nothing", "admin"),
        ("/conversations/x", "admin"),
    ):
        headers = (await api.call("GET", path, role=role)).headers
        assert "nosniff" == headers["X-Content-Type-Options"]
        assert "default-src 'none'" in headers["Content-Security-Policy"]
        assert "no-store" == headers["Cache-Control"]


async def test_a_store_that_is_away_is_503(api: Api) -> None:
    """While the store cannot be reached the API says so, and when to come again; then it works."""
    hub = api.stage.hub
    address = hub.store.topology.url
    hub.store.topology.url = "unix:///nowhere"
    hub.store._by_tag.clear()
    broken, hub.store._links = hub.store._links, {}
    answered = await api.call("GET", "/conversations")
    problem(answered, 503)
    assert 1 <= int(answered.headers["Retry-After"]) <= 10
    async with api.stage.http.get(f"{api.stage.base}/readyz") as response:
        assert 503 == response.status
    async with api.stage.http.get(f"{api.stage.base}/healthz") as response:
        assert 200 == response.status
    hub.store.topology.url = address
    away, hub.store._links = hub.store._links, broken
    hub.store._by_tag.clear()
    for link in away.values():
        await link.close()
    assert 200 == (await api.call("GET", "/conversations")).status


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
FIELDS = st.sampled_from([
    "text", "html", "subject", "attachments", "template", "client_id", "agent", "team", "reason", "until", "add",
    "remove", "at", "channel", "sender", "name", "type", "content", "id",
])  # fmt: skip
BODY = st.dictionaries(FIELDS, VALUES, max_size=4) | VALUES
QUERY = st.dictionaries(
    st.sampled_from(["cursor", "limit", "status", "team", "agent", "channel", "q", "order", "state", "name", "type"]),
    st.text(max_size=12) | st.integers().map(str),
    max_size=3,
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
async def test_nothing_makes_it_fail(api: Api, data: st.DataObject) -> None:
    """Any JSON and any query at any route: an answer below 500, and a problem when it is an error."""
    route = data.draw(st.sampled_from(api.routes))
    name = api.message if route.path.startswith("/messages") else api.conversation
    name = data.draw(st.sampled_from([name, api.path(route).split("/")[2] if "{id}" in route.path else name]))
    path = (
        route.path.replace("{id}", name)
        .replace("{index}", data.draw(st.sampled_from(["0", "1", "x"])))
        .replace("{response}", "r0-0")
    )
    query = data.draw(QUERY)
    encoded = "&".join(f"{key}={quoted(value)}" for key, value in query.items())
    body = json.dumps(data.draw(BODY)).encode() if route.method == "POST" else None
    answered = await api.call(route.method, f"{path}?{encoded}", data=body)
    assert answered.status < 500, (route.method, path, query, body, answered.body)
    if answered.status >= 400:
        problem(answered, answered.status)


def quoted(text: str) -> str:
    return "".join(f"%{octet:02X}" for octet in text.encode(errors="replace"))


async def test_half_a_request_is_no_fault_of_the_hub(api: Api) -> None:
    """A client that hangs up in the middle of its body leaves no error and no traceback behind."""
    host, port = api.stage.base.removeprefix("http://").split(":")
    for _ in range(3):
        _, writer = await asyncio.open_connection(host, int(port))
        head = f"POST {PREFIX}/conversations/{api.conversation}/notes HTTP/1.1\r\nHost: x\r\n"
        head += f"Authorization: Bearer {TOKEN}\r\nContent-Length: 100\r\n\r\n"
        writer.write(head.encode() + b'{"te')
        await writer.drain()
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
    assert 200 == (await api.call("GET", "/conversations")).status


def test_customers_of_one_channel_are_spread() -> None:
    """The addresses of these tests do not all live in one partition, so that lists are merged for real."""
    assert len({partition_of(f"visitor:b-{number}") for number in range(7)}) > 3
    assert COUNT == 64


PAGE = (Path(__file__).parent.parent / "docs" / "api.md").read_text(encoding="utf-8")


async def test_the_page_about_the_api_is_true(api: Api) -> None:
    """Every path stands on the page with its method and role, no other does, and the shapes have the fields shown."""
    told = re.findall(r"^### `(\w+) (/\S*)`\n\nRole `(\w+)`", PAGE, re.MULTILINE)
    assert sorted((one.method, one.path, one.role) for one in api.stage.hub.api().routes) == sorted(told)
    samples = [json.loads(text) for text in re.findall(r"^```json\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)]
    shape = {name[0]: sample for sample in samples if (name := sample.get("id", ""))}
    base = f"/conversations/{api.conversation}"
    replied = (await api.call("POST", f"{base}/replies", {"text": "好的"})).body
    assert set(shape["c"]) == set((await api.call("GET", base)).body)
    assert set(shape["m"]) == set(replied["message"])
    assert set(shape["d"]) == set(replied["delivery"])
