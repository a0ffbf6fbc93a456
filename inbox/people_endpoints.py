"""The API of people: who may sign in, with what role; for admins."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import msgspec
from aiohttp import web

from config.settings import Settings
from config.values import NAME
from inbox.api import Ask, Problem, Route, answer, listing, rfc3339
from inbox.people import INVITATION, NoPerson, People, Person, Taken
from inbox.second_factor import SecondFactor
from inbox.sessions import Sessions
from inbox.sign_in import session_shape

Role = Literal["readonly", "agent", "supervisor", "admin"]
LABEL = 80
WELCOME = "/console/#welcome="
"""Where a link to set a password leads. What stands behind # is never sent to a server, so no log has it."""


class PersonBody(msgspec.Struct, forbid_unknown_fields=True):
    """POST /people."""

    id: str
    role: Role
    name: str = ""
    login: str = ""


class ChangeBody(msgspec.Struct, forbid_unknown_fields=True):
    """PUT /people/{id}: a missing field stays as it is."""

    role: Role | msgspec.UnsetType = msgspec.UNSET
    name: str | msgspec.UnsetType = msgspec.UNSET
    login: str | msgspec.UnsetType = msgspec.UNSET
    disabled: bool | msgspec.UnsetType = msgspec.UNSET


@dataclass(frozen=True, slots=True)
class Persons:
    """What the endpoints need."""

    people: People
    sessions: Sessions
    second: SecondFactor
    settings: Callable[[], Settings]
    now: Callable[[], int]

    def routes(self) -> list[Route]:
        """Return the table: method, path, least role, handler."""
        one = "/people/{id}"
        return [
            Route("GET", "/people", "admin", self.list_people),
            Route("POST", "/people", "admin", self.add),
            Route("GET", one, "admin", self.show),
            Route("PUT", one, "admin", self.change),
            Route("DELETE", one, "admin", self.drop),
            Route("POST", f"{one}/invitation", "admin", self.invite),
            Route("DELETE", f"{one}/totp", "admin", self.forget),
            Route("GET", f"{one}/sessions", "admin", self.list_sessions),
            Route("DELETE", f"{one}/sessions", "admin", self.revoke),
        ]

    async def list_people(self, _: Ask) -> web.Response:
        """Everybody who may sign in, by name."""
        return listing([await self._shape(one) for one in await self.people.all()])

    async def show(self, ask: Ask) -> web.Response:
        """One person."""
        return answer(await self._shape(await self.people.load(ask.part("id"))))

    async def add(self, ask: Ask) -> web.Response:
        """Add somebody, and return the link with which they set their password."""
        body = await ask.body(PersonBody)
        if not re.fullmatch(NAME, body.id):
            raise Problem(422, "The body does not fit", "id is small letters, digits and hyphens, at most 63")
        self._check(body.id, body.role, body.name, body.login)
        fields = {"role": body.role, "name": body.name.strip(), "login": body.login.strip()}
        try:
            await self.people.add(body.id, fields)
        except Taken:
            raise Problem(409, "There is such a person", f"{body.id} is there already") from None
        made = await self._invitation(body.id)
        return answer({"person": await self._shape(await self.people.load(body.id)), **made}, 201)

    def _check(self, name: str, role: str, *texts: str) -> None:
        agents = self.settings().agents
        if role == "agent" and name not in agents:
            known = ", ".join(sorted(agents)) or "none yet"
            raise Problem(422, "There is no such agent", f"somebody of role agent is one of agents: {known}")
        if any(len(text) > LABEL or not text.isprintable() for text in texts):
            raise Problem(422, "The body does not fit", f"name and login have at most {LABEL} printable characters")

    async def change(self, ask: Ask) -> web.Response:
        """Change role, name or login, or lock somebody out, which ends their sessions."""
        body = await ask.body(ChangeBody)
        person = await self.people.load(ask.part("id"))
        role = person.role if body.role is msgspec.UNSET else body.role
        texts = {
            name: str(value).strip()
            for name, value in (("name", body.name), ("login", body.login))
            if value is not msgspec.UNSET
        }
        self._check(person.id, role, *texts.values())
        fields = {"role": role, **texts}
        if body.disabled is not msgspec.UNSET:
            fields["disabled"] = "1" if body.disabled else ""
        if ask.token.session and ask.token.name == person.id and (role != person.role or fields.get("disabled")):
            raise Problem(409, "That makes no sense now", "nobody takes their own rights away; another admin can")
        await self.people.set(person.id, fields)
        if fields.get("disabled"):
            await self.sessions.end_all(person.id)
        return answer(await self._shape(await self.people.load(person.id)))

    async def drop(self, ask: Ask) -> web.Response:
        """Forget somebody; what they did keeps their name."""
        name = ask.part("id")
        if ask.token.session and ask.token.name == name:
            raise Problem(409, "That makes no sense now", "nobody takes their own rights away; another admin can")
        await self.people.drop(name)
        return answer({"id": name, "state": "dropped"})

    async def invite(self, ask: Ask) -> web.Response:
        """Return a link with which somebody sets a new password."""
        person = await self.people.load(ask.part("id"))
        return answer(await self._invitation(person.id), 201)

    async def _invitation(self, name: str) -> dict[str, Any]:
        secret = await self.people.invite(name)
        return {
            "token": secret,
            "link": f"{self.settings().public_url}{WELCOME}{secret}",
            "until": rfc3339(self.now() + INVITATION),
        }

    async def forget(self, ask: Ask) -> web.Response:
        """Take somebody's second factor away: the phone is lost, and so are the recovery codes."""
        person = await self.people.load(ask.part("id"))
        await self.second.forget(person.id)
        return answer(await self._shape(await self.people.load(person.id)))

    async def list_sessions(self, ask: Ask) -> web.Response:
        """Somebody's sessions, the latest first."""
        person = await self.people.load(ask.part("id"))
        return listing([session_shape(one, ask.token.session) for one in await self.sessions.of(person.id)])

    async def revoke(self, ask: Ask) -> web.Response:
        """End all sessions of somebody."""
        person = await self.people.load(ask.part("id"))
        return answer({"id": person.id, "ended": await self.sessions.end_all(person.id)})

    async def _shape(self, one: Person) -> dict[str, Any]:
        settings = self.settings()
        agent = settings.agents.get(one.id)
        return {
            "id": one.id,
            "role": one.role,
            "name": one.name or (str(agent.name) if agent else one.id),
            "agent": one.id if agent else None,
            "login": one.login or (agent.email if agent else None),
            "disabled": one.disabled,
            "password": bool(one.password),
            "totp": bool(one.totp),
            "recovery": await self.second.left(one.id),
            "sessions": len(await self.sessions.of(one.id)),
            "created_at": rfc3339(one.created),
        }


ERRORS: dict[type[Exception], tuple[int, str]] = {NoPerson: (404, "There is no such person")}
