"""Keeps a copy of messages before they are deleted: what postcat(1) shows of each, in files of their own."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path

from maildiag.hosts.commands import ENVIRONMENT

BATCH = 50
_BEGIN = re.compile(rb"\*\*\* ENVELOPE RECORDS (?:\S*/)?(?P<id>[0-9A-Za-z]+) \*\*\*\n")


class NotSavedError(Exception):
    """A message could not be copied; the message says which and why. It must not be deleted then."""


def save(ids: Iterable[str], directory: Path) -> Iterator[str]:
    """Write each message to DIRECTORY/ID.txt (mode 600, directory 700) and yield its id when it is on disk.

    A message that has left the queue meanwhile is passed over. Raises NotSavedError where copying fails.
    """
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    waiting = iter(ids)
    while batch := list(islice(waiting, BATCH)):
        yield from _save_batch(batch, directory)


def _save_batch(batch: Sequence[str], directory: Path) -> list[str]:
    told = subprocess.run(
        ["postcat", "-q", *batch], stdin=subprocess.DEVNULL, capture_output=True, env=ENVIRONMENT, check=False
    )
    if told.returncode and not told.stdout:
        if len(batch) == 1:
            return _gone(batch[0], told.stderr.decode("utf-8", "replace").strip())
        return [each for one in batch for each in _save_batch([one], directory)]
    parts = split(told.stdout, batch)
    for name, text in parts.items():
        _write(directory / f"{name}.txt", text)
    missing = [each for each in batch if each not in parts]
    if missing and len(batch) > 1:
        return [*parts, *(each for one in missing for each in _save_batch([one], directory))]
    return list(parts)


def _gone(name: str, words: str) -> list[str]:
    if "No such file or directory" in words:
        return []
    raise NotSavedError(f"{name}: {words or 'postcat printed nothing'}")


def split(text: bytes, wanted: Sequence[str]) -> dict[str, bytes]:
    """What postcat printed of several messages, by id. A line in a message that looks like postcat's own counts only where
    it names the next id that was asked for.
    """
    found: dict[str, bytes] = {}
    order = list(wanted)
    start, name = 0, ""
    for match in _BEGIN.finditer(text):
        told = match["id"].decode()
        if told not in order or (match.start() and text[match.start() - 1 : match.start()] != b"\n"):
            continue
        if name:
            found[name] = text[start : match.start()]
        start, name = match.start(), told
        del order[: order.index(told) + 1]
    if name:
        found[name] = text[start:]
    return found


def _write(path: Path, text: bytes) -> None:
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise NotSavedError(f"{path}: {error.strerror}") from error
    with os.fdopen(descriptor, "wb") as file:
        try:
            file.write(text)
            file.flush()
            os.fsync(descriptor)
        except OSError as error:
            raise NotSavedError(f"{path}: {error.strerror}") from error
