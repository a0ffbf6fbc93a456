"""The configuration while the hub runs: changed files are picked up, and a bad one never replaces a good one."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import AsyncGenerator, Callable, Collection, Iterator, Mapping
from contextlib import aclosing
from functools import partial
from pathlib import Path
from typing import Any

from watchfiles import awatch

from config import channels, content
from config.faults import Fault
from config.loading import Attempt, Loaded, Prove, attempt

DEBOUNCE = 200
STEADY = 5
"""Times that files are read again because they changed while they were being read."""
LOOK_EVERY = 1000
"""Milliseconds between looks at the files themselves, for file systems that report no changes."""

AT_START = ("public_url", "store", "http", "attachments")
"""What a hub takes from its configuration when it starts, and not again."""

Stamp = tuple[int, int, int] | None


class Live:
    """Holds the last good configuration, as `current`, and replaces it when its files change to another good one.

    *last_error* says what is wrong with the files as they are now, nothing if they are in use. *last_loaded_at* is
    when `current` was read, in milliseconds since 1970 UTC by *now*. *on_change* is called with every new
    configuration, *on_fault* with the faults of every bad one; both from the task that reloads.
    """

    def __init__(
        self,
        first: Loaded,
        kinds: channels.Kinds,
        *,
        now: Callable[[], int],
        prove: Prove | None = None,
        environ: Mapping[str, str] | None = None,
        on_change: Callable[[Loaded], None] = lambda _: None,
        on_fault: Callable[[list[Fault]], None] = lambda _: None,
    ) -> None:
        self.current = self._first = first
        self.last_error: list[Fault] = []
        self.last_loaded_at = now()
        self._attempt = partial(attempt, first.path, kinds, environ=environ, prove=prove)
        self._now = now
        self._on_change = on_change
        self._on_fault = on_fault
        self._files = dict(first.files)
        self._reloading = asyncio.Lock()

    async def reload(self) -> bool:
        """Read everything again, as SIGHUP asks; tell whether it is good and in use now."""
        async with self._reloading:
            return self._use(await asyncio.to_thread(self._steady), always=True)

    @property
    def postponed(self) -> list[str]:
        """The paths of what has changed since the start and is used from the next one on."""
        before, now = (one.settings.model_dump(include=set(AT_START)) for one in (self._first, self.current))
        return sorted(_differing(before, now))

    def imagine(self, instead: Mapping[Path, bytes]) -> Attempt:
        """Return what would come of loading with other contents of route files; nothing changes by it."""
        return self._attempt(instead=instead)

    async def watch(self) -> None:
        """Follow the files until cancelled; a change is in use, or refused, within two seconds."""
        seen: dict[Path, Stamp] = {}
        while True:
            watched = frozenset(self._files)
            async with aclosing(_changes(watched)) as changes:
                async for reported in changes:
                    stamps = await asyncio.to_thread(_stamps, self._files)
                    if reported or stamps != seen:
                        # Taken before the files are read: what changes meanwhile is seen as a change next time.
                        seen = stamps
                        await self._catch_up()
                    if watched != self._files.keys():
                        break

    async def _catch_up(self) -> None:
        async with self._reloading:
            if await asyncio.to_thread(changed, self._files):
                self._use(await asyncio.to_thread(self._steady), always=False)

    def _steady(self) -> Attempt:
        """Read all files as they were at one moment: half of a change to several files would be neither old nor new."""
        for _ in range(STEADY):
            result = self._attempt()
            if not changed(result.files):
                break
        return result

    def _use(self, result: Attempt, *, always: bool) -> bool:
        self._files = dict(result.files)
        self.last_error = list(result.faults)
        if result.loaded is None:
            self._on_fault(list(result.faults))
            return False
        if always or result.loaded.files != self.current.files:
            self.current = result.loaded
            self.last_loaded_at = self._now()
            self._on_change(result.loaded)
        return True


def _differing(before: Mapping[str, Any], now: Mapping[str, Any], above: str = "") -> Iterator[str]:
    """Yield the paths of the values that differ between two mappings with the same keys."""
    for name, value in now.items():
        if isinstance(value, Mapping):
            yield from _differing(before[name], value, f"{above}{name}.")
        elif value != before[name]:
            yield f"{above}{name}"


async def _changes(files: Collection[Path]) -> AsyncGenerator[bool]:
    """Yield true whenever something changed beside *files*, false from time to time in any case."""
    yield True
    try:
        async for changes in awatch(
            *await asyncio.to_thread(_directories, files),
            watch_filter=None,
            debounce=DEBOUNCE,
            rust_timeout=LOOK_EVERY,
            yield_on_timeout=True,
            ignore_permission_denied=True,
            recursive=False,
        ):
            yield bool(changes)
    except OSError:
        # No watch is to be had (a limit of the kernel, a directory that went away): looking still works.
        await asyncio.sleep(LOOK_EVERY / 1000)


def _directories(files: Collection[Path]) -> list[Path]:
    """Return what to watch: directories, also those that linked files really lie in.

    Editors replace files, and Kubernetes swaps the `..data` link beside them: a watch on a file would be lost.
    """
    places = {place for file in files for place in (file.parent, Path(os.path.realpath(file)).parent)}
    return [place for place in sorted(places) if place.is_dir()]


def _stamps(files: Mapping[Path, str]) -> dict[Path, Stamp]:
    """Return what shows cheaply whether one of *files* may have changed."""
    return {file: _stamp(file) for file in files}


def _stamp(file: Path) -> Stamp:
    try:
        status = file.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino


def changed(files: Mapping[Path, str]) -> bool:
    """Tell whether the content of one of *files* differs from its SHA-256, "" being that of an unreadable file."""
    return any(_sha256(file) != sha256 for file, sha256 in files.items())


def _sha256(file: Path) -> str:
    try:
        raw, _ = content.read(file, content.LARGEST + 1)
    except (OSError, ValueError):
        return ""
    return hashlib.sha256(raw).hexdigest()
