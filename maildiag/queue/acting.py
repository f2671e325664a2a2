"""Holds, releases, requeues, flushes and deletes selected messages through postsuper(1) and postqueue(1)."""

from __future__ import annotations

import contextlib
import os
import subprocess
import tempfile
from collections.abc import Iterable, Iterator
from enum import StrEnum
from typing import IO, Self

from maildiag.hosts.commands import ENVIRONMENT
from maildiag.queue.entries import Entry
from maildiag.records import dataclass


class Action(StrEnum):
    """What can be done with queued mail."""

    HOLD = "hold"
    RELEASE = "release"
    REQUEUE = "requeue"
    FLUSH = "flush"
    DELETE = "delete"

    @property
    def needs_root(self) -> bool:
        """postsuper(1) is for root; postqueue(1) -i is not."""
        return self is not Action.FLUSH


_POSTSUPER = {Action.HOLD: "-h", Action.RELEASE: "-H", Action.REQUEUE: "-r", Action.DELETE: "-d"}
# What an action can be applied to: holding what is held, or releasing what is not, does nothing.
_FROM = {
    Action.HOLD: frozenset({"incoming", "active", "deferred"}),
    Action.RELEASE: frozenset({"hold"}),
    Action.REQUEUE: frozenset({"incoming", "active", "deferred", "hold"}),
    Action.FLUSH: frozenset({"deferred"}),
    Action.DELETE: frozenset({"incoming", "active", "deferred", "hold"}),
}


def applies(action: Action, entry: Entry) -> bool:
    """True where the action does something to a message in this queue."""
    return entry.queue in _FROM[action]


def argv(action: Action) -> tuple[str, ...]:
    """The command; ids are given to postsuper on its standard input, to `postqueue -i` one at a time."""
    return ("postqueue", "-i", "ID") if action is Action.FLUSH else ("postsuper", _POSTSUPER[action], "-")


class Ids:
    """Queue ids in a nameless file: a million of them take no memory. Close it, or use it as a context."""

    def __init__(self) -> None:
        self._file: IO[str] = tempfile.TemporaryFile("w+", encoding="ascii")  # noqa: SIM115 (lives as long as this)
        self.count = 0

    def add(self, name: str) -> None:
        """Keep one more."""
        self._file.write(f"{name}\n")
        self.count += 1

    def close(self) -> None:
        """Forget them."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __iter__(self) -> Iterator[str]:
        self._file.seek(0)
        for line in self._file:
            yield line.strip()


@dataclass(frozen=True, slots=True)
class Done:
    """How it ended: the program's exit status (the first that is not 0) and its last words."""

    status: int
    words: str


def act(action: Action, ids: Iterable[str]) -> Done:
    """Do it to these messages. A message that has left the queue meanwhile is no error (postsuper(1))."""
    if action is Action.FLUSH:
        return _flush(ids)
    with tempfile.TemporaryFile("w+", errors="replace") as said:  # postsuper tells every message: a pipe would fill
        process = subprocess.Popen(
            argv(action), stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=said, env=ENVIRONMENT, text=True
        )
        assert process.stdin is not None
        with process, contextlib.suppress(BrokenPipeError):
            process.stdin.writelines(f"{each}\n" for each in ids)
        said.seek(max(0, said.seek(0, os.SEEK_END) - 500))
        words = said.read().strip().splitlines()
    return Done(process.returncode, words[-1] if words else "")


def _flush(ids: Iterable[str]) -> Done:
    for each in ids:
        told = subprocess.run(
            ["postqueue", "-i", each],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            env=ENVIRONMENT,
            text=True,
            check=False,
        )
        if told.returncode:
            return Done(told.returncode, told.stderr.strip())
    return Done(0, "")
