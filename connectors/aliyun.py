"""SMS through Alibaba Cloud (Dysmsapi 2017-05-25): approved templates out, what people write in, receipts.

Sources: help.aliyun.com, documents 55284 (SendSms), 419277 (QuerySendDetails), and those that its parts name.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping
from typing import Any, ClassVar, cast
from uuid import uuid4

import msgspec
from yarl import URL

from connectors import sms
from connectors.aliyun_codes import OF_TEMPLATES, reason, refusal
from connectors.aliyun_options import VARIABLE, AliyunOptions
from connectors.aliyun_pushes import BEIJING, MOBILE, out_id, parse
from connectors.aliyun_signature import query_string, signed_headers
from connectors.base import (
    Answer,
    BadOptions,
    Capabilities,
    Kit,
    Known,
    Options,
    Outbound,
    PlatformTemplate,
    Question,
    Received,
    Rejected,
    SendError,
    Sent,
    Uncertain,
    WebhookCall,
)
from connectors.calls import Reply, call, failure

VERSION = "2017-05-25"
TAKEN = "OK"

PAGE, PAGES = 50, 4
"""How many messages of a day one page of the platform's list has at most, and how many pages are read."""

MAINLAND = "86"

SHOWN: Mapping[int, str] = {1: "sent", 2: "failed", 3: "delivered"}
"""SendStatus of the list: waits for its report, failed, arrived."""

NO_TEMPLATE = (
    "this channel sends approved templates only; answer with a template, "
    "or configure reply_template: the approved template that carries free text"
)


class Answered(msgspec.Struct, frozen=True, rename="pascal"):
    """What every call is answered with; the message is read for the kind of limit only."""

    code: str
    message: str = ""


class Listed(msgspec.Struct, frozen=True, rename="pascal"):
    """A message in the platform's list."""

    out_id: str = ""
    send_status: int = 1
    err_code: str = ""
    content: str = ""


class Details(msgspec.Struct, frozen=True):
    """The messages of a page."""

    listed: tuple[Listed, ...] = msgspec.field(default=(), name="SmsSendDetailDTO")


class Page(msgspec.Struct, frozen=True):
    """A page of that list."""

    details: Details = msgspec.field(default=Details(), name="SmsSendDetailDTOs")


