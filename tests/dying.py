"""A process that dies in the middle of its work, as seen from the store."""

from __future__ import annotations

from collections.abc import Coroutine, Sequence
from typing import Any

from inbox.store import Script, Store, Word


class Died(BaseException):
    """The process is gone in the middle of its work."""


class Dying(Store):
    """A process that dies at its *at*-th word to the store: before it is said, or when it is said and not yet heard."""

    def __init__(self, store: Store, at: int, *, heard: bool) -> None:
        self.real, self._at, self._heard, self.count = store, at, heard, 0

    async def _count(self, work: Coroutine[Any, Any, Any]) -> Any:
        self.count += 1
        if self.count == self._at and not self._heard:
            work.close()
            raise Died
        answer = await work
        if self.count == self._at:
            raise Died
        return answer

    async def do(self, tag: str, *command: Word) -> Any:
        return await self._count(self.real.do(tag, *command))

    def run(
        self, script: Script, tag: str, keys: Sequence[str], arguments: Sequence[Word] = ()
    ) -> Coroutine[Any, Any, Any]:
        return self._count(self.real.run(script, tag, keys, arguments))

    async def each(self, commands: Sequence[tuple[str, Sequence[Word]]]) -> list[Any]:
        return list(await self._count(self.real.each(commands)))
