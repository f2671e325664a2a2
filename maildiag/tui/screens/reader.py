"""A text to read: help, a runbook page, a preview, a view as plain text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType

from maildiag.tui.rowlist import RowList
from maildiag.tui.rows import Row
from maildiag.tui.screens.base import Place


class Reader(Place):
    """Rows without a cursor."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y", "copy", "Copy", id="reader.copy"),
        Binding("space", "page", "Page", id="reader.page"),
    ]

    def __init__(self, place: str, rows: Sequence[Row]) -> None:
        super().__init__()
        self._place_name = place
        self._text = rows

    def name_of_place(self) -> str:
        """What is read."""
        return self._place_name

    def body(self) -> ComposeResult:
        """The text."""
        yield RowList(id="lines", marked=False)

    def opened(self) -> None:
        """Called once, when the screen is there."""
        self.focus_on("#lines")

    def refresh_rows(self) -> None:
        """The text never changes."""
        self.query_one("#lines", RowList).show(self._text)

    def action_page(self) -> None:
        """A page down."""
        self.query_one("#lines", RowList).action_page(1)
