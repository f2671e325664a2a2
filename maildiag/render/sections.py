"""What every readable form of the report tells beside the causes: symptoms, grouped gaps, notices, acknowledgements."""

from __future__ import annotations

from datetime import datetime

from maildiag.model import Cause, Finding, GapReason, Status
from maildiag.records import dataclass
from maildiag.report import Report
from maildiag.text import plural, safe


@dataclass(frozen=True, slots=True)
class UnknownGroup:
    """Questions that could not be answered for the same reason."""

    reason: str
    findings: tuple[Finding, ...]


def moment(at: datetime) -> str:
    """A time of day as reports tell it: UTC, to the second."""
    return at.strftime("%Y-%m-%d %H:%M:%S UTC")


def host_rows(report: Report) -> list[tuple[str, str]]:
    """When what was seen, on which host and by which maildiag; what could not be told is left out."""
    host = report.host
    rows = (
        ("Seen", moment(report.seen)),
        ("Host", host.name),
        ("Role", f"{host.role} ({host.role_reason})"),
        ("System", host.os),
        ("Postfix", host.postfix),
        ("Dovecot", host.dovecot),
        ("Firewall", host.firewall),
        ("Log", host.log_source),
        ("Read as root", "yes" if host.privileged else "no"),
        ("Source", host.source),
        ("maildiag", report.version),
    )
    return [(name, value) for name, value in rows if value]


def symptoms(cause: Cause, report: Report) -> list[Finding]:
    """The findings that the cause explains, the weightiest first."""
    found = [report.finding(key) for key in cause.explains]
    return sorted((each for each in found if each is not None), key=lambda each: -each.status.weight)


def unknown_groups(report: Report) -> list[UnknownGroup]:
    """The open questions that no cause explains, by reason; the biggest group first."""
    groups: dict[str, list[Finding]] = {}
    for each in report.findings:
        if each.status is Status.UNKNOWN and each.key not in report.diagnosis.caused_by and not each.acknowledged:
            groups.setdefault(_reason(each), []).append(each)
    told = [UnknownGroup(reason, tuple(found)) for reason, found in groups.items()]
    return sorted(told, key=lambda group: -len(group.findings))


def group_line(group: UnknownGroup) -> str:
    """`14 questions need root`."""
    count = len(group.findings)
    questions = plural(count, "question")
    if group.reason == _ROOT:
        return f"{questions} {'needs' if count == 1 else 'need'} root: run it as root, or with sudo"
    if group.reason == _NOT_RECORDED:
        return f"{questions} {'is' if count == 1 else 'are'} not in this recording"
    return group.reason if count == 1 else f"{questions}: {group.reason}"


_ROOT = "needs root"
_NOT_RECORDED = "not recorded"


def _reason(finding: Finding) -> str:
    gap = finding.gap
    if gap is None:
        return finding.detail or finding.title
    if "root" in gap.remedy or (gap.reason is GapReason.DENIED and not gap.remedy):
        return _ROOT
    if gap.reason is GapReason.NOT_RECORDED:
        return _NOT_RECORDED
    return safe(str(gap))


def notices(report: Report) -> list[Finding]:
    """What is worth knowing and breaks nothing."""
    return [each for each in report.findings if each.status is Status.NOTICE and not each.acknowledged]


def acknowledged(report: Report) -> list[Finding]:
    """What somebody has taken note of, until a date."""
    return [each for each in report.findings if each.acknowledged]
