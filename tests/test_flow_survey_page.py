"""The survey page over HTTP: whoever only looks never votes, and each invitation counts once."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import aiohttp
import pytest

from outbox.survey_words import WORDS
from tests.backroom import Clock
from tests.hubs import Stage, until
from tests.survey_stage import CSAT, asked, asking, listed

FORM = re.compile(r'name="(_\w+)" value="([^"]*)"')
VALUES = re.compile(r"\{(\w+)\}")
LINK = re.compile(r'href="([^"]+)"')
SCANNERS = [
    # What mail gateways, chat previews and prefetchers send: method, headers.
    ("HEAD", {"User-Agent": "Mozilla/5.0 (compatible; MSIE 9.0; Windows NT 6.1; Trident/5.0)"}),
    ("GET", {"User-Agent": "Mozilla/5.0 (Windows NT 10.0; Win64; x64) SafeLinks"}),
    ("GET", {"User-Agent": "facebookexternalhit/1.1", "Range": "bytes=0-65535"}),
    ("GET", {"Purpose": "prefetch", "Sec-Purpose": "prefetch;prerender", "Sec-Fetch-Site": "none"}),
    ("OPTIONS", {"Origin": "https://gateway.example.com", "Access-Control-Request-Method": "POST"}),
    ("GET", {"User-Agent": "MicroMessenger/8.0 link-preview", "X-Moz": "prefetch"}),
    ("GET", {"User-Agent": "Slackbot-LinkExpanding 1.0", "Accept": "*/*"}),
    ("POST", {"User-Agent": "proofpoint-urldefense", "Content-Type": "application/x-www-form-urlencoded"}),
    ("PUT", {"User-Agent": "barracuda"}),
    ("DELETE", {"User-Agent": "curl/8"}),
]


@pytest.fixture
async def stage(store_url: str, tmp_path: Path) -> AsyncIterator[Stage]:
    async with asking(store_url, tmp_path) as stage:
        yield stage


async def opened(http: aiohttp.ClientSession, url: str, **headers: str) -> dict[str, str]:
    """Open a page of questions; return the hidden fields of its form."""
    async with http.get(url, headers=headers) as response:
        assert response.status == 200, await response.text()
        return {name: unescape(value) for name, value in FORM.findall(await response.text())}


async def sent(http: aiohttp.ClientSession, url: str, fields: dict[str, Any], **headers: str) -> tuple[int, str]:
    """Send a form and follow where it leads."""
    async with http.post(url, data=fields, headers=headers) as response:
        return response.status, await response.text()


async def test_a_thousand_scanners_cast_no_vote(stage: Stage) -> None:
    """Whatever looks at an invitation, with one-click scores, follows its links or posts without its form: 0 votes."""
    _, url = await asked(stage, "csat")
    async with aiohttp.ClientSession() as http:
        seen = set()

        async def scan(number: int) -> None:
            method, headers = SCANNERS[number % len(SCANNERS)]
            target = f"{url}?score={number % 5 + 1}" if number % 3 else url
            body = {"score": "5"} if method == "POST" else None
            async with http.request(method, target, headers=headers, data=body, allow_redirects=True) as response:
                seen.add((method, response.status))
                text = await response.text(errors="replace")
            if number % 50 == 1:  # and everything that the page leads to
                for link in LINK.findall(text):
                    async with http.get(urljoin(url, unescape(link))) as response:
                        await response.read()

        for start in range(0, 1000, 40):
            await asyncio.gather(*(scan(number) for number in range(start, start + 40)))

        assert await listed(stage, "csat", "responses") == []
        assert ["sent"] == [one["state"] for one in await listed(stage, "csat", "invitations")]
        assert {("HEAD", 200), ("GET", 200), ("OPTIONS", 405), ("POST", 403), ("PUT", 405), ("DELETE", 405)} == seen
        fields = await opened(http, url)  # the customer still can
        status, text = await sent(http, url, {**fields, "score": "4"})
        assert (200, True) == (status, "已收到" in text)
    assert [4] == [one["answers"][0]["value"] for one in await listed(stage, "csat", "responses")]


async def test_a_one_click_score_is_only_preselected(stage: Stage) -> None:
    """The address in a mail opens the page with its score chosen; only sending the form makes it an answer."""
    _, url = await asked(stage, "csat")
    async with aiohttp.ClientSession() as http, http.get(f"{url}?score=2") as response:
        text = await response.text()

    assert re.findall(r'value="(\d)" checked', text) == ["2"]
    assert await listed(stage, "csat", "responses") == []


async def test_each_invitation_counts_once(stage: Stage) -> None:
    """A second tap changes nothing, a second form is kept as a duplicate that does not count, and says so."""
    _, url = await asked(stage, "csat")
    async with aiohttp.ClientSession() as http:
        first, second = await opened(http, url), await opened(http, url)
        assert 200 == (await sent(http, url, {**first, "score": "5", "comment": "好"}))[0]
        assert 200 == (await sent(http, url, {**first, "score": "1"}))[0]
        assert 409 == (await sent(http, url, {**second, "score": "1"}))[0]
        async with http.get(url) as response:
            assert 410 == response.status
            assert "已经回答过" in await response.text()

    found = await listed(stage, "csat", "responses")
    assert [(5, True, []), (1, False, ["duplicate"])] == sorted(
        ((one["answers"][0]["value"], one["valid"], one["flags"]) for one in found), reverse=True
    )


@pytest.mark.parametrize(
    ("fields", "headers", "status"),
    [
        ({"_form": ""}, {}, 403),
        ({"_form": "forged"}, {}, 403),
        ({}, {"Origin": "https://evil.example.com"}, 403),
        ({}, {"Origin": "null"}, 403),
        ({}, {"Sec-Fetch-Site": "cross-site"}, 403),
        ({"score": "6"}, {}, 422),
        ({"score": ""}, {}, 422),
        ({"score": "５"}, {}, 422),
        ({"comment": "x" * 2001}, {}, 422),
    ],
)
async def test_a_form_must_be_ours_and_whole(
    stage: Stage, fields: dict[str, str], headers: dict[str, str], status: int
) -> None:
    """A form without our page's mark, from another site, or with an answer that is none, records nothing."""
    _, url = await asked(stage, "csat")
    async with aiohttp.ClientSession() as http:
        own = await opened(http, url)
        assert status == (await sent(http, url, {**own, "score": "5", **fields}, **headers))[0]

    assert await listed(stage, "csat", "responses") == []


