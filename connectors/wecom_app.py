"""WeCom (企业微信): a self-built app, through which members of a company write and are written to."""

from __future__ import annotations

from typing import Any, ClassVar

from connectors.base import (
    Answer,
    Capabilities,
    Kit,
    Media,
    Message,
    Options,
    Outbound,
    OutboundMedia,
    Received,
    Rejected,
    Sent,
    Throttled,
    Uncertain,
    Unreachable,
    Unverified,
    WebhookCall,
)
from connectors.envelope import Opened, Opener, revealed, sealed, sign, signer, single
from connectors.errcodes import filled
from connectors.pushes import MAX_BODY
from connectors.uploads import clean_name
from connectors.wecom_api import Api
from connectors.wecom_cards import HANDLE, MOST_BUTTONS, card, cdata, excerpt, settled, task_id, whole
from connectors.wecom_codes import CARRIED, FILE_LIMIT, MEDIA_GONE, TASK_TAKEN, TEXT_LIMIT, address_of, family, harmless
from connectors.wecom_options import WeComAppOptions
from connectors.wecom_parse import SCHEME, USERID, parse

MEDIA_KEPT = 2.5 * 24 * 3600  # temporary files live for 3 days
SEND = "/cgi-bin/message/send"
UPDATE = "/cgi-bin/message/update_template_card"
FAMILIES = {name: most for name, (most, _) in CARRIED.items()}

# One app may send a member 30 messages a minute and 1000 an hour; what is over is thrown away, and the answer need not
# say so. 8 in each half minute stay below both, wherever the platform's minutes and hours begin.
PACE = 8
PACE_WINDOW = 30_000
PACED = "pace"


