"""Signing in with a provider, against a strict one that can lie."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from joserfc.jwk import ECKey

import hub as root
from inbox.oidc import AGAIN, Away, safe
from tests.browsers import Answered, Browser
from tests.hubs import Stage, configuration, running, served, write
from tests.provider import CLIENT, SECRET, Provider

CHANNELS = "  site-chat: {kind: webchat}"


@dataclass
class World:
    """A hub, its provider and a browser."""

    stage: Stage
    provider: Provider
    browser: Browser

    async def sign_in(self) -> Answered:
        """Go to the provider, agree, come back."""
        sent = await self.browser.call("GET", "/session/oidc/company")
        assert sent.status == 302
        return await self.back(self.provider.authorize(sent.headers["Location"]))

    async def back(self, address: str) -> Answered:
        """Come back from the provider, whatever public address the hub believes to have."""
        path = address.partition("/api/v1")[2]
        return await self.browser.call("GET", path)


@pytest.fixture
async def world(store_url: str, tmp_path: Path) -> AsyncIterator[World]:
    provider = Provider()
    async with served(provider.app()) as base:
        provider.base = base
        provider.claims = {"email": "lilei@example.com", "email_verified": True}
        company = f"{{name: 公司帐号, issuer: '{base}', client_id: '{CLIENT}', client_secret: '{SECRET}'}}"
        text = configuration(CHANNELS) + f"people: {{oidc: {{company: {company}}}}}\n"
        async with running(store_url, write(tmp_path, text)) as stage:
            await stage.api("POST", "/people", {"id": "lilei", "role": "agent"})
            yield World(stage, provider, Browser(stage))


async def test_who_the_provider_knows_is_let_in(world: World) -> None:
    """The agent whose verified mail address it is; the session is like any other."""
    ways = (await world.browser.call("GET", "/session/ways")).body
    assert [{"id": "company", "name": "公司帐号", "url": "/api/v1/session/oidc/company"}] == ways["providers"]
    done = await world.sign_in()
    assert (302, "/console/") == (done.status, done.headers["Location"])
    me = (await world.browser.call("GET", "/session")).body
    assert ("lilei", "agent", "company") == (me["id"], me["role"], me["way"])
    assert world.provider.faults == []
    assert "HttpOnly" in done.cookies["huiliu"]
    assert "Max-Age=0" in done.cookies["huiliu-oidc"]


NOW = 1_700_000_000
LIES: list[tuple[str, dict[str, Any]]] = [
    ("an unsigned token", {"signature": "none"}),
    ("the public key as a shared secret", {"signature": "hmac"}),
    ("another key of the same name", {"signature": "other"}),
    ("a cut signature", {"signature": "cut"}),
    ("another issuer", {"claims": {"iss": "https://evil.example"}}),
    ("for another client", {"claims": {"aud": "another"}}),
    ("for several, made out to another", {"claims": {"aud": [CLIENT, "another"], "azp": "another"}}),
    ("for several, made out to nobody", {"claims": {"aud": [CLIENT, "another"]}}),
    ("another sign-in's nonce", {"claims": {"nonce": "x" * 32}}),
    ("no nonce", {"claims": {"nonce": None}}),
    ("too old", {"claims": {"exp": NOW}}),
    ("from the future", {"claims": {"iat": 9_000_000_000}}),
    ("no end", {"claims": {"exp": None}}),
    ("another provider's answer", {"iss parameter": "https://evil.example"}),
]


@pytest.mark.parametrize("lie", [lie for _, lie in LIES], ids=[name for name, _ in LIES])
async def test_a_word_that_does_not_hold_is_refused(world: World, lie: dict[str, Any]) -> None:
    """Whatever is wrong with it, nobody is signed in, and the page at home says so."""
    world.provider.lie = lie
    done = await world.sign_in()
    assert (302, "/console/#sign-in=refused") == (done.status, done.headers["Location"])
    assert "huiliu" not in world.browser.cookies


@pytest.mark.parametrize(
    "claims",
    [{"email": "stranger@example.com"}, {"email_verified": False}, {"email_verified": None}, {"email": ""}],
    ids=["a stranger", "not verified", "not said", "no address"],
)
async def test_who_is_nobody_here_is_not_let_in(world: World, claims: dict[str, Any]) -> None:
    """A true word about somebody who has not been added, or a mail address that anybody could claim."""
    world.provider.claims |= claims
    assert "/console/#sign-in=unknown_person" == (await world.sign_in()).headers["Location"]


async def test_who_is_locked_out_stays_out(world: World) -> None:
    """A disabled person is nobody."""
    await world.stage.api("PUT", "/people/lilei", {"disabled": True})
    assert "/console/#sign-in=unknown_person" == (await world.sign_in()).headers["Location"]


async def test_a_sign_in_is_one_browsers_and_good_once(world: World) -> None:
    """Somebody else's answer is worth nothing in my browser, nor is one that was used, nor an invented one."""
    sent = await world.browser.call("GET", "/session/oidc/company")
    address = world.provider.authorize(sent.headers["Location"])
    victim = World(world.stage, world.provider, Browser(world.stage))
    assert "/console/#sign-in=expired" == (await victim.back(address)).headers["Location"]
    assert "/console/#sign-in=expired" == (await world.back(address)).headers["Location"]
    for query in ("", "?state=x&code=y", "?code=y"):
        answered = await world.browser.call("GET", f"/session/oidc/company/callback{query}")
        assert "/console/#sign-in=expired" == answered.headers["Location"]
    sent = await world.browser.call("GET", "/session/oidc/company")
    state = sent.headers["Location"].partition("&state=")[2].partition("&")[0]
    refused = await world.browser.call("GET", f"/session/oidc/company/callback?error=access_denied&state={state}")
    assert "/console/#sign-in=refused" == refused.headers["Location"]
    assert 404 == (await world.browser.call("GET", "/session/oidc/nobody")).status


async def test_new_keys_of_the_provider_are_found(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A provider that changes its keys is asked again, not too often; elliptic ones will do."""
    assert "/console/" == (await world.sign_in()).headers["Location"]
    world.provider.key = ECKey.generate_key("P-256", parameters={"kid": "two"})
    later = root.now_ms() + 2 * AGAIN
    monkeypatch.setattr(root, "now_ms", lambda: later)
    assert "/console/" == (await world.sign_in()).headers["Location"]


@pytest.mark.parametrize(
    "description",
    [
        {"issuer": "https://evil.example"},
        {"token_endpoint": "http://evil.example/token"},
        {"jwks_uri": "http://evil.example/keys"},
        {"authorization_endpoint": 7},
    ],
)
async def test_a_provider_that_is_not_itself_is_away(world: World, description: dict[str, Any]) -> None:
    """Another name, or a way that is not encrypted: nobody is sent there."""
    world.provider.lie = {"description": description}
    sent = await world.browser.call("GET", "/session/oidc/company")
    assert "/console/#sign-in=provider_away" == sent.headers["Location"]


@pytest.mark.parametrize(
    ("address", "good"),
    [
        ("https://login.example.com", True), ("http://127.0.0.1:1", True), ("http://localhost:1", True),
        ("http://[::1]:1", True), ("http://login.example.com", False), ("http://127.0.0.1.evil.example", False),
        ("file:///etc/passwd", False), ("", False),
    ],
)  # fmt: skip
def test_only_encrypted_ways_are_taken(address: str, good: bool) -> None:
    """Https, or this machine."""
    if good:
        safe(address)
    else:
        with pytest.raises(Away):
            safe(address)
