"""The e-mail channel with real peers: Dovecot behind a proxy that spoils connections, and Postfix."""

from __future__ import annotations

import asyncio
import hashlib
import os
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from imapclient import IMAPClient

from connectors.base import Event, Message
from connectors.mail import Mail, MailOptions
from connectors.mail_imap import Timing
from connectors.mail_mime import Limits
from connectors.testing import InMemory, kit, outbound
from tests.mail_peers import PASSWORD, Dovecot, Postfix, Proxy, need, private_root, seed

pytestmark = pytest.mark.timeout(600)

LONG = os.environ.get("HUILIU_LONG") == "1"
QUICK = Timing(answer=2.0, probe=1.0, poll=0.3, first=0.02, longest=0.5, refused=0.3)
LIMIT = 60.0


@pytest.fixture(scope="module")
def dovecot() -> Iterator[Dovecot]:
    """One Dovecot for all tests; each test uses a mailbox of its own."""
    need("dovecot")
    with private_root() as root:
        server = Dovecot(root)
        try:
            server.start()
            yield server
        finally:
            server.stop()


@pytest.fixture
def shop(request: pytest.FixtureRequest) -> str:
    """The user name of a new mailbox."""
    return hashlib.sha256(request.node.name.encode()).hexdigest()[:20]


def letter(number: int, text: str = "退货", sender: str = "kunde@example.com") -> bytes:
    """Return a small mail."""
    return (
        f"From: {sender}\r\nTo: service@example.com\r\nSubject: mail {number}\r\n"
        f"Date: Fri, 20 Nov 2026 10:00:00 +0800\r\nMessage-ID: <m{number}@example.com>\r\n"
        f"Content-Type: text/plain; charset=utf-8\r\n\r\n{text} {number}\r\n"
    ).encode()


def options(user: str, port: int, *, smtp: int = 0, backfill: str = "1d", **imap: Any) -> MailOptions:
    """Return the options of a channel on *port*."""
    login = {"host": "127.0.0.1", "port": port, "tls": "none", "user": user, "password": PASSWORD}
    sending = {"smtp": {"host": "127.0.0.1", "port": smtp, "tls": "none"}} if smtp else {}
    return MailOptions.model_validate(
        {"address": "service@example.com", "imap": {**login, **imap}, "backfill": backfill, **sending}
    )


class Intake:
    """What a listening channel gave, each event durable as soon as it is here."""

    def __init__(self, mail: Mail) -> None:
        self.mail = mail
        self.events: list[Event] = []
        self._news = asyncio.Condition()

    async def run(self) -> None:
        """Take events until cancelled."""
        async for event in self.mail.listen():
            self.events.append(event)
            async with self._news:
                self._news.notify_all()

    async def count(self, number: int, limit: float = LIMIT) -> list[Event]:
        """Return the events once there are *number* of them."""
        async with asyncio.timeout(limit), self._news:
            await self._news.wait_for(lambda: len(self.events) >= number)
        return list(self.events)

    def ids(self) -> Counter[str]:
        """Count the events by external id."""
        return Counter(event.external_id for event in self.events if isinstance(event, Message))


@asynccontextmanager
async def listening(
    chosen: MailOptions, memory: InMemory, timing: Timing = QUICK, limits: Limits | None = None
) -> AsyncIterator[Intake]:
    """Run a channel's `listen` for the length of a block."""
    clock = kit(memory=memory, now=lambda: int(time.time() * 1000))
    intake = Intake(Mail(chosen, clock, timing=timing, limits=limits or Limits()))
    task = asyncio.ensure_future(intake.run())
    try:
        yield intake
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def until(condition: Callable[[], bool], limit: float = LIMIT) -> float:
    """Return after how many seconds *condition* came true: for facts that nothing announces."""
    begin = time.monotonic()
    while not condition():
        assert time.monotonic() - begin < limit, "it did not happen in time"
        await asyncio.sleep(0.02)
    return time.monotonic() - begin


