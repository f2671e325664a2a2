"""What happens while a fix is applied, in words: one place for the command line and the TUI."""

from __future__ import annotations

from collections.abc import Sequence

from maildiag import text
from maildiag.redact import cut_secrets
from maildiag.repair import events
from maildiag.repair.events import Outcome, RepairEvent
from maildiag.repair.hand import Ran
from maildiag.text import plural
from maildiag.typed import typed


def told(event: RepairEvent) -> str:
    """One event as text, safe to show; empty for one that needs no words."""
    match event:
        case events.Judging(finding):
            return f"judging {_safe(finding)} again"
        case events.AllSaved(transaction, paths):
            return f"saved {plural(len(paths), 'path')} as {transaction} (maildiag undo {transaction})"
        case events.Guarded(ran):
            return f"guard {typed(ran.argv)}: " + ("passes" if ran.worked else f"does not pass\n{_shown(ran.output)}")
        case events.Running(argv):
            return f"$ {typed(argv)}"
        case events.Finished(ran):
            return _shown(ran.output) if ran.worked else f"{_failure(ran)}\n{_shown(ran.output)}".rstrip()
        case events.LeftOut(argv, why):
            return f"left out: {typed(argv)} ({_safe(why)})"
        case events.Verifying(attempt, waiting):
            return "verifying" if attempt == 1 else f"verifying again, waiting for {_list(waiting) or 'it to last'}"
        case events.Undoing(_, why):
            return f"undoing: {_safe(why)}"
        case events.Restored(path):
            return f"put back {_safe(path)}"
        case events.Undone(_, _, left):
            return "\n".join(f"could not be put back: {_safe(each)}" for each in left)
        case events.Saving() | events.Diagnosed() | events.Done():
            return ""


def concluded(outcome: Outcome) -> str:
    """The end of a fix in one sentence, and what to do next where something is to be done."""
    match outcome:
        case events.Cured(transaction, remaining, note):
            rest = f"; still failing for another cause: {_list(remaining)}" if remaining else ""
            return f"cured{rest}{f' ({_safe(note)})' if note else ''}; to take it back: maildiag undo {transaction}"
        case events.NotCured(why, undone):
            return f"not cured: {_safe(why)}; {_undone(undone)}"
        case events.MadeWorse(worse, undone):
            return f"made worse: {_list(worse)}; {_undone(undone)}"
        case events.NoLongerNeeded(why):
            return f"no longer needed: {_safe(why)}"
        case events.Refused(why):
            return f"refused, nothing was changed: {_safe(why)}"
        case events.Failed(ran, undone):
            return f"failed: {_failure(ran)}; {_undone(undone)}"
        case events.Unverified(transaction, why):
            return f"applied, but not verified: {_safe(why)}; to take it back: maildiag undo {transaction}"
        case events.Cancelled(undone):
            return f"cancelled; {_undone(undone)}"


def named(outcome: Outcome) -> str:
    """The outcome as one stable word for machines."""
    return {
        events.Cured: "cured",
        events.NotCured: "not-cured",
        events.MadeWorse: "made-worse",
        events.NoLongerNeeded: "no-longer-needed",
        events.Refused: "refused",
        events.Failed: "failed",
        events.Unverified: "unverified",
        events.Cancelled: "cancelled",
    }[type(outcome)]


def _failure(ran: Ran) -> str:
    if not ran.argv:
        return _safe(ran.output)
    how = "was stopped at its time limit" if ran.status is None else f"ended with status {ran.status}"
    return f"{typed(ran.argv)} {how}"


def _undone(undone: events.Undone) -> str:
    if undone.complete:
        return "everything is as it was"
    return "undone, but for: " + "; ".join(_safe(each) for each in undone.left)


def _list(keys: Sequence[str]) -> str:
    return ", ".join(_safe(each) for each in keys)


def _shown(output: str) -> str:
    return "\n".join(f"  {line}" for line in text.safe_lines(cut_secrets(output.strip()), most=30).splitlines())


def _safe(told: str) -> str:
    return text.safe(cut_secrets(told))
