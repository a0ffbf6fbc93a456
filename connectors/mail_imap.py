"""A mailbox over IMAP (RFC 3501, 2177): the one place that knows aioimaplib, and guards against its hangs.

aioimaplib never notices that a connection has died while it idles, mixes up answers after a
cancelled command, and logs what it receives. So one task owns a connection, every wait is raced
with the loss of the connection and with a time limit, and whatever goes wrong ends the connection:
it raises `Lost`, and the caller opens a new one. There is no repairing.
"""

from __future__ import annotations

import asyncio
import base64
import logging
import re
import ssl
from collections.abc import AsyncIterator, Coroutine, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from aioimaplib import IMAP4
from aioimaplib.aioimaplib import AUTH, NONAUTH, AioImapException, Command, IMAP4ClientProtocol
from msgspec import Struct

# It logs every byte it receives, passwords masked at best: nothing of that may reach a log.
logging.getLogger("aioimaplib").setLevel(logging.CRITICAL)

T = TypeVar("T")

CODE = re.compile(rb"\[([A-Z-]{2,40})", re.IGNORECASE)
UID = re.compile(rb"UID (\d+)", re.IGNORECASE)
SIZE = re.compile(rb"RFC822\.SIZE (\d+)", re.IGNORECASE)
DATE = re.compile(rb'INTERNALDATE "([^"]{20,30})"', re.IGNORECASE)
BODY = re.compile(rb"BODY\[", re.IGNORECASE)
QUOTED_BODY = re.compile(rb'BODY\[[A-Z]*\](?:<\d+>)? "((?:[^"\\]|\\.)*)"', re.DOTALL | re.IGNORECASE)
IDENTITY = '("name" "huiliu" "version" "1.0" "vendor" "huiliu")'
"""RFC 2971. 163.com and 126.com refuse SELECT ("Unsafe Login") without it, and refuse spaces inside the brackets."""

OTHER_TRAFFIC = 4 << 20
BATCH = 100


class Lost(Exception):
    """The connection is of no use any more; open another one. The message says why."""


class Refused(Exception):
    """The server does not let us in or has no such folder: an admin must act. The message holds no secret."""


class Timing(Struct, frozen=True):
    """Time limits in seconds. A half-open connection is noticed within *probe* + 2 * *answer*.

    *answer* is for one answer of the server, *probe* for one round of IDLE, *poll* for a server
    without IDLE, *transfer* for one mail, *first* and *longest* bound the pause before reconnecting.
    """

    answer: float = 10.0
    probe: float = 40.0
    poll: float = 20.0
    transfer: float = 600.0
    first: float = 1.0
    longest: float = 60.0
    refused: float = 300.0


class Account(Struct, frozen=True):
    """What is needed to get into a mailbox: *security* is "implicit", "starttls" or "none"; one of the secrets is "".

    *password* and *token* are plain text and never shown.
    """

    host: str
    port: int
    security: str
    user: str
    password: str
    token: str
    folder: str

    def __repr__(self) -> str:
        return f"Account(host={self.host!r}, port={self.port}, folder={self.folder!r})"


class Entry(Struct, frozen=True):
    """One mail of the folder as listed: *size* in bytes, *received* in milliseconds since 1970 UTC."""

    uid: int
    size: int
    received: int


