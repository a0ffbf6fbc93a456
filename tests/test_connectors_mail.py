"""The listening side of the e-mail channel against a simulated provider that misbehaves."""

from __future__ import annotations

import asyncio
import ssl
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from imapclient import IMAPClient

from connectors.base import Event, Ignored, Message, Receipt
from connectors.mail import Cursor, Mail, MailOptions
from connectors.mail_imap import Timing, to_utf7
from connectors.mail_mime import Limits
from connectors.simulators import imap_server
from connectors.simulators.mail import MailSimulator
from connectors.testing import InMemory, kit, outbound
from tests.mail_hostile import HOSTILE
from tests.mail_peers import make_certificate

ADDRESS = "service@example.com"
PASSWORD = "mailbox-password"
QUICK = Timing(answer=20.0, probe=0.5, poll=0.05, first=0.01, longest=0.05, refused=0.1)
LIMIT = 90.0


def letter(number: int, text: str = "你好", identifier: str = "") -> bytes:
    """Return a small mail."""
    return (
        f"From: kunde@example.org\r\nTo: {ADDRESS}\r\nSubject: mail {number}\r\n"
        f"Message-ID: <{identifier or f'm{number}@example.org'}>\r\nDate: Fri, 20 Nov 2026 10:00:00 +0800\r\n"
        f"Content-Type: text/plain; charset=utf-8\r\n\r\n{text}\r\n"
    ).encode()


@pytest.fixture
async def provider() -> AsyncIterator[MailSimulator]:
    """A mail provider."""
    async with MailSimulator(ADDRESS, PASSWORD) as simulator:
        yield simulator


