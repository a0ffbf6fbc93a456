"""Mail going out: what is written, what each refusal means, and that no header can be smuggled in."""

from __future__ import annotations

import asyncio
import email
import email.policy
from collections.abc import AsyncIterator, Mapping
from email.message import EmailMessage
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from connectors.base import (
    BadOptions,
    Connector,
    Listener,
    Outbound,
    Rejected,
    SendError,
    Throttled,
    Uncertain,
    Unreachable,
)
from connectors.mail import Mail, MailOptions
from connectors.mail_compose import compose
from connectors.mail_imap import Timing
from connectors.mail_thread import Handle, read_handle, reply_subject, write_handle
from connectors.simulators.mail import MailSimulator
from connectors.testing import ConnectorContract, Leaving, attachment, kit, outbound

ADDRESS = "service@example.com"
PASSWORD = "smtp-password-1"
CUSTOMER = "mailto:kunde@example.org"
THREAD = Handle(("<first@example.org>", "<second@example.org>"), "Re: 订单", "")


class TestContract(ConnectorContract):
    """The promises of every connector."""

    connector_class = Mail
    address = CUSTOMER

    def options(self, platform: str) -> Mapping[str, Any]:
        """Return options with every kind of secret."""
        imap = {"host": "127.0.0.1", "port": 9, "user": "imap-user", "password": "imap-password-1"}
        smtp = {"host": "127.0.0.1", "port": 9, "user": "smtp-user", "password": PASSWORD}
        return {"address": ADDRESS, "imap": imap, "smtp": smtp}


@pytest.fixture
async def provider() -> AsyncIterator[MailSimulator]:
    """A mail provider."""
    async with MailSimulator(ADDRESS, PASSWORD) as simulator:
        yield simulator


def channel(provider: MailSimulator, **changes: Any) -> Mail:
    """Return a channel at *provider*."""
    chosen = {**provider.options(), **changes}
    return Mail(MailOptions.model_validate(chosen), kit(), timing=Timing(answer=1.0))


async def taken(provider: MailSimulator, message: Outbound, **changes: Any) -> EmailMessage:
    """Send *message* and return what the provider got."""
    mail = channel(provider, **changes)
    await mail.send(message)
    await mail.close()
    delivered = (await provider.wait_delivered(1))[-1]
    parsed = email.message_from_bytes(delivered.raw, policy=email.policy.default)
    assert isinstance(parsed, EmailMessage)
    return parsed


def test_is_a_listening_connector() -> None:
    """The hub finds what the channel can do by its protocols."""
    mail: Connector = Mail(MailOptions.model_validate(TestContract().options("")), kit())

    assert isinstance(mail, Listener)


async def test_reply_continues_the_thread(provider: MailSimulator) -> None:
    """A reply answers the last mail of its thread, names the whole thread and keeps the subject."""
    message = outbound(id="d-1", address=CUSTOMER, text="您好", handle=write_handle(THREAD))
    mail = await taken(provider, message, name="示例商城")

    assert "示例商城 <service@example.com>" == mail["From"]
    assert "kunde@example.org" == mail["To"]
    assert "Re: 订单" == mail["Subject"]
    assert "<hl-d-1@example.com>" == mail["Message-ID"]
    assert "<second@example.org>" == mail["In-Reply-To"]
    assert "<first@example.org> <second@example.org>" == mail["References"]
    assert mail["Auto-Submitted"] is None
    assert "您好" == mail.get_content().strip()
    assert (ADDRESS, "kunde@example.org") == (provider.delivered[0].sender, provider.delivered[0].recipient)


async def test_text_html_and_files(provider: MailSimulator) -> None:
    """Text and HTML travel as alternatives, files with their Chinese names; every line is short seven-bit text."""
    files = [
        attachment("发票（11月）.pdf", "application/pdf", b"%PDF"),
        attachment("照片.png", "image/png", b"\x89PNG"),
    ]
    long_line = "很长的一行" * 500
    mail = await taken(
        provider, outbound(address=CUSTOMER, text=long_line, html="<p>字</p>", media=files, subject="新")
    )
    raw = provider.delivered[0].raw

    assert long_line == mail.get_body(("plain",)).get_content().strip()  # type: ignore[union-attr]
    assert "<p>字</p>" == mail.get_body(("html",)).get_content().strip()  # type: ignore[union-attr]
    assert [("发票（11月）.pdf", b"%PDF"), ("照片.png", b"\x89PNG")] == [
        (part.get_filename(), part.get_content()) for part in mail.iter_attachments()
    ]
    assert raw.isascii()
    assert max(map(len, raw.splitlines())) <= 998


