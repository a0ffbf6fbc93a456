"""Whether a mail is from whom it says: the signature of the sender's domain (DKIM), or the word of our own server.

Sources: RFC 6376 (DKIM), RFC 7489 §3.1 (alignment), RFC 8601 (Authentication-Results). The keys are fetched here, by
DNS; the arithmetic on the sender's bytes is done in a process that is killed when it takes too long.
"""

from __future__ import annotations

import hashlib
import logging
import re
from types import TracebackType
from typing import Literal, Self

import dns.asyncresolver
import dns.exception
import dns.resolver
import msgspec
from msgspec import Struct

from connectors.mail_mime import Headers, Limits, TooComplex, read_headers
from connectors.sandbox import Exhausted, Failed, Sandbox

logger = logging.getLogger(__name__)

MOST_SIGNATURES = 5
DNS_SECONDS = 5.0
CHECK_SECONDS = 2.0
CHECK_SECONDS_PER_BYTE = 2e-7
SMALLEST_KEY = 1024
TAG = re.compile(rb"(?:^|;)\s*([a-z]+)\s*=\s*([^;]*)")
HOST = re.compile(r"[a-z0-9_](?:[a-z0-9_.-]{0,250}[a-z0-9])?")
METHOD = re.compile(r"\b(dkim|dmarc)\s*=\s*(\w+)")
PROPERTY = re.compile(r"\b(header\.d|header\.from|header\.i)\s*=\s*@?\"?([^\s;\"]+)")

Result = Literal["pass", "fail", "none", "error"]


class Verdict(Struct, frozen=True, omit_defaults=True):
    """What is known of a mail's sender.

    *result* is "pass" when the domain of the From address vouches for the mail, "fail" when what should vouch for
    it does not, "none" when nothing does, "error" when the keys cannot be fetched now. *domain* is who vouches,
    *by* is "dkim" (checked here) or the server whose word it is. *signature* is the same for every copy of one
    signed mail.
    """

    result: Result
    domain: str = ""
    by: str = "dkim"
    signature: str = ""


class Signature(Struct, frozen=True):
    """One DKIM-Signature: its place among them, where its key is, and a digest of what was signed."""

    index: int
    domain: str
    selector: str
    mark: str
    partial: bool

    @property
    def place(self) -> str:
        """The name under which the key is published."""
        return f"{self.selector}._domainkey.{self.domain}."


class Check(Struct, frozen=True):
    """One signature to check: the mail, which signature, and the key record of its domain."""

    raw: bytes
    index: int
    record: bytes


def work(request: bytes) -> bytes:
    """Check the signature in *request* (msgpack `Check`): b"1" if it is good, b"0" if not. For the worker process."""
    import dkim  # noqa: PLC0415  # only the worker process that checks needs it

    check = msgspec.msgpack.decode(request, type=Check)
    verifier = dkim.DKIM(check.raw, minkey=SMALLEST_KEY)
    try:
        good = verifier.verify(idx=check.index, dnsfunc=lambda *_, **__: check.record)
    except dkim.DKIMException:
        good = False
    return b"1" if good else b"0"


