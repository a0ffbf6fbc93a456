"""WeChat: Official Accounts (服务号, 订阅号) and Mini Programs, over message push and customer-service messages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import msgspec

from connectors.base import (
    Answer,
    Capabilities,
    Choice,
    Kit,
    Malformed,
    Media,
    Options,
    Outbound,
    OutboundMedia,
    PlatformTemplate,
    Received,
    Rejected,
    SendError,
    Sent,
    Unverified,
    WebhookCall,
    Window,
    media_family,
)
from connectors.envelope import Opener, genuine, revealed, sealed, single
from connectors.errcodes import filled
from connectors.pushes import MAX_BODY
from connectors.wechat_api import MEDIA_GONE, Api
from connectors.wechat_options import WeChatOptions
from connectors.wechat_parse import OPENID, SCHEME, parse

TEXT_LIMIT = 2048
MOST_CHOICES = 10
MEDIA_KEPT = 2.5 * 24 * 3600  # temporary files live for 3 days
SEND = "/cgi-bin/message/custom/send"
SEND_TEMPLATE = "/cgi-bin/message/template/send"
TYPING = "/cgi-bin/message/custom/typing"
# "Already typing", and "no message from the customer within 30 s": nothing is wrong, nothing is shown.
TYPING_UNSHOWN = frozenset({"45080", "45081"})

# What custom/send carries as itself: MIME type -> family, file extension. Everything else goes as a link.
CARRIED = {
    "image/jpeg": ("image", "jpg"),
    "image/png": ("image", "png"),
    "image/gif": ("image", "gif"),
    "audio/amr": ("voice", "amr"),
    "audio/mpeg": ("voice", "mp3"),
    "audio/mp3": ("voice", "mp3"),
    "video/mp4": ("video", "mp4"),
}
LIMITS = {"image": 10 << 20, "voice": 2 << 20, "video": 10 << 20}
FAMILIES = {
    "service": frozenset({"image", "voice", "video"}),
    "subscription": frozenset({"image", "voice", "video"}),
    "miniprogram": frozenset({"image"}),
}
# Control characters cannot be sent: JSON can only write them as \uXXXX, which the platform refuses.
CONTROLS = {code: None for code in range(32) if chr(code) not in "\t\n\r"}


class WeChat:
    """One WeChat account."""

    kind: ClassVar[str] = "wechat"
    Options: ClassVar[type[Options]] = WeChatOptions
    capabilities: ClassVar[Capabilities] = Capabilities(
        text_limit=TEXT_LIMIT,
        text_unit="bytes",
        media=frozenset({"image", "voice", "video", "file"}),
        media_limit=10 << 20,
        window=Window(48 * 3600, 5),
        templates=True,
        choices=MOST_CHOICES,
    )

    def __init__(self, options: WeChatOptions, kit: Kit) -> None:
        self._account = options.account
        self._kf_account = options.kf_account
        self._media_hosts = options.media_hosts
        self._memory = kit.memory
        self._tokens = revealed(options.token, options.previous_token)
        keys = revealed(options.encoding_aes_key, options.previous_encoding_aes_key)
        self._opener = Opener(keys, options.app_id) if keys else None
        self._windows = options.windows()
        if options.account == "miniprogram":  # which has no menus in its messages
            capabilities = msgspec.structs.replace(self.capabilities, choices=0)
            self.capabilities = capabilities  # type: ignore[misc]  # the one kind of account that can do less
        self._api = Api(kit, options.api_base.rstrip("/"), options.app_id, options.app_secret)

    async def receive(self, call: WebhookCall) -> Received:
        if call.method == "GET":
            return self._handshake(call)
        if call.method != "POST":
            raise Unverified("WeChat calls with GET and POST only")
        # WeChat repeats a push with its old timestamp and sets no rule for the age of one, so an age limit
        # would lose repeats after an outage. A replay carries the same external id, and is dropped by that.
        text = self._plain(call) if self._opener is None else self._opened(call, self._opener)
        return Received(parse(text, self._windows), Answer(body=b"success"))

    def _handshake(self, call: WebhookCall) -> Received:
        self._check(call, "signature")
        return Received((), Answer(body=single(call, "echostr").encode()))

    def _plain(self, call: WebhookCall) -> str:
        self._check(call, "signature")
        if len(call.body) > MAX_BODY:
            raise Malformed(f"the push is larger than {MAX_BODY} bytes")
        text = decoded(call.body)
        if text is None:
            raise Malformed("the push is not UTF-8")
        return text

    def _opened(self, call: WebhookCall, opener: Opener) -> str:
        # Its signature lies over the body, and a body of this size is not worth searching: it stays unproven.
        if len(call.body) > MAX_BODY:
            raise Unverified(f"the push is larger than {MAX_BODY} bytes")
        for candidate in sealed(call.body):
            if self._signed(call, "msg_signature", candidate):
                return opener.open(candidate)
        raise Unverified("the push carries no encrypted part with a valid msg_signature")

    def _check(self, call: WebhookCall, name: str) -> None:
        if not self._signed(call, name):
            raise Unverified(f"the {name} is not that of this channel's token")

    def _signed(self, call: WebhookCall, name: str, *parts: str) -> bool:
        return genuine(single(call, name), self._tokens, single(call, "timestamp"), single(call, "nonce"), *parts)

    async def send(self, message: Outbound) -> Sent:
        openid = recipient(message.address)
        if message.template is not None:
            return await self._send_template(openid, message.template, message)
        if len(message.media) + bool(message.text) != 1:
            raise Rejected("a WeChat message is one text or one file")
        if message.text:
            content = menu_content(message.text, message.choices) if message.choices else text_content(message.text)
            await self._send(openid, content, message)
            return Sent()
        [media] = message.media
        family, extension = self._carried(media)
        if not family:
            await self._send(openid, link_content(media), message)
            return Sent()
        await self._send_file(openid, family, extension, media, message)
        return Sent()

    async def _send_template(self, openid: str, template: PlatformTemplate, message: Outbound) -> Sent:
        """Send what the platform has approved; it needs no window, and its result comes as a receipt."""
        if self._account != "service":
            raise Rejected("only a service account sends template messages")
        payload: dict[str, object] = {
            "touser": openid,
            "template_id": template.id,
            "data": {name: {"value": value.translate(CONTROLS)} for name, value in template.data.items()},
        }
        if template.url:
            payload["url"] = template.url
        answer = await self._api.post(SEND_TEMPLATE, payload, leaving=message.leaving)
        return Sent(str(answer.msgid))

    async def _send_file(
        self, openid: str, family: str, extension: str, media: OutboundMedia, message: Outbound
    ) -> None:
        key = f"media:{message.id}"
        known = await self._memory.get(key)
        media_id = known or await self._upload(key, family, extension, media)
        try:
            await self._send(openid, {"msgtype": family, family: {"media_id": media_id}}, message)
        except Rejected as error:
            if error.code != str(MEDIA_GONE):
                raise
            media_id = await self._upload(key, family, extension, media)
            await self._send(openid, {"msgtype": family, family: {"media_id": media_id}}, message)

    async def _upload(self, key: str, family: str, extension: str, media: OutboundMedia) -> str:
        # The platform judges a file by its extension; the name the agent's file has is nobody's business there.
        data = await media.read()
        media_id = await self._api.upload(family, f"{family}.{extension}", media.type, data)
        await self._memory.put(key, media_id, ttl=MEDIA_KEPT)
        return media_id

    def _carried(self, media: OutboundMedia) -> tuple[str, str]:
        family, extension = CARRIED.get(media.type.partition(";")[0].strip().lower(), ("", ""))
        if family not in FAMILIES[self._account] or media.size > LIMITS[family]:
            return "", ""
        return family, extension

    async def _send(self, openid: str, content: dict[str, object], message: Outbound) -> None:
        payload: dict[str, object] = {"touser": openid, **content}
        if self._kf_account:
            payload["customservice"] = {"kf_account": self._kf_account}
        await self._api.post(SEND, payload, leaving=message.leaving)

    async def fetch(self, media: Media) -> Media:
        return filled(media, await self._api.download(media.ref, self._media_hosts))

    async def typing(self, address: str, handle: str, *, on: bool) -> None:  # noqa: ARG002  # no handles here
        command = "Typing" if on else "CancelTyping"
        try:
            await self._api.post(TYPING, {"touser": recipient(address), "command": command}, repeatable=True)
        except SendError as error:
            if error.code not in TYPING_UNSHOWN:
                raise


def decoded(body: bytes) -> str | None:
    """Return *body* as text, None if it is not UTF-8; a UnicodeDecodeError would carry the customer's words along."""
    try:
        return body.decode()
    except UnicodeDecodeError:
        return None