async def test_large_mail_and_dots_arrive_whole(provider: MailSimulator) -> None:
    """Megabytes of every byte, and lines that look like the end of the mail, arrive as they were."""
    data = bytes(range(256)) * 12_000
    text = "一\n.\n..\n.x\n" * 3
    message = outbound(address=CUSTOMER, text=text, media=[attachment("a.bin", "application/octet-stream", data)])
    mail = await taken(provider, message)

    assert text.strip() == mail.get_body(("plain",)).get_content().replace("\r\n", "\n").strip()  # type: ignore[union-attr]
    assert [data] == [part.get_content() for part in mail.iter_attachments()]


async def test_sent_tells_the_thread_on(provider: MailSimulator) -> None:
    """What was sent is known by its Message-ID, and the next reply goes on from there."""
    sent = await channel(provider).send(outbound(id="d-1", address=CUSTOMER, text="x", handle=write_handle(THREAD)))
    handle = read_handle(sent.handle)

    assert "<hl-d-1@example.com>" == sent.external_id
    assert (*THREAD.refs, "<hl-d-1@example.com>") == handle.refs


async def test_every_attempt_has_the_same_message_id(provider: MailSimulator) -> None:
    """An uncertain mail is sent again under the same Message-ID, by which receivers recognise the copy."""
    mail = channel(provider)
    message = outbound(id="d-7", address=CUSTOMER, text="x")
    provider.faults.append("drop")
    with pytest.raises(Uncertain):
        await mail.send(message)
    await mail.send(message)
    await mail.close()
    ids = {email.message_from_bytes(each.raw)["Message-ID"] for each in provider.delivered}

    assert (2, {"<hl-d-7@example.com>"}) == (len(provider.delivered), ids)


async def test_answers_go_to_reply_to(provider: MailSimulator) -> None:
    """Where the customer asked for answers elsewhere, they go there."""
    handle = write_handle(Handle(("<a@b.cn>",), "x", "other@example.org"))
    mail = await taken(provider, outbound(address=CUSTOMER, text="x", handle=handle))

    assert "other@example.org" == mail["To"]


@pytest.mark.parametrize(("strict", "sender"), [(False, ""), (True, ADDRESS)])
async def test_automatic_mail_is_marked(strict: bool, sender: str) -> None:
    """An automatic answer says so and has the null sender; where the provider refuses that, our own address."""
    async with MailSimulator(ADDRESS, PASSWORD, strict_sender=strict) as provider:
        mail = await taken(provider, outbound(address=CUSTOMER, text="已收到", auto=True))
        await channel(provider).send(outbound(id="d2", address=CUSTOMER, text="已收到", auto=True))

        assert "auto-replied" == mail["Auto-Submitted"]
        assert [sender, sender] == [each.sender for each in provider.delivered]


@pytest.mark.parametrize(
    ("fault", "error", "left"),
    [
        ("421", Unreachable, 0),
        ("450", Throttled, 0),
        ("451", Throttled, 0),
        ("452", Throttled, 0),
        ("550", Rejected, 0),
        ("552", Rejected, 0),
        ("554", Rejected, 0),
        ("data450", Throttled, 1),
        ("data554", Rejected, 1),
        ("lose", Uncertain, 1),
        ("drop", Uncertain, 1),
    ],
)
async def test_refusals(provider: MailSimulator, fault: str, error: type[SendError], left: int) -> None:
    """4xx will pass, 5xx will not, a line cut after the content is uncertain; the next mail goes through."""
    mail = channel(provider)
    leaving = Leaving()
    provider.faults.append(fault)
    with pytest.raises(SendError) as failed:
        await mail.send(outbound(address=CUSTOMER, text="x", leaving=leaving))
    await mail.send(outbound(id="next", address=CUSTOMER, text="y"))
    await mail.close()

    assert (error, left) == (type(failed.value), leaving.count)
    assert PASSWORD not in str(failed.value)
    assert "kunde" not in str(failed.value)
    assert (fault[-3:] if fault[-3:].isdigit() else "") == failed.value.code


async def test_no_mail_is_lost_in_500_with_faults(provider: MailSimulator) -> None:
    """500 mails, every fourth attempt spoiled: retried as the errors allow, each arrives under its one Message-ID."""
    mail = channel(provider)
    kinds = ["450", "", "", "", "drop", "", "", "", "lose", "", "", "", "data450", "", "", "", "421", "", "", ""]
    provider.faults.extend(kinds * 60)
    for number in range(500):
        message = outbound(id=f"m{number}", address=CUSTOMER, text=str(number))
        while True:
            try:
                await mail.send(message)
                break
            except (Throttled, Unreachable, Uncertain):
                continue
    await mail.close()
    found = {email.message_from_bytes(each.raw)["Message-ID"] for each in provider.delivered}

    assert {f"<hl-m{number}@example.com>" for number in range(500)} == found


