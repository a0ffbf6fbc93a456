"""Work for a sandbox that behaves badly."""

from __future__ import annotations

import os
import re


def work(request: bytes) -> bytes:
    """Do what *request* says: reverse a word, or misbehave."""
    verb, _, word = request.partition(b" ")
    if verb == b"loop":
        while True:
            pass
    if verb == b"regex":
        return bytes(bool(re.match(r"(a+)+$", "a" * 60 + "b")))
    if verb == b"memory":
        os.abort() if not _hoard() else None
    if verb == b"exit":
        os._exit(0)
    if verb == b"raise":
        raise KeyError(word)
    return word[::-1]


def _hoard() -> bool:
    """Ask for more memory than a worker has."""
    try:
        return bool(bytes(8 << 30))
    except MemoryError:
        return False
