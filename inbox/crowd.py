"""Several worker processes that share the port and the store.

Loading all our code takes seconds, so workers are forked from a process that has loaded it and has done nothing
since: no thread, no event loop, no connection. `Nursery` is that process, `Crowd` says who runs and who stops.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import gc
import json
import logging
import os
import random
import select
import signal
import socket
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NoReturn

log = logging.getLogger(__name__)

RESPAWN = 0.3
STOP_LIMIT = 20.0  # seconds from SIGTERM to SIGKILL; a worker takes half of it at most
STOPS = (signal.SIGTERM, signal.SIGINT)
PR_SET_PDEATHSIG = 1  # prctl(2)

Work = Callable[[int, str], int]


class NoNursery(OSError):
    """The process from which workers are forked has ended."""


class Nursery:
    """The process from which workers are forked, and the socket to it.

    A worker runs *work* with its number and the text of its order, and ends with the code that this returns. Make
    the nursery in the main thread, before anything else is started. It ends when the process that made it ends, and
    tells its workers to stop (SIGTERM).
    """

    def __init__(self, work: Work) -> None:
        ours, theirs = socket.socketpair()
        gc.freeze()  # a collection would copy the pages that all workers share
        sys.stdout.flush()
        if os.fork() == 0:
            ours.close()
            _tend(theirs, work)
        theirs.close()
        self.socket = ours


@dataclass
class Crowd:
    """*count* workers out of *nursery*, each given *order*; one that dies is started again."""

    nursery: Nursery
    order: str = field(repr=False)
    count: int
    _living: dict[int, int] = field(default_factory=dict)  # a worker's number -> its process, 0 while it is ordered
    _stop: asyncio.Event = field(default_factory=asyncio.Event)
    _hung_up: set[int] = field(default_factory=set)  # numbers of those whom a hang-up found unborn

    async def run(self) -> None:
        """Keep the workers running until told to stop; pass SIGHUP on. Raises `NoNursery`."""
        loop = asyncio.get_running_loop()
        for number in STOPS:
            loop.add_signal_handler(number, self._stop.set)
        loop.add_signal_handler(signal.SIGHUP, self._hang_up)
        reader, writer = await asyncio.open_unix_connection(sock=self.nursery.socket)
        for index in range(self.count):
            self._ask(writer, index)
        following = asyncio.create_task(self._follow(reader, writer), name="nursery")
        stopping = asyncio.create_task(self._stop.wait(), name="stop")
        try:
            await asyncio.wait([following, stopping], return_when=asyncio.FIRST_COMPLETED)
            self._signal(signal.SIGTERM)
            if self._living and not (await asyncio.wait([following], timeout=STOP_LIMIT))[0]:
                log.error("workers did not stop within %g s and are killed", STOP_LIMIT)
                self._signal(signal.SIGKILL)
            if self._living:
                await following
        finally:
            following.cancel()
            stopping.cancel()
            writer.close()

    def _ask(self, writer: asyncio.StreamWriter, index: int) -> None:
        if not self._stop.is_set():
            self._living[index] = 0
            writer.write(json.dumps([index, self.order]).encode() + b"\n")

    def _signal(self, number: signal.Signals) -> None:
        for pid in filter(None, self._living.values()):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def _hang_up(self) -> None:
        self._hung_up.update(index for index, pid in self._living.items() if not pid)
        self._signal(signal.SIGHUP)

    async def _follow(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Take note of births and deaths until all have stopped. Raises `NoNursery`."""
        while self._living or not self._stop.is_set():
            line = await reader.readline()
            if not line:
                raise NoNursery("the process that starts the workers has ended")
            event, index, number = json.loads(line)
            if event == "born":
                self._living[index] = number
                if self._stop.is_set():
                    self._signal(signal.SIGTERM)
                elif index in self._hung_up:
                    self._hung_up.discard(index)
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(number, signal.SIGHUP)
                continue
            del self._living[index]
            if not self._stop.is_set():
                log.error("worker %d ended with code %d; starting it again", index, number)
                asyncio.get_running_loop().call_later(RESPAWN, self._ask, writer, index)


def _tend(hub: socket.socket, work: Work) -> NoReturn:
    """Fork a worker for every order, tell of births and deaths, and end with the hub."""
    for number in (*STOPS, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # a terminal's Ctrl-C reaches everybody; the hub says who stops when
    signal.pthread_sigmask(signal.SIG_BLOCK, STOPS)  # what reaches a worker at its birth waits until it can obey
    bell, clapper = os.pipe()
    os.set_blocking(bell, False)
    os.set_blocking(clapper, False)
    signal.set_wakeup_fd(clapper)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    living: dict[int, int] = {}
    rest = b""
    while True:
        ready, _, _ = select.select([hub.fileno(), bell], [], [])
        if bell in ready:
            os.read(bell, 512)
        if hub.fileno() in ready:
            received = hub.recv(1 << 16)
            if not received:
                break
            *orders, rest = (rest + received).split(b"\n")
            for index, order in map(json.loads, orders):
                nursery = os.getpid()
                pid = os.fork()
                if pid == 0:
                    hub.close()
                    os.close(bell)
                    os.close(clapper)
                    _live(work, index, order, nursery)
                living[pid] = index
                _tell(hub, "born", index, pid)
        while living:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if not pid:
                break
            _tell(hub, "died", living.pop(pid), os.waitstatus_to_exitcode(status))
    for pid in living:
        os.kill(pid, signal.SIGTERM)
    os._exit(0)


def _tell(hub: socket.socket, *event: str | int) -> None:
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # the hub is gone, as the next look will show
        hub.sendall(json.dumps(event).encode() + b"\n")


def _live(work: Work, index: int, order: str, nursery: int) -> NoReturn:
    """Be a worker: as a process that has just been started, and told to stop when the nursery dies.

    SIGHUP stays ignored until *work* takes it: a worker that begins has nothing to load again.
    """
    code = 1
    try:
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGTERM, signal.SIGCHLD):
            signal.signal(number, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        if sys.platform == "linux":
            ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPS)
        random.seed()
        if os.getppid() == nursery:  # else it died before its death could be heard
            code = work(index, order)
    except BaseException:  # noqa: BLE001  # nothing may return into the nursery's own code
        traceback.print_exc()
    finally:
        with contextlib.suppress(OSError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)
