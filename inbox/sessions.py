"""Sessions of people: kept in the store, known by the hash of a random secret, ended by time or by hand."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass

from config.settings import Settings
from inbox.conversations import pairs
from inbox.partitions import shared_key
from inbox.people import GROUP, People, Person, hashed, person_of

SELDOM = 60_000
"""How often it is written down that a session is used, in milliseconds."""

LONGEST = 120


@dataclass(frozen=True, slots=True)
class Session:
    """A person at one browser. *id* is the hash of the secret in its cookie. Times are in milliseconds."""

    id: str
    person: str
    csrf: str
    created: int
    seen: int
    until: int
    remote: str
    browser: str
    way: str

    def __repr__(self) -> str:
        return f"Session({self.id[:8]!r}, {self.person!r})"


class Sessions:
    """All sessions, shared by all processes."""

    def __init__(self, people: People, settings: Callable[[], Settings], now: Callable[[], int]) -> None:
        self._people = people
        self._settings = settings
        self._now = now

    async def begin(self, person: str, remote: str, browser: str, way: str) -> str:
        """Begin a session and return the secret of its cookie, "" if there is nobody of that name.

        Raises `StoreError`.
        """
        secret, now, limits = secrets.token_urlsafe(32), self._now(), self._settings().people
        fields = {
            "csrf": secrets.token_urlsafe(24),
            "created": str(now),
            "seen": str(now),
            "until": str(now + limits.lasts),
            "remote": remote,
            "browser": browser[:LONGEST],
            "way": way,
        }
        flat = [word for pair in fields.items() for word in pair]
        begun = await self._people.run("enter", hashed(secret), person, min(limits.idle, limits.lasts), *flat)
        return secret if begun else ""

    async def check(self, secret: str) -> tuple[Session, Person] | None:
        """Return the session of a cookie and whose it is; None if it has ended. Raises `StoreError`."""
        name = hashed(secret)
        found = await self._people.run("check", name, self._now(), self._settings().people.idle, SELDOM)
        if not found:
            return None
        session, person = pairs(found[0]), pairs(found[1])
        return session_of(name, session), person_of(session["person"], person)

    async def load(self, name: str) -> Session | None:
        """Return a session by the hash of its secret. Raises `StoreError`."""
        fields = pairs(await self._people.do("HGETALL", shared_key(GROUP, f"s:{name}")))
        return session_of(name, fields) if fields else None

    async def of(self, person: str) -> list[Session]:
        """Return a person's sessions, the latest first. Raises `StoreError`."""
        found = []
        for name in await self._people.do("SMEMBERS", shared_key(GROUP, f"ss:{person}")):
            fields = pairs(await self._people.do("HGETALL", shared_key(GROUP, f"s:{name}")))
            if fields:
                found.append(session_of(name, fields))
            else:
                await self._people.do("SREM", shared_key(GROUP, f"ss:{person}"), name)  # it ended by itself
        return sorted(found, key=lambda one: -one.seen)

    async def end(self, session: str) -> bool:
        """End a session; tell whether there was one. Raises `StoreError`."""
        return bool(await self._people.run("leave", session))

    async def end_all(self, person: str, but: str = "") -> int:
        """End a person's sessions *but* one; return how many that were. Raises `StoreError`."""
        return int(await self._people.run("revoke", person, but))


def session_of(name: str, fields: dict[str, str]) -> Session:
    """Build a session from the hash in the store."""
    return Session(
        name,
        fields["person"],
        fields["csrf"],
        int(fields["created"]),
        int(fields["seen"]),
        int(fields["until"]),
        fields.get("remote", ""),
        fields.get("browser", ""),
        fields.get("way", ""),
    )
