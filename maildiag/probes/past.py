"""Earlier runs of maildiag on this host."""

from __future__ import annotations

from datetime import datetime

from maildiag.probes.probe import Probe
from maildiag.records import dataclass


@dataclass(frozen=True, slots=True)
class Indicator:
    """A number that people watch over time, as one run found it; the names are those of `maildiag.indicators`."""

    name: str
    value: float


@dataclass(frozen=True, slots=True)
class EarlierRun:
    """When an earlier run began (UTC), and what it measured."""

    started: datetime
    indicators: tuple[Indicator, ...]

    def get(self, name: str) -> float | None:
        """The value of an indicator, or None where that run could not tell it."""
        return next((each.value for each in self.indicators if each.name == name), None)


@dataclass(frozen=True, slots=True)
class EarlierRuns(Probe[tuple[EarlierRun, ...]]):
    """Ask for the newest `most` runs in the local history, newest first."""

    most: int = 2000

    @property
    def source(self) -> str:
        return "maildiag history"

    @property
    def limit_s(self) -> float:
        return 3.0
