"""Passwords: argon2id, computed beside the event loop, a few at a time."""

from __future__ import annotations

import asyncio
import secrets
import unicodedata

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

SHORTEST = 10
LONGEST = 256
MEMORY = 46 << 10
"""KiB. Twice through it takes some 60 ms of one core; OWASP asks for once."""

AT_ONCE = 2
"""More at once would starve the messages."""

WORST = frozenset({"1234567890", "0123456789", "qwertyuiop", "1q2w3e4r5t", "password123", "passw0rd123", "iloveyou123"})


class Weak(ValueError):
    """A password that nobody should have; the text says why."""


class Passwords:
    """Makes and checks hashes. Whether somebody exists cannot be told from how long a check takes."""

    def __init__(self) -> None:
        self._hasher = PasswordHasher(time_cost=2, memory_cost=MEMORY, parallelism=1)
        self._turn = asyncio.Semaphore(AT_ONCE)
        self._nobody = ""

    async def hash(self, password: str) -> str:
        """Return what the store keeps of a password."""
        async with self._turn:
            return await asyncio.to_thread(self._hasher.hash, plain(password))

    async def fits(self, known: str, password: str) -> bool:
        """Tell whether *password* is the one that *known* was made of; *known* may be "" for nobody."""
        if not self._nobody:
            self._nobody = await self.hash(secrets.token_urlsafe())
        if len(password) > LONGEST:
            known, password = "", ""
        async with self._turn:
            right = await asyncio.to_thread(self._verify, known or self._nobody, plain(password))
        return right and bool(known)

    def _verify(self, known: str, password: str) -> bool:
        try:
            return self._hasher.verify(known, password)
        except (VerificationError, InvalidHashError):
            return False

    def stale(self, known: str) -> bool:
        """Tell whether a hash was made more cheaply than is done now."""
        return self._hasher.check_needs_rehash(known)


def plain(password: str) -> str:
    """Return the form of a password that does not depend on the keyboard."""
    return unicodedata.normalize("NFKC", password).encode(errors="replace").decode()


def check(password: str, person: str) -> None:
    """Accept a new password of *person*. Raises `Weak`."""
    if not SHORTEST <= len(password) <= LONGEST:
        raise Weak(f"a password has {SHORTEST} to {LONGEST} characters")
    small = plain(password).casefold()
    rest = small.replace(person, "") if person else small
    if len(set(small)) < 4 or small in WORST or len(rest) < 4 or rest.isdigit():
        raise Weak("that is among the first that would be tried; take several words")
