"""What the row under the cursor stands for: two lines beneath the list, or a whole pane where there is room."""

from __future__ import annotations

from maildiag.model import Finding
from maildiag.text import safe
from maildiag.tui.board import Board
from maildiag.tui.findingview import finding
from maildiag.tui.rows import Part, Row, Tone, row, wrapped
from maildiag.tui.views import Here, cut, fitted
from maildiag.typed import typed

MOST_LINES = 3


def told(board: Board, key: str, width: int) -> list[Row]:
    """At most three lines: why, and what to do about it."""
    one = _finding(board, key)
    if one is None:
        return [row("told", Part(f" {_HINTS.get(key.partition(':')[0], '')}", Tone.DIM))]
    why = str(one.gap) if one.gap else one.detail or one.title
    do = fitted(f" {_next(board, one)}", width - 2)
    return [*cut(list(wrapped("why", why, width)), MOST_LINES - 1), row("do", Part(do, Tone.DIM))]


_HINTS = {
    "group": "space shows them, enter too",
    "cured": "it failed in the run before, and does not any more",
    "step": "enter walks this step",
}


def _next(board: Board, one: Finding) -> str:
    above = board.diagnosis.caused_by.get(one.key, ())
    if above:
        return f"because of {safe(', '.join(above[:2]))}: fix that first"
    fix = next(iter(one.fixes), None)
    return (
        f"fix: {safe(typed(fix.commands[0]) if fix.commands else fix.title)}"
        if fix
        else "enter shows the evidence, B the runbook"
    )


def pane(board: Board, key: str, width: int, here: Here) -> list[Row]:
    """The whole finding, to be read beside the list."""
    one = _finding(board, key)
    return finding(board, one, width, here) if one else told(board, key, width)


def _finding(board: Board, key: str) -> Finding | None:
    kind, _, name = key.partition(":")
    return board.finding(name) if kind == "finding" else None
