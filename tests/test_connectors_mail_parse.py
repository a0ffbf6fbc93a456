"""What mails mean: real clients' styles, wrong labels, bounces, automatic answers, hostile and damaged mail."""

from __future__ import annotations

import asyncio
import email
import json
import os
import re
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import pytest_asyncio
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from connectors.base import Ignored, Message, Receipt
from connectors.mail_mime import Limits, Part, TooComplex, read, read_value
from connectors.mail_parse import Job, Parsed, digest, parse, salvage
from connectors.sandbox import Exhausted, Sandbox
from tests.mail_hostile import HOSTILE, mail

PAYLOADS = Path(__file__).parent / "payloads" / "email"
FILES = sorted(PAYLOADS.glob("*.eml"))
OWN = "service@example.com"
RECEIVED = 1_795_226_400_000
"""2026-11-21 02:00 UTC: when the server received every payload."""


def ordered(attributes: re.Match[str]) -> str:
    """Return the attributes of a tag in alphabetical order."""
    return "".join(sorted(re.findall(r' [\w-]+="[^"]*"', attributes[0])))


def told(raw: bytes) -> dict[str, Any]:
    """Return the event of a mail as JSON shows it, files without their bytes."""
    event: dict[str, Any] = json.loads(msgspec.json.encode(parse(raw, received=RECEIVED, own=OWN)))
    for file in event.get("media", []):
        file.pop("data", None)
    if "handle" in event:
        event["handle"] = json.loads(event["handle"])
    if "html" in event:  # the sanitiser writes attributes in any order
        event["html"] = re.sub(r'(?: [\w-]+="[^"]*")+', ordered, event["html"])
    return event


def message(raw: bytes) -> Message:
    """Return the message of a mail that must be one."""
    event = parse(raw, received=RECEIVED, own=OWN)
    assert isinstance(event, Message)
    return event


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_payload(path: Path) -> None:
    """Each mail of the collection becomes exactly the event beside it."""
    expected = json.loads(path.with_suffix(".expected.json").read_text(encoding="utf-8"))

    assert expected == told(path.read_bytes())


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_line_ends_do_not_matter(path: Path) -> None:
    """A mail whose lines end in LF alone means the same (only a digest of its bytes differs)."""
    crlf, lf = told(path.read_bytes()), told(path.read_bytes().replace(b"\r\n", b"\n"))
    for event in (crlf, lf):
        for file in event.get("media", []):
            file["size"] = 0
        if str(event.get("external_id")).startswith("sha256:"):
            event["external_id"] = ""

    assert crlf == lf


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_structure_agrees_with_the_standard_library(path: Path) -> None:
    """An independent parser finds the same leaves with the same types and contents (except in broken mail)."""
    if path.stem in ("boundary-missing", "truncated", "nul-bytes"):
        pytest.skip("broken on purpose; readers differ")
    raw = path.read_bytes()

    def leaves(part: Part) -> list[Part]:
        return [leaf for child in part.parts for leaf in leaves(child)] if part.parts else [part]

    def theirs(part: Any) -> list[tuple[str, bytes]]:
        if part.get_content_type().startswith("message/"):
            return [(part.get_content_type(), b"")]
        if part.is_multipart():
            return [leaf for child in part.get_payload() for leaf in theirs(child)]
        return [(part.get_content_type(), part.get_payload(decode=True).rstrip())]

    ours = [
        (leaf.type, b"" if leaf.type.startswith("message/") else leaf.content().rstrip())
        for leaf in leaves(read(raw, Limits()))
    ]

    assert theirs(email.message_from_bytes(raw)) == ours


def test_one_mail_one_id() -> None:
    """The same bytes give the same external id, with and without a Message-ID; other bytes give another."""
    bare = b"From: a@b.cn\r\n\r\n"

    assert message(mail()).external_id == message(mail(b"Received: by another way\r\n")).external_id
    assert message(bare + b"1").external_id == message(bare + b"1").external_id != message(bare + b"2").external_id


@pytest.mark.parametrize(
    ("fields", "refs"),
    [
        ("References: <a@x>\t<b@x>,c@x,hl-d1@example.com\r\nIn-Reply-To: hl-d1@example.com", "d1 c b a"),
        ("References: <a@x>\r\n <b@\r\n x>", "b a"),
        ("In-Reply-To: Message from a@b.cn of Friday <b@x>", "b"),
        ("In-Reply-To: your letter", ""),
    ],
)
def test_what_a_mail_answers(fields: str, refs: str) -> None:
    """Message-IDs are found with and without brackets (Alimail), the latest first; mere addresses are none."""
    names = {"a": "<a@x>", "b": "<b@x>", "c": "<c@x>", "d1": "<hl-d1@example.com>"}

    assert tuple(names[name] for name in refs.split()) == message(mail(fields.encode() + b"\r\n")).refs


