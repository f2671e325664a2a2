"""One fix at a time per host: flock(2) on files that stay, so that a killed holder lets go by dying."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path

_LOOK_AGAIN_S = 0.05


class Locked(Exception):  # noqa: N818 (an answer, not a failure)
    """Another maildiag is changing this host; the message says which process."""


@contextlib.contextmanager
def held(path: Path, wait_s: float = 0.0) -> Iterator[None]:
    """Hold the host's repair lock.

    Raises Locked where another process has it for longer than `wait_s` seconds, OSError where it cannot be made.
    """
    descriptor = _open(path)
    try:
        _take(descriptor, time.monotonic() + wait_s)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(descriptor)


def taken(path: Path) -> bool:
    """True while somebody holds the repair lock."""
    if not path.exists():
        return False
    try:
        with held(path):
            return False
    except Locked:
        return True


@contextlib.contextmanager
def shared_with_children(path: Path) -> Iterator[int]:
    """Hold the lock that the programs of a fix inherit: it outlives a killed maildiag for as long as they run.

    Yields the descriptor that they must be given.
    """
    descriptor = _open(path)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH)
        yield descriptor
    finally:
        os.close(descriptor)


def wait_for_children(path: Path, seconds: float) -> bool:
    """Wait until no program of an interrupted fix runs any more; False where one still does after `seconds`."""
    descriptor = _open(path)
    deadline = time.monotonic() + seconds
    try:
        while True:
            with contextlib.suppress(BlockingIOError):
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return True
            if time.monotonic() >= deadline:
                return False
            time.sleep(_LOOK_AGAIN_S)
    finally:
        os.close(descriptor)


def _open(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)


def _take(descriptor: int, deadline: float) -> None:
    while True:
        try:
            return fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = os.pread(descriptor, 32, 0).decode("ascii", "replace").strip() or "unknown"
            if time.monotonic() >= deadline:
                raise Locked(f"another maildiag (process {owner}) is changing this host") from None
        time.sleep(_LOOK_AGAIN_S)
