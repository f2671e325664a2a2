"""The queue of this host as a stream: postqueue(1) runs beside us, and no more than a line of it is kept."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator

from maildiag.hosts.commands import ENVIRONMENT
from maildiag.logs.times import local_now
from maildiag.queue.entries import Entry, read_json, read_text


class QueueError(Exception):
    """The queue cannot be read; the message is postqueue's own, without its name."""


def stream() -> Iterator[Entry | None]:
    """Every queued message, as postqueue lists them. Raises QueueError at the end where postqueue failed."""
    try:
        yield from _listed("-j")
    except _OldPostfixError:
        yield from _listed("-p")


class _OldPostfixError(Exception):
    """Postfix before 3.1: postqueue knows no -j."""


def _listed(option: str) -> Iterator[Entry | None]:
    try:
        process = subprocess.Popen(
            ["postqueue", option],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=ENVIRONMENT,
            encoding="utf-8",
            errors="surrogateescape",
        )
    except FileNotFoundError as error:
        raise QueueError("postqueue is not installed") from error
    assert process.stdout is not None
    with process:
        try:
            yield from read_json(process.stdout) if option == "-j" else read_text(process.stdout, local_now())
        except GeneratorExit:
            process.terminate()
            raise
        _verdict(process, option)


def _verdict(process: subprocess.Popen[str], option: str) -> None:
    assert process.stderr is not None
    words = process.stderr.read().strip()
    if process.wait() == 0:
        return
    if option == "-j" and ("invalid option" in words or "usage:" in words):
        raise _OldPostfixError
    last = words.splitlines()[-1] if words else f"postqueue ended with status {process.returncode}"
    raise QueueError(last.removeprefix("postqueue: ").removeprefix("fatal: "))