class Store:
    """Takes events as the hub does: what it has once it does not take twice."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.copies = 0
        self._known: set[str] = set()
        self._news = asyncio.Condition()

    async def record(self, event: Event) -> None:
        """Keep *event* unless it is known."""
        identifier = f"{event.message_id} {event.state}" if isinstance(event, Receipt) else event.external_id
        async with self._news:
            if identifier in self._known:
                self.copies += 1
            else:
                self._known.add(identifier)
                self.events.append(event)
            self._news.notify_all()

    async def wait(self, condition: Callable[[], bool]) -> None:
        """Return once *condition* is true of what came."""
        async with asyncio.timeout(LIMIT), self._news:
            await self._news.wait_for(condition)

    async def count(self, number: int) -> list[Event]:
        """Return the events once there are *number* of them."""
        await self.wait(lambda: len(self.events) >= number)
        return list(self.events)

    def subjects(self) -> list[str]:
        """Return the subjects of the messages in their order."""
        return [event.subject for event in self.events if isinstance(event, Message)]


def channel(
    provider: MailSimulator, memory: InMemory | None = None, *, limits: Limits | None = None, **imap: Any
) -> Mail:
    """Return a channel at *provider*; *imap* are further options of its mailbox."""
    chosen = provider.options()
    chosen["imap"].update(imap)
    backfill = chosen["imap"].pop("backfill", "1d")
    clock = kit(memory=memory or InMemory(), now=lambda: int(time.time() * 1000))
    checked = MailOptions.model_validate({**chosen, "backfill": backfill})
    return Mail(checked, clock, timing=QUICK, limits=limits or Limits())


@asynccontextmanager
async def listening(mail: Mail) -> AsyncIterator[Store]:
    """Run `listen` for the length of a block."""
    store = Store()

    async def run() -> None:
        async for event in mail.listen():
            await store.record(event)

    task = asyncio.ensure_future(run())
    try:
        yield store
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def until(condition: Callable[[], bool]) -> None:
    """Return once *condition* is true: for facts that nothing announces."""
    async with asyncio.timeout(LIMIT):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def test_mail_arrives_while_idle(provider: MailSimulator) -> None:
    """A mail is an event as soon as the server pushes it, and is marked as read once it is durable."""
    async with listening(channel(provider)) as store:
        await provider.deliver(letter(1))
        (first,) = await store.count(1)
        await provider.deliver(letter(2))
        await store.count(2)
        await provider.folder.wait_seen(2)

    assert isinstance(first, Message)
    assert ("<m1@example.org>", "mailto:kunde@example.org", "你好") == (first.external_id, first.address, first.text)
    assert ["mail 1", "mail 2"] == store.subjects()


async def test_mark_seen_can_be_switched_off(provider: MailSimulator) -> None:
    """With `mark_seen: false` the mailbox stays as it is for the people who look into it."""
    async with listening(channel(provider, mark_seen=False)) as store:
        for number in range(3):
            await provider.deliver(letter(number))
        await store.count(3)

    assert all("\\Seen" not in mail.flags for mail in provider.folder.mails)


async def test_server_without_idle(provider: MailSimulator) -> None:
    """A server that cannot push is asked again and again."""
    provider.imap.idle = False
    async with listening(channel(provider)) as store:
        for number in range(3):
            await provider.deliver(letter(number))
            await store.count(number + 1)

    assert ["mail 0", "mail 1", "mail 2"] == store.subjects()
    assert 1 == provider.imap.connects


async def test_mail_that_comes_between_search_and_idle(provider: MailSimulator) -> None:
    """A mail announced during another command is not overlooked until the next round."""
    patient = Timing(answer=20.0, probe=60.0, first=0.01)
    mail = channel(provider)
    mail._timing = patient
    async with listening(mail) as store:
        await provider.deliver(letter(0))
        await store.count(1)
        for number in range(1, 40):
            await provider.deliver(letter(number))
            await asyncio.sleep(0)
        await store.count(40)

    assert 1 == provider.imap.connects


async def test_backfill_and_first_start(provider: MailSimulator) -> None:
    """The very first start reads as far back as `backfill` says, or not at all."""
    now = datetime.now(UTC)
    for number, age in enumerate((40, 20, 2)):
        await provider.deliver(letter(number), now - timedelta(days=age))
    async with listening(channel(provider, backfill="3w")) as store:
        await store.count(2)
    assert ["mail 1", "mail 2"] == store.subjects()
    memory = InMemory()
    async with listening(channel(provider, memory, backfill="")) as store:
        await until(lambda: bool(memory._values))
        await provider.deliver(letter(3))
        await store.count(1)
    assert ["mail 3"] == store.subjects()


async def test_mail_while_down_before_the_first_mail(provider: MailSimulator) -> None:
    """The first start remembers where it stood even if no mail came: what comes before the second start is read."""
    memory = InMemory()
    async with listening(channel(provider, memory, backfill="")):
        await until(lambda: bool(memory._values))
    await provider.deliver(letter(1))
    async with listening(channel(provider, memory, backfill="")) as store:
        await store.count(1)

    assert ["mail 1"] == store.subjects()


async def test_uidvalidity_and_silent_renumbering(provider: MailSimulator) -> None:
    """Whether or not the server says that its UIDs are new, no mail is lost and copies have their old ids."""
    memory = InMemory()
    async with listening(channel(provider, memory)) as store:
        for number in range(5):
            await provider.deliver(letter(number))
        await store.count(5)
        provider.folder.renumber()
        await provider.deliver(letter(5))
        provider.imap.drop()
        await store.count(6)
        await store.wait(lambda: store.copies >= 5)
        # Now the same without a new UIDVALIDITY: the folder was emptied and counts from 1 again.
        provider.folder.mails.clear()
        provider.folder.next_uid = 1
        await provider.deliver(letter(6))
        provider.imap.drop()
        await store.count(7)

    assert [f"mail {number}" for number in range(7)] == store.subjects()


async def test_one_message_id_for_different_mails(provider: MailSimulator) -> None:
    """A form mailer that repeats its Message-ID loses nothing; a copy of one mail is still a copy."""
    memory = InMemory()
    for text in ("第一封", "第二封", "第一封", "第三封"):
        await provider.deliver(letter(1, text, "always-the-same@example.org"))
    async with listening(channel(provider, memory)) as store:
        await store.count(3)
        await store.wait(lambda: store.copies == 1)
        first = list(store.events)
        provider.folder.renumber()
        provider.imap.drop()
        await store.wait(lambda: store.copies == 5)

    assert ["第一封", "第二封", "第三封"] == [event.text for event in store.events if isinstance(event, Message)]
    assert first == store.events


async def test_connection_cut_in_the_middle(provider: MailSimulator) -> None:
    """Wherever a connection is cut, the mail comes, once, and connecting is not repeated in a rush."""
    async with listening(channel(provider)) as store:
        for number in range(60):
            await provider.deliver(letter(number, "字" * 20_000))
            if number % 3 == 0:
                await asyncio.sleep(0.001 * (number % 7))
                provider.imap.drop()
        await store.count(60)

    assert [f"mail {number}" for number in range(60)] == store.subjects()
    assert 0 == store.copies


async def test_silent_server_is_left(provider: MailSimulator) -> None:
    """A server that says nothing any more is given up after the probe time and one answer's time."""
    mail = channel(provider)
    mail._timing = Timing(answer=0.3, probe=0.3, first=0.01, longest=0.05)
    async with listening(mail) as store:
        await provider.deliver(letter(1))
        await store.count(1)
        provider.imap.silent = True
        begin = time.monotonic()
        await until(lambda: bool(mail.trouble))
        noticed = time.monotonic() - begin
        provider.imap.silent = False
        await provider.deliver(letter(2))
        await store.count(2)

    assert noticed < 10  # of 40 that a probe takes by itself
    assert "" == mail.trouble or "answer" in mail.trouble