class Mailbox:
    """One open folder. Not to be shared between tasks; after `Lost` it is of no use."""

    def __init__(self, client: _Client, timing: Timing) -> None:
        self._client = client
        self._wire: _Wire = client.protocol
        self._timing = timing
        self.validity = 0
        self.next_uid = 0

    async def enter(self, account: Account, context: ssl.SSLContext | None) -> None:
        """Log in and open the folder. Raises `Lost` or `Refused`."""
        await self._do(self._client.wait_hello_from_server())
        if account.security == "starttls":
            await self._do(self._wire.secure(context, account.host))
        if account.token:
            answer = await self._do(self._client.xoauth2(account.user, account.token))
        elif "LOGINDISABLED" in self._wire.capabilities:
            raise Refused("the IMAP server takes no password without TLS")
        else:
            answer = await self._do(self._client.login(_quoted(account.user), account.password))
        if answer.result != "OK":
            raise Refused(f"the IMAP server refuses the login {_code(answer)}".strip())
        await self._do(self._wire.capability())
        if "ID" in self._wire.capabilities:
            await self._run("ID", IDENTITY)
        answer = await self._do(self._client.select(_quoted(to_utf7(account.folder))))
        if answer.result != "OK":
            raise Refused(f"the IMAP server does not open folder {account.folder!r} {_code(answer)}".strip())
        text = b" ".join(bytes(row) for row in answer.lines)
        self.validity = _number(rb"UIDVALIDITY (\d+)", text)
        self.next_uid = _number(rb"UIDNEXT (\d+)", text) or max(await self._search("ALL"), default=0) + 1

    async def after(self, uid: int) -> list[int]:
        """Return the UIDs above *uid*, ascending."""
        self._wire.changed = False
        # "n:*" always includes the last mail, even if its UID is below n (RFC 3501 §6.4.8).
        return [found for found in await self._search(f"UID {uid + 1}:*") if found > uid]

    async def since(self, moment: int) -> list[int]:
        """Return the UIDs of mails received since *moment* (ms), ascending; whole days, so rather too many."""
        day = datetime.fromtimestamp(moment / 1000, UTC) - timedelta(days=1)  # the server counts in its own zone
        months = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split()  # noqa: SIM905  # reads as a list
        entries = await self.entries(await self._search(f"SINCE {day.day}-{months[day.month - 1]}-{day.year}"))
        return sorted(entry.uid for entry in entries if entry.received >= moment)

    async def entries(self, uids: Sequence[int]) -> list[Entry]:
        """Return size and date of *uids*, ascending; those deleted meanwhile are missing."""
        found: list[Entry] = []
        for start in range(0, len(uids), BATCH):
            part = uids[start : start + BATCH]
            for head, _ in await self._fetch(part, "(UID RFC822.SIZE INTERNALDATE)", OTHER_TRAFFIC):
                uid = _number(UID, head)
                if uid in part:
                    found.append(Entry(uid, _number(SIZE, head), _moment(head)))
        return sorted(found, key=lambda entry: entry.uid)

    async def mail(self, uid: int, limit: int) -> bytes | None:
        """Return the bytes of mail *uid* without marking it read, None if it was deleted. `Lost` above *limit*."""
        return await self._body(uid, "(UID BODY.PEEK[])", limit)

    async def header(self, uid: int, limit: int) -> bytes | None:
        """Return the first *limit* bytes of the header of mail *uid*, None if it was deleted."""
        return await self._body(uid, f"(UID BODY.PEEK[HEADER]<0.{limit}>)", limit)

    async def mark_seen(self, uids: Iterable[int]) -> None:
        """Mark *uids* as read."""
        numbers = sorted(uids)
        for start in range(0, len(numbers), BATCH):
            part = ",".join(map(str, numbers[start : start + BATCH]))
            await self._checked(self._client.uid("store", part, "+FLAGS.SILENT", r"(\Seen)"))

    async def wait(self) -> None:
        """Return when the folder may have changed, at the latest after the probe time. Raises `Lost`."""
        if self._wire.changed:
            return
        if "IDLE" in self._wire.capabilities:
            await self._idle()
        else:
            await self._nap()

    async def leave(self) -> None:
        """Log out if that still works, and close."""
        if not self._wire.lost.done():
            with suppress(Lost, TimeoutError):
                async with asyncio.timeout(1.0):
                    await self._do(self._client.logout())
        self.close()

    def close(self) -> None:
        """Cut the connection."""
        self._wire.drop("closed by us")
        self._client.discard()

    async def _search(self, criteria: str) -> list[int]:
        answer = await self._checked(self._client.uid_search(criteria, charset=None))
        return sorted({int(word) for row in answer.lines[:-1] for word in bytes(row).split() if word.isdigit()})

    async def _run(self, name: str, *arguments: str) -> None:
        await self._do(self._wire.execute(Command(name, self._wire.new_tag(), *arguments)))

    async def _fetch(self, uids: Sequence[int], items: str, allowance: int) -> list[tuple[bytes, bytes]]:
        """Return, for each message the server sent, its FETCH line and its literal."""
        self._wire.allowance = allowance
        fetch = self._client.uid("fetch", ",".join(map(str, uids)), items)
        answer = await self._checked(fetch, self._timing.transfer)
        found: list[tuple[bytes, bytes]] = []
        for row in answer.lines[:-1]:
            if isinstance(row, bytearray):
                if found:
                    found[-1] = (found[-1][0], bytes(row))
            elif re.match(rb"\d+ FETCH \(", row, re.IGNORECASE):
                found.append((bytes(row), b""))
            elif found:  # what stands after a literal belongs to the same message
                found[-1] = (found[-1][0] + b" " + bytes(row), found[-1][1])
        return found

    async def _body(self, uid: int, items: str, limit: int) -> bytes | None:
        for head, literal in await self._fetch([uid], items, limit + OTHER_TRAFFIC):
            if _number(UID, head) == uid and BODY.search(head):
                short = QUOTED_BODY.search(head)
                return re.sub(rb"\\(.)", rb"\1", short[1]) if short else literal
        return None

    async def _checked(self, work: Coroutine[Any, Any, Any], seconds: float = 0.0) -> Any:
        answer = await self._do(work, seconds)
        if answer.result != "OK":
            raise Lost(f"the IMAP server answered {answer.result} {_code(answer)}".strip())
        return answer

    async def _idle(self) -> None:
        """One round of IDLE: until the server says something or the probe time is over, then DONE and its answer."""
        queue = self._wire.idle_queue
        while not queue.empty():
            queue.get_nowait()
        self._wire.allowance = OTHER_TRAFFIC
        idle = asyncio.ensure_future(self._client.idle())
        begun = asyncio.ensure_future(self._wire.wait_for_idle_response())
        told = asyncio.ensure_future(queue.get())
        try:
            await self._first({idle, begun}, self._timing.answer)
            if not idle.done():
                await self._first({idle, told}, self._timing.probe, patient=True)
                self._client.idle_done()
                await self._first({idle}, self._timing.answer)
            self._result(idle)
        finally:
            await _end({idle, begun, told})

    async def _nap(self) -> None:
        await self._first(set(), self._timing.poll, patient=True)
        await self._checked(self._client.noop())

    async def _do(self, work: Coroutine[Any, Any, T], seconds: float = 0.0) -> T:
        """Await *work* unless the connection is lost or *seconds* pass first; then it is `Lost`."""
        self._wire.allowance = max(self._wire.allowance, OTHER_TRAFFIC)
        task = asyncio.ensure_future(work)
        try:
            await self._first({task}, seconds or self._timing.answer)
            return self._result(task)
        finally:
            if not task.done():
                await _end({task})

    async def _first(self, tasks: set[asyncio.Future[Any]], seconds: float, *, patient: bool = False) -> None:
        """Wait until one of *tasks* is done. Raises `Lost`, after *seconds* too unless *patient*."""
        done, _ = await asyncio.wait({*tasks, self._wire.lost}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        if done & tasks or (patient and not done):
            return
        reason = self._wire.lost.result() if done else f"the IMAP server gave no answer within {seconds:g} s"
        self._wire.drop(reason)
        raise Lost(reason)

    def _result(self, task: asyncio.Future[T]) -> T:
        try:
            return task.result()
        except ssl.SSLCertVerificationError as error:
            self._wire.drop("certificate")
            raise Refused(f"the IMAP server's certificate is not valid: {error.verify_message}") from None
        except Refused:
            self._wire.drop("refused")
            raise
        except (AioImapException, OSError, EOFError, LookupError, ValueError, AttributeError, RecursionError) as error:
            # aioimaplib lets its parser's accidents through; whatever it was, the connection's state is unknown.
            self._wire.drop(type(error).__name__)
            raise Lost(f"the IMAP connection failed ({type(error).__name__})") from None


@asynccontextmanager
async def open_mailbox(account: Account, context: ssl.SSLContext | None, timing: Timing) -> AsyncIterator[Mailbox]:
    """Connect, log in and open the folder; *context* is used for TLS. Raises `Lost` or `Refused`."""
    client = _Client(account.host, account.port, timing.answer, context if account.security == "implicit" else None)
    mailbox = Mailbox(client, timing)
    try:
        await mailbox.enter(account, context)
        yield mailbox
    finally:
        await mailbox.leave()


def to_utf7(folder: str) -> str:
    """Return a folder's name as IMAP spells it (RFC 3501 §5.1.3, modified UTF-7)."""
    pieces: list[str] = []
    for plain, other in re.findall(r"([\x20-\x7e]+)|([^\x20-\x7e]+)", folder):
        if plain:
            pieces.append(plain.replace("&", "&-"))
        else:
            coded = base64.b64encode(other.encode("utf-16-be")).decode().rstrip("=").replace("/", ",")
            pieces.append(f"&{coded}-")
    return "".join(pieces)


class _Wire(IMAP4ClientProtocol):  # type: ignore[misc]  # untyped library
    """aioimaplib's protocol, which now tells that it was lost, that the folder changed, and when it gets too much."""

    state: str
    transport: Any

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop)
        self.lost: asyncio.Future[str] = loop.create_future()
        self.changed = False
        self.allowance = OTHER_TRAFFIC

    def drop(self, reason: str) -> None:
        """End the connection; the first *reason* is remembered."""
        if not self.lost.done():
            self.lost.set_result(reason)
        # The greeting's task asks for capabilities while it holds the lock that others need even to be cancelled.
        for task in self.tasks:
            task.cancel()
        if self.transport is not None:
            self.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self.drop("the IMAP server closed the connection")

    def data_received(self, d: bytes) -> None:
        self.allowance -= len(d)
        if self.lost.done():
            return
        if self.allowance < 0:
            self.drop("the IMAP server sent more than it was asked for")
            return
        try:
            super().data_received(d)
        except (AioImapException, LookupError, ValueError, AttributeError, RecursionError) as error:
            self.drop(f"the IMAP server sent something unreadable ({type(error).__name__})")

    async def welcome(self, command: bytes) -> None:
        try:
            await super().welcome(command)
        except (AioImapException, LookupError, ValueError) as error:
            self.drop(f"the IMAP server does not greet us ({type(error).__name__})")

    async def secure(self, context: ssl.SSLContext | None, host: str) -> None:
        """Turn the connection into TLS (RFC 3501 §6.2.1). Raises `Refused` if the server will not."""
        if self.state == AUTH:  # "PREAUTH" would let a man in the middle keep us in plain text
            raise Refused("the IMAP server offers no STARTTLS")
        answer = await self.execute(Command("STARTTLS", self.new_tag()))
        if answer.result != "OK" or context is None:
            raise Refused("the IMAP server offers no STARTTLS")
        if self.incomplete_line:
            raise Refused("the IMAP server speaks before TLS is on")
        self.transport = await self.loop.start_tls(self.transport, self, context, server_hostname=host)
        self.state = NONAUTH
        await self.capability()

    def _continuation(self, line: bytes) -> None:
        super()._continuation(line)
        pending = self.pending_sync_command
        if pending is not None and pending.name == "AUTHENTICATE":
            # A refused XOAUTH2 token is explained in a challenge; the refusal comes only after an empty answer.
            self.transport.write(b"\r\n")

    def _untagged_response(self, line: bytes) -> Command:
        if line.endswith(b" EXISTS"):
            self.changed = True
        elif line.startswith(b"* BYE"):
            self.loop.call_later(1.0, self.drop, "the IMAP server said BYE")
        return super()._untagged_response(line)