def test_digest_tells_contents_apart() -> None:
    """Two mails under one Message-ID have different digests, two copies of one have the same."""
    first, copy, other = mail(), mail(b"Received: x\r\nDelivered-To: y\r\n"), mail(b"", b"something else\r\n")

    assert digest(message(first)) == digest(message(copy)) != digest(message(other))


@pytest.mark.parametrize(
    ("field", "auto"),
    [
        ("Auto-Submitted: auto-replied", True),
        ("Auto-Submitted: auto-generated; type=x", True),
        ("Auto-Submitted: no", False),
        ("Precedence: bulk", True),
        ("Precedence: normal", False),
        ("X-Auto-Response-Suppress: DR, OOF, AutoReply", True),
        ("X-Auto-Response-Suppress: none", False),
        ("X-Auto-Response-Suppress: DR, RN, NRN", False),
        ("List-Id: <x.example.org>", True),
        ("List-Unsubscribe: <mailto:x@example.org>", True),
        ("Return-Path: <>", True),
        ("Return-Path: <mallory@example.net>", False),
        ("X-Autoreply: yes", True),
        ("X-Autogenerated: Reply", True),
        ("X-POST-MessageClass: 9; Autoresponder", True),
        ("X-POST-MessageClass: 1; Mail", False),
        ("X-FC-MachineGenerated: true", True),
        ("X-FC-MachineGenerated: false", False),
        ("Delivered-To: service@example.com\r\nDelivered-To: Autoresponder", True),
        ("Delivered-To: autoresponder-fans@example.com", False),
        ("Feedback-ID: webmail:qq.com:bgweb:bgweb2", False),
        ("X-Mailer: Outlook", False),
    ],
)
def test_automatic_mail_by_header(field: str, auto: bool) -> None:
    """Mail that a machine sent is marked, so that no machine of ours answers it (RFC 3834)."""
    assert auto is message(mail(field.encode() + b"\r\n")).auto


@pytest.mark.parametrize(
    ("sender", "subject", "auto"),
    [
        ("a@b.cn", "自动回复：我在休假", True),
        ("a@b.cn", "自动回复", True),
        ("a@b.cn", "系统自动回复: 已收到", True),
        ("a@b.cn", "Automatic reply: Order", True),
        ("a@b.cn", "Out of Office: Order", True),
        ("a@b.cn", "Out of Office AutoReply: Order", True),
        ("a@b.cn", "Out of the office auto-reply", True),
        ("a@b.cn", "Out of office chairs?", False),
        ("a@b.cn", "AUTO: Zhang San is out of the office (returning 2026/11/25)", True),
        ("a@b.cn", "Auto: passt der Kindersitz?", False),
        ("a@b.cn", "你们的自动回复太慢了", False),
        ("a@b.cn", "关于退信的问题", False),
        ("a@b.cn", "外出旅行箱质量问题", False),
        ("a@b.cn", "休假期间能发货吗？", False),
        ("MAILER-DAEMON@b.cn", "anything", True),
        ("postmaster@b.cn", "系统退信", True),
        ("noreply@b.cn", "您的验证码", True),
        ("no-reply@b.cn", "notice", True),
        ("noreplyfan@b.cn", "hello", False),
    ],
)
def test_automatic_mail_by_words(sender: str, subject: str, auto: bool) -> None:
    """Automatic answers are known by their sender and by how their subject begins, not by a customer's words."""
    assert auto is message(f"From: {sender}\r\nSubject: {subject}\r\n\r\nx".encode()).auto


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("=?gb18030?B?{name}?= <a@b.cn>", ("张三", "a@b.cn")),
        ('"=?gb18030?B?{name}?=" <A@B.cn>', ("张三", "a@b.cn")),
        ("=?gb18030?B?{name}?= a@b.cn", ("张三", "a@b.cn")),
        ("a@b.cn (=?gb18030?B?{name}?=)", ("张三", "a@b.cn")),
        ("a@b.cn (never closed", ("never closed", "a@b.cn")),
        ("a@b.cn", ("", "a@b.cn")),
        ("<a@b.cn>", ("", "a@b.cn")),
        ('"a@b.cn" <a@b.cn>', ("", "a@b.cn")),
        ("'a@b.cn' via shop <a@b.cn>", ("via shop", "a@b.cn")),
        ("Zhang, San <a@b.cn>", ("Zhang San", "a@b.cn")),
        ('"Zhang, San" <a@b.cn>, "Li" <c@d.cn>', ("Zhang, San", "a@b.cn")),
        ('"quote \\" and \\\\ slash" <a@b.cn>', ('quote " and \\ slash', "a@b.cn")),
        ("group: a@b.cn, c@d.cn;", ("", "a@b.cn")),
        ("=?utf-8?B?5byg5LiJIDxhQGIuY24+?=", ("张三", "a@b.cn")),
        ("evil\u202egnp <a@b.cn>", ("evil gnp", "a@b.cn")),
        ("Li (shop <lilei@a.cn>", ("Li (shop", "lilei@a.cn")),
        ("Li (shop lilei@a.cn", ("", "lilei@a.cn")),
        ("(x <old@b.cn> Li <lilei@a.cn> <>", ("(x  Li", "lilei@a.cn")),
        ("(nobody at all <lilei>", ("", "nobody@invalid")),
        ("undisclosed-recipients:;", ("", "nobody@invalid")),
        ("", ("", "nobody@invalid")),
    ],
)
def test_who_wrote(header: str, expected: tuple[str, str]) -> None:
    """Names and addresses are found in every form that mailers write, and no name pretends to be another address."""
    raw = header.replace("{name}", "1cXI/Q==")
    event = message(f"From: {raw}\r\n\r\nx".encode())

    assert expected == (event.name, event.address.removeprefix("mailto:"))


