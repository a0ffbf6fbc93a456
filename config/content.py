"""The bytes of a file that an admin named, read without waiting and only up to a limit."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

LARGEST = 8 << 20
"""Bytes of the largest file that anything here reads; what is hashed is never more than one byte beyond."""


def read(path: Path, limit: int) -> tuple[bytes, os.stat_result]:
    """Return at most *limit* bytes of the regular file at *path*, and its status. Raises `OSError`."""
    # Opening a pipe would wait for its writer.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, "not a regular file")
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            return file.read(limit), status
    finally:
        os.close(descriptor)


def why(error: OSError | ValueError) -> str:
    """Say in a few words why a file cannot be read."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror[:1].lower() + error.strerror[1:]
    return "this is no file name"


def position(raw: bytes, offset: int) -> tuple[int, int]:
    """Return the line and column, from 1, of the byte at *offset*; what stands before it in its line is UTF-8."""
    before = raw[:offset]
    line_start = before.rfind(b"\n") + 1
    return before.count(b"\n") + 1, len(before[line_start:].decode("utf-8", "replace")) + 1


def likely_encoding(raw: bytes) -> str:
    """Return what to say of a text that is not UTF-8: that it looks like GBK, or nothing."""
    try:
        raw.decode("gb18030")
    except UnicodeDecodeError:
        return ""
    return "; it looks like GBK"
