"""Feels the pulse of the event loop: how long it was kept from going round by work of this process."""

from __future__ import annotations

import asyncio
import os
import time
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from types import TracebackType

EVERY_S = 0.01
_TOLD = Path("/proc/thread-self/schedstat")


class Pulse(AbstractAsyncContextManager["Pulse"]):
    """Beats every 10 ms while it is open; opened again, it adds to what was felt before.

    What other programs on a busy machine take from us is not the application's doing, so a stall is the smaller of two upper
    bounds: the processor time of this process, all its threads together, and the delay without the time for which the
    loop's thread was ready and the kernel let others run (proc(5), schedstat; Linux Documentation/scheduler/sched-stats).
    """

    def __init__(self) -> None:
        self.stalls: list[float] = []
        self._waits = -1
        self._task: asyncio.Task[None] | None = None

    async def _beat(self) -> None:
        while True:
            used, waited, began = time.process_time(), self._kept_waiting(), time.monotonic()
            await asyncio.sleep(EVERY_S)
            late = time.monotonic() - began - (self._kept_waiting() - waited)
            self.stalls.append(max(0.0, min(late, time.process_time() - used) - EVERY_S))

    async def __aenter__(self) -> Pulse:
        self._waits = os.open(_TOLD, os.O_RDONLY) if _TOLD.exists() else -1
        self._task = asyncio.create_task(self._beat())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._task is not None
        self._task.cancel()
        if self._waits >= 0:
            os.close(self._waits)

    def _kept_waiting(self) -> float:
        """Seconds for which this thread was ready to run and did not; in one system call, for each lets other threads go first."""
        return int(os.pread(self._waits, 100, 0).split()[1]) / 1e9 if self._waits >= 0 else 0.0

    def below(self, share: float) -> float:
        """What this share of all stalls stays below, in seconds: one pause of a machine that others share is no habit of ours."""
        ranked = sorted(self.stalls)
        return ranked[min(len(ranked) - 1, int(len(ranked) * share))] if ranked else 0.0

    @property
    def longest(self) -> float:
        """The longest stall in seconds."""
        return max(self.stalls, default=0.0)


def unit() -> float:
    """Seconds of processor time that this machine needs just now for a fixed piece of Python; a millisecond or two."""
    began = time.thread_time()
    words: dict[str, int] = {}
    for number in range(5_000):
        word = str(number % 97)
        words[word] = words.get(word, 0) + len(word)
    return time.thread_time() - began
