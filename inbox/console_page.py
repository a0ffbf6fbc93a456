"""The console as it is served: one page and its modules, as they lie in the package, without a build.

Owns their addresses, caching, compression and policy. Every file stands below a name that derives from the content of
all of them, so that browsers keep it for good, and no page mixes modules of two versions.
"""

from __future__ import annotations

import gzip
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from aiohttp import web

FOLDER = Path(__file__).parent / "console"
ADDRESS = "/console/"
KINDS = {
    ".html": "text/html",
    ".js": "text/javascript",
    ".css": "text/css",
    ".json": "application/json",
    ".svg": "image/svg+xml",
}
# Nothing in the console turns text into markup or code: a browser that knows trusted types refuses it outright.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' blob:; "
    "frame-src blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Vary": "Accept-Encoding",
}
FOR_GOOD = "public, max-age=31536000, immutable"
GZIP = re.compile(r"(?:^|,)\s*(?:gzip|\*)\s*(?:;\s*q=(?!0(?:\.0*)?\s*(?:,|$)))?", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class File:
    """A file in both forms in which it is sent."""

    kind: str
    plain: bytes
    packed: bytes
    tag: str


class ConsolePage:
    """Serves what lies in *folder*; `version` changes with any of it."""

    def __init__(self, folder: Path = FOLDER) -> None:
        contents = {
            path.relative_to(folder).as_posix(): path.read_bytes()
            for path in sorted(folder.rglob("*"))
            if path.suffix in KINDS
        }
        self.version = _version(contents)
        page = contents.pop("index.html").replace(b"{version}", self.version.encode())
        self._page = _file("index.html", page)
        self.files = {name: _file(name, data) for name, data in contents.items()}

    def routes(self) -> list[web.RouteDef]:
        """Return what aiohttp's router takes."""
        return [
            web.get("/", self.lead),
            web.get(ADDRESS.rstrip("/"), self.lead),
            web.get(ADDRESS, self.page),
            web.get(ADDRESS + "{version}/{name:.+}", self.file),
        ]

    async def lead(self, _: web.Request) -> web.Response:
        """From where people look for it to where it is."""
        return web.Response(status=302, headers={**HEADERS, "Cache-Control": "no-store", "Location": ADDRESS})

    async def page(self, request: web.Request) -> web.Response:
        """The page: asked for anew each time, sent only when it has changed."""
        return _served(request, self._page, "no-cache")

    async def file(self, request: web.Request) -> web.Response:
        """One of its files. Of another version only what there is now, and not to be kept: hubs may be of two ages."""
        file = self.files.get(request.match_info["name"])
        if file is None:
            headers = {**HEADERS, "Cache-Control": "no-store"}
            return web.Response(status=404, text="There is no such file.", headers=headers)
        return _served(request, file, FOR_GOOD if request.match_info["version"] == self.version else "no-cache")


def _version(contents: Mapping[str, bytes]) -> str:
    digest = hashlib.sha256()
    for name, data in sorted(contents.items()):
        digest.update(f"{name}\0{len(data)}\0".encode() + data)
    return digest.hexdigest()[:12]


def _file(name: str, data: bytes) -> File:
    packed = gzip.compress(data, 9, mtime=0)
    return File(KINDS[Path(name).suffix], data, packed, f'"{hashlib.sha256(data).hexdigest()[:20]}"')


def _served(request: web.Request, file: File, caching: str) -> web.Response:
    headers = {**HEADERS, "Cache-Control": caching, "ETag": file.tag}
    if file.tag in request.headers.get("If-None-Match", ""):
        return web.Response(status=304, headers=headers)
    packed = GZIP.search(request.headers.get("Accept-Encoding", "")) is not None and len(file.packed) < len(file.plain)
    if packed:
        headers["Content-Encoding"] = "gzip"
    return web.Response(
        body=file.packed if packed else file.plain, headers=headers, content_type=file.kind, charset="utf-8"
    )