async def test_a_form_serves_its_own_invitation_only(stage: Stage) -> None:
    """What came with one customer's page cannot be sent for another."""
    _, mine = await asked(stage, "csat", "a-visitor1")
    _, theirs = await asked(stage, "csat", "a-visitor2")
    async with aiohttp.ClientSession() as http:
        assert 403 == (await sent(http, theirs, {**await opened(http, mine), "score": "1"}))[0]

    assert await listed(stage, "csat", "responses") == []


@pytest.mark.parametrize(
    ("accept", "lang", "given"),
    [
        ("en-US,en;q=0.9", "en", ""),
        ("zh-TW", "zh-CN", ""),
        ("fr", "zh-CN", ""),
        ("en", "zh-CN", "zh"),
        ("zh", "en", "en"),
    ],
)
async def test_it_speaks_the_readers_language(stage: Stage, accept: str, lang: str, given: str) -> None:
    """The contact's language goes before the browser's, and the page can be switched."""
    _, url = await asked(stage, "csat", language=given)
    async with aiohttp.ClientSession() as http:
        async with http.get(url, headers={"Accept-Language": accept}) as response:
            text = await response.text()
            policy = response.headers["Content-Security-Policy"]
        assert f'<html lang="{lang}">' in text
        async with http.get(f"{url}?lang={'en' if lang == 'zh-CN' else 'zh'}") as response:
            assert f'<html lang="{lang}">' not in await response.text()

    assert policy.startswith("default-src 'none'; style-src 'self'; form-action 'self'")
    assert "<script" not in text
    assert not re.search(r'(?:src|href)="(?:https?:)?//', text)


@pytest.mark.parametrize("tail", ["nonsense", "i0-000000000000000000000000.AAAA", "", "x" * 4000])
async def test_a_page_that_is_not_there(stage: Stage, tail: str) -> None:
    """Whatever is no invitation's address is not found, without a word about why."""
    async with aiohttp.ClientSession() as http, http.get(f"{stage.base}/s/{tail}") as response:
        assert 404 == response.status


async def test_an_invitation_ends(store_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After its time the page says so with 410, and a form that was open takes no answer any more."""
    clock = Clock()
    monkeypatch.setattr("hub.now_ms", clock)
    async with asking(store_url, tmp_path, CSAT.replace("cool_down: null", "cool_down: null\n  expires: 1h")) as stage:
        invitation, url = await asked(stage, "csat")
        async with aiohttp.ClientSession() as http:
            fields = await opened(http, url)
            clock.offset += 3_600_000

            async def over() -> bool:
                return bool((await listed(stage, "csat", "invitations"))[0]["state"] == "expired")

            await until(over)
            async with http.get(url) as response:
                assert 410 == response.status
            assert 410 == (await sent(http, url, {**fields, "score": "5"}))[0]
        assert await listed(stage, "csat", "responses") == []
        assert invitation


async def test_careless_answers_are_flagged(store_url: str, tmp_path: Path) -> None:
    """Three scores alike, sent as fast as a machine can, count, but carry their flags."""
    grid = "\n".join(f"    - {{id: q{number}, kind: score, text: Q{number}}}" for number in range(4))
    survey = f"{CSAT}  kind: custom\n  questions:\n{grid}\n"
    async with asking(store_url, tmp_path, survey) as stage:
        _, url = await asked(stage, "csat")
        async with aiohttp.ClientSession() as http:
            fields = await opened(http, url)
            assert 200 == (await sent(http, url, {**fields, **{f"q{number}": "3" for number in range(4)}}))[0]
        [one] = await listed(stage, "csat", "responses")

    assert (["straight_lining", "too_fast"], True) == (sorted(one["flags"]), one["valid"])


def test_the_texts_of_both_languages_are_the_same_ones() -> None:
    """What is said in Chinese is said in English too, with the same values in it."""
    assert WORDS["zh"].keys() == WORDS["en"].keys()
    for name, text in WORDS["zh"].items():
        assert set(VALUES.findall(text)) == set(VALUES.findall(WORDS["en"][name])), name
