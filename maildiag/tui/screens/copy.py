"""The copy menu: what is copied is chosen, and nothing is changed."""

from __future__ import annotations

from collections.abc import Sequence

from textual import on
from textual.app import ComposeResult

from maildiag.text import plural
from maildiag.tui.copying import Choice
from maildiag.tui.rowlist import RowList
from maildiag.tui.rows import Part, Tone, row
from maildiag.tui.screens.base import Place


class CopyMenu(Place):
    """One row for each text; enter copies it."""

    about = "Copying changes nothing. It always goes into a file too, which is named."
    place = "Copy: enter copies, esc does not"

    def __init__(self, choices: Sequence[Choice]) -> None:
        super().__init__()
        self._choices = choices

    def body(self) -> ComposeResult:
        """The choices."""
        yield RowList(id="lines")

    def opened(self) -> None:
        """Called once, when the screen is there."""
        self.focus_on("#lines")

    def refresh_rows(self) -> None:
        """Each choice with its length."""
        self.query_one("#lines", RowList).show(
            [
                row(f"choice:{n}", f" {each.name}  ", Part(plural(each.text.count("\n") + 1, "line"), Tone.DIM))
                for n, each in enumerate(self._choices)
            ]
        )

    @on(RowList.Chosen, "#lines")
    def choose(self, event: RowList.Chosen) -> None:
        """Copy, and go back."""
        self.app.pop_screen()
        self.maildiag.copy(self._choices[int(event.row.key.removeprefix("choice:"))].text)
