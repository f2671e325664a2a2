"""Judges what maildiag said of a broken host: a pure function from its report to complaints."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from tests.lab.faults import Fault


@dataclass(frozen=True, slots=True)
class Blamed:
    """One cause of a report."""

    id: str
    subject: str
    status: str
    title: str

    def __str__(self) -> str:
        return f"{self.id} ({self.subject})" if self.subject else self.id


@dataclass(frozen=True, slots=True)
class Report:
    """What of maildiag's JSON document the judge looks at."""

    status: str
    causes: tuple[Blamed, ...]
    crashed: tuple[str, ...]


def parsed(text: str) -> Report:
    """The report in the JSON `text`; raises ValueError where it is none."""
    document = json.loads(text)
    try:
        causes = tuple(_blamed(cause) for cause in document["diagnosis"]["causes"])
        crashed = tuple(
            f"{finding['id']}: {finding['detail']}" for finding in document["findings"] if _is_our_bug(finding)
        )
        return Report(str(document["status"]), causes, crashed)
    except (KeyError, TypeError) as problem:
        raise ValueError(f"no report of maildiag: {type(problem).__name__} {problem}") from problem


def judge(report: Report, fault: Fault) -> list[str]:
    """What is wrong with `report` on a host that has `fault`; empty when it is right.

    The first cause must be one that the fault accepts (none at all, where it accepts none), and no cause may be one that it
    excludes. Both may be globs.
    """
    complaints = _of_first(report, fault)
    for cause in report.causes:
        complaints += [
            f"blames {cause}: {cause.title}" for pattern in fault.not_blamed if fnmatchcase(cause.id, pattern)
        ]
    return complaints + [f"crashed: {check}" for check in report.crashed]


def still_blamed(report: Report, fault: Fault) -> list[str]:
    """The causes of `fault` that are there still, for the second look after a fix."""
    return [
        f"still blames {cause} after the fix" for cause in report.causes if is_one_of(cause, fault.first, fault.subject)
    ]


def _of_nothing(report: Report) -> list[str]:
    alarm = [f"is {report.status} where nothing is wrong"] if report.status in ("warning", "critical") else []
    return alarm + [f"blames {cause} where nothing is wrong: {cause.title}" for cause in report.causes]


def _of_first(report: Report, fault: Fault) -> list[str]:
    causes = report.causes
    if not fault.first:
        return _of_nothing(report)
    if not causes:
        return [f"blames nothing; expected {' or '.join(fault.first)}"]
    if is_one_of(causes[0], fault.first, fault.subject):
        return []
    place = next((at for at, cause in enumerate(causes, 1) if is_one_of(cause, fault.first, fault.subject)), None)
    where = f"it comes {place}." if place else "it is not among the causes"
    about = f" about {fault.subject}" if fault.subject else ""
    return [f"blames {causes[0]} first: {causes[0].title}; expected {' or '.join(fault.first)}{about}, {where}"]


def is_one_of(cause: Blamed, ids: Sequence[str], subject: str) -> bool:
    """True where the cause is one of these (globs), about a subject like this one (a glob; empty: any)."""
    return any(fnmatchcase(cause.id, pattern) for pattern in ids) and fnmatchcase(cause.subject, subject or "*")


def _is_our_bug(finding: dict[str, Any]) -> bool:
    """A check or a gatherer that crashed is an unknown finding that calls itself a bug."""
    return (
        finding["status"] == "unknown" and re.search(r"\bbug\b", f"{finding['title']} {finding['detail']}") is not None
    )


def _blamed(cause: dict[str, Any]) -> Blamed:
    return Blamed(str(cause["id"]), str(cause["subject"] or ""), str(cause["status"]), str(cause["title"]))
