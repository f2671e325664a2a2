"""A log file as a sequence of rows: only line offsets are kept in memory, the text is read when it is drawn."""

from __future__ import annotations

import os
import re
import threading
import weakref
from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar, overload

from maildiag.text import safe
from maildiag.tui import logscan
from maildiag.tui.rows import Part, Row, Tone

T = TypeVar("T")
Compute = Callable[..., Iterator[Any]]

_BLOCK = 1 << 17
_MOST_OF_A_LINE = 8192


def here(task: Callable[..., Iterator[T]], *given: Any) -> Iterator[T]:
    """Compute in this very thread; see `maildiag.tui.session.Session.compute`."""
    return task(*given, threading.Event())


class LogFile(Sequence[Row]):
    """The lines of a log file, growing with it. `read_on` and `next_problem` are for a worker thread, the rest for the screen.

    They are told how to `compute` what goes through the whole file. The file is let go of with the last who holds this: a thread may still read it when its screen is left.
    """

    def __init__(self, path: Path, last: int = 0) -> None:
        """The whole file, or only what its `last` bytes hold of whole lines. Raises OSError where it cannot be read."""
        self.path = path
        self._file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        weakref.finalize(self, os.close, self._file)
        self._read = _line_start(self._file, self.size - last) if 0 < last < self.size else 0
        self._starts = array("Q", [self._read])

    @property
    def size(self) -> int:
        """Bytes of the file as it is now."""
        return os.fstat(self._file).st_size

    @property
    def share(self) -> float:
        """How much of the file is known, from 0 to 1."""
        return self._read / max(1, self.size)

    @property
    def door(self) -> Path:
        """Where another process of the same account finds this very file, also after a rotation."""
        return Path(f"/proc/{os.getpid()}/fd/{self._file}")

    @property
    def begin(self) -> int:
        """Where the first line begins, in bytes."""
        return self._starts[0]

    @property
    def end(self) -> int:
        """Where the last whole line ends that is known, in bytes."""
        return self._starts[-1]

    @property
    def ahead(self) -> int:
        """Bytes that were not looked at yet."""
        return self.size - self._read

    def read_on(self, compute: Compute = here) -> Iterator[int]:
        """Find the lines that are new since the last call; yields the number of lines after each block."""
        for starts, read in compute(logscan.line_starts, self.door, self._read):
            self._starts.frombytes(starts)
            self._read = read
            yield len(self)

    def rotated(self) -> bool:
        """True where the path names another file by now, or the file was cut."""
        try:
            there = self.path.stat()
        except OSError:
            return False
        mine = os.fstat(self._file)
        return (there.st_dev, there.st_ino) != (mine.st_dev, mine.st_ino) or mine.st_size < self._read

    def line(self, number: int) -> str:
        """The text of a line (from 0), undecodable bytes as surrogate escapes."""
        start = self._starts[number]
        end = self._starts[number + 1] - 1 if number + 1 < len(self._starts) else self._read
        return os.pread(self._file, min(end - start, _MOST_OF_A_LINE), start).decode("utf-8", "surrogateescape")

    def next_problem(self, number: int, by: int, now: datetime, compute: Compute = here) -> Iterator[int | None]:
        """The next line before (-1) or behind (1) this one that tells of trouble; None is yielded as long as none is found."""
        place = self._starts[number] if by < 0 else self._starts[number + 1]
        for found in compute(logscan.next_problem, self.door, place, self.end, by, now):
            yield self.number(found) if found is not None else None

    def number(self, place: int) -> int | None:
        """The number of the line that begins at this byte."""
        number = bisect_left(self._starts, place)
        return number if number < len(self) and self._starts[number] == place else None

    def place(self, key: str) -> int | None:
        """The number of the line with this key."""
        start = key.removeprefix("at:")
        return self.number(int(start)) if start.isdigit() else None

    def __len__(self) -> int:
        return len(self._starts) - 1

    @overload
    def __getitem__(self, number: int) -> Row: ...
    @overload
    def __getitem__(self, number: slice) -> Sequence[Row]: ...
    def __getitem__(self, number: int | slice) -> Row | Sequence[Row]:
        if isinstance(number, slice):
            return self._rows(number.indices(len(self)))
        return log_row(self._starts[number], self.line(number))

    def _rows(self, place: tuple[int, int, int]) -> list[Row]:
        """Several lines, read at once where they are not too long: each reading lets other threads go first."""
        first, last, step = place
        if step == 1 and first < last and self._starts[last] - self._starts[first] <= _BLOCK:
            data = os.pread(self._file, self._starts[last] - self._starts[first], self._starts[first])
            texts = [each[:_MOST_OF_A_LINE].decode("utf-8", "surrogateescape") for each in data.split(b"\n")]
            return [log_row(start, text) for start, text in zip(self._starts[first:last], texts, strict=False)]
        return [self[each] for each in range(first, last, step)]


