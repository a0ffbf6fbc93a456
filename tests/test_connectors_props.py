"""What the contract suite is made of: memory in one process, kits, the scripted platform, and finding leaks."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import aiohttp
import pytest
from pydantic import BaseModel

from connectors.base import Media, Memory, Options, SecretStr
from connectors.testing import (
    NOW,
    Fault,
    InMemory,
    Leaving,
    Platform,
    Reply,
    attachment,
    closed_port,
    kit,
    leaks,
    secrets_of,
    session,
    webhook_call,
)


async def test_memory_forgets_in_time() -> None:
    """A value is there until its time is over, or until it is forgotten."""
    now = 1000
    memory = InMemory(lambda: now)
    await memory.put("a", "1", ttl=2)
    await memory.put("b", "2")
    now = 2999
    before = await memory.get("a")
    now = 3000
    after = await memory.get("a")
    await memory.forget("b")
    await memory.forget("never there")

    assert (before, after, await memory.get("b"), await memory.get("c")) == ("1", None, None, None)


async def test_memory_locks_out_others() -> None:
    """Of many tasks one holds a name; another name is free; an exception gives it back."""
    memory: Memory = InMemory()
    inside, most = 0, 0

    async def work() -> None:
        nonlocal inside, most
        async with memory.lock("token", seconds=5):
            inside += 1
            most = max(most, inside)
            async with memory.lock("other", seconds=5):
                await asyncio.sleep(0)
            inside -= 1

    async with asyncio.timeout(5), asyncio.TaskGroup() as tasks:
        for _ in range(20):
            tasks.create_task(work())
    with pytest.raises(ValueError, match="x"):
        async with memory.lock("token", seconds=5):
            raise ValueError("x")
    async with asyncio.timeout(5), memory.lock("token", seconds=5):
        pass

    assert (inside, most) == (0, 1)


async def test_memory_takes_a_lock_from_a_dead_holder() -> None:
    """After its seconds a name is given to the next, and the first one's giving back does not disturb that."""
    memory: Memory = InMemory()
    order: list[str] = []
    second_in, first_out = asyncio.Event(), asyncio.Event()

    async def first() -> None:
        async with memory.lock("token", seconds=0.05):
            order.append("first in")
            await second_in.wait()
        order.append("first out")
        first_out.set()

    async def second() -> None:
        async with memory.lock("token", seconds=5):
            order.append("second in")
            second_in.set()
            await first_out.wait()
            third = asyncio.create_task(take())
            await asyncio.sleep(0)
            assert not third.done()
        await third

    async def take() -> None:
        async with memory.lock("token", seconds=5):
            order.append("third in")

    async with asyncio.timeout(5), asyncio.TaskGroup() as tasks:
        tasks.create_task(first())
        await asyncio.sleep(0)
        tasks.create_task(second())

    assert order == ["first in", "second in", "first out", "third in"]


async def test_memory_boxes_keep_order_and_wait() -> None:
    """Items get positions from 1, repeats keep theirs, a reader waits for the first, and boxes end in time."""
    now = 0
    memory: Memory = InMemory(lambda: now)
    async with asyncio.timeout(5), asyncio.TaskGroup() as tasks:
        waiting = tasks.create_task(memory.wait("box", 0, timeout=4))
        await asyncio.sleep(0)
        first = await memory.post("box", "x", "one", keep=10)
    again = await memory.post("box", "x", "one more", keep=10)
    second = await memory.post("box", "y", "two", keep=10)

    assert (first, again, second) == (1, 1, 2)
    assert waiting.result() == [(1, "one")]
    assert await memory.read("box", 0) == [(1, "one"), (2, "two")]
    assert await memory.wait("box", 1, timeout=4) == [(2, "two")]
    assert await memory.wait("box", 2, timeout=0.01) == []
    now = 10_000
    assert await memory.read("box", 0) == []
    assert await memory.post("box", "z", "three", keep=10) == 3


async def test_kit_without_a_session_forbids_the_network() -> None:
    """A test that gives no session notices a request; the clock stands still; memory is fresh."""
    given = kit(channel="shop", public_url="https://x.example")
    with pytest.raises(AssertionError, match=r"http\.post"):
        await given.http.post("http://127.0.0.1/")

    assert (given.channel, given.now(), given.public_url) == ("shop", NOW, "https://x.example")
    assert await given.memory.get("x") is None


async def test_platform_answers_and_fails_as_told() -> None:
    """The scripted platform records requests, gives replies, and hangs or cuts within a test's patience."""
    script: Iterator[Reply | Fault] = iter([Reply(201, "ok", {"X-A": "b"}), Fault.HANG, Fault.CUT, Fault.HALF])
    leaving = Leaving()
    async with Platform(lambda _: next(script), leaving) as platform, session(platform) as http:
        async with http.post(f"{platform.url}/p?q=1", data={"a": "ü", "b": ""}) as response:
            assert (response.status, await response.text(), response.headers["X-A"]) == (201, "ok", "b")
        await leaving()
        with pytest.raises(TimeoutError):
            await http.post(platform.url, json={"x": 1})
        with pytest.raises(aiohttp.ServerDisconnectedError):
            await http.post(platform.url)
        async with http.post(platform.url) as response:
            with pytest.raises(aiohttp.ClientPayloadError):
                await response.read()

    assert [request.left for request in platform.requests] == [0, 1, 1, 1]
    assert (platform.requests[0].path, platform.requests[0].query["q"]) == ("/p", "1")
    assert platform.requests[0].form() == [("a", "ü"), ("b", "")]
    assert platform.requests[1].json() == {"x": 1}


async def test_closed_port_is_closed() -> None:
    """Nobody listens on the port that the suite uses for refused connections."""
    with pytest.raises(OSError, match=r"refused|[Cc]onnect"):
        await asyncio.open_connection("127.0.0.1", closed_port())


def test_leaks_are_found_in_the_whole_chain() -> None:
    """A word is found in message, arguments, cause and context, also quoted and in base64, and in loops."""
    inner = ValueError("x", {"url": "https://a/?t=s%C3%A9cret+1"})
    error = RuntimeError("YS10b2tlbg==")
    error.__cause__ = inner
    inner.__context__ = error

    assert leaks(error, ["sécret", "a-token", "absent"]) == ["sécret", "a-token"]


def test_secrets_are_found_however_deep() -> None:
    """Nested options and lists of secrets count; empty ones and plain text do not."""

    class Inner(BaseModel):
        password: SecretStr
        user: str = "user"

    class Outer(Options):
        inner: Inner
        keys: tuple[SecretStr, ...]
        none: SecretStr | None = None

    found = secrets_of(Outer.model_validate({"inner": {"password": "p1"}, "keys": ["k1", "", "k2"]}))

    assert found == ("p1", "k1", "k2")


def test_calls_look_up_headers_in_any_case_and_split_the_url() -> None:
    """A built call is like one from the ingress."""
    call = webhook_call(b"x", url="https://hub.example.com/hooks/a?b=%20c", headers={"X-Sig": "1"})

    assert (call.headers["x-sig"], call.path, dict(call.query)) == ("1", "/hooks/a", {"b": " c"})


async def test_attachment_reads_its_bytes() -> None:
    """A built attachment knows its size and has a public address."""
    file = attachment("ü.jpg", data=b"123")

    assert (file.size, await file.read(), file.url) == (3, b"123", "https://hub.example.com/media/%C3%BC.jpg")
    assert Media(file.type).type == "image/jpeg"
