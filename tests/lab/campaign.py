"""Runs many faults side by side: several labs of each release, each taking the next job when it is done with one."""

from __future__ import annotations

import os
import queue
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import replace

from tests.lab.errors import LabError
from tests.lab.fault_runner import Result, Runner
from tests.lab.faults import Fault
from tests.lab.lab import Lab
from tests.lab.pairs import Pair

# A fault waits now and then (for a banner that does not come, for a line in a log): with three, two cores are hardly ever idle.
SIDE_BY_SIDE = int(os.environ.get("MAILDIAG_LABS", "3"))

Job = Callable[[Runner], Result]
"""One thing to do on fresh hosts."""


def single(fault: Fault, *, fix: bool, prove: bool) -> Job:
    """Break by this fault, look, judge; with `fix` also cure and undo."""

    def work(runner: Runner) -> Result:
        runner.fix, runner.prove = fix, prove
        return runner.run(fault)

    return work


def double(pair: Pair) -> Job:
    """Break by both faults, look, judge."""
    return lambda runner: runner.run_pair(pair)


class Campaign:
    """Jobs on both releases under way; `done` is called, in any thread, with each result as it comes."""

    def __init__(
        self,
        chosen: Iterable[tuple[str, Job]],
        done: Callable[[Result], None],
        labs: int = SIDE_BY_SIDE,
        *,
        spare: Iterable[tuple[str, Job]] = (),
        spare_until: float = 0.0,
    ) -> None:
        """`chosen` are the jobs with the release each is for; `labs` are booted for each release. The `spare` ones are begun
        when no other is left for their release, and only before `spare_until` (seconds since the epoch)."""
        self._done = done
        self._stop = threading.Event()
        self._spare_until = spare_until
        self.problem: BaseException | None = None
        self._waiting, self._spare = _queues(chosen), _queues(spare)
        self._threads = [
            threading.Thread(target=self._run, args=(release,))
            for release in {**self._waiting, **self._spare}
            for _ in range(
                min(labs, sum(each[release].qsize() for each in (self._waiting, self._spare) if release in each))
            )
        ]
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

    @property
    def over(self) -> bool:
        """True when no further result will come."""
        return not any(thread.is_alive() for thread in self._threads)

    def _run(self, release: str) -> None:
        try:
            with Lab(release, maildiag=True) as lab:
                runner = Runner(lab)
                while not self._stop.is_set():
                    job = _next(self._waiting.get(release))
                    if job is None and time.time() < self._spare_until:
                        job = _next(self._spare.get(release))
                    if job is None:
                        return
                    self._done(_twice(runner, job))
        except (LabError, OSError, RuntimeError) as problem:
            self.problem = problem
            self._stop.set()


def _queues(chosen: Iterable[tuple[str, Job]]) -> dict[str, queue.SimpleQueue[Job]]:
    waiting: dict[str, queue.SimpleQueue[Job]] = {}
    for release, job in chosen:
        waiting.setdefault(release, queue.SimpleQueue()).put(job)
    return waiting


def _next(jobs: queue.SimpleQueue[Job] | None) -> Job | None:
    try:
        return jobs.get_nowait() if jobs else None
    except queue.Empty:
        return None


def _twice(runner: Runner, job: Job) -> Result:
    """The result; a wrong one is tried once more on fresh hosts, and what went wrong the first time is told with it."""
    first = job(runner)
    if not first.complaints or first.fault.open:
        return first
    runner.distrust()
    second = job(runner)
    return second if second.complaints else replace(second, at_first=first.complaints)
