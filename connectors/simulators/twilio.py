"""Twilio's side of SMS: the Messages API, files behind a redirect, and signed webhooks.

It checks what Twilio checks (credentials, numbers, ownership of the sender, length, rate, opt-outs)
and signs with code of its own; it shares nothing with the connector. `TwilioPlatform.app` is the
API and `TwilioPlatform.store` the host that serves the bytes of files: run both, then set `api_url`
and `store_url`. People write with `TwilioPlatform.write`; what the hub sent is in `messages`.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import hmac
import random
import re
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from email.utils import formatdate
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urldefrag, urlencode, urlsplit

import aiohttp
from aiohttp import web
from yarl import URL

FIELDS = {"To", "From", "MessagingServiceSid", "Body", "MediaUrl", "StatusCallback", "ValidityPeriod"}
KEYWORDS = {
    **dict.fromkeys(["STOP", "STOPALL", "UNSUBSCRIBE", "CANCEL", "END", "QUIT", "OPTOUT", "REVOKE"], "STOP"),
    **dict.fromkeys(["START", "UNSTOP", "YES"], "START"),
    **dict.fromkeys(["HELP", "INFO"], "HELP"),
}
CALLBACK_LIMIT = 15.0


class Refused(Exception):
    """The API's answer to a request that it does not accept."""

    def __init__(self, status: int, code: int, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status, self.code, self.headers = status, code, dict(headers or {})

    def answer(self) -> web.Response:
        """Return it as the API sends it."""
        body = {"code": self.code, "message": str(self), "more_info": "", "status": self.status}
        return web.json_response(body, status=self.status, headers=self.headers)


@dataclass(slots=True)
class Faults:
    """What shall go wrong. *api* are answers to the next requests, whatever they ask."""

    api: deque[Refused] = field(default_factory=deque)
    copies: int = 1
    """How often every webhook is called."""
    shuffle: bool = False
    """Status callbacks come in another order than the statuses."""
    forge: bool = False
    """Webhooks are signed with another token."""
    silent: int = 0
    """So many of the next messages are accepted, and the connection is cut instead of an answer."""
    extra: dict[str, str] = field(default_factory=dict)
    """Fields that Twilio adds to webhooks without notice."""


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A message that the hub sent."""

    sid: str
    sender: str
    to: str
    body: str
    media: tuple[str, ...]
    callback: str
    at: int = 0


@dataclass(frozen=True, slots=True)
class Called:
    """A webhook call and what the hub answered; status 0 means no answer."""

    url: str
    fields: Mapping[str, str]
    status: int
    answer: str


class TwilioPlatform:
    """One account on Twilio's side. *now* tells milliseconds since 1970 UTC.

    *webhook* is the address that the account's numbers are configured with, with connection
    overrides (``#rc=2&rp=5xx``) if any. *hub_url* is where the hub really listens, if the public
    address in *webhook* cannot be reached from here. With *automatic* every accepted message goes
    through sent and delivered by itself; otherwise call `report`.
    """

    def __init__(
        self,
        account_sid: str,
        auth_token: str,
        webhook: str,
        *,
        numbers: Sequence[str] = ("+15005550006",),
        messaging_service_sid: str = "",
        hub_url: str = "",
        method: str = "POST",
        signing_key: str = "",
        now: Callable[[], int] = lambda: int(time.time() * 1000),
        rate: int = 100,
        automatic: bool = False,
        pause: float = 0.05,
    ) -> None:
        self.account_sid, self.numbers = account_sid, tuple(numbers)
        self.messaging_service_sid = messaging_service_sid
        self.faults = Faults()
        self.messages: list[Outgoing] = []
        self.called: list[Called] = []
        self.refused: list[int] = []
        """Error codes of what was not accepted."""
        self.statuses: dict[str, str] = {}
        self.opted_out: set[str] = set()
        self.api_url = self.store_url = ""
        self._token, self._signing_key = auth_token, signing_key
        self._webhook, self._hub_url, self._method = webhook, hub_url, method
        self._now, self._rate, self._pause = now, rate, pause
        self._recent: deque[int] = deque()
        self._files: dict[str, tuple[str, bytes]] = {}
        self._random = random.Random(account_sid)
        self._due: asyncio.Queue[Outgoing] = asyncio.Queue()
        self.app = self._application(automatic=automatic)
        self.store = web.Application()
        self.store.router.add_get("/{file}", self._serve)

    async def write(
        self, phone: str, text: str = "", *, files: Sequence[tuple[str, bytes]] = (), to: str = "", sid: str = ""
    ) -> Called:
        """Let *phone* write to one of our numbers; return the last webhook call."""
        to = to or self.numbers[0]
        sid = sid or self.new_sid("MM" if files else "SM")
        fields = {
            "ToCountry": "US",
            "SmsMessageSid": sid,
            "NumMedia": str(len(files)),
            "SmsSid": sid,
            "SmsStatus": "received",
            "Body": text,
            "To": to,
            "NumSegments": "1",
            "MessageSid": sid,
            "AccountSid": self.account_sid,
            "From": phone,
            "ApiVersion": "2010-04-01",
        }
        if self.messaging_service_sid:
            fields["MessagingServiceSid"] = self.messaging_service_sid
        for index, (mime, data) in enumerate(files):
            fields[f"MediaContentType{index}"] = mime
            fields[f"MediaUrl{index}"] = self.attach(sid, mime, data)
        meaning = KEYWORDS.get(text.strip().upper())
        if meaning:
            fields["OptOutType"] = meaning
            change = {"STOP": self.opted_out.add, "START": self.opted_out.discard}.get(meaning)
            if change is not None:
                change(phone)
        return await self._call(self._webhook, fields, self._method)

    def attach(self, message_sid: str, mime: str, data: bytes) -> str:
        """Keep a file of an incoming message and return its address in the API."""
        file = self.new_sid("ME")
        self._files[file] = (mime, data)
        return f"{self.api_url}/2010-04-01/Accounts/{self.account_sid}/Messages/{message_sid}/Media/{file}"

    async def report(
        self, message: Outgoing, statuses: Sequence[str] = ("queued", "sent", "delivered"), error: int = 0
    ) -> list[Called]:
        """Call the hub back with *statuses* of *message*; the last one carries *error* if given."""
        if not message.callback:
            self.statuses[message.sid] = statuses[-1]
            return []
        calls = []
        for status in statuses:
            self.statuses[message.sid] = status
            fields = {
                "MessageSid": message.sid,
                "SmsSid": message.sid,
                "MessageStatus": status,
                "SmsStatus": status,
                "To": message.to,
                "From": message.sender,
                "AccountSid": self.account_sid,
                "ApiVersion": "2010-04-01",
            }
            if error and status == statuses[-1]:
                fields["ErrorCode"] = str(error)
            calls.append(fields)
        if self.faults.shuffle:
            self._random.shuffle(calls)
        return [await self._call(message.callback, fields, "POST") for fields in calls]

    def new_sid(self, prefix: str) -> str:
        """Return an identifier as Twilio makes them."""
        return f"{prefix}{self._random.getrandbits(128):032x}"

    def signature(self, url: str, fields: Mapping[str, str]) -> str:
        """Sign a call as the documentation's "Validating requests" section describes it."""
        data = url
        for name in sorted(fields):
            data += name + fields[name]
        secret = "not-the-token" if self.faults.forge else (self._signing_key or self._token)
        kind = hashlib.sha256 if self._signing_key else hashlib.sha1
        return base64.b64encode(hmac.new(secret.encode(), data.encode(), kind).digest()).decode()

    async def _call(self, url: str, fields: Mapping[str, str], method: str) -> Called:
        """Call the hub as often as the faults and the connection overrides in *url* ask; return the last call."""
        bare, fragment = urldefrag(url)
        overrides = {name: values[0] for name, values in parse_qs(fragment).items()}
        policy = set(overrides.get("rp", "ct").split(","))
        fields = {**fields, **self.faults.extra}
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=CALLBACK_LIMIT)) as http:
            for _ in range(self.faults.copies):
                for attempt in range(1 + int(overrides.get("rc", "0"))):
                    if attempt:
                        await asyncio.sleep(self._pause)
                    called = await self._try(http, bare, fields, method)
                    self.called.append(called)
                    family = "ct" if called.status == 0 else f"{called.status // 100}xx"
                    if called.status in range(200, 300) or not policy & {family, "all"}:
                        break
        return self.called[-1]

    async def _try(self, http: aiohttp.ClientSession, url: str, fields: Mapping[str, str], method: str) -> Called:
        signed = {} if method == "GET" else fields
        if method == "GET":
            url = f"{url}{'&' if urlsplit(url).query else '?'}{urlencode(fields)}"
        headers = {"X-Twilio-Signature": self.signature(url, signed), "User-Agent": "TwilioProxy/1.1"}
        if self._signing_key:
            headers["X-Twilio-Webhooks-Signature-Settings"] = "key=webhooks_sharedkey_1,algorithm=HMAC_SHA256"
        data = urlencode(signed) if signed else None
        if signed:
            headers["Content-Type"] = "application/x-www-form-urlencoded; charset=UTF-8"
        try:
            async with http.request(method, self._reachable(url), data=data, headers=headers) as response:
                return Called(url, fields, response.status, await response.text())
        except (aiohttp.ClientError, OSError):
            return Called(url, fields, 0, "")

    def _reachable(self, url: str) -> URL:
        if not self._hub_url:
            return URL(url, encoded=True)
        at = urlsplit(url)
        return URL(f"{self._hub_url.rstrip('/')}{at.path}{'?' if at.query else ''}{at.query}", encoded=True)

    def _application(self, *, automatic: bool) -> web.Application:
        app = web.Application()
        account = "/2010-04-01/Accounts/{account}"
        app.router.add_post(f"{account}/Messages.json", self._answering(self._create))
        app.router.add_get(f"{account}/Messages.json", self._answering(self._list))
        app.router.add_get(f"{account}/Messages/{{message}}/Media/{{file}}", self._answering(self._redirect))
        if automatic:
            app.cleanup_ctx.append(self._reporting)
        return app

    async def _reporting(self, _app: web.Application) -> AsyncIterator[None]:
        async def work() -> None:
            while True:
                await self.report(await self._due.get())

        worker = asyncio.create_task(work())
        yield
        worker.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await worker

    def _answering(self, handler: Callable[[web.Request], Any]) -> Callable[[web.Request], Any]:
        async def answer(request: web.Request) -> web.StreamResponse:
            try:
                if self.faults.api:
                    raise self.faults.api.popleft()
                self._check_account(request)
                response: web.StreamResponse = await handler(request)
            except Refused as refused:
                self.refused.append(refused.code)
                return refused.answer()
            return response

        return answer

    def _check_account(self, request: web.Request) -> None:
        expected = base64.b64encode(f"{self.account_sid}:{self._token}".encode()).decode()
        if request.headers.get("Authorization") != f"Basic {expected}":
            raise Refused(401, 20003, "Authenticate", {"WWW-Authenticate": 'Basic realm="Twilio API"'})
        if request.match_info["account"] != self.account_sid:
            raise Refused(404, 20404, f"The requested resource {request.path} was not found")

    async def _create(self, request: web.Request) -> web.Response:
        if request.content_type != "application/x-www-form-urlencoded":
            raise Refused(415, 20012, "Unsupported media type")
        pairs = parse_qsl(await request.text(), keep_blank_values=True, strict_parsing=True)
        unknown = {name for name, _ in pairs} - FIELDS
        if unknown:
            raise Refused(400, 20001, f"Unknown parameters {sorted(unknown)}")
        form = dict(pairs)
        media = tuple(value for name, value in pairs if name == "MediaUrl")
        self._check_rate()
        sender = self._sender(form)
        to = self._recipient(form, sender)
        body = form.get("Body", "")
        self._check_content(body, media)
        callback = form.get("StatusCallback", "")
        if callback and not _is_web(callback):
            raise Refused(400, 21609, f"The StatusCallback URL {callback} is not a valid URL.")
        message = Outgoing(self.new_sid("MM" if media else "SM"), sender, to, body, media, callback, self._now())
        self.messages.append(message)
        self._due.put_nowait(message)
        if self.faults.silent:
            self.faults.silent -= 1
            assert request.transport is not None
            request.transport.abort()
        created = {
            "sid": message.sid,
            "status": "accepted" if "MessagingServiceSid" in form else "queued",
            "to": to,
            "from": sender,
            "body": body,
            "num_media": str(len(media)),
            "error_code": None,
            "error_message": None,
            "uri": f"/2010-04-01/Accounts/{self.account_sid}/Messages/{message.sid}.json",
        }
        return web.json_response(created, status=201)

    async def _list(self, request: web.Request) -> web.Response:
        """List what was sent, newest first; times are whole seconds, and the page after names its own address."""
        asked = request.query
        unknown = set(asked) - {"To", "From", "PageSize", "Page"}
        if unknown:
            raise Refused(400, 20001, f"Unknown parameters {sorted(unknown)}")
        found = [
            one
            for one in reversed(self.messages)
            if asked.get("To", one.to) == one.to and asked.get("From", one.sender) == one.sender
        ]
        size, page = int(asked.get("PageSize", "50")), int(asked.get("Page", "0"))
        following = {**asked, "Page": str(page + 1)} if len(found) > size * (page + 1) else None
        shown = found[size * page : size * (page + 1)]
        body = {
            "messages": [self._listed(one) for one in shown],
            "page": page,
            "page_size": size,
            "next_page_uri": f"{request.path}?{urlencode(following)}" if following else None,
        }
        return web.json_response(body)

    def _listed(self, one: Outgoing) -> dict[str, Any]:
        created = formatdate(one.at // 1000, usegmt=False)
        return {
            "sid": one.sid,
            "account_sid": self.account_sid,
            "to": one.to,
            "from": one.sender,
            "body": one.body,
            "direction": "outbound-api",
            "status": self.statuses.get(one.sid, "queued"),
            "num_media": str(len(one.media)),
            "date_created": created,
            "date_sent": None,
            "error_code": None,
        }

    def _check_rate(self) -> None:
        now = self._now()
        while self._recent and self._recent[0] <= now - 1000:
            self._recent.popleft()
        if len(self._recent) >= self._rate:
            raise Refused(429, 20429, "Too Many Requests", {"Retry-After": "1"})
        self._recent.append(now)

    def _sender(self, form: Mapping[str, str]) -> str:
        if "MessagingServiceSid" in form:
            if not self.messaging_service_sid or form["MessagingServiceSid"] != self.messaging_service_sid:
                raise Refused(404, 21701, "The Messaging Service does not exist")
            return self.numbers[0]
        if not form.get("From"):
            raise Refused(400, 21603, "A 'From' phone number is required.")
        if form["From"] not in self.numbers:
            raise Refused(400, 21606, f"The 'From' phone number {form['From']} is not a valid, SMS-capable number")
        return form["From"]

    def _recipient(self, form: Mapping[str, str], sender: str) -> str:
        to = form.get("To", "")
        if not to:
            raise Refused(400, 21604, "A 'To' phone number is required.")
        if not re.fullmatch(r"\+[1-9][0-9]{6,14}", to):
            raise Refused(400, 21211, f"The 'To' number {to} is not a valid phone number.")
        if to == sender:
            raise Refused(400, 21266, "'To' and 'From' number cannot be the same.")
        if to in self.opted_out:
            raise Refused(400, 21610, "Attempt to send to unsubscribed recipient")
        return to

    def _check_content(self, body: str, media: tuple[str, ...]) -> None:
        if not body and not media:
            raise Refused(400, 21602, "Message body is required.")
        if len(body.encode("utf-16-le")) // 2 > 1600:
            raise Refused(400, 21617, "The concatenated message body exceeds the 1600 character limit.")
        if len(media) > 10:
            raise Refused(400, 21623, "Number of media files exceeds allowed limit")
        if not all(map(_is_web, media)):
            raise Refused(400, 21620, "Invalid media URL(s)")

    async def _redirect(self, request: web.Request) -> web.Response:
        if request.match_info["file"] not in self._files:
            raise Refused(404, 20404, f"The requested resource {request.path} was not found")
        return web.Response(status=307, headers={"Location": f"{self.store_url}/{request.match_info['file']}"})

    async def _serve(self, request: web.Request) -> web.Response:
        """Serve a file's bytes; a store that signs its addresses refuses a second kind of credentials."""
        if "Authorization" in request.headers:
            return web.Response(status=400, text="Only one auth mechanism allowed")
        mime, data = self._files[request.match_info["file"]]
        return web.Response(body=data, headers={"Content-Type": mime})


def _is_web(url: str) -> bool:
    at = urlsplit(url)
    return at.scheme in ("http", "https") and bool(at.hostname)
