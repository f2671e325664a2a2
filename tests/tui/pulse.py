"""Feels the pulse of the event loop: how long it was kept from going round by work of this process."""

from __future__ import annotations

import asyncio
import time
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from types import TracebackType

EVERY_S = 0.01


class Pulse(AbstractAsyncContextManager["Pulse"]):
    """Beats every 10 ms while it is open.

    What other programs on a busy machine take from us is not the application's doing, so a stall is the smaller of two upper
    bounds: the processor time of this process, all its threads together, and the delay without the time for which the
    loop's thread was ready and the kernel let others run (proc(5), schedstat; Linux Documentation/scheduler/sched-stats).
    """

    def __init__(self) -> None:
        self.stalls: list[float] = []
        self._task: asyncio.Task[None] | None = None

    async def _beat(self) -> None:
        while True:
            used, waited, began = time.process_time(), _kept_waiting(), time.monotonic()
            await asyncio.sleep(EVERY_S)
            late = time.monotonic() - began - (_kept_waiting() - waited)
            self.stalls.append(max(0.0, min(late, time.process_time() - used) - EVERY_S))

    async def __aenter__(self) -> Pulse:
        self._task = asyncio.create_task(self._beat())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._task is not None
        self._task.cancel()

    @property
    def usual(self) -> float:
        """What 98 of 100 stalls stay below, in seconds: one pause of a machine that other guests share is no habit of ours."""
        ranked = sorted(self.stalls)
        return ranked[int(len(ranked) * 0.98)] if ranked else 0.0

    @property
    def longest(self) -> float:
        """The longest stall in seconds."""
        return max(self.stalls, default=0.0)


def _kept_waiting() -> float:
    """Seconds for which this thread was ready to run and did not."""
    try:
        return int(Path("/proc/thread-self/schedstat").read_text(encoding="ascii").split()[1]) / 1e9
    except (OSError, IndexError):
        return 0.0
