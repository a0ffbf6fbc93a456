"""Changes through the API: done once, over no other's, at a pace, many at a time, and written down."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest

import hub as root
from connectors.base import Message
from inbox.audit import BEGUN, LOG, LOST, shown
from tests.browsers import signed_in
from tests.hubs import TOKEN, Stage, configuration, running, until, write

CHANNELS = "  site-chat: {kind: webchat}"
TEXT = configuration(CHANNELS).replace("api_tokens:", "api_tokens:\n  slow: {token: slow-token, role: agent, rate: 5}")


@pytest.fixture
async def stage(store_url: str, tmp_path: Path) -> AsyncIterator[Stage]:
    async with running(store_url, write(tmp_path, TEXT)) as made:
        yield made


async def call(
    stage: Stage, method: str, path: str, body: Any = None, *, token: str = TOKEN, **headers: str
) -> tuple[int, Any, Mapping[str, str]]:
    """Call the API with headers of the test's own."""
    sent = {"Authorization": f"Bearer {token}", **{name.replace("_", "-"): value for name, value in headers.items()}}
    async with stage.http.request(method, f"{stage.base}/api/v1{path}", json=body, headers=sent) as response:
        return response.status, await response.json(content_type=None), response.headers


async def conversation(stage: Stage, number: int = 1) -> str:
    """Let a customer write; return the conversation."""
    address = f"visitor:a-{number:04d}"
    await stage.hub.recorder.record("site-chat", [Message(f"e{number}", address, 1, "我要退款")])
    [one] = await until(lambda: stage.conversations(q=address))
    return str(one["id"])


async def notes(stage: Stage, name: str) -> int:
    """Count the notes of a conversation."""
    return sum(one["direction"] == "note" for one in await stage.messages(name))


async def test_a_repeated_post_is_done_once(stage: Stage, store_url: str, tmp_path: Path) -> None:
    """Same key, body and caller: the same answer, also at once, from another process, after a restart."""
    one = await conversation(stage)
    path, body = f"/conversations/{one}/notes", {"text": "once"}
    first = await asyncio.gather(*(call(stage, "POST", path, body, Idempotency_Key="k1") for _ in range(16)))
    assert {201} == {status for status, _, _ in first}
    assert 1 == len({json.dumps(answer) for _, answer, _ in first})
    assert 15 == sum("Idempotency-Replayed" in headers for _, _, headers in first)
    async with running(store_url, tmp_path / "huiliu.yaml", index=1) as other:
        again = await call(other, "POST", path, body, Idempotency_Key="k1")
        assert (201, first[0][1], "true") == (again[0], again[1], again[2]["Idempotency-Replayed"])
    assert 1 == await notes(stage, one)

    assert 422 == (await call(stage, "POST", path, {"text": "other"}, Idempotency_Key="k1"))[0]
    assert 201 == (await call(stage, "POST", path, body, Idempotency_Key="k2"))[0]
    lilei = "test-token-of-lilei"
    assert 201 == (await call(stage, "POST", path, {"text": "other"}, token=lilei, Idempotency_Key="k1"))[0]
    assert 3 == await notes(stage, one)
    for bad in ("a b", "x" * 256, "é"):
        assert 400 == (await call(stage, "POST", path, body, Idempotency_Key=bad))[0]


async def test_what_failed_may_be_tried_again(stage: Stage) -> None:
    """A key stands for what was done; a call that was refused did nothing."""
    one = await conversation(stage)
    path = f"/conversations/{one}/notes"
    assert 422 == (await call(stage, "POST", path, {"text": " "}, Idempotency_Key="k"))[0]
    assert 201 == (await call(stage, "POST", path, {"text": "now"}, Idempotency_Key="k"))[0]


async def test_a_process_that_dies_holds_no_key(stage: Stage) -> None:
    """What has begun and was never finished is done by the next call; a reply is still sent once."""
    one = await conversation(stage)
    path, body = f"/conversations/{one}/replies", {"text": "once"}
    done = await call(stage, "POST", path, body, Idempotency_Key="k")
    for group in {f"once:{number:02x}" for number in range(256)}:
        for name in await stage.hub.store.do(group, "KEYS", f"hl:{{{group}}}:*"):
            await stage.hub.store.do(group, "DEL", name)  # as if its process had died before it could say so
    again = await call(stage, "POST", path, body, Idempotency_Key="k")
    assert (202, 202, True) == (done[0], again[0], again[1]["duplicate"])
    assert done[1]["delivery"]["id"] == again[1]["delivery"]["id"]