@pytest.mark.parametrize("label", ["utf-16", "utf-16le", "utf-32", "utf-7", "hz-gb-2312", "iso-2022-jp", "iso-2022-kr"])
def test_charset_that_no_header_is_in(label: str) -> None:
    """Names in plain letters are read by their looks where the text's charset cannot be that of a header."""
    fields = "From: 李雷 <lilei@a.cn>\r\nSubject: 订单 1+1\r\nTo: (售后 <service@example.com>\r\n"
    event = message(f"{fields}Content-Type: text/plain; charset={label}\r\n\r\n".encode())

    assert (event.name, event.address, event.subject) == ("李雷", "mailto:lilei@a.cn", "订单 1+1")


def test_plain_words_are_no_utf_16() -> None:
    """A subject of plain ASCII stays what it is, whatever the text's charset."""
    assert message(mail(b"Content-Type: text/plain; charset=utf-16\r\n", b"")).subject == "hi"


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("../../etc/passwd", "passwd"),
        ("C:\\fakepath\\report.doc", "report.doc"),
        ("a\x00b\r\nc.txt", "a b c.txt"),
        ("con.txt", "_con.txt"),
        ("NUL", "_NUL"),
        (".htaccess", "htaccess"),
        ("...", "attachment-1.txt"),
        ("", "attachment-1.txt"),
        ("photo\u202egnp.exe", "photo gnp.exe"),
        ("字" * 200 + ".pdf", "字" * 65 + ".pdf"),
        ('a:b*c?"<>|.txt', "a_b_c_____.txt"),
    ],
)
def test_file_names_do_no_harm(name: str, safe: str) -> None:
    """A file name has no path, no control or direction characters, no reserved word, and about 200 bytes at most."""
    from connectors.mail_body import safe_name

    found = safe_name(name, "text/plain", 1)

    assert safe[:60] == found[:60]
    assert len(found.encode()) <= 204
    assert found.endswith(safe[-4:])


@pytest.mark.parametrize(
    ("date", "at"),
    [
        ("Fri, 20 Nov 2026 10:00:00 +0800", 1_795_140_000_000),
        ("20 Nov 26 10:00 +0800", 1_795_140_000_000),
        ("Fri, 20 Nov 2026 02:00:00 GMT", 1_795_140_000_000),
        ("Sat, 21 Nov 2026 10:04:00 +0800", RECEIVED + 240_000),
        ("Sat, 21 Nov 2026 10:06:00 +0800", RECEIVED),
        ("Thu, 1 Jan 1970 00:00:00 +0000", RECEIVED),
        ("2026年11月20日", RECEIVED),
        ("Fri, 99 Nov 2026 99:99:99 +9999999", RECEIVED),
        ("", RECEIVED),
    ],
)
def test_when_it_was_written(date: str, at: int) -> None:
    """A date that cannot be true gives way to the time at which the server received the mail."""
    assert at == message(f"From: a@b.cn\r\nDate: {date}\r\n\r\nx".encode()).at


def test_bounce_of_nobody_is_believed_from_daemons_only() -> None:
    """A customer who writes "退信" and answers our mail is a customer; only a mail daemon's bounce is a receipt."""
    head = b"Subject: =?utf-8?B?6YCA5L+h?=\r\nIn-Reply-To: <hl-d1@example.com>\r\n\r\nx"

    assert isinstance(parse(b"From: a@b.cn\r\n" + head, received=RECEIVED, own=OWN), Message)
    assert isinstance(parse(b"From: postmaster@b.cn\r\n" + head, received=RECEIVED, own=OWN), Receipt)


