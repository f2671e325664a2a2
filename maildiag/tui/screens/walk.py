"""The guided mode: one step of the documented workflow at a time, with notes that become the incident record."""

from __future__ import annotations

from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.widgets import Input, Static

from maildiag.model import Step
from maildiag.text import safe
from maildiag.tui import walkview
from maildiag.tui.rowlist import RowList
from maildiag.tui.rows import Tone, wrapped
from maildiag.tui.screens.base import Place


class WalkScreen(Place):
    """The question, what was looked at, what was seen, what it means, what to do next."""

    enters = "Open"
    about = "One step of the workflow at a time: the question, what was looked at, what was seen, what it means. The last line says where the evidence points. Notes become a part of the incident record."
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("right_square_bracket", "step(1)", "Next step", id="walk.next"),
        Binding("left_square_bracket", "step(-1)", "Previous", id="walk.previous"),
        Binding("n", "follow_evidence", "Where it points", id="walk.follow"),
        Binding("number_sign", "note", "Note", id="walk.note"),
        Binding("s", "skip", "Skip", id="walk.skip"),
        Binding("y", "copy", "Copy", id="walk.copy"),
    ]

    def __init__(self, step: Step = Step.SERVICES) -> None:
        super().__init__()
        self.step = step
        self._skipping = False

    def body(self) -> ComposeResult:
        """The step as rows, what is next, and a line for notes."""
        yield RowList(id="lines")
        yield Static(id="next", markup=False)
        yield Input(id="note")

    def opened(self) -> None:
        """Called once, when the screen is there."""
        self.focus_on("#lines")

    def name_of_place(self) -> str:
        """Which step of the seven."""
        return f"Walk  step {self.step.number} of 7"

    def refresh_rows(self) -> None:
        """The step as it is now."""
        rows = walkview.walk(self.board, self.step, self.width, self._notes())
        self.query_one("#lines", RowList).show(rows, walkview.worst(self.board, self.step))
        words = walkview.proposal(self.board, self.step)
        self.put("#next", *wrapped("next", words, self.width, Tone.STRONG))

    @on(RowList.Chosen, "#lines")
    def open_finding(self, event: RowList.Chosen) -> None:
        """Open the finding under the cursor."""
        if event.row.key.startswith("finding:"):
            self.maildiag.open_finding(event.row.key.removeprefix("finding:"))

    def _notes(self) -> list[str]:
        return [each.text for each in self.maildiag.notes if each.step is self.step]

    def action_step(self, by: int) -> None:
        """The next or previous of the seven."""
        self.go(list(Step)[max(0, min(6, self.step.number - 1 + by))])

    def action_follow_evidence(self) -> None:
        """The step that the evidence points to."""
        proposed = walkview.next_step(self.board, self.step)
        if proposed:
            self.go(proposed)

    def go(self, step: Step) -> None:
        """Show another step, and stand where its trouble is."""
        self.step = step
        self.query_one("#lines", RowList).let_go()
        self.update_board()

    def action_skip(self) -> None:
        """Go on without this step; the reason becomes a part of the incident record."""
        self._ask("why is this step skipped? enter skips it, esc does not", skipping=True)

    def action_note(self) -> None:
        """Type a note."""
        self._ask("a note for the incident record; enter keeps it, esc leaves", skipping=False)

    def _ask(self, words: str, *, skipping: bool) -> None:
        self._skipping = skipping
        note = self.query_one("#note", Input)
        note.placeholder = words
        note.display = True
        note.focus()

    @on(Input.Submitted, "#note")
    def keep_note(self, event: Input.Submitted) -> None:
        """Keep the note with its step."""
        typed = safe(event.value.strip())
        if typed:
            self.maildiag.note(f"skipped: {typed}" if self._skipping else typed, self.step)
        self._leave_note()
        if typed and self._skipping:
            self.action_step(1)

    def _leave_note(self) -> None:
        note = self.query_one("#note", Input)
        note.value = ""
        note.display = False
        self.focus_on("#lines")
        self.update_board()

    def action_back(self) -> None:
        """Leave the note, or else what any screen leaves."""
        if self.query_one("#note", Input).display:
            self._leave_note()
        else:
            super().action_back()
