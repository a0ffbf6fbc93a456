"""Several worker processes that share the port and the store."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from inbox.valkey import death_signal

log = logging.getLogger(__name__)

RESPAWN = 0.3


@dataclass
class Crowd:
    """*count* processes of *command*; one that dies is started again. "{index}" in *command* is a worker's number."""

    command: Sequence[str]
    environment: Mapping[str, str]
    count: int

    async def run(self) -> None:
        """Keep the workers running until told to stop; pass SIGHUP on."""
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        running_now: dict[int, asyncio.subprocess.Process] = {}
        loop.add_signal_handler(signal.SIGHUP, lambda: self._hang_up(running_now))
        keepers = [asyncio.create_task(self._keep(index, running_now, stop)) for index in range(self.count)]
        await stop.wait()
        for process in running_now.values():
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
        await asyncio.gather(*keepers)

    @staticmethod
    def _hang_up(running_now: dict[int, asyncio.subprocess.Process]) -> None:
        for process in running_now.values():
            process.send_signal(signal.SIGHUP)

    async def _keep(self, index: int, running_now: dict[int, asyncio.subprocess.Process], stop: asyncio.Event) -> None:
        """Start worker *index* whenever it is not running. The kernel ends it when this process dies."""
        arguments = [part.replace("{index}", str(index)) for part in self.command]
        while not stop.is_set():
            process = await asyncio.create_subprocess_exec(*death_signal(), *arguments, env=self.environment)
            running_now[index] = process
            code = await process.wait()
            del running_now[index]
            if not stop.is_set():
                log.error("worker %d ended with code %s; starting it again", index, code)
                await asyncio.sleep(RESPAWN)
