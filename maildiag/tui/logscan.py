"""Reading through a whole log, in the process beside the screen: where its lines begin, which have some words, which tell of trouble.

Each takes an event that ends it early, and tells of every block that it has been through. A place is a number of bytes.
"""

from __future__ import annotations

import os
import threading
from array import array
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from itertools import accumulate, count, pairwise
from operator import add
from pathlib import Path

# What holds the interpreter longer than half a millisecond keeps the screen waiting, where it is read there; more at
# once is not quicker either.
_BLOCK = 1 << 17
_MOST_OF_A_LINE = 8192


@contextmanager
def _opened(path: Path) -> Iterator[int]:
    file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        yield file
    finally:
        os.close(file)


def _ends(data: bytes, place: int) -> array[int]:
    """Where each line behind a newline of the data begins, which begins at `place` itself."""
    return array("Q", map(add, accumulate(map(len, data.split(b"\n")[:-1])), count(place + 1)))


def line_starts(path: Path, place: int, cancelled: threading.Event) -> Iterator[tuple[bytes, int]]:
    """Behind each newline from `place` on begins a line: these places as an array("Q"), and how far was read. Raises OSError."""
    with _opened(path) as file:
        while not cancelled.is_set() and (data := os.pread(file, _BLOCK, place)):
            starts = _ends(data, place)
            place += len(data)
            yield starts.tobytes(), place


def containing(path: Path, words: str, place: int, end: int, cancelled: threading.Event) -> Iterator[tuple[bytes, int]]:
    """The beginnings of the lines with `words` in them, whatever the case, between `place` and `end`, where lines begin.

    Yields them as an array("Q"), and how far was looked. Raises OSError.
    """
    wanted = words.lower().encode("utf-8", "surrogateescape")
    with _opened(path) as file:
        for begin, data in _forwards(file, place, end):
            if cancelled.is_set():
                return
            found = array("Q")
            if wanted in (lower := data.lower()):
                starts = [begin, *_ends(data, begin)]
                found.extend(one for one, two in pairwise(starts) if wanted in lower[one - begin : two - begin])
            yield found.tobytes(), begin + len(data)


def next_problem(
    path: Path, place: int, end: int, by: int, now: datetime, cancelled: threading.Event
) -> Iterator[int | None]:
    """The beginning of the next line that tells of trouble, forwards (1) to `end` or backwards (-1) to the beginning.

    `place` is where the first line to look at begins, or the last one ends. Yields None as long as nothing is found.
    Raises OSError.
    """
    with _opened(path) as file:
        for begin, data in _forwards(file, place, end) if by > 0 else _backwards(file, place):
            if cancelled.is_set():
                return
            places = list(pairwise([begin, *_ends(data, begin)]))
            for one, two in places if by > 0 else reversed(places):
                text = data[one - begin : min(two - 1 - begin, one - begin + _MOST_OF_A_LINE)]
                if is_problem(text.decode("utf-8", "surrogateescape"), now):
                    yield one
                    return
            yield None


def is_problem(text: str, now: datetime) -> bool:
    """True for a line that the classifier calls a problem, and for a delivery that failed."""
    from maildiag.logs.classify import classify
    from maildiag.logs.lines import parse_line

    if "status=deferred" in text or "status=bounced" in text or "status=expired" in text:
        return True
    line = parse_line(text, now)
    return line is not None and classify(line) is not None


def _forwards(file: int, place: int, end: int) -> Iterator[tuple[int, bytes]]:
    """Whole lines, about a block of them at a time, with the place where they begin."""
    size = _BLOCK
    while place < end and (data := os.pread(file, min(size, end - place), place)):
        whole = data.rfind(b"\n") + 1
        size = _BLOCK if whole else 2 * size  # a line longer than what was read
        if whole:
            yield place, data[:whole]
            place += whole
        elif len(data) == end - place:
            return


def _backwards(file: int, end: int) -> Iterator[tuple[int, bytes]]:
    """The same from `end` to the beginning of the file."""
    size = _BLOCK
    while end > 0:
        place = max(0, end - size)
        data = os.pread(file, end - place, place)
        first = data.find(b"\n") + 1 if place else 0
        whole = first < len(data) and (first or not place)
        size = _BLOCK if whole else 2 * size
        if whole:
            yield place + first, data[first:]
            end = place + first
        elif not place:
            return
