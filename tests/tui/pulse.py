"""Feels the pulse of the event loop: how long it was kept from going round by work of this process."""

from __future__ import annotations

import asyncio
import time
from contextlib import AbstractAsyncContextManager
from types import TracebackType

EVERY_S = 0.01


class Pulse(AbstractAsyncContextManager["Pulse"]):
    """Beats every 10 ms while it is open.

    A stall is measured in processor time of this process, all its threads together: what other programs on a busy machine
    take from us is not the application's doing, and what a thread of ours takes from the loop is.
    """

    def __init__(self) -> None:
        self.stalls: list[float] = []
        self._task: asyncio.Task[None] | None = None

    async def _beat(self) -> None:
        while True:
            before = time.process_time()
            await asyncio.sleep(EVERY_S)
            self.stalls.append(max(0.0, time.process_time() - before - EVERY_S))

    async def __aenter__(self) -> Pulse:
        self._task = asyncio.create_task(self._beat())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._task is not None
        self._task.cancel()

    @property
    def longest(self) -> float:
        """The longest stall in seconds."""
        return max(self.stalls, default=0.0)
