"""The contract's JSON document: its shape as types, filled from a report; the published schema is generated from these."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from typing import Any, TypedDict, cast

from maildiag.model import Cause, Finding, Fix
from maildiag.redact import cut_secrets
from maildiag.report import SCHEMA, Report, StepResult, Timing, evidence_json
from maildiag.typed import withheld


class ToolDocument(TypedDict):
    """Which program wrote the document."""

    name: str
    version: str


class HostDocument(TypedDict):
    """The host that was diagnosed; an empty string is "not there" or "could not be told".

    `seen` is RFC 3339, UTC: when it was looked at by its own clock; for a bundle, when it was recorded.
    """

    name: str
    role: str
    role_reason: str
    os: str
    postfix: str
    dovecot: str
    firewall: str
    log_source: str
    privileged: bool
    source: str
    seen: str


class EvidenceDocument(TypedDict):
    """The lines that show a finding; `at` is RFC 3339, UTC, or empty."""

    source: str
    text: str
    at: str


class SubjectDocument(TypedDict):
    """A finding named exactly: its id and its subject."""

    id: str
    subject: str


class CauseDocument(TypedDict):
    """A ranked cause; `explains` lists the ids of its symptoms, `symptoms` the same with their subjects."""

    id: str
    subject: str
    status: str
    confidence: str
    title: str
    detail: str
    evidence: list[EvidenceDocument]
    explains: list[str]
    symptoms: list[SubjectDocument]
    fixes: list[str]
    runbook: str


class DiagnosisDocument(TypedDict):
    """The headline and the ranked causes, the one to act on first is first."""

    headline: str
    causes: list[CauseDocument]


class StepDocument(TypedDict):
    """One of the seven steps."""

    step: str
    question: str
    status: str
    findings: list[str]


class FindingDocument(TypedDict):
    """One answer of one check about one subject."""

    id: str
    check: str
    step: str
    subject: str
    status: str
    title: str
    detail: str
    data: dict[str, Any]
    evidence: list[EvidenceDocument]
    confidence: str
    caused_by: list[str]
    fixes: list[str]
    runbook: str
    duration_ms: int
    gap: str
    acknowledged: str


class FixDocument(TypedDict):
    """The commands that cure a cause, as argument vectors."""

    id: str
    title: str
    commands: list[list[str]]
    risk: str
    needs_root: bool
    automatic: bool
    undo: list[list[str]]
    verify: list[str]
    why: str
    changes: list[str]
    disrupts: str
    ask: str
    withheld: str


class TimingDocument(TypedDict):
    """How long one probe took."""

    source: str
    seconds: float
    answered: bool


class ReportDocument(TypedDict):
    """`maildiag run --json`."""

    schema: str
    tool: ToolDocument
    started: str
    duration_s: float
    complete: bool
    host: HostDocument
    status: str
    counts: dict[str, int]
    diagnosis: DiagnosisDocument
    steps: list[StepDocument]
    findings: list[FindingDocument]
    fixes: list[FixDocument]
    timings: list[TimingDocument]


def document(report: Report) -> ReportDocument:
    """The report as the contract's document, ready for `json.dump`."""
    return {
        "schema": SCHEMA,
        "tool": {"name": "maildiag", "version": report.version},
        "started": report.started.isoformat(),
        "duration_s": round(report.duration_s, 3),
        "complete": report.complete,
        "host": _host(report),
        "status": report.status,
        "counts": {status.value: count for status, count in report.counts.items()},
        "diagnosis": {
            "headline": report.diagnosis.headline,
            "causes": [_cause(each) for each in report.diagnosis.causes],
        },
        "steps": [_step(each) for each in report.steps],
        "findings": [finding_document(each, report.diagnosis.caused_by.get(each.key, ())) for each in report.findings],
        "fixes": [_fix(each) for each in report.fixes],
        "timings": [_timing(each) for each in report.timings],
    }


def _host(report: Report) -> HostDocument:
    return cast(HostDocument, asdict(report.host) | {"seen": report.seen.isoformat()})


def _ids(keys: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(key.partition("@")[0] for key in keys))


def _subject(key: str) -> SubjectDocument:
    name, _, subject = key.partition("@")
    return {"id": name, "subject": subject}


def _evidence(finding: Finding) -> list[EvidenceDocument]:
    return [EvidenceDocument(**evidence_json(each)) for each in finding.evidence]  # type: ignore[typeddict-item]


def _cause(cause: Cause) -> CauseDocument:
    finding = cause.finding
    return {
        "id": finding.id,
        "subject": finding.subject,
        "status": finding.status,
        "confidence": finding.confidence,
        "title": finding.title,
        "detail": finding.detail,
        "evidence": _evidence(finding),
        "explains": _ids(cause.explains),
        "symptoms": [_subject(key) for key in cause.explains],
        "fixes": [fix.id for fix in finding.fixes],
        "runbook": finding.runbook,
    }


def _step(result: StepResult) -> StepDocument:
    return {
        "step": result.step,
        "question": result.question,
        "status": result.status,
        "findings": _ids(each.key for each in result.findings),
    }


def finding_document(finding: Finding, caused_by: Iterable[str] = ()) -> FindingDocument:
    """One finding; `caused_by` are the keys of those that explain it, known once the run is over."""
    return {
        "id": finding.id,
        "check": finding.check,
        "step": finding.step,
        "subject": finding.subject,
        "status": finding.status,
        "title": finding.title,
        "detail": finding.detail,
        "data": dict(finding.data),
        "evidence": _evidence(finding),
        "confidence": finding.confidence,
        "caused_by": _ids(caused_by),
        "fixes": [fix.id for fix in finding.fixes],
        "runbook": finding.runbook,
        "duration_ms": finding.duration_ms,
        "gap": finding.gap.reason if finding.gap else "",
        "acknowledged": finding.acknowledged,
    }


def _fix(fix: Fix) -> FixDocument:
    """A secret in a command is cut, and what is not whole is not for a program to run."""
    commands, undo = _without_secrets(fix.commands), _without_secrets(fix.undo)
    whole = commands == [list(argv) for argv in fix.commands]
    return {
        "id": fix.id,
        "title": fix.title,
        "commands": commands,
        "risk": fix.risk,
        "needs_root": fix.needs_root,
        "automatic": fix.automatic and whole,
        "undo": undo,
        "verify": list(fix.verify),
        "why": fix.why,
        "changes": list(fix.changes),
        "disrupts": fix.disrupts,
        "ask": fix.ask,
        "withheld": withheld(fix),
    }


def _without_secrets(commands: Iterable[Iterable[str]]) -> list[list[str]]:
    return [[cut_secrets(word) for word in argv] for argv in commands]


def _timing(timing: Timing) -> TimingDocument:
    return {"source": timing.source, "seconds": round(timing.seconds, 4), "answered": timing.answered}
