"""People at browsers for tests: added by the hub's own command-line token, signed in over HTTP, with real cookies."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.hubs import Stage

PASSWORD = "correct horse battery staple"


@dataclass
class Answered:
    """An answer of the hub."""

    status: int
    headers: Mapping[str, str]
    body: Any
    cookies: dict[str, str]


@dataclass
class Browser:
    """A browser with its cookies and, once somebody has signed in, their CSRF token."""

    stage: Stage
    cookies: dict[str, str] = field(default_factory=dict)
    csrf: str = ""

    async def call(
        self, method: str, path: str, body: Any = None, *, headers: dict[str, str] | None = None, csrf: bool = True
    ) -> Answered:
        """Call the API as a page of the hub does."""
        sent = {"Origin": self.stage.base, "Sec-Fetch-Site": "same-origin"}
        if csrf and self.csrf:
            sent["X-CSRF-Token"] = self.csrf
        sent |= headers or {}
        if self.cookies:
            sent["Cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        url = path if path.startswith("http") else f"{self.stage.base}/api/v1{path}"
        async with self.stage.http.request(method, url, json=body, headers=sent, allow_redirects=False) as response:
            raw = await response.read()
            for name, morsel in response.cookies.items():
                if morsel.value and morsel["max-age"] != "0":
                    self.cookies[name] = morsel.value
                else:
                    self.cookies.pop(name, None)
            decoded = json.loads(raw) if raw and "json" in response.content_type else raw
            cookies = {name: morsel.OutputString() for name, morsel in response.cookies.items()}
            return Answered(response.status, response.headers, decoded, cookies)

    async def enter(self, name: str, password: str = PASSWORD, **more: str) -> Answered:
        """Sign in."""
        answered = await self.call("POST", "/session", {"name": name, "password": password, **more})
        if answered.status == 200:
            self.csrf = answered.body["csrf"]
        return answered


async def add(stage: Stage, name: str, role: str, password: str = PASSWORD, **more: str) -> None:
    """Add somebody who can sign in."""
    made = await stage.api("POST", "/people", {"id": name, "role": role, **more})
    await stage.api("POST", "/session/password", {"token": made["token"], "password": password}, token="")


async def signed_in(stage: Stage, name: str, role: str) -> Browser:
    """Add somebody and sign them in."""
    await add(stage, name, role)
    browser = Browser(stage)
    assert (await browser.enter(name)).status == 200
    return browser
