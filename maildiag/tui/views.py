"""What the screens say, as rows: pure functions of the board and the report."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from maildiag import workflow
from maildiag.model import Cause, Finding, GapReason, Status, Step
from maildiag.records import dataclass
from maildiag.report import worst
from maildiag.text import plural, safe
from maildiag.tui.board import Board, StepState
from maildiag.tui.rows import STATUS_WORDS, Part, Row, Tone, row, word, wrapped

_GAPS = {
    GapReason.ABSENT: "not there",
    GapReason.DENIED: "not allowed",
    GapReason.TIMEOUT: "no answer in time",
    GapReason.FAILED: "the question failed",
    GapReason.NOT_RECORDED: "not recorded",
}
_ROLES = {"mail-server": "mail server", "relay-client": "relay client"}


@dataclass(frozen=True, slots=True)
class Here:
    """Where one is: the screen's name, the host's until a run has told it, and whether anything can be changed."""

    place: str
    host: str = ""
    locked: bool = True
    recorded: bool = False

    @property
    def mode(self) -> str:
        """The word at the right end of the title."""
        return " DEMO " if self.recorded else " RO " if self.locked else " FIX "


def title(board: Board, here: Here, width: int) -> Row:
    """The first line of every screen: host, role, where one is; whether changes are possible always stays visible."""
    room = width - len(here.mode)
    left = f" maildiag  {_who(board, here)}  {here.place}"
    state = _state(board)
    text = f"{left}  {state:>{max(0, room - len(left) - 4)}}  "
    text = text if len(text) <= room else left if len(left) <= room else left[: room - 1] + "…"
    return row(
        "title",
        Part(f"{text:<{room}}"[:room], Tone.STRONG),
        Part(here.mode, Tone.WARN if here.mode == " FIX " else Tone.STRONG),
    )


def _who(board: Board, here: Here) -> str:
    info = board.host
    return f"{info.name} [{_ROLES.get(info.role, '?')}]" if info else here.host


def _state(board: Board) -> str:
    if board.running:
        answered, total = board.progress
        return f"running {answered}/{total}" if total else "running"
    if board.report is None:
        return ""
    return f"run {board.report.started:%H:%M}Z{'' if board.report.complete else ' (cut short)'}"


_VERDICTS: dict[Status, str] = {
    Status.CRITICAL: "Mail or logins fail",
    Status.WARNING: "Mail flows, with trouble",
    Status.UNKNOWN: "Nothing seen broken, but not all seen",
}


def verdict(board: Board) -> Part:
    """Is mail working: what the worst of the statuses means (contract, Statuses)."""
    if not board.findings or (board.running and not _failing(board)):
        return Part("Looking …" if board.running else "Not looked yet", Tone.DIM)
    status = worst(each.status for each in board.findings if not each.acknowledged)
    return Part(_VERDICTS.get(status, "Mail works"), _tone(status) if status in _VERDICTS else Tone.GOOD)


def _failing(board: Board) -> bool:
    return any(each.status.failing for each in board.findings)


def summary(board: Board) -> Row:
    """Whether mail works, and the counts of all statuses that matter, worst first."""
    order = [Status.CRITICAL, Status.WARNING, Status.UNKNOWN, Status.NOTICE, Status.OK, Status.SKIPPED]
    counts = [(status, sum(each.status is status for each in board.findings)) for status in order]
    said = verdict(board)
    parts = [
        Part(f" {count} {STATUS_WORDS[status].strip()} ", _tone(status))
        for status, count in counts
        if count or status is Status.OK
    ]
    acknowledged = sum(bool(each.acknowledged) for each in board.findings)
    more = [Part(f" {acknowledged} acknowledged", Tone.DIM)] if acknowledged else []
    return row("summary", Part(f" {said.text}  ", said.tone), *parts, *more)


def _tone(status: Status) -> Tone:
    return word(status).tone


def headline(board: Board, width: int, most: int = 3) -> list[Row]:
    """The one sentence to act on, at most three lines; while running, what is being looked at."""
    if board.running and not _failing(board):
        return [row("headline", " ", Part(f"looking at: {', '.join(board.underway[:4])}", Tone.DIM))]
    said = board.diagnosis.headline if board.findings else "Nothing has been looked at yet."
    tone = Tone.STRONG if board.diagnosis.causes else Tone.GOOD
    return cut(list(wrapped("headline", said, width, tone)), most)


def cut(rows: list[Row], most: int) -> list[Row]:
    """The first rows; that there are more is told by an ellipsis."""
    if len(rows) <= most:
        return rows
    last = rows[most - 1]
    return [*rows[: most - 1], Row(last.key, (*last.parts, Part(" …", Tone.DIM)))]


def steps(board: Board, width: int) -> list[Row]:
    """The seven steps in order, each with its state as it fills in."""
    return [_step(board.step(step), width) for step in Step]


def worst_step(board: Board) -> str:
    """The key of the row where trouble is: the step of the first cause, or else the worst."""
    causes = board.diagnosis.causes
    if causes:
        return f"step:{causes[0].finding.step}"
    found = [board.step(step) for step in Step]
    worst_of_all = max(found, key=lambda each: (each.status.weight if each.status else -1, -each.step.number))
    return f"step:{worst_of_all.step}"


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


def judged(key: str, now: Finding | None) -> str:
    """What judging a finding anew came to, in one sentence."""
    if now is None:
        return f"{safe(key)}: not found any more"
    if now.status is Status.UNKNOWN:
        return f"{safe(key)}: could not be told"
    return f"{safe(key)}: {'still ' if now.status.failing else ''}{STATUS_WORDS[now.status]}: {now.title}"
