"""Where log lines come from: files plain and compressed, standard input, the journal."""

# pathlib takes longer to import than the search through a hundred thousand lines.
# ruff: noqa: PTH113, PTH123, PTH202

from __future__ import annotations

import contextlib
import fcntl
import os
import sys
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import IO, Literal, NamedTuple, cast

from maildiag.logs.lines import parse_line

# Small enough that the lines of a block stay in the processor's cache until they are counted.
BLOCK = 256 << 10
Packing = Literal["plain", "gz", "bz2", "xz", "zst"]

_MAGIC: tuple[tuple[bytes, Packing], ...] = (
    (b"\x1f\x8b", "gz"), (b"BZh", "bz2"), (b"\xfd7zXZ\x00", "xz"), (b"\x28\xb5\x2f\xfd", "zst"),
)  # fmt: skip
_PROGRAMS: dict[Packing, tuple[str, ...]] = {
    "gz": ("gzip", "-dc"), "bz2": ("bzip2", "-dc"), "xz": ("xz", "-dc"), "zst": ("zstd", "-dcq"),
}  # fmt: skip
MAIL_LOGS = ("/var/log/mail.log", "/var/log/maillog")
# The mail facility: what Postfix and Dovecot log under, whatever their units are called.
JOURNAL = ("journalctl", "--no-pager", "--quiet", "--output=short-iso-precise", "SYSLOG_FACILITY=2")


class SourceError(Exception):
    """A log cannot be read; the text says which and why, in one line."""


class Source(NamedTuple):
    """A file, `-` for standard input, or the journal."""

    name: str
    path: str | None
    packing: Packing = "plain"
    command: tuple[str, ...] = ()

    @property
    def plain(self) -> bool:
        """True if parts of it can be read by offset."""
        return self.path is not None and self.packing == "plain" and os.path.isfile(self.path)


def source_of(name: str) -> Source:
    """Return the source that a user names; raises SourceError if it cannot be opened."""
    if name == "-":
        return Source("-", None)
    try:
        with open(name, "rb") as file:
            head = file.read(6)
    except OSError as error:
        raise SourceError(f"{name}: {error.strerror}") from error
    packing: Packing = next((kind for magic, kind in _MAGIC if head.startswith(magic)), "plain")
    return Source(name, name, packing)


def default_source() -> Source:
    """Return the log of this host: mail.log or maillog, else the journal."""
    for path in MAIL_LOGS:
        if os.path.isfile(path) and os.path.getsize(path):
            return source_of(path)
    if _which("journalctl"):
        return Source("journal", None, command=JOURNAL)
    raise SourceError("no /var/log/mail.log, no /var/log/maillog and no journal: name the log file")


@contextlib.contextmanager
def opened(source: Source, offset: int = 0) -> Iterator[IO[bytes]]:
    """Open a source for reading; a compressed one is unpacked by its program (on another core), else by Python."""
    if source.command:
        with _pipe(source.command, source.name) as stream:
            yield stream
    elif source.path is None:
        yield sys.stdin.buffer
    elif source.packing == "plain":
        with open(source.path, "rb", buffering=0) as file:
            if offset:
                file.seek(offset)
            yield file
    elif _which(_PROGRAMS[source.packing][0]):
        with _pipe((*_PROGRAMS[source.packing], "--", source.path), source.name) as stream:
            yield stream
    elif unpack := _unpacker(source.packing):
        with unpack(source.path) as stream:
            yield stream
    else:
        raise SourceError(f"{source.name}: compressed with zstd, and the program zstd is not installed")


def _unpacker(packing: Packing) -> Callable[[str], IO[bytes]] | None:
    """Return Python's own way to unpack, imported only where it is needed."""
    import importlib

    names = {"gz": ("gzip", "GzipFile"), "bz2": ("bz2", "BZ2File"), "xz": ("lzma", "LZMAFile")}
    if packing not in names:
        return None
    module, name = names[packing]
    return cast("Callable[[str], IO[bytes]]", getattr(importlib.import_module(module), name))


def _which(program: str) -> str | None:
    import shutil

    return shutil.which(program)


@contextlib.contextmanager
def _pipe(command: tuple[str, ...], name: str) -> Iterator[IO[bytes]]:
    import subprocess

    environment = {**os.environ, "LC_ALL": "C"}
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment
    )
    assert process.stdout is not None
    assert process.stderr is not None
    with contextlib.suppress(OSError, AttributeError):  # a wider pipe: fewer turns between the two processes
        fcntl.fcntl(process.stdout, fcntl.F_SETPIPE_SZ, 1 << 20)
    try:
        yield process.stdout
        process.stdout.close()
        said = process.stderr.read(2000).decode("utf-8", "replace").strip()
        if process.wait():
            raise SourceError(f"{name}: {said.splitlines()[0] if said else f'{command[0]} failed'}")
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        process.stdout.close()
        process.stderr.close()


def blocks(stream: IO[bytes], limit: int | None = None) -> Iterator[bytes]:
    """Yield the stream in blocks as they come, at most `limit` bytes in all."""
    left = limit
    while left is None or left > 0:
        data = stream.read(BLOCK if left is None else min(BLOCK, left))
        if not data:
            return
        if left is not None:
            left -= len(data)
        yield data


def first_time(source: Source, now: datetime) -> datetime | None:
    """Return the time of the first line that has one, None for what cannot be read twice."""
    if source.path is None or not os.path.isfile(source.path):
        return None
    try:
        with opened(source) as stream:
            head = stream.read(65536).decode("latin-1")
    except (SourceError, OSError, EOFError):
        return None
    times = (line.when for line in (parse_line(raw, now) for raw in head.split("\n")[:50]) if line)
    return next((when for when in times if when), None)


def in_order(sources: list[Source], now: datetime) -> list[Source]:
    """Sort sources by their first line, so that `mail.log mail.log.1` is read as the log was written."""
    if len(sources) < 2:
        return sources
    keyed = [(first_time(source, now), position, source) for position, source in enumerate(sources)]
    known = sorted((item for item in keyed if item[0]), key=lambda item: (str(item[0]), item[1]))
    return [item[2] for item in known] + [item[2] for item in keyed if not item[0]]
