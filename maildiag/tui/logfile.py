"""A log file as a sequence of rows: only line offsets are kept in memory, the text is read when it is drawn."""

from __future__ import annotations

import os
from array import array
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import overload

from maildiag.logs.classify import classify
from maildiag.logs.lines import parse_line
from maildiag.text import safe
from maildiag.tui.rows import Part, Row, Tone

_BLOCK = 1 << 20
_MOST_OF_A_LINE = 8192


class LogFile(Sequence[Row]):
    """The lines of a log file, growing with it. `read_on` and `search` are for a worker thread, the rest for the screen."""

    def __init__(self, path: Path) -> None:
        """Raises OSError where the file cannot be read."""
        self.path = path
        self._file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self._starts = array("Q", [0])
        self._read = 0

    def close(self) -> None:
        """Let go of the file."""
        os.close(self._file)

    def read_on(self) -> Iterator[int]:
        """Find the lines that are new since the last call; yields the number of lines after each block of 1 MiB."""
        while data := os.pread(self._file, _BLOCK, self._read):
            starts, place, base = self._starts, data.find(b"\n"), self._read + 1
            while place >= 0:
                starts.append(base + place)
                place = data.find(b"\n", place + 1)
            self._read += len(data)
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

    def search(self, words: str) -> Iterator[int]:
        """The numbers of the lines that contain `words`, whatever the case."""
        wanted = words.lower().encode("utf-8", "surrogateescape")
        for first in range(0, len(self), 10_000):
            last = min(first + 10_000, len(self))
            end = self._starts[last] if last < len(self._starts) else self._read
            data = os.pread(self._file, end - self._starts[first], self._starts[first]).lower()
            if wanted in data:
                yield from (first + n for n, each in enumerate(data.split(b"\n")[: last - first]) if wanted in each)

    def next_problem(self, start: int, by: int, now: datetime) -> int | None:
        """The next line at warning or above from `start` on, forwards (1) or backwards (-1); at most 200,000 lines away."""
        number = start + by
        for _ in range(200_000):
            if not 0 <= number < len(self):
                return None
            if is_problem(self.line(number), now):
                return number
            number += by
        return None

    def __len__(self) -> int:
        return len(self._starts) - 1

    @overload
    def __getitem__(self, number: int) -> Row: ...
    @overload
    def __getitem__(self, number: slice) -> Sequence[Row]: ...
    def __getitem__(self, number: int | slice) -> Row | Sequence[Row]:
        if isinstance(number, slice):
            return [self[each] for each in range(*number.indices(len(self)))]
        return log_row(number, self.line(number))


class Selected(Sequence[Row]):
    """Some lines of a log file."""

    def __init__(self, file: LogFile, numbers: Sequence[int]) -> None:
        self._file = file
        self._numbers = numbers

    def __len__(self) -> int:
        return len(self._numbers)

    @overload
    def __getitem__(self, number: int) -> Row: ...
    @overload
    def __getitem__(self, number: slice) -> Sequence[Row]: ...
    def __getitem__(self, number: int | slice) -> Row | Sequence[Row]:
        if isinstance(number, slice):
            return [self[each] for each in range(*number.indices(len(self)))]
        return self._file[self._numbers[number]]


_BAD = (" fatal: ", " panic: ", "Fatal: ", "Panic: ", "status=bounced", "status=expired", "error: ", "Error: ")
_ODD = (" warning: ", "Warning: ", "status=deferred", " reject: ", "auth failed", "Failed")


def log_row(number: int, text: str) -> Row:
    """A line of a log as a row, in the tone of its trouble."""
    tone = (
        Tone.BAD
        if any(each in text for each in _BAD)
        else Tone.WARN
        if any(each in text for each in _ODD)
        else Tone.PLAIN
    )
    return Row(f"line:{number}", (Part(safe(text), tone),))


def is_problem(text: str, now: datetime) -> bool:
    """True for a line that the classifier calls a problem, and for a delivery that failed."""
    line = parse_line(text, now)
    failed = "status=deferred" in text or "status=bounced" in text or "status=expired" in text
    return failed or (line is not None and classify(line) is not None)
