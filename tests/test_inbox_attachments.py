"""Files are kept whole, once, durably, and found by what is in them."""

from __future__ import annotations

import asyncio
import hashlib
import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from inbox.attachments import Attachments, NoAttachment, TooLarge
from inbox.endpoints import NAME_LIMIT, safe_name


@pytest.fixture
def kept(tmp_path: Path) -> Attachments:
    return Attachments(tmp_path / "files", max_size=100)


def files(kept: Attachments) -> list[Path]:
    return [path for path in kept.root.rglob("*") if path.is_file()]


@pytest.mark.parametrize("data", [b"", b"x", bytes(range(100))])
async def test_what_is_kept_comes_back(kept: Attachments, data: bytes) -> None:
    """The name of a file is the SHA-256 of its bytes."""
    sha = await kept.save(data)

    assert hashlib.sha256(data).hexdigest() == sha
    assert data == await kept.read(sha)


async def test_the_same_file_is_kept_once(kept: Attachments) -> None:
    """However often and however concurrently it comes, there is one file and nothing half written beside it."""
    shas = await asyncio.gather(*(kept.save(b"picture") for _ in range(20)))

    assert 1 == len(set(shas))
    assert [b"picture"] == [path.read_bytes() for path in files(kept)]


async def test_a_file_that_is_kept_anew_is_not_removed(kept: Attachments) -> None:
    """Whoever removes what nobody needs has looked before; what has come again since stays."""
    sha = await kept.save(b"picture")
    seen = await kept.kept_at(sha)
    os.utime(kept.path(sha), ns=(seen - 10**9, seen - 10**9))
    seen = await kept.kept_at(sha)
    await kept.save(b"picture")

    assert not await kept.remove(sha, seen)
    assert b"picture" == await kept.read(sha)
    assert await kept.remove(sha, await kept.kept_at(sha))
    assert await kept.remove(sha, 0)
    assert [] == files(kept)


async def test_a_file_over_the_limit_is_refused(kept: Attachments) -> None:
    """Exactly the limit is fine, one byte more leaves nothing on the disk."""
    await kept.save(b"x" * 100)
    with pytest.raises(TooLarge, match="101 bytes; the limit is 100"):
        await kept.save(b"x" * 101)
    assert 1 == len(files(kept))


async def test_nobody_else_can_read_the_files(kept: Attachments) -> None:
    """Directories and files belong to the hub's user alone."""
    await kept.save(b"secret")
    [file] = files(kept)
    assert 0o600 == file.stat().st_mode & 0o777
    assert 0o700 == file.parent.stat().st_mode & 0o777


async def test_a_full_disk_leaves_nothing_half_written(kept: Attachments, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the disk refuses the bytes the error is told and no part of the file stays."""

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        await kept.save(b"picture")
    assert [] == files(kept)


@pytest.mark.parametrize("name", ["", "x", "../../etc/passwd", "0" * 63, "0" * 65, "/" * 64, "0" * 62 + "/."])
async def test_a_name_that_is_no_hash_leads_nowhere(kept: Attachments, name: str) -> None:
    """Nothing but a hash becomes a path."""
    with pytest.raises(NoAttachment):
        await kept.read(name)


async def test_a_missing_file_is_told(kept: Attachments) -> None:
    """A hash of which nothing is kept is an error of its own."""
    with pytest.raises(NoAttachment):
        await kept.read("0" * 64)


NAMES = [
    ("发票 2026.pdf", "发票 2026.pdf"),
    ("../../etc/passwd", "etcpasswd"),
    ("C:\\temp\\a.exe", "Ctempa.exe"),
    ("evil\u202egnp.exe", "evilgnp.exe"),
    ("a\r\nSet-Cookie: x", "aSet-Cookie x"),
    ("a\x00b\x1b[31m", "ab[31m"),
    ("", "file"),
    ("...", "file"),
    (".bashrc", "bashrc"),
    ("x" * 500 + ".pdf", ("x" * 500 + ".pdf")[-NAME_LIMIT:]),
]


@pytest.mark.parametrize(("given_", "safe"), NAMES)
def test_file_names_are_made_safe(given_: str, safe: str) -> None:
    """No path, no control characters, no letters that turn the reading direction; the ending is kept."""
    assert safe == safe_name(given_)


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text())
def test_every_name_becomes_a_name(name: str) -> None:
    """Whatever a sender calls a file, the result is printable, not empty, bounded, and one component of a path."""
    safe = safe_name(name)
    assert 0 < len(safe) <= NAME_LIMIT
    assert safe.isprintable()
    assert safe == Path(safe).name
