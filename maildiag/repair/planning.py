"""Which fix comes next: the ranked causes with their fixes, and what `--yes` may still try."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Sequence

from maildiag.model import Cause, Fix
from maildiag.repair.judging import Cure
from maildiag.report import Report

Tried = tuple[str, tuple[tuple[str, ...], ...]]


def causes(report: Report, wanted: Sequence[str] = ()) -> list[Cause]:
    """The ranked causes; with `wanted` (finding ids, keys or fix ids) those findings, causes or not, in their order."""
    if not wanted:
        return list(report.diagnosis.causes)
    known = {cause.finding.key: cause for cause in report.diagnosis.causes}
    named = [
        each
        for each in report.findings
        if each.fixes
        and not each.gap
        and ({each.id, each.key} & set(wanted) or any(fix.id in wanted for fix in each.fixes))
    ]
    return [known.get(each.key) or Cause(each, ()) for each in named]


def names(report: Report) -> set[str]:
    """What a finding or a fix of this report may be called by."""
    found = {name for each in report.findings for name in (each.id, each.key, each.check)}
    return found | {fix.id for fix in report.fixes}


def unknown_names(report: Report, wanted: Iterable[str]) -> list[str]:
    """The names that are no finding and no fix of this report."""
    known = names(report)
    return [each for each in wanted if each not in known]


def fixes(cause: Cause, wanted: Sequence[str] = ()) -> list[Fix]:
    """The cause's fixes, the safest first; only the named one where a fix is named."""
    named = [each for each in cause.finding.fixes if each.id in wanted]
    return named or list(cause.finding.fixes)


def cure(cause: Cause, fix: Fix) -> Cure:
    """The cause with one of its fixes."""
    return Cure(cause.finding, fix, cause.explains)


def tried(chosen: Cure) -> Tried:
    """What is remembered of an attempt: the same commands for the same finding are not tried twice."""
    return chosen.finding.key, chosen.fix.commands


def automatic(report: Report, done: Container[Tried], wanted: Sequence[str] = ()) -> Cure | None:
    """The first automatic fix, in rank order, that was not tried; None where none is left."""
    return next((each for each in _automatic(report, wanted) if tried(each) not in done), None)


def _automatic(report: Report, wanted: Sequence[str]) -> Iterator[Cure]:
    for cause in causes(report, wanted):
        for fix in fixes(cause, wanted):
            if fix.automatic and fix.commands:
                yield cure(cause, fix)
