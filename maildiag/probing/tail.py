"""New lines of the mail log, as they are written: from a file that may be rotated, or from the journal."""

from __future__ import annotations

import contextlib
import os
import subprocess
from pathlib import Path
from typing import Protocol

from maildiag.hosts.commands import ENVIRONMENT


class Tail(Protocol):
    """Where new log lines come from."""

    def lines(self) -> list[str]:
        """The lines written since the last call; raises OSError where the log cannot be read."""
        ...


class FileTail:
    """A log file from its present end on."""

    def __init__(self, path: Path) -> None:
        """Raises OSError where the file cannot be read."""
        self._path = path
        self._rest = b""
        with path.open("rb") as file:
            self._place = file.seek(0, os.SEEK_END)
            self._inode = os.fstat(file.fileno()).st_ino

    def lines(self) -> list[str]:
        """The whole lines that are new; a file that was rotated or cut is read from its start."""
        with self._path.open("rb") as file:
            info = os.fstat(file.fileno())
            if info.st_ino != self._inode or info.st_size < self._place:
                self._place, self._inode, self._rest = 0, info.st_ino, b""
            file.seek(self._place)
            data = file.read()
            self._place += len(data)
        *whole, self._rest = (self._rest + data).split(b"\n")
        return [line.decode("utf-8", "surrogateescape") for line in whole]


class JournalTail:
    """The journal from now on, polled with a cursor (journalctl(1))."""

    def __init__(self) -> None:
        """Raises OSError where the journal cannot be read."""
        self._cursor = self._ask("-n", "0")[1]

    def lines(self) -> list[str]:
        """The entries after the last cursor, in the short-iso-precise form."""
        found, cursor = self._ask("--after-cursor", self._cursor) if self._cursor else self._ask("-n", "200")
        self._cursor = cursor or self._cursor
        return found

    def _ask(self, *arguments: str) -> tuple[list[str], str]:
        argv = ["journalctl", "-q", "--no-pager", "-o", "short-iso-precise", "--show-cursor", *arguments]
        try:
            done = subprocess.run(argv, capture_output=True, env=ENVIRONMENT, timeout=10, check=False)
        except subprocess.TimeoutExpired as error:
            raise OSError("journalctl timed out") from error
        if done.returncode:
            raise OSError(done.stderr.decode("utf-8", "replace").strip() or "journalctl failed")
        text = done.stdout.decode("utf-8", "surrogateescape").splitlines()
        cursor = next((line[11:] for line in text if line.startswith("-- cursor: ")), "")
        return [line for line in text if not line.startswith("-- ")], cursor


def open_tail(log_source: str) -> Tail | None:
    """The tail of the host's log source as the report names it (a path, or "journal"); None where it cannot be read."""
    with contextlib.suppress(OSError):
        return FileTail(Path(log_source)) if log_source.startswith("/") else JournalTail()
    return None
