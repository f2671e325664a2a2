"""Threads that take one piece of work after another; what hangs in the kernel is left behind together with its thread."""

from __future__ import annotations

import _thread
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

_IDLE_S = 2.0

Work = Callable[[], Any]


class Workers:
    """As many daemon threads as there is work at a time: a new one is started only where none is idle."""

    def __init__(self) -> None:
        self._work: queue.SimpleQueue[tuple[Work, Future[Any]]] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._idle = 0

    def start(self, work: Work) -> Future[Any]:
        """Have the work done at once; its result or exception is in the future."""
        future: Future[Any] = Future()
        with self._lock:
            fresh = self._idle == 0
            if not fresh:
                self._idle -= 1
        self._work.put((work, future))
        if fresh:
            _thread.start_new_thread(self._serve, ())  # Thread.start() would wait until the thread runs
        return future

    def _serve(self) -> None:
        while True:
            try:
                work, future = self._work.get(timeout=_IDLE_S)
            except queue.Empty:
                if self._retires():
                    return
                continue
            _do(work, future)
            del work, future
            with self._lock:
                self._idle += 1

    def _retires(self) -> bool:
        """True where no work counts on this thread; otherwise it is on its way."""
        with self._lock:
            if self._idle == 0:
                return False
            self._idle -= 1
            return True


def _do(work: Work, future: Future[Any]) -> None:
    try:
        future.set_result(work())
    except BaseException as error:  # noqa: BLE001 (handed to whoever waits for the result)
        future.set_exception(error)
