"""Mail going out through a submission server (RFC 5321, RFC 6409), and what each failure means."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Awaitable, Callable

import aiosmtplib
from aiosmtplib import (
    SMTPAuthenticationError,
    SMTPException,
    SMTPRecipientRefused,
    SMTPResponseException,
    SMTPSenderRefused,
    SMTPServerDisconnected,
)
from msgspec import Struct

from connectors.base import BadOptions, Rejected, SendError, Throttled, Uncertain, Unreachable

GREYLISTED = 300.0
BUSY = 60.0
PIECE = 256 << 10
SLOWEST = 50_000
"""Bytes per second that we wait for while a mail is sent."""

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

    async def _content(self, client: aiosmtplib.SMTP, mail: bytes) -> None:
        """Send DATA and *mail* in pieces: the library's own way holds up the loop for seconds with a large one."""
        try:
            answer = await client.execute_command(b"DATA", timeout=self._timeout)
        except (SMTPException, OSError) as error:
            self._drop()
            raise _unreached(error) from None
        if answer.code != 354:
            raise _refusal(SMTPResponseException(*answer), "the SMTP server refuses the mail", Rejected)
        try:
            async with asyncio.timeout(self._timeout + len(mail) / SLOWEST):
                answer, whole = await _pour(client, mail.replace(b"\r\n.", b"\r\n..") + b".\r\n")
        except (SMTPException, OSError) as error:  # TimeoutError is one
            self._drop()
            raise Uncertain(f"the SMTP connection broke after the mail left ({type(error).__name__})") from None
        if not whole:
            self._drop()  # the server would read our next command as the rest of the mail
        if answer.code != 250:
            raise _refusal(SMTPResponseException(*answer), "the SMTP server refuses the mail", Rejected)

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


async def _pour(client: aiosmtplib.SMTP, content: bytes) -> tuple[aiosmtplib.SMTPResponse, bool]:
    """Write *content* no faster than the server takes it; return its answer, and whether it came after the end."""
    protocol, transport = client.protocol, client.transport
    if protocol is None or not isinstance(transport, asyncio.WriteTransport):
        raise SMTPServerDisconnected("the connection is gone")
    answer = asyncio.ensure_future(protocol.read_response())  # some servers refuse a mail before its end
    try:
        for start in range(0, len(content), PIECE):
            protocol.write(content[start : start + PIECE])
            while transport.get_write_buffer_size() > PIECE and not answer.done():
                await asyncio.wait({answer}, timeout=0.005)  # the library tells nobody when its buffer is empty
            if answer.done():
                break
        return await answer, start + PIECE >= len(content)
    finally:
        answer.cancel()
        await asyncio.gather(answer, return_exceptions=True)


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