def _line_start(file: int, place: int) -> int:
    """Where the first whole line behind `place` begins."""
    newline = os.pread(file, _BLOCK, place).find(b"\n")
    return place + newline + 1 if newline >= 0 else place


class Selected(Sequence[Row]):
    """The lines of a log file that contain some words, more of them as it grows."""

    def __init__(self, file: LogFile, words: str) -> None:
        self.file = file
        self.words = words
        self._places = array("Q")
        self._looked_at = file.begin

    def search_on(self, compute: Compute = here) -> Iterator[int]:
        """Look at the lines that were not looked at yet; yields how many were found after each block. For a worker thread."""
        given = (self.file.door, self.words, self._looked_at, self.file.end)
        for places, looked_at in compute(logscan.containing, *given):
            if looked_at > self._looked_at:  # or else a search that was taken over from has told it just before its end
                self._places.frombytes(places)
                self._looked_at = looked_at
            yield len(self)

    def number(self, number: int) -> int:
        """The number in the file of one of these lines."""
        return self.file.number(self._places[number]) or 0

    def place(self, key: str) -> int | None:
        """The number among the selected of the line with this key."""
        line = self.file.place(key)
        place = int(key.removeprefix("at:")) if line is not None else -1
        number = bisect_left(self._places, place) if line is not None else len(self)
        return number if number < len(self) and self._places[number] == place else None

    def __len__(self) -> int:
        return len(self._places)

    @overload
    def __getitem__(self, number: int) -> Row: ...
    @overload
    def __getitem__(self, number: slice) -> Sequence[Row]: ...
    def __getitem__(self, number: int | slice) -> Row | Sequence[Row]:
        if isinstance(number, slice):
            return [self[each] for each in range(*number.indices(len(self)))]
        return self.file[self.number(number)]


_BAD = (" fatal: ", " panic: ", "Fatal: ", "Panic: ", "status=bounced", "status=expired", "error: ", "Error: ")
_ODD = (" warning: ", "Warning: ", "status=deferred", " reject: ", "auth failed", "Failed")


# Date and host are the same on every line of a screen; what is left of them is the clock.
_HEAD = re.compile(
    r"(?:<\d+>)?(?:\d{4}-\d\d-\d\d[T ]|[A-Z][a-z]{2} [ \d]\d )(\d\d:\d\d:\d\d(?:\.\d{1,3})?)\S* (?:\S+ )?(?:postfix/)?([^\s:\[]+(?:\[\d+\])?: .*)",
    re.DOTALL,
)


def short(text: str) -> str:
    """A line of a log without its date, host and `postfix/`; as it is where it does not look like one."""
    match = _HEAD.match(text)
    return f"{match[1]} {match[2]}" if match else text


def log_row(start: int, text: str) -> Row:
    """A line of a log, which begins at the byte `start`, as a row in the tone of its trouble."""
    tone = (
        Tone.BAD
        if any(each in text for each in _BAD)
        else Tone.WARN
        if any(each in text for each in _ODD)
        else Tone.PLAIN
    )
    return Row(f"at:{start}", (Part(safe(short(text)), tone),))