@pytest.mark.parametrize(
    ("kind", "subject", "failed"),
    [
        ("multipart/mixed", "Undeliverable: your order", True),
        ("multipart/report", "Non delivery report: 5.9.8 (Spam)", True),
        ("multipart/mixed", "Delivery Status Notification (Failure)", True),
        ("multipart/mixed", "Delivery Status Notification (Delay)", False),
        ("multipart/mixed", "Your message was read", False),
    ],
)
def test_bounce_that_brings_our_mail(kind: str, subject: str, failed: bool) -> None:
    """A bounce without the standard form names our mail also by the copy that it brings."""
    raw = (
        f"From: postmaster@b.cn\r\nSubject: {subject}\r\nContent-Type: {kind}; boundary=b\r\n\r\n"
        "--b\r\n\r\nUser unknown\r\n--b\r\nContent-Type: message/rfc822\r\n\r\n"
        "From: service@example.com\r\nMessage-ID: <hl-d1@example.com>\r\n\r\nhi\r\n--b--\r\n"
    )
    event = parse(raw.encode(), received=RECEIVED, own=OWN)

    assert failed is isinstance(event, Receipt)


STATUS = "Content-Type: message/delivery-status\r\n\r\nReporting-MTA: b.cn\r\n\r\nAction: failed\r\nStatus: 5.1.1\r\n"
COPY = "Content-Type: message/rfc822\r\n\r\nFrom: service@example.com\r\nMessage-ID: <hl-d1@example.com>\r\n\r\nhi\r\n"


@pytest.mark.parametrize("gateways", [0, 1, 2])
@pytest.mark.parametrize(("sender", "status"), [("bounce@b.cn", STATUS), ("postmaster@b.cn", "\r\nno status\r\n")])
def test_report_below_a_footer(gateways: int, sender: str, status: str) -> None:
    """A report, or the copy that a bounce brings, is found below what gateways wrap around it to add a footer."""
    part = (
        "Content-Type: multipart/report; boundary=r\r\n\r\n"
        f"--r\r\n\r\nUser unknown\r\n--r\r\n{status}--r\r\n{COPY}--r--\r\n"
    )
    for number in range(gateways):
        mark = f"--g{number}"
        part = (
            f"Content-Type: multipart/mixed; boundary=g{number}\r\n\r\n"
            f"{mark}\r\n{part}{mark}\r\n\r\nscanned\r\n{mark}--\r\n"
        )
    event = parse(f"From: {sender}\r\nSubject: Undeliverable: x\r\n{part}".encode(), received=RECEIVED, own=OWN)

    assert isinstance(event, Receipt)
    assert ("<hl-d1@example.com>", "failed") == (event.message_id, event.state)


def test_words_of_a_report_are_kept_whole() -> None:
    """What a report says below the header of the mail that it tells of is no quoted history."""
    words = "About your message:\n\nFrom: a@b.cn\nDate: Fri, 20 Nov 2026\nTo: c@d.cn\nSubject: x\n\nReason: quota"
    head = b"Content-Type: multipart/report; boundary=b\r\n"

    assert message(mail(head, f"--b\r\n\r\n{words}\r\n--b--\r\n".encode())).text == words


def test_own_mail_is_ignored_but_a_form_is_not() -> None:
    """Copies of our own mail are ignored; a form of our own site that names a visitor is the visitor's message."""
    own = parse(b"From: Service@Example.com\r\n\r\nx", received=RECEIVED, own=OWN)
    echo = b"From: service@example.com\r\nReply-To: a@b.cn\r\nMessage-ID: <hl-1@example.com>\r\n\r\nx"
    form = parse(b"From: service@example.com\r\nReply-To: a@b.cn\r\n\r\nx", received=RECEIVED, own=OWN)

    assert isinstance(own, Ignored)
    assert isinstance(parse(echo, received=RECEIVED, own=OWN), Ignored)
    assert isinstance(form, Message)
    assert form.address == "mailto:a@b.cn"


@pytest.mark.parametrize(
    ("fields", "address"),
    [
        ("From: Example Shop <wordpress@example.com>\r\nReply-To: a@qq.com", "a@qq.com"),
        ("From: Example Shop <WordPress@example.com>\r\nReply-To: <B@163.com>", "b@163.com"),
        ("From: Shop (Shopify) <mailer@shopify.com>\r\nReply-To: a@qq.com", "a@qq.com"),
        ("From: no-reply@forms.example.net\r\nReply-To: a@qq.com", "a@qq.com"),
        ("From: wordpress@example.com\r\nReply-To: a@qq.com, c@qq.com", "wordpress@example.com"),
        ("From: wordpress@example.com", "wordpress@example.com"),
        ("From: wordpress@example.com\r\nReply-To: service@example.com", "wordpress@example.com"),
        ("From: noreply@shop.cn\r\nReply-To: sales@shop.cn", "noreply@shop.cn"),
        ("From: noreply@mail.shop.cn\r\nReply-To: sales@shop.cn", "noreply@mail.shop.cn"),
        ("From: noreply@shop.cn\r\nReply-To: a@b.cn\r\nList-Unsubscribe: <mailto:x@y.cn>", "noreply@shop.cn"),
        ("From: noreply@shop.cn\r\nReply-To: a@b.cn\r\nAuto-Submitted: auto-replied", "noreply@shop.cn"),
        ("From: noreply@shop.cn\r\nReply-To: a@b.cn\r\nSubject: Automatic reply: x", "noreply@shop.cn"),
        ("From: wordpressfan@shop.cn\r\nReply-To: a@b.cn", "wordpressfan@shop.cn"),
        ("From: zhang@shop.cn\r\nReply-To: a@b.cn", "zhang@shop.cn"),
    ],
)
def test_visitors_of_a_form_are_themselves(fields: str, address: str) -> None:
    """Where a site's machine names one visitor elsewhere, that visitor writes; all other mail is its sender's."""
    event = message(f"{fields}\r\nTo: service@example.com\r\n\r\nx".encode())

    assert f"mailto:{address}" == event.address
    visited = address[:2] in ("a@", "b@")
    assert visited is bool(event.details.get("form"))
    assert not (visited and (event.auto or "reply_to" in event.handle))


