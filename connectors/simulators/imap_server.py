"""A small IMAP4rev1 server (RFC 3501, 2177, 2971) with one account and one folder, which misbehaves on demand.

It answers what a mail reader needs and refuses the rest with BAD, as strictly as the standard asks:
commands only in their state, no EXPUNGE inside FETCH, UIDs that only grow.
"""

from __future__ import annotations

import asyncio
import re
import ssl
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime

CAPABILITIES = "IMAP4rev1 IDLE ID LITERAL- AUTH=PLAIN"
LITERAL = re.compile(rb"\{(\d+)\}$")
WORD = re.compile(rb'"((?:[^"\\]|\\.)*)"|(\((?:[^()]|\([^()]*\))*\))|([^\s()"]+)')
SECTION = re.compile(rb"BODY(\.PEEK)?\[([^\]]*)\](?:<(\d+)\.(\d+)>)?", re.IGNORECASE)
ITEM = re.compile(rb"BODY(?:\.PEEK)?\[[^\]]*\](?:<\d+\.\d+>)?|[A-Z0-9.]+", re.IGNORECASE)
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
ANY_STATE = frozenset({"CAPABILITY", "NOOP", "LOGOUT", "ID"})
LARGEST_LITERAL = 64 << 20


@dataclass
class Stored:
    """One mail of the folder."""

    uid: int
    raw: bytes
    received: datetime
    flags: set[str] = field(default_factory=set)


class Folder:
    """The mails of the account, in the order in which they came."""

    def __init__(self, validity: int = 1) -> None:
        self.validity = validity
        self.next_uid = 1
        self.mails: list[Stored] = []
        self.changed = asyncio.Condition()

    async def deliver(self, raw: bytes, received: datetime | None = None) -> int:
        """Put a mail into the folder and return its UID."""
        uid, self.next_uid = self.next_uid, self.next_uid + 1
        self.mails.append(Stored(uid, raw, received or datetime.now(UTC)))
        await self._tell()
        return uid

    async def remove(self, uid: int) -> None:
        """Expunge a mail."""
        self.mails = [mail for mail in self.mails if mail.uid != uid]
        await self._tell()

    def renumber(self) -> None:
        """Give every mail a new UID under a new UIDVALIDITY, as a server does that lost its index."""
        self.validity += 1
        self.next_uid = 1
        for mail in self.mails:
            mail.uid, self.next_uid = self.next_uid, self.next_uid + 1

    async def wait_seen(self, count: int) -> None:
        """Return once *count* mails are marked as read."""
        async with self.changed:
            await self.changed.wait_for(lambda: sum("\\Seen" in mail.flags for mail in self.mails) >= count)

    async def _tell(self) -> None:
        async with self.changed:
            self.changed.notify_all()


class ImapServer:
    """Serves *folder* to *user*. Set its attributes and call `drop` to make it misbehave."""

    def __init__(self, folder: Folder, user: str, password: str) -> None:
        self.folder = folder
        self.user = user
        self.password = password
        self.silent = False
        """Swallow everything and answer nothing: a connection that died without notice."""
        self.idle = True
        """Offer IDLE."""
        self.login = True
        """Let the user in."""
        self.claimed_size: int | None = None
        """What to answer when asked for the size of a mail, instead of the truth."""
        self.connects = 0
        self.port = 0
        self.tls: ssl.SSLContext | None = None
        """Offer STARTTLS with this certificate."""
        self._server: asyncio.Server | None = None
        self._sessions: dict[asyncio.Task[None], asyncio.StreamWriter] = {}

    async def start(self, *, implicit: ssl.SSLContext | None = None, port: int = 0) -> None:
        """Listen on loopback; with *implicit* in TLS from the first byte."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", port, limit=1 << 20, ssl=implicit)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Stop listening and end every session."""
        if self._server is not None:
            self._server.close()
        sessions = list(self._sessions)
        for task in sessions:
            task.cancel()
        await asyncio.gather(*sessions, return_exceptions=True)
        if self._server is not None:
            await self._server.wait_closed()

    def drop(self) -> None:
        """Cut every connection, in the middle of whatever it is doing."""
        for writer in self._sessions.values():
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is None:
            return
        self.connects += 1
        self._sessions[task] = writer
        try:
            await _Session(self, reader, writer).run()
        except (ConnectionError, EOFError, TimeoutError, asyncio.CancelledError):
            pass
        finally:
            del self._sessions[task]
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()


