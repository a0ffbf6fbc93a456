"""Mail going out through a submission server (RFC 5321, 6409): how a message is built, and what each failure means."""

from __future__ import annotations

import asyncio
import re
import ssl
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from email import policy
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import format_datetime

import aiosmtplib
from aiosmtplib import (
    SMTPAuthenticationError,
    SMTPException,
    SMTPRecipientRefused,
    SMTPResponseException,
    SMTPSenderRefused,
    SMTPServerDisconnected,
    SMTPTimeoutError,
)
from msgspec import Struct

from connectors.base import BadOptions, Outbound, Rejected, SendError, Throttled, Uncertain, Unreachable
from connectors.mail_mime import MEDIA_TYPE
from connectors.mail_thread import Handle, ascii_address, domain, known_ids, our_id, reply_subject

CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
PLAIN_ADDRESS = re.compile(r"[^\s<>@,;:\"()\[\]\\]{1,64}@[^\s<>@,;:\"()\[\]\\]{1,255}")
WIRE = policy.SMTP.clone(cte_type="7bit", max_line_length=76)
"""Seven bits only: not every server on the way takes more, and a signature breaks if one converts."""

GREYLISTED = 300.0
BUSY = 60.0
IDLE_LIMIT = 30.0
"""Servers close a connection that idles; after this many seconds it is tried with NOOP before it is used."""


class Relay(Struct, frozen=True):
    """A submission server: *security* is "implicit", "starttls" or "none"; without *user* there is no login."""

    host: str
    port: int
    security: str
    user: str
    password: str
    token: str

    def __repr__(self) -> str:
        return f"Relay(host={self.host!r}, port={self.port})"


async def compose(message: Outbound, handle: Handle, address: str, name: str) -> bytes:
    """Return *message* as a mail from *address* that continues the thread of *handle*.

    Raises `Rejected` when a header would hold a line break or another control character: it would
    become a header of its own.
    """
    recipient = recipient_of(message, handle)
    subject = message.subject or (reply_subject(handle.subject) if handle.subject else "")
    refs = tuple(dict.fromkeys([*handle.refs, *known_ids(message.refs)]))
    named = [text for file in message.media for text in (file.name, file.type)]
    for value in (subject, handle.subject, name, address, message.author, *refs, *named):
        if CONTROLS.search(value):
            raise Rejected("a header of the mail holds a line break or another control character")
    mail = EmailMessage(policy=WIRE)
    mail["From"] = _address(name or message.author, address)
    mail["To"] = _address("", recipient)
    mail["Subject"] = subject
    mail["Date"] = format_datetime(datetime.fromtimestamp(message.at / 1000, UTC))
    mail["Message-ID"] = our_id(message.id, address)
    if refs:
        mail["In-Reply-To"] = handle.refs[-1] if handle.refs else refs[0]
        mail["References"] = " ".join(refs)
    if message.auto:
        # RFC 3834 §5: so that no other machine answers this one.
        mail["Auto-Submitted"] = "auto-replied"
        mail["X-Auto-Response-Suppress"] = "All"
    files = [await file.read() for file in message.media]
    try:
        # Encoding 20 MB takes most of a second: not on the loop.
        return await asyncio.to_thread(_write, mail, message, files)
    except ValueError:
        raise Rejected("the mail holds characters that cannot be written") from None


def _write(mail: EmailMessage, message: Outbound, files: list[bytes]) -> bytes:
    mail.set_content(message.text, subtype="plain", charset="utf-8")
    if message.html:
        mail.add_alternative(message.html, subtype="html", charset="utf-8")
    for file, content in zip(message.media, files, strict=True):
        # A mail or multipart inside a mail may not be in base64 (RFC 2046 §5.2.1): it goes as plain bytes.
        plain = not MEDIA_TYPE.fullmatch(file.type) or file.type.startswith(("message/", "multipart/"))
        family, _, kind = ("application/octet-stream" if plain else file.type).partition("/")
        mail.add_attachment(content, maintype=family, subtype=kind, filename=file.name)
    return mail.as_bytes()


def recipient_of(message: Outbound, handle: Handle) -> str:
    """Return the one address *message* goes to: where the customer wants answers, else the customer.

    Raises `Rejected`.
    """
    scheme, _, address = message.address.partition(":")
    if scheme != "mailto":
        raise Rejected("the recipient is no mail address")
    recipient = handle.reply_to or address
    # An address beyond ASCII needs SMTPUTF8 all the way to the recipient; hardly any server offers it.
    if not PLAIN_ADDRESS.fullmatch(recipient) or CONTROLS.search(recipient) or not recipient.split("@")[0].isascii():
        raise Rejected("the recipient's mail address cannot be written to")
    try:
        return ascii_address(recipient)
    except ValueError:
        raise Rejected("the recipient's mail domain is not valid") from None


