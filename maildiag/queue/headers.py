"""The envelope and the headers of one queued message, as postcat(1) shows them; never its body."""

from __future__ import annotations

import subprocess

from maildiag.hosts.commands import ENVIRONMENT
from maildiag.queue.reading import QueueError

LIMIT_S = 10.0
_MOST = 65536


def headers(name: str) -> str:
    """What `postcat -eh -q NAME` prints, at most 64 KiB of it. Raises QueueError where it cannot be had."""
    command = ["postcat", "-eh", "-q", name]
    try:
        told = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, env=ENVIRONMENT, timeout=LIMIT_S, check=False
        )
    except FileNotFoundError as error:
        raise QueueError("postcat is not installed") from error
    except subprocess.TimeoutExpired as error:
        raise QueueError(f"postcat did not end within {LIMIT_S:g} s") from error
    if told.returncode:
        words = told.stderr.decode("utf-8", "replace").strip()
        raise QueueError(
            words.removeprefix("postcat: ").removeprefix("fatal: ") or f"postcat ended with status {told.returncode}"
        )
    return told.stdout[:_MOST].decode("utf-8", "surrogateescape")
