"""TikTok Shop: buyers' chats through the customer-service API and its webhooks.

Source: TikTok Shop Partner Center, "Sign your API request", "Common errors", "Send Message" 202309
and 202606, "Upload Buyer Messages Image" 202309, "Refresh token".
"""

from __future__ import annotations

import io
import mimetypes
import re
from typing import Any, ClassVar

import aiohttp
import msgspec
from yarl import URL

from connectors import base
from connectors.base import (
    Answer,
    Capabilities,
    Kit,
    Media,
    Outbound,
    OutboundMedia,
    Received,
    Rejected,
    Sent,
    Unreachable,
    Unverified,
    WebhookCall,
)
from connectors.calls import call as request
from connectors.marketplace import Counterparts, identifier, matches, sign_push
from connectors.tiktok_api import Api, Request
from connectors.tiktok_events import WINDOW, addressed, parse
from connectors.tiktok_options import TikTokOptions

TEXT_LIMIT = 2000
IMAGE_LIMIT = 10 << 20
IMAGE_TYPES = frozenset({"image/jpeg", "image/png", "image/gif", "image/webp"})
TAKEN = Answer(200, b'{"code":0,"message":"success"}', "application/json")


class TikTokShop:
    """One TikTok shop."""

    kind: ClassVar[str] = "tiktok-shop"
    Options: ClassVar[type[base.Options]] = TikTokOptions
    capabilities: ClassVar[Capabilities] = Capabilities(
        text_limit=TEXT_LIMIT,
        media=frozenset({"image"}),
        media_limit=IMAGE_LIMIT,
        window=WINDOW,
        links=False,
    )

    def __init__(self, options: TikTokOptions, kit: Kit) -> None:
        self._options = options
        self._http = kit.http
        self._secret = options.app_secret.get_secret_value()
        self._customers = Counterparts(kit.memory)
        self._api = Api(options, kit)

    async def receive(self, call: WebhookCall) -> Received:
        given = call.headers.get("Authorization", "")
        if not matches(sign_push(self._secret, self._options.app_key, call.body), given):
            raise Unverified("the Authorization header is not TikTok's signature of the body")
        event = parse(call.body, now=call.now, shop_id=self._options.shop_id)
        if isinstance(event, base.Message):
            await self._customers.note(event.handle, event.address)
        elif isinstance(event, base.Echo | base.Notice) and event.handle:
            event = addressed(event, await self._customers.find(event.handle))
        return Received((event,), TAKEN)

    async def send(self, message: Outbound) -> Sent:
        if not re.fullmatch(r"[0-9A-Za-z_-]{1,64}", message.handle):
            raise Rejected("no conversation with this buyer is known, and TikTok Shop has no other way to write")
        kind, content = await self._content(message)
        path = f"/customer_service/{self._options.send_version}/conversations/{message.handle}/messages"
        body = {"type": kind, "content": msgspec.json.encode(content).decode()}
        data = await self._api.ask(Request("POST", path, json=body, leaving=message.leaving))
        return Sent(identifier(data.get("message_id")), handle=message.handle)

    async def fetch(self, media: Media) -> Media:
        """Download *media* from TikTok's own hosts only; its address expires, so fetch soon."""
        url = self._trusted(media.ref)
        reply = await request(self._http, "GET", url, repeatable=True)
        type_ = reply.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        if not re.fullmatch(r"[a-z]+/[a-z0-9.+-]{1,60}", type_):
            type_ = media.type
        name = media.name or type_.partition("/")[0] + (mimetypes.guess_extension(type_) or "")
        return msgspec.structs.replace(media, type=type_, name=name, size=len(reply.body), data=reply.body)

    async def _content(self, message: Outbound) -> tuple[str, dict[str, Any]]:
        """Return the platform's type and content for *message*, with its image uploaded."""
        if len(message.media) + bool(message.text) != 1:
            raise Rejected("a TikTok Shop message is either a text or one image")
        if not message.media:
            return "TEXT", {"content": _within_limit(message.text)}
        media = message.media[0]
        if media.type in IMAGE_TYPES and media.size <= IMAGE_LIMIT:
            return "IMAGE", await self._upload(media)
        if not media.url:
            raise Rejected(f"TikTok Shop takes no {base.media_family(media.type)} and the file has no public address")
        return "TEXT", {"content": _within_limit(f"{media.name}\n{media.url}")}

    async def _upload(self, media: OutboundMedia) -> dict[str, Any]:
        data = await media.read()
        if len(data) > IMAGE_LIMIT:
            raise Rejected(f"the image has {len(data)} bytes, TikTok Shop takes {IMAGE_LIMIT}")

        def form() -> aiohttp.FormData:
            fields = aiohttp.FormData()
            # As a stream: aiohttp copies large bytes in one go, during which nobody else is served, and warns of it.
            fields.add_field("data", io.BytesIO(data), filename=media.name or "image", content_type=media.type)
            return fields

        image = await self._api.ask(Request("POST", "/customer_service/202309/images/upload", form=form))
        if not isinstance(image.get("url"), str):
            raise Unreachable("TikTok took the image but gave no address for it")
        return {key: image[key] for key in ("url", "width", "height") if key in image}

    def _trusted(self, ref: str) -> str:
        """Return *ref* if it may be fetched. Raises `Rejected`: a forged address could lead into our own network."""
        try:
            url, own = URL(ref), URL(self._options.api_base)
            same = url.origin() == own.origin()
        except ValueError:
            raise Rejected("the media address cannot be read") from None
        host = (url.host or "").rstrip(".").lower()
        listed = any(host == suffix or host.endswith(f".{suffix}") for suffix in self._options.media_hosts)
        if same or (url.scheme == "https" and url.port == 443 and listed):
            return str(url)
        raise Rejected("the media address is on no host of media_hosts")


def _within_limit(text: str) -> str:
    if len(text) > TEXT_LIMIT:
        raise Rejected(f"the text has {len(text)} characters, TikTok Shop takes {TEXT_LIMIT}")
    return text
