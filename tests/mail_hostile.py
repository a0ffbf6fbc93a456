"""Mails made to hang, crash or fool a parser (the kinds that standard libraries were seen to hang on)."""

from __future__ import annotations

from collections.abc import Callable

HEAD = b"From: mallory@example.net\r\nTo: service@example.com\r\nSubject: hi\r\nMessage-ID: <evil@example.net>\r\n"


def mail(head: bytes = b"", body: bytes = b"hello\r\n") -> bytes:
    """Return a mail with further header fields."""
    return HEAD + head + b"\r\n" + body


def html(source: bytes) -> bytes:
    """Return a mail of nothing but HTML."""
    return mail(b"Content-Type: text/html; charset=utf-8\r\n", source)


def multipart(count: int) -> bytes:
    """Return a mail of *count* tiny parts."""
    return mail(b'Content-Type: multipart/mixed; boundary="b"\r\n', b"--b\r\n\r\nx\r\n" * count + b"--b--\r\n")


def nested(depth: int) -> bytes:
    """Return multiparts inside each other."""
    layers = b"".join(
        b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n" % (level, level) for level in range(depth)
    )
    return HEAD + layers + b"\r\ndeep\r\n"


def russian_dolls(depth: int) -> bytes:
    """Return mails attached to each other."""
    return HEAD + b"Content-Type: message/rfc822\r\n\r\n" * depth + b"\r\ninside\r\n"


