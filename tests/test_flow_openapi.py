"""The API's description of itself: complete, true, and readable without any other host."""

from __future__ import annotations

import asyncio
import copy
import json
import os
import re
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from inbox.openapi import document, undescribed
from router.descriptions import DESCRIPTIONS
from tests.hubs import TEAMS, TOKEN, Stage, until
from tests.whole_shop import Shop, whole

pytestmark = pytest.mark.once

LONG = os.environ.get("HUILIU_LONG") == "1"
EXAMPLES = 200 if LONG else 1
SOME = 1 if LONG else 4
"""Of how many operations one is called with what does not fit: to make that up takes longer than all the rest."""

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
    response_headers_conformance,
]
FRAMING = {"content-length", "transfer-encoding", "connection", "host", "expect", "upgrade"}
"""Headers that make something else than a request of it; that is HTTP's business, not the API's."""

STREAMS = {"/api/v1/events"}
AUTHORIZED = {"Authorization": f"Bearer {TOKEN}"}


@pytest.fixture
async def stage(store_url: str, tmp_path: Path) -> AsyncIterator[Stage]:
    async with whole(store_url, tmp_path, TEAMS) as made:
        yield made


async def described(stage: Stage) -> dict[str, Any]:
    """Return the description as anybody gets it."""
    async with stage.http.get(f"{stage.base}/api/v1/openapi.json") as response:
        assert response.status == 200
        said: dict[str, Any] = await response.json()
        return said


def strict(said: dict[str, Any]) -> dict[str, Any]:
    """Return the description as if no field could ever be added, so that none is forgotten."""
    said = copy.deepcopy(said)
    for schema in said["components"]["schemas"].values():
        if "properties" in schema and schema.get("title") != "Problem":
            schema.setdefault("additionalProperties", False)
    return said


async def test_every_route_is_in_it(stage: Stage) -> None:
    """What the router has, the description has, with the role, and the other way round."""
    said = await described(stage)
    told = {
        (method.upper(), path.removeprefix("/api/v1"), one["x-role"])
        for path, methods in said["paths"].items()
        for method, one in methods.items()
    }
    assert told == {(one.method, one.path, one.role) for one in stage.hub.api().routes}
    names = [one["operationId"] for methods in said["paths"].values() for one in methods.values()]
    assert len(names) == len(set(names))


async def test_of_every_route_something_is_said(stage: Stage) -> None:
    """Each has a summary and schemas of what it takes and answers. A route that lacks them is named here."""
    routes = stage.hub.api().routes
    assert undescribed(routes, DESCRIPTIONS) == []
    known = {(one.method, one.path) for one in routes}
    assert sorted(set(DESCRIPTIONS) - known) == []


async def test_a_route_of_which_nothing_is_said_is_in_it(stage: Stage) -> None:
    """It appears all the same, with its roles, parameters and problems."""
    routes = stage.hub.api().routes
    said = document(routes, {}, "1")
    assert len(routes) == sum(len(methods) for methods in said["paths"].values())
    one = said["paths"]["/api/v1/conversations/{id}/trail"]["get"]
    assert "readonly" == one["x-role"]
    assert ["id"] == [each["name"] for each in one["parameters"]]


async def test_it_is_well_formed(stage: Stage) -> None:
    """References lead somewhere, schemas are schemas (2020-12), examples fit, templates name their parameters."""
    said = await described(stage)
    schemas = said["components"]["schemas"]
    for name in re.findall(r'"#/components/schemas/([^"]+)"', json.dumps(said)):
        assert name in schemas
    for schema in schemas.values():
        jsonschema.Draft202012Validator.check_schema(schema)
    for path, methods in said["paths"].items():
        for one in methods.values():
            given_ = {each["name"] for each in one.get("parameters", []) if each["in"] == "path"}
            assert given_ == set(re.findall(r"\{(\w+)\}", path))
            for content in one.get("requestBody", {}).get("content", {}).values():
                if "example" in content:
                    whole = {**content["schema"], "components": said["components"]}
                    jsonschema.validate(content["example"], whole)


