"""People of a running hub: how they get in, what they carry, and how they are put out again."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pyotp
import pytest

import hub as root
from inbox.gate import local
from inbox.passwords import Weak, check
from inbox.sign_in import TRIES, network
from tests.browsers import PASSWORD, Browser, add, signed_in
from tests.hubs import Stage, configuration, running, write

ANOTHER = "another one entirely"
CHANNELS = "  site-chat: {kind: webchat}"


@pytest.fixture
async def stage(store_url: str, tmp_path: Path) -> AsyncIterator[Stage]:
    async with running(store_url, write(tmp_path, configuration(CHANNELS))) as made:
        yield made


async def test_the_first_person_is_added_by_whoever_runs_the_hub(stage: Stage, tmp_path: Path) -> None:
    """There is no page for a first visitor: an admin's token adds somebody, a link sets the password once."""
    stranger = Browser(stage)
    assert (await stranger.call("POST", "/people", {"id": "boss", "role": "admin"})).status == 401
    assert (await stranger.enter("boss")).status == 401
    token = (tmp_path / "var" / "cli.token").read_text()
    made = await stage.api("POST", "/people", {"id": "boss", "role": "admin", "name": "老板"}, token=token)
    assert made["link"].endswith(f"/console/#welcome={made['token']}")
    assert (made["person"]["password"], made["person"]["agent"]) == (False, None)
    assert (await stranger.enter("boss", "")).status == 401

    body = {"token": made["token"], "password": PASSWORD}
    assert (await stranger.call("POST", "/session/password", body)).body == {"id": "boss", "state": "ready"}
    assert (await stranger.call("POST", "/session/password", body)).status == 404
    entered = await stranger.enter("boss")
    assert (200, "boss", "老板", "admin", None) == (
        entered.status, *(entered.body[name] for name in ("id", "name", "role", "agent")),
    )  # fmt: skip
    assert (await stranger.call("GET", "/people")).status == 200


async def test_the_tools_token_opens_from_this_machine_only() -> None:
    """The command line's token is worth nothing to another machine, even to one that has read it."""

    class Call:
        """As much of a request as says from where it comes."""

        def __init__(self, peer: Any, own: Any) -> None:
            self.known = {"peername": peer, "sockname": own}
            self.transport = self

        def get_extra_info(self, name: str) -> Any:
            return self.known[name]

    here = ("127.0.0.1", 8080)
    for peer, own, expected in (
        (("127.0.0.1", 5), here, True), (("::1", 5, 0, 0), ("::1", 8080, 0, 0), True),
        (("10.0.0.5", 5), ("10.0.0.5", 80), True),
        (("::ffff:127.0.0.1", 5, 0, 0), ("::ffff:127.0.0.1", 80, 0, 0), True), ("", "/run/hub.sock", True),
        (("10.0.0.6", 5), ("10.0.0.5", 80), False), (("2001:db8::1", 5, 0, 0), ("2001:db8::2", 80, 0, 0), False),
    ):  # fmt: skip
        assert local(Call(peer, own)) is expected  # type: ignore[arg-type]


async def test_an_agent_signs_in_and_works_in_their_own_name(stage: Stage) -> None:
    """A person who is a configured agent answers as that agent; the session says who, what, which teams."""
    lilei = await signed_in(stage, "lilei", "agent")
    me = (await lilei.call("GET", "/session")).body
    assert ("lilei", "person", "李雷", "lilei", "agent", ["aftersales", "complaints"], "zh-CN", False) == tuple(
        me[name] for name in ("id", "kind", "name", "agent", "role", "teams", "locale", "totp")
    )
    done = await lilei.call("PUT", "/session", {"locale": "en"})
    assert (200, "en") == (done.status, done.body["locale"])
    done = await lilei.call("PUT", "/agents/lilei/presence", {"state": "away"})
    assert (200, "away") == (done.status, done.body["presence"]["state"])
    assert (await lilei.call("PUT", "/agents/hanmeimei/presence", {"state": "away"})).status == 403


async def test_who_is_no_agent_cannot_have_the_role(stage: Stage) -> None:
    """The role agent is for configured agents; names are names; nobody is there twice."""
    for body, status in (
        ({"id": "nobody", "role": "agent"}, 422),
        ({"id": "Bad Name", "role": "admin"}, 422),
        ({"id": "x" * 64, "role": "admin"}, 422),
        ({"id": "boss", "role": "king"}, 422),
        ({"id": "boss", "role": "admin", "name": "a\u202eb"}, 422),
        ({"id": "boss", "role": "admin"}, 201),
        ({"id": "boss", "role": "readonly"}, 409),
    ):
        await stage.api("POST", "/people", body, status=status)
    await stage.api("GET", "/people/nobody", status=404)
    await stage.api("PUT", "/people/boss", {"role": "agent"}, status=422)


