"""What the tests have done in the process beside the screen: its functions are found there by their names."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from enum import StrEnum

from maildiag.tui.beside import at_end


class Odd(StrEnum):
    """What only a plug-in knows."""

    WORD = "a word of its own"


def squares(most: int, _: threading.Event) -> Iterator[int]:
    for number in range(most):
        print("printed by mistake", flush=True)
        yield number * number


def told_of(_: threading.Event) -> Iterator[object]:
    yield Odd.WORD
    yield {"where": [Odd.WORD]}


def fails(_: threading.Event) -> Iterator[int]:
    yield 1
    raise LookupError("no such thing")


def killed(_: threading.Event) -> Iterator[int]:
    yield os.getpid()
    time.sleep(0.2)
    os.kill(os.getpid(), signal.SIGKILL)


def complains(_: threading.Event) -> Iterator[int]:
    os.write(2, b"a last word\n")
    os._exit(3)
    yield 0


def waits(_: threading.Event) -> Iterator[int]:
    """Never ends, and has a program under way."""
    program = subprocess.Popen(["sleep", "300"], start_new_session=True)
    at_end(program.kill)
    yield os.getpid()
    yield program.pid
    time.sleep(300)


def until_cancelled(path: str, cancelled: threading.Event) -> Iterator[str]:
    """Notes at this path that it was cancelled."""
    yield "waiting"
    cancelled.wait(60)
    with open(path, "w") as file:  # noqa: PTH123 (two lines)
        file.write("cancelled")
    yield "cancelled"
