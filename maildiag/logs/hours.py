"""Lines by the hour that their timestamps name."""

from __future__ import annotations

from collections.abc import Iterator

from maildiag.logs.tally import Tally


def count_hours(tally: Tally, kind: str, lines: list[str], start: int) -> None:
    """Count lines by their hour."""
    for hour, some in by_hour(lines, start):
        tally.hour(kind)[hour] += len(some)


def by_hour(lines: list[str], start: int) -> Iterator[tuple[str, list[str]]]:
    """Yield lines with the "day and hour" they begin with.

    Nearly every block lies within one hour: what the least and the greatest line begin with, all lines begin with.
    """
    end = 13 if start > 17 else 9
    if not lines:
        return
    if (hour := min(lines)[:end]) == max(lines)[:end]:
        yield hour, lines
        return
    hours: dict[str, list[str]] = {}
    for line in lines:
        hours.setdefault(line[:end], []).append(line)
    yield from hours.items()