class Submission:
    """A connection to *relay* that is kept between messages and renewed when it is gone. One message at a time.

    *timeout* is in seconds and for one answer of the server.
    """

    def __init__(self, relay: Relay, context: ssl.SSLContext | None, *, timeout: float = 30.0) -> None:
        self._relay = relay
        self._context = context
        self._timeout = timeout
        self._lock = asyncio.Lock()
        self._client: aiosmtplib.SMTP | None = None
        self._used = 0.0
        self._null_sender = True

    async def submit(
        self, mail: bytes, own: str, recipient: str, leaving: Callable[[], Awaitable[None]], *, auto: bool
    ) -> None:
        """Hand *mail* from *own* to the server; *leaving* is awaited directly before its content goes.

        Automatic mail (*auto*) has the null sender; where the server refuses that, *own* takes its
        place. Raises a `SendError`.
        """
        async with self._lock:
            client = await self._connected()
            try:
                await self._envelope(client, own, recipient, auto=auto)
                await leaving()
                await self._content(client, mail)
            except SendError:
                await self._reset(client)
                raise
            except BaseException:
                self._drop()
                raise
            self._used = time.monotonic()

    async def close(self) -> None:
        """End the connection politely if it is there."""
        client, self._client = self._client, None
        if client is not None and client.is_connected:
            try:
                await client.quit(timeout=2.0)
            except (SMTPException, OSError):
                client.close()

    async def _connected(self) -> aiosmtplib.SMTP:
        client = self._client
        if client is not None and client.is_connected:
            if time.monotonic() - self._used < IDLE_LIMIT:
                return client
            try:
                await client.noop(timeout=self._timeout)
            except (SMTPException, OSError):
                self._drop()
            else:
                return client
        self._drop()
        self._client = await self._connect()
        return self._client

    async def _connect(self) -> aiosmtplib.SMTP:
        relay = self._relay
        client = aiosmtplib.SMTP(
            hostname=relay.host,
            port=relay.port,
            use_tls=relay.security == "implicit",
            start_tls=relay.security == "starttls",
            tls_context=self._context,
            timeout=self._timeout,
            local_hostname="localhost",
        )
        try:
            await client.connect()
            if relay.token:
                await client.ehlo()
                await client.auth_xoauth2(relay.user, relay.token)
            elif relay.user:
                await client.login(relay.user, relay.password)
        except SMTPResponseException as error:
            client.close()
            if isinstance(error, SMTPAuthenticationError) or error.code in (530, 534, 535, 538):
                if error.code < 500:
                    raise Unreachable("the SMTP server cannot check our login now", code=str(error.code)) from None
                raise BadOptions("the SMTP server refuses our login", code=str(error.code)) from None
            raise _refusal(error, "the SMTP server does not take our connection", BadOptions) from None
        except (SMTPException, OSError) as error:
            client.close()
            raise _unreached(error) from None
        return client

    async def _envelope(self, client: aiosmtplib.SMTP, own: str, recipient: str, *, auto: bool) -> None:
        try:
            await self._from(client, "" if auto and self._null_sender else own, own)
            await client.rcpt(recipient)
        except SMTPSenderRefused as error:
            raise _refusal(error, "the SMTP server refuses our sender address", BadOptions) from None
        except SMTPRecipientRefused as error:
            raise _refusal(error, "the SMTP server refuses the recipient", Rejected) from None
        except SMTPResponseException as error:
            raise _refusal(error, "the SMTP server refuses the mail", Rejected) from None
        except (SMTPException, OSError) as error:
            self._drop()
            raise _unreached(error) from None

    async def _from(self, client: aiosmtplib.SMTP, sender: str, own: str) -> None:
        try:
            await client.mail(sender)
        except SMTPSenderRefused as error:
            if sender or error.code < 500:
                raise
            # NetEase and others: "Mail from must equal authorized user", for automatic mail too.
            self._null_sender = False
            await client.rset()
            await client.mail(own)

    async def _content(self, client: aiosmtplib.SMTP, content: bytes) -> None:
        patience = self._timeout + len(content) / 50_000
        try:
            await client.data(content, timeout=patience)
        except SMTPResponseException as error:
            raise _refusal(error, "the SMTP server refuses the mail", Rejected) from None
        except (SMTPTimeoutError, SMTPServerDisconnected, OSError) as error:
            self._drop()
            raise Uncertain(f"the SMTP connection broke after the mail left ({type(error).__name__})") from None

    async def _reset(self, client: aiosmtplib.SMTP) -> None:
        """Make the connection ready for the next mail, or give it up."""
        if client is not self._client or not client.is_connected:
            return
        try:
            await client.rset(timeout=5.0)
        except (SMTPException, OSError):
            self._drop()

    def _drop(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            client.close()


def _address(name: str, address: str) -> Address:
    try:
        return Address(name, address.rpartition("@")[0], domain(address))
    except (ValueError, IndexError):
        raise Rejected("a mail address cannot be written in a header") from None


def _refusal(error: SMTPResponseException, text: str, final: type[SendError]) -> SendError:
    """Name the failure for a reply code (RFC 5321 §4.2): 4xx will pass, 5xx will not."""
    code = str(error.code)
    if error.code in (421, 503) or not 400 <= error.code < 600:  # 503: the dialogue went wrong, not this mail
        return Unreachable(f"{text} for now (code {code})", code=code)
    if error.code in (450, 451):
        return Throttled(f"{text} for now (code {code})", retry_after=GREYLISTED, code=code)
    if error.code < 500:
        return Throttled(f"{text} for now (code {code})", retry_after=BUSY, code=code)
    return final(f"{text} (code {code})", code=code)


def _unreached(error: Exception) -> SendError:
    """Name a failure before the mail left. The server's words stay out: they may hold names."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return BadOptions(f"the SMTP server's certificate is not valid: {cause.verify_message}")
        cause = cause.__cause__
    if type(error) is SMTPException:  # no AUTH, no STARTTLS, no common mechanism
        return BadOptions("the SMTP server does not offer the login or the encryption that is configured")
    return Unreachable(f"the SMTP server was not reached ({type(error).__name__})")