def test_long_text_is_kept_whole_in_a_file() -> None:
    """A text over the limit is shown up to it and attached in full."""
    event = parse(mail(b"", b"x" * 3000), received=RECEIVED, own=OWN, limits=Limits(text=1000))
    assert isinstance(event, Message)

    assert (event.text, [file.size for file in event.media]) == ("x" * 1000, [3000])


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ("您好\r\n我要退货，订单号 20261120。\r\n".encode(), "您好\n我要退货，订单号 20261120。"),
        (b"Hello\r\n\r\nwhere is order 20261120?\r\n", "Hello\n\nwhere is order 20261120?"),
        (b"5L2g5aW9\r\n", "你好"),
        (b"5L2g 5aW9\r\n", "你好"),
        ("5L2g5aW9\r\n\r\n-- \r\n已经过病毒扫描，请放心阅读\r\n".encode(), "你好"),
        (b"5L2g5aW95L2g5aW95L2g5aW9\r\n5L2g5aW9\r\n--broken", "你好" * 4),
        (b"SGVsbG8gU2hvcA==\r\nno virus\r\nwas found\r\nin this mail", "Hello Shop"),
    ],
)
def test_text_that_only_claims_to_be_base64(body: bytes, text: str) -> None:
    """Words that were sent as they are under a header that promises base64 are read, and real base64 still is."""
    head = b"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n"

    assert message(mail(head, body)).text.startswith(text)


@pytest.mark.parametrize(
    ("head", "kind", "name"),
    [
        ('Content-Type: application/pdf; name="a.pdf"; name="a.pdf"', "application/pdf", "a.pdf"),
        (
            'Content-Type: application/pdf\r\nContent-Disposition: attachment; filename="a.pdf"',
            "application/pdf",
            "a.pdf",
        ),
        ('Content-Type: application/zip; x-mode=0600;\r\nname="a:b.zip"', "application/zip", "a_b.zip"),
        ('Content-Type: application/pdf name="a.pdf"', "application/pdf", "a.pdf"),
        ('Content-Type: application/pdf\r\n\tname="a.pdf"', "application/pdf", "a.pdf"),
        ('Content-Type: pdf; name="a.pdf"', "application/pdf", "a.pdf"),
        ('Content-Type:\r\nContent-Disposition: attachment; filename="a.pdf"', "application/pdf", "a.pdf"),
        ('Content-Disposition: attachment; filename="a.pdf"', "application/pdf", "a.pdf"),
        ("Content-Type: image/jpg\r\nContent-ID: <1@x>", "image/jpg", "attachment-1.jpg"),
        ("Content-Type: image/pjpeg\r\nContent-ID: <1@x>", "image/pjpeg", "attachment-1.jpg"),
        ("Content-Type: message/rfc822-headers", "message/rfc822-headers", "header.txt"),
    ],
)
def test_files_of_careless_mailers(head: str, kind: str, name: str) -> None:
    """A file keeps its type, name and bytes when its parameters come twice, unfolded, without ";" or a type."""
    part = f"--b\r\n{head}\r\nContent-Transfer-Encoding: base64\r\n\r\nJVBERg==\r\n--b--\r\n"
    found = message(mail(b"Content-Type: multipart/mixed; boundary=b\r\n", part.encode())).media

    assert [(kind, name, b"%PDF")] == [(file.type, file.name, file.data) for file in found]


NAMED = b'Content-Type: text/plain; charset=utf-8; name="body.txt"\r\n'
NAMED_HTML = b'Content-Type: text/html; charset=utf-8; name="body.html"\r\n'
HELLO = "你好".encode()


