"""SMS and MMS through Twilio's Messaging API (twilio.com/docs/messaging): messages and files both ways, receipts."""

from __future__ import annotations

import mimetypes
import re
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import ClassVar, Literal, NamedTuple, Self, cast
from urllib.parse import urlencode, urlsplit

import aiohttp
import msgspec
from pydantic import Field, field_validator, model_validator
from yarl import URL

from connectors import sms
from connectors.base import (
    Answer,
    BadOptions,
    Capabilities,
    Event,
    Ignored,
    Kit,
    Known,
    Malformed,
    Media,
    Message,
    MessageType,
    Options,
    Outbound,
    Question,
    Receipt,
    Received,
    Rejected,
    SecretStr,
    SendError,
    Sent,
    Throttled,
    Uncertain,
    Unreachable,
    WebhookCall,
    WindowClosed,
    media_family,
)
from connectors.calls import Reply, call, failure
from connectors.twilio_signature import verified

TWIML = Answer(200, b"<Response></Response>", "text/xml; charset=utf-8")

OTHER_SCHEMES = frozenset({"whatsapp", "rcs", "messenger"})
"""What Twilio writes before the address of somebody who does not write by SMS; kept as our scheme."""

STATUSES: Mapping[str, Literal["sent", "delivered", "read", "failed"] | None] = {
    "accepted": None,
    "scheduled": None,
    "queued": None,
    "sending": None,
    "sent": "sent",
    "partially_delivered": "sent",
    "delivered": "delivered",
    "read": "read",
    "undelivered": "failed",
    "failed": "failed",
    "canceled": "failed",
}
"""MessageStatus of a status callback -> receipt; None says nothing that `Sent` did not say."""


class Code(NamedTuple):
    """What a Twilio error code means to us."""

    error: type[SendError]
    meaning: str


CODES: Mapping[str, Code] = {
    "10001": Code(BadOptions, "the account is not active"),
    "14107": Code(Throttled, "too many messages to this number"),
    "20003": Code(BadOptions, "the credentials are refused"),
    "20005": Code(BadOptions, "the account is not active"),
    "20404": Code(BadOptions, "the account or the messaging service does not exist"),
    "20429": Code(Throttled, "too many requests"),
    "21211": Code(Rejected, "the recipient's number is not valid"),
    "21212": Code(BadOptions, "the sender's number is not valid"),
    "21217": Code(Rejected, "the recipient's number is not valid"),
    "21408": Code(BadOptions, "the account may not send to this country"),
    "21601": Code(BadOptions, "the sender's number cannot send SMS"),
    "21603": Code(BadOptions, "no sender is given"),
    "21606": Code(BadOptions, "the sender's number cannot send SMS"),
    "21608": Code(Rejected, "a trial account may only send to verified numbers"),
    "21609": Code(BadOptions, "the status callback's address is not valid; see public_url"),
    "21610": Code(Rejected, "the recipient has opted out"),
    "21611": Code(Throttled, "the sender's queue is full"),
    "21612": Code(Rejected, "this sender cannot reach this recipient"),
    "21614": Code(Rejected, "the recipient's number is no mobile number"),
    "21617": Code(Rejected, "the text is longer than 1600 characters"),
    "21619": Code(Rejected, "the message is empty"),
    "21620": Code(Rejected, "the attachment's address is not valid"),
    "21623": Code(Rejected, "more than 10 attachments"),
    "21635": Code(Rejected, "the recipient's number is a landline"),
    "21659": Code(BadOptions, "the sender's number is not Twilio's"),
    "21660": Code(BadOptions, "the sender's number belongs to another account"),
    "21661": Code(BadOptions, "the sender's number cannot send SMS"),
    "21701": Code(BadOptions, "the messaging service does not exist"),
    "21702": Code(Unreachable, "the messaging service is not available just now"),
    "21704": Code(BadOptions, "the messaging service has no numbers"),
    "21705": Code(BadOptions, "the messaging service cannot be used"),
    "30001": Code(Throttled, "the queue overflowed"),
    "30002": Code(BadOptions, "the account is suspended"),
    "30003": Code(Rejected, "the handset cannot be reached"),
    "30004": Code(Rejected, "the message is blocked by the carrier or the recipient"),
    "30005": Code(Rejected, "the number is unknown or no longer exists"),
    "30006": Code(Rejected, "a landline, or the carrier cannot be reached"),
    "30007": Code(Rejected, "the carrier filtered the message"),
    "30008": Code(Rejected, "the carrier gives no reason"),
    "63007": Code(BadOptions, "the sender is set up for no such channel, or not for this account"),
    "63016": Code(WindowClosed, "the reply window is closed; only a template may be sent"),
}
"""Error codes (twilio.com/docs/api/errors), in answers and in status callbacks. Any other goes by the HTTP status."""

