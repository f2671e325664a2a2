"""Judges a finding before and after its fix: what has to be clean, what got worse, and what still fails for another cause."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

from maildiag import engine
from maildiag.hosts import Host
from maildiag.model import Finding, Fix, Status
from maildiag.records import dataclass
from maildiag.registry import Check, Registry
from maildiag.report import Report
from maildiag.settings import Settings

_FINE = (Status.OK, Status.NOTICE)
_FRESH = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Bench:
    """What judges: the machine, the checks, the settings."""

    host: Host
    registry: Registry
    settings: Settings

    def look(self, checks: Sequence[str]) -> Report:
        """A run of these checks alone."""
        chosen = [each for each in self.registry.select() if each.id in checks]
        return engine.report(self.host, self.registry, self.settings, chosen)

    def look_at_all(self) -> Report:
        """A run of every check."""
        return engine.report(self.host, self.registry, self.settings)

    def check_of(self, finding: str, known: Iterable[Finding] = ()) -> Check | None:
        """The check that answers a finding id."""
        if finding in self.registry.checks:
            return self.registry.checks[finding]
        owner = next((each.check for each in known if each.id == finding), "")
        return self.registry.checks.get(owner)


@dataclass(frozen=True, slots=True)
class Cure:
    """A fix, the finding that it is to cure, and the keys of what hangs beneath the finding."""

    finding: Finding
    fix: Fix
    explains: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Clean:
    """The finding is gone and all that the fix names for verification is clean."""


@dataclass(frozen=True, slots=True)
class StillFailing:
    """These findings still fail; where `own` is true, the one that the fix is for is among them."""

    keys: tuple[str, ...]
    own: bool


@dataclass(frozen=True, slots=True)
class CannotTell:
    """Whether it is clean could not be determined."""

    why: str


@dataclass(frozen=True, slots=True)
class Worse:
    """These were fine before and fail now."""

    keys: tuple[str, ...]


Judgement = Clean | StillFailing | CannotTell | Worse


def watched(cure: Cure, bench: Bench, besides: Iterable[str] = ()) -> tuple[str, ...]:
    """The ids of the checks that are run before and after: the finding's own, the fix's, those it explains, `besides`."""
    names = [cure.finding.check, *cure.fix.verify, *(key.partition("@")[0] for key in cure.explains), *besides]
    checks = [bench.check_of(name, (cure.finding,)) for name in names]
    return tuple(dict.fromkeys(each.id for each in checks if each is not None))


def serves(shown: Report, checks: Collection[str], paths: Iterable[str], now: datetime) -> bool:
    """True where a report needs no repeating before a fix that changes these paths.

    It began less than a minute ago, answers every one of the checks, and nothing was changed there since.
    """
    answered = {each.check for each in shown.findings}
    fresh = timedelta(0) <= now - shown.started < _FRESH
    return shown.complete and fresh and answered.issuperset(checks) and _untouched(paths, shown.started)


def _untouched(paths: Iterable[str], since: datetime) -> bool:
    """By the time of the inode's last change, which nobody can set; for what is not there, by its directory's (inode(7))."""
    for each in paths:
        path = Path(each)
        while not path.is_symlink() and not path.exists():
            path = path.parent
        if path.lstat().st_ctime >= since.timestamp():
            return False
    return True


def only(report: Report, checks: Collection[str]) -> Report:
    """The report with what these checks found alone."""
    return replace(report, findings=tuple(each for each in report.findings if each.check in checks))


def judge(cure: Cure, before: Report, after: Report, edits: bool) -> Judgement:
    """Compare two runs of the watched checks. `edits` tells whether the fix edits files (it may uncover a next error)."""
    worse = _worse(before, after)
    if worse:
        return Worse(worse)
    own = [each for each in after.findings if each.id == cure.finding.id]
    still = tuple(each.key for each in own if _same(each, cure, before, edits))
    if still:
        return StillFailing(still, own=True)
    if not own:
        return CannotTell(f"{cure.finding.id} was not answered")
    unknown = next((each for each in own if each.gap and each.subject in ("", cure.finding.subject)), None)
    if unknown is not None:
        return CannotTell(f"{unknown.title}: {unknown.gap}")
    return _verified(cure, after)


def _verified(cure: Cure, after: Report) -> Judgement:
    named = [
        each for each in after.findings if {each.id, each.key} & set(cure.fix.verify) and each.id != cure.finding.id
    ]
    failing = tuple(each.key for each in named if each.status.failing)
    if failing:
        return StillFailing(failing, own=False)
    unknown = next((each for each in named if each.gap), None)
    return CannotTell(f"{unknown.title}: {unknown.gap}") if unknown is not None else Clean()


def _same(now: Finding, cure: Cure, before: Report, edits: bool) -> bool:
    """True where this failing finding is the old trouble: the same subject, or one that was not failing before.

    An edit can uncover the next error of the same file under the same name (doveconf stops at the first): that is
    progress, seen by other evidence and by the old commands not being offered any more.
    """
    if not now.status.failing:
        return False
    failed_before = {each.key for each in before.findings if each.status.failing}
    if now.key != cure.finding.key and now.key in failed_before:
        return False
    uncovered = (
        edits
        and all(each.commands != cure.fix.commands for each in now.fixes)
        and {each.text for each in now.evidence} != {each.text for each in cure.finding.evidence}
    )
    return not uncovered


def _worse(before: Report, after: Report) -> tuple[str, ...]:
    """What was fine, under its key or in all of its check, and fails now.

    What could not be told before (the service was down) is uncovered, not made worse.
    """
    was = {each.key: each.status for each in before.findings}
    fine = {each.check for each in before.findings} - {
        each.check for each in before.findings if each.status not in _FINE
    }
    return tuple(
        each.key
        for each in after.findings
        if each.status.failing and (was.get(each.key) in _FINE or (each.key not in was and each.check in fine))
    )


def explained_elsewhere(keys: Sequence[str], own: str, report: Report) -> bool:
    """True where each of these findings hangs beneath a failing cause that is not `own`."""
    others = [cause for cause in report.diagnosis.causes if cause.finding.key != own]
    covered = {key for cause in others for key in cause.explains}
    return all(key in covered for key in keys)
