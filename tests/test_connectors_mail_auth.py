"""Who vouches for a mail: signatures against keys from a real DNS server, and the word of our own server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest

from connectors.mail_auth import Authenticator, Verdict, aligned
from tests.agents_desk import KeyServer, Signer

SENDER = "lilei@example.com"


def mail(*headers: str, sender: str = SENDER, body: str = "您好，明天到。") -> bytes:
    """Return a small mail with *headers* on top."""
    head = [*headers, f"From: Li Lei <{sender}>", "To: service@example.com", "Subject: Re: x", "Message-ID: <1@e.com>"]
    rows = [*head, "Content-Type: text/plain; charset=utf-8", "Content-Transfer-Encoding: 8bit", "", body, ""]
    return "\r\n".join(rows).encode()


@pytest.fixture(scope="module")
def signers() -> dict[str, Signer]:
    """Keys of some domains."""
    return {name: Signer.of(name) for name in ("example.com", "sub.example.com", "evil.example", "com")}


@pytest.fixture
async def keys(signers: dict[str, Signer]) -> AsyncIterator[KeyServer]:
    """A DNS server that knows them."""
    loop = asyncio.get_running_loop()
    transport, server = await loop.create_datagram_endpoint(KeyServer, local_addr=("127.0.0.1", 0))
    server.records.update({one.place: one.record for one in signers.values()})
    yield server
    transport.close()


Case = tuple[str, Callable[[dict[str, Signer]], bytes], str]

CASES: list[Case] = [
    ("signed", lambda of: of["example.com"].sign(mail()), "pass"),
    ("not signed", lambda _: mail(), "none"),
    ("a stranger's signature", lambda of: of["evil.example"].sign(mail()), "fail"),
    ("the signature of a domain below", lambda of: of["sub.example.com"].sign(mail()), "fail"),
    ("the signature of all of .com", lambda of: of["com"].sign(mail()), "fail"),
    ("changed text", lambda of: of["example.com"].sign(mail()).replace("明天".encode(), "昨天".encode()), "fail"),
    ("changed sender", lambda of: of["example.com"].sign(mail(sender="a@example.com")).replace(b"a@", b"b@"), "fail"),
    ("a part left unsigned", lambda of: of["example.com"].sign(mail(), length=True), "fail"),
    ("a second From", lambda of: b"From: lilei@example.com\r\n" + of["example.com"].sign(mail()), "fail"),
    ("two signatures", lambda of: of["evil.example"].sign(of["example.com"].sign(mail())), "pass"),
    ("garbage", lambda _: mail("DKIM-Signature: v=1; d=example.com; s=s1; b=!!; h=" + "from:" * 2000), "fail"),
    (
        "no key",
        lambda _: mail("DKIM-Signature: v=1; a=rsa-sha256; d=example.com; s=s9; h=from; bh=A; b=A"),
        "fail",
    ),
    ("no place", lambda _: mail("DKIM-Signature: v=1; d=../x; s=$(id); h=from; bh=AA==; b=AA=="), "none"),
]


@pytest.mark.parametrize(("label", "make", "result"), CASES, ids=[label for label, _, _ in CASES])
async def test_signatures(
    keys: KeyServer, signers: dict[str, Signer], label: str, make: Callable[[dict[str, Signer]], bytes], result: str
) -> None:
    """Only the sender's own domain vouches, for the whole mail as it is shown."""
    async with Authenticator(f"127.0.0.1:{keys.port}") as authenticator:
        verdict = await authenticator.examine(make(signers), SENDER)

    assert result == verdict.result
    assert all("$" not in name and "/" not in name for name in keys.asked)


async def test_a_domain_above_vouches(keys: KeyServer, signers: dict[str, Signer]) -> None:
    """Who signs for example.com signs for its departments, and each signed mail has a mark of its own."""
    sender = "lilei@sales.example.com"
    raw = signers["example.com"].sign(mail(sender=sender))
    other = signers["example.com"].sign(mail(sender=sender, body="另一封"))
    async with Authenticator(f"127.0.0.1:{keys.port}") as authenticator:
        first = await authenticator.examine(raw, sender)
        again = await authenticator.examine(b"Received: from x\r\n" + raw, sender)
        second = await authenticator.examine(other, sender)

    assert ("pass", "example.com") == (first.result, first.domain)
    assert first.signature == again.signature != second.signature


async def test_without_dns_nothing_is_sure(signers: dict[str, Signer]) -> None:
    """A key that cannot be asked for now proves nothing, and says so."""
    async with Authenticator("127.0.0.1:9", patience=0.2) as authenticator:
        verdict = await authenticator.examine(signers["example.com"].sign(mail()), SENDER)

    assert Verdict("error") == verdict


RESULTS = [
    ("mx.example.com; dkim=pass header.d=example.com", "pass"),
    ("mx.example.com; spf=fail; dkim=pass header.i=@example.com header.s=x", "pass"),
    ("mx.example.com 1; dmarc=pass (p=REJECT) header.from=example.com", "pass"),
    ("mx.example.com; dkim=pass header.d=evil.example", "none"),
    ("mx.example.com; dkim=fail header.d=example.com", "none"),
    ("mx.example.com; spf=pass smtp.mailfrom=example.com", "none"),
    ("mx.evil.example; dkim=pass header.d=example.com", "none"),
    ("", "none"),
]


@pytest.mark.parametrize(("value", "result"), RESULTS)
async def test_our_servers_word(value: str, result: str) -> None:
    """What our own server found is believed, and nobody else's word."""
    async with Authenticator(trusted=("MX.example.com",)) as authenticator:
        verdict = await authenticator.examine(mail(f"Authentication-Results: {value}"), SENDER)

    assert result == verdict.result


async def test_only_the_topmost_word_counts() -> None:
    """What a sender wrote below another server's results is not ours, even under our name."""
    forged = "Authentication-Results: mx.example.com; dkim=pass header.d=example.com"
    raw = mail("Authentication-Results: mx.other.example; dkim=fail", "Received: from x", forged)
    async with Authenticator(trusted=("mx.example.com",)) as authenticator:
        assert "none" == (await authenticator.examine(raw, SENDER)).result


@pytest.mark.parametrize(
    ("domain", "host", "expected"),
    [
        ("example.com", "example.com", True),
        ("example.com", "mail.example.com", True),
        ("mail.example.com", "example.com", False),
        ("ample.com", "example.com", False),
        ("com", "example.com", False),
        ("", "example.com", False),
    ],
)
def test_who_may_vouch_for_whom(domain: str, host: str, expected: bool) -> None:
    """The domain itself, or one above it."""
    assert expected is aligned(domain, host)
