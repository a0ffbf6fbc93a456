"""The API of signing in with a provider: a browser is sent there, and comes back."""

from __future__ import annotations

import hmac
import logging
import secrets
from collections.abc import Callable
from dataclasses import dataclass

import msgspec
from aiohttp import web

from config.settings import Provider, Settings
from inbox.api import ANYONE, HEADERS, PREFIX, Ask, Problem, Route
from inbox.audit import Audit
from inbox.oidc import Away, Distrusted, Flow, Providers, login_of
from inbox.partitions import shared_key
from inbox.people import GROUP, People, Person, hashed
from inbox.sign_in import SignIn

log = logging.getLogger(__name__)

UNDER_WAY = 10 * 60_000
"""How long a sign-in at a provider may take, in milliseconds."""

HOME = "/console/"


@dataclass(frozen=True, slots=True)
class Oidc:
    """What the endpoints need."""

    people: People
    sign_in: SignIn
    providers: Providers
    audit: Audit
    settings: Callable[[], Settings]

    def routes(self) -> list[Route]:
        """Return the table: method, path, least role, handler."""
        return [
            Route("GET", "/session/oidc/{provider}", ANYONE, self.begin),
            Route("GET", "/session/oidc/{provider}/callback", ANYONE, self.finish),
        ]

    async def begin(self, ask: Ask) -> web.Response:
        """Send the browser to the provider."""
        name, one = self._provider(ask)
        browser = secrets.token_urlsafe(24)
        try:
            address, state, flow = await self.providers.begin(name, one, self._back(name), hashed(browser))
        except Away as away:
            log.warning("the sign-in provider %s: %s", name, away)
            return failed("provider_away")
        remembered = msgspec.json.encode(flow).decode()
        await self.people.do("SET", shared_key(GROUP, f"o:{hashed(state)}"), remembered, "PX", UNDER_WAY)
        response = web.Response(status=302, headers={**HEADERS, "Location": address})
        response.set_cookie(
            self._cookie(),
            browser,
            max_age=UNDER_WAY // 1000,
            path="/",
            httponly=True,
            secure=self._secure(),
            samesite="Lax",
        )
        return response

    async def finish(self, ask: Ask) -> web.Response:
        """Take what the browser brings back, once, and begin a session."""
        name, one = self._provider(ask)
        state = ask.query("state")
        kept = await self.people.do("GETDEL", shared_key(GROUP, f"o:{hashed(state)}")) if state else None
        browser = ask.request.cookies.get(self._cookie(), "")
        flow = msgspec.json.decode(kept, type=Flow) if kept else None
        if flow is None or flow.provider != name or not hmac.compare_digest(flow.browser, hashed(browser)):
            return failed("expired")
        if ask.query("error") or not ask.query("code"):
            return failed("refused")
        try:
            claims = await self.providers.finish(one, flow, self._back(name), ask.request.query)
        except Away as away:
            log.warning("the sign-in provider %s: %s", name, away)
            return failed("provider_away")
        except Distrusted as error:
            log.warning("the sign-in provider %s: %s", name, error)
            await self.audit.note(ask, "unknown:", f"failed to sign in with {name}", 401)
            return failed("refused")
        person = await self._person(login_of(one, claims))
        if person is None:
            await self.audit.note(ask, "unknown:", f"failed to sign in with {name}", 401)
            return failed("unknown_person")
        begun = await self.sign_in.begin(ask, person, name)
        response = web.Response(status=302, headers={**HEADERS, "Location": HOME})
        response.cookies.update(begun.cookies)
        response.del_cookie(self._cookie(), path="/", secure=self._secure(), httponly=True, samesite="Lax")
        return response

    async def _person(self, login: str) -> Person | None:
        """Return who has this login; an agent's is their mail address unless another was given."""
        agents = self.settings().agents
        found = []
        for one in await self.people.all():
            agent = agents.get(one.id)
            known = one.login or ((agent.email or "") if agent else "")
            if login and known.casefold() == login.casefold():
                found.append(one)
        return found[0] if len(found) == 1 and not found[0].disabled else None

    def _provider(self, ask: Ask) -> tuple[str, Provider]:
        name = ask.part("provider")
        one = self.settings().people.oidc.get(name)
        if one is None:
            raise Problem(404, "There is no such provider")
        return name, one

    def _back(self, name: str) -> str:
        return f"{self.settings().public_url}{PREFIX}/session/oidc/{name}/callback"

    def _secure(self) -> bool:
        return self.settings().public_url.startswith("https:")

    def _cookie(self) -> str:
        return "__Host-huiliu-oidc" if self._secure() else "huiliu-oidc"


def failed(code: str) -> web.Response:
    """Send the browser home with a stable word for what went wrong."""
    return web.Response(status=302, headers={**HEADERS, "Location": f"{HOME}#sign-in={code}"})