async def stocked(stage: Stage) -> dict[str, list[str]]:
    """Fill a hub with one of each; return what names it, by the first part of a path and the name of the variable."""
    shop = Shop(stage)
    await shop.open("one", "我要退款")
    ids, rest = shop.ids["one"], await shop.rest()
    await stage.api("POST", "/people", {"id": "boss", "role": "admin"})
    [told, *_] = await until(shop.told)
    return {
        "conversations id": [ids["c"]],
        "messages id": [ids["m"]],
        "contacts id": [ids["k"]],
        "deliveries id": [ids["d"], ids["letter"]],
        "dead id": [ids["d"]],
        "drafts id": [ids["w"]],
        "campaigns id": [rest["campaigns"]],
        "surveys id": ["csat", "long"],
        "surveys response": [ids["r"]],
        "reports id": ["csat", "weekly"],
        "webhooks name": ["crm"],
        "webhooks id": [told["id"]],
        "templates name": ["thanks"],
        "shunted id": [rest["shunted"]],
        "people id": ["boss"],
        "agents id": ["lilei"],
        "routes id": [rest["routes"]],
        "docs file": ["docs.js"],
    }


def attack(base: str, said: dict[str, Any], ids: dict[str, list[str]]) -> dict[str, int]:
    """Call every operation with what fits its description and what does not; return how often each status came."""
    schema = schemathesis.openapi.from_dict(said)
    schema.config.update(base_url=base)
    session, seen, failures = requests.Session(), dict[str, int](), list[Exception]()
    session.headers.update(AUTHORIZED)
    for number, found in enumerate(schema.get_all_operations()):
        assert isinstance(found, Ok)
        operation = found.ok()
        if operation.path in STREAMS:
            continue
        modes = [GenerationMode.POSITIVE, *([GenerationMode.NEGATIVE] if number % SOME == 0 else [])]
        for mode in modes:
            try:
                once(operation, mode, ids, base, session, seen)()
            except Unsatisfiable:
                continue  # it takes nothing that could be wrong
            except Exception as failure:  # noqa: BLE001  # one report of all of them
                failures.append(failure)
    if failures:
        raise ExceptionGroup("the description is not true", failures)
    return seen


def once(
    operation: Any,
    mode: GenerationMode,
    ids: dict[str, list[str]],
    base: str,
    session: requests.Session,
    seen: dict[str, int],
) -> Callable[[], None]:
    """Return what tries one operation."""
    first = operation.path.removeprefix("/api/v1/").split("/")[0]
    turn = [0]

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        derandomize=not LONG,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode))
    def run(case: Any) -> None:
        turn[0] += 1
        if turn[0] % 4:
            for name in case.path_parameters or ():
                known = ids.get(f"{first} {name}", ["0"])
                case.path_parameters[name] = known[turn[0] % len(known)]
        for name in [one for one in case.headers or () if one.lower() in FRAMING]:
            del case.headers[name]
        response = case.call(session=session, base_url=base)
        place = f"{response.status_code}"
        seen[place] = seen.get(place, 0) + 1
        case.validate_response(response, checks=CHECKS)

    return run


# Hypothesis runs in a thread here, and takes the hub's chance, which is the loop's, for its strategies' own.
@pytest.mark.filterwarnings("ignore:Do not use the `random` module inside strategies")
@pytest.mark.timeout(7200 if LONG else 300)
async def test_schemathesis_finds_nothing(stage: Stage) -> None:
    """Whatever is sent: no server error, no status, media type, header or field that the description does not have."""
    ids = await stocked(stage)
    said = strict(await described(stage))
    seen = await asyncio.to_thread(attack, stage.base, said, ids)
    assert not [status for status in seen if status.startswith("5") and status != "503"]
    assert seen["200"] > 50
    assert seen["422"] > (200 if LONG else 1)


async def test_the_page_shows_every_operation(stage: Stage) -> None:
    """A browser that may reach nothing else, under a strict policy, lists every operation; nothing is blocked."""
    playwright = pytest.importorskip("playwright.async_api")
    routes = stage.hub.api().routes
    async with playwright.async_playwright() as browsers:
        browser = await browsers.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        page = await browser.new_page()
        troubles: list[str] = []
        page.on("console", lambda message: troubles.append(message.text) if message.type == "error" else None)
        page.on("requestfailed", lambda request: troubles.append(request.url))
        answered = await page.goto(f"{stage.base}/api/v1/docs")
        assert "script-src 'self'" in answered.headers["content-security-policy"]
        await page.wait_for_selector("details")
        assert len(routes) == await page.locator("details").count()
        await page.fill("#find", "idempot")
        await page.fill("#find", "/audit")
        assert 1 == await page.locator("details:visible").count()
        assert await page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
        assert [one for one in troubles if "favicon" not in one] == []
        await browser.close()
