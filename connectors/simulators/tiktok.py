"""TikTok Shop's customer-service platform: conversations, the signed API, token refresh and pushes.

It checks what TikTok checks (signature, time, token, shop_cipher, limits, the right to write) with
code of its own, and shares nothing with the connector. ``TikTokPlatform(...).app`` is an aiohttp
application; buyers write with `TikTokPlatform.write`, people in Seller Center with `TikTokPlatform.reply`.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import struct
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

import aiohttp
from aiohttp import web

from connectors.simulators.tiktok_pushes import Faults, Push, Pusher

DAY = 86_400_000
IMAGES = {b"\x89PNG\r\n\x1a\n": "image/png", b"GIF8": "image/gif", b"\xff\xd8\xff": "image/jpeg", b"RIFF": "image/webp"}
CARDS = {
    "PRODUCT_CARD": "product_id",
    "ORDER_CARD": "order_id",
    "LOGISTICS_CARD": "order_id",
    "RETURN_REFUND_CARD": "order_id",
    "COUPON_CARD": "coupon_id",
    "VIDEO": "vid",
}


class Refused(Exception):
    """The platform's answer to a request it does not accept."""

    def __init__(self, status: int, code: int, message: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self.code = code
        self._body = {"code": code, "message": message, "request_id": f"sim-{code}", "data": None}
        self._status = status
        self._headers = headers or {}

    def answer(self) -> web.Response:
        """Return it as the platform sends it."""
        return web.json_response(self._body, status=self._status, headers=self._headers)


@dataclass(slots=True)
class Conversation:
    """A buyer's conversation with the shop; times are in milliseconds."""

    id: str
    buyer: str
    im_user_id: str
    user_id: str
    created: int
    last_chat: int = 0
    last_order: int = 0
    returned: bool = False
    unread: int = 0
    messages: list[dict[str, Any]] = field(default_factory=list)

    def can_send(self, now: int) -> bool:
        """Tell whether the shop may write: a chat within 30 days, an order within 60, or any return."""
        return now - self.last_chat <= 30 * DAY or now - self.last_order <= 60 * DAY or self.returned

    @property
    def texts(self) -> list[str]:
        """Return what our side sent as text, in order."""
        own = [message for message in self.messages if message["sender"]["role"] != "BUYER"]
        return [json.loads(message["content"])["content"] for message in own if message["type"] == "TEXT"]


class TikTokPlatform:
    """One app and one authorized shop on TikTok's side. *now* tells milliseconds since 1970 UTC."""

    def __init__(
        self,
        app_key: str,
        app_secret: str,
        shop_cipher: str,
        hub_url: str = "",
        *,
        access_token: str = "TTP_access-1",
        refresh_token: str = "TTR_refresh-1",
        shop_id: str = "7494049642642441621",
        now: Callable[[], int] = lambda: int(time.time() * 1000),
        rate: int = 50,
        quota: int = 10_000,
        attempts: int = 5,
        pause: float = 0.2,
    ) -> None:
        self.app_key, self.shop_cipher, self.shop_id = app_key, shop_cipher, shop_id
        self.access_token, self.refresh_token = access_token, refresh_token
        self.expires = now() // 1000 + 7 * 86400
        self.faults = Faults()
        self.banned: set[str] = set()
        self.conversations: dict[str, Conversation] = {}
        self.refused: list[int] = []
        """Codes of what was not accepted."""
        self.refreshes = 0
        self.requests = 0
        self._secret = app_secret
        self._now = now
        self._rate, self._quota = rate, quota
        self._pusher = Pusher(app_key, app_secret, hub_url, self.faults, now, attempts=attempts, pause=pause)
        self._recent: deque[float] = deque()
        self._images: dict[str, tuple[bytes, str]] = {}
        self._last_index = 0
        self._serial = 7_494_560_109_732_334_000
        self.app = self._application()

    async def write(
        self, buyer: str, text: str = "", *, type: str = "TEXT", content: Any = None, visible: bool = True
    ) -> Push | None:
        """Let *buyer* write; return the push once the hub has answered it (None while pushes are held)."""
        conversation = self.conversation(buyer)
        conversation.last_chat = self._now()
        conversation.unread += 1
        inner = json.dumps({"content": text} if content is None else content, ensure_ascii=False)
        return await self._say(conversation, "BUYER", type, inner, visible=visible)

    async def reply(self, buyer: str, text: str) -> Push | None:
        """Let a person in Seller Center answer *buyer*; the hub hears it as an echo."""
        inner = json.dumps({"content": text}, ensure_ascii=False)
        return await self._say(self.conversation(buyer), "CUSTOMER_SERVICE", "TEXT", inner)

    async def enter(self, buyer: str) -> Push | None:
        """Let *buyer* open the chat: NEW_CONVERSATION."""
        conversation = self.conversation(buyer)
        data = {"conversation_id": conversation.id, "create_time": conversation.created // 1000}
        return await self._pusher.push(13, self.shop_id, self._id(), data)

    def conversation(self, buyer: str) -> Conversation:
        """Return *buyer*'s conversation; a buyer has one with the shop, for ever."""
        if buyer not in self.conversations:
            ids = [self._id() for _ in range(3)]
            self.conversations[buyer] = Conversation(ids[0], buyer, ids[1], ids[2], self._now())
        return self.conversations[buyer]

    def expire(self) -> None:
        """Let the access token expire now."""
        self.expires = 0

    @property
    def hub_url(self) -> str:
        """Where pushes go; it may be set once the hub's port is known."""
        return self._pusher.hub_url

    @hub_url.setter
    def hub_url(self, url: str) -> None:
        self._pusher.hub_url = url

    def sign(self, body: bytes) -> Push:
        """Return *body*, whatever it is, as a push with a good signature."""
        return self._pusher.sign(body)

    async def release(self) -> list[Push]:
        """Make the pushes held back, the newest first."""
        return await self._pusher.release()

    async def settled(self) -> None:
        """Wait until every push that a send set off has been answered or given up."""
        await self._pusher.settled()

    @property
    def pushes(self) -> list[Push]:
        """Every push so far."""
        return self._pusher.pushes

    def picture(self, data: bytes, origin: str) -> str:
        """Keep *data* as if somebody had uploaded it, and return its address below *origin*."""
        found = [type_ for magic, type_ in IMAGES.items() if data.startswith(magic)]
        if not found or len(data) > 10 << 20:
            raise Refused(400, 45101002, "Invalid params: the image must be jpg, gif, webp or png up to 10MB.")
        name = f"{self._id()}~tplv-origin.{found[0].partition('/')[2]}"
        self._images[name] = (data, found[0])
        return f"{origin}/media/{name}"

    def _application(self) -> web.Application:
        app = web.Application(client_max_size=12 << 20, middlewares=[self._gate])
        service = "/customer_service/{version:\\d{6}}"
        app.router.add_get("/api/v2/token/refresh", self._refresh)
        app.router.add_get("/media/{name}", self._media)
        app.router.add_get(f"{service}/conversations", self._list)
        app.router.add_post(f"{service}/conversations", self._create)
        app.router.add_get(f"{service}/conversations/{{id}}", self._show)
        app.router.add_get(f"{service}/conversations/{{id}}/messages", self._messages)
        app.router.add_post(f"{service}/conversations/{{id}}/messages", self._send)
        app.router.add_post(f"{service}/conversations/{{id}}/messages/read", self._read)
        app.router.add_post(f"{service}/images/upload", self._upload)
        app.cleanup_ctx.append(self._pusher.live)
        return app

    @web.middleware
    async def _gate(self, request: web.Request, handler: Callable[[web.Request], Any]) -> web.StreamResponse:
        try:
            if request.path.startswith("/customer_service/"):
                await self._admit(request)
            answer: web.StreamResponse = await handler(request)
        except web.HTTPNotFound:
            return Refused(404, 36009009, "Invalid path.").answer()
        except Refused as refused:
            self.refused.append(refused.code)
            return refused.answer()
        return answer

    async def _admit(self, request: web.Request) -> None:
        """Check a request of the API in the order of "Common errors": limits, app, time, signature, token, shop."""
        self.requests += 1
        clock = asyncio.get_running_loop().time()
        while self._recent and clock - self._recent[0] >= 1.0:
            self._recent.popleft()
        if self.faults.due("throttle") or len(self._recent) >= self._rate:
            raise Refused(429, 36009002, "Too many requests.", {"Retry-After": "1"})
        self._recent.append(clock)
        if self.requests > self._quota:
            raise Refused(429, 45101004, "Quota reached (10000/day).")
        pairs = parse_qsl(request.rel_url.raw_query_string, keep_blank_values=True)
        query = dict(pairs)
        if len(query) != len(pairs) or query.get("app_key") != self.app_key:
            raise Refused(400, 36009004, "Invalid credentials. Invalid `app_key` query parameter.")
        stamp = query.get("timestamp", "")
        ahead = (
            int(stamp) - self._now() // 1000 if stamp.isascii() and stamp.isdigit() and len(stamp) == 10 else 1 << 30
        )
        if not -300 <= ahead <= 30:
            raise Refused(400, 36009004, "Invalid timestamp. The value of the `timestamp` query parameter is off.")
        multipart = request.content_type == "multipart/form-data"
        body = b"" if multipart else await request.read()
        if not hmac.compare_digest(query.get("sign", "").encode(), self._sign(request.rel_url.raw_path, pairs, body)):
            raise Refused(401, 106001, "Invalid credentials. The `sign` query parameter is invalid.")
        token = request.headers.get("x-tts-access-token", "")
        if token != self.access_token:
            raise Refused(401, 105002, "Expired credentials. The `x-tts-access-token` header has expired.")
        if self._now() // 1000 >= self.expires:
            raise Refused(401, 105002, "Expired credentials. The `x-tts-access-token` header has expired.")
        if "shop_cipher" not in query:
            raise Refused(400, 106013, "Missing identifier. The `shop_cipher` query parameter is required.")
        if query["shop_cipher"] != self.shop_cipher:
            raise Refused(400, 101000, "Invalid query or header. The `shop_cipher` query parameter is invalid.")
        if not multipart and request.content_type != "application/json":
            raise Refused(400, 36009023, "Invalid content type.")

    def _sign(self, path: str, pairs: list[tuple[str, str]], body: bytes) -> bytes:
        joined = "".join(name + value for name, value in sorted(pairs) if name not in {"sign", "access_token"})
        text = f"{self._secret}{path}{joined}".encode() + body + self._secret.encode()
        return hmac.digest(self._secret.encode(), text, hashlib.sha256).hex().encode()

    async def _refresh(self, request: web.Request) -> web.Response:
        query = request.query
        if query.get("app_key") != self.app_key or query.get("app_secret") != self._secret:
            raise Refused(200, 36004003, "invalid app key or app secret")
        if query.get("grant_type") != "refresh_token":
            raise Refused(200, 98001004, "invalid params")
        if self.faults.due("refresh_fail"):
            return web.Response(status=500, text="upstream failure")
        if query.get("refresh_token") != self.refresh_token:
            raise Refused(200, 36004005, "can not find related auth record")
        self.refreshes += 1
        self.access_token = f"TTP_access-{self.refreshes + 1}"
        self.refresh_token = f"TTR_refresh-{self.refreshes + 1}"
        self.expires = self._now() // 1000 + 7 * 86400
        if self.faults.due("refresh_cut"):
            return _cut(request)
        return _data(
            access_token=self.access_token,
            access_token_expire_in=self.expires,
            refresh_token=self.refresh_token,
            refresh_token_expire_in=self.expires + 358 * 86400,
            seller_name="sim",
        )

    async def _media(self, request: web.Request) -> web.Response:
        data, type_ = self._images.get(request.match_info["name"], (b"", ""))
        if not type_:
            raise web.HTTPGone
        return web.Response(body=data, content_type=type_)

    async def _list(self, request: web.Request) -> web.Response:
        every = sorted(self.conversations.values(), key=lambda one: -one.last_chat)
        page, following = _page(request, every, most=20)
        return _data(conversations=[self._described(one) for one in page], next_page_token=following)

    async def _show(self, request: web.Request) -> web.Response:
        return _data(conversation=self._described(self._found(request)))

    async def _messages(self, request: web.Request) -> web.Response:
        newest = request.query.get("sort_order", "DESC") == "DESC"
        every = sorted(self._found(request).messages, key=lambda one: int(one["index"]), reverse=newest)
        page, following = _page(request, every, most=10)
        return _data(messages=page, next_page_token=following)

    async def _create(self, request: web.Request) -> web.Response:
        wanted = (await _object(request)).get("buyer_user_id")
        for conversation in self.conversations.values():
            if conversation.user_id == wanted:
                return _data(conversation_id=conversation.id)
        raise Refused(400, 45101003, "Record not found.")

    async def _read(self, request: web.Request) -> web.Response:
        self._found(request).unread = 0
        return _data()

    async def _upload(self, request: web.Request) -> web.Response:
        if request.content_type != "multipart/form-data":
            raise Refused(400, 36009023, "Invalid content type.")
        part = await (await request.multipart()).next()
        if not isinstance(part, aiohttp.BodyPartReader) or part.name != "data":
            raise Refused(400, 45101002, "Invalid params: the form has no part `data`.")
        data = bytes(await part.read())
        url = self.picture(data, str(request.url.origin()))
        width, height = struct.unpack(">II", data[16:24]) if data.startswith(b"\x89PNG") and len(data) >= 24 else (1, 1)
        return _data(url=url, width=width, height=height)

    async def _send(self, request: web.Request) -> web.Response:
        if request.match_info["version"] not in ("202309", "202606"):
            raise Refused(400, 36009014, "Invalid API version.")
        if self.faults.due("fail"):
            return web.json_response({"code": 36009003, "message": "Internal error."}, status=500)
        body = await _object(request)
        conversation = self._found(request)
        self._check(body)
        if not conversation.can_send(self._now()):
            raise Refused(403, 45102007, "No permission to access the conversation.")
        await self._say(conversation, "SHOP", body["type"], body["content"], later=True)
        if self.faults.due("cut"):
            return _cut(request)
        return _data(message_id=conversation.messages[-1]["id"])

    def _check(self, body: dict[str, Any]) -> None:
        """Check type and content of a message that the shop wants to send."""
        if not isinstance(body.get("content"), str):
            raise Refused(400, 45101002, "Invalid params: `content` must be a JSON serialized string.")
        try:
            content = json.loads(body["content"])
        except ValueError:
            content = None
        if not isinstance(content, dict):
            raise Refused(400, 45101002, "Invalid params: `content` is not a JSON object.")
        kind, text = body.get("type"), content.get("content")
        if kind == "TEXT" and isinstance(text, str) and 0 < len(text) <= 2000:
            if any(word in text for word in self.banned):
                raise Refused(400, 45101006, "The message contains sensitive words.")
            return
        ours = str(content.get("url")).rpartition("/")[2] in self._images
        if kind == "IMAGE" and ours and all(isinstance(content.get(side), int) for side in ("width", "height")):
            return
        if kind in CARDS and isinstance(content.get(CARDS[kind]), str):
            return
        raise Refused(400, 45101002, "Invalid params.")

    async def _say(
        self,
        conversation: Conversation,
        role: str,
        kind: str,
        content: str,
        *,
        visible: bool = True,
        later: bool = False,
    ) -> Push | None:
        """Add a message to *conversation* and push it; *later* = after the answer to the request that caused it."""
        self._last_index = max(self._now(), self._last_index + 1)
        own = role != "BUYER"
        message = {
            "id": self._id(),
            "index": str(self._last_index),
            "type": kind,
            "content": content,
            "create_time": self._now() // 1000,
            "is_visible": visible,
            "sender": {"im_user_id": self.shop_id if own else conversation.im_user_id, "role": role},
        }
        conversation.messages.append(message)
        data = {"conversation_id": conversation.id, "message_id": message["id"]}
        data |= {key: value for key, value in message.items() if key != "id"}
        if not later:
            return await self._pusher.push(14, self.shop_id, self._id(), data)
        self._pusher.later(14, self.shop_id, self._id(), data)
        return None

    def _described(self, conversation: Conversation) -> dict[str, Any]:
        buyer = {"im_user_id": conversation.im_user_id, "user_id": conversation.user_id, "role": "BUYER"}
        return {
            "id": conversation.id,
            "can_send_message": conversation.can_send(self._now()),
            "create_time": conversation.created // 1000,
            "unread_count": conversation.unread,
            "participant_count": 2,
            "participants": [buyer | {"nickname": conversation.buyer}, {"im_user_id": self.shop_id, "role": "SHOP"}],
            "latest_message": conversation.messages[-1] if conversation.messages else None,
        }

    def _found(self, request: web.Request) -> Conversation:
        for conversation in self.conversations.values():
            if conversation.id == request.match_info["id"]:
                return conversation
        raise Refused(404, 45101003, "Record not found.")

    def _id(self) -> str:
        self._serial += 1
        return str(self._serial)


async def _object(request: web.Request) -> dict[str, Any]:
    try:
        body = await request.json()
    except ValueError:
        body = None
    if not isinstance(body, dict):
        raise Refused(400, 36009004, "Invalid request body.")
    return body


def _page(request: web.Request, every: list[Any], *, most: int) -> tuple[list[Any], str]:
    size, start = request.query.get("page_size", ""), request.query.get("page_token") or "0"
    if not (size.isdigit() and 0 < int(size) <= most and start.isdigit()):
        raise Refused(400, 45101002, f"Invalid params: `page_size` must be 1 to {most}.")
    end = int(start) + int(size)
    return every[int(start) : end], str(end) if end < len(every) else ""


def _data(**data: Any) -> web.Response:
    return web.json_response({"code": 0, "message": "Success", "request_id": "sim", "data": data})


def _cut(request: web.Request) -> web.Response:
    if request.transport is not None:
        request.transport.abort()
    return web.Response()