async def test_connection_is_reused_and_renewed(provider: MailSimulator) -> None:
    """Many mails share one connection; one that the server closed meanwhile is replaced without an error."""
    mail = channel(provider)
    for number in range(3):
        await mail.send(outbound(id=f"a{number}", address=CUSTOMER, text="x"))
    assert 1 == len(provider.connections)
    for transport in list(provider.connections):
        transport.abort()  # type: ignore[attr-defined]
    while provider.connections:  # noqa: ASYNC110  # the loop itself has to run
        await asyncio.sleep(0)
    await mail.send(outbound(id="a4", address=CUSTOMER, text="x"))
    await mail.close()

    assert 4 == len(provider.delivered)


async def test_concurrent_sends_do_not_mix(provider: MailSimulator) -> None:
    """Mails sent at the same time arrive whole, each once."""
    mail = channel(provider)
    await asyncio.gather(*(mail.send(outbound(id=f"c{n}", address=CUSTOMER, text=f"n{n}")) for n in range(20)))
    await mail.close()
    texts = {email.message_from_bytes(each.raw).get_payload(decode=True).strip() for each in provider.delivered}  # type: ignore[union-attr]

    assert {f"n{n}".encode() for n in range(20)} == texts


async def test_another_owner_stops_the_send(provider: MailSimulator) -> None:
    """If *leaving* says that another process has the delivery, nothing leaves."""

    class Taken(Exception):
        pass

    mail = channel(provider)
    with pytest.raises(Taken):
        await mail.send(outbound(address=CUSTOMER, text="x", leaving=Leaving(Taken())))
    await mail.send(outbound(id="other", address=CUSTOMER, text="y"))
    await mail.close()

    assert 1 == len(provider.delivered)


async def test_settings_that_are_refused(provider: MailSimulator) -> None:
    """A wrong password, a missing smtp section and a server that offers no TLS are the admin's business."""
    smtp = provider.options()["smtp"]
    wrong = {"smtp": {**smtp, "password": "wrong-password"}}
    plain = {"smtp": {**smtp, "tls": "starttls"}}
    for changes, words in ((wrong, "refuses our login"), (plain, "does not offer"), ({"smtp": None}, "only receives")):
        with pytest.raises(BadOptions, match=words) as refused:
            await channel(provider, **changes).send(outbound(address=CUSTOMER, text="x"))
        assert "wrong-password" not in str(refused.value)


@pytest.mark.parametrize(("change", "error"), [({"port": 1}, Unreachable), ({"tls": "implicit"}, Unreachable)])
async def test_server_out_of_reach(provider: MailSimulator, change: dict[str, Any], error: type[SendError]) -> None:
    """What fails before the mail left can be repeated."""
    leaving = Leaving()
    with pytest.raises(error):
        await channel(provider, smtp={**provider.options()["smtp"], **change}).send(
            outbound(address=CUSTOMER, text="x", leaving=leaving)
        )

    assert 0 == leaving.count


MICROSOFT = "<SEYPR06MB51234A1B2C3D4E5F60718293A4B5C6D7E8F@SEYPR06MB5123.apcprd06.prod.outlook.com>"
AMAZON = "<0100018f6d1c2b3a-4e5f6071-8293-a4b5-c6d7-e8f901234567-000000@email.amazonses.com>"
LONG = f"<{'x' * 400}@{'y' * 400}>"


@pytest.mark.parametrize(
    ("refs", "written"),
    [
        ((MICROSOFT,), (MICROSOFT,)),
        ((AMAZON, MICROSOFT), (AMAZON, MICROSOFT)),
        (("<a@b.cn>", LONG), ("<a@b.cn>", LONG)),
        (tuple(f"<{n}{AMAZON[1:]}" for n in range(20)), tuple(f"<{n}{AMAZON[1:]}" for n in range(20))),
        (("<订单@b.cn>", "<a@b.cn>"), ("<a@b.cn>",)),
        (("<a@b.cn>", "<订单@b.cn>"), ("<a@b.cn>",)),
        (("<a@b.cn>", "<a b@c.cn>", "<a\x00@b.cn>", "<a@b.cn>\r\nBcc: evil@example.net"), ("<a@b.cn>",)),
        (("<订单@b.cn>",), ()),
    ],
)
async def test_ids_of_the_thread_leave_as_they_came(refs: tuple[str, ...], written: tuple[str, ...]) -> None:
    """Each id stands whole on a line of its own, however long, for it is all that a thread hangs on.

    What cannot stand in a header is left out.
    """
    raw = await compose(outbound(address=CUSTOMER, text="x"), Handle(refs, "订单"), ADDRESS, "")
    head = raw.partition(b"\r\n\r\n")[0] + b"\r\n"
    lines = "\r\n ".join(written)
    expected = f"In-Reply-To: {written[-1]}\r\nReferences: {lines}\r\n" if written else ""

    assert expected.encode() in head
    assert bool(written) is (b"References" in head) is (b"In-Reply-To" in head)
    assert b"Bcc" not in head
    assert all(len(row) <= 998 for row in head.split(b"\r\n"))


