"""The API's own pages: its description for machines, and the same for people, without any other host."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import metadata
from pathlib import Path

from aiohttp import web

from inbox.api import ANYONE, HEADERS, Ask, Problem, Route, encode
from inbox.openapi import Operations, document

PAGES = Path(__file__).parent / "pages"
KINDS = {".html": "text/html", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


class Manual:
    """Serves them. *routes* are all routes of the API, *operations* what each takes and gives."""

    def __init__(self, routes: Callable[[], Sequence[Route]], operations: Callable[[], Operations]) -> None:
        self._routes = routes
        self._operations = operations
        self._said = b""
        self._files = {path.name: path.read_bytes() for path in PAGES.iterdir() if path.name.startswith("docs.")}

    def routes(self) -> list[Route]:
        """Return the table: method, path, least role, handler."""
        return [
            Route("GET", "/openapi.json", ANYONE, self.describe),
            Route("GET", "/docs", ANYONE, self.page),
            Route("GET", "/docs/{file}", ANYONE, self.file),
        ]

    async def describe(self, _: Ask) -> web.Response:
        """The description."""
        if not self._said:
            self._said = encode(document(self._routes(), self._operations(), metadata.version("huiliu")))
        return web.Response(body=self._said, headers=HEADERS, content_type="application/json")

    async def page(self, _: Ask) -> web.Response:
        """The page for people."""
        return self._served("docs.html")

    async def file(self, ask: Ask) -> web.Response:
        """What the page needs."""
        return self._served(ask.part("file"))

    def _served(self, name: str) -> web.Response:
        data = self._files.get(name)
        if data is None:
            raise Problem(404, "There is no such page")
        headers = {**HEADERS, "Content-Security-Policy": POLICY}
        kind = KINDS[Path(name).suffix]
        return web.Response(body=data, headers=headers, content_type=kind, charset="utf-8")