def reader(dovecot: Dovecot, user: str, folder: str = "INBOX") -> IMAPClient:
    """Open a mailbox with an independent client."""
    client = IMAPClient("127.0.0.1", dovecot.port, ssl=False)
    client.login(user, PASSWORD)
    client.select_folder(folder)
    return client


async def test_every_mail_exactly_once_while_connections_drop(dovecot: Dovecot, shop: str) -> None:
    """500 mails, 20 cuts at random moments and bytes: each mail comes once, and all are marked as read."""
    mails, cuts = (5000, 100) if LONG else (500, 20)
    chance = random.Random(seed())
    memory = InMemory()
    async with Proxy(dovecot.port) as proxy, listening(options(shop, proxy.port), memory) as intake:
        for number in range(mails):
            dovecot.deliver(shop, letter(number, "字" * chance.randrange(1, 4000)))
            if number % 10 == 9:
                await asyncio.sleep(0)
            if number % (mails // cuts) == 0:
                # Between two mails, or in the middle of an answer.
                proxy.cut_after = chance.randrange(1, 60_000)
                wanted = min(number, len(intake.events) + chance.randrange(0, 25))
                await intake.count(wanted)
                if proxy.cut() == 0:
                    await until(lambda: len(proxy._pairs) > 0)
                    proxy.cut()
        proxy.cut_after = None
        await intake.count(mails, 240.0)
        connects, done = proxy.connects, proxy.cuts
        client = await asyncio.to_thread(reader, dovecot, shop)
        await until(lambda: client.search("UNSEEN") == [] and bool(client.noop()))
        await asyncio.to_thread(client.logout)
    print(f"{mails} mails, {done} cuts, {connects} connections")  # noqa: T201  # pytest -s shows it

    assert {f"<m{number}@example.com>": 1 for number in range(mails)} == dict(intake.ids())
    assert done >= cuts


async def test_cursor_survives_a_restart(dovecot: Dovecot, shop: str) -> None:
    """What came while nobody listened is read at the next start, however much it is; nothing is read twice."""
    memory = InMemory()
    dovecot.deliver(shop, letter(0))
    async with listening(options(shop, dovecot.port), memory) as intake:
        await intake.count(1)
    for number in range(1, 40):
        dovecot.deliver(shop, letter(number))
    async with listening(options(shop, dovecot.port), memory) as intake:
        await intake.count(39)

    assert {f"<m{number}@example.com>": 1 for number in range(1, 40)} == dict(intake.ids())


async def test_a_mail_that_was_not_durable_comes_again(dovecot: Dovecot, shop: str) -> None:
    """The cursor moves after the event is durable, not before: a crash in between repeats the mail."""
    memory = InMemory()
    clock = kit(memory=memory, now=lambda: int(time.time() * 1000))
    dovecot.deliver(shop, letter(1))
    stream = Mail(options(shop, dovecot.port), clock, timing=QUICK).listen()
    async with asyncio.timeout(LIMIT):
        first = await anext(stream)
        await stream.aclose()
    async with listening(options(shop, dovecot.port), memory) as intake:
        again = await intake.count(1)

    assert [first] == again


async def test_first_start_reads_new_mail_only(dovecot: Dovecot, shop: str) -> None:
    """Without backfill the mail that was there before stays out."""
    dovecot.deliver(shop, letter(1))
    memory = InMemory()
    async with listening(options(shop, dovecot.port, backfill=""), memory) as intake:
        await until(lambda: bool(memory._values))
        dovecot.deliver(shop, letter(2))
        await intake.count(1)

    assert dict(intake.ids()) == {"<m2@example.com>": 1}


async def test_a_server_that_hangs_up_after_its_greeting_is_called_again(shop: str) -> None:
    """A connection lost between greeting and capabilities, where aioimaplib holds its lock, ends like any other."""
    calls = asyncio.Semaphore(0)

    async def hang_up(lines: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"* OK ready\r\n")
        await lines.readline()
        writer.transport.abort()
        calls.release()

    server = await asyncio.start_server(hang_up, "127.0.0.1", 0)
    async with server, listening(options(shop, server.sockets[0].getsockname()[1]), InMemory()) as intake:
        async with asyncio.timeout(LIMIT):
            for _ in range(3):
                await calls.acquire()
        trouble = intake.mail.trouble

    assert trouble == "the IMAP server closed the connection"


async def test_half_open_connection_is_noticed(dovecot: Dovecot, shop: str) -> None:
    """A line that swallows everything is given up after at most probe + 2 answers, and mail flows again."""
    timing = Timing(answer=1.0, probe=1.5, first=0.02, longest=0.1)
    async with Proxy(dovecot.port) as proxy, listening(options(shop, proxy.port), InMemory(), timing) as intake:
        dovecot.deliver(shop, letter(1))
        await intake.count(1)
        proxy.silent = True
        dovecot.deliver(shop, letter(2))
        noticed = await until(lambda: bool(intake.mail.trouble))
        proxy.silent = False
        await intake.count(2)
    usual = Timing()

    assert noticed <= timing.probe + 2 * timing.answer + 10.0  # the machine may be busy
    assert usual.probe + 2 * usual.answer <= 60


async def test_new_uidvalidity_loses_and_repeats_nothing(dovecot: Dovecot, shop: str) -> None:
    """After the server lost its index, recent mail is read again under the same ids, and new mail comes."""
    memory = InMemory()
    async with Proxy(dovecot.port) as proxy, listening(options(shop, proxy.port), memory) as intake:
        for number in range(5):
            dovecot.deliver(shop, letter(number))
        await intake.count(5)
        before = list(memory._values.values())
        await until(lambda: dovecot.all_seen(shop, 5))  # else it writes down once more what is thrown away here
        dovecot.forget_index(shop)
        # Maildir file times are the dates of arrival; they survive. The new validity differs by the second.
        await asyncio.sleep(1.1)
        dovecot.deliver(shop, letter(5))
        proxy.cut()
        await intake.count(11)

    assert {f"<m{number}@example.com>" for number in range(6)} == set(intake.ids())
    assert before != list(memory._values.values())


async def test_starttls_and_implicit_tls(dovecot: Dovecot, shop: str) -> None:
    """Both kinds of TLS work with a certificate that is trusted, and no other certificate is."""
    dovecot.deliver(shop, letter(1))
    ca = str(dovecot.certificate)
    for tls, port in (("starttls", dovecot.port), ("implicit", dovecot.tls_port)):
        secured = options(shop, port, host="localhost", tls=tls, ca_file=ca)
        async with listening(secured, InMemory()) as intake:
            assert [event.external_id for event in await intake.count(1)] == ["<m1@example.com>"]  # type: ignore[union-attr]
        stranger = options(shop, port, host="localhost", tls=tls)
        async with listening(stranger, InMemory()) as intake:
            await until(lambda: bool(intake.mail.trouble))
            assert "certificate is not valid" in intake.mail.trouble


async def test_chinese_folder(dovecot: Dovecot, shop: str) -> None:
    """A folder is named in the options as people write it."""
    dovecot.deliver(shop, letter(1))
    dovecot.deliver(shop, letter(2), "&W6JnDQ-")  # 客服
    async with listening(options(shop, dovecot.port, folder="客服"), InMemory()) as intake:
        events = await intake.count(1)

    assert [event.external_id for event in events] == ["<m2@example.com>"]  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("changes", "trouble"),
    [
        ({"password": "wrong-password"}, "the IMAP server refuses the login [AUTHENTICATIONFAILED]"),
        ({"folder": "no such folder"}, "the IMAP server does not open folder 'no such folder'"),
        ({"oauth_token": "expired-token", "password": None}, "the IMAP server refuses the login [ALERT]"),
        ({"tls": "implicit"}, "the IMAP connection failed (SSLError)"),
        ({"port": 1}, "the IMAP connection failed (ConnectionRefusedError)"),
    ],
)
async def test_trouble_is_named(dovecot: Dovecot, shop: str, changes: dict[str, Any], trouble: str) -> None:
    """What keeps a mailbox from being read is said without secrets, and connecting is not repeated in a rush."""
    async with Proxy(dovecot.port) as proxy:
        chosen = options(shop, **{"port": proxy.port, **changes})
        async with listening(chosen, InMemory(), Timing(answer=3.0, first=30.0)) as intake:
            await until(lambda: bool(intake.mail.trouble))
            await asyncio.sleep(0.4)

            assert trouble == intake.mail.trouble
            assert proxy.connects <= 1


