"""A log file as a sequence of rows: only line offsets are kept in memory, the text is read when it is drawn."""

from __future__ import annotations

import os
import re
import weakref
from array import array
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import accumulate, count
from operator import add
from pathlib import Path
from typing import overload

from maildiag.logs.classify import classify
from maildiag.logs.lines import parse_line
from maildiag.text import safe
from maildiag.tui.rows import Part, Row, Tone

# What holds the interpreter longer than half a millisecond keeps the screen waiting; more at once is not quicker either.
_BLOCK = 1 << 17
_MOST_OF_A_LINE = 8192
_AT_ONCE = 1000


class LogFile(Sequence[Row]):
    """The lines of a log file, growing with it. `read_on` and `search` are for a worker thread, the rest for the screen.

    The file is let go of with the last who holds this: a thread may still read it when its screen is left.
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

    def read_on(self) -> Iterator[int]:
        """Find the lines that are new since the last call; yields the number of lines after each block of 128 KiB."""
        while data := os.pread(self._file, _BLOCK, self._read):
            parts = data.split(b"\n")
            self._starts.extend(map(add, accumulate(map(len, parts[:-1])), count(self._read + 1)))
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

    def search(self, words: str, first: int = 0) -> Iterator[list[int]]:
        """The numbers of the lines from `first` on that contain `words`, whatever the case, 1,000 lines at a time."""
        wanted = words.lower().encode("utf-8", "surrogateescape")
        for begin in range(first, len(self), _AT_ONCE):
            last = min(begin + _AT_ONCE, len(self))
            end = self._starts[last] if last < len(self._starts) else self._read
            data = os.pread(self._file, end - self._starts[begin], self._starts[begin]).lower()
            lines = enumerate(data.split(b"\n")[: last - begin]) if wanted in data else ()
            yield [begin + number for number, each in lines if wanted in each]

    def next_problem(self, start: int, by: int, now: datetime) -> Iterator[int | None]:
        """Look at one line after the other, forwards (1) or backwards (-1); the first that tells of trouble is yielded."""
        number = start + by
        while 0 <= number < len(self):
            yield number if is_problem(self.line(number), now) else None
            number += by

    def place(self, key: str) -> int | None:
        """The number of the line with this key."""
        start = key.removeprefix("at:")
        number = bisect_left(self._starts, int(start)) if start.isdigit() else len(self)
        return number if number < len(self) and self._starts[number] == int(start) else None

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
        self.numbers = array("Q")
        self._looked_at = 0

    def search_on(self) -> Iterator[int]:
        """Look at the lines that were not looked at yet; yields how many were found after each 1,000. For a worker thread."""
        for numbers in self.file.search(self.words, self._looked_at):
            self._looked_at = min(self._looked_at + _AT_ONCE, len(self.file))
            self.numbers.extend(numbers)
            yield len(self)

    def place(self, key: str) -> int | None:
        """The number among the selected of the line with this key."""
        line = self.file.place(key)
        number = bisect_left(self.numbers, line) if line is not None else len(self)
        return number if number < len(self) and self.numbers[number] == line else None

    def __len__(self) -> int:
        return len(self.numbers)

    @overload
    def __getitem__(self, number: int) -> Row: ...
    @overload
    def __getitem__(self, number: slice) -> Sequence[Row]: ...
    def __getitem__(self, number: int | slice) -> Row | Sequence[Row]:
        if isinstance(number, slice):
            return [self[each] for each in range(*number.indices(len(self)))]
        return self.file[self.numbers[number]]


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


def is_problem(text: str, now: datetime) -> bool:
    """True for a line that the classifier calls a problem, and for a delivery that failed."""
    if "status=deferred" in text or "status=bounced" in text or "status=expired" in text:
        return True
    line = parse_line(text, now)
    return line is not None and classify(line) is not None