HOSTILE: dict[str, Callable[[], bytes]] = {
    "20000-parameters": lambda: mail(
        b"Content-Type: text/plain" + b"".join(b";\r\n a*%d*=%%41" % n for n in range(20_000)) + b"\r\n"
    ),
    "100-parameters-one-name": lambda: mail(b"Content-Type: text/plain" + b"; a*0*=x" * 90 + b"\r\n"),
    "megabyte-of-quotes-in-from": lambda: b"From: " + b'"' * 1_000_000 + b" <a@b.cn>\r\n\r\nx",
    "200k-of-quotes-in-from": lambda: b"From: " + b'"\\' * 100_000 + b" <a@b.cn>\r\n\r\nx",
    "quotes-in-boundary": lambda: mail(b'Content-Type: multipart/mixed; boundary="' + b'\\"' * 50_000 + b"\r\n"),
    "50000-parts": lambda: multipart(50_000),
    "parts-without-end": lambda: mail(b"Content-Type: multipart/mixed; boundary=b\r\n", b"--b\n" * 200_000),
    "boundary-in-one-line": lambda: mail(b"Content-Type: multipart/mixed; boundary=b\r\n", b"--b" * 400_000),
    "boundary-prefixes": lambda: mail(b"Content-Type: multipart/mixed; boundary=b\r\n", b"--bx\n" * 400_000),
    "20000-encoded-words": lambda: (
        b"From: a@b.cn\r\nSubject:" + b"\r\n =?utf-8?Q?=E4=BD=A0?=" * 9_000 + b"\r\n\r\nx"
    ),
    "half-encoded-words": lambda: b"From: a@b.cn\r\nSubject: " + b"=?utf-8?Q?" * 25_000 + b"\r\n\r\nx",
    "words-of-question-marks": lambda: (
        b"From: a@b.cn\r\nSubject: " + b"=?u?q?" * 10_000 + b"=?=?q??" * 10_000 + b"?" * 90_000 + b"\r\n\r\nx"
    ),
    "words-of-many-charsets": lambda: (
        b"From: a@b.cn\r\nSubject:"
        + b"".join(b" =?utf-8?Q?a%d?= =?gbk?B?xOM=?= =?big5?B?p0E=?=" % n for n in range(5_000))
        + b"\r\n\r\nx"
    ),
    "10000-addresses": lambda: HEAD + b"Cc: " + b", ".join(b"a%d@b.cn" % n for n in range(10_000)) + b"\r\n\r\nx",
    "addresses-without-at": lambda: b"From: " + b"a," * 100_000 + b"<a@b.cn>\r\n\r\nx",
    "200k-parentheses": lambda: b"From: " + b"(" * 200_000 + b" a@b.cn\r\n\r\nx",
    "angles-after-a-parenthesis": lambda: b"From: (" + b"<@" * 15_000 + b"@" * 30_000 + b"\r\n\r\nx",
    "nested-2000": lambda: nested(2_000),
    "dolls-2000": lambda: russian_dolls(2_000),
    "100000-headers": lambda: b"X-A: 1\r\n" * 100_000 + HEAD + b"\r\nx",
    "lines-that-are-no-header": lambda: b"\n" * 100 + b"To: a@b.cn\nx\n" * 20_000 + HEAD + b"\r\nx",
    "rows-before-the-sender": lambda: b"Subject: a\n" + b"x\n" * 100_000 + HEAD + b"\r\nx",
    "header-without-end": lambda: b"Subject: " + b"a" * 5_000_000,
    "folded-header-without-end": lambda: b"Subject: a\r\n" + b" a\r\n" * 1_000_000,
    "no-newline-at-all": lambda: b"x" * 5_000_000,
    "references-of-a-megabyte": lambda: HEAD + b"References: " + b"<a@b>\r\n " * 25_000 + b"\r\n\r\nx",
    "angles-in-references": lambda: HEAD + b"References: " + b"<" * 200_000 + b"\r\n\r\nx",
    "punycode-charset": lambda: mail(b"Content-Type: text/plain; charset=punycode\r\n", b"a" * 1_000_000 + b"-x\xff"),
    "idna-charset": lambda: mail(b"Content-Type: text/plain; charset=idna\r\n", b"xn--" * 200_000 + b"\xff"),
    "unicode-escape-charset": lambda: mail(b"Content-Type: text/plain; charset=unicode_escape\r\n", b"\\ud800\xff"),
    "lone-surrogates": lambda: mail(b"Content-Type: text/plain; charset=utf-7\r\n", b"+2AA- +3AA-"),
    "comments-before-base64": lambda: mail(
        b"Content-Transfer-Encoding: " + b"(" * 100_000 + b"()" * 50_000 + b"\r\n"
    ),
    "charsets-in-html": lambda: mail(b"Content-Type: text/html\r\n", b"<meta charset" * 300 + b"\xff" * 100_000),
    "random-bytes": lambda: mail(b"Content-Type: text/plain\r\n", bytes(range(128, 256)) * 8_000),
    "base64-garbage": lambda: mail(
        b"Content-Type: text/plain\r\nContent-Transfer-Encoding: base64\r\n", b"=A" * 2_000_000
    ),
    "quoted-printable-garbage": lambda: mail(
        b"Content-Type: text/plain\r\nContent-Transfer-Encoding: quoted-printable\r\n", b"=" * 2_000_000
    ),
    "html-unclosed-formatting": lambda: html(
        b"".join(b"<b %d>" % n for n in range(2_000)) + b"".join(b"<i %d>" % n for n in range(2_000)) + b"</b>" * 99
    ),
    "html-divs": lambda: html(b"<div>" * 100_000 + b"deep text"),
    "html-tables": lambda: html(b"<table><tr><td>" * 30_000),
    "html-quotes-in-tags": lambda: html(b'<a "' * 250_000),
    "html-equals-quotes": lambda: html(b"<a =\"='" * 140_000),
    "html-open-comments": lambda: html(b"<!--" * 250_000),
    "html-open-tags": lambda: html(b"<a" * 400_000),
    "html-less-than": lambda: html(b"<" * 1_000_000),
    "html-scripts": lambda: html(b"<script>" * 100_000),
    "html-entities": lambda: html(b"&#" + b"9" * 500_000 + b";" + b"&amp" * 100_000),
    "html-one-line": lambda: html(b"x<i></i>" * 120_000),
    "html-blockquotes": lambda: html(b"<blockquote>" * 80_000 + b"x<br>" * 10_000),
    "html-hidden": lambda: html(b'<p style="display:none">' * 40_000),
    "html-attributes": lambda: html(b"<a " + b"a=b " * 250_000 + b">x</a>"),
    "html-many-links": lambda: html(b'<a href="https://e.cn/">x</a>' * 35_000),
    "quote-headings": lambda: mail(b"", b"\xe5\x9c\xa8 2026-11-20 10:00 a\r\n" * 50_000),
    "quote-fields": lambda: mail(b"", b"From: a@b\r\n" * 100_000),
    "quote-rules": lambda: mail(b"", b"-----\r\n" * 150_000),
    "dashes": lambda: mail(b"", b"-" * 1_000_000),
    "spaces": lambda: mail(b"", b" " * 1_000_000 + b"x"),
    "blank-lines": lambda: mail(b"", b"\r\n" * 500_000),
    "flowed": lambda: mail(b"Content-Type: text/plain; format=flowed\r\n", b"> > a \r\n" * 100_000),
    "10000-attachments": lambda: mail(
        b"Content-Type: multipart/mixed; boundary=b\r\n",
        b"--b\r\nContent-Disposition: attachment; filename=a\r\n\r\nx\r\n" * 10_000,
    ),
    "large-attachment": lambda: mail(
        b"Content-Type: multipart/mixed; boundary=b\r\n",
        b"--b\r\nContent-Type: application/pdf\r\nContent-Transfer-Encoding: base64\r\n\r\n"
        + (b"QUFB" * 19 + b"\r\n") * 250_000
        + b"--b--\r\n",
    ),
    "large-text": lambda: mail(b"Content-Type: text/plain; charset=gbk\r\n", "投诉".encode("gbk") * 1_000_000),
}  # fmt: skip
