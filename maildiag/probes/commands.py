"""Programs to run, and what they printed."""

from __future__ import annotations

import shlex

from maildiag.probes.probe import Probe
from maildiag.records import dataclass

MOST = 8 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class CommandResult:
    """What a program printed and its exit status. A non-zero exit is an answer; a program that a signal ended gave none."""

    status: int
    stdout: str
    stderr: str
    truncated: bool = False

    @property
    def text(self) -> str:
        """Standard output and standard error, in this order."""
        return self.stdout + self.stderr


@dataclass(frozen=True, slots=True)
class Command(Probe[CommandResult]):
    """Run a program of `maildiag.programs.PROGRAMS`, never through a shell.

    `tty` puts standard error on a pseudo-terminal: postfix(1) tells its errors to nothing else. `user` runs it as that
    account where maildiag is root, and otherwise as the caller. `stdin` is given to it (default: nothing). Output past
    `most` bytes a stream is no answer, unless `most` was chosen: then it is cut and `truncated` set. With `discard_stdout` what it prints on standard output is never
    read, because it may hold secrets; exit status and standard error are the answer.
    """

    argv: tuple[str, ...]
    timeout: float = 5.0
    tty: bool = False
    user: str = ""
    stdin: str = ""
    most: int = MOST
    discard_stdout: bool = False

    @property
    def partial(self) -> bool:
        """True where the beginning of a long output is of use."""
        return self.most != MOST

    @property
    def source(self) -> str:
        return shlex.join(self.argv)

    @property
    def limit_s(self) -> float:
        return self.timeout


def command(*argv: str, timeout: float = 5.0, tty: bool = False, user: str = "", stdin: str = "") -> Command:
    """`Command` with the arguments written out: `command("postconf", "-n")`."""
    return Command(tuple(argv), timeout, tty, user, stdin)