async def test_refused_login_is_not_hammered(provider: MailSimulator) -> None:
    """A refused login is tried again, rarely; once it is let in, everything is read."""
    provider.imap.login = False
    mail = channel(provider)
    async with listening(mail) as store:
        await provider.deliver(letter(1))
        await until(lambda: bool(mail.trouble))
        assert "the IMAP server refuses the login [AUTHENTICATIONFAILED]" == mail.trouble
        provider.imap.login = True
        await store.count(1)

    assert "" == mail.trouble


async def test_memory_that_fails_does_not_end_the_channel(provider: MailSimulator) -> None:
    """While the store is away the mailbox waits: nothing is marked, and reading goes on where it stopped."""

    class Flaky(InMemory):
        down = False

        async def put(self, key: str, value: str, *, ttl: float | None = None) -> None:
            if self.down:
                raise ConnectionError
            await super().put(key, value, ttl=ttl)

    memory = Flaky()
    mail = channel(provider, memory)
    async with listening(mail) as store:
        await provider.deliver(letter(1))
        await store.count(1)
        memory.down = True
        await provider.deliver(letter(2))
        await until(lambda: bool(mail.trouble))
        assert "the mailbox cannot be read on (ConnectionError)" == mail.trouble
        memory.down = False
        await provider.deliver(letter(3))
        await store.count(3)

    assert ["mail 1", "mail 2", "mail 3"] == store.subjects()


async def test_hostile_and_unreadable_mail_blocks_nobody(provider: MailSimulator) -> None:
    """Mail over a limit is kept whole with its reason; the mail behind it comes."""
    names = ["50000-parts", "nested-2000", "html-divs", "20000-parameters"]
    for name in names:
        await provider.deliver(HOSTILE[name]().replace(b"<evil@", b"<" + name.encode() + b"@"))
    await provider.deliver(letter(9))
    async with listening(channel(provider)) as store:
        events = await store.count(len(names) + 1)
    shunted = [event for event in events if isinstance(event, Message) and "shunt" in event.details]

    assert 3 == len(shunted)
    assert all(event.media[0].data for event in shunted)
    assert "mail 9" == store.subjects()[-1]


async def test_large_mail_gives_its_header(provider: MailSimulator) -> None:
    """Of a mail over the limit only the header is fetched, and the event says so."""
    await provider.deliver(letter(1, "x" * 50_000))
    async with listening(channel(provider, limits=Limits(size=20_000))) as store:
        (event,) = await store.count(1)

    assert isinstance(event, Message)
    assert ("<m1@example.org>", "mail 1", True) == (event.external_id, event.subject, event.details["partial"])
    assert "过大" in event.text


