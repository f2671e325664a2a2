"""A process that counts one part of a log and hands the counts back."""

from __future__ import annotations

import contextlib
import marshal
import os
import signal
from collections.abc import Callable

from maildiag.logs import state
from maildiag.logs.tally import Tally

Count = Callable[[], Tally]


class Worker:
    """A forked process that counts; its counts come through a pipe in the form in which they are remembered.

    `multiprocessing` does the same and takes longer to import than a core needs for 50,000 lines.
    """

    def __init__(self, count: Count) -> None:
        self._count = count
        self._pipe, theirs = os.pipe()
        self._pid = os.fork()
        if not self._pid:
            os.close(self._pipe)
            _hand_over(count, theirs)
        os.close(theirs)

    def result(self) -> Tally:
        """Return the counts; of a process that died (out of memory) the work is done here."""
        with open(self._pipe, "rb", closefd=False) as pipe:
            data = pipe.read()
        _, status = os.waitpid(self._pid, 0)
        self._pid = 0
        return self._count() if status else state.thawed(marshal.loads(data))

    def end(self) -> None:
        """End the process if its counts are not wanted any more."""
        if self._pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._pid, signal.SIGKILL)
            os.waitpid(self._pid, 0)
        os.close(self._pipe)


def _hand_over(count: Count, pipe: int) -> None:
    """Count, write, and leave without what the parent does at its end; any exception is a status that is not 0."""
    status = 1
    try:
        with open(pipe, "wb") as out:
            out.write(marshal.dumps(state.frozen(count())))
        status = 0
    finally:
        os._exit(status)
