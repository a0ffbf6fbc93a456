"""The second factor: codes of an authenticator app (RFC 6238), each good once, and recovery codes for a lost phone."""

from __future__ import annotations

import base64
import hmac
import secrets
from collections.abc import Callable

import pyotp

from inbox.partitions import shared_key
from inbox.people import GROUP, People, Person, hashed

STEP = 30
DRIFT = 1
"""Steps by which a phone's clock may be wrong."""

RECOVERY = 10
TRYING = 15 * 60_000
"""How long an app may take to be set up, in milliseconds."""


class SecondFactor:
    """Codes of all people, shared by all processes."""

    def __init__(self, people: People, now: Callable[[], int]) -> None:
        self._people = people
        self._now = now

    async def propose(self, person: str, issuer: str) -> tuple[str, str]:
        """Return a new secret, and its otpauth address for a QR code; it counts once a code of it is shown."""
        secret = pyotp.random_base32()
        await self._people.do("SET", self._trying(person), secret, "PX", TRYING)
        return secret, pyotp.TOTP(secret).provisioning_uri(name=person, issuer_name=issuer)

    async def confirm(self, person: str, code: str) -> list[str]:
        """Take the proposed secret into use; return the recovery codes, [] if the code is wrong.

        Raises `StoreError`.
        """
        secret = await self._people.do("GET", self._trying(person))
        step = self._step(secret, code) if secret else None
        if step is None:
            return []
        codes = [base64.b32encode(secrets.token_bytes(10)).decode().lower() for _ in range(RECOVERY)]
        box = shared_key(GROUP, f"rc:{person}")
        await self._people.do("DEL", box)
        await self._people.do("SADD", box, *(hashed(one) for one in codes))
        await self._people.set(person, {"totp": secret, "totp_step": str(step)})
        await self._people.do("DEL", self._trying(person))
        return codes

    async def forget(self, person: str) -> None:
        """Do without. Raises `NoPerson`, `StoreError`."""
        await self._people.set(person, {"totp": "", "totp_step": ""})
        await self._people.do("DEL", shared_key(GROUP, f"rc:{person}"))

    async def fits(self, person: Person, code: str) -> bool:
        """Take a code of the app, or a recovery code; each is good once. Raises `StoreError`."""
        code = "".join(code.split()).replace("-", "").lower()
        step = self._step(person.totp, code)
        if step is not None:
            return bool(await self._people.run("step", person.id, step))
        if len(code) != 16:
            return False
        return bool(await self._people.do("SREM", shared_key(GROUP, f"rc:{person.id}"), hashed(code)))

    async def left(self, person: str) -> int:
        """Return how many recovery codes are left. Raises `StoreError`."""
        return int(await self._people.do("SCARD", shared_key(GROUP, f"rc:{person}")))

    def _step(self, secret: str, code: str) -> int | None:
        """Return the step in which a code is shown, None if it is none of now."""
        current, app = self._now() // 1000 // STEP, pyotp.TOTP(secret)
        found = None
        for step in range(current - DRIFT, current + DRIFT + 1):
            if hmac.compare_digest(app.at(step * STEP).encode(), code.encode(errors="replace")):
                found = step
        return found

    @staticmethod
    def _trying(person: str) -> str:
        return shared_key(GROUP, f"try:{person}")
