"""Addresses that the hub may connect to on behalf of a configured URL: public ones, unless an admin says otherwise.

A name is resolved once, every answer is judged, and the connection goes to the address that was judged: whoever
answers differently the second time (DNS rebinding) is not asked a second time.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterable
from typing import Any

from aiohttp.abc import AbstractResolver, ResolveResult

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

PORTS = frozenset({80, 443})
FREE_PORTS = range(1024, 65536)  # below are mail, DNS and what else speaks no HTTP
SITE_LOCAL = ipaddress.ip_network("fec0::/10")
# Addresses of IPv6 that hold one of IPv4, and where in them: mapped (RFC 4291), NAT64 (RFC 6052), 6to4 (RFC 3056).
HOLDERS: tuple[tuple[ipaddress.IPv6Network, int], ...] = (
    (ipaddress.IPv6Network("::ffff:0:0/96"), 0),
    (ipaddress.IPv6Network("::/96"), 0),
    (ipaddress.IPv6Network("64:ff9b::/96"), 0),
    (ipaddress.IPv6Network("2002::/16"), 80),
)
CLOSED = (
    ipaddress.ip_network("64:ff9b:1::/48"),  # NAT64 of a network's own (RFC 8215)
    ipaddress.ip_network("2001::/23"),  # Teredo and other special purposes (RFC 6890)
    ipaddress.ip_network("192.88.99.0/24"),
    ipaddress.ip_network("100.64.0.0/10"),
    SITE_LOCAL,
)


class NotPublic(OSError):
    """The address is not one of the public Internet; nothing was connected to."""


def is_public(address: Address) -> bool:
    """Tell whether anybody on the Internet could be there: it is not private, local, multicast or otherwise special."""
    if isinstance(address, ipaddress.IPv6Address):
        for network, shift in HOLDERS:
            if address in network:
                return is_public(ipaddress.IPv4Address(int(address) >> shift & 0xFFFFFFFF))
    if any(address.version == network.version and address in network for network in CLOSED):
        return False
    return address.is_global and not address.is_multicast and not address.is_reserved


def check(host: str, port: int) -> None:
    """Judge a URL's host, where it is an address, and its port. Raises `NotPublic`."""
    if port not in PORTS and port not in FREE_PORTS:
        raise NotPublic("the port is none that the web is served at")
    try:
        address = ipaddress.ip_address(host.strip("[]").partition("%")[0])
    except ValueError:
        return  # a name; the resolver judges what it stands for
    if not is_public(address):
        raise NotPublic("the address is not public")


class PublicResolver(AbstractResolver):
    """Resolves names by *inner*, and only to public addresses."""

    def __init__(self, inner: AbstractResolver) -> None:
        self._inner = inner

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Return where *host* is. Raises `NotPublic` if any answer is not public, OSError if there is none."""
        found = await self._inner.resolve(host, port, family)
        judge(one["host"] for one in found)
        return found

    async def close(self) -> None:
        await self._inner.close()


def judge(hosts: Iterable[Any]) -> None:
    """Judge the addresses that a name stands for. Raises `NotPublic` if only one of them is not public."""
    for host in hosts:
        if not is_public(ipaddress.ip_address(str(host).partition("%")[0])):
            raise NotPublic("the name stands for an address that is not public")
