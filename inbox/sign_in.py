"""The API of signing in and out: sessions, one's own password, the second factor."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address
from typing import Any, Literal

import msgspec
from aiohttp import web

from config.settings import Settings
from inbox.api import ANYONE, PREFIX, Ask, Problem, Route, Token, answer, listing, rfc3339
from inbox.audit import Audit
from inbox.gate import actor_of, cookie_name, hidden
from inbox.partitions import digest
from inbox.passwords import Passwords, Weak, check
from inbox.people import NoPerson, People, Person
from inbox.second_factor import SecondFactor
from inbox.sessions import Session, Sessions

TRIES = {"name": (30_000, 10), "remote": (10_000, 30)}
"""Of each name and each address: how many milliseconds a try takes to come back, and how many there are at once."""


class SignInBody(msgspec.Struct, forbid_unknown_fields=True):
    """POST /session."""

    name: str
    password: str
    totp: str = ""


class WelcomeBody(msgspec.Struct, forbid_unknown_fields=True):
    """POST /session/password: with what a link holds."""

    token: str
    password: str


class PasswordBody(msgspec.Struct, forbid_unknown_fields=True):
    """PUT /session/password."""

    current: str
    password: str


class PreferenceBody(msgspec.Struct, forbid_unknown_fields=True):
    """PUT /session."""

    locale: Literal["zh-CN", "en", ""]


class CodeBody(msgspec.Struct, forbid_unknown_fields=True):
    """PUT /session/totp."""

    code: str


class ProofBody(msgspec.Struct, forbid_unknown_fields=True):
    """POST and DELETE /session/totp: that it is really them."""

    password: str


@dataclass(frozen=True, slots=True)
class SignIn:
    """What the endpoints need."""

    people: People
    sessions: Sessions
    passwords: Passwords
    second: SecondFactor
    audit: Audit
    settings: Callable[[], Settings]

    def routes(self) -> list[Route]:
        """Return the table: method, path, least role, handler."""
        return [
            Route("POST", "/session", ANYONE, self.enter, changes=False),
            Route("GET", "/session", "readonly", self.show),
            Route("PUT", "/session", "readonly", self.prefer),
            Route("DELETE", "/session", "readonly", self.leave),
            Route("GET", "/session/ways", ANYONE, self.ways),
            Route("POST", "/session/password", ANYONE, self.welcome),
            Route("PUT", "/session/password", "readonly", self.set_password),
            Route("POST", "/session/totp", "readonly", self.propose),
            Route("PUT", "/session/totp", "readonly", self.confirm),
            Route("DELETE", "/session/totp", "readonly", self.forget),
            Route("GET", "/sessions", "readonly", self.list_sessions),
            Route("DELETE", "/sessions/{id}", "readonly", self.end),
        ]

    async def ways(self, _: Ask) -> web.Response:
        """How one may sign in."""
        settings = self.settings()
        providers = [
            {"id": name, "name": str(one.name), "url": f"{PREFIX}/session/oidc/{name}"}
            for name, one in settings.people.oidc.items()
        ]
        return answer({"password": settings.people.passwords, "providers": providers, "locale": settings.locale})

    async def enter(self, ask: Ask) -> web.Response:
        """Sign in with name and password, and a code if there is a second factor."""
        body = await ask.body(SignInBody)
        if not self.settings().people.passwords:
            raise Problem(403, "Not allowed", "this hub takes no passwords; sign in with a provider")
        name = unicodedata.normalize("NFKC", body.name).strip().casefold()
        tries = await self._take_a_try(ask, name)
        person = await self.people.find(name)
        usable = person is not None and not person.disabled
        right = await self.passwords.fits(person.password if person is not None and usable else "", body.password)
        if person is None or not right:
            await self.audit.note(ask, f"person:{person.id}" if person else "unknown:", "failed to sign in", 401)
            raise Problem(401, "That is not right", "name or password is wrong")
        if person.totp:
            if not body.totp:
                raise Problem(401, "One thing more", "give the code of the authenticator app", totp=True)
            if not await self.second.fits(person, body.totp):
                await self.audit.note(ask, f"person:{person.id}", "failed to sign in", 401)
                raise Problem(401, "That is not right", "the code is wrong, or was used before", totp=True)
        if self.passwords.stale(person.password):
            await self.people.set(person.id, {"password": await self.passwords.hash(body.password)})
        await self.people.give_back(tries)
        return await self.begin(ask, person, "password")

    async def _take_a_try(self, ask: Ask, name: str) -> str:
        """Count a try before it is made, so that many at once are no more than allowed. Raises `Problem` 429."""
        places = {"remote": f"remote:{network(ask.remote)}", "name": f"name:{digest(name)}"}
        for what, place in places.items():
            wait, _ = await self.people.turn(place, *TRIES[what])
            if wait:
                detail = "wait a moment before the next try"
                raise Problem(429, "Too many tries", detail, wait=math.ceil(wait / 1000))
        return places["name"]

    async def begin(self, ask: Ask, person: Person, way: str) -> web.Response:
        """Begin a session and tell of it. Raises `Problem` 401, `StoreError`."""
        secret = await self.sessions.begin(person.id, ask.remote, ask.request.headers.get("User-Agent", ""), way)
        found = await self.sessions.check(secret) if secret else None
        if found is None:
            raise Problem(401, "That is not right", "name or password is wrong")
        await self.audit.note(ask, f"person:{person.id}", "signed in", 200)
        response = answer(self._shape(found[1], found[0]))
        self._set_cookie(response, secret)
        return response

    def _set_cookie(self, response: web.Response, secret: str) -> None:
        settings = self.settings()
        secure = settings.public_url.startswith("https:")
        lasts = settings.people.lasts // 1000
        name = cookie_name(settings)
        response.set_cookie(name, secret, max_age=lasts, path="/", httponly=True, secure=secure, samesite="Lax")

    async def show(self, ask: Ask) -> web.Response:
        """Who the caller is, what they may, and what their changes must carry."""
        session, person = await self._mine(ask)
        if session is None or person is None:
            token = ask.token
            return answer(
                {
                    **dict.fromkeys(("csrf", "created_at", "until", "way", "totp")),
                    "id": token.name,
                    "kind": "token",
                    "name": token.actor.name or token.name,
                    "agent": token.actor.id if token.actor.kind == "agent" else None,
                    "role": token.role,
                    "teams": self._teams(token.actor.id if token.actor.kind == "agent" else ""),
                    "hidden": sorted(ask.hidden),
                    "locale": self.settings().locale,
                }
            )
        return answer(self._shape(person, session))

    def _shape(self, person: Person, session: Session) -> dict[str, Any]:
        settings = self.settings()
        actor = actor_of(settings, person)
        token = Token(person.id, person.role, actor, session.id)
        return {
            "id": person.id,
            "kind": "person",
            "name": actor.name,
            "agent": person.id if actor.kind == "agent" else None,
            "role": person.role,
            "teams": self._teams(person.id),
            "hidden": sorted(hidden(settings, token)),
            "locale": person.locale or settings.locale,
            "csrf": session.csrf,
            "created_at": rfc3339(session.created),
            "until": rfc3339(session.until),
            "way": session.way,
            "totp": bool(person.totp),
        }

    def _teams(self, agent: str) -> list[str]:
        teams = self.settings().teams
        return [name for name, team in teams.items() if agent and agent in (*team.members, *team.supervisors)]

    async def _mine(self, ask: Ask) -> tuple[Session | None, Person | None]:
        """Return the caller's session and person, None for a program."""
        if not ask.token.session:
            return None, None
        return await self.sessions.load(ask.token.session), await self.people.load(ask.token.name)

    async def _person(self, ask: Ask) -> tuple[Session, Person]:
        """Return the caller's session and person. Raises `Problem` 409 for a program."""
        session, person = await self._mine(ask)
        if session is None or person is None:
            raise Problem(409, "That makes no sense now", "this is for people who have signed in, not for programs")
        return session, person

    async def prefer(self, ask: Ask) -> web.Response:
        """Choose a language; "" leaves it to the hub."""
        session, person = await self._person(ask)
        body = await ask.body(PreferenceBody)
        await self.people.set(person.id, {"locale": body.locale})
        return answer(self._shape(await self.people.load(person.id), session))

    async def leave(self, ask: Ask) -> web.Response:
        """Sign out."""
        session, _ = await self._person(ask)
        await self.sessions.end(session.id)
        response = answer({"id": public(session.id), "state": "ended"})
        settings = self.settings()
        secure = settings.public_url.startswith("https:")
        response.del_cookie(cookie_name(settings), path="/", secure=secure, httponly=True, samesite="Lax")
        return response

    async def list_sessions(self, ask: Ask) -> web.Response:
        """One's own sessions, the latest first."""
        session, person = await self._person(ask)
        return listing([session_shape(one, session.id) for one in await self.sessions.of(person.id)])

    async def end(self, ask: Ask) -> web.Response:
        """End one of one's own sessions."""
        for one in await self.sessions.of(ask.token.name) if ask.token.session else ():
            if public(one.id) == ask.part("id"):
                await self.sessions.end(one.id)
                return answer({"id": public(one.id), "state": "ended"})
        raise Problem(404, "There is no such session")

    async def welcome(self, ask: Ask) -> web.Response:
        """Set a password with the secret of a link, which is good once; sessions that there are end."""
        body = await ask.body(WelcomeBody)
        wait, _ = await self.people.turn(f"remote:{network(ask.remote)}", *TRIES["remote"])
        if wait:
            raise Problem(429, "Too many tries", "wait a moment before the next try", wait=math.ceil(wait / 1000))
        name = await self.people.invited(body.token)
        if not name or await self.people.find(name) is None:
            raise Problem(404, "There is no such link", "it is used up or too old; ask for another one")
        hashed = await self._made(body.password, name)
        if await self.people.redeem(body.token) != name:
            raise Problem(404, "There is no such link", "it is used up or too old; ask for another one")
        await self._put(name, hashed)
        await self.audit.note(ask, f"person:{name}", "set a password by a link", 200)
        return answer({"id": name, "state": "ready"})

    async def set_password(self, ask: Ask) -> web.Response:
        """Change one's password; other sessions of oneself end."""
        session, person = await self._person(ask)
        body = await ask.body(PasswordBody)
        await self._prove(person, body.current)
        await self._put(person.id, await self._made(body.password, person.id), but=session.id)
        return answer({"id": person.id, "state": "ready"})

    async def _made(self, password: str, name: str) -> str:
        try:
            check(password, name)
        except Weak as weak:
            raise Problem(422, "That is no good password", str(weak)) from None
        return await self.passwords.hash(password)

    async def _put(self, name: str, hashed: str, but: str = "") -> None:
        try:
            await self.people.set(name, {"password": hashed})
        except NoPerson:
            raise Problem(404, "There is no such person") from None
        await self.sessions.end_all(name, but)

    async def _prove(self, person: Person, password: str) -> None:
        """Make sure that it is really them, not somebody at their desk. Raises `Problem` 403, 429."""
        wait, _ = await self.people.turn(f"name:{digest(person.id)}", *TRIES["name"])
        if wait:
            raise Problem(429, "Too many tries", "wait a moment before the next try", wait=math.ceil(wait / 1000))
        if person.password and not await self.passwords.fits(person.password, password):
            raise Problem(403, "That is not right", "the password is wrong")

    async def propose(self, ask: Ask) -> web.Response:
        """Begin to set up an authenticator app."""
        _, person = await self._person(ask)
        await self._prove(person, (await ask.body(ProofBody)).password)
        if person.totp:
            raise Problem(409, "That makes no sense now", "there is a second factor; take it away first")
        secret, url = await self.second.propose(person.id, "Huiliu")
        return answer({"secret": secret, "url": url}, 201)

    async def confirm(self, ask: Ask) -> web.Response:
        """Show a code of the app: from now on it is asked for. The recovery codes are told this once."""
        _, person = await self._person(ask)
        body = await ask.body(CodeBody)
        codes = await self.second.confirm(person.id, body.code.strip())
        if not codes:
            raise Problem(422, "That is not right", "the code is wrong, or the set-up took too long")
        return answer({"recovery": codes})

    async def forget(self, ask: Ask) -> web.Response:
        """Do without a second factor."""
        _, person = await self._person(ask)
        await self._prove(person, (await ask.body(ProofBody)).password)
        await self.second.forget(person.id)
        return answer({"id": person.id, "state": "off"})


def network(address: str) -> str:
    """Return what stands for a caller's address: one home has a whole /64 of IPv6."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return address[:60]
    if isinstance(parsed, IPv6Address):
        return str(parsed.ipv4_mapped or IPv6Address(int(parsed) >> 64 << 64))
    return str(parsed)


def public(session: str) -> str:
    """Return the id of a session that may be shown."""
    return session[:16]


def session_shape(one: Session, current: str = "") -> dict[str, Any]:
    """Return a session as the API shows it."""
    return {
        "id": public(one.id),
        "current": one.id == current,
        "created_at": rfc3339(one.created),
        "seen_at": rfc3339(one.seen),
        "until": rfc3339(one.until),
        "remote": one.remote or None,
        "browser": one.browser or None,
        "way": one.way,
    }