class AliyunSms:
    """One signature of an account. What we send is known by our own id (OutId) in reports and in the list."""

    kind: ClassVar[str] = "aliyun-sms"
    Options: ClassVar[type[Options]] = AliyunOptions
    capabilities: ClassVar[Capabilities] = Capabilities(
        text_limit=VARIABLE,
        # The platform does not say how it counts what needs two code units; the stricter way is never refused.
        text_unit="utf16",
        receipts=frozenset({"delivered", "failed"}),
        reaches=frozenset({"tel"}),
        templates=True,
        links=False,
    )

    def __init__(self, options: AliyunOptions, kit: Kit) -> None:
        self._options = options
        self._kit = kit
        self._host = URL(options.api_base).host_port_subcomponent or ""
        reply = options.reply_template
        self.capabilities = msgspec.structs.replace(  # type: ignore[misc]  # what this channel's templates allow
            self.capabilities,
            texts=reply is not None,
            text_limit=reply.longest if reply is not None else VARIABLE,
        )

    async def receive(self, call: WebhookCall) -> Received:
        if call.method != "POST":  # a browser, or something that watches the address: nothing worth keeping
            return Received(answer=Answer(405, headers={"Allow": "POST"}))
        return parse(call.body, self._kit.channel, call.now)

    async def send(self, message: Outbound) -> Sent:
        if message.media:
            raise Rejected("an SMS carries no files")
        template = message.template or self._carrier(message.text)
        fields = {
            "PhoneNumbers": number(message.address),
            "SignName": self._options.sign_name,
            "TemplateCode": template.id,
            "OutId": out_id(self._kit.channel, message.id),
        }
        if template.data:
            fields["TemplateParam"] = json.dumps(dict(template.data), ensure_ascii=False, separators=(",", ":"))
        reply = await self._call("SendSms", fields, leaving=message.leaving)
        try:
            answered = msgspec.json.decode(reply.body, type=Answered)
        except (msgspec.DecodeError, UnicodeDecodeError):
            raise Uncertain("Aliyun answered with something that is not its JSON") from None
        if answered.code == TAKEN:
            return Sent(message.id)
        error = refusal(answered.code, answered.message) or unknown(answered.code)
        if isinstance(error, BadOptions) and message.template is not None and answered.code in OF_TEMPLATES:
            raise Rejected(str(error), code=error.code)  # one text's template is wrong, not the channel
        raise error

    async def query(self, question: Question) -> tuple[Known, ...] | None:
        """Look for a message in the platform's list of what went to its number.

        The platform does not say how soon a message is listed, so that one that is not is never called absent.
        """
        wanted = out_id(self._kit.channel, question.id)
        for day in sorted({_day(question.at), _day(self._kit.now())}):
            for number_of_page in range(1, PAGES + 1):
                listed = await self._page(question.address, day, number_of_page)
                found = next((one for one in listed if one.out_id == wanted), None)
                if found is not None:
                    return (_known(question.id, found),)
                if len(listed) < PAGE:
                    break
        return None

    async def _page(self, address: str, day: str, page: int) -> tuple[Listed, ...]:
        fields = {
            "PhoneNumber": number(address),
            "SendDate": day,
            "PageSize": str(PAGE),
            "CurrentPage": str(page),
        }
        reply = await self._call("QuerySendDetails", fields, repeatable=True)
        try:
            return msgspec.json.decode(reply.body, type=Page, strict=False).details.listed
        except (msgspec.DecodeError, UnicodeDecodeError):
            return ()

    def _carrier(self, text: str) -> PlatformTemplate:
        """Return the template that carries free text. Raises `Rejected` if there is none, or it cannot hold *text*."""
        reply = self._options.reply_template
        if reply is None:
            raise Rejected(NO_TEMPLATE, code="template_only")
        if not text.strip():
            raise Rejected("the message is empty")
        if len(text.encode("utf-16-le", "surrogatepass")) > 2 * reply.longest:
            raise Rejected(f"the text is longer than the {reply.longest} characters that reply_template takes")
        return PlatformTemplate(reply.code, {reply.parameter: text})

    async def _call(self, action: str, fields: Mapping[str, str], **how: Any) -> Reply:
        """Make a call; errors of the gateway are raised, those of the service stand in the answer."""
        options, query = self._options, query_string(fields)
        headers = signed_headers(
            self._host,
            action,
            VERSION,
            query,
            now=self._kit.now(),
            nonce=uuid4().hex,
            key_id=options.access_key_id,
            secret=options.access_key_secret.get_secret_value(),
        )
        reply = await call(
            self._kit.http,
            "POST",
            URL(f"{options.api_base}/?{query}", encoded=True),  # as it is signed, byte for byte
            see=frozenset(range(400, 500)),
            headers={**headers, "Accept": "application/json"},
            **how,
        )
        if reply.status >= 400:
            raise gateway_refusal(reply)
        return reply


def number(address: str) -> str:
    """Return the number of an address as SendSms takes it: bare in the mainland, with the country's code elsewhere.

    Raises `Rejected` for what is no mobile number.
    """
    try:
        given = sms.number(address)
    except ValueError as error:
        raise Rejected(str(error)) from None
    digits = given.removeprefix("+")
    bare = digits.removeprefix(MAINLAND) if given.startswith("+") else digits
    if MOBILE.fullmatch(bare) and (bare != digits or not given.startswith("+")):
        return bare
    if not given.startswith("+") or digits.startswith(MAINLAND):
        raise Rejected("the recipient's number is no mobile number", code="isv.MOBILE_NUMBER_ILLEGAL")
    # +1 380 013 8000 without its plus reads as a mainland number, and a stranger's: older documents write 00 for it.
    return f"00{digits}" if MOBILE.fullmatch(digits) else digits


def gateway_refusal(reply: Reply) -> SendError:
    """Return the error for a status of 400 to 499: by the platform's own code where it is known, else by the status."""
    by_status = cast("SendError", failure(reply, Uncertain))
    try:
        answered = msgspec.json.decode(reply.body, type=Answered)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return by_status
    return refusal(answered.code, answered.message) or by_status


def unknown(code: str) -> SendError:
    """Return the error for a code that we do not know: the service says no, and it does not help to ask again."""
    named = reason(code)
    return Rejected("Aliyun refuses the message", code=named)


def _known(name: str, found: Listed) -> Known:
    state = SHOWN.get(found.send_status, "sent")
    error = (reason(found.err_code) or "failed") if state == "failed" else ""
    return Known(name, found.content, cast("Any", state), error)


def _day(at: int) -> str:
    return dt.datetime.fromtimestamp(at / 1000, BEIJING).strftime("%Y%m%d")