async def test_server_that_lies_about_sizes(provider: MailSimulator) -> None:
    """A server that sends more than it announced is cut off; after some tries the header has to do."""
    provider.imap.claimed_size = 100
    await provider.deliver(letter(1, "x" * 6_000_000))
    await provider.deliver(letter(2))
    async with listening(channel(provider, limits=Limits(size=20_000))) as store:
        first, _ = await store.count(2)

    assert isinstance(first, Message)
    assert "<m1@example.org>" == first.external_id
    assert "无法给出" in first.text
    assert ["mail 1", "mail 2"] == store.subjects()


def rewritten(monkeypatch: pytest.MonkeyPatch, rewrite: Callable[[bytes, bytes], bytes]) -> None:
    """Let the simulated server say what *rewrite* makes of a mail and of its answer about one item of it."""
    asked = imap_server._Session._item
    monkeypatch.setattr(imap_server._Session, "_item", lambda *about: rewrite(about[-1].raw, asked(*about)))


@pytest.mark.parametrize("nothing", [b"NIL", b'""', b"{0}\r\n"])
async def test_mail_that_the_server_hands_out_empty(
    provider: MailSimulator, monkeypatch: pytest.MonkeyPatch, nothing: bytes
) -> None:
    """Mails of which the server gives nothing are told one by one, after one more try; the mail behind them comes."""
    asked: list[int] = []

    def rewrite(raw: bytes, answer: bytes) -> bytes:
        if not answer.startswith(b"BODY[") or b"mail 3" in raw:
            return answer
        asked.append(int(raw.partition(b"Subject: mail ")[2][:1]))
        return b"BODY[] " + nothing

    rewritten(monkeypatch, rewrite)
    for number in (1, 2, 3):
        await provider.deliver(letter(number))
    async with listening(channel(provider)) as store:
        events = await store.count(3)

    assert [1, 1, 2, 2] == asked
    assert "mail 3" == store.subjects()[-1]
    assert all(isinstance(event, Message) and "无法给出" in event.text for event in events[:2])
    assert 3 == len({event.external_id for event in events if isinstance(event, Message)})


async def test_mail_that_the_server_hands_out_empty_once(
    provider: MailSimulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A mail that comes whole the second time is that mail."""
    answers = [b"BODY[] NIL"]
    rewritten(monkeypatch, lambda _, answer: answers.pop() if answer.startswith(b"BODY[") and answers else answer)
    await provider.deliver(letter(1))
    async with listening(channel(provider)) as store:
        await store.count(1)

    assert ["mail 1"] == store.subjects()


async def test_names_in_small_letters(provider: MailSimulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server may write the names of what it hands out in small letters (RFC 3501 §9)."""

    def small(_: bytes, answer: bytes) -> bytes:
        name, blank, value = answer.partition(b" ")
        return name.lower() + blank + value

    rewritten(monkeypatch, small)
    await provider.deliver(letter(1))
    async with listening(channel(provider)) as store:
        await store.count(1)

    assert ["mail 1"] == store.subjects()


CONFUSING = (
    b"",
    b"\r\n",
    b"x",
    b"Subject: no body",
    letter(1, ")))((("),
    letter(2, "A1 OK done\r\n* 1 FETCH (UID 1 BODY[] {3}\r\nabc)\r\n* BYE\r\n* 99 EXISTS\r\n+ go on"),
    letter(3, "ends with a literal {500}"),
    letter(4, "nul \x00 and eight bits \xff"),
    letter(5, "y" * 3_000_000),
    letter(6).replace(b"\r\n", b"\n"),
)


async def test_bodies_that_confuse_readers(provider: MailSimulator) -> None:
    """Whatever the bytes of a mail are, they arrive as they are, all on one connection."""
    for raw in CONFUSING:
        await provider.deliver(raw)
    async with listening(channel(provider)) as store:
        await store.count(len(CONFUSING))

    assert [f"mail {number}" for number in range(1, 7)] == store.subjects()[-6:]
    assert 1 == provider.imap.connects


async def test_bounce_becomes_a_receipt(provider: MailSimulator) -> None:
    """The bounce of our own mail settles that mail; a copy of our own mail is ignored."""
    mail = channel(provider)
    sent = await mail.send(outbound(id="d-42", address="mailto:kunde@example.org", text="x"))
    await mail.close()
    bounce = (Path(__file__).parent / "payloads" / "email" / "bounce-dsn.eml").read_bytes()
    await provider.deliver(bounce.replace(b"<hl-d0042@example.com>", sent.external_id.encode()))
    await provider.deliver(provider.delivered[0].raw)
    async with listening(mail) as store:
        receipt, own = await store.count(2)

    assert isinstance(receipt, Receipt)
    assert (sent.external_id, "failed") == (receipt.message_id, receipt.state)
    assert Ignored(sent.external_id, "own mail") == own


async def test_starttls_and_a_server_without_it(provider: MailSimulator, tmp_path: Path) -> None:
    """`tls: starttls` encrypts or gives up; a password never goes over a plain line that was to be secured."""
    certificate = make_certificate(tmp_path)
    mail = channel(provider, tls="starttls", host="localhost", ca_file=str(certificate))
    async with listening(mail):
        await until(lambda: bool(mail.trouble))
        assert "the IMAP server offers no STARTTLS" == mail.trouble
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, tmp_path / "key.pem")
    provider.imap.tls = context
    mail = channel(provider, tls="starttls", host="localhost", ca_file=str(certificate))
    await provider.deliver(letter(1))
    async with listening(mail) as store:
        await store.count(1)
    mail = channel(provider)
    async with listening(mail):
        await until(lambda: bool(mail.trouble))
        assert "the IMAP server takes no password without TLS" == mail.trouble


