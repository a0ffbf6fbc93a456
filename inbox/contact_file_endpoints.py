"""The API of contacts as files: taking a CSV in, with a preview, and giving one out."""

from __future__ import annotations

import asyncio
import csv
import io
import tempfile
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from inbox import register
from inbox.api import HEADERS, Ask, Problem, Route, answer, rfc3339
from inbox.cells import written
from inbox.contact_files import HEADS, BadFile, guarded, read, row
from inbox.contacts import addresses_of
from inbox.importing import Import, Importer
from inbox.register import Wanted
from inbox.store import Store

LARGEST = 24 << 20
IN_MEMORY = 4 << 20
CHUNK = 1 << 16
MOST_FAULTS = 1_000


@dataclass(frozen=True, slots=True)
class ContactFiles:
    """What the endpoints need. *consent* tells in a line what is known of addresses."""

    store: Store
    importer: Importer
    consent: Callable[[Sequence[str]], Awaitable[str]]
    region: Callable[[], str]

    def routes(self) -> list[Route]:
        """Return the table: method, path, least role, handler."""
        return [
            Route("GET", "/contacts/export", "admin", self.export),
            Route("POST", "/contacts/import", "admin", self.take),
        ]

    async def export(self, ask: Ask) -> web.StreamResponse:
        """Customers as CSV."""
        wanted = Wanted(ask.query("q"), ask.query("tag"), ask.query("tier"), ask.query("language"))
        with tempfile.SpooledTemporaryFile(IN_MEMORY) as file:
            await self._write(file, wanted)
            file.seek(0)
            headers = {**HEADERS, **ask.headers, "Content-Type": "text/csv; charset=utf-8"}
            headers["Content-Disposition"] = 'attachment; filename="contacts.csv"'
            response = web.StreamResponse(headers=headers)
            await response.prepare(ask.request)
            while data := await asyncio.to_thread(file.read, CHUNK):
                await response.write(data)
            await response.write_eof()
        return response

    async def _write(self, file: Any, wanted: Wanted) -> None:
        text = io.TextIOWrapper(file, encoding="utf-8-sig", errors="replace", newline="", write_through=True)
        table = csv.writer(text, lineterminator="\r\n")
        table.writerow(HEADS)
        async for one in register.every(self.store, wanted):
            since = rfc3339(int(one.fields.get("since") or 0)) or ""
            known = await self.consent(addresses_of(one.fields))
            table.writerow([written(guarded(cell)) for cell in row(one.id, one.fields, since, known)])
        text.detach()

    async def take(self, ask: Ask) -> web.Response:
        """Take a file of customers in, or say what that would do."""
        said = ask.query("preview")
        if said not in ("", "true", "false"):
            raise Problem(400, "Bad parameter", "preview must be true or false")
        data = await ask.read(LARGEST)
        try:
            reading = await asyncio.to_thread(read, data, self.region())
        except BadFile as error:
            raise Problem(422, "The file cannot be read", str(error)) from None
        preview = said == "true"
        if preview:
            ask.facts["unchanged"] = True
        return answer(import_shape(await self.importer.take(reading, ask.actor, preview=preview), preview=preview))


def import_shape(done: Import, *, preview: bool) -> dict[str, Any]:
    """Return what became of a file as the API shows it."""
    return {
        "preview": preview,
        "rows": done.rows,
        "counts": {name: done.counts[name] for name in ("created", "changed", "unchanged", "refused")},
        "faults": [
            {"line": one.line, "column": one.column or None, "why": one.why} for one in done.faults[:MOST_FAULTS]
        ],
        "items": [{"line": one.line, "outcome": one.outcome, "contact": one.contact or None} for one in done.items],
    }
