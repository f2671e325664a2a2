"""The hosts: go to another one over SSH, and see what differs between two."""

from __future__ import annotations

from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.widgets import Input

from maildiag.tui import hostsview
from maildiag.tui.rowlist import RowList
from maildiag.tui.screens.base import Place
from maildiag.tui.screens.reader import Reader

_SHOWN_EVERY_S = 0.5


class HostsScreen(Place):
    """Each host keeps what was seen on it; coming back shows it at once."""

    place = "Hosts"
    enters = "Go there"
    about = "This host and those of the configuration ([[hosts]]); + adds an SSH destination. enter goes there: maildiag must be installed there, and ssh get in without a question. Elsewhere nothing can be changed. space marks hosts: r runs everything on the marked ones side by side, c shows what differs between two."
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("space", "mark", "Mark", id="hosts.mark"),
        Binding("r", "look", "Re-run", id="hosts.run"),
        Binding("c", "compare", "Compare", id="hosts.compare"),
        Binding("plus", "add", "Add", id="hosts.add"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self._marked: set[str] = set()

    def body(self) -> ComposeResult:
        """One list, and the line for another host."""
        yield RowList(id="lines")
        yield Input(
            id="destination", placeholder="an SSH destination; `sudo NAME` asks there as root; enter goes there"
        )

    def opened(self) -> None:
        """Called once, when the screen is there."""
        self.focus_on("#lines")
        self.set_interval(_SHOWN_EVERY_S, self.refresh_rows)

    def refresh_rows(self) -> None:
        """Every host as it was seen the last time."""
        fleet = self.maildiag.fleet
        self.query_one("#lines", RowList).show(hostsview.hosts(fleet, self._marked, self.width), f"host:{fleet.here}")

    def _under_cursor(self) -> str:
        current = self.query_one("#lines", RowList).current
        return hostsview.key_of(current.key) if current else ""

    @on(RowList.Chosen, "#lines")
    def go_there(self, event: RowList.Chosen) -> None:
        """Diagnose the host."""
        self.maildiag.go_to(hostsview.key_of(event.row.key))

    def action_mark(self) -> None:
        """Mark the host under the cursor, or no more."""
        self._marked ^= {self._under_cursor()}
        self.refresh_rows()

    def action_look(self) -> None:
        """Run everything on the marked hosts side by side, or on the one under the cursor."""
        for key in sorted(self._marked) or [self._under_cursor()]:
            self.maildiag.look_at(key)

    def action_compare(self) -> None:
        """What differs between the two marked hosts; between one (where one is, if none is marked) and the one under the cursor."""
        fleet = self.maildiag.fleet
        two = (
            sorted(self._marked) if len(self._marked) == 2 else [*(self._marked or {fleet.here}), self._under_cursor()]
        )
        boards = [fleet.visits[each].board for each in two if each in fleet.visits]
        if len(boards) != 2 or two[0] == two[1]:
            self.maildiag.say("space marks one host, c on another one that was looked at compares")
            return
        self.app.push_screen(Reader("Hosts > compared", hostsview.compared(boards[0], boards[1], self.width)))

    def action_add(self) -> None:
        """Ask for another SSH destination."""
        field = self.query_one("#destination", Input)
        field.display = True
        field.focus()

    @on(Input.Submitted, "#destination")
    def added(self, event: Input.Submitted) -> None:
        """Go there."""
        self._leave_field()
        try:
            key = self.maildiag.fleet.add(event.value.strip())
        except ValueError as error:
            self.maildiag.say(str(error))
        else:
            self.maildiag.go_to(key)

    def _leave_field(self) -> None:
        self.query_one("#destination", Input).display = False
        self.query_one("#destination", Input).value = ""
        self.focus_on("#lines")

    def action_back(self) -> None:
        """Leave the line, then the screen."""
        if self.query_one("#destination", Input).display:
            self._leave_field()
        else:
            super().action_back()