async def test_an_edit_overwrites_no_other(stage: Stage) -> None:
    """Whoever edits what has changed since they saw it gets 412; of many at once exactly one wins."""
    [one] = [one["contact"]["id"] for one in [await stage.api("GET", f"/conversations/{await conversation(stage)}")]]
    path = f"/contacts/{one}"
    _, _, headers = await call(stage, "GET", path)
    seen = headers["ETag"]
    done = await asyncio.gather(
        *(call(stage, "PUT", path, {"tags": [f"t{number}"]}, If_Match=seen) for number in range(12))
    )
    assert [200] + [412] * 11 == sorted(status for status, _, _ in done)
    _, now, headers = await call(stage, "GET", path)
    assert headers["ETag"] != seen
    [won] = [answer for status, answer, _ in done if status == 200]
    assert won["tags"] == now["tags"]
    for wanted in (headers["ETag"], "*", f'"x", {headers["ETag"]}'):
        status, _, _ = await call(stage, "PUT", path, {"tags": now["tags"]}, If_Match=wanted)
        assert status == 200
    assert 404 == (await call(stage, "PUT", "/contacts/k1-1-1", {}, If_Match=seen))[0]
    assert 412 == (await call(stage, "PUT", "/agents/lilei/presence", {"state": "away"}, If_Match=seen))[0]


async def test_calls_have_a_pace(stage: Stage, store_url: str, tmp_path: Path) -> None:
    """Beyond it a caller gets 429 and when to come again; all processes count together; others are not touched."""
    done = [(await call(stage, "GET", "/teams", token="slow-token")) for _ in range(6)]
    assert {200} == {status for status, _, _ in done}
    assert '"calls";q=10;w=2' == done[0][2]["RateLimit-Policy"]
    left = [int(headers["RateLimit"].partition("r=")[2].partition(";")[0]) for _, _, headers in done]
    assert left[0] <= 9
    async with running(store_url, tmp_path / "huiliu.yaml", index=1) as other:
        answers = await asyncio.gather(*(call(other, "GET", "/teams", token="slow-token") for _ in range(40)))
    refused = [headers for status, _, headers in answers if status == 429]
    assert refused
    assert all(1 <= int(headers["Retry-After"]) <= 10 for headers in refused)
    assert 200 == (await call(stage, "GET", "/teams"))[0]
    lilei = await signed_in(stage, "lilei", "agent")
    many = await asyncio.gather(*(lilei.call("GET", "/session") for _ in range(90)))
    assert {200} == {one.status for one in many}  # a page may ask for much at once
    assert '"calls";q=100;w=2' == many[0].headers["RateLimit-Policy"]


async def test_many_at_once_with_a_preview(stage: Stage) -> None:
    """The preview says what would change and changes nothing; then each is done, or says why not."""
    ids = [await conversation(stage, number) for number in range(1, 6)]
    await stage.api("POST", f"/conversations/{ids[0]}/resolve")
    body: dict[str, Any] = {"action": "snooze", "until": "2099-01-01T00:00:00Z", "ids": [*ids, "c1-1-1", "nonsense"]}
    tried = await stage.api("POST", "/conversations/bulk", {**body, "preview": True})
    assert {"would change": 4, "unchanged": 1, "missing": 2} == tried["counts"]
    assert {"snoozed": 0} == {"snoozed": len(await stage.conversations(status="snoozed"))}
    done = await stage.api("POST", "/conversations/bulk", body)
    assert {"changed": 4, "refused": 1, "missing": 2} == done["counts"]
    assert [ids[0]] == [one["id"] for one in done["items"] if one["outcome"] == "refused"]

    wide = {"action": "assign", "team": "frontdesk", "agent": "hanmeimei", "filter": {"status": "snoozed"}}
    assert {"would change": 4} == (await stage.api("POST", "/conversations/bulk", {**wide, "preview": True}))["counts"]
    assert {"changed": 4} == (await stage.api("POST", "/conversations/bulk", wide))["counts"]
    again = await stage.api("POST", "/conversations/bulk", {**wide, "preview": True})
    assert {"unchanged": 4} == again["counts"]
    for action, more in (("reopen", {}), ("tag", {"add": ["vip"]}), ("read", {}), ("resolve", {})):
        done = await stage.api("POST", "/conversations/bulk", {"action": action, "ids": ids[1:], **more})
        assert {"changed": 4} == done["counts"], action
    for wrong in (
        {"action": "resolve"}, {"action": "resolve", "ids": []}, {"action": "resolve", "ids": ids, "filter": {}},
        {"action": "assign", "ids": ids}, {"action": "assign", "ids": ids, "team": "x"}, {"action": "tag", "ids": ids},
        {"action": "snooze", "ids": ids}, {"action": "dance", "ids": ids}, {"action": "read", "ids": ["x"] * 0},
        {"action": "assign", "ids": ids, "agent": "x"}, {"action": "read", "ids": [f"c1-1-{n}" for n in range(501)]},
    ):  # fmt: skip
        await stage.api("POST", "/conversations/bulk", wrong, status=422)