AGAIN = "#rc=5&rp=ct,rt,5xx"
"""Makes Twilio call again up to 5 times while we cannot be reached or answer 5xx (webhooks-connection-overrides)."""

PAGES = 4
"""How far back the list of messages to one number is read."""

FULL_QUEUE = 60.0
"""Seconds to wait when Twilio's own queue is full and it does not say for how long."""

API = re.compile(r"([a-z0-9-]+\.)*twilio\.com")
STORES = re.compile(r"([a-z0-9-]+\.)*(twiliocdn\.com|s3[a-z0-9.-]*\.amazonaws\.com)")
"""Hosts to which Twilio redirects for the bytes of a file."""

READ_FIELDS = re.compile(
    r"(Message|Sms|SmsMessage|Account)Sid|ApiVersion|SmsStatus|From|Body|NumMedia|Media(Url|ContentType)\d+|ProfileName"
)


class TwilioOptions(Options):
    """One Twilio number, or one messaging service with its pool of numbers."""

    account_sid: str = Field(pattern=r"^AC[0-9a-fA-F]{32}$")
    auth_token: SecretStr = Field(min_length=1)
    api_key: str | None = Field(default=None, pattern=r"^SK[0-9a-fA-F]{32}$")
    api_key_secret: SecretStr | None = None
    signing_key: SecretStr | None = None
    old_signing_key: SecretStr | None = None
    from_number: str | None = None
    messaging_service_sid: str | None = Field(default=None, pattern=r"^MG[0-9a-fA-F]{32}$")
    api_base: str = "https://api.twilio.com"
    status_callback: bool = True
    region: str = Field(default="CN", pattern=r"^[A-Z]{2}$")

    @field_validator("from_number")
    @classmethod
    def _sender(cls, value: str | None) -> str | None:
        if value is not None and not re.fullmatch(r"\+[1-9][0-9]{6,14}|[0-9]{3,8}|[A-Za-z0-9 ]{1,11}", value):
            raise ValueError("expected +<country><number>, a short code or a sender name of up to 11 letters")
        return value

    @field_validator("api_base")
    @classmethod
    def _base(cls, value: str) -> str:
        if urlsplit(value).scheme not in ("http", "https") or not urlsplit(value).hostname:
            raise ValueError("expected an address such as https://api.twilio.com")
        return value.rstrip("/")

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if (self.from_number is None) == (self.messaging_service_sid is None):
            raise ValueError("give either from_number or messaging_service_sid")
        if (self.api_key is None) != (self.api_key_secret is None):
            raise ValueError("api_key and api_key_secret go together")
        return self


class Created(msgspec.Struct, frozen=True):
    """What Twilio answers to a message that it accepts."""

    sid: str


class Listed(msgspec.Struct, frozen=True):
    """A message in Twilio's list."""

    sid: str
    date_created: str
    direction: str = ""
    body: str | None = ""
    status: str = ""
    error_code: int | None = None

    def known(self) -> Known:
        """Return it as the hub knows messages."""
        state = STATUSES.get(self.status) or "sent"
        return Known(
            self.sid, self.body or "", state, _reason(self.status, str(self.error_code)) if state == "failed" else ""
        )


class Page(msgspec.Struct, frozen=True):
    """A page of that list."""

    messages: tuple[Listed, ...]
    next_page_uri: str | None = None


