"""The hand: the only thing in maildiag that acts; it belongs to this machine, and a recorded host has none."""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import signal
import subprocess
import tempfile
import threading
from collections.abc import Iterator, Sequence
from typing import IO, TypeVar

from maildiag.hosts.commands import ENVIRONMENT
from maildiag.hosts.local import LocalHost
from maildiag.model import Gap
from maildiag.probes import Probe
from maildiag.programs import PATH
from maildiag.records import dataclass
from maildiag.repair.actions import ACTIONS, GUARDS, Actions, Argv, refusal

A = TypeVar("A")
_MOST_OUTPUT = 64 * 1024
_TALKS_TO_TERMINALS = frozenset({"postfix"})  # postfix(1) tells its errors to a terminal or to the log, never to a pipe


@dataclass(frozen=True, slots=True)
class Ran:
    """A command that was run: its exit status (negative: the signal; None: stopped at the limit) and what it printed."""

    argv: Argv
    status: int | None
    output: str

    @property
    def worked(self) -> bool:
        """True for exit status 0."""
        return self.status == 0


class Hand:
    """Runs the commands of fixes on this machine."""

    def __init__(self, host: LocalHost, actions: Actions = ACTIONS, guards: Actions = GUARDS, limit_s: float = 120.0):
        """`host` is what the hand looks at; `limit_s` bounds each command in seconds."""
        if not isinstance(host, LocalHost):
            raise TypeError("only this machine can be acted on")
        self.host = host
        self.actions = actions
        self.guards = guards
        self._limit_s = limit_s

    @property
    def privileged(self) -> bool:
        """True for root."""
        return os.geteuid() == 0

    def act(self, argv: Argv, keep_open: int) -> Ran:
        """Run a command of a fix; `keep_open` is the descriptor (the children's lock) that it inherits.

        Raises ValueError for a command that is not allowed. A program that is not there has the status 127.
        """
        wrong = refusal(argv, self.actions)
        if wrong:
            raise ValueError(wrong)
        return self._run(argv, (keep_open,), keep_output=True)

    def guard(self, argv: Argv) -> Ran:
        """Run a guard command; doveconf's and dovecot's standard output is thrown away, for it can hold secrets."""
        wrong = refusal(argv, self.guards)
        if wrong:
            raise ValueError(wrong)
        return self._run(argv, (), keep_output=argv[0] not in ("doveconf", "dovecot"))

    def ask(self, probe: Probe[A]) -> A | Gap:
        """Look at the machine."""
        reading = self.host.ask(probe)
        return reading if isinstance(reading, Gap) else reading.value

    def _run(self, argv: Argv, inherited: Sequence[int], keep_output: bool) -> Ran:
        """Wait for the program, not for the end of its output: a daemon that it starts may keep the descriptors."""
        if shutil.which(argv[0], path=PATH) is None:
            return Ran(argv, 127, f"{argv[0]} is not installed")
        with tempfile.TemporaryFile() as output, _errors(argv[0], output) as errors:
            process = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=output if keep_output else subprocess.DEVNULL,
                stderr=errors,
                env=ENVIRONMENT,
                cwd="/",
                umask=0o022,
                start_new_session=True,
                pass_fds=inherited,
            )
            status = _wait(process, self._limit_s)
            return Ran(argv, status, _text(output, status, self._limit_s))


def _wait(process: subprocess.Popen[bytes], limit_s: float) -> int | None:
    try:
        return process.wait(limit_s)
    except subprocess.TimeoutExpired:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        return None


def _text(output: IO[bytes], status: int | None, limit_s: float) -> str:
    output.seek(0)
    text = output.read(_MOST_OUTPUT).decode("utf-8", "replace").replace("\r\n", "\n")
    return text + f"\nstopped after {limit_s:g} s" if status is None else text


@contextlib.contextmanager
def _errors(program: str, output: IO[bytes]) -> Iterator[int]:
    """Where the program's standard error goes: into `output`, for some through a pseudo-terminal."""
    if program not in _TALKS_TO_TERMINALS:
        yield output.fileno()
        return
    ours, theirs = os.openpty()
    over = threading.Event()
    reader = threading.Thread(target=_copy, args=(ours, output, over), daemon=True)
    reader.start()
    try:
        yield theirs
    finally:
        os.close(theirs)
        over.set()
        reader.join()
        os.close(ours)


def _copy(terminal: int, output: IO[bytes], over: threading.Event) -> None:
    """Copy until the last writer is gone, or until the program is and nothing more comes (its daemon may stay)."""
    while True:
        waiting = select.select([terminal], [], [], 0.05)[0]
        if not waiting and over.is_set():
            return
        try:
            data = os.read(terminal, 65536) if waiting else b""
        except OSError:  # EIO: the end of a pseudo-terminal's text
            return
        os.write(output.fileno(), data)
