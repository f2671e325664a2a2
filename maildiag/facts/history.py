"""What earlier runs on this host measured."""

from __future__ import annotations

from datetime import datetime, timedelta

from maildiag.asking import Ask
from maildiag.probes import EarlierRun, EarlierRuns
from maildiag.records import dataclass
from maildiag.registry import gatherer


@dataclass(frozen=True, slots=True)
class History:
    """The earlier runs, newest first; empty where none was kept yet."""

    runs: tuple[EarlierRun, ...]

    def values(self, name: str, since: datetime, until: datetime) -> tuple[tuple[datetime, float], ...]:
        """When an indicator was measured from `since` to `until`, and what it was; newest first."""
        told = [(each.started, each.get(name)) for each in self.runs if since <= each.started <= until]
        return tuple((at, value) for at, value in told if value is not None)

    def days(self, name: str, now: datetime, back: timedelta) -> dict[str, float]:
        """The highest value of an indicator on each day of the last `back`, today left out."""
        found: dict[str, float] = {}
        for at, value in self.values(name, now - back, now - timedelta(days=1)):
            day = at.date().isoformat()
            found[day] = max(value, found.get(day, value))
        return found


@gatherer
def history(ask: Ask) -> History:
    """Ask for the kept runs."""
    return History(ask(EarlierRuns()))
