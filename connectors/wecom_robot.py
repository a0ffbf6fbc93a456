"""WeCom (企业微信): a message push into a group (消息推送, once called group robot), by its webhook. It only sends."""

from __future__ import annotations

import base64
import hashlib
import io
from typing import Any, ClassVar

import aiohttp

from connectors import errcodes
from connectors.base import Capabilities, Kit, Options, Outbound, OutboundMedia, Rejected, Sent, Uncertain, Unreachable
from connectors.calls import call
from connectors.errcodes import JSON_HEADERS, MAX_JSON, decode, encode
from connectors.uploads import clean_name
from connectors.wecom_cards import excerpt
from connectors.wecom_codes import CARRIED, FILE_LIMIT, MEDIA_GONE, TEXT_LIMIT, address_of, family, harmless, refused
from connectors.wecom_options import WeComRobotOptions

SCHEME = "wecom-robot:"
MEDIA_KEPT = 2.5 * 24 * 3600  # uploaded files live for 3 days
# A picture travels inside the message; a video is a file like any other.
FAMILIES = {"image": 2 << 20, "voice": CARRIED["voice"][0]}
PER_MINUTE = 20


class Answer(errcodes.Answer, frozen=True):
    """What the two interfaces answer with."""

    media_id: str = ""


class WeComRobot:
    """One group of one company: what a team shall see."""

    kind: ClassVar[str] = "wecom-robot"
    Options: ClassVar[type[Options]] = WeComRobotOptions
    capabilities: ClassVar[Capabilities] = Capabilities(
        text_limit=TEXT_LIMIT,
        text_unit="bytes",
        media=frozenset({"image", "voice", "video", "file"}),
        media_limit=FILE_LIMIT,
        rate=PER_MINUTE / 60,
        reaches=frozenset({"wecom-robot"}),
    )

    def __init__(self, options: WeComRobotOptions, kit: Kit) -> None:
        self._http = kit.http
        self._memory = kit.memory
        self._channel = kit.channel
        self._key = options.key
        self._base = options.api_base.rstrip("/")
        self._format = options.format
        self._mention = options.mention
        self._mention_mobiles = options.mention_mobiles

    async def send(self, message: Outbound) -> Sent:
        if message.address != SCHEME + self._channel:
            raise Rejected("the address is not wecom-robot:<name of this channel>")
        if len(message.media) + bool(message.text) != 1:
            raise Rejected("a message to a group is one text or one file")
        if message.text:
            await self._post(self._text(message.text), message)
            return Sent()
        [media] = message.media
        kind, ending = family(media, FAMILIES)
        if kind == "image":
            await self._post(picture(await media.read()), message)
        elif kind:
            await self._send_file(kind, ending, media, message)
        else:
            await self._post(link(media), message)
        return Sent()

    def _text(self, text: str) -> dict[str, Any]:
        content = harmless(text)
        if self._format == "text":
            called = {"mentioned_list": self._mention, "mentioned_mobile_list": self._mention_mobiles}
            body = {"content": content, **{name: list(people) for name, people in called.items() if people}}
            return {"msgtype": "text", "text": body}
        calls = "".join(f"<@{userid}>" for userid in self._mention)
        return {"msgtype": self._format, self._format: {"content": f"{content}\n{calls}" if calls else content}}

    async def _send_file(self, kind: str, ending: str, media: OutboundMedia, message: Outbound) -> None:
        key = f"media:{message.id}"
        media_id = await self._memory.get(key) or await self._upload(key, kind, ending, media)
        try:
            await self._post({"msgtype": kind, kind: {"media_id": media_id}}, message)
        except Rejected as error:
            if error.code != str(MEDIA_GONE):
                raise
            media_id = await self._upload(key, kind, ending, media)
            await self._post({"msgtype": kind, kind: {"media_id": media_id}}, message)

    async def _upload(self, key: str, kind: str, ending: str, media: OutboundMedia) -> str:
        # Members see the name of a file, and the platform reads it as it stands there, not percent-encoded.
        form = aiohttp.FormData(quote_fields=False)
        name = f"{kind}.{ending}" if ending else clean_name(media.name, media.type)
        form.add_field("media", io.BytesIO(await media.read()), filename=name, content_type=media.type)
        reply = await call(
            self._http,
            "POST",
            f"{self._base}/cgi-bin/webhook/upload_media",
            repeatable=True,
            max_answer=MAX_JSON,
            timeout=60.0,
            params={"key": self._key.get_secret_value(), "type": kind},
            data=form,
        )
        answer = decode(reply, Answer, repeatable=True)
        if answer.errcode:
            raise refused(answer.errcode)
        if not answer.media_id:
            raise Unreachable("the platform answered an upload without a media_id")
        await self._memory.put(key, answer.media_id, ttl=MEDIA_KEPT)
        return answer.media_id

    async def _post(self, payload: dict[str, Any], message: Outbound) -> None:
        reply = await call(
            self._http,
            "POST",
            f"{self._base}/cgi-bin/webhook/send",
            leaving=message.leaving,
            max_answer=MAX_JSON,
            params={"key": self._key.get_secret_value()},
            data=io.BytesIO(encode(payload)),  # a picture makes it large, and aiohttp streams files only
            headers=JSON_HEADERS,
        )
        answer = decode(reply, Answer, repeatable=False)
        if answer.errcode is None:
            raise Uncertain("the platform answered without an errcode")
        if answer.errcode:
            raise refused(answer.errcode)


def picture(data: bytes) -> dict[str, Any]:
    """Return a picture as it travels inside a message."""
    md5 = hashlib.md5(data, usedforsecurity=False).hexdigest()
    return {"msgtype": "image", "image": {"base64": base64.b64encode(data).decode(), "md5": md5}}


def link(media: OutboundMedia) -> dict[str, Any]:
    """Return an article that links to a file that WeCom does not carry. Raises `Rejected` if it has no address."""
    name = clean_name(media.name, media.type)
    # A title has room for 128 bytes: 32 characters of any script.
    article = {"title": excerpt(name, 32), "description": name, "url": address_of(media)}
    return {"msgtype": "news", "news": {"articles": [article]}}