@pytest.mark.parametrize(
    ("head", "body", "text", "files"),
    [
        (NAMED, HELLO, "你好", []),
        (NAMED_HTML, b"<p>" + HELLO, "你好", []),
        (
            b"Content-Type: multipart/alternative; boundary=b\r\n",
            b"--b\r\n" + NAMED + b"\r\n" + HELLO + b"\r\n--b\r\n" + NAMED_HTML + b"\r\n<p>" + HELLO + b"\r\n--b--\r\n",
            "你好",
            [],
        ),
        (NAMED + b"Content-Disposition: attachment\r\n", HELLO, "", ["body.txt"]),
        (NAMED + b"Content-Disposition: inline; filename=body.txt\r\n", HELLO, "", ["body.txt"]),
        (
            b"Content-Type: multipart/mixed; boundary=b\r\n",
            b"--b\r\n\r\nhi\r\n--b\r\n" + NAMED + b"\r\n" + HELLO + b"\r\n--b--\r\n",
            "hi",
            ["body.txt"],
        ),
    ],
)
def test_a_name_alone_makes_no_file_of_the_text(head: bytes, body: bytes, text: str, files: list[str]) -> None:
    """What the mail says is its text even where the mailer named it; what is attached or beside it is a file."""
    found = message(mail(head, body))

    assert (text, files) == (found.text, [file.name for file in found.media])


@pytest.mark.parametrize(
    ("head", "written", "text_in", "name"),
    [
        ('Content-Type: application/pdf; charset=big5; name="許功蓋.pdf"', "big5", "utf-8", "許功蓋.pdf"),
        ('Content-Type: application/pdf; name="許功蓋.pdf"; charset=big5', "big5", "utf-8", "許功蓋.pdf"),
        ('Content-Type: application/pdf; charset=big5; name="淺.pdf"', "big5", "utf-8", "淺.pdf"),
        ('Content-Type: application/pdf; charset=big5; name="許功"; x=1', "big5", "utf-8", "許功"),
        ('Content-Type: application/pdf; charset=gbk; name="許功蓋.pdf"', "gbk", "utf-8", "許功蓋.pdf"),
        ('Content-Type: application/pdf; name="許功蓋.pdf"', "gbk", "gb2312", "許功蓋.pdf"),
        ('Content-Type: application/pdf; name="功能說明.pdf"', "big5", "big5", "功能說明.pdf"),
        ("Content-Type: application/pdf; name=功能說明.pdf", "big5", "big5", "功能說明.pdf"),
        (
            'Content-Type: application/pdf\r\nContent-Disposition: attachment; filename="功能說明.pdf"',
            "big5",
            "big5",
            "功能說明.pdf",
        ),
        (
            'Content-Type: application/pdf; charset=big5\r\nContent-Disposition: attachment; filename="淺.pdf"',
            "big5",
            "utf-8",
            "淺.pdf",
        ),
        ('Content-Type: application/pdf; name="功能說明.pdf"', "utf-8", "big5", "功能說明.pdf"),
        ('Content-Type: application/pdf; name="订单说明.pdf"', "gbk", "utf-8", "订单说明.pdf"),
        ('Content-Type: application/pdf; name="订单说明.pdf"', "utf-8", "utf-16", "订单说明.pdf"),
        ('Content-Type: application/pdf; name="a \\"说明\\".pdf"', "gbk", "gbk", 'a "说明".pdf'),
        ("Content-Type: application/pdf; name*=big5''%B3%5C%A5%5C%BB%5C.pdf", "ascii", "utf-8", "許功蓋.pdf"),
    ],
)
def test_raw_file_names(head: str, written: str, text_in: str, name: str) -> None:
    """A file name in plain letters is read by the charset of its own field, else by that of the mail's text."""
    parts = b"--b\r\nContent-Type: text/plain; charset=%s\r\n\r\nx\r\n--b\r\n" % text_in.encode()
    body = parts + head.encode(written) + b"\r\n\r\n%PDF\r\n--b--\r\n"
    part = read(mail(b"Content-Type: multipart/mixed; boundary=b\r\n", body), Limits()).parts[1]

    assert name == part.filename


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize(
    ("mail", "expected"),
    [
        ("Subject: 第一行\n第二行没有缩进\nFrom: 李雷 <lilei@a.cn>\n\n正文", ("李雷", "第一行 第二行没有缩进", "正文")),
        ("Subject: a\nb\nc\nX-A: 1\nd\nFrom: 李雷 <lilei@a.cn>\nTo: x@y.z\n\n正文", ("李雷", "a b c", "正文")),
        ("\nFrom: 李雷 <lilei@a.cn>\nSubject: a\n\n正文", ("李雷", "a", "正文")),
        ("\n\n\nSubject: a\nFrom: 李雷 <lilei@a.cn>\n\n正文", ("李雷", "a", "正文")),
        ("\n\nFrom x Fri Nov 20\nSubject: a\nFrom: 李雷 <lilei@a.cn>\n\n正文", ("李雷", "a", "正文")),
        ("From: 李雷 <lilei@a.cn>\nSubject: a\n正文\nTo: x@y.z\n\n更多", ("李雷", "a", "正文\nTo: x@y.z\n\n更多")),
        ("Subject: a\n\nFrom: 李雷 <lilei@a.cn>\n\n正文", ("", "a", "From: 李雷 <lilei@a.cn>\n\n正文")),
        ("Subject: a\n正文\n\nFrom: 李雷 <lilei@a.cn>", ("", "a", "正文\n\nFrom: 李雷 <lilei@a.cn>")),
        ("\n\nNote: 正文\n\nFrom: 李雷 <lilei@a.cn>", ("", "", "Note: 正文\n\nFrom: 李雷 <lilei@a.cn>")),
    ],
)
def test_headers_of_careless_programs(mail: str, expected: tuple[str, str, str], end: str) -> None:
    """Empty lines before a header and a continuation that is not indented do not hide who wrote; a body stays one."""
    event = message(mail.replace("\n", end).encode())

    assert expected == (event.name, event.subject, event.text)