async def test_the_cookie_is_the_browsers_alone(stage: Stage, store_url: str, tmp_path: Path) -> None:
    """No script reads it, no other site sends it, behind https it never leaves https; the store keeps its hash only."""
    browser = Browser(stage)
    await add(stage, "boss", "admin")
    cookie = (await browser.enter("boss")).cookies["huiliu"]
    assert {"HttpOnly", "Path=/", "SameSite=Lax"} <= set(cookie.split("; "))
    assert "Secure" not in cookie
    secret = browser.cookies["huiliu"]
    assert hashlib.sha256(secret.encode()).hexdigest() in str(await stage.hub.store.do("people", "KEYS", "*"))
    for name in await stage.hub.store.do("people", "KEYS", "hl:{people}:*"):
        kind = await stage.hub.store.do("people", "TYPE", name)
        read = {"hash": "HGETALL", "set": "SMEMBERS", "string": "GET"}[kind]
        assert secret not in name + str(await stage.hub.store.do("people", read, name))
        assert PASSWORD not in str(await stage.hub.store.do("people", read, name))

    text = configuration(CHANNELS, public_url="https://hub.example.com")
    async with running(store_url, write(tmp_path / "https", text), index=1) as other:
        cookie = (await Browser(other).enter("boss")).cookies["__Host-huiliu"]
        assert {"HttpOnly", "Secure", "Path=/", "SameSite=Lax"} <= set(cookie.split("; "))
        assert "Domain" not in cookie


async def test_sessions_end(stage: Stage) -> None:
    """Signing out, ending one, a new password, being disabled or dropped: each ends at once what it should."""
    boss = await signed_in(stage, "boss", "admin")
    await add(stage, "lilei", "agent")
    first, second, third = Browser(stage), Browser(stage), Browser(stage)
    for one in (first, second, third):
        assert (await one.enter("lilei")).status == 200
    listed = (await first.call("GET", "/sessions")).body["items"]
    assert (3, 1) == (len(listed), sum(one["current"] for one in listed))

    assert (await third.call("DELETE", "/session")).body["state"] == "ended"
    third.cookies = {"huiliu": "x"}
    assert (await third.call("GET", "/session")).status == 401
    [other] = [one for one in (await first.call("GET", "/sessions")).body["items"] if not one["current"]]
    assert (await boss.call("DELETE", f"/sessions/{other['id']}")).status == 404
    assert (await first.call("DELETE", f"/sessions/{other['id']}")).status == 200
    assert (await second.call("GET", "/session")).status == 401

    await second.enter("lilei")
    wrong = await first.call("PUT", "/session/password", {"current": "nothing like it", "password": ANOTHER})
    assert wrong.status == 403
    done = await first.call("PUT", "/session/password", {"current": PASSWORD, "password": ANOTHER})
    assert done.status == 200
    assert [401, 200] == [(await one.call("GET", "/session")).status for one in (second, first)]
    assert (await second.enter("lilei")).status == 401
    assert (await second.enter("lilei", ANOTHER)).status == 200

    assert {"id": "lilei", "ended": 2} == (await boss.call("DELETE", "/people/lilei/sessions")).body
    assert 401 == (await first.call("GET", "/session")).status
    await first.enter("lilei", ANOTHER)
    assert (await boss.call("PUT", "/people/lilei", {"disabled": True})).body["disabled"]
    assert [401, 401] == [
        (await first.call("GET", "/session")).status,
        (await first.enter("lilei", ANOTHER)).status,
    ]
    await boss.call("PUT", "/people/lilei", {"disabled": False})
    assert 200 == (await first.enter("lilei", ANOTHER)).status
    assert (await boss.call("DELETE", "/people/lilei")).status == 200
    assert 401 == (await first.call("GET", "/session")).status
    for change in ({"disabled": True}, {"role": "readonly"}):
        assert 409 == (await boss.call("PUT", "/people/boss", change)).status
    assert 409 == (await boss.call("DELETE", "/people/boss")).status


async def test_a_role_that_is_taken_away_is_gone_at_once(stage: Stage) -> None:
    """Rights are read with every call, not when somebody signed in; every process sees it."""
    boss = await signed_in(stage, "boss", "admin")
    await stage.api("PUT", "/people/boss", {"role": "readonly"})
    assert (await boss.call("GET", "/people")).status == 403


