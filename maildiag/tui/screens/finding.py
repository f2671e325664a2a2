"""One finding: evidence, explanation, chain to its cause, fixes."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.widgets import Input

from maildiag.config import SYSTEM
from maildiag.model import Finding
from maildiag.report import Report
from maildiag.tui import acknowledging, copying, findingview, views
from maildiag.tui.rowlist import RowList
from maildiag.tui.rows import Tone, caption, lines, row
from maildiag.tui.screens.base import Place
from maildiag.tui.screens.copy import CopyMenu
from maildiag.tui.screens.reader import Reader
from maildiag.tui.traced import queue_ids


class FindingScreen(Place):
    """Evidence with its source, what it means, and what to type."""

    about = "One finding: why, the lines that show it, the commands that cure it, and what hangs together with it. p shows what the cure would change; a asks and applies it; v judges again."
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y", "copy", "Copy", id="finding.copy"),
        Binding("p", "preview", "Preview", id="fix.preview"),
        Binding("a", "apply", "Apply", id="fix.apply"),
        Binding("v", "verify", "Verify", id="finding.verify"),
        Binding("i", "acknowledge", "Ack", id="finding.acknowledge"),
        Binding("t", "trace", "Trace", id="finding.trace", show=False),
        Binding("right_square_bracket", "next(1)", "Next", id="finding.next", show=False),
        Binding("left_square_bracket", "next(-1)", "Previous", id="finding.previous", show=False),
    ]

    def __init__(self, key: str) -> None:
        super().__init__()
        self.key = key
        self._judged: Report | None = None
        self._waiting = False

    def body(self) -> ComposeResult:
        """One list of rows, and the line for the reason of an acknowledgement."""
        yield RowList(id="lines")
        yield Input(id="reason", placeholder="why is this accepted? enter copies the lines for config.toml, esc leaves")

    def opened(self) -> None:
        """Called once, when the screen is there."""
        self.focus_on("#lines")

    @property
    def finding(self) -> Finding | None:
        """The finding in the newest report, or in the run under way."""
        return self.board.finding(self.key)

    def name_of_place(self) -> str:
        """Its id, without the subject: the screen tells that."""
        return f"Finding > {self.key.partition('@')[0]}"

    def refresh_rows(self) -> None:
        """The finding as it is now."""
        rows = self.query_one("#lines", RowList)
        if self.finding is None:
            rows.show([row("gone", " Not there any more: the last run does not find it.")])
        else:
            rows.show(findingview.finding(self.board, self.finding, self.width, self.here))

    @on(RowList.Chosen, "#lines")
    def follow(self, event: RowList.Chosen) -> None:
        """Open the finding that the row names."""
        if event.row.key.startswith("finding:"):
            self.key = event.row.key.removeprefix("finding:")
            self.query_one("#lines", RowList).let_go()
            self.update_board()

    def action_next(self, by: int) -> None:
        """The next or previous finding in the order of the causes."""
        keys = [each.finding.key for each in self.board.diagnosis.causes]
        keys += [each.key for each in self.board.findings if each.key not in keys and each.status.failing]
        if keys:
            place = keys.index(self.key) if self.key in keys else -1
            self.key = keys[(place + by) % len(keys)]
            self.query_one("#lines", RowList).let_go()
            self.update_board()

    def action_verify(self) -> None:
        """Run this step again, or wait for the run under way: the finding is judged anew, and the end is said."""
        if not self.finding:
            return
        self._judged, self._waiting = self.board.report, True
        if self.board.running:
            self.maildiag.say("a run is under way: what it comes to for this finding is said at its end")
        else:
            self.maildiag.start_run(self.finding.step)

    def update_board(self) -> None:
        """Show the finding, and say the verdict where one was asked for."""
        super().update_board()
        report = self.board.report
        if self._waiting and report is not None and report is not self._judged:
            self._waiting = False
            self.maildiag.say(views.judged(self.key, self.finding))

    def action_trace(self) -> None:
        """Everything the log says of the first message that the evidence names."""
        name = next(iter(queue_ids(self.finding)), "") if self.finding else ""
        if name:
            self.maildiag.open_trace(name)
        else:
            self.maildiag.say("the evidence names no queue id")

    def action_copy(self) -> None:
        """Choose what to copy."""
        if self.finding:
            self.app.push_screen(CopyMenu(copying.choices(self.finding, self.text())))

    def action_acknowledge(self) -> None:
        """Ask why the finding is accepted."""
        if self.finding:
            self.query_one("#reason", Input).display = True
            self.focus_on("#reason")

    @on(Input.Submitted, "#reason")
    def acknowledge(self, event: Input.Submitted) -> None:
        """Copy the lines for config.toml, and show them."""
        self._leave_reason()
        finding, reason = self.finding, event.value.strip()
        if finding and reason:
            text = acknowledging.snippet(finding, reason, datetime.now(UTC).date())
            self.maildiag.copy(text)
            head = caption(f"copied; put this into {SYSTEM}")
            self.app.push_screen(Reader("Acknowledge", [head, *lines("toml", text, Tone.CODE)]))

    def _leave_reason(self) -> None:
        self.query_one("#reason", Input).value = ""
        self.query_one("#reason", Input).display = False
        self.focus_on("#lines")

    def action_back(self) -> None:
        """Leave the reason, then the screen."""
        if self.query_one("#reason", Input).display:
            self._leave_reason()
        else:
            super().action_back()

    def action_preview(self) -> None:
        """Show what the first fix would change."""
        if self.finding:
            self.maildiag.open_fix(self.finding, apply=False)

    def action_apply(self) -> None:
        """Ask, and then apply the first fix."""
        if self.finding:
            self.maildiag.open_fix(self.finding, apply=True)
