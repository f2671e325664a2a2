"""Finds the test message where it waits before the queue: in maildrop, for a Postfix that does not run (pickup(8))."""

from __future__ import annotations

import contextlib
import subprocess
from pathlib import Path

from maildiag.hosts.commands import ENVIRONMENT

_MOST_BYTES = 1 << 20


def in_maildrop(message_id: str) -> list[str]:
    """The names of the files in maildrop that hold this Message-ID; none where the directory cannot be read."""
    with contextlib.suppress(OSError):
        return [each.name for each in (_queue_directory() / "maildrop").iterdir() if _holds(each, message_id.encode())]
    return []


def _holds(path: Path, wanted: bytes) -> bool:
    with contextlib.suppress(OSError), path.open("rb") as file:
        return wanted in file.read(_MOST_BYTES)
    return False


def _queue_directory() -> Path:
    """Raises OSError where postconf(1) cannot tell it."""
    argv = ["postconf", "-h", "queue_directory"]
    try:
        told = subprocess.run(argv, capture_output=True, env=ENVIRONMENT, timeout=10, check=False).stdout
    except subprocess.TimeoutExpired as error:
        raise OSError("postconf timed out") from error
    return Path(told.decode("utf-8", "replace").strip() or "/var/spool/postfix")
