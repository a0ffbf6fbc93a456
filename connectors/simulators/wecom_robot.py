"""Message pushes into WeCom groups as the platform behaves: a key, 20 messages a minute, and its rules for contents.

Sources: the documents named in docs/channels/wecom-robot.md.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import secrets
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from aiohttp import web

from connectors.simulators.faults import Fault, Faults, Refused
from connectors.simulators.wecom_corp import ERRORS, MEDIA_LIFE, UPLOADS, Delivered, check_text, read

__all__ = ["Delivered", "Fault", "WeComRobots"]

PER_MINUTE = 20
TEXTS = {"text": 2048, "markdown": 4096, "markdown_v2": 4096}
PICTURE_LIMIT = 2 << 20


class WeComRobots:
    """One robot with its group. Serve `app`; *now* returns milliseconds since 1970 UTC."""

    def __init__(self, key: str, now: Callable[[], int] = lambda: time.time_ns() // 1_000_000) -> None:
        self.key = key
        self.received: list[Delivered] = []
        self.files: dict[str, tuple[str, bytes, int, str]] = {}
        self._now = now
        self._sent: deque[int] = deque()
        self._faults = Faults()
        self.calls = self._faults.calls
        self.app = self._application()

    def fail(self, call: str, fault: Fault, times: int = 1) -> None:
        """Let the next *times* calls of *call* ("webhook/send", "webhook/upload_media") go wrong."""
        self._faults.add(call, fault, times)

    def _application(self) -> web.Application:
        app = web.Application(client_max_size=32 << 20, middlewares=[self._answer])
        app.router.add_post("/cgi-bin/webhook/send", self._send)
        app.router.add_post("/cgi-bin/webhook/upload_media", self._upload)
        app.on_shutdown.append(self._faults.shut)
        return app

    @web.middleware
    async def _answer(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        return await self._faults.answer(request.path.removeprefix("/cgi-bin/"), request, handler, ERRORS)

    async def _send(self, request: web.Request) -> web.Response:
        self._check_key(request)
        asked = read(await request.read())
        kind = str(asked.get("msgtype"))
        content = asked.get(kind)
        if not isinstance(content, dict):
            raise Refused(40008)
        self._check_content(kind, content)
        self._spend()
        self.received.append(Delivered(kind, content, self._now()))
        return web.json_response({"errcode": 0, "errmsg": "ok"})

    async def _upload(self, request: web.Request) -> web.Response:
        self._check_key(request)
        kind = request.query.get("type", "")
        file = (await request.post()).get("media")
        if kind not in ("file", "voice"):
            raise Refused(40004)
        if not isinstance(file, web.FileField):
            raise Refused(40005)
        data = file.file.read()
        limit, marks = UPLOADS[kind]
        if not 5 < len(data) <= limit:
            raise Refused(40006)
        if not data.startswith(marks):
            raise Refused(40005)
        media_id = secrets.token_urlsafe(32)
        self.files[media_id] = (file.content_type, data, self._now() + MEDIA_LIFE * 1000, file.filename)
        return web.json_response({"errcode": 0, "errmsg": "ok", "type": kind, "media_id": media_id, "created_at": "1"})

    def _check_key(self, request: web.Request) -> None:
        if request.query.get("key") != self.key:
            raise Refused(93000)

    def _check_content(self, kind: str, content: Mapping[str, Any]) -> None:
        if kind in TEXTS:
            text = content.get("content")
            if isinstance(text, str) and len(text.encode()) > TEXTS[kind]:
                raise Refused(40058)
            check_text(text, TEXTS[kind])
        elif kind == "image":
            check_picture(content)
        elif kind in ("file", "voice"):
            if self.files.get(str(content.get("media_id")), ("", b"", 0, ""))[2] <= self._now():
                raise Refused(40007)
        elif kind == "news":
            articles = content.get("articles")
            if not isinstance(articles, list) or not 1 <= len(articles) <= 8:
                raise Refused(40058)
            for article in articles:
                check_text(article.get("title"), 128)
                check_text(article.get("description", "-"), 512)
                check_text(article.get("url"), 2048)
        else:
            raise Refused(40008)

    def _spend(self) -> None:
        now = self._now()
        while self._sent and self._sent[0] <= now - 60_000:
            self._sent.popleft()
        if len(self._sent) >= PER_MINUTE:
            raise Refused(45009)
        self._sent.append(now)


def check_picture(content: Mapping[str, Any]) -> None:
    """Refuse a picture that is none, too large, or not the one that its md5 names."""
    try:
        data = base64.b64decode(str(content.get("base64")), validate=True)
    except binascii.Error:
        raise Refused(40058) from None
    if not 0 < len(data) <= PICTURE_LIMIT:
        raise Refused(40009)
    if not data.startswith((b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n")):
        raise Refused(40005)
    if content.get("md5") != hashlib.md5(data, usedforsecurity=False).hexdigest():
        raise Refused(301019)