async def test_large_mail_is_told_not_lost(dovecot: Dovecot, shop: str) -> None:
    """A mail over the limit is an event with its header and a notice; its body is never fetched."""
    large = letter(1).replace(b"\r\n\r\n", b"\r\n\r\n" + b"x" * 300_000)
    dovecot.deliver(shop, large)
    dovecot.deliver(shop, letter(2))
    limits = Limits(size=200_000)
    async with Proxy(dovecot.port) as proxy, listening(options(shop, proxy.port), InMemory(), limits=limits) as intake:
        first, second = await intake.count(2)

    assert isinstance(first, Message)
    assert isinstance(second, Message)
    assert ("<m1@example.com>", "mail 1", True) == (first.external_id, first.subject, first.details["partial"])
    assert "过大" in first.text
    assert second.text == "退货 2"


async def test_mail_deleted_by_somebody_else(dovecot: Dovecot, shop: str) -> None:
    """A mail that another client expunges meanwhile does not stop the others."""
    for number in range(3):
        dovecot.deliver(shop, letter(number))
    client = reader(dovecot, shop)
    memory = InMemory()
    async with listening(options(shop, dovecot.port), memory) as intake:
        await intake.count(3)
        client.delete_messages([1, 2])
        client.expunge()
        dovecot.deliver(shop, letter(3))
        await intake.count(4)
    client.logout()

    assert {f"<m{number}@example.com>": 1 for number in range(4)} == dict(intake.ids())