async def test_our_own_id_leaves_as_it_is() -> None:
    """A long id of ours with a token is one word in the header too."""
    raw = await compose(outbound(id="d" * 100, address=CUSTOMER, text="x", token="t" * 60), Handle(), ADDRESS, "")

    assert f"Message-ID: <hl-{'d' * 100}.r.{'t' * 60}@example.com>\r\n".encode() in raw


INJECTED = ["a\r\nBcc: evil@example.net", "a\nX: 1", "a\rb", "a\x00b", "\r\n\r\nbody", "a\x0bb", "a\x7fb"]


@pytest.mark.parametrize("value", INJECTED)
@pytest.mark.parametrize("place", ["subject", "author", "file", "handle-subject", "handle-reply-to", "address"])
async def test_nothing_is_smuggled_into_headers(place: str, value: str) -> None:
    """A line break or control character anywhere that becomes a header is refused."""
    fields: dict[str, Any] = {"address": CUSTOMER, "text": "x"}
    handle = Handle()
    if place == "file":
        fields["media"] = [attachment(value, "image/png", b"x")]
    elif place == "handle-subject":
        handle = Handle(("<a@b.cn>",), value)
    elif place == "handle-reply-to":
        handle = Handle((), "", f"{value}@example.org")
    elif place == "address":
        fields["address"] = f"mailto:{value}@example.org"
    else:
        fields[place] = value
    with pytest.raises(Rejected):
        await compose(outbound(**fields), handle, ADDRESS, "")


@pytest.mark.parametrize(
    "address",
    [
        "mailto:",
        "mailto:nobody",
        "mailto:a@b,c@d",
        "mailto:a@b c",
        "mailto:<a@b.cn>",
        "mailto:a@b.cn>",
        "mailto:a@b@c.cn",
        'mailto:"a b"@c.cn',
        "mailto:a@" + "b" * 300,
        "mailto:字@b.cn",
        "mailto:a@b..cn",
        "tel:+861",
        "",
    ],
)
async def test_recipients_that_cannot_be(address: str) -> None:
    """Exactly one plain address is written to."""
    with pytest.raises(Rejected):
        await compose(outbound(address=address, text="x"), Handle(), ADDRESS, "")


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(subject=st.text(max_size=200), name=st.text(max_size=60), author=st.text(max_size=60), file=st.text(max_size=80))
async def test_no_value_makes_another_header(subject: str, name: str, author: str, file: str) -> None:
    """Whatever stands in subject, names and file names, the mail has the headers we wrote and no other."""
    message = outbound(
        address=CUSTOMER, text="x", subject=subject, author=author, media=[attachment(file, "image/png", b"x")]
    )
    try:
        raw = await compose(message, Handle(), ADDRESS, name)
    except Rejected:
        return
    head = raw.partition(b"\r\n\r\n")[0]
    names = {row.partition(b":")[0] for row in head.split(b"\r\n") if row[:1] not in (b" ", b"\t")}

    assert {b"From", b"To", b"Subject", b"Date", b"Message-ID", b"MIME-Version", b"Content-Type"} == names


@pytest.mark.parametrize(
    ("subject", "reply"),
    [
        ("订单", "Re: 订单"),
        ("Re: 订单", "Re: 订单"),
        ("回复：Re: 答复: 订单", "Re: 订单"),
        ("RE[2]: x", "Re: x"),
        ("", "Re:"),
    ],
)
def test_reply_subject(subject: str, reply: str) -> None:
    """A subject carries one mark of a reply, however often it went to and fro."""
    assert reply == reply_subject(subject)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"address": "no address"}, "not a mail address"),
        ({"backfill": "yesterday"}, "pattern"),
        ({"imap": {"host": "h", "user": "u"}}, "needs a password or an oauth_token"),
        ({"imap": {"host": "h", "user": "u", "password": "secret-one", "oauth_token": "secret-two"}}, "not both"),
        ({"imap": {"host": "h", "user": "u", "password": "secret-one", "tls": "maybe"}}, "implicit"),
        ({"imap": {"host": "h", "password": "secret-one"}}, "user"),
        ({"smtp": {"host": "h", "user": "u"}}, "needs a password or an oauth_token"),
        ({"imap": {"host": "h", "user": "u", "password": "secret-one", "port": 0}}, "port"),
    ],
)
def test_options_that_cannot_work(changes: dict[str, Any], words: str) -> None:
    """A channel without its secret, or with a setting that cannot be meant, refuses to start and shows no secret."""
    with pytest.raises(ValidationError, match=words) as refused:
        MailOptions.model_validate({**TestContract().options(""), **changes})

    assert "secret-one" not in str(refused.value)
