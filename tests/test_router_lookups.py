"""The existing tool is asked by real HTTP; however it misbehaves, an answer comes in time and nothing is raised."""

from __future__ import annotations

import asyncio
import gzip
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from config.lookups import Lookup
from router.lookups import BODY, FAILURES, MOST_ANSWERS, PAUSE, Orders
from tests.hubs import served
from tests.routing import message

SENDER = "tel:+8613800138000"
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Tool:
    """An order system: answers as the test says, and remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[web.Request] = []
        self.answer: Handler = self.fine
        self.app = web.Application()
        self.app.router.add_get("/{path:.*}", self.handle)
        self.hanging = asyncio.Event()
        self.released = asyncio.Event()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(request)
        return await self.answer(request)

    async def fine(self, _: web.Request) -> web.StreamResponse:
        return web.json_response({"data": {"status": "shipped", "amount": "599.00"}})

    async def hang(self, _: web.Request) -> web.StreamResponse:
        self.hanging.set()
        await self.released.wait()
        return web.Response()


class Stage:
    """The asker, a tool that it asks, and a clock that can be moved."""

    def __init__(self, tool: Tool, base: str, http: aiohttp.ClientSession) -> None:
        self.tool = tool
        self.time = 1000.0
        self.base = base
        self.lookup: Lookup | None = self.configured()
        self.orders = Orders(lambda: self.lookup, lambda: http, lambda: self.time)

    def configured(self, **more: Any) -> Lookup:
        return Lookup.model_validate(
            {
                "url": f"{self.base}/orders?phone={{sender.value}}",
                "token": "s3cret-token",
                "headers": {"X-Shop": "s3cret-header"},
                "timeout": "5s",
                "fields": {"status": "$.data.status", "amount": "$.data.amount"},
                "fallback": {"status": "unknown"},
                **more,
            }
        )

    async def ask(self, sender: str = SENDER) -> tuple[str, dict[str, Any]]:
        found = await self.orders.find(message("在吗", sender=sender), "")
        return found.outcome, dict(found.fields)


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    tool = Tool()
    async with served(tool.app) as base, aiohttp.ClientSession() as http:
        yield Stage(tool, base, http)
        tool.released.set()


FOUND = {"status": "shipped", "amount": "599.00"}
FALLBACK = {"status": "unknown"}


async def test_asks_as_configured(stage: Stage) -> None:
    """Address, token and headers go out as configured, and the fields come back."""
    assert await stage.ask() == ("found", FOUND)
    (asked,) = stage.tool.asked
    assert asked.path_qs == "/orders?phone=%2B8613800138000"
    assert asked.headers["Authorization"] == "Bearer s3cret-token"
    assert asked.headers["X-Shop"] == "s3cret-header"
    assert asked.headers["Accept"] == "application/json"


async def test_answers_are_used_again(stage: Stage) -> None:
    """The same question is asked once a minute; that there is no order is remembered as well."""
    assert [await stage.ask() for _ in range(2)] == [("found", FOUND), ("cached", FOUND)]
    stage.time += 61
    assert await stage.ask() == ("found", FOUND)
    stage.tool.answer = answering(web.json_response, {"data": None})
    assert [await stage.ask("tel:+1") for _ in range(2)] == [("none", {}), ("none", {})]
    assert len(stage.tool.asked) == 3


async def test_a_new_configuration_forgets_the_old_answers(stage: Stage) -> None:
    """After a reload nothing of the former tool is used; without a cache every question is asked."""
    await stage.ask()
    stage.lookup = stage.configured(cache=None)
    assert [await stage.ask() for _ in range(2)] == [("found", FOUND)] * 2
    stage.lookup = None
    assert await stage.ask() == ("unasked", {})


async def test_the_cache_has_a_limit(stage: Stage) -> None:
    """However many customers write, a fixed number of answers is kept: the latest used ones."""
    await stage.ask()
    tool = stage.orders._tool
    assert tool is not None
    (known,) = tool.answers.values()
    tool.answers.update({f"{number}": known for number in range(MOST_ANSWERS)})
    await stage.ask("tel:+1")

    assert len(tool.answers) == MOST_ANSWERS + 1


def answering(make: Callable[..., web.Response], *arguments: Any, **more: Any) -> Handler:
    async def handle(_: web.Request) -> web.StreamResponse:
        return make(*arguments, **more)

    return handle


def raw(body: bytes, status: int = 200, headers: dict[str, str] | None = None) -> Handler:
    sent = {"Content-Type": "application/json", **(headers or {})}
    return answering(web.Response, body=body, status=status, headers=sent)


async def endless(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "application/json"})
    await response.prepare(request)
    try:
        while True:
            await response.write(b" " * 65536)
    except (ConnectionError, aiohttp.ClientError):
        return response


async def dropped(request: web.Request) -> web.StreamResponse:
    assert request.transport is not None
    request.transport.close()
    return web.Response()


MISBEHAVIOUR = {
    "500": (raw(b"{}", 500), "failed"),
    "401": (raw(b"{}", 401), "failed"),
    "429": (raw(b"{}", 429), "failed"),
    "redirect": (raw(b"{}", 302, {"Location": "http://127.0.0.1:1/"}), "failed"),
    "no json": (answering(web.Response, text="<html>", content_type="text/html"), "failed"),
    "garbage": (raw(b"\xff\xfe{]"), "failed"),
    "empty": (raw(b""), "failed"),
    "deep": (raw(b"[" * 100_000), "failed"),
    "huge": (raw(b'"' + b"x" * BODY + b'"'), "failed"),
    "endless": (endless, "failed"),
    "bomb": (raw(gzip.compress(b" " * (10 << 20)), 200, {"Content-Encoding": "gzip"}), "failed"),
    "dropped": (dropped, "failed"),
    "404": (raw(b"{}", 404), "none"),
    "204": (answering(web.Response, status=204), "none"),
    "null": (raw(b"null"), "none"),
    "list": (raw(b"[1]"), "none"),
}


@pytest.mark.parametrize("name", MISBEHAVIOUR)
async def test_a_tool_that_misbehaves(stage: Stage, name: str, caplog: pytest.LogCaptureFixture) -> None:
    """Whatever it answers there is an outcome with the fallback, and neither token nor customer is logged."""
    stage.tool.answer, outcome = MISBEHAVIOUR[name]
    with caplog.at_level(logging.DEBUG):
        found = await stage.ask()

    assert found == (outcome, FALLBACK if outcome == "failed" else {})
    assert stage.orders.counts["shop-wechat", outcome] == 1
    said = [record.getMessage() for record in caplog.records if record.name not in ("aiohttp.access", "aiohttp.server")]
    assert [word for word in ("s3cret", "13800138000") for line in said if word in line] == []


async def test_a_tool_that_hangs(stage: Stage) -> None:
    """Many customers wait at once, and none of them longer than the configured time."""
    stage.tool.answer = stage.tool.hang
    stage.lookup = stage.configured(timeout="250ms")
    loop = asyncio.get_running_loop()
    began = loop.time()
    found = await asyncio.gather(*(stage.ask(f"tel:+{number}") for number in range(100)))

    assert set(map(str, found)) == {str(("timeout", FALLBACK))}
    assert loop.time() - began < 100 * 0.25


async def test_a_tool_that_is_not_there(stage: Stage) -> None:
    """Nobody listens at the address: the fallback holds."""
    stage.lookup = stage.configured(url="http://127.0.0.1:1/orders?phone={sender}")

    assert await stage.ask() == ("failed", FALLBACK)


async def test_a_tool_that_keeps_failing_is_left_in_peace(stage: Stage) -> None:
    """After some failures in a row nothing is asked for a while; then one question tries, and success ends it."""
    stage.lookup = stage.configured(timeout="5s")
    stage.tool.answer = raw(b"{}", 500)
    outcomes = [(await stage.ask())[0] for _ in range(FAILURES + 2)]
    assert outcomes == ["failed"] * FAILURES + ["refused"] * 2
    assert len(stage.tool.asked) == FAILURES

    stage.time += PAUSE
    assert [(await stage.ask())[0] for _ in range(2)] == ["failed", "refused"]
    stage.time += PAUSE
    stage.tool.answer = stage.tool.hang
    at_once = await asyncio.gather(*(stage.ask() for _ in range(10)))
    assert sorted(outcome for outcome, _ in at_once) == ["refused"] * 9 + ["timeout"]
    stage.time += PAUSE
    stage.tool.answer = stage.tool.fine
    assert [(await stage.ask(sender))[0] for sender in ("tel:+1", "tel:+2")] == ["found", "found"]


async def test_one_failure_is_forgotten(stage: Stage) -> None:
    """Failures count only in a row."""
    for _ in range(FAILURES):
        stage.tool.answer = raw(b"{}", 500)
        await stage.ask()
        stage.tool.answer = stage.tool.fine
        assert (await stage.ask())[0] in ("found", "cached")


async def test_nothing_to_ask_by(stage: Stage) -> None:
    """Without an address or a number nothing is asked."""
    assert await stage.ask("") == ("unasked", {})
    assert stage.tool.asked == []


async def test_a_customer_who_leaves_takes_the_question_along(stage: Stage) -> None:
    """A question that is cancelled stays cancelled, and is no failure of the tool."""
    stage.tool.answer = stage.tool.hang
    stage.lookup = stage.configured(timeout="9s")
    task = asyncio.create_task(stage.ask())
    await stage.tool.hanging.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert stage.orders._tool is not None
    assert stage.orders._tool.failures == 0