async def test_reply_threads_in_a_real_mailbox(dovecot: Dovecot) -> None:
    """A customer's mail goes through Postfix into the shop's box, the answer back into theirs, in one thread."""
    need("postfix")
    with private_root() as root:
        postfix = Postfix(root, dovecot.root / "mail", "example.com")
        for user in ("service", "kunde"):
            postfix.add_user(f"{user}@example.com", user)
        postfix.start()
        try:
            memory = InMemory()
            chosen = options("service", dovecot.port, smtp=postfix.port)
            async with listening(chosen, memory) as intake:
                dovecot.deliver("service", letter(1))
                asked = (await intake.count(1))[0]
                assert isinstance(asked, Message)
                sent = await intake.mail.send(
                    outbound(
                        id="d1",
                        address=asked.address,
                        text="您好，已为您办理。",
                        html="<p>您好，已为您办理。</p>",
                        handle=asked.handle,
                    )
                )
                again = await intake.mail.send(
                    outbound(id="d2", address=asked.address, text="还有", handle=sent.handle)
                )
                with pytest.raises(Exception, match="refuses the recipient"):
                    await intake.mail.send(outbound(id="d3", address="mailto:nobody-there@example.com", text="x"))
                await intake.mail.close()
            client = reader(dovecot, "kunde")
            await until(lambda: len(client.search("ALL")) >= 2 and bool(client.noop()))
            wanted = ["BODY[HEADER.FIELDS (IN-REPLY-TO REFERENCES MESSAGE-ID)]", "ENVELOPE"]
            found = client.fetch(client.search("ALL"), wanted)
            client.logout()
        finally:
            postfix.stop()
    replies = {item[b"ENVELOPE"].message_id.decode(): item for item in found.values()}

    assert {sent.external_id, again.external_id} == set(replies)
    first, second = replies[sent.external_id], replies[again.external_id]
    assert (first[b"ENVELOPE"].in_reply_to, first[b"ENVELOPE"].subject) == (b"<m1@example.com>", b"Re: mail 1")
    assert sent.external_id.encode() == second[b"ENVELOPE"].in_reply_to
    references = second[b"BODY[HEADER.FIELDS (IN-REPLY-TO REFERENCES MESSAGE-ID)]"].decode()
    assert f"References: <m1@example.com> {sent.external_id}" in " ".join(references.split())
