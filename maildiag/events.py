"""Everything that can happen in a run, on one page; the report is a fold over these."""

from __future__ import annotations

from maildiag.model import Finding
from maildiag.records import dataclass
from maildiag.registry import Check
from maildiag.report import Report


@dataclass(frozen=True, slots=True)
class RunStarted:
    """The run begins; these checks will each be answered."""

    source: str
    checks: tuple[Check, ...]


@dataclass(frozen=True, slots=True)
class FactStarted:
    """A fact is being gathered from the host."""

    name: str


@dataclass(frozen=True, slots=True)
class FactFinished:
    """A fact is there, or could not be had; `seconds` since it was started."""

    name: str
    seconds: float
    known: bool


@dataclass(frozen=True, slots=True)
class CheckFinished:
    """A check has answered with its findings."""

    check: Check
    findings: tuple[Finding, ...]


@dataclass(frozen=True, slots=True)
class RunFinished:
    """The last event: the whole report. A reader that sees none knows that the run was cut."""

    report: Report


Event = RunStarted | FactStarted | FactFinished | CheckFinished | RunFinished
