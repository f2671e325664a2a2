"""The report of a run as a value, with what follows from its findings: status, counts, steps, exit status."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from maildiag import __version__, workflow
from maildiag.model import Diagnosis, Evidence, Finding, Fix, HostInfo, Status, Step
from maildiag.records import dataclass

SCHEMA = "maildiag.report/1"


@dataclass(frozen=True, slots=True)
class Timing:
    """How long one probe took, in seconds, and whether it was answered."""

    source: str
    seconds: float
    answered: bool


@dataclass(frozen=True, slots=True)
class StepResult:
    """One of the seven steps: its worst status and the findings it holds."""

    step: Step
    status: Status
    findings: tuple[Finding, ...]

    @property
    def question(self) -> str:
        """What the documentation asks at this step."""
        return workflow.QUESTIONS[self.step]


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """Everything a run found out. `duration_s` in seconds, `started` in UTC."""

    started: datetime
    duration_s: float
    host: HostInfo
    findings: tuple[Finding, ...]
    diagnosis: Diagnosis
    timings: tuple[Timing, ...] = ()
    complete: bool = True
    version: str = __version__

    @property
    def seen(self) -> datetime:
        """When the host was looked at, by its own clock; for a bundle, when it was recorded."""
        return self.host.seen or self.started

    @property
    def status(self) -> Status:
        """The worst status of all findings that are not acknowledged."""
        return worst(each.status for each in self.findings if not each.acknowledged)

    @property
    def counts(self) -> Mapping[Status, int]:
        """How many findings have each status."""
        return {status: sum(each.status is status for each in self.findings) for status in Status}

    @property
    def steps(self) -> tuple[StepResult, ...]:
        """The seven steps in order, those without a finding included."""
        return tuple(_step(step, self.findings) for step in Step)

    @property
    def fixes(self) -> tuple[Fix, ...]:
        """The fixes of all findings, each id once, those of the ranked causes first."""
        first = [cause.finding for cause in self.diagnosis.causes]
        return tuple({fix.id: fix for each in [*first, *self.findings] for fix in each.fixes}.values())

    def finding(self, key: str) -> Finding | None:
        """The finding with this key (`id` or `id@subject`)."""
        return next((each for each in self.findings if each.key == key), None)


def worst(statuses: Iterable[Status]) -> Status:
    """The weightiest of the statuses; `ok` where there is none (skipped does not count against ok)."""
    return max(statuses, key=lambda each: each.weight, default=Status.OK)


def exit_status(status: Status, fail_on: Status = Status.WARNING) -> int:
    """The process exit status for the worst status: 2 critical, 1 warning, 3 unknown, 0 otherwise (contract, Commands)."""
    if status is Status.CRITICAL:
        return 2
    if fail_on is Status.CRITICAL:
        return 0
    if status is Status.NOTICE and fail_on is Status.NOTICE:
        return 1
    return {Status.WARNING: 1, Status.UNKNOWN: 3}.get(status, 0)


def _step(step: Step, findings: Sequence[Finding]) -> StepResult:
    mine = tuple(each for each in findings if each.step is step)
    if not mine:
        return StepResult(step, Status.SKIPPED, ())
    return StepResult(step, worst(each.status for each in mine if not each.acknowledged), mine)


def evidence_json(each: Evidence) -> dict[str, str]:
    """A piece of evidence as the contract has it; the time is RFC 3339 in UTC, empty where it is not known."""
    return {"source": each.source, "text": each.text, "at": each.at.isoformat() if each.at else ""}