class Failed(msgspec.Struct, frozen=True):
    """What Twilio answers otherwise; its message is not kept, for it names the customer's number."""

    code: int | str = ""


class TwilioSms:
    """One Twilio sender. What the customer wrote to (`Outbound.handle`) is what answers come from."""

    kind: ClassVar[str] = "twilio-sms"
    Options: ClassVar[type[Options]] = TwilioOptions
    capabilities: ClassVar[Capabilities] = Capabilities(
        text_limit=1600,
        # Twilio does not say how it counts what needs two code units; the stricter way is never refused.
        text_unit="utf16",
        media=frozenset({"image", "file", "voice", "video"}),
        media_limit=5 << 20,
        media_total=5 << 20,  # "Accepted Content Types for Media": 5 MB for all of one message
        media_count=10,
        mixed=True,
        receipts=frozenset({"sent", "delivered", "read", "failed"}),
        reaches=frozenset({"tel"}),
        staff=True,
    )

    def __init__(self, options: TwilioOptions, kit: Kit) -> None:
        self._options = options
        self._kit = kit
        self._auth_token = options.auth_token.get_secret_value().encode()
        keys = (options.signing_key, options.old_signing_key)
        self._signing_keys = [key.get_secret_value().encode() for key in keys if key is not None]

    async def receive(self, call: WebhookCall) -> Received:
        fields = verified(call, self._auth_token, self._signing_keys)
        if fields.get("AccountSid") != self._options.account_sid:
            raise Malformed("AccountSid is missing or not this channel's account")
        return Received(parse(fields, call.now, self._options.region), TWIML)

    async def send(self, message: Outbound) -> Sent:
        reply = await call(
            self._kit.http,
            "POST",
            f"{self._options.api_base}/2010-04-01/Accounts/{self._options.account_sid}/Messages.json",
            leaving=message.leaving,
            see=frozenset(range(400, 500)),
            headers=self._credentials(),
            data=self._form(message),
        )
        if reply.status >= 400:
            raise refusal(reply)
        try:
            return Sent(msgspec.json.decode(reply.body, type=Created).sid)
        except (msgspec.DecodeError, UnicodeDecodeError):
            raise Uncertain("Twilio accepted the message but its answer has no sid") from None

    async def query(self, question: Question) -> tuple[Known, ...] | None:
        """Read Twilio's own list of what went to a number, newest first.

        See "Read multiple Message resources" at twilio.com/docs/messaging/api/message-resource. Its filter by date
        looks at when a message left Twilio's queue, so that it hides those that have not.
        """
        to, (name, sender) = self._ends(question.address, question.handle)
        fields = {"To": to, "PageSize": "50"} | ({"From": sender} if name == "From" else {})
        path = f"/2010-04-01/Accounts/{self._options.account_sid}/Messages.json?{urlencode(fields)}"
        found: list[Known] = []
        for _ in range(PAGES):
            reply = await call(
                self._kit.http,
                "GET",
                f"{self._options.api_base}{path}",
                repeatable=True,
                headers=self._credentials(),
            )
            try:
                page = msgspec.json.decode(reply.body, type=Page)
                times = [parsedate_to_datetime(one.date_created).timestamp() * 1000 for one in page.messages]
            except (msgspec.DecodeError, UnicodeDecodeError, ValueError):
                return None
            for one, created in zip(page.messages, times, strict=True):
                if created >= question.at and one.direction.startswith("outbound"):
                    found.append(one.known())
            if not page.next_page_uri or any(created < question.at for created in times):
                return tuple(reversed(found))
            path = page.next_page_uri
        return None

    def segments(self, text: str) -> int:
        """Return how many SMS the carrier bills for *text*."""
        return sms.segments(text).count

    async def fetch(self, media: Media) -> Media:
        """Download a file of an MMS. Credentials go to Twilio's API only, not to where it redirects.

        A file may not be there in the first seconds after the call that tells of it, and is asked for again then.
        """
        url = _url(media.ref)
        if not self._is_api(url):
            raise Rejected("the attachment's address is not Twilio's")
        for _ in range(4):
            reply = await call(
                self._kit.http,
                "GET",
                str(url),
                repeatable=True,
                see=frozenset({301, 302, 303, 307, 308, 404}),
                headers=self._credentials() if self._is_api(url) else {},
            )
            if reply.status < 300:
                return _complete(media, reply)
            if reply.status == 404:
                raise Unreachable("the attachment is not there, or not yet", code="404")
            url = _url(reply.headers.get("Location", ""), url)
            if not (self._is_api(url) or self._is_store(url)):
                raise Rejected("the attachment's address leads away from Twilio")
        raise Rejected("the attachment's address leads in circles")

    def _form(self, message: Outbound) -> list[tuple[str, str]]:
        if len(message.text.encode("utf-16-le", "surrogatepass")) > 2 * 1600:
            raise Rejected("the text is longer than 1600 characters", code="21617")
        if len(message.media) > 10:
            raise Rejected("more than 10 attachments", code="21623")
        if not all(media.url for media in message.media):
            raise Rejected("the attachment has no public address; Twilio fetches attachments itself")
        if not (message.text or message.media):
            raise Rejected("the message is empty", code="21619")
        to, sender = self._ends(message.address, message.handle)
        form = [("To", to), sender]
        if message.text:
            form.append(("Body", message.text))
        form += [("MediaUrl", media.url) for media in message.media]
        if self._options.status_callback:
            form.append(("StatusCallback", f"{self._kit.public_url}/hooks/{self._kit.channel}{AGAIN}"))
        return form

    def _ends(self, address: str, handle: str) -> tuple[str, tuple[str, str]]:
        """Return To, and the field that names the sender."""
        scheme = address.partition(":")[0]
        try:
            to = address if scheme in OTHER_SCHEMES else sms.number(address)
        except ValueError as error:
            raise Rejected(str(error)) from None
        if self._options.messaging_service_sid is not None:
            return to, ("MessagingServiceSid", self._options.messaging_service_sid)
        sender = handle or self._options.from_number or ""
        if scheme in OTHER_SCHEMES and ":" not in sender:
            sender = f"{scheme}:{sender}"
        return to, ("From", sender)

    def _credentials(self) -> dict[str, str]:
        options = self._options
        user, password = options.account_sid, options.auth_token
        if options.api_key is not None and options.api_key_secret is not None:
            user, password = options.api_key, options.api_key_secret
        return {"Authorization": aiohttp.encode_basic_auth(user, password.get_secret_value())}

    def _is_api(self, url: URL) -> bool:
        if url.origin() == URL(self._options.api_base).origin():
            return True
        return url.scheme == "https" and url.port == 443 and bool(API.fullmatch(url.host or ""))

    def _is_store(self, url: URL) -> bool:
        base = URL(self._options.api_base)
        if (url.scheme, url.host) == (base.scheme, base.host):
            return True
        return url.scheme == "https" and url.port == 443 and bool(STORES.fullmatch(url.host or ""))


