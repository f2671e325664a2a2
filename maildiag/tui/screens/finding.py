"""One finding: evidence, explanation, chain to its cause, fixes."""

from __future__ import annotations

from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType

from maildiag.model import Finding
from maildiag.tui import views
from maildiag.tui.rowlist import RowList
from maildiag.tui.rows import row
from maildiag.tui.screens.base import Place


class FindingScreen(Place):
    """Evidence with its source, what it means, and what to type."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y", "copy", "Copy", id="finding.copy"),
        Binding("p", "preview", "Preview", id="fix.preview"),
        Binding("a", "apply", "Apply", id="fix.apply"),
        Binding("v", "verify", "Verify", id="finding.verify"),
        Binding("right_square_bracket", "next(1)", "Next", id="finding.next", show=False),
        Binding("left_square_bracket", "next(-1)", "Previous", id="finding.previous", show=False),
    ]

    def __init__(self, key: str) -> None:
        super().__init__()
        self.key = key

    def body(self) -> ComposeResult:
        """One list of rows."""
        yield RowList(id="lines")

    @property
    def finding(self) -> Finding | None:
        """The finding in the newest report, or in the run under way."""
        return next((each for each in self.board.findings if each.key == self.key), None)

    def name_of_place(self) -> str:
        """Its id."""
        return f"Finding > {self.key}"

    def refresh_rows(self) -> None:
        """The finding as it is now."""
        rows = self.query_one("#lines", RowList)
        finding, report = self.finding, self.board.report or self.board.before
        if finding is None or report is None:
            gone = " Not there any more: the last run does not find it." if report else " The run is not finished yet."
            rows.show([row("gone", gone)])
            return
        session = self.maildiag.session
        rows.show(views.finding(report, finding, self.width, not session.allow_fix, session.recorded))

    @on(RowList.Chosen, "#lines")
    def follow(self, event: RowList.Chosen) -> None:
        """Open the finding that the row names."""
        if event.row.key.startswith("finding:"):
            self.key = event.row.key.removeprefix("finding:")
            self.update_board()

    def action_next(self, by: int) -> None:
        """The next or previous finding in the order of the causes."""
        keys = [each.finding.key for each in self.board.diagnosis.causes]
        keys += [each.key for each in self.board.findings if each.key not in keys and each.status.failing]
        if keys:
            place = keys.index(self.key) if self.key in keys else -1
            self.key = keys[(place + by) % len(keys)]
            self.update_board()

    def action_verify(self) -> None:
        """Run this step again: the finding is judged anew."""
        if self.finding:
            self.maildiag.start_run(self.finding.step)

    def action_copy(self) -> None:
        """Copy the commands of the first fix, or the whole text where there is none."""
        finding = self.finding
        commands = [line for fix in (finding.fixes if finding else ()) for line in fix.shell()]
        self.maildiag.copy("\n".join(commands[:20]) or self.text())

    def action_preview(self) -> None:
        """Show what the first fix would change."""
        if self.finding:
            self.maildiag.open_fix(self.finding, apply=False)

    def action_apply(self) -> None:
        """Ask, and then apply the first fix."""
        if self.finding:
            self.maildiag.open_fix(self.finding, apply=True)
