"""A small client of the hub's own API, for the command line."""

from __future__ import annotations

import json
import os
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass
from typing import Any

from config.settings import Settings
from inbox.api import PREFIX

TIMEOUT = 30.0


class NoHub(Exception):
    """The hub does not answer, or does not know us."""


class Refused(Exception):
    """The hub says no; the text is its reason."""


@dataclass(frozen=True, slots=True)
class Client:
    """Calls the hub at *base* with *token*."""

    base: str
    token: str

    @classmethod
    def of(cls, settings: Settings) -> Client:
        """Return a client for the hub of this configuration, on this machine.

        The token is $HUILIU_API_TOKEN, else the one that the running hub keeps beside its data.
        Raises `NoHub` when there is neither.
        """
        token = os.environ.get("HUILIU_API_TOKEN", "")
        if not token:
            try:
                token = (settings.store.path / "cli.token").read_text(encoding="utf-8")
            except OSError:
                raise NoHub("no hub has run with this configuration on this machine") from None
        host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(settings.http.host, settings.http.host)  # noqa: S104  # compared, not bound
        return cls(f"http://{host}:{settings.http.port}", token)

    def get(self, path: str, **query: str | int) -> Any:
        """GET below /api/v1. Raises `NoHub`, `Refused`."""
        wanted = urllib.parse.urlencode({name: value for name, value in query.items() if value not in {"", None}})
        return self._call("GET", f"{path}?{wanted}" if wanted else path, None)

    def post(self, path: str, body: dict[str, Any] | None = None) -> Any:
        """POST below /api/v1. Raises `NoHub`, `Refused`."""
        return self._call("POST", path, json.dumps(body or {}).encode())

    def put(self, path: str, body: dict[str, Any]) -> Any:
        """PUT below /api/v1. Raises `NoHub`, `Refused`."""
        return self._call("PUT", path, json.dumps(body).encode())

    def _call(self, method: str, path: str, body: bytes | None) -> Any:
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
        request = urllib.request.Request(f"{self.base}{PREFIX}{path}", body, headers, method=method)  # noqa: S310  # our own host
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT) as response:  # noqa: S310  # our own host
                return json.load(response)
        except urllib.error.HTTPError as error:
            try:
                problem = json.load(error)
            except ValueError:
                problem = {"title": f"status {error.code}"}
            if error.code == 401:
                raise NoHub("the hub does not know this token") from None
            raise Refused(": ".join(filter(None, (problem.get("title"), problem.get("detail"))))) from None
        except (urllib.error.URLError, OSError, TimeoutError):
            raise NoHub(f"no hub answers at {self.base}") from None