@pytest.mark.parametrize(
    ("field", "meta", "text", "written"),
    [
        ("text/html", "<meta charset=euc-kr>", "안녕하세요 주문", "euc-kr"),
        ("text/html", '<META CHARSET="EUC-KR"/>', "안녕하세요 주문", "euc-kr"),
        (
            "text/html",
            "<meta http-equiv='Content-Type' content='text/html; charset=shift_jis'>",
            "注文はどこですか",
            "cp932",
        ),
        ("text/html; charset=us-ascii", "<meta charset=windows-1251>", "Где мой заказ", "cp1251"),
        ("text/html", "<meta charset=iso-2022-jp>", "注文はどこですか", "iso2022_jp"),
        ("text/html; charset=euc-kr", "<meta charset=gb2312>", "안녕하세요 주문", "euc-kr"),
        ("text/html", "<meta charset=gb2312>", "我的订单", "utf-8"),
        ("text/html", "<meta charset=utf-16>", "我的订单", "utf-8"),
        ("text/html", "<meta charset=nonsense>", "我的订单", "gbk"),
        ("text/html", "<meta name=description content=x>", "我的订单", "gbk"),
    ],
)
def test_html_that_names_its_charset(field: str, meta: str, text: str, written: str) -> None:
    """What HTML says of its charset counts where the header says nothing, as far as the bytes agree."""
    raw = mail(f"Content-Type: {field}\r\n".encode(), f"<html><head>{meta}</head><p>{text}</p>".encode(written))

    assert text == message(raw).text


@pytest.mark.parametrize(
    "field", ['"base64"', "base64 (as ever)", "(really) base64", "'base64'", "BASE64;", " base64\t"]
)
def test_transfer_encodings_as_they_are_written(field: str) -> None:
    """Quotes and comments around the name of a transfer encoding change nothing."""
    head = f"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: {field}\r\n"

    assert message(mail(head.encode(), b"5L2g5aW95ZWK5L2g5aW95ZWK\r\n")).text == "你好啊你好啊"


def test_part_without_a_header() -> None:
    """In a part the first empty line ends the header, whatever its text looks like."""
    body = b"--b\r\n\r\nFrom: x@y.z\r\n\r\nhello\r\n--b--\r\n"

    assert message(mail(b"Content-Type: multipart/mixed; boundary=b\r\n", body)).text == "From: x@y.z\n\nhello"


@given(st.binary(max_size=60), st.sampled_from(["", "big5", "gbk", "utf-16", "hz", "iso-2022-jp", "nonsense"]))
def test_any_parameter_is_read(value: bytes, label: str) -> None:
    """Whatever stands in a field, it comes to an end with text that can be stored."""
    _, found = read_value(b'a/b; name="' + value + b'; charset="' + label.encode(), Limits(), label)

    assert json.dumps(found, ensure_ascii=False).encode()


def test_type_without_a_semicolon() -> None:
    """HTML whose header forgot the ";" before its charset is read as HTML of that charset."""
    body = "<p>café</p>".encode("latin-1")

    assert message(mail(b"Content-Type: text/html charset=iso-8859-1\r\n", body)).text == "café"


def test_one_boundary_for_two_multiparts() -> None:
    """Files behind an inner multipart that shares the boundary of the outer one are kept."""
    body = (
        b"--b\r\nContent-Type: multipart/alternative; boundary=b\r\n\r\n"
        b"--b\r\nContent-Type: text/plain\r\n\r\nsee the photo\r\n--b--\r\n\r\n"
        b"--b\r\nContent-Type: image/gif; name=a.gif\r\n\r\nGIF89a\r\n--b--\r\nthe end\r\n"
    )
    event = message(mail(b"Content-Type: multipart/mixed; boundary=b\r\n", body))

    assert ("see the photo", [("a.gif", b"GIF89a")]) == (event.text, [(file.name, file.data) for file in event.media])


