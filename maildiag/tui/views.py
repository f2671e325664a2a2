"""What the screens say, as rows: pure functions of the board and the report."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from maildiag import workflow
from maildiag.model import Cause, Finding, Fix, GapReason, Status, Step
from maildiag.report import Report
from maildiag.text import plural, safe
from maildiag.tui.board import Board, StepState
from maildiag.tui.rows import STATUS_WORDS, Part, Row, Tone, caption, lines, row, word, wrapped

_GAPS = {
    GapReason.ABSENT: "not there",
    GapReason.DENIED: "not allowed",
    GapReason.TIMEOUT: "no answer in time",
    GapReason.FAILED: "the question failed",
    GapReason.NOT_RECORDED: "not recorded",
}
_ROLES = {"mail-server": "mail server", "relay-client": "relay client"}


def title(board: Board, place: str, width: int, locked: bool, recorded: bool) -> Row:
    """The first line of every screen: host, role, where one is; whether changes are possible always stays visible."""
    right = " DEMO " if recorded else " RO " if locked else " FIX "
    info = board.report.host if board.report else None
    who = f" {info.name} [{_ROLES.get(info.role, '?')}]" if info else ""
    cut = " (cut short)" if board.report and not board.report.complete else ""
    state = "running…" if board.running else f"run {board.report.started:%H:%M}Z{cut}" if board.report else ""
    left = f" maildiag {who}  {place}"
    room = width - len(right)
    text = f"{left}  {state:>{max(0, room - len(left) - 4)}}  "
    text = text if len(text) <= room else left[: room - 1] + "…"
    return row(
        "title",
        Part(f"{text:<{room}}"[:room], Tone.STRONG),
        Part(right, Tone.WARN if right == " FIX " else Tone.STRONG),
    )


def summary(board: Board) -> Row:
    """The counts of all statuses that matter, worst first."""
    order = [Status.CRITICAL, Status.WARNING, Status.UNKNOWN, Status.NOTICE, Status.OK, Status.SKIPPED]
    counts = [(status, sum(each.status is status for each in board.findings)) for status in order]
    parts = [
        Part(f" {count} {STATUS_WORDS[status].strip()} ", _tone(status))
        for status, count in counts
        if count or status is Status.OK
    ]
    acknowledged = sum(bool(each.acknowledged) for each in board.findings)
    more = [Part(f" {acknowledged} acknowledged", Tone.DIM)] if acknowledged else []
    return row("summary", *parts, *more)


def _tone(status: Status) -> Tone:
    return word(status).tone


def headline(board: Board, width: int) -> list[Row]:
    """The one sentence to act on, at most three lines; while running, what is being looked at."""
    if board.running and not any(each.status.failing for each in board.findings):
        return [row("headline", " ", Part(f"looking at: {', '.join(board.underway[:4])}", Tone.DIM))]
    said = board.diagnosis.headline if board.findings else "Nothing has been looked at yet."
    tone = Tone.STRONG if board.diagnosis.causes else Tone.GOOD
    return list(wrapped("headline", said, width, tone))[:3]


def steps(board: Board, width: int) -> list[Row]:
    """The seven steps in order, each with its state as it fills in."""
    return [_step(board.step(step), width) for step in Step]


def _step(state: StepState, width: int) -> Row:
    step = state.step
    name = f" {step.number} "
    mark = (
        Part("run ", Tone.ASK)
        if state.running and state.total
        else word(state.status)
        if state.status
        else Part("-   ", Tone.DIM)
    )
    told = state.headline or (workflow.QUESTIONS[step] if width > 60 else "")
    tone = Tone.PLAIN if state.status and state.status.failing else Tone.DIM
    return row(f"step:{step}", name, mark, f" {_step_name(step):<15}", Part(told, tone))


def _step_name(step: Step) -> str:
    return "DNS" if step is Step.DNS else step.value.capitalize()


def causes(board: Board, unfolded: frozenset[str], width: int = 80) -> list[Row]:
    """The ranked causes, their symptoms folded beneath, then what is unknown, and what is worth knowing."""
    changes = board.changes()
    found = [each for cause in board.diagnosis.causes for each in _cause(cause, board, unfolded, changes, width)]
    unknown = _with(board, Status.UNKNOWN)
    found += _folded("unknown", f"could not be told: {_reasons(board, unknown)}", unknown, unfolded, changes)
    found += _folded("notice", "worth knowing", _with(board, Status.NOTICE), unfolded, changes)
    cured = [key for key, change in changes.items() if change == "cured"]
    found += [
        row(f"cured:{key}", "  ", Part("ok  ", Tone.GOOD), f" cured since the last run: {safe(key)}") for key in cured
    ]
    found += _folded("acknowledged", "acknowledged", [e for e in board.findings if e.acknowledged], unfolded, changes)
    found += _folded("fine", "fine", _with(board, Status.OK), unfolded, changes)
    return found


def _reasons(board: Board, found: Sequence[Finding]) -> str:
    """Why answers are missing, the most frequent reason first."""
    reasons = Counter(_reason(board, each) for each in found)
    return ", ".join(f"{reason} ({count})" for reason, count in reasons.most_common())


def _reason(board: Board, finding: Finding) -> str:
    if finding.key in board.diagnosis.caused_by:
        return "because of a cause above"
    if finding.gap is None:
        return "for want of another answer"
    return safe(finding.gap.remedy) or _GAPS[finding.gap.reason]


def _with(board: Board, status: Status) -> list[Finding]:
    return [each for each in board.findings if each.status is status and not each.acknowledged]


def _cause(
    cause: Cause, board: Board, unfolded: frozenset[str], changes: Mapping[str, str], width: int
) -> Iterator[Row]:
    finding = cause.finding
    key = f"finding:{finding.key}"
    fixes = f"  fix {len(finding.fixes)}" if finding.fixes else ""
    beneath = f"  +{len(cause.explains)}" if cause.explains else ""
    after = f"{beneath}{fixes}{_changed(finding, changes)}"
    title = fitted(finding.title, width - len(after) - 9)
    yield row(key, " ", word(finding.status), Part(f" {title}", Tone.STRONG), Part(after, Tone.DIM))
    if key in unfolded:
        for symptom in filter(None, map(_finder(board), cause.explains)):
            yield _symptom(symptom, changes)


def fitted(text: str, width: int) -> str:
    """The text cut to `width` characters, so that what stands behind it stays in sight."""
    return text if len(text) <= width or width < 12 else text[: width - 1] + "…"


def _finder(board: Board):  # type: ignore[no-untyped-def]
    by_key = {each.key: each for each in board.findings}
    return by_key.get


def _symptom(finding: Finding, changes: Mapping[str, str]) -> Row:
    return row(
        f"finding:{finding.key}",
        Part("   └ ", Tone.DIM),
        word(finding.status),
        f" {finding.title}",
        Part(f"{_lacking(finding)}{_changed(finding, changes)}", Tone.DIM),
    )


def _lacking(finding: Finding) -> str:
    return f"  ({safe(str(finding.gap))})" if finding.gap else ""


def _changed(finding: Finding, changes: Mapping[str, str]) -> str:
    return f"  {changes[finding.key]}" if finding.key in changes else ""


def _folded(
    name: str, words: str, found: Sequence[Finding], unfolded: frozenset[str], changes: Mapping[str, str]
) -> Iterator[Row]:
    if not found:
        return
    key = f"group:{name}"
    sign = "-" if key in unfolded else "+"
    yield row(key, f" {sign} ", Part(f"{plural(len(found), 'answer')} {words}", Tone.DIM))
    if key in unfolded:
        for each in found:
            yield _symptom(each, changes)


def finding(report: Report, one: Finding, width: int, locked: bool, recorded: bool) -> list[Row]:
    """One finding: why, the evidence, the chain to its cause, the fixes, how it is verified."""
    found = [row("head", " ", word(one.status), Part(f" {one.title}", Tone.STRONG))]
    found.append(row("where", Part(f" {one.id}  step {one.step.number} {one.step}  {one.confidence}", Tone.DIM)))
    if one.detail:
        found += [caption("why"), *wrapped("detail", one.detail, width)]
    if one.gap:
        found += [caption("could not look"), *wrapped("gap", str(one.gap), width, Tone.ASK)]
    found += _evidence(one)
    found += _chain(report, one)
    for number, fix in enumerate(one.fixes):
        found += _fix(fix, "abcdefghij"[min(number, 9)], width, locked, recorded)
    if one.acknowledged:
        found += [caption("acknowledged"), *wrapped("ack", one.acknowledged, width)]
    return found


def _evidence(one: Finding) -> Iterator[Row]:
    if not one.evidence:
        return
    yield caption(f"evidence {len(one.evidence)}")
    for number, each in enumerate(one.evidence, 1):
        at = f"  {each.at:%H:%M:%S}Z" if each.at else ""
        yield row(f"source:{number}", Part(f" e{number} {each.source}{at}", Tone.DIM))
        yield from lines(f"evidence:{number}", each.text, Tone.CODE, "   ")


def _chain(report: Report, one: Finding) -> Iterator[Row]:
    above = report.diagnosis.caused_by.get(one.key, ())
    beneath = next((each.explains for each in report.diagnosis.causes if each.finding.key == one.key), ())
    if above:
        yield caption("caused by")
        yield from (_related(report, key) for key in above)
    if beneath:
        yield caption(f"explains {len(beneath)}")
        yield from (_related(report, key) for key in beneath)


def _related(report: Report, key: str) -> Row:
    other = report.finding(key)
    parts = (word(other.status), Part(f" {other.title}")) if other else (Part(safe(key)),)
    return row(f"finding:{key}", "  ", *parts)


def _fix(fix: Fix, letter: str, width: int, locked: bool, recorded: bool) -> Iterator[Row]:
    yield caption(f"fix {letter}: {safe(fix.title)}")
    undo = "yes" if fix.undo or fix.changes else "no"
    facts = f"risk: {fix.risk}   undo: {undo}   needs root: {'yes' if fix.needs_root else 'no'}"
    yield row(f"fix:{fix.id}:facts", Part(f" {facts}", Tone.DIM))
    for number, command in enumerate(fix.shell()):
        yield row(f"fix:{fix.id}:command:{number}", Part(f"   # {safe(command)}", Tone.CODE))
    for name, text in (("", fix.why), ("Disrupts: ", fix.disrupts), ("Ask: ", fix.ask)):
        if text:
            yield from wrapped(f"fix:{fix.id}:{name}", name + text, width)
    if fix.verify:
        yield row(f"fix:{fix.id}:verify", Part(f" verified by: {', '.join(fix.verify)}", Tone.DIM))
    if fix.commands and (recorded or locked):
        reason = "a recording cannot be changed" if recorded else "read-only: U unlocks, y copies"
        yield row(f"fix:{fix.id}:locked", Part(f" {reason}", Tone.DIM))


def verdict(key: str, now: Finding | None) -> str:
    """What judging a finding anew came to, in one sentence."""
    if now is None:
        return f"{safe(key)}: not found any more"
    if now.status is Status.UNKNOWN:
        return f"{safe(key)}: could not be told"
    return f"{safe(key)}: {'still ' if now.status.failing else ''}{STATUS_WORDS[now.status]}: {now.title}"
