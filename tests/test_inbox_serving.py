"""Who calls, when a reverse proxy stands in between."""

from __future__ import annotations

import ipaddress

import pytest
from multidict import CIMultiDict, CIMultiDictProxy

from inbox.serving import origin_of

PROXIES = (ipaddress.ip_network("10.0.0.0/8"), ipaddress.ip_network("::1/128"))


def headers(*forwarded: str) -> CIMultiDictProxy[str]:
    """Return X-Forwarded-For headers."""
    return CIMultiDictProxy(CIMultiDict([("X-Forwarded-For", value) for value in forwarded]))


@pytest.mark.parametrize(
    ("remote", "forwarded", "origin"),
    [
        ("203.0.113.9", ("198.51.100.1",), "203.0.113.9"),  # no proxy of ours: its word counts for nothing
        ("10.0.0.1", ("198.51.100.1",), "198.51.100.1"),
        ("10.0.0.1", ("6.6.6.6", "198.51.100.1"), "198.51.100.1"),  # the same in two headers
        ("10.0.0.1", ("6.6.6.6, 198.51.100.1",), "198.51.100.1"),  # the caller wrote the first part himself
        ("10.0.0.1", ("198.51.100.1, 10.0.0.7",), "198.51.100.1"),  # two proxies of ours
        ("10.0.0.1", (), "10.0.0.1"),
        ("::1", ("2001:db8::5",), "2001:db8::5"),
        ("10.0.0.1", ("10.0.0.2",), "10.0.0.1"),
    ],
)
def test_only_a_trusted_proxy_says_who_calls(remote: str, forwarded: tuple[str, ...], origin: str) -> None:
    """X-Forwarded-For counts from the right, and only as far as our own proxies wrote it."""
    assert origin == origin_of(PROXIES)(remote, headers(*forwarded))


def test_without_proxies_the_connection_counts() -> None:
    """Nobody can pretend to be another where no proxy is configured."""
    assert "10.0.0.1" == origin_of(())("10.0.0.1", headers("198.51.100.1"))
