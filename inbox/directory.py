"""The embedded store's directory: who may enter, who holds it, its secret, its socket's path and its log's end."""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import secrets
import stat
import tempfile
from pathlib import Path
from typing import BinaryIO

HUB_LOCK = "hub.lock"  # held by the hub alone: two hubs never share a directory
STORE_LOCK = "store.lock"  # held by hub and server together: lives as long as either
SECRET = "store.secret"  # noqa: S105  # the name of the file
SOCKET = "store.sock"
LOG = "store.log"
DATA = "appendonlydir"  # the server's append-only log
RESTORING = "restoring"  # a store that is being made out of a backup; its data move up when they are whole

SOCKET_PATH_LIMIT = 107  # bytes of sockaddr_un.sun_path without its NUL, unix(7)


class EmbeddedError(Exception):
    """Base of everything that can be wrong with the embedded store; the message is for the admin."""


class Unsafe(EmbeddedError):
    """The directory cannot be used, or others could read what is in it."""


def prepare(path: Path) -> None:
    """Make *path* a directory of our own that nobody else can enter. Raises `Unsafe`."""
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        facts = path.stat()
        if stat.S_IMODE(facts.st_mode) & 0o077:
            # A directory that holds other people's things is not ours to lock: store.path may be a slip for /tmp.
            if any(path.iterdir()) and not (path / STORE_LOCK).exists():
                raise Unsafe(f"{path} is open to other users and not empty; chmod 700 it, or name another store.path")
            path.chmod(0o700)
    except OSError as error:
        raise Unsafe(f"{path} cannot be used for the embedded store: {error.strerror}") from None
    if facts.st_uid != os.geteuid():
        raise Unsafe(f"{path} belongs to user {facts.st_uid}; the hub runs as user {os.geteuid()}")


def reach(path: Path) -> Path:
    """Return a path by which clients open the socket in *path*: a short link where the true one is too long.

    The link lies in a private directory below $XDG_RUNTIME_DIR or the temporary directory, under a
    name derived from *path*, so it is the same after a restart. Raises `Unsafe`.
    """
    direct = path / SOCKET
    if len(os.fsencode(direct)) <= SOCKET_PATH_LIMIT:
        return direct
    base = Path(os.environ.get("XDG_RUNTIME_DIR") or tempfile.gettempdir())
    private = base / f"huiliu-{os.geteuid()}"
    link = private / hashlib.sha256(os.fsencode(path)).hexdigest()[:16]
    try:
        private.mkdir(mode=0o700, exist_ok=True)
        facts = private.lstat()
        if not stat.S_ISDIR(facts.st_mode) or facts.st_uid != os.geteuid() or stat.S_IMODE(facts.st_mode) & 0o077:
            raise Unsafe(f"{private} is not a private directory of ours; remove it")
        if not link.is_symlink() or link.readlink() != path:
            link.unlink(missing_ok=True)
            link.symlink_to(path)
    except OSError as error:
        raise Unsafe(f"{direct} is too long for a unix socket and {private} is no way out: {error.strerror}") from None
    if len(os.fsencode(link / SOCKET)) > SOCKET_PATH_LIMIT:
        raise Unsafe(
            f"{direct} is longer than the {SOCKET_PATH_LIMIT} bytes of a unix socket's path; shorten store.path"
        )
    return link / SOCKET


def keep_secret(path: Path) -> str:
    """Return the secret in *path*; make a new one where there is none or others could have read it."""
    known = read_secret(path)
    if known and not stat.S_IMODE(path.stat().st_mode) & 0o077:
        return known
    fresh = secrets.token_hex(32)
    draft = path.with_suffix(".new")
    draft.unlink(missing_ok=True)
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(fresh)
    draft.replace(path)
    return fresh


def read_secret(path: Path) -> str:
    """Return the secret in *path*, "" if there is none."""
    try:
        text = path.read_text(encoding="ascii", errors="replace").strip()
    except FileNotFoundError:
        return ""
    return text if re.fullmatch(r"[0-9a-f]{64}", text) else ""


def seize(lock: int) -> bool:
    """Take the open file *lock* for its open file description, which children may share. False if it is held."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def sign(lock: int, pid: int) -> None:
    """Write into a lock that we hold whose it is, for the message to whoever finds it held."""
    os.ftruncate(lock, 0)
    os.pwrite(lock, f"{pid}\n".encode("ascii"), 0)


def fresh_log(path: Path) -> BinaryIO:
    """Open *path* for appending, readable to us alone; what it held before is kept beside it, once."""
    if path.exists():
        path.replace(path.with_name(f"{path.name}.1"))
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600), "ab")


def log_tail(path: Path, lines: int = 20) -> str:
    """Return the last *lines* lines of a log that may be long or missing."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - 16_384))
            text = file.read().decode("utf-8", "replace")
    except FileNotFoundError:
        return "(there is no log)"
    return "\n".join(text.splitlines()[-lines:])