class _Client(IMAP4):  # type: ignore[misc]  # untyped library
    """aioimaplib's client on our protocol."""

    protocol: _Wire

    def __init__(self, host: str, port: int, timeout: float, context: ssl.SSLContext | None) -> None:
        super().__init__(host, port, timeout=timeout, ssl_context=context)

    def create_client(
        self,
        host: str,
        port: int,
        loop: asyncio.AbstractEventLoop | None,
        conn_lost_cb: Any,  # noqa: ARG002  # the protocol itself notices
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        loop = loop or asyncio.get_running_loop()
        self.protocol = _Wire(loop)
        connect = loop.create_connection(lambda: self.protocol, host, port, ssl=ssl_context)
        self._client_task = loop.create_task(connect)

    def discard(self) -> None:
        """Leave no task behind."""
        self._client_task.cancel()
        if self._client_task.done() and not self._client_task.cancelled():
            self._client_task.exception()
        for task in (*self.tasks, *self.protocol.tasks):
            task.cancel()


async def _end(tasks: set[asyncio.Future[Any]]) -> None:
    """Cancel *tasks* and wait for them, not for ever: the library's may hang even then, and the connection is lost."""
    for task in tasks:
        task.cancel()
        task.add_done_callback(_heard)
    await asyncio.wait(tasks, timeout=1.0)


def _heard(task: asyncio.Future[Any]) -> None:
    """Take what *task* raised, so that the loop does not complain that nobody did."""
    if not task.cancelled():
        task.exception()


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _code(answer: Any) -> str:
    """Return the response code of an answer, such as "[AUTHENTICATIONFAILED]": its words may hold names."""
    found = CODE.search(bytes(answer.lines[-1])) if answer.lines else None
    return f"[{found[1].decode()}]" if found else ""


def _number(pattern: re.Pattern[bytes] | bytes, text: bytes) -> int:
    found = re.search(pattern, text, re.IGNORECASE) if isinstance(pattern, bytes) else pattern.search(text)
    return int(found[1]) if found else 0


def _moment(head: bytes) -> int:
    """Return INTERNALDATE in milliseconds since 1970 UTC, 0 if the server sent none."""
    found = DATE.search(head)
    if not found:
        return 0
    try:
        return int(datetime.strptime(found[1].decode().strip(), "%d-%b-%Y %H:%M:%S %z").timestamp() * 1000)
    except ValueError:
        return 0
