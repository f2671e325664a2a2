"""Everything the log says of one message: its steps on the way, searched for in a thread."""

from __future__ import annotations

from typing import ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.widgets import Input

from maildiag.tui.logcopy import copied
from maildiag.tui.rowlist import RowList
from maildiag.tui.rows import Row, Tone, lines, row
from maildiag.tui.screens.base import Place
from maildiag.tui.traced import trace_rows


class TraceScreen(Place):
    """The trace of a queue id, a Message-ID, or an address; without a key it asks for one."""

    about = "Everything the log says of one message, in order: its hops, delays and outcome. T asks for another queue id, Message-ID or address. w cuts long lines, or lets them go on."
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y", "copy", "Copy", id="trace.copy"),
        Binding("w", "wrap", "Wrap", id="trace.wrap"),
    ]

    def __init__(self, key: str, source: str) -> None:
        super().__init__()
        self._key = key
        self._source = source
        self._rows: list[Row] = []

    def name_of_place(self) -> str:
        """What is traced."""
        return f"Trace > {self._key}" if self._key else "Trace"

    def body(self) -> ComposeResult:
        """One list of rows, and the line for another key."""
        yield RowList(id="lines")
        yield Input(id="key", placeholder="a queue id, a Message-ID, or an address; enter looks through the log")

    def opened(self) -> None:
        """Called once, when the screen is there."""
        self.focus_on("#lines")
        self.action_wrap()
        if self._key:
            self._look_for(self._key)
        else:
            self.ask()

    def ask(self) -> None:
        """Ask whom or what to look for."""
        field = self.query_one("#key", Input)
        field.display = True
        field.focus()

    @on(Input.Submitted, "#key")
    def asked(self, event: Input.Submitted) -> None:
        """Look for what was typed."""
        typed = event.value.strip()
        self._leave_field()
        if typed:
            self._look_for(typed)

    def _leave_field(self) -> None:
        field = self.query_one("#key", Input)
        field.value, field.display = "", False
        self.focus_on("#lines")

    def action_back(self) -> None:
        """Leave the line, then the screen."""
        if self.query_one("#key", Input).display:
            self._leave_field()
        else:
            super().action_back()

    def _look_for(self, key: str) -> None:
        self._key = key
        self._rows = [row("looking", " looking through the log …")]
        self.update_board()
        self._look(key)

    @work(thread=True, exclusive=True, group="trace", description="trace", exit_on_error=False)
    def _look(self, key: str) -> None:
        session = self.maildiag.session
        try:
            copy = None if session.local else copied(session.host, False, self._source)
        except OSError as error:
            rows = list(lines("error", f"the log cannot be read: {error}", Tone.WARN))
        else:
            rows = next(session.compute(trace_rows, key, str(copy.path) if copy else self._source))
            if copy:
                copy.close()
        self.from_thread(self._show, key, rows)

    def _show(self, key: str, rows: list[Row]) -> None:
        if key == self._key:
            self._rows = rows
            self.refresh_rows()

    def refresh_rows(self) -> None:
        """The trace."""
        self.query_one("#lines", RowList).show(self._rows)

    def action_wrap(self) -> None:
        """Let long lines go on on the next, where the reason of a failure stands, or cut them."""
        shown = self.query_one("#lines", RowList)
        shown.fold(not shown.folds)