class Authenticator:
    """Examines mails. Used as an async context manager; its worker process starts with the first signature.

    *resolver* is the DNS server to ask ("" = the machine's), *trusted* are the servers whose word is believed,
    *patience* is for how many seconds a key is waited for.
    """

    def __init__(self, resolver: str = "", trusted: tuple[str, ...] = (), *, patience: float = DNS_SECONDS) -> None:
        self._resolver = resolver
        self._patience = patience
        self._trusted = frozenset(one.lower() for one in trusted)
        self._sandbox = Sandbox("connectors.mail_auth:work")

    async def __aenter__(self) -> Self:
        await self._sandbox.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._sandbox.__aexit__(kind, error, trace)

    async def examine(self, raw: bytes, sender: str, *, whole: bool = True) -> Verdict:
        """Say what vouches for the mail *raw* of *sender*, the address in its From.

        Of a mail that is not *whole* nothing can be checked but the word of our own server.
        """
        try:
            headers, _ = read_headers(raw, 0, len(raw), Limits())
        except TooComplex:
            return Verdict("none")
        if len(headers.all("from")) != 1:
            return Verdict("fail")  # a second From is a mask: what is signed need not be what is shown
        host = sender.rpartition("@")[2].lower()
        word = self._word(headers, host)
        if word is not None:
            return word
        return await self._signed(raw, headers, host) if whole else Verdict("none")

    def _word(self, headers: Headers, host: str) -> Verdict | None:
        """Return what our own server found, None if it has no say.

        Only its topmost results count: a sender can write the same further down.
        """
        for value in headers.all("authentication-results"):
            server, _, results = value.decode("ascii", "replace").lower().partition(";")
            name = server.split()[0] if server.split() else ""
            if name not in self._trusted:
                return None
            for part in results.split(";"):
                method = METHOD.search(part)
                if method is not None and method[2] == "pass":
                    told = dict(PROPERTY.findall(part))
                    domain = told.get("header.from" if method[1] == "dmarc" else "header.d", "")
                    domain = (domain or told.get("header.i", "")).rpartition("@")[2]
                    if aligned(domain, host):
                        return Verdict("pass", domain, name)
        return None

    async def _signed(self, raw: bytes, headers: Headers, host: str) -> Verdict:
        found = signatures(headers)
        mine = [one for one in found if aligned(one.domain, host) and not one.partial]
        worst: Result = "fail" if found else "none"
        for one in mine:
            record = await self._record(one.place)
            if record is None:
                worst = "error"
                continue
            if record and await self._good(Check(raw, one.index, record)):
                return Verdict("pass", one.domain, signature=one.mark)
        return Verdict(worst)

    async def _good(self, check: Check) -> bool:
        seconds = CHECK_SECONDS + len(check.raw) * CHECK_SECONDS_PER_BYTE
        try:
            return await self._sandbox.run(msgspec.msgpack.encode(check), seconds=seconds) == b"1"
        except (Exhausted, Failed) as error:
            logger.warning("the signature of a mail could not be checked: %s", error)
            return False

    async def _record(self, name: str) -> bytes | None:
        """Return the key record published under *name*, empty if there is none, None if that cannot be known now."""
        try:
            found = await self._dns().resolve(name, "TXT", lifetime=self._patience, search=False)
        except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
            return b""
        except (dns.exception.DNSException, OSError, ValueError) as error:
            logger.info("the key of a mail's signature cannot be fetched now: %s", type(error).__name__)
            return None
        return b"".join(next(iter(found)).strings)

    def _dns(self) -> dns.asyncresolver.Resolver:
        if not self._resolver:
            return dns.asyncresolver.Resolver()
        host, _, port = self._resolver.rpartition(":") if not self._resolver.endswith("]") else (self._resolver, "", "")
        resolver = dns.asyncresolver.Resolver(configure=False)
        resolver.nameservers = [(host or self._resolver).strip("[]")]
        if host and port:
            resolver.port = int(port)
        return resolver


def signatures(headers: Headers) -> list[Signature]:
    """Return the first few DKIM-Signatures of a mail, without those that name no usable place for a key."""
    found: list[Signature] = []
    for index, value in enumerate(headers.all("dkim-signature")[:MOST_SIGNATURES]):
        tags = {name: re.sub(rb"\s", b"", content) for name, content in TAG.findall(value[:20_000])}
        domain, selector = (tags.get(name, b"").decode("ascii", "replace").lower() for name in (b"d", b"s"))
        if HOST.fullmatch(domain) and HOST.fullmatch(selector):
            mark = hashlib.sha256(tags.get(b"b", b"")).hexdigest()[:24]
            # l= leaves what follows unsigned: whoever passes the mail on may add what they like.
            found.append(Signature(index, domain, selector, mark, partial=b"l" in tags))
    return found


def aligned(domain: str, host: str) -> bool:
    """Tell whether *domain* may vouch for addresses at *host*: it is that domain, or one above it.

    A domain below it may belong to somebody else, and who may be asked about a domain is in no list of ours.
    """
    return "." in domain and (host == domain or host.endswith(f".{domain}"))
