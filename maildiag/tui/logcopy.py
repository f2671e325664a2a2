"""Logs that are no file of this machine, the journal and those of a recording or another host, as a file in memory."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

from maildiag.facts.mail_log import MOST_BYTES
from maildiag.hosts import Host
from maildiag.hosts.commands import ENVIRONMENT
from maildiag.logs.source import JOURNAL
from maildiag.model import Gap
from maildiag.probes import ReadFile

MOST_LINES = 200_000
FOLLOWED = (*JOURNAL, f"--lines={MOST_LINES}", "--follow")


class LogCopy:
    """A file in memory that goes away with `close`; what fills it is ended then."""

    def __init__(self) -> None:
        self._file = os.memfd_create("mail.log")
        self._filling: subprocess.Popen[bytes] | None = None

    @property
    def path(self) -> Path:
        """Where it can be opened, for as long as it is not closed."""
        return Path(f"/proc/{os.getpid()}/fd/{self._file}")

    def take(self, host: Host, source: str) -> None:
        """Fill it with the end of the host's log `source`. Raises OSError where the host has no answer."""
        got = host.ask(ReadFile(source, most=MOST_BYTES, tail=True))
        if isinstance(got, Gap):
            raise OSError(str(got))
        with os.fdopen(os.dup(self._file), "wb") as file:
            file.write(got.value.text.encode("utf-8", "surrogateescape"))

    def follow(self, command: Sequence[str] = FOLLOWED) -> None:
        """Let a command fill it from now on. Raises OSError where it cannot be started."""
        self._filling = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=self._file, stderr=subprocess.DEVNULL, env=ENVIRONMENT
        )

    def close(self) -> None:
        """End what fills it, and give the memory back."""
        if self._filling is not None:
            self._filling.terminate()
            self._filling.wait()
        os.close(self._file)


def copied(host: Host, local: bool, source: str) -> LogCopy | None:
    """The copy that is needed to show the log; None where `source` is a file of this machine. Raises OSError."""
    if local and source.startswith("/"):
        return None
    found = LogCopy()
    try:
        if local:
            found.follow()
        else:
            found.take(host, source)
    except OSError:
        found.close()
        raise
    return found