class _Session:
    """One connection: its state, and which mails the client has been told of."""

    def __init__(self, server: ImapServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._server = server
        self._folder = server.folder
        self._reader = reader
        self._writer = writer
        self._state = "NONAUTH"
        self._told: list[int] = []
        self._over = False

    async def run(self) -> None:
        await self._say(f"* OK [CAPABILITY {self._capabilities()}] ready")
        while not self._over:
            line = await self._command()
            tag, _, rest = line.partition(b" ")
            name, _, arguments = rest.partition(b" ")
            uid = name.upper() == b"UID"
            if uid:
                name, _, arguments = arguments.partition(b" ")
            verb = name.decode("ascii", "replace").upper()
            label = tag.decode("ascii", "replace")
            handler = getattr(self, f"_do_{verb.lower()}", None)
            if not re.fullmatch(rb"[A-Za-z0-9.]+", tag) or handler is None or not self._allowed(verb):
                await self._say(f"{label} BAD {verb} is not possible here")
                continue
            try:
                answer = await handler(arguments, uid=uid)
            except (ValueError, IndexError):
                answer = "BAD cannot read the arguments"
            if verb not in ("FETCH", "STORE", "SEARCH") or uid:
                await self._update()
            if answer:
                await self._say(f"{label} {answer}")
            if verb == "STARTTLS" and answer.startswith("OK") and self._server.tls is not None:
                await self._writer.start_tls(self._server.tls)

    def _capabilities(self) -> str:
        offered = CAPABILITIES if self._server.idle else CAPABILITIES.replace(" IDLE", "")
        secured = self._writer.get_extra_info("ssl_object") is not None
        return offered + (" STARTTLS LOGINDISABLED" if self._server.tls is not None and not secured else "")

    def _allowed(self, verb: str) -> bool:
        if verb in ANY_STATE:
            return True
        if verb in ("LOGIN", "AUTHENTICATE", "STARTTLS"):
            return self._state == "NONAUTH"
        if verb in ("SELECT", "EXAMINE", "LIST", "STATUS", "APPEND"):
            return self._state in ("AUTH", "SELECTED")
        return self._state == "SELECTED"

    async def _say(self, text: str | bytes) -> None:
        if self._server.silent:
            return
        self._writer.write((text.encode() if isinstance(text, str) else text) + b"\r\n")
        await self._writer.drain()

    async def _line(self) -> bytes:
        line = await self._reader.readuntil(b"\r\n")
        return line[:-2]

    async def _command(self) -> bytes:
        """Read one command with its literals, which are put in as quoted strings."""
        line = await self._line()
        while found := LITERAL.search(line):
            size = int(found[1])
            if size > LARGEST_LITERAL:
                raise EOFError
            await self._say("+ go on")
            literal = await self._reader.readexactly(size)
            quoted = literal.replace(b"\\", b"\\\\").replace(b'"', b'\\"')
            line = line[: found.start()] + b'"' + quoted + b'"' + await self._line()
        return line

    async def _update(self) -> None:
        """Tell the client what was expunged and what has come."""
        if self._state != "SELECTED":
            return
        present = [mail.uid for mail in self._folder.mails]
        for position in range(len(self._told), 0, -1):
            if self._told[position - 1] not in present:
                await self._say(f"* {position} EXPUNGE")
                del self._told[position - 1]
        if len(present) > len(self._told):
            self._told = present
            await self._say(f"* {len(present)} EXISTS")

    async def _do_capability(self, _: bytes, *, uid: bool) -> str:  # noqa: ARG002  # every command is called alike
        await self._say(f"* CAPABILITY {self._capabilities()}")
        return "OK done"

    async def _do_noop(self, _: bytes, *, uid: bool) -> str:  # noqa: ARG002
        return "OK done"

    async def _do_id(self, arguments: bytes, *, uid: bool) -> str:  # noqa: ARG002
        if arguments != b"NIL" and not re.fullmatch(rb'\((?:"[^"]*" (?:"[^"]*"|NIL) ?)*\)', arguments):
            raise ValueError
        await self._say('* ID ("name" "simulator")')
        return "OK done"

    async def _do_logout(self, _: bytes, *, uid: bool) -> str:  # noqa: ARG002
        await self._say("* BYE")
        self._over = True
        return "OK done"

    async def _do_starttls(self, _: bytes, *, uid: bool) -> str:  # noqa: ARG002
        return "OK begin" if self._server.tls is not None else "BAD no TLS here"

    async def _do_login(self, arguments: bytes, *, uid: bool) -> str:  # noqa: ARG002
        user, password = _words(arguments)
        if not self._server.login or (user, password) != (self._server.user, self._server.password):
            return "NO [AUTHENTICATIONFAILED] no"
        self._state = "AUTH"
        return f"OK [CAPABILITY {self._capabilities()}] welcome"

    async def _do_list(self, _: bytes, *, uid: bool) -> str:  # noqa: ARG002
        await self._say('* LIST (\\HasNoChildren) "/" "INBOX"')
        return "OK done"

    async def _do_status(self, arguments: bytes, *, uid: bool) -> str:  # noqa: ARG002
        if _words(arguments)[0].upper() != "INBOX":
            return "NO [NONEXISTENT] no such folder"
        folder = self._folder
        counts = f"MESSAGES {len(folder.mails)} UIDNEXT {folder.next_uid} UIDVALIDITY {folder.validity}"
        await self._say(f'* STATUS "INBOX" ({counts})')
        return "OK done"

    async def _do_select(self, arguments: bytes, *, uid: bool) -> str:  # noqa: ARG002
        if _words(arguments)[0].upper() != "INBOX":
            self._state = "AUTH"
            return "NO [NONEXISTENT] no such folder"
        folder = self._folder
        self._state = "SELECTED"
        self._told = [mail.uid for mail in folder.mails]
        await self._say("* FLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft)")
        await self._say(f"* {len(self._told)} EXISTS")
        await self._say("* 0 RECENT")
        await self._say(f"* OK [UIDVALIDITY {folder.validity}] valid")
        await self._say(f"* OK [UIDNEXT {folder.next_uid}] next")
        return "OK [READ-WRITE] done"

    _do_examine = _do_select

    async def _do_close(self, _: bytes, *, uid: bool) -> str:  # noqa: ARG002
        self._state = "AUTH"
        return "OK done"

    async def _do_append(self, arguments: bytes, *, uid: bool) -> str:  # noqa: ARG002
        words = _words(arguments)
        if words[0].upper() != "INBOX":
            return "NO [TRYCREATE] no such folder"
        await self._folder.deliver(words[-1].encode("utf-8", "surrogateescape"))
        return "OK done"

    async def _do_search(self, arguments: bytes, *, uid: bool) -> str:
        words = [word.upper() for word in _words(arguments)]
        found = list(enumerate(self._told, 1))
        while words:
            word = words.pop(0)
            if word == "UID":
                chosen = self._set(words.pop(0), [number for _, number in found])
                found = [(position, number) for position, number in found if number in chosen]
            elif word in ("SINCE", "BEFORE"):
                day, month, year = words.pop(0).split("-")
                limit = datetime(int(year), MONTHS.index(month.capitalize()) + 1, int(day), tzinfo=UTC).date()
                dates = {mail.uid: mail.received.astimezone(UTC).date() for mail in self._folder.mails}
                found = [
                    (position, number)
                    for position, number in found
                    if number in dates and (dates[number] >= limit) == (word == "SINCE")
                ]
            elif word in ("SEEN", "UNSEEN"):
                seen = {mail.uid for mail in self._folder.mails if "\\Seen" in mail.flags}
                found = [(position, number) for position, number in found if (number in seen) == (word == "SEEN")]
            elif word != "ALL":
                raise ValueError
        numbers = [str(number if uid else position) for position, number in found]
        await self._say(" ".join(["* SEARCH", *numbers]))
        return "OK done"

    async def _do_fetch(self, arguments: bytes, *, uid: bool) -> str:
        span, _, items = arguments.partition(b" ")
        wanted = [item.upper() for item in ITEM.findall(items.strip(b"()"))]
        if uid and b"UID" not in wanted:
            wanted.insert(0, b"UID")
        if not wanted:
            raise ValueError
        for position, mail in self._chosen(span.decode(), uid=uid):
            parts = [self._item(item, mail) for item in wanted]
            await self._say(f"* {position} FETCH (".encode() + b" ".join(parts) + b")")
        return "OK done"

    async def _do_store(self, arguments: bytes, *, uid: bool) -> str:
        span, action, flags = _words(arguments)
        names = set(flags.strip("()").split())
        for position, mail in self._chosen(span, uid=uid):
            if action.upper().startswith("+FLAGS"):
                mail.flags |= names
            elif action.upper().startswith("-FLAGS"):
                mail.flags -= names
            else:
                mail.flags = names
            if not action.upper().endswith(".SILENT"):
                await self._say(f"* {position} FETCH (UID {mail.uid} FLAGS ({' '.join(sorted(mail.flags))}))")
        async with self._folder.changed:
            self._folder.changed.notify_all()
        return "OK done"

    async def _do_expunge(self, _: bytes, *, uid: bool) -> str:  # noqa: ARG002
        self._folder.mails = [mail for mail in self._folder.mails if "\\Deleted" not in mail.flags]
        return "OK done"

    async def _do_idle(self, _: bytes, *, uid: bool) -> str:  # noqa: ARG002
        await self._say("+ idling")
        done = asyncio.ensure_future(self._line())
        try:
            while not done.done():
                await self._update()
                news = asyncio.ensure_future(self._news())
                await asyncio.wait({done, news}, return_when=asyncio.FIRST_COMPLETED)
                news.cancel()
                await asyncio.gather(news, return_exceptions=True)
            return "OK done" if done.result().upper() == b"DONE" else "BAD expected DONE"
        finally:
            done.cancel()
            await asyncio.gather(done, return_exceptions=True)

    async def _news(self) -> None:
        async with self._folder.changed:
            await self._folder.changed.wait_for(lambda: [mail.uid for mail in self._folder.mails] != self._told)

    def _chosen(self, span: str, *, uid: bool) -> list[tuple[int, Stored]]:
        present = {mail.uid: mail for mail in self._folder.mails}
        numbers = self._told if uid else list(range(1, len(self._told) + 1))
        chosen = self._set(span, numbers)
        listed = [(position, number) for position, number in enumerate(self._told, 1) if number in present]
        return [(position, present[number]) for position, number in listed if (number if uid else position) in chosen]

    def _set(self, span: str, numbers: list[int]) -> set[int]:
        """Return the *numbers* that a sequence set names; "n:*" always names the last (RFC 3501 §6.4.8)."""
        last = max(numbers, default=0)
        chosen: set[int] = set()
        for part in span.split(","):
            first, colon, second = part.partition(":")
            ends = [last if end == "*" else int(end) for end in ((first, second) if colon else (first, first))]
            chosen |= {number for number in numbers if min(ends) <= number <= max(ends)}
        return chosen

    def _item(self, item: bytes, mail: Stored) -> bytes:
        if item == b"UID":
            return f"UID {mail.uid}".encode()
        if item == b"FLAGS":
            return f"FLAGS ({' '.join(sorted(mail.flags))})".encode()
        if item == b"RFC822.SIZE":
            claimed = self._server.claimed_size
            return f"RFC822.SIZE {len(mail.raw) if claimed is None else claimed}".encode()
        if item == b"INTERNALDATE":
            moment = mail.received.astimezone(UTC)
            date = f"{moment.day:2}-{MONTHS[moment.month - 1]}-{moment:%Y %H:%M:%S +0000}"
            return f'INTERNALDATE "{date}"'.encode()
        if item == b"RFC822":
            item = b"BODY[]"
        section = SECTION.fullmatch(item)
        if section is None or section[2].upper() not in (b"", b"HEADER", b"TEXT"):
            raise ValueError
        if not section[1]:
            mail.flags.add("\\Seen")
        head, gap, text = mail.raw.partition(b"\r\n\r\n")
        data = {b"": mail.raw, b"HEADER": head + gap, b"TEXT": text}[section[2].upper()]
        name = b"BODY[" + section[2].upper() + b"]"
        if section[3] is not None:
            start = int(section[3])
            data = data[start : start + int(section[4])]
            name += b"<" + section[3] + b">"
        return name + b" {%d}\r\n" % len(data) + data


def _words(arguments: bytes) -> list[str]:
    """Split arguments into atoms, quoted strings and lists."""
    found: list[str] = []
    for quoted, group, atom in WORD.findall(arguments):
        plain = re.sub(rb"\\(.)", rb"\1", quoted) if quoted else group or atom
        found.append(plain.decode("utf-8", "surrogateescape"))
    return found
