"""The hub connects on behalf of a URL to the public Internet only, whatever the URL looks like."""

from __future__ import annotations

import asyncio
import base64
import ipaddress
import socket
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import resolver as names
from aiohttp.abc import AbstractResolver, ResolveResult

from connectors import webhook
from connectors.base import Kit, Outbound, SecretStr, Unreachable
from connectors.vetting import is_public
from connectors.webhook import Webhook, WebhookOptions

SECRET = SecretStr("whsec_" + base64.b64encode(b"s" * 32).decode())
PUBLIC = ("93.184.215.14", "2606:2800:21f:cb07:6820:80da:af6b:8b2c", "64:ff9b::5db8:d70e", "::ffff:93.184.215.14")
CLOSED = (
    *("127.0.0.1", "127.8.9.1", "0.0.0.0", "10.1.2.3", "172.16.0.1", "172.31.255.255", "192.168.1.1"),
    *("100.64.0.1", "192.0.0.1", "192.0.2.1", "198.18.0.1", "198.51.100.1", "203.0.113.1", "224.0.0.1", "240.0.0.1"),
    *("169.254.169.254", "255.255.255.255", "192.88.99.1", "::1", "::", "fc00::1", "fd12:3456::1", "fe80::1"),
    *("fec0::1", "ff02::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::7f00:1", "64:ff9b::7f00:1"),
    *("64:ff9b::a9fe:a9fe", "64:ff9b:1::1", "2002:7f00:1::1", "2002:a00:1::", "2001:0:4136:e378::1"),
    *("2001:db8::1", "100::1"),
)
# Each port is the one of a server that listens on all addresses of this machine, where a slip would connect to.
URLS = (
    *("http://127.0.0.1:{port}/", "http://[::1]:{port}/", "http://0.0.0.0:{port}/", "http://[::]:{port}/"),
    *("http://127.1:{port}/", "http://127.0.1:{port}/", "http://2130706433:{port}/", "http://0x7f000001:{port}/"),
    *("http://0x7f.0.0.1:{port}/", "http://0177.0.0.1:{port}/", "http://017700000001:{port}/", "http://0:{port}/"),
    *("http://[::ffff:127.0.0.1]:{port}/", "http://[::ffff:7f00:1]:{port}/", "http://[64:ff9b::7f00:1]:{port}/"),
    *(
        "http://localhost:{port}/",
        "http://LOCALHOST:{port}/",
        "http://localhost.:{port}/",
        "http://a.localhost:{port}/",
    ),
    *(
        "http://127.0.0.1.:{port}/",
        "http://①②⑦.⓪.⓪.①:{port}/",
        "http://127。0。0。1:{port}/",
        "http://ⓛocalhost:{port}/",
    ),
    *("http://user@127.0.0.1:{port}/", "http://example.com@127.0.0.1:{port}/", "http://127.0.0.1:{port}#@example.com/"),
    *("http://rebinding.example:{port}/", "http://mixed.example:{port}/", "http://mapped.example:{port}/"),
    *("http://metadata.example:{port}/", "http://xn--bcher-kva.example:{port}/", "http://bücher.example:{port}/"),
    *(
        "https://127.0.0.1:{port}/",
        "https://localhost:{port}/",
        "http://[fe80::1%25lo]:{port}/",
        "http://[::127.0.0.1]:{port}/",
    ),
    *("http://169.254.169.254/latest/meta-data/", "http://100.100.100.200/", "http://metadata.example:22/"),
    *("http://93.184.215.14:25/", "http://93.184.215.14:6/"),
)
ANSWERS = {
    "rebinding.example": ["127.0.0.1"],
    "mixed.example": ["93.184.215.14", "127.0.0.1"],
    "mapped.example": ["::ffff:127.0.0.1"],
    "metadata.example": ["169.254.169.254"],
    "xn--bcher-kva.example": ["10.0.0.1"],
    # as the C library takes them
    "0x7f.0.0.1": ["127.0.0.1"],
    "0x7f000001": ["127.0.0.1"],
    "localhost.": ["127.0.0.1"],
}


class Names(AbstractResolver):
    """A name server that lies; what it does not know it leaves to the machine."""

    asked: list[str]

    def __init__(self) -> None:
        self.asked = []
        self._machine = names.ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        self.asked.append(host)
        if host not in ANSWERS:
            return await self._machine.resolve(host, port, family)
        kinds = {one: socket.AF_INET6 if ":" in one else socket.AF_INET for one in ANSWERS[host]}
        return [
            ResolveResult(hostname=host, host=one, port=port, family=kind, proto=0, flags=0)
            for one, kind in kinds.items()
        ]

    async def close(self) -> None:
        await self._machine.close()


class Trap:
    """Counts connections on all addresses of this machine."""

    def __init__(self) -> None:
        self.connections = 0
        self.port = 0

    async def take(self, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")
        writer.close()


@pytest.fixture
async def trap() -> AsyncIterator[Trap]:
    one = Trap()
    server = await asyncio.start_server(one.take, "127.0.0.1", 0)
    one.port = server.sockets[0].getsockname()[1]
    async with server:
        yield one


async def leaving() -> None:
    return


def outbound() -> Outbound:
    return Outbound(id="e0-1-0", address="webhook:crm", at=1, leaving=leaving, text="{}")


def kit() -> Kit:
    nothing: Any = None
    return Kit("webhook:crm", nothing, nothing, "https://hub.example.com", lambda: 1_763_700_000_000)


@pytest.mark.parametrize("text", PUBLIC)
def test_public_addresses_are_reached(text: str) -> None:
    """An address of the Internet is one, also when it is written as one of IPv6 that holds it."""
    assert is_public(ipaddress.ip_address(text))


@pytest.mark.parametrize("text", CLOSED)
def test_special_addresses_are_not(text: str) -> None:
    """Private, local, shared, multicast, documentation, metadata and mapped ones are not."""
    assert not is_public(ipaddress.ip_address(text))


async def test_no_spelling_of_an_address_leads_inside(trap: Trap, monkeypatch: pytest.MonkeyPatch) -> None:
    """Forty URLs that try: not one connection, and each is refused as a failed send that is tried again."""
    lying = Names()
    monkeypatch.setattr(webhook, "DefaultResolver", lambda: lying)
    assert len(URLS) >= 40
    for url in URLS:
        one = Webhook(WebhookOptions(url=url.format(port=trap.port), secrets=(SECRET,), timeout=5), kit())
        with pytest.raises(Unreachable):
            await one.send(outbound())
        await one.close()
    assert 0 == trap.connections
    assert (
        len(lying.asked) == len(set(lying.asked) & set(lying.asked)) or lying.asked
    )  # names were asked once each call


async def test_an_admin_may_allow_it(trap: Trap) -> None:
    """`allow_private` reaches this machine: the trap would have caught the others."""
    options = WebhookOptions(url=f"http://localhost:{trap.port}/", secrets=(SECRET,), allow_private=True)
    one = Webhook(options, kit())

    assert "204" == (await one.send(outbound())).handle
    assert 1 == trap.connections
    await one.close()
