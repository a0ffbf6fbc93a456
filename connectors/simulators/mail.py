"""A mail provider on loopback: the shop's mailbox by IMAP, the world's mail by SMTP, faults on demand."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from dataclasses import dataclass
from datetime import datetime
from types import TracebackType
from typing import Any, Self

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from connectors.simulators.imap_server import Folder, ImapServer

SIZE_LIMIT = 30 << 20

# It warns of its own deprecations at every login, and at lower levels repeats the whole dialogue.
logging.getLogger("mail.log").setLevel(logging.ERROR)


@dataclass(frozen=True, slots=True)
class Delivered:
    """A mail that left through the provider: its envelope and its bytes."""

    sender: str
    recipient: str
    raw: bytes


class MailSimulator:
    """The provider of *address*; use it as an async context manager.

    Mail for *address* comes without login, as from any other provider, and lies in `folder`; mail
    to others needs the login and is kept in `delivered`. *faults* are taken one for each SMTP
    transaction: a reply code ("421", "450", "451", "452" answer RCPT; "550", "552", "554" as well),
    "drop" (the connection is cut after the mail was taken, before the answer), "lose" (cut before
    it was taken), "data450" and "data554" (the reply to the content), "" (no fault). With
    *strict_sender* the null sender is refused, as NetEase does.
    """

    def __init__(self, address: str, password: str, *, strict_sender: bool = False) -> None:
        self.address = address
        self.password = password
        self.strict_sender = strict_sender
        self.folder = Folder()
        self.imap = ImapServer(self.folder, address, password)
        self.faults: deque[str] = deque()
        self.delivered: list[Delivered] = []
        self.refused: list[str] = []
        """Replies by which it did not accept something."""
        self.connections: set[asyncio.BaseTransport] = set()
        self.smtp_port = 0
        self._news = asyncio.Condition()
        self._smtp: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def start(self) -> None:
        """Listen on two free ports of loopback."""
        loop = asyncio.get_running_loop()
        self._smtp = await loop.create_server(lambda: _Smtp(self, loop), "127.0.0.1", 0)
        self.smtp_port = self._smtp.sockets[0].getsockname()[1]
        await self.imap.start()

    async def stop(self) -> None:
        """Close both servers and every connection."""
        await self.imap.stop()
        if self._smtp is not None:
            self._smtp.close()
        for transport in list(self.connections):
            transport.close()
        if self._smtp is not None:
            await self._smtp.wait_closed()

    async def deliver(self, raw: bytes, received: datetime | None = None) -> int:
        """Put a mail into the shop's mailbox and return its UID there."""
        return await self.folder.deliver(raw, received)

    async def wait_delivered(self, count: int) -> list[Delivered]:
        """Return what went out, once it is *count* mails or more."""
        async with self._news:
            await self._news.wait_for(lambda: len(self.delivered) >= count)
            return list(self.delivered)

    def options(self) -> dict[str, Any]:
        """Return the options of an e-mail channel that uses this provider, as they stand in YAML."""
        login = {"host": "127.0.0.1", "tls": "none", "user": self.address, "password": self.password}
        return {
            "address": self.address,
            "imap": {**login, "port": self.imap.port},
            "smtp": {**login, "port": self.smtp_port},
        }

    async def take(self, envelope: Envelope) -> None:
        """Keep a mail that came by SMTP."""
        content = envelope.content if isinstance(envelope.content, bytes) else b""
        for recipient in envelope.rcpt_tos:
            if recipient.lower() == self.address:
                await self.folder.deliver(content)
            else:
                self.delivered.append(Delivered((envelope.mail_from or "").strip("<>"), recipient, content))
        async with self._news:
            self._news.notify_all()


class _Smtp(SMTP):
    """One SMTP connection of the provider."""

    def __init__(self, provider: MailSimulator, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(
            _Rules(provider),
            loop=loop,
            hostname="mail.simulator",
            data_size_limit=SIZE_LIMIT,
            auth_require_tls=False,
            authenticator=_Login(provider),
        )
        self._provider = provider

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._provider.connections.add(transport)

    async def push(self, status: Any) -> None:
        text = status.decode("ascii", "replace") if isinstance(status, bytes) else status
        if text[:1] in ("4", "5"):
            self._provider.refused.append(text)
        await super().push(status)

    def connection_lost(self, error: Exception | None) -> None:
        if self.transport is not None:
            self._provider.connections.discard(self.transport)
        super().connection_lost(error)


class _Login:
    """Checks AUTH PLAIN and AUTH LOGIN."""

    def __init__(self, provider: MailSimulator) -> None:
        self._provider = provider

    def __call__(self, server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: Any) -> AuthResult:  # noqa: ARG002  # aiosmtpd's signature
        right = (self._provider.address.encode(), self._provider.password.encode())
        good = isinstance(data, LoginPassword) and (data.login, data.password) == right
        return AuthResult(success=good, handled=False)


class _Rules:
    """What the provider takes from whom."""

    def __init__(self, provider: MailSimulator) -> None:
        self._provider = provider
        self._fault = ""

    async def handle_MAIL(  # noqa: N802  # aiosmtpd's names
        self,
        server: SMTP,  # noqa: ARG002
        session: Session,
        envelope: Envelope,
        address: str,
        options: list[str],
    ) -> str:
        provider = self._provider
        self._fault = provider.faults.popleft() if provider.faults else ""
        sender = "" if address == "<>" else address
        if session.authenticated and sender != provider.address and (sender or provider.strict_sender):
            return "553 5.7.1 Mail from must equal authorized user"
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return "250 2.1.0 ok"

    async def handle_RCPT(  # noqa: N802
        self,
        server: SMTP,  # noqa: ARG002
        session: Session,
        envelope: Envelope,
        address: str,
        options: list[str],  # noqa: ARG002
    ) -> str:
        if not session.authenticated and address.lower() != self._provider.address:
            return "554 5.7.1 relay access denied"
        if self._fault.isdigit():
            return f"{self._fault} as you asked"
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 ok"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: ARG002, N802
        fault = self._fault
        if fault == "lose":
            _cut(server)
            return "451 lost"
        if fault.startswith("data"):
            return f"{fault[4:]} as you asked"
        await self._provider.take(envelope)
        if fault == "drop":
            _cut(server)
        return "250 2.0.0 taken"


def _cut(server: SMTP) -> None:
    """End the connection without a word."""
    if isinstance(server.transport, asyncio.Transport):
        server.transport.abort()
