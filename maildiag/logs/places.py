"""Where the parts of lines of one program lie, so that they are sliced and not searched for."""

from __future__ import annotations


def queue_id_place(line: str, start: int) -> tuple[int, int]:
    """Return (begin, end) of the queue id of `… program[pid]: QUEUEID: text`, whose timestamp ends at `start`.

    What the next lines of the program have in that place is nearly always their queue id. It is one if it is known, with
    a space before it; else the line is to be split.
    """
    begin = line.find(": ", start) + 2
    return begin, line.find(":", begin)
