"""Lines between two moments, chosen minute by minute and only at the edges line by line."""

from __future__ import annotations

from dataclasses import field
from datetime import datetime, timedelta
from pathlib import Path

from maildiag.logs.lines import parse_line
from maildiag.records import dataclass

_MINUTE = timedelta(minutes=1)


@dataclass(slots=True)
class Window:
    """Lines from `since` (inclusive) to `until` (exclusive); `now` as in `parse_line`."""

    now: datetime
    since: datetime | None = None
    until: datetime | None = None
    outside: int = 0
    _minutes: dict[str, bool | None] = field(default_factory=dict)

    @property
    def everything(self) -> bool:
        """True if nothing is left out."""
        return self.since is None and self.until is None

    def contains(self, when: datetime | None) -> bool:
        """Whether a moment lies in the window; a line without a readable time does."""
        if when is None:
            return True
        return (self.since is None or when >= self.since) and (self.until is None or when < self.until)

    def keep(self, lines: list[str], start: int) -> list[str]:
        """Return the lines in the window; `start` is where the text behind the timestamp begins."""
        minute = 16 if start > 17 else 12
        kept, minutes = [], self._minutes
        if len(minutes) > 200_000:
            minutes.clear()
        for line in lines:
            key = line[:minute] + line[start - 7 : start]
            inside = minutes.get(key, 0)
            if inside == 0 and key not in minutes:
                inside = minutes[key] = self._minute(line, minute)
            if inside or (inside is None and self.contains(_time(line, self.now))):
                kept.append(line)
        self.outside += len(lines) - len(kept)
        return kept

    def _minute(self, line: str, minute: int) -> bool | None:
        """True or False for a whole minute, None where it must be decided line by line."""
        when = _time(line, self.now)
        if when is None:
            return True
        begin = when.replace(second=0, microsecond=0)
        first, last = self.contains(begin), self.contains(begin + _MINUTE - timedelta(microseconds=1))
        return first if first == last else None


def _time(line: str, now: datetime) -> datetime | None:
    parsed = parse_line(line[:200], now)
    return parsed.when if parsed else None


def offset_since(path: Path, window: Window, slack: int = 1 << 20) -> int:
    """Return the byte offset of a line start in a plain log before which everything is older than the window.

    Found by bisection, as a log is in order of time but for moments; `slack` bytes before it are read all the same.
    """
    if window.since is None:
        return 0
    with path.open("rb") as file:
        low, high = 0, file.seek(0, 2)
        while high - low > slack:
            middle = (low + high) // 2
            file.seek(middle)
            file.readline()
            when = next(
                (t for t in (_time(file.readline(4096).decode("latin-1"), window.now) for _ in range(20)) if t), None
            )
            if when is not None and when < window.since:
                low = middle
            else:
                high = middle
        file.seek(max(low - slack, 0))
        if file.tell():
            file.readline()
        return file.tell()