async def test_sessions_end_by_themselves(store_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is not used for a while ends, and everything ends after its time."""
    clock = [root.now_ms()]
    monkeypatch.setattr(root, "now_ms", lambda: clock[0])
    text = configuration(CHANNELS) + "people: {idle: 1h, lasts: 3h}\n"
    async with running(store_url, write(tmp_path, text)) as stage:
        boss, idle = await signed_in(stage, "boss", "readonly"), Browser(stage)
        await idle.enter("boss")
        for minutes in range(50, 171, 40):
            clock[0] += 40 * 60_000
            assert (await boss.call("GET", "/session")).status == 200, minutes
        assert (await idle.call("GET", "/session")).status == 401
        clock[0] += 30 * 60_000
        assert (await boss.call("GET", "/session")).status == 401


async def test_guessing_is_slow(stage: Stage) -> None:
    """Tries are counted per name before they are made, so that many at once are no more; unknown names the same."""
    await add(stage, "boss", "admin")
    for name in ("boss", "nobody"):
        done = await asyncio.gather(*(Browser(stage).enter(name, f"guess number {n}") for n in range(13)))
        assert sorted({one.status for one in done}) == [401, 429]
        assert sum(one.status == 401 for one in done) == TRIES["name"][1]
        [last] = [one for one in done if one.status == 429][:1]
        assert 1 <= int(last.headers["Retry-After"]) <= 30
        assert (await Browser(stage).enter(name)).status == 429
    told = {json.dumps(one.body) for one in done if one.status == 401}
    assert len(told) == 1  # the same words for who is there and who is not


async def test_an_address_that_guesses_many_names_is_stopped(stage: Stage) -> None:
    """Changing the name does not help: one address has so many tries."""
    burst = TRIES["remote"][1]
    done = await asyncio.gather(*(Browser(stage).enter(f"name-{n}", "x") for n in range(burst + 5)))
    assert 5 == sum(one.status == 429 for one in done)


def test_a_home_is_one_address() -> None:
    """IPv6 gives every home so many addresses that only the network counts."""
    assert network("2001:db8:1:2:3::4") == network("2001:db8:1:2:ffff::") == "2001:db8:1:2::"
    assert network("::ffff:10.0.0.1") == network("10.0.0.1") == "10.0.0.1"
    assert network("nonsense") == "nonsense"


@pytest.mark.parametrize(
    "password", ["short", "aaaaaaaaaaaa", "lilei12345", "1234567890123", "lileililei", "x" * 257, "password123"]
)
def test_passwords_that_would_be_tried_first(password: str) -> None:
    """Short, repeated, only digits, the name itself, well-known: refused."""
    with pytest.raises(Weak):
        check(password, "lilei")


@pytest.mark.parametrize("password", [PASSWORD, "汇流客服的密码很长吧", "zXc9!kk2qq"])
def test_passwords_that_will_do(password: str) -> None:
    """Several words in any language."""
    check(password, "lilei")


async def test_a_second_factor(stage: Stage) -> None:
    """Set up with a code, asked for from then on, each code and recovery code good once; an admin undoes it."""
    boss = await signed_in(stage, "boss", "admin")
    assert (await boss.call("POST", "/session/totp", {"password": "wrong one"})).status == 403
    made = await boss.call("POST", "/session/totp", {"password": PASSWORD})
    assert (201, True) == (made.status, made.body["url"].startswith("otpauth://totp/"))
    app = pyotp.TOTP(made.body["secret"])
    assert (await boss.call("PUT", "/session/totp", {"code": "000000x"})).status == 422
    recovery = (await boss.call("PUT", "/session/totp", {"code": app.now()})).body["recovery"]
    assert (10, True) == (len(set(recovery)), (await boss.call("GET", "/session")).body["totp"])

    other = Browser(stage)
    told = await other.enter("boss")
    assert (401, True) == (told.status, told.body["totp"])
    assert "totp" not in (await other.enter("boss", "wrong password")).body
    later = app.at(root.now_ms() // 1000 + 30)
    answers = await asyncio.gather(*(Browser(stage).enter("boss", totp=later) for _ in range(4)))
    assert [200, 401, 401, 401] == sorted(one.status for one in answers)
    answers = await asyncio.gather(*(Browser(stage).enter("boss", totp=recovery[0].upper()) for _ in range(3)))
    assert [200, 401, 401] == sorted(one.status for one in answers)
    assert 9 == (await stage.api("GET", "/people/boss"))["recovery"]
    assert (await stage.api("DELETE", "/people/boss/totp"))["totp"] is False
    assert (await other.enter("boss")).status == 200


async def test_programs_are_not_people(stage: Stage) -> None:
    """A token knows who it is and has no session, password or second factor to change."""
    me = await stage.api("GET", "/session")
    assert ("ops", "token", "admin", None, None) == tuple(me[one] for one in ("id", "kind", "role", "csrf", "until"))
    for method, path, body in (
        ("PUT", "/session/password", {"current": "a", "password": "b"}),
        ("DELETE", "/session", None),
        ("POST", "/session/totp", {"password": "a"}),
    ):
        await stage.api(method, path, body, status=409)


async def test_a_hub_may_take_no_passwords(store_url: str, tmp_path: Path) -> None:
    """Where people sign in with a provider only, a password is worth nothing."""
    text = configuration(CHANNELS) + "people: {passwords: false}\n"
    async with running(store_url, write(tmp_path, text)) as stage:
        await add(stage, "boss", "admin")
        assert (await Browser(stage).enter("boss")).status == 403
        assert (await Browser(stage).call("GET", "/session/ways")).body["password"] is False
