"""A small client of the hub's own API, for the command line."""

from __future__ import annotations

import json
import os
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from config.settings import Settings
from inbox.api import PREFIX
from inbox.refusals import said, told

TIMEOUT = 30.0
SLOW = 600.0
"""Seconds for what reads or writes a great deal."""

PATIENCE = 60.0
"""Seconds without a word after which a report is given up; the hub says twice a second how far it is."""


class NoHub(Exception):
    """The hub does not answer, or does not know us."""


class NoToken(NoHub):
    """The hub does not know the token."""


class Refused(Exception):
    """The hub says no; the text is its reason.

    *status* is that of its answer, *problem* the whole of it, *wait* after how many seconds one may try again (0: never
    or unknown).
    """

    def __init__(self, text: str, status: int = 0, problem: Mapping[str, Any] | None = None, wait: int = 0) -> None:
        super().__init__(text)
        self.status, self.problem, self.wait = status, problem or {}, wait


@dataclass(frozen=True, slots=True)
class Client:
    """Calls the hub at *base* with *token*; *language* is the one in which it answers and complains, if given."""

    base: str
    token: str
    language: str = ""

    @classmethod
    def of(cls, settings: Settings, language: str = "") -> Client:
        """Return a client for the hub of this configuration, on this machine, that speaks *language*.

        The token is $HUILIU_API_TOKEN, else the one that the running hub keeps beside its data.
        Raises `NoHub` when there is neither.
        """
        token = os.environ.get("HUILIU_API_TOKEN", "")
        if not token:
            try:
                token = (settings.store.path / "cli.token").read_text(encoding="utf-8")
            except OSError:
                raise NoHub(said("no hub has run with this configuration on this machine", language)) from None
        host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(settings.http.host, settings.http.host)  # noqa: S104  # compared, not bound
        return cls(f"http://{host}:{settings.http.port}", token, language)

    def get(self, path: str, **query: str | int) -> Any:
        """GET below /api/v1. Raises `NoHub`, `Refused`."""
        wanted = urllib.parse.urlencode({name: value for name, value in query.items() if value not in {"", None}})
        return self._call("GET", f"{path}?{wanted}" if wanted else path, None)

    def post(self, path: str, body: dict[str, Any] | None = None, *, patience: float = TIMEOUT) -> Any:
        """POST below /api/v1; *patience* is in seconds. Raises `NoHub`, `Refused`."""
        return self._call("POST", path, json.dumps(body or {}).encode(), patience)

    def upload(self, path: str, data: bytes, **query: str) -> Any:
        """POST a file as it is, below /api/v1. Raises `NoHub`, `Refused`."""
        wanted = urllib.parse.urlencode({name: value for name, value in query.items() if value})
        with self.opened("POST", f"{path}?{wanted}", data, patience=SLOW) as response:
            return json.load(response)

    def fetch(self, path: str, **query: str) -> Iterator[bytes]:
        """GET a file piece by piece, below /api/v1. Raises `NoHub`, `Refused`."""
        wanted = urllib.parse.urlencode({name: value for name, value in query.items() if value})
        with self.opened("GET", f"{path}?{wanted}", patience=SLOW) as response:
            try:
                while piece := response.read(1 << 16):
                    yield piece
            except (OSError, ValueError):
                raise self._lost("the connection to the hub was lost") from None

    def put(self, path: str, body: dict[str, Any]) -> Any:
        """PUT below /api/v1. Raises `NoHub`, `Refused`."""
        return self._call("PUT", path, json.dumps(body).encode())

    def download(self, path: str, hears: Callable[[float], None], **query: str) -> Iterator[bytes]:
        """GET a report piece by piece; *hears* is told how far it is, from 0 to 1. Raises `NoHub`, `Refused`."""
        wanted = urllib.parse.urlencode({"progress": "true", **{name: value for name, value in query.items() if value}})
        with self.opened("GET", f"{path}?{wanted}", patience=PATIENCE) as response:
            try:
                for line in response:
                    news = json.loads(line)
                    if "error" in news:
                        raise Refused(said(news["error"], self.language))
                    if "size" in news:
                        break
                    hears(news["progress"])
                else:
                    raise self._lost("the hub stopped before the report was made")
                hears(1.0)
                left = news["size"]
                while left > 0:
                    piece = response.read(min(left, 1 << 16))
                    if not piece:
                        raise self._lost("the hub stopped in the middle of the report")
                    left -= len(piece)
                    yield piece
            except (OSError, ValueError):
                raise self._lost("the connection to the hub was lost") from None

    def delete(self, path: str) -> Any:
        """DELETE below /api/v1. Raises `NoHub`, `Refused`."""
        return self._call("DELETE", path, None)

    def _call(self, method: str, path: str, body: bytes | None, patience: float = TIMEOUT) -> Any:
        with self.opened(method, path, body, patience=patience) as response:
            try:
                return json.load(response)
            except (OSError, TimeoutError):
                raise self._lost(f"no hub answers at {self.base}") from None

    def _lost(self, why: str) -> NoHub:
        return NoHub(said(why, self.language))

    def opened(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        *,
        patience: float = TIMEOUT,
        more: Mapping[str, str] | None = None,
    ) -> Any:
        """Send a request with *more* headers and return the response, to be read and closed.

        *patience* is for how many seconds the hub may be silent. Raises `NoHub`, `Refused`.
        """
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json", **(more or {})}
        if self.language:
            headers["Accept-Language"] = self.language
        request = urllib.request.Request(f"{self.base}{PREFIX}{path}", body, headers, method=method)  # noqa: S310  # our own host
        try:
            return urllib.request.urlopen(request, timeout=patience)  # noqa: S310  # our own host
        except urllib.error.HTTPError as error:
            with error:
                try:
                    problem = json.load(error)
                except ValueError:
                    problem = {"title": f"status {error.code}"}
            if error.code == 401:
                raise NoToken(said("the hub does not know this token", self.language)) from None
            text = told(problem.get("title", ""), problem.get("detail", ""), self.language)
            raise Refused(text, error.code, problem, int(error.headers.get("Retry-After", 0))) from None
        except (urllib.error.URLError, OSError, TimeoutError):
            raise self._lost(f"no hub answers at {self.base}") from None