def test_a_header_alone() -> None:
    """Where only the header could be had, a notice stands in the place of the text."""
    event = parse(mail(b"", b""), received=RECEIVED, own=OWN, notice="too large")
    assert isinstance(event, Message)

    assert ("hi", "too large", True) == (event.subject, event.text, event.details["partial"])


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def sandbox() -> AsyncIterator[Sandbox]:
    """A worker for many mails."""
    async with Sandbox("connectors.mail_parse:work") as worker:
        await worker.run(msgspec.msgpack.encode(Job(mail(), RECEIVED, OWN)), seconds=5)
        yield worker


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("name", HOSTILE)
async def test_hostile_mail(sandbox: Sandbox, name: str) -> None:
    """No mail takes more than 2 s or holds up the loop for 200 ms, and each one ends as an event that keeps it."""
    raw = HOSTILE[name]()
    # Where other work waits for the processors too, the clock runs on for it.
    busy = max(1.0, 2 * os.getloadavg()[0] / (os.cpu_count() or 1))
    for last in (False, False, True):  # whoever stands still by chance does not do so three times
        took, lag = await attacked(sandbox, raw)
        if last or (took <= 2.0 * busy and lag < 0.2 * busy):
            break

    assert took <= 2.0 * busy
    assert lag < 0.2 * busy


async def attacked(sandbox: Sandbox, raw: bytes) -> tuple[float, float]:
    """Return how many seconds a mail took, and by how many the loop was late at most."""
    lag = 0.0

    async def watch() -> None:
        nonlocal lag
        while True:
            before = time.monotonic()
            await asyncio.sleep(0.005)
            lag = max(lag, time.monotonic() - before - 0.005)

    watcher = asyncio.ensure_future(watch())
    begin = time.monotonic()
    try:
        answer = await sandbox.run(msgspec.msgpack.encode(Job(raw, RECEIVED, OWN)), seconds=1.5)
        event = msgspec.msgpack.decode(answer, type=Parsed)
    except Exhausted as error:
        event = salvage(raw, received=RECEIVED, own=OWN, reason=str(error))
    took = time.monotonic() - begin
    watcher.cancel()
    assert isinstance(event, Message)
    if "shunt" in event.details:
        assert [raw] == [file.data for file in event.media]
    return took, lag


async def test_what_hangs_is_killed_and_replaced() -> None:
    """A function that never returns is stopped, even inside C code, and the next call works."""
    async with Sandbox("tests.sandbox_jobs:work") as sandbox:
        assert await sandbox.run(b"reverse world", seconds=2) == b"dlrow"
        for job in (b"loop", b"regex", b"memory", b"exit"):
            with pytest.raises(Exhausted):
                await sandbox.run(job, seconds=0.3)
        assert await sandbox.run(b"reverse hello", seconds=2) == b"olleh"


async def test_what_raises_is_named_without_its_words() -> None:
    """An exception in the worker comes back as its class name only, and the worker goes on."""
    from connectors.sandbox import Failed

    async with Sandbox("tests.sandbox_jobs:work") as sandbox:
        with pytest.raises(Failed) as failed:
            await sandbox.run(b"raise secret", seconds=2)
        assert await sandbox.run(b"reverse a", seconds=2) == b"a"

    assert str(failed.value) == "KeyError"


SAMPLES = [path.read_bytes() for path in FILES]


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """Return one of the payloads with bits flipped, pieces cut out, doubled, or cut off."""
    raw = bytearray(draw(st.sampled_from(SAMPLES)))
    for _ in range(draw(st.integers(1, 6))):
        place = draw(st.integers(0, max(0, len(raw) - 1)))
        length = draw(st.integers(1, 200))
        kind = draw(st.sampled_from(["flip", "cut", "double", "end", "insert"]))
        if kind == "flip" and raw:
            raw[place] ^= 1 << draw(st.integers(0, 7))
        elif kind == "cut":
            del raw[place : place + length]
        elif kind == "double":
            raw[place:place] = raw[place : place + length]
        elif kind == "end":
            del raw[place:]
        else:
            raw[place:place] = draw(st.binary(max_size=20))
    return bytes(raw)


@settings(max_examples=400, deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow])
@given(damaged())
@example(b"")
@example(b"\r\n\r\n")
@example(b"Content-Type: ;;;=\r\n\r\n")
def test_damaged_mail_never_raises(raw: bytes) -> None:
    """Whatever happened to a mail on its way, it becomes an event that the store can encode."""
    try:
        event = parse(raw, received=RECEIVED, own=OWN)
    except TooComplex as error:
        event = salvage(raw, received=RECEIVED, own=OWN, reason=str(error))

    assert msgspec.msgpack.decode(msgspec.msgpack.encode(event), type=Parsed) == event
    assert msgspec.json.encode(event)


@settings(max_examples=200, deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.one_of(damaged(), st.binary(max_size=500)))
def test_salvage_never_raises(raw: bytes) -> None:
    """A mail that could not be parsed is kept whole beside what its first lines say."""
    event = salvage(raw, received=RECEIVED, own=OWN, reason="why")

    assert msgspec.json.encode(event)
    if isinstance(event, Message):
        assert ("why", raw) == (event.details["shunt"], event.media[0].data)