def parse(fields: Mapping[str, str], now: int, region: str = "CN") -> tuple[Event, ...]:
    """Return what the fields of a webhook mean: a message (and perhaps a choice to leave or return), or a receipt.

    *now* is the time of the event, for Twilio sends none. Raises `Malformed`.
    """
    sid = fields.get("MessageSid") or fields.get("SmsSid") or ""
    if not re.fullmatch(r"[A-Z]{2}[0-9a-fA-F]{32}", sid):
        raise Malformed("MessageSid is missing or no SID")
    status = fields.get("MessageStatus", "received")
    if status not in ("received", "receiving"):
        return (_receipt(sid, status, fields, now),)
    message = _message(sid, fields, now, region)
    notice = sms.notice(message, _opted(fields.get("OptOutType", "")))
    # The notice goes first, so that nothing is sent in answer to a message of somebody who has just left.
    return (message,) if notice is None else (notice, message)


def _receipt(sid: str, status: str, fields: Mapping[str, str], now: int) -> Event:
    if status not in STATUSES:
        raise Malformed("MessageStatus is none that Twilio documents")
    state = STATUSES[status]
    if state is None:
        return Ignored(f"{sid}:{status}", "not sent yet")
    return Receipt(sid, state, now, error=_reason(status, fields.get("ErrorCode", "")) if state == "failed" else "")


