"""Where the parts of lines of one program lie, so that they are sliced and not searched for."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from operator import call, itemgetter


def queue_id_place(line: str, start: int) -> tuple[int, int]:
    """Return (begin, end) of the queue id of `… program[pid]: QUEUEID: text`, whose timestamp ends at `start`.

    What the next lines of the program have in that place is nearly always their queue id. It is one if it is known, with
    a space before it; else the line is to be split.
    """
    begin = line.find(": ", start) + 2
    return begin, line.find(":", begin)


def sort_out(lines: list[str], place: slice, takers: Mapping[str, Callable[[str], None]]) -> None:
    """Give each line to the taker for what it has in that place, without a step of the interpreter for any line."""
    deque(map(call, map(takers.__getitem__, map(itemgetter(place), lines)), lines), maxlen=0)
