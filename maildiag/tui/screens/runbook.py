"""The runbook, a page at a time."""

from __future__ import annotations

from typing import ClassVar

from textual.binding import Binding, BindingType

from maildiag.tui import runbook
from maildiag.tui.rowlist import RowList
from maildiag.tui.screens.reader import Reader


class RunbookScreen(Reader):
    """The page of a check with the site's note; `[` and `]` turn the page."""

    about = "The page about a check: what it means, how to look by hand, how to cure. Your site's own note is shown beneath it."
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("right_square_bracket", "turn(1)", "Next page", id="runbook.next"),
        Binding("left_square_bracket", "turn(-1)", "Previous page", id="runbook.previous"),
    ]

    def __init__(self, name: str) -> None:
        super().__init__(f"Runbook > {name}", ())
        self.name_of_page = name

    def name_of_place(self) -> str:
        """The page's name."""
        return f"Runbook > {self.name_of_page}"

    def refresh_rows(self) -> None:
        """The page, set to the width there is."""
        name = self.name_of_page
        found = runbook.rows(name, runbook.page(name), runbook.site_note(name), min(self.width, 100))
        self.query_one("#lines", RowList).show(found)

    def action_turn(self, by: int) -> None:
        """Another page, in the order of their names."""
        names = runbook.names()
        name = self.name_of_page.partition("@")[0]
        if names:
            self.name_of_page = names[(names.index(name) + by) % len(names) if name in names else 0]
            self.query_one("#lines", RowList).scroll_to(y=0, animate=False)
            self.update_board()
