"""What a run looks like while it happens: the fold of the engine's events that the screens read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import field, replace
from functools import cached_property

from maildiag.causes import diagnose
from maildiag.events import CheckFinished, Event, FactFinished, FactStarted, RunFinished, RunStarted
from maildiag.model import Diagnosis, Finding, HostInfo, Status, Step
from maildiag.records import dataclass
from maildiag.report import Report, worst


@dataclass(frozen=True, slots=True)
class StepState:
    """One step: how many of its checks have answered, its worst status so far (None: nothing yet), its slowest answer."""

    step: Step
    answered: int
    total: int
    status: Status | None
    headline: str
    took_s: float = 0.0

    @property
    def running(self) -> bool:
        """True while answers are still to come."""
        return self.answered < self.total


@dataclass(frozen=True)
class Board:
    """The state of the current run, and the report of the one before it, or else what is kept of an `earlier` one by finding key.

    While a run is under way, what the run before found stands until its check has answered anew: nothing jumps away
    from under the reader.
    """

    findings: tuple[Finding, ...] = ()
    totals: Mapping[Step, int] = field(default_factory=dict)
    answered: Mapping[Step, int] = field(default_factory=dict)
    underway: tuple[str, ...] = ()
    report: Report | None = None
    before: Report | None = None
    earlier: Mapping[str, Status] | None = None
    running: bool = False
    kept: tuple[Finding, ...] = ()

    def after(self, event: Event) -> Board:
        """The board once this has happened too."""
        match event:
            case RunStarted(_, checks):
                totals = {step: sum(each.step is step for each in checks) for step in Step}
                kept = self._untouched({each.id for each in checks})
                return Board(self.findings, totals, before=self.report or self.before, running=True, kept=kept)
            case FactStarted(name):
                return replace(self, underway=(*self.underway, name))
            case FactFinished(name):
                return replace(self, underway=tuple(each for each in self.underway if each != name))
            case CheckFinished(check, findings):
                counts = {**self.answered, check.step: self.answered.get(check.step, 0) + 1}
                return replace(self, findings=self._renewed(check.id, findings), answered=counts)
            case RunFinished(report):
                whole = self._completed(report)
                return replace(self, findings=whole.findings, report=whole, running=False, underway=())

    def _renewed(self, check: str, findings: Iterable[Finding]) -> tuple[Finding, ...]:
        both = [*(each for each in self.findings if each.check != check), *findings]
        return tuple(sorted(both, key=lambda each: each.step.number))

    def _untouched(self, asked: set[str]) -> tuple[Finding, ...]:
        """The findings of the checks that a run of one step does not ask again."""
        found = self.report.findings if self.report else ()
        return tuple(each for each in found if each.check not in asked and each.check != "services.plugin")

    def _completed(self, report: Report) -> Report:
        """The report of a partial run together with what it left out, explained anew."""
        if not self.kept:
            return report
        keys = {each.key for each in report.findings}
        both = [*report.findings, *(each for each in self.kept if each.key not in keys)]
        findings = tuple(sorted(both, key=lambda each: each.step.number))
        return replace(report, findings=findings, diagnosis=diagnose(findings))

    @cached_property
    def diagnosis(self) -> Diagnosis:
        """The finished diagnosis, or what the findings so far amount to."""
        return self.report.diagnosis if self.report else diagnose(self.findings)

    @property
    def host(self) -> HostInfo | None:
        """What is known of the host: since the first run has ended."""
        report = self.report or self.before
        return report.host if report else None

    @property
    def progress(self) -> tuple[int, int]:
        """How many checks have answered in this run, and how many there are."""
        return sum(self.answered.values()), sum(self.totals.values())

    def finding(self, key: str) -> Finding | None:
        """The finding with this key, as far as the run has come."""
        return next((each for each in self.findings if each.key == key), None)

    def explained(self, key: str) -> tuple[str, ...]:
        """What this finding explains, where it is a cause."""
        return next((each.explains for each in self.diagnosis.causes if each.finding.key == key), ())

    def step(self, step: Step) -> StepState:
        """The state of one step."""
        mine = [each for each in self.findings if each.step is step]
        live = [each for each in mine if not each.acknowledged]
        status = worst(each.status for each in live) if mine else None
        telling = max(live, key=lambda each: each.status.weight, default=None)
        words = ""
        if telling is not None and status is not None and status.weight >= Status.NOTICE.weight:
            words = telling.title
        elif mine:
            words = f"{sum(each.status is Status.OK for each in mine)} fine"
        total = self.totals.get(step, 0)
        done = total if self.report else self.answered.get(step, 0)
        took_s = max((each.duration_ms for each in mine), default=0) / 1000
        return StepState(step, done, total, status, words, took_s)

    def changes(self) -> Mapping[str, str]:
        """What is new or gone since the run before, by finding key: "new", "worse", "better", "cured"."""
        then = {each.key: each.status for each in self.before.findings} if self.before else self.earlier
        if then is None or self.report is None:
            return {}
        now = {each.key: each.status for each in self.report.findings}
        found = {key: _change(then.get(key), status) for key, status in now.items()}
        gone = {key: "cured" for key, status in then.items() if status.failing and key not in now}
        return {key: word for key, word in found.items() if word} | gone


def _change(then: Status | None, now: Status) -> str:
    if then is None:
        return "new" if now.failing else ""
    if then.failing and not now.failing and now is not Status.UNKNOWN:
        return "cured"
    if now.failing and now.weight > then.weight:
        return "worse" if then.failing else "new"
    return "better" if then.failing and now.weight < then.weight else ""