async def test_every_change_is_written_down(stage: Stage) -> None:
    """Who, what, when, from where, with which request; no word of a customer, no secret; only admins read it."""
    boss = await signed_in(stage, "boss", "admin")
    one = await conversation(stage)
    noted = await boss.call("POST", f"/conversations/{one}/notes", {"text": "secret words 13800138000"})
    await stage.api("POST", f"/conversations/{one}/assign", {"team": "frontdesk", "reason": "secret words"})
    await stage.api("POST", f"/conversations/{one}/notes", {"text": " "}, status=422)
    await stage.api("POST", "/routes/explain", {"channel": "site-chat"})
    await stage.api("POST", "/conversations/bulk", {"action": "resolve", "ids": [one], "preview": True})
    await stage.api("PUT", "/people/nobody@example.com", {}, status=404)
    listed = (await boss.call("GET", "/audit")).body
    told = [(each["who"]["kind"], each["who"]["id"], each["what"], each["status"]) for each in listed["items"]]
    assert [
        ("token", "ops", "POST /conversations/{id}/assign", 200),
        ("person", "boss", "POST /conversations/{id}/notes", 201),
        ("person", "boss", "signed in", 200),
        ("person", "boss", "set a password by a link", 200),
        ("token", "ops", "POST /people", 201),
    ] == told
    first, second = listed["items"][:2]
    assert ({"id": one}, ["reason", "team"]) == (first["parts"], first["fields"])
    assert {"team": "frontdesk"} == first["values"]
    assert noted.headers["X-Request-Id"] == second["request"]
    assert ("127.0.0.1", "admin") == (second["remote"], second["role"])
    assert "secret" not in json.dumps(listed)
    assert "token" not in {field for each in listed["items"] for field in each["values"]}

    page = await stage.api("GET", "/audit?limit=2")
    rest = await stage.api("GET", f"/audit?limit=200&cursor={page['next']}")
    assert [each["id"] for each in listed["items"]] == [each["id"] for each in (*page["items"], *rest["items"])]
    assert 3 == len((await stage.api("GET", "/audit?who=person:boss"))["items"])
    assert 0 == len((await stage.api("GET", "/audit?since=2099-01-01T00:00:00Z"))["items"])
    await stage.api("GET", "/audit?cursor=x", status=400)
    await stage.api("GET", "/audit", token="test-token-of-lilei", status=403)


async def test_a_change_whose_process_died_is_written_down_too(stage: Stage) -> None:
    """What had begun stands there, without a status; entries go when their time is over."""
    begun = {"at": root.now_ms() - LOST - 1, "who": "token:ops", "role": "admin", "method": "POST", "path": "/people"}
    await stage.hub.store.do("audit", "HSET", BEGUN, "r1", json.dumps({**begun, "request": "r1"}))
    [one] = (await stage.api("GET", "/audit"))["items"]
    assert ("POST /people", None) == (one["what"], one["status"])
    assert 1 == await stage.hub.store.do("audit", "XLEN", LOG)
    assert 0 == await stage.hub.store.do("audit", "HLEN", BEGUN)


@pytest.mark.parametrize(
    ("part", "told"),
    [("c7-1795303839084-0", "c7-1795303839084-0"), ("lilei", "lilei"), ("13800138000", "…"), ("a@example.com", "…"),
     ("tel:+86138", "…"), ("王芳", "…")],
)  # fmt: skip
def test_only_ids_and_names_are_written_down(part: str, told: str) -> None:
    """A part of a path that could be a number or an address of somebody is left out."""
    assert shown(part) == told
