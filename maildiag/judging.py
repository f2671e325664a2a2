"""Judges one check by its facts: verdicts become findings with their place in the run, and all their text is made safe to show."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import fields, replace
from datetime import UTC, datetime
from typing import Any

from maildiag.asking import Session, crash
from maildiag.events import CheckFinished
from maildiag.hosts import Host
from maildiag.model import (
    Confidence,
    Evidence,
    Finding,
    Fix,
    Gap,
    GapReason,
    HostInfo,
    HostRole,
    JsonValue,
    Status,
    Step,
    Verdict,
)
from maildiag.redact import cut_secrets
from maildiag.registry import PLUGIN, Check, Want
from maildiag.text import safe, safe_lines


def judge(session: Session, check: Check) -> CheckFinished:
    """The check's findings; never raises for what a check does."""
    begun = time.monotonic()
    verdicts = list(_verdicts(session, check))
    took = round((time.monotonic() - begun) * 1000)
    return CheckFinished(check, tuple(_finding(session, check, each, gap, took) for each, gap in verdicts))


def _verdicts(session: Session, check: Check) -> Iterator[tuple[Verdict, Gap | None]]:
    role = session.value(HostRole)
    if isinstance(role, HostRole) and role.role not in check.roles:
        yield Verdict(status=Status.SKIPPED, title=f"Does not apply: role is {role.role}"), None
        return
    given: dict[str, Any] = {}
    gaps: list[Gap] = []
    for need in check.needs:
        value = session.value(need.fact)
        if isinstance(value, Gap) and need.want is Want.REQUIRED:
            gaps.append(value)
        given[need.name] = None if isinstance(value, Gap) and need.want is Want.OR_NONE else value
    if gaps:
        told = _not_told(check, gaps[0])
        yield told, gaps[0] if told.status is Status.UNKNOWN else None
        return
    try:
        said = list(check.judge(**given))
    except Exception as error:  # noqa: BLE001 (a bug of ours or of a plug-in, never the host's fault)
        yield _crashed(check, error), Gap(GapReason.FAILED, "the check crashed")
        return
    if not said:
        yield _crashed(check, ValueError("the check said nothing")), Gap(GapReason.FAILED, "the check said nothing")
    for verdict in said:
        yield verdict, None


# What keeps any program from answering: doveconf(1) of 2.4, for one, aborts where /tmp is full.
_SHORT = ("services.disk", "services.memory")


def _not_told(check: Check, gap: Gap) -> Verdict:
    """What asks of Postfix or Dovecot does not apply where there is none; everything else could not be told."""
    if gap.reason is GapReason.ABSENT and gap.detail in ("Postfix is not installed", "Dovecot is not installed"):
        return Verdict(status=Status.SKIPPED, title=gap.detail)
    short = _SHORT if gap.reason is GapReason.FAILED else ()
    return Verdict(
        status=Status.UNKNOWN,
        title=f"Could not tell: {check.asks}",
        detail=str(gap),
        explained_by=(*check.explained_by, *(each for each in short if each not in check.explained_by)),
    )


def _crashed(check: Check, error: Exception) -> Verdict:
    return Verdict(
        status=Status.UNKNOWN,
        title=f"The check {check.id} of {check.module} failed; this is a bug of maildiag or of the plug-in",
        detail=crash(error),
    )


def _finding(session: Session, check: Check, verdict: Verdict, gap: Gap | None, took: int) -> Finding:
    """The verdict in its place, with all text made safe to show and without the secrets that log lines and settings tell."""
    return Finding(
        id=verdict.id or check.id,
        check=check.id,
        step=check.step,
        subject=safe(cut_secrets(verdict.subject), 300),
        status=verdict.status,
        title=safe(cut_secrets(verdict.title), 300),
        detail=safe_lines(cut_secrets(verdict.detail)),
        data={safe(key): _clean(value) for key, value in verdict.data.items()},
        evidence=tuple(_evidence(session, check, each) for each in verdict.evidence),
        fixes=tuple(_clean_fix(each) for each in verdict.fixes),
        explained_by=check.explained_by if verdict.explained_by is None else verdict.explained_by,
        confidence=verdict.confidence,
        runbook=check.id,
        duration_ms=took,
        gap=_clean_gap(gap or (Gap(GapReason.FAILED, verdict.title) if verdict.status is Status.UNKNOWN else None)),
        acknowledged=_acknowledged(session, verdict.id or check.id, verdict.subject),
    )


def _evidence(session: Session, check: Check, each: Evidence) -> Evidence:
    at = each.at or session.read_at(each.source, (need.fact for need in check.needs))
    return Evidence(safe(cut_secrets(each.source), 300), safe_lines(cut_secrets(each.text)), at)


def _clean_fix(fix: Fix) -> Fix:
    """The words made safe; the commands stay what they are, and `Fix.shell` shows them safely."""
    title, why, ask = (cut_secrets(each) for each in (fix.title, fix.why, fix.ask))
    return replace(fix, title=safe(title, 300), why=safe_lines(why), ask=safe_lines(ask))


def _clean_gap(gap: Gap | None) -> Gap | None:
    return gap and Gap(gap.reason, safe(gap.detail), safe(gap.remedy))


def _clean(value: JsonValue) -> JsonValue:
    if isinstance(value, str):
        return safe(cut_secrets(value))
    if isinstance(value, list | tuple):
        return [_clean(each) for each in value]
    if isinstance(value, dict):
        return {safe(str(key)): _clean(each) for key, each in value.items()}
    return value


def clean_info(info: HostInfo) -> HostInfo:
    """The head of the report, safe to show."""
    words = {name: getattr(info, name) for name in (each.name for each in fields(info))}
    told: dict[str, Any] = {name: safe(value) for name, value in words.items() if isinstance(value, str)}
    return replace(info, **told)


def no_info(host: Host) -> HostInfo:
    """The head of a report on a host of which nothing could be told."""
    return HostInfo(
        name="",
        role="",
        role_reason="could not be told",
        os="",
        postfix="",
        dovecot="",
        firewall="",
        log_source="",
        privileged=False,
        source=safe(host.source),
    )


def _acknowledged(session: Session, id: str, subject: str) -> str:
    today = datetime.now(UTC).date()
    for each in session.settings.acknowledgements:
        if each.id == id and each.subject in ("", subject) and today <= each.expires:
            return f"{each.reason} (until {each.expires})"
    return ""


def broken(name: str, why: str) -> Finding:
    """The finding that names a plug-in which could not be loaded."""
    return Finding(
        id=PLUGIN,
        check=PLUGIN,
        step=Step.SERVICES,
        subject=safe(name),
        status=Status.UNKNOWN,
        title=safe(f"The plug-in {name} could not be loaded"),
        detail=safe_lines(why),
        data={},
        evidence=(),
        fixes=(),
        explained_by=(),
        confidence=Confidence.CERTAIN,
        runbook=PLUGIN,
        duration_ms=0,
        gap=Gap(GapReason.FAILED, why, f"mend or remove {name}"),
    )