def recipient(address: str) -> str:
    """Return the openid in *address*. Raises `Rejected` if it is no WeChat address."""
    openid = address.removeprefix(SCHEME)
    if openid == address or not OPENID.fullmatch(openid):
        raise Rejected("the address is no wechat:<openid>")
    return openid


def text_content(text: str) -> dict[str, object]:
    """Return the content of a text message. Raises `Rejected` when it is empty or too long: it is never cut."""
    text = text.translate(CONTROLS)
    if not text.strip():
        raise Rejected("the text is empty", code="44004")
    if len(text.encode("utf-8", "replace")) > TEXT_LIMIT:
        raise Rejected(f"the text is longer than {TEXT_LIMIT} bytes", code="45002")
    return {"msgtype": "text", "text": {"content": text}}


def menu_content(text: str, choices: Sequence[Choice]) -> dict[str, object]:
    """Return the content of a msgmenu, whose entries the customer taps. Raises `Rejected` as `text_content` does."""
    text_content("\n".join([text, *(choice.label for choice in choices)]))
    entries = [{"id": choice.id, "content": choice.label.translate(CONTROLS)} for choice in choices]
    return {"msgtype": "msgmenu", "msgmenu": {"head_content": text.translate(CONTROLS), "list": entries}}


def link_content(media: OutboundMedia) -> dict[str, object]:
    """Return a text with the address of a file that WeChat does not carry. Raises `Rejected` if it has none."""
    if not media.url:
        family = media_family(media.type)
        raise Rejected(f"WeChat does not carry this {family}, and there is no public address to link to")
    return text_content(f"{media.name}\n{media.url}" if media.name else media.url)