class WeComApp:
    """One self-built app of one company."""

    kind: ClassVar[str] = "wecom-app"
    Options: ClassVar[type[Options]] = WeComAppOptions
    capabilities: ClassVar[Capabilities] = Capabilities(
        text_limit=TEXT_LIMIT,
        text_unit="bytes",
        media=frozenset({"image", "voice", "video", "file"}),
        media_limit=FILE_LIMIT,
        choices=MOST_BUTTONS,
        staff=True,
        reaches=frozenset({"wecom"}),
    )

    def __init__(self, options: WeComAppOptions, kit: Kit) -> None:
        self._corp_id = options.corp_id
        self._agent_id = options.agent_id
        self._format = options.format
        self._memory = kit.memory
        self._now = kit.now
        self._tokens = revealed(options.token, options.previous_token)
        keys = revealed(options.encoding_aes_key, options.previous_encoding_aes_key)
        self._opener = Opener(keys, options.corp_id)
        self._api = Api(kit, options.api_base.rstrip("/"), options.corp_id, options.secret)

    async def receive(self, call: WebhookCall) -> Received:
        if call.method == "GET":
            # A "+" of base64 that was not percent-encoded reads as a space in a query.
            echo = single(call, "echostr").replace(" ", "+")
            self._token(call, echo)
            return Received((), Answer(body=self._opener.open(echo).encode()))
        if call.method != "POST":
            raise Unverified("WeCom calls with GET and POST only")
        if len(call.body) > MAX_BODY:
            raise Unverified(f"the callback is larger than {MAX_BODY} bytes")
        encrypted, token = self._encrypted(call)
        opened = self._opener.unfold(encrypted)
        events = parse(opened.text, self._agent_id)
        return Received(events, self._answer(events[0], opened, token, call))

    def _token(self, call: WebhookCall, encrypted: str) -> str:
        """Return the token that signed *call* with *encrypted* in it. Raises `Unverified`."""
        parts = single(call, "timestamp"), single(call, "nonce"), encrypted
        token = signer(single(call, "msg_signature"), self._tokens, *parts)
        if token is None:
            raise Unverified("the msg_signature is not that of this channel's token")
        return token

    def _encrypted(self, call: WebhookCall) -> tuple[str, str]:
        found = sealed(call.body)
        if len(found) != 1:
            raise Unverified("the callback carries no encrypted part")
        return found[0], self._token(call, found[0])

    def _answer(self, event: object, opened: Opened, token: str, call: WebhookCall) -> Answer:
        """Grey out the buttons of a card that was pressed; any other callback is answered with nothing."""
        if not isinstance(event, Message) or not event.choice:
            return Answer()
        seconds, nonce = call.now // 1000, single(call, "nonce")
        userid = event.address.removeprefix(SCHEME)
        encrypted = opened.seal(settled(userid, self._corp_id, seconds, event.text))
        signature = sign(token, str(seconds), nonce, encrypted)
        proof = f"<MsgSignature>{cdata(signature)}</MsgSignature><TimeStamp>{seconds}</TimeStamp>"
        body = f"<xml><Encrypt>{cdata(encrypted)}</Encrypt>{proof}<Nonce>{cdata(nonce)}</Nonce></xml>"
        return Answer(body=body.encode(), content_type="text/xml; charset=utf-8")

    async def send(self, message: Outbound) -> Sent:
        userid = recipient(message.address)
        if message.handle.startswith(HANDLE):
            return await self._replace(userid, message)
        if len(message.media) + bool(message.text) != 1 or (message.media and message.choices):
            raise Rejected("a WeCom message is one text, with or without buttons, or one file")
        if message.choices:
            return await self._send_card(userid, message)
        if message.text:
            return await self._send(userid, self._text(message.text), message)
        [media] = message.media
        return await self._send_file(userid, media, message)

    def _text(self, text: str) -> dict[str, Any]:
        return {"msgtype": self._format, self._format: {"content": harmless(text)}}

    async def _send_card(self, userid: str, message: Outbound) -> Sent:
        """Send a card; what it cannot show goes before it as a text, once, however often the card is tried."""
        task = task_id(message.id)
        text = harmless(message.text)
        content = {"msgtype": "template_card", "template_card": card(text, message.choices, task, message.token)}
        told = f"told:{message.id}"
        if not whole(text) and not await self._memory.get(told):
            await self._send(userid, self._text(text), message)
            await self._memory.put(told, "1", ttl=MEDIA_KEPT)
        await self._offer(userid, content, message)
        return Sent(task)

    async def _offer(self, userid: str, content: dict[str, Any], message: Outbound) -> None:
        """Send a card, which the platform takes only once: of its task_id it knows whether it has had it."""
        refused = f"refused:{message.id}"
        try:
            await self._send(userid, content, message)
        except Rejected as error:
            if error.code != str(TASK_TAKEN):
                raise
            # Nobody else uses our ids, so an earlier attempt whose answer was lost did arrive. But an attempt that
            # the platform refused may have taken the id for a card that was never shown.
            if await self._memory.get(refused):
                raise Uncertain("the platform had a card of this delivery before", code=error.code) from None
        except (Throttled, Unreachable) as error:
            if error.code not in ("", PACED):
                await self._memory.put(refused, error.code, ttl=MEDIA_KEPT)
            raise

    async def _replace(self, userid: str, message: Outbound) -> Sent:
        """Show the text in place of the buttons of a card that was sent before."""
        if not message.text or message.media or message.choices:
            raise Rejected("the buttons of a card are replaced by one text")
        payload = {
            "userids": [userid],
            "agentid": self._agent_id,
            "response_code": message.handle.removeprefix(HANDLE),
            "button": {"replace_name": harmless(message.text)},
        }
        await self._api.post(UPDATE, payload, leaving=message.leaving)
        return Sent()

    async def _send_file(self, userid: str, media: OutboundMedia, message: Outbound) -> Sent:
        kind, ending = family(media, FAMILIES)
        if not kind:
            return await self._send(userid, link(media), message)
        await self._keep_pace(userid, f"{message.id}:{kind}")  # before the upload, which is no use to who must wait
        key = f"media:{message.id}"
        media_id = await self._memory.get(key) or await self._upload(key, kind, ending, media)
        try:
            return await self._send(userid, {"msgtype": kind, kind: {"media_id": media_id}}, message)
        except Rejected as error:
            if error.code != str(MEDIA_GONE):
                raise
        media_id = await self._upload(key, kind, ending, media)
        return await self._send(userid, {"msgtype": kind, kind: {"media_id": media_id}}, message)

    async def _upload(self, key: str, kind: str, ending: str, media: OutboundMedia) -> str:
        name = f"{kind}.{ending}" if ending else clean_name(media.name, media.type)
        media_id = await self._api.upload(kind, name, media.type, await media.read())
        await self._memory.put(key, media_id, ttl=MEDIA_KEPT)
        return media_id

    async def _send(self, userid: str, content: dict[str, Any], message: Outbound) -> Sent:
        await self._keep_pace(userid, f"{message.id}:{content['msgtype']}")
        # enable_duplicate_check compares contents, not ids: it would also drop a second "OK" that an agent means.
        payload = {"touser": userid, "agentid": self._agent_id, "safe": 0, **content}
        answer = await self._api.post(SEND, payload, leaving=message.leaving)
        return Sent(answer.msgid)

    async def _keep_pace(self, userid: str, item: str) -> None:
        """Raise `Throttled` before a member gets more than the platform would deliver."""
        window, spent = divmod(self._now(), PACE_WINDOW)
        if await self._memory.post(f"pace:{userid.lower()}:{window}", item, "", keep=60.0) > PACE:
            wait = (PACE_WINDOW - spent) / 1000
            raise Throttled("this member has had many messages just now", retry_after=wait, code=PACED)

    async def fetch(self, media: Media) -> Media:
        return filled(media, await self._api.download(media.ref))


def recipient(address: str) -> str:
    """Return the user id in *address*. Raises `Rejected` if it is no WeCom address."""
    userid = address.removeprefix(SCHEME)
    if userid == address or not USERID.fullmatch(userid):
        raise Rejected("the address is no wecom:<userid>")
    return userid


def link(media: OutboundMedia) -> dict[str, Any]:
    """Return a card that links to a file that WeCom does not carry. Raises `Rejected` if it has no address."""
    name = clean_name(media.name, media.type)
    content = {"title": excerpt(name, 128), "description": name, "url": address_of(media)}
    return {"msgtype": "textcard", "textcard": content}