def _reason(status: str, code: str) -> str:
    if not re.fullmatch(r"[0-9]{1,6}", code) or code == "0":
        return status
    return f"{code}: {CODES[code].meaning}" if code in CODES else code


def _message(sid: str, fields: Mapping[str, str], now: int, region: str) -> Message:
    sender = fields.get("From", "")
    scheme, _, rest = sender.partition(":")
    try:
        address = sender if scheme in OTHER_SCHEMES and rest.strip() else sms.address(sender, region)
    except ValueError as error:
        raise Malformed(f"From is {error}") from None
    media = _media(fields)
    kind = _type(fields, media)
    return Message(
        external_id=sid,
        address=address,
        at=now,
        text=fields.get("Body") or (_place(fields) if kind == "location" else ""),
        type=kind,
        name=fields.get("ProfileName", ""),
        media=media,
        handle=fields.get("To", ""),
        details={name: value for name, value in fields.items() if not READ_FIELDS.fullmatch(name)},
    )


def _media(fields: Mapping[str, str]) -> tuple[Media, ...]:
    count = fields.get("NumMedia") or "0"
    if not re.fullmatch(r"[0-9]{1,2}", count):
        raise Malformed("NumMedia is no number")
    found = []
    for index in range(int(count)):
        url = fields.get(f"MediaUrl{index}", "")
        if not url:
            raise Malformed(f"MediaUrl{index} is missing")
        found.append(Media(fields.get(f"MediaContentType{index}") or "application/octet-stream", ref=url))
    return tuple(found)


def _type(fields: Mapping[str, str], media: tuple[Media, ...]) -> MessageType:
    if media:
        families: dict[str, MessageType] = {"image": "image", "voice": "voice", "video": "video"}
        return families.get(media_family(media[0].type), "file")
    return "location" if fields.get("Latitude") and fields.get("Longitude") else "text"


def _place(fields: Mapping[str, str]) -> str:
    """Return what a location is called; its coordinates are in the details."""
    return "\n".join(dict.fromkeys(filter(None, (fields.get("Label"), fields.get("Address")))))


def _opted(kind: str) -> Literal["opt_out", "opt_in"] | None:
    names: dict[str, Literal["opt_out", "opt_in"]] = {"STOP": "opt_out", "START": "opt_in"}
    return names.get(kind.upper())


def refusal(reply: Reply) -> SendError:
    """Return the error for a 4xx answer: by Twilio's own code where it is known, else by the HTTP status."""
    by_status = cast("SendError", failure(reply, Uncertain))
    try:
        code = str(msgspec.json.decode(reply.body, type=Failed).code)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return by_status
    known = CODES.get(code)
    if isinstance(by_status, Throttled) or (known is not None and known.error is Throttled):
        wait = by_status.retry_after if isinstance(by_status, Throttled) else FULL_QUEUE
        return Throttled("Twilio asks us to slow down", retry_after=wait, code=code)
    if known is None:
        by_status.code = code or by_status.code
        return by_status
    return known.error(f"Twilio refuses: {known.meaning}", code=code)


def _url(text: str, base: URL | None = None) -> URL:
    """Return an absolute web address without credentials. Raises `Rejected`."""
    try:
        url = URL(text) if base is None else base.join(URL(text))
    except ValueError:
        url = URL()
    if url.scheme not in ("http", "https") or not url.host or url.user is not None:
        raise Rejected("the attachment's address is no web address")
    return url


def _complete(media: Media, reply: Reply) -> Media:
    mime = reply.headers.get("Content-Type", "").partition(";")[0].strip().lower() or media.type
    suffix = mimetypes.guess_extension(mime) or ""
    name = media.name or f"{URL(media.ref).name}{suffix}"
    return msgspec.structs.replace(media, type=mime, name=name, size=len(reply.body), data=reply.body)
