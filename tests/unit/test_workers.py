"""Workers: work never waits for other work, threads are used again, and an exception reaches who waits."""

from __future__ import annotations

import threading

import pytest

from maildiag.workers import Workers


def test_work_that_hangs_keeps_no_other_work_from_being_done() -> None:
    workers, stop = Workers(), threading.Event()
    hung = [workers.start(stop.wait) for _ in range(20)]
    assert workers.start(lambda: "done").result(10) == "done"
    stop.set()
    assert all(each.result(10) for each in hung)


def test_a_thread_that_is_done_takes_the_next_work() -> None:
    workers = Workers()
    used = set()
    for _ in range(50):
        used.add(workers.start(threading.get_ident).result(10))
    assert len(used) < 50


def test_an_exception_is_handed_to_whoever_waits() -> None:
    workers = Workers()
    with pytest.raises(ZeroDivisionError):
        workers.start(lambda: 1 // 0).result(10)
    assert workers.start(lambda: 7).result(10) == 7
