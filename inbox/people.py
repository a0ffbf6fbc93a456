"""People who sign in: their role, how they prove who they are, and what of it the store keeps."""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from config.values import NAME
from inbox.conversations import pairs
from inbox.partitions import shared_key
from inbox.store import Script, Store

PEOPLE = Script.load(Path(__file__).parent / "scripts" / "people.lua")
GROUP = "people"
STEM = shared_key(GROUP, "")
INVITATION = 3 * 86_400_000
"""How long a link to set a password is good for, in milliseconds."""

LONGEST_NAME = 63


class NoPerson(LookupError):
    """There is nobody of this name."""


class Taken(ValueError):
    """There is somebody of this name already."""


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who may sign in. *login* is what a sign-in provider calls them; times are in milliseconds.

    A person who is a configured agent has the agent's id as *id*.
    """

    id: str
    role: str
    name: str = ""
    login: str = ""
    locale: str = ""
    password: str = ""
    totp: str = ""
    disabled: bool = False
    created: int = 0

    def __repr__(self) -> str:
        return f"Person({self.id!r}, {self.role!r})"


def person_of(name: str, fields: Mapping[str, str]) -> Person:
    """Build a person from the hash in the store."""
    return Person(
        name,
        fields["role"],
        fields.get("name", ""),
        fields.get("login", ""),
        fields.get("locale", ""),
        fields.get("password", ""),
        fields.get("totp", ""),
        fields.get("disabled") == "1",
        int(fields.get("created", 0)),
    )


def hashed(secret: str) -> str:
    """Return what the store keeps of a random secret."""
    return hashlib.sha256(secret.encode(errors="surrogatepass")).hexdigest()


class People:
    """Everybody who may sign in, shared by all processes."""

    def __init__(self, store: Store, now: Callable[[], int]) -> None:
        self._store = store
        self._now = now

    async def run(self, verb: str, *arguments: str | float) -> Any:
        """Run a verb of people.lua. Raises `StoreError`."""
        return await self._store.run(PEOPLE, GROUP, [STEM], (verb, *arguments))

    async def do(self, *command: str | float) -> Any:
        """Run one command on a key of people's slot. Raises `StoreError`."""
        return await self._store.do(GROUP, *command)

    async def find(self, name: str) -> Person | None:
        """Return somebody by name, None if there is nobody. Raises `StoreError`."""
        if not re.fullmatch(NAME, name):
            return None
        fields = pairs(await self.do("HGETALL", shared_key(GROUP, f"p:{name}")))
        return person_of(name, fields) if fields.get("role") else None

    async def load(self, name: str) -> Person:
        """Return somebody by name. Raises `NoPerson`, `StoreError`."""
        found = await self.find(name)
        if found is None:
            raise NoPerson(name[:LONGEST_NAME])
        return found

    async def all(self) -> list[Person]:
        """Return everybody, by name. Raises `StoreError`."""
        names = sorted(await self.do("SMEMBERS", shared_key(GROUP, "names")))
        found = [await self.find(name) for name in names]
        return [one for one in found if one is not None]

    async def add(self, name: str, fields: Mapping[str, str]) -> None:
        """Add somebody who cannot sign in yet. Raises `Taken`, `StoreError`."""
        flat = [word for pair in {**fields, "created": str(self._now())}.items() for word in pair]
        if not await self.run("add", name, *flat):
            raise Taken(name)

    async def set(self, name: str, fields: Mapping[str, str]) -> None:
        """Change what is known of somebody; "" takes a field back. Raises `NoPerson`, `StoreError`."""
        if not await self.run("set", name, *(word for pair in fields.items() for word in pair)):
            raise NoPerson(name[:LONGEST_NAME])

    async def drop(self, name: str) -> None:
        """Forget somebody and end their sessions. Raises `NoPerson`, `StoreError`."""
        if not await self.run("drop", name):
            raise NoPerson(name[:LONGEST_NAME])

    async def invite(self, name: str) -> str:
        """Return a secret with which *name* can set a password, once. Raises `StoreError`."""
        secret = secrets.token_urlsafe(32)
        await self.do("SET", shared_key(GROUP, f"i:{hashed(secret)}"), name, "PX", INVITATION)
        return secret

    async def invited(self, secret: str) -> str:
        """Return whom a secret of `invite` is for, "" if it is none. Raises `StoreError`."""
        return await self.do("GET", shared_key(GROUP, f"i:{hashed(secret)}")) or ""

    async def redeem(self, secret: str) -> str:
        """Take such a secret; the second time it is none. Raises `StoreError`."""
        return await self.do("GETDEL", shared_key(GROUP, f"i:{hashed(secret)}")) or ""

    async def turn(self, name: str, gap: float, burst: int, count: int = 1) -> tuple[int, int]:
        """Take *count* turns at *name*, of which one comes back every *gap* milliseconds, *burst* at most.

        Returns how many milliseconds to wait (0: they are taken) and how many more there are. Raises `StoreError`.
        """
        wait, left = await self.run("turn", name, gap, burst, count)
        return int(wait), int(left)

    async def give_back(self, name: str) -> None:
        """Forget the turns that were taken at *name*. Raises `StoreError`."""
        await self.do("DEL", shared_key(GROUP, f"t:{name}"))
