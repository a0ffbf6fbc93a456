"""The API of what the law gives a person: to see everything that is kept of them, and to have it erased."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

import msgspec
from aiohttp import web

from inbox.api import HEADERS, Ask, Problem, Route, answer
from inbox.rewriting import Disturbed
from outbox.dossier import Dossier
from outbox.erasing import BeingSent, Erased, Eraser

CHUNK = 1 << 16
LONGEST = 500


class EraseBody(msgspec.Struct, forbid_unknown_fields=True):
    """POST /contacts/{id}/erase."""

    reason: str = ""
    dry_run: bool = False


@dataclass(frozen=True, slots=True)
class PersonalApi:
    """What the endpoints need."""

    dossier: Dossier
    eraser: Eraser

    def routes(self) -> list[Route]:
        """Return the table: method, path, least role, handler."""
        return [
            Route("GET", "/contacts/{id}/export", "admin", self.export),
            Route("POST", "/contacts/{id}/erase", "admin", self.erase),
        ]

    async def export(self, ask: Ask) -> web.StreamResponse:
        """Everything about one person as a ZIP archive."""
        file = await self.dossier.make(ask.part("id"))
        disposition = f'attachment; filename="{ask.part("id")}.zip"'
        headers = {**HEADERS, "Content-Type": "application/zip", "Content-Disposition": disposition}
        with file:
            response = web.StreamResponse(headers={**headers, **ask.headers})
            await response.prepare(ask.request)
            while data := await asyncio.to_thread(file.read, CHUNK):
                await response.write(data)
            await response.write_eof()
        return response

    async def erase(self, ask: Ask) -> web.Response:
        """Remove a person, or say what that would remove."""
        body = await ask.body(EraseBody)
        if len(body.reason) > LONGEST:
            raise Problem(422, "The body does not fit", f"a reason has at most {LONGEST} characters")
        if body.dry_run:
            ask.facts["unchanged"] = True
            return answer(erased_shape(ask.part("id"), await self.eraser.look(ask.part("id")), dry_run=True))
        try:
            done = await self.eraser.erase(ask.part("id"), ask.actor, body.reason)
        except (BeingSent, Disturbed):
            detail = "an answer to the person is being sent; the hub goes on by itself in a minute"
            raise Problem(409, "Not at this moment", detail) from None
        return answer(erased_shape(ask.part("id"), done, dry_run=False))


def erased_shape(contact: str, one: Erased, *, dry_run: bool) -> dict[str, Any]:
    """Return what went and what stays as the API shows it."""
    return {
        "id": contact,
        "dry_run": dry_run,
        "state": one.state,
        "goes": one.goes,
        "stays": [{"what": what, "count": count, "why": why} for what, count, why in one.stays],
    }