async def test_nothing_is_left_behind(provider: MailSimulator) -> None:
    """A stopped channel leaves no task, no process and no connection."""
    before = asyncio.all_tasks()
    mail = channel(provider)
    async with listening(mail) as store:
        await provider.deliver(letter(1))
        await store.count(1)
    await until(lambda: not provider.imap._sessions)

    assert before == asyncio.all_tasks()


def test_cursor_is_small() -> None:
    """The cursor is three numbers."""
    assert Cursor(1, 2, 3) == Cursor(validity=1, last=2, looked_at=3)


@pytest.mark.parametrize(
    ("folder", "spelled"),
    [
        ("INBOX", "INBOX"),
        ("归档", "&X1JoYw-"),
        ("客服/待处理", "&W6JnDQ-/&X4VZBHQG-"),
        ("R&D", "R&-D"),
        ("台北 a 日本語", "&U,BTFw- a &ZeVnLIqe-"),
        ("😀", "&2D3eAA-"),
    ],
)
def test_folder_names(folder: str, spelled: str) -> None:
    """Folder names are spelled as RFC 3501 §5.1.3 says."""
    assert spelled == to_utf7(folder)


async def test_simulator_satisfies_an_independent_client(provider: MailSimulator) -> None:
    """The simulated server works with a client that is not ours: flags, search, fetch, IDLE, APPEND, LOGOUT."""
    await provider.deliver(letter(1))
    ready = threading.Event()

    def visit() -> dict[str, Any]:
        found: dict[str, Any] = {}
        with IMAPClient("127.0.0.1", provider.imap.port, ssl=False, timeout=20) as client:
            client.login(ADDRESS, PASSWORD)
            found["folders"] = [name for _, _, name in client.list_folders()]
            found["selected"] = client.select_folder("INBOX")[b"UIDNEXT"]
            found["search"] = client.search(["UNSEEN"])
            found["body"] = client.fetch([1], ["BODY.PEEK[]", "FLAGS", "INTERNALDATE"])[1][b"BODY[]"]
            client.add_flags([1], [b"\\Seen"])
            found["seen"] = client.search(["SEEN"])
            client.idle()
            ready.set()
            found["pushed"] = client.idle_check(timeout=20)
            client.idle_done()
            client.append("INBOX", letter(3))
            found["after"] = client.search()
            client.noop()
        return found

    visitor = asyncio.ensure_future(asyncio.to_thread(visit))
    await asyncio.to_thread(ready.wait, 20)
    await provider.deliver(letter(2))
    found = await visitor

    assert (["INBOX"], 2, [1], [1], letter(1)) == (
        found["folders"],
        found["selected"],
        found["search"],
        found["seen"],
        found["body"],
    )
    assert (2, b"EXISTS") in found["pushed"]
    assert [1, 2, 3] == found["after"]
