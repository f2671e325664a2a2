"""Runs one program to its end, under a time limit, and says readably what went wrong."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from typing import TypeVar

from tests.lab.errors import LabError

POLL_INTERVAL = 0.02
T = TypeVar("T")


def execute(
    argv: Sequence[str],
    *,
    input: str | None = None,
    timeout: float = 30.0,
    check: bool = True,
) -> subprocess.CompletedProcess[str]:
    """Run `argv` to its end and return its exit status and text output.

    Output goes to files, not pipes: a daemon that `argv` leaves behind holds them open without keeping us waiting.
    Raises LabError when the limit of `timeout` seconds passes (the process group is killed), and, with `check`, on a
    non-zero exit.
    """
    with tempfile.TemporaryFile() as stdin, tempfile.TemporaryFile() as stdout, tempfile.TemporaryFile() as stderr:
        if input is not None:
            stdin.write(input.encode())
            stdin.seek(0)
        with subprocess.Popen(
            list(argv),
            stdin=stdin if input is not None else subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
            start_new_session=True,
        ) as process:
            try:
                status: int | None = process.wait(timeout)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
                status = None
            except BaseException:
                os.killpg(process.pid, signal.SIGKILL)
                raise
        stdout.seek(0)
        stderr.seek(0)
        out, err = stdout.read().decode(errors="replace"), stderr.read().decode(errors="replace")
    if status is None:
        raise LabError(f"no end after {timeout:g} s: {shlex.join(argv)}\n{_tail(out)}{_tail(err)}")
    if check and status != 0:
        raise LabError(f"exit {status}: {shlex.join(argv)}\n{_tail(out)}{_tail(err)}")
    return subprocess.CompletedProcess(list(argv), status, out, err)


def wait_for(what: str, probe: Callable[[], T | None], *, timeout: float) -> T:
    """Ask `probe` again and again until it gives something true, and return that.

    Raises LabError naming `what` after `timeout` seconds.
    """
    deadline = time.monotonic() + timeout
    while True:
        answer = probe()
        if answer:
            return answer
        if time.monotonic() > deadline:
            raise LabError(f"waited {timeout:g} s for {what}")
        time.sleep(POLL_INTERVAL)


def _tail(text: str, lines: int = 40) -> str:
    return "".join(f"{line}\n" for line in text.splitlines()[-lines:])
