"""When mail came and went, how long it took, and how long clients stayed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import datetime

from maildiag.logs.lines import classic_day, parse_line
from maildiag.logs.ranking import heaviest, shown
from maildiag.logs.rows import SessionRow, Spread, Traffic
from maildiag.logs.tally import Row, Tally

PERCENTILES = (50, 90, 95, 99)
PHASES = ("before the queue", "in the queue", "connecting", "transfer")


def when(stamp: str, now: datetime) -> datetime | None:
    """Return the moment of a timestamp as the log has it, None if it has none that can be read."""
    line = parse_line(f"{stamp} host program: text", now) if stamp else None
    return line.when if line else None


_KINDS = ("received", "delivered", "deferred", "bounced", "rejected")


def traffic_of(tally: Tally, now: datetime) -> tuple[tuple[Traffic, ...], tuple[Traffic, ...]]:
    """Return (days, hours of the day), each with what happened in it."""
    days: dict[str, Counter[str]] = {}
    hours: dict[str, Counter[str]] = {f"{hour:02d}": Counter() for hour in range(24)}
    for kind in _KINDS:
        for stamp, count in tally.hours.get(kind, {}).items():
            days.setdefault(_day(stamp, now), Counter())[kind] += count
            hours.setdefault(stamp[-2:], Counter())[kind] += count
    return tuple(_row(day, days[day]) for day in sorted(days)), tuple(_row(hour, hours[hour]) for hour in sorted(hours))


def _row(label: str, counts: Counter[str]) -> Traffic:
    return Traffic(shown(label), *(counts[kind] for kind in _KINDS))


def _day(stamp: str, now: datetime) -> str:
    """The day of `Nov 16 00` or `2026-11-16T00`."""
    if stamp[:1].isdigit():
        return stamp[:10]
    try:
        day = classic_day(stamp[:3], int(stamp[4:6]), now.year, now.month, now.day)
    except ValueError:
        day = None
    return "{:04d}-{:02d}-{:02d}".format(*day) if day else "unknown"


def spread(name: str, counter: Counter[str]) -> Spread | None:
    """Percentiles of values that the log gives as text, `delay=0.12`; exact, as every distinct text is counted."""
    values: Counter[float] = Counter()
    for text, count in counter.items():
        try:
            values[float(text.rpartition("=")[2])] += count
        except ValueError:
            continue
    count = values.total()
    if not count:
        return None
    ordered = sorted(values)
    total = sum(value * times for value, times in values.items())
    percentiles = {str(percent): _percentile(ordered, values, count, percent) for percent in PERCENTILES}
    return Spread(name, count, round(total, 2), round(total / count, 3), percentiles, ordered[-1])


def _percentile(ordered: list[float], values: Counter[float], count: int, percent: int) -> float:
    """The smallest value that at least `percent` per cent of all are not above (nearest rank)."""
    rank, seen = -(-count * percent // 100), 0
    for value in ordered:
        seen += values[value]
        if seen >= rank:
            return value
    return ordered[-1]


def all_sessions(tally: Tally) -> SessionRow | None:
    """Return all connections whose beginning and end the log has."""
    rows = _sessions_by(tally, lambda _: "all")
    return rows[0] if rows else None


def sessions_by_day(tally: Tally, now: datetime) -> tuple[SessionRow, ...]:
    """Return the connections of each day."""
    return _sessions_by(tally, lambda stamp: _day(stamp, now))


def sessions_by_hour(tally: Tally) -> tuple[SessionRow, ...]:
    """Return the connections of each hour of the day."""
    return _sessions_by(tally, lambda stamp: stamp[-2:])


def sessions_by_client(tally: Tally, limit: int | None) -> tuple[SessionRow, ...]:
    """Return the connections of the clients that had most."""
    table = tally.session_clients
    names = heaviest(table.keys(), [row[0] for row in table.values()], limit)
    return tuple(SessionRow(shown(name), *map(int, table[name])) for name in names)


def _sessions_by(tally: Tally, label: Callable[[str], str]) -> tuple[SessionRow, ...]:
    rows: dict[str, Row] = {}
    for stamp, row in tally.sessions.items():
        mine = rows.setdefault(label(stamp), [0.0, 0.0, 0.0])
        mine[:] = [mine[0] + row[0], mine[1] + row[1], max(mine[2], row[2])]
    return tuple(SessionRow(shown(name), *map(int, rows[name])) for name in sorted(rows))
