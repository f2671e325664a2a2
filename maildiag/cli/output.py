"""Writes a command's result: to standard output, or to a file that appears whole or not at all."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from maildiag.cli.errors import OutputError, UsageError


@contextlib.contextmanager
def result(path: Path | None) -> Iterator[TextIO]:
    """Where the result goes. A file is written beside its place, synced and renamed; on an error nothing is left.

    Raises UsageError where the file's directory cannot be written, OutputError where writing fails; BrokenPipeError
    passes: a reader that went away is no error of ours.
    """
    try:
        if path is None:
            yield _standard_output()
        else:
            with _replaced(path) as file:
                yield file
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OutputError(f"{path or 'standard output'}: {error.strerror or error}") from error


def _standard_output() -> TextIO:
    if sys.stdout is None:
        raise OutputError("standard output is closed; -o FILE writes to a file")
    return sys.stdout


@contextlib.contextmanager
def _replaced(path: Path) -> Iterator[TextIO]:
    if path.is_dir():
        raise UsageError(f"cannot write {path}: it is a directory")
    try:
        number, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}") from error
    temporary = Path(name)
    try:
        with os.fdopen(number, "w", encoding="utf-8", errors="backslashreplace") as file:
            yield file
            file.flush()
            os.fchmod(file.fileno(), _mode(path))
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _mode(path: Path) -> int:
    """The mode of the file that is replaced; else what the caller's umask leaves of 0666."""
    with contextlib.suppress(OSError):
        return path.stat().st_mode & 0o777
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask
