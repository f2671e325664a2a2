"""Rows that are too long for a line, folded over several: only those in sight are, however many there are."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence

from rich.cells import chop_cells

from maildiag.text import safe
from maildiag.tui.rows import Part, Row

_INDENT = "    "
_LEAST = 20  # columns


def folded(each: Row, width: int) -> list[Row]:
    """The row over as many lines of `width` columns as it needs, not a letter lost; in the tone of its first part."""
    text = safe(each.text)
    if text.isascii() and len(text) <= width:
        return [each]
    if text[: width // 3].isspace():  # what stands far to the right on a wide screen would leave its first line empty
        text = _INDENT + text.lstrip()
    room = max(_LEAST, width - len(_INDENT))
    parts = (
        textwrap.wrap(text, room, break_on_hyphens=False, drop_whitespace=False)
        if text.isascii()
        else chop_cells(text, room)
    )
    tone = each.parts[0].tone
    return [Row(each.key, (Part(_INDENT * bool(place) + part, tone),)) for place, part in enumerate(parts)] or [each]


def laid(rows: Sequence[Row], width: int, height: int) -> list[tuple[int, Row]]:
    """What stands on each of `height` lines: the number of a row, from 0, and the part of it."""

    def every() -> Iterator[tuple[int, Row]]:
        for number, each in enumerate(rows):
            yield from ((number, part) for part in folded(each, width))

    return [line for line, _ in zip(every(), range(height), strict=False)]


def top(rows: Sequence[Row], width: int, height: int) -> int:
    """Which of these rows must stand at the top, at the earliest, for the last of them to be seen whole."""
    left, first = height, len(rows)
    while first > 0 and (left := left - len(folded(rows[first - 1], width))) >= 0:
        first -= 1
    return min(first, max(0, len(rows) - 1))
