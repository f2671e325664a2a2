"""What the row under the cursor stands for: two lines beneath the list, or a whole pane where there is room."""

from __future__ import annotations

from maildiag.model import Finding
from maildiag.tui import views
from maildiag.tui.board import Board
from maildiag.tui.rows import Part, Row, Tone, row, wrapped

MOST_LINES = 3


def told(board: Board, key: str, width: int) -> list[Row]:
    """At most three lines: why, and what to do about it."""
    one = _finding(board, key)
    if one is None:
        return [row("told", Part(f" {_HINTS.get(key.partition(':')[0], '')}", Tone.DIM))]
    why = str(one.gap) if one.gap else one.detail or one.title
    lines = list(wrapped("why", why, width))
    return [*lines[: MOST_LINES - 1], row("do", Part(f" {_next(board, one)}", Tone.DIM))]


_HINTS = {
    "group": "space shows them, enter too",
    "cured": "it failed in the run before, and does not any more",
    "step": "enter walks this step",
}


def _next(board: Board, one: Finding) -> str:
    above = board.diagnosis.caused_by.get(one.key, ())
    if above:
        return f"because of {', '.join(above[:2])}: fix that first"
    fix = next(iter(one.fixes), None)
    cure = f"fix: {fix.shell()[0] if fix.commands else fix.title}" if fix else "enter shows the evidence"
    return f"{one.id}   {cure}   B runbook"


def pane(board: Board, key: str, width: int, locked: bool, recorded: bool) -> list[Row]:
    """The whole finding, to be read beside the list."""
    one, report = _finding(board, key), board.report
    if one is None or report is None:
        return told(board, key, width)
    return views.finding(report, one, width, locked, recorded)


def _finding(board: Board, key: str) -> Finding | None:
    kind, _, name = key.partition(":")
    return next((each for each in board.findings if each.key == name), None) if kind == "finding" else None
