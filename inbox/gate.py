"""The gate of the API: who calls, whether they may, how often, and that a browser calls because its person wants to."""

from __future__ import annotations

import asyncio
import hmac
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from aiohttp import web
from multidict import CIMultiDictProxy

from config.settings import Settings, Team
from inbox.api import ANYONE, ROLES, SAFE, Ask, Problem, Route, Token, Tokens
from inbox.partitions import new_key
from inbox.people import People, Person
from inbox.sessions import Session, Sessions
from inbox.work import Actor

CSRF = "X-CSRF-Token"
HERE = "cli"
"""The token that the hub keeps beside its data. It opens the door on this machine only."""

BURST = 2.0
"""How many seconds' worth of calls may come at once."""

SHARE = 20
"""A process takes this part of what may come at once beforehand: a write to the disk for every call is too much."""

GOOD_FOR = 1000
"""How long it may use them, in milliseconds."""

NOBODY = Token("", ANYONE, Actor("anyone"))
Remote = Callable[[str, CIMultiDictProxy[str]], str]


@dataclass(slots=True)
class Taken:
    """Turns that this process may give to one caller; *left* is what the store had besides."""

    count: int = 0
    left: int = 0
    until: int = 0
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


class Gate:
    """Admits calls. *remote* names the address that a call comes from."""

    def __init__(
        self,
        tokens: Callable[[], Tokens],
        people: People,
        sessions: Sessions,
        settings: Callable[[], Settings],
        remote: Remote,
        now: Callable[[], int],
    ) -> None:
        self._tokens = tokens
        self._people = people
        self._sessions = sessions
        self._settings = settings
        self._remote = remote
        self._now = now
        self._taken: dict[str, Taken] = {}

    async def admit(self, route: Route, request: web.Request) -> Ask:
        """Return the call with who makes it. Raises `Problem` 401, 403, 429, `StoreError`."""
        remote = self._remote(request.remote or "", request.headers)
        number = {"X-Request-Id": new_key()}
        if route.role == ANYONE:
            if request.method not in SAFE:
                self._same_site(request)
            return Ask(request, NOBODY, remote, headers=number)
        header = _authorization(request)
        secret = "" if header else request.cookies.get(cookie_name(self._settings()), "")
        if secret:
            token, session = await self._signed_in(secret)
        else:
            token, session = self._tokens().find(header), None
            if token.name == HERE and not token.session and not local(request):
                raise Problem(401, "Who are you?", "This token is good on the hub's own machine only.")
        if ROLES.index(token.role) < ROLES.index(route.role):
            raise Problem(403, "Not allowed", f"this needs the role {route.role}; the caller has {token.role}")
        if session is not None and request.method not in SAFE:
            self._meant(request, session)
        number.update(await self._pace(token))
        return Ask(request, token, remote, hidden(self._settings(), token), headers=number)

    async def still(self, ask: Ask) -> bool:
        """Tell whether whoever made a call that goes on may still, and may see just as much. Raises `StoreError`."""
        settings = self._settings()
        try:
            token = await self._known(ask) if ask.token.session else self._tokens().find(_authorization(ask.request))
        except Problem:
            return False
        return token == ask.token and hidden(settings, token) == ask.hidden

    async def _known(self, ask: Ask) -> Token:
        """Return who a session belongs to now; it is not used by that. Raises `Problem` 401, `StoreError`."""
        session = await self._sessions.load(ask.token.session)
        person = await self._people.find(session.person) if session is not None else None
        if session is None or person is None or person.disabled or session.until <= self._now():
            raise Problem(401, "Who are you?", "The session has ended; sign in again.")
        return self._token(session, person)

    def _token(self, session: Session, person: Person) -> Token:
        settings = self._settings()
        return Token(person.id, person.role, actor_of(settings, person), session.id, settings.people.rate)

    async def _signed_in(self, secret: str) -> tuple[Token, Session]:
        found = await self._sessions.check(secret)
        if found is None:
            raise Problem(401, "Who are you?", "The session has ended; sign in again.")
        session, person = found
        return self._token(session, person), session

    def _meant(self, request: web.Request, session: Session) -> None:
        """Refuse what another site had a browser send. Raises `Problem` 403."""
        given = request.headers.get(CSRF, "")
        if not hmac.compare_digest(given.encode(errors="replace"), session.csrf.encode()):
            raise Problem(403, "Not allowed", f"a change in a session needs the header {CSRF}; GET /session tells it")
        self._same_site(request)

    def _same_site(self, request: web.Request) -> None:
        """Refuse what a page of another origin sends. Raises `Problem` 403."""
        site = request.headers.get("Sec-Fetch-Site", "same-origin")
        origin = request.headers.get("Origin")
        if site not in ("same-origin", "none") or (origin is not None and not self._ours(request, origin)):
            raise Problem(403, "Not allowed", "a page of another site may not do this")

    def _ours(self, request: web.Request, origin: str) -> bool:
        public = urlsplit(self._settings().public_url)
        return origin in {f"{public.scheme}://{public.netloc}", f"{request.scheme}://{request.host}"}

    async def _pace(self, token: Token) -> dict[str, str]:
        """Count a call; return what its caller may be told. Raises `Problem` 429, `StoreError`."""
        if not token.rate:
            return {}
        burst = max(1, math.ceil(token.rate * BURST))
        taken = self._taken.setdefault(token.caller, Taken())
        async with taken.lock:  # of many calls at once one fetches turns for all
            if not taken.count or taken.until <= self._now():
                await self._take(token, burst, taken)
            taken.count -= 1
        left = min(burst, taken.left + taken.count)
        return {
            "RateLimit-Policy": f'"calls";q={burst};w={math.ceil(burst / token.rate)}',
            "RateLimit": f'"calls";r={left};t={math.ceil((burst - left) / token.rate)}',
        }

    async def _take(self, token: Token, burst: int, taken: Taken) -> None:
        """Take turns for some calls, or for one. Raises `Problem` 429, `StoreError`."""
        wait = 0
        for count in dict.fromkeys((max(1, burst // SHARE), 1)):
            wait, left = await self._people.turn(f"rate:{token.caller}", 1000 / token.rate, burst, count)
            if not wait:
                taken.count, taken.left, taken.until = count, left, self._now() + GOOD_FOR
                return
        raise Problem(429, "Too many calls", f"at most {token.rate:g} a second", wait=math.ceil(wait / 1000))


def _authorization(request: web.Request) -> str:
    return request.headers.get("Authorization", "")


def cookie_name(settings: Settings) -> str:
    """Return the name of the session's cookie; behind https the browser keeps it to this very host."""
    return "__Host-huiliu" if settings.public_url.startswith("https:") else "huiliu"


def actor_of(settings: Settings, person: Person) -> Actor:
    """Return as whom a person works: as the agent of their name if there is one."""
    agent = settings.agents.get(person.id)
    if agent is not None:
        return Actor("agent", person.id, str(agent.name))
    return Actor("person", person.id, person.name or person.id)


def hidden(settings: Settings, token: Token) -> frozenset[str]:
    """Return the teams whose conversations *token* may not see: restricted ones of others."""
    if token.role == "admin":
        return frozenset()
    return frozenset(name for name, team in settings.teams.items() if team.restricted and not inside(team, token))


def inside(team: Team, token: Token) -> bool:
    """Tell whether *token* belongs to a team: as its member, or as a supervisor of it."""
    if token.actor.kind == "agent" and token.actor.id in team.members:
        return True
    supervises = ROLES.index(token.role) >= ROLES.index("supervisor")
    return supervises and token.actor.kind in ("agent", "person") and token.actor.id in team.supervisors


def local(request: web.Request) -> bool:
    """Tell whether a call comes from this machine."""
    transport = request.transport
    if transport is None:
        return False
    peer, own = transport.get_extra_info("peername"), transport.get_extra_info("sockname")
    if not isinstance(peer, tuple) or not isinstance(own, tuple):
        return True  # a Unix socket
    address = str(peer[0]).removeprefix("::ffff:")
    return address == str(own[0]).removeprefix("::ffff:") or address.startswith("127.") or address == "::1"
