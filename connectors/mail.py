r"""E-mail: a mailbox read over IMAP and answered over SMTP.

The cursor (UIDVALIDITY and last UID) is shared memory of the channel and moves only after a mail is
durable; the \Seen flag is a courtesy to people who look into the mailbox, and never read. Mail is
parsed in a worker process that is killed when it takes too long; what cannot be parsed becomes a
message that carries the mail itself.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import random
import ssl
from collections.abc import AsyncGenerator, Iterator
from typing import ClassVar, Literal

import msgspec
from msgspec import Struct
from pydantic import Field, SecretStr, field_validator, model_validator

from connectors.base import BadOptions, Capabilities, Event, Kit, Message, Options, Outbound, Rejected, Sent
from connectors.mail_addresses import ADDRESS
from connectors.mail_auth import Authenticator
from connectors.mail_compose import compose, recipient_of
from connectors.mail_imap import Account, Entry, Lost, Mailbox, Refused, Timing, open_mailbox
from connectors.mail_mime import Limits
from connectors.mail_parse import NOBODY, Job, Parsed, digest, salvage
from connectors.mail_smtp import Relay, Submission
from connectors.mail_thread import ascii_address, chain, known_ids, our_id, read_handle, write_handle
from connectors.sandbox import Exhausted, Failed, Sandbox

logger = logging.getLogger(__name__)

Security = Literal["implicit", "starttls", "none"]

SPANS = {"m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000}
HEADER_OF_LARGE = 64 << 10
PARSE_SECONDS = 1.5
PARSE_SECONDS_PER_BYTE = 2e-7
REMEMBERED = 30 * 86_400.0
"""Seconds for which the digest of a mail is kept under its Message-ID."""

MARGIN = 2 * 86_400_000
"""Milliseconds before the last good look at the folder from which mail is read again when its UIDs are new."""

FRESH = 600_000
"""Milliseconds between two notes that the folder holds nothing newer."""

PATIENT = 5
"""So often the connection may break on one mail before less of it is asked for."""

BATCH = 100

TOO_LARGE = (
    "[邮件过大：{size:.1f} MB，上限 {limit:.1f} MB，仅收取信头；请到邮箱中查看原件。\n"
    "This mail of {size:.1f} MB is over the limit of {limit:.1f} MB: only its header was taken; "
    "the mail itself is in the mailbox.]"
)
UNREADABLE = (
    "[邮件服务器无法给出这封邮件的正文；请到邮箱中查看原件。\n"
    "The mail server does not hand out the body of this mail; please look into the mailbox.]"
)


class Server(Options):
    """One mail server. `tls: none` sends everything, passwords too, in the clear."""

    host: str = Field(min_length=1)
    port: int = Field(ge=1, le=65535)
    tls: Security = "implicit"
    ca_file: str = ""
    user: str = ""
    password: SecretStr | None = None
    oauth_token: SecretStr | None = None

    @model_validator(mode="after")
    def _one_secret(self) -> Server:
        if self.password is not None and self.oauth_token is not None:
            raise ValueError("give password or oauth_token, not both")
        if self.user and self.password is None and self.oauth_token is None:
            raise ValueError("a user needs a password or an oauth_token")
        return self

    def secrets(self) -> tuple[str, str]:
        """Return password and OAuth token in plain text."""
        password, token = self.password, self.oauth_token
        return (password.get_secret_value() if password else "", token.get_secret_value() if token else "")


class Imap(Server):
    """Where mail is read. *folder* is written as people do ("INBOX", "客服/待处理")."""

    port: int = Field(default=993, ge=1, le=65535)
    user: str = Field(min_length=1)
    folder: str = "INBOX"
    mark_seen: bool = True


class Smtp(Server):
    """Where mail is sent from."""

    port: int = Field(default=465, ge=1, le=65535)


class MailOptions(Options):
    """An e-mail channel. Without *smtp* it only receives.

    *backfill* ("12h", "1d", "2w") is how far back the very first start reads; without it, only mail
    that arrives from then on. *subaddress* separates the mailbox from a detail in an address ("" where the server
    knows none). *authenticate* says whose signature is checked: that of answers to messages that carry a token, of
    every mail, or of none. The verdicts of servers that call themselves one of *trusted_results* are believed.
    *resolver* is the DNS server to ask (host:port), by default the machine's.
    """

    address: str
    name: str = ""
    imap: Imap
    smtp: Smtp | None = None
    backfill: str = Field(default="", pattern=r"^(?:\d{1,4}[mhdw])?$")
    subaddress: str = Field(default="+", pattern=r"^[-+_=.]?$")
    authenticate: Literal["answers", "always", "never"] = "answers"
    trusted_results: tuple[str, ...] = ()
    resolver: str = Field(default="", pattern=r"^(?:[0-9a-fA-F.]+|\[[0-9a-fA-F:]+\])?(?::\d{1,5})?$")

    @field_validator("address")
    @classmethod
    def _is_address(cls, value: str) -> str:
        if not ADDRESS.fullmatch(value):
            raise ValueError("not a mail address; expected name@host")
        ascii_address(value)
        return value.lower()


MOST_CHOICES = 20


class Cursor(Struct, frozen=True):
    """How far a folder has been read; *looked_at* is when it was last known to hold nothing newer (ms)."""

    validity: int
    last: int
    looked_at: int


class Mail:
    """The connector of kind "email"."""

    kind: ClassVar[str] = "email"
    Options: ClassVar[type[Options]] = MailOptions
    capabilities: ClassVar[Capabilities] = Capabilities(
        media=frozenset({"image", "file", "voice", "video"}),
        media_limit=20 << 20,
        media_total=20 << 20,  # in base64 28 MB: what common providers take
        mixed=True,
        html=True,
        receipts=frozenset({"delivered", "read", "failed"}),
        idempotent=True,
        threads=True,
        reaches=frozenset({"mailto"}),
        staff=True,
        choices=MOST_CHOICES,
        links_choices=True,
    )

    def __init__(self, options: MailOptions, kit: Kit, *, timing: Timing = Timing(), limits: Limits = Limits()) -> None:  # noqa: B008  # frozen
        self._options = options
        self._kit = kit
        self._timing = timing
        self._limits = limits
        self._submission: Submission | None = None
        self._authenticator = Authenticator(options.resolver, options.trusted_results)
        self._seen: set[int] = set()
        self._tries: dict[int, int] = {}
        imap = options.imap
        password, token = imap.secrets()
        self._account = Account(imap.host, imap.port, imap.tls, imap.user, password, token, imap.folder)
        place = f"{imap.host}|{imap.port}|{imap.user}|{imap.folder}"
        self._cursor_key = "cursor:" + hashlib.sha256(place.encode()).hexdigest()[:16]
        self.trouble = ""
        """Why the mailbox cannot be read at present, "" while it can."""

    async def listen(self) -> AsyncGenerator[Event]:
        """Yield the mailbox's mail for ever; lost connections are renewed after 1 to 60 s, nothing is skipped or lost.

        What is wrong meanwhile stands in `trouble`.
        """
        failures = 0
        async with Sandbox("connectors.mail_parse:work") as sandbox, self._authenticator:
            while True:
                try:
                    async with open_mailbox(self._account, self._context(self._options.imap), self._timing) as mailbox:
                        cursor = await self._begin(mailbox)
                        self._note("")
                        while True:
                            for uids in batched(await mailbox.after(cursor.last)):
                                for entry in await mailbox.entries(uids):
                                    event = await self._read(mailbox, sandbox, entry)
                                    if event is not None:
                                        yield event
                                        failures = 0
                                        self._seen.add(entry.uid)
                                    cursor = msgspec.structs.replace(cursor, last=entry.uid)
                                    await self._keep(cursor)
                                await self._mark(mailbox)
                            cursor = await self._looked(cursor)
                            await mailbox.wait()
                            failures = 0
                except (Lost, Refused) as error:
                    failures += 1
                    self._note(str(error))
                    await asyncio.sleep(self._pause(failures, refused=isinstance(error, Refused)))
                except Exception as error:  # noqa: BLE001  # the store's failures have no common class; the mailbox waits
                    failures += 1
                    self._note(f"the mailbox cannot be read on ({type(error).__name__})")
                    await asyncio.sleep(self._pause(failures))

    async def send(self, message: Outbound) -> Sent:
        """Send one mail in the thread of its handle, under a Message-ID that every attempt repeats.

        Raises a `SendError`.
        """
        options = self._options
        if options.smtp is None:
            raise BadOptions("this channel only receives: it has no smtp section")
        try:
            handle = read_handle(message.handle)
        except msgspec.MsgspecError:
            raise Rejected("the conversation's handle is not one of a mail channel") from None
        mail = await compose(message, handle, options.address, options.name, options.subaddress)
        if self._submission is None:
            password, token = options.smtp.secrets()
            smtp = options.smtp
            relay = Relay(smtp.host, smtp.port, smtp.tls, smtp.user, password, token)
            try:
                self._submission = Submission(relay, self._context(smtp), timeout=self._timing.answer * 3)
            except Refused as error:
                raise BadOptions(str(error)) from None
        own, recipient = ascii_address(options.address), recipient_of(message, handle)
        await self._submission.submit(mail, own, recipient, message.leaving, auto=message.auto)
        identifier = our_id(message.id, options.address, message.token)
        refs = chain([*handle.refs, *known_ids(message.refs)], [], identifier)
        subject = handle.subject or message.subject
        return Sent(identifier, handle=write_handle(msgspec.structs.replace(handle, refs=refs, subject=subject)))

    async def close(self) -> None:
        """End the connection to the SMTP server."""
        if self._submission is not None:
            await self._submission.close()

    async def _begin(self, mailbox: Mailbox) -> Cursor:
        """Return where to read on, and remember it: at the first start, and when the folder's UIDs are new."""
        now = self._kit.now()
        stored = await self._kit.memory.get(self._cursor_key)
        cursor = msgspec.json.decode(stored, type=Cursor) if stored else None
        # Some servers forget to change UIDVALIDITY when they count anew: then the next UID is below the cursor.
        if cursor is not None and cursor.validity == mailbox.validity and cursor.last < mailbox.next_uid:
            return cursor
        if cursor is not None:
            logger.warning("channel %s: the folder was rebuilt (UIDVALIDITY), reading again", self._kit.channel)
            since = cursor.looked_at - MARGIN
        elif self._options.backfill:
            since = now - int(self._options.backfill[:-1]) * SPANS[self._options.backfill[-1]]
        else:
            since = 0
        self._seen.clear()
        uids = await mailbox.since(since) if since else []
        # Copies of mail that is stored already are dropped by the store: their external ids are the same.
        last = uids[0] - 1 if uids else mailbox.next_uid - 1
        cursor = Cursor(mailbox.validity, last, now)
        await self._keep(cursor)
        return cursor

    async def _read(self, mailbox: Mailbox, sandbox: Sandbox, entry: Entry) -> Parsed | None:
        """Return the event of one mail, None if it was deleted meanwhile.

        A mail on which the connection breaks again and again must not hold up those behind it: then
        its header will do, and at last a message that says where it is.
        """
        tries = self._tries.get(entry.uid, 0)
        self._tries = {entry.uid: tries + 1}
        received = entry.received or self._kit.now()
        if tries >= 2 * PATIENT:
            return self._unreadable(mailbox, entry, received)
        notice = ""
        if entry.size > self._limits.size:
            notice = TOO_LARGE.format(size=entry.size / (1 << 20), limit=self._limits.size / (1 << 20))
        elif tries >= PATIENT:
            notice = UNREADABLE
        raw = await (
            mailbox.header(entry.uid, HEADER_OF_LARGE) if notice else mailbox.mail(entry.uid, self._limits.size)
        )
        if raw == b"" and entry.size:
            # Two mails of nothing would be one mail: asked for once more, then told by where it is.
            if tries:
                self._tries.clear()
                return self._unreadable(mailbox, entry, received)
            raise Lost("the IMAP server hands out an empty mail")
        self._tries.clear()
        if raw is None:
            return None
        job = Job(raw, received, self._options.address, notice, self._options.subaddress, self._limits)
        event = await self._parse(sandbox, job)
        if not isinstance(event, Message):
            return event
        return await self._told_apart(await self._authenticated(event, raw, whole=not notice))

    async def _authenticated(self, message: Message, raw: bytes, *, whole: bool) -> Message:
        """Return *message* with what is known of its sender, where somebody may want to know."""
        options = self._options
        if options.authenticate == "never" or (options.authenticate == "answers" and not message.details.get("token")):
            return message
        verdict = await self._authenticator.examine(raw, message.address.removeprefix("mailto:"), whole=whole)
        return msgspec.structs.replace(message, details={**message.details, "auth": msgspec.to_builtins(verdict)})

    def _unreadable(self, mailbox: Mailbox, entry: Entry, received: int) -> Message:
        identifier = f"uid:{mailbox.validity}.{entry.uid}"
        reason = f"the server does not hand out the mail with UID {entry.uid}"
        address = f"mailto:{NOBODY}"
        return Message(identifier, address, received, UNREADABLE, auto=True, details={"shunt": reason})

    async def _parse(self, sandbox: Sandbox, job: Job) -> Parsed:
        try:
            answer = await sandbox.run(
                msgspec.msgpack.encode(job), seconds=PARSE_SECONDS + len(job.raw) * PARSE_SECONDS_PER_BYTE
            )
        except (Exhausted, Failed) as error:
            logger.warning("channel %s: a mail could not be parsed: %s", self._kit.channel, error)
            reason = f"the mail could not be parsed: {error}"
            return salvage(job.raw, received=job.received, own=job.own, reason=reason)
        event: Parsed = msgspec.msgpack.decode(answer, type=Parsed)
        return event

    async def _told_apart(self, message: Message) -> Message:
        """Give *message* an id of its own if another mail with the same Message-ID says something else.

        Copies of one mail (two aliases, a folder read again) keep one id and are stored once; a form
        mailer that sends every mail under one Message-ID, or a forger who guesses one, hides nothing.
        """
        key = "mid:" + hashlib.sha256(message.external_id.encode()).hexdigest()[:24]
        said = digest(message)
        known = await self._kit.memory.get(key)
        if known is None:
            await self._kit.memory.put(key, said, ttl=REMEMBERED)
        elif known != said:
            return msgspec.structs.replace(message, external_id=f"{message.external_id}#{said}")
        return message

    async def _looked(self, cursor: Cursor) -> Cursor:
        """Return *cursor* with the time of this look, written down at most every ten minutes."""
        now = self._kit.now()
        if now - cursor.looked_at < FRESH:
            return cursor
        cursor = Cursor(cursor.validity, cursor.last, now)
        await self._keep(cursor)
        return cursor

    async def _keep(self, cursor: Cursor) -> None:
        await self._kit.memory.put(self._cursor_key, msgspec.json.encode(cursor).decode())

    async def _mark(self, mailbox: Mailbox) -> None:
        """Mark what is stored as read. After a lost connection it is tried again with the next."""
        if self._seen and self._options.imap.mark_seen:
            await mailbox.mark_seen(self._seen)
        self._seen.clear()

    def _context(self, server: Server) -> ssl.SSLContext | None:
        """Return how to check *server*'s certificate, None without TLS. Raises `Refused`."""
        if server.tls == "none":
            return None
        try:
            return ssl.create_default_context(cafile=server.ca_file or None)
        except OSError:
            raise Refused("ca_file cannot be read or holds no certificate") from None

    def _note(self, trouble: str) -> None:
        if trouble and trouble != self.trouble:
            logger.warning("channel %s: %s", self._kit.channel, trouble)
        self.trouble = trouble

    def _pause(self, failures: int, *, refused: bool = False) -> float:
        """Return how many seconds to wait after *failures* in a row: doubling, with jitter, so that hubs spread."""
        timing = self._timing
        usual = min(timing.longest, timing.first * 2.0 ** min(failures - 1, 20)) * random.uniform(0.5, 1.0)  # noqa: S311
        return max(usual, timing.refused) if refused else usual


def batched(uids: list[int]) -> Iterator[list[int]]:
    """Cut *uids* into runs that one command may name."""
    for start in range(0, len(uids), BATCH):
        yield uids[start : start + BATCH]
