"""Runs many faults side by side: several labs of each release, each taking the next fault when it is done with one."""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Callable, Iterable
from dataclasses import replace

from tests.lab.errors import LabError
from tests.lab.fault_runner import Result, Runner
from tests.lab.faults import Fault
from tests.lab.lab import Lab

# Most of a fault's time is waiting (for a banner that does not come, for a line in a log), so two cores keep several labs busy.
SIDE_BY_SIDE = int(os.environ.get("MAILDIAG_LABS", "3"))


class Campaign:
    """Faults of both releases under way; `done` is called, in any thread, with each result as it comes."""

    def __init__(
        self,
        chosen: Iterable[tuple[str, Fault]],
        done: Callable[[Result], None],
        *,
        fix: Callable[[str, Fault], bool],
        prove: bool,
        labs: int = SIDE_BY_SIDE,
    ) -> None:
        """`fix` says of each release and fault whether the cure is tried too; `labs` are booted for each release."""
        self._done = done
        self._fix = fix
        self._prove = prove
        self._stop = threading.Event()
        self.problem: BaseException | None = None
        waiting: dict[str, queue.SimpleQueue[Fault]] = {}
        for release, fault in chosen:
            waiting.setdefault(release, queue.SimpleQueue()).put(fault)
        workers = [(release, faults) for release, faults in waiting.items() for _ in range(min(labs, faults.qsize()))]
        self._threads = [threading.Thread(target=self._run, args=worker) for worker in workers]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Begin no further fault, and wait for those under way."""
        self._stop.set()
        self.wait()

    def wait(self) -> None:
        """Wait for the last result."""
        for thread in self._threads:
            thread.join()

    def _run(self, release: str, faults: queue.SimpleQueue[Fault]) -> None:
        try:
            with Lab(release, maildiag=True) as lab:
                runner = Runner(lab, prove=self._prove)
                while not self._stop.is_set():
                    try:
                        fault = faults.get_nowait()
                    except queue.Empty:
                        return
                    runner.fix = self._fix(release, fault)
                    self._done(_twice(runner, fault))
        except (LabError, OSError, RuntimeError) as problem:
            self.problem = problem
            self._stop.set()


def _twice(runner: Runner, fault: Fault) -> Result:
    """The result; a wrong one is tried once more on fresh hosts, and what went wrong the first time is told with it."""
    first = runner.run(fault)
    if not first.complaints:
        return first
    second = runner.run(fault)
    return second if second.complaints else replace(second, at_first=first.complaints)
