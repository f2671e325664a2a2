"""Everything the log says of one message: its steps on the way, searched for in a thread."""

from __future__ import annotations

from typing import ClassVar

from textual import work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType

from maildiag.tui.logcopy import copied
from maildiag.tui.rowlist import RowList
from maildiag.tui.rows import Row, Tone, lines, row
from maildiag.tui.screens.base import Place
from maildiag.tui.traced import trace_rows


class TraceScreen(Place):
    """The trace of a queue id, a Message-ID, or an address."""

    about = "Everything the log says of one message, in order: its hops, delays and outcome. w cuts long lines, or lets them go on."
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y", "copy", "Copy", id="trace.copy"),
        Binding("w", "wrap", "Wrap", id="trace.wrap"),
    ]

    def __init__(self, key: str, source: str) -> None:
        super().__init__()
        self._key = key
        self._source = source
        self._rows: list[Row] = [row("looking", " looking through the log …")]

    def name_of_place(self) -> str:
        """What is traced."""
        return f"Trace > {self._key}"

    def body(self) -> ComposeResult:
        """One list of rows."""
        yield RowList(id="lines")

    def opened(self) -> None:
        """Called once, when the screen is there."""
        self.focus_on("#lines")
        self.action_wrap()
        self._look()

    @work(thread=True, exclusive=True, group="trace", description="trace", exit_on_error=False)
    def _look(self) -> None:
        session = self.maildiag.session
        try:
            copy = None if session.local else copied(session.host, False, self._source)
        except OSError as error:
            rows = list(lines("error", f"the log cannot be read: {error}", Tone.WARN))
        else:
            rows = next(session.compute(trace_rows, self._key, str(copy.path) if copy else self._source))
            if copy:
                copy.close()
        self.from_thread(self._show, rows)

    def _show(self, rows: list[Row]) -> None:
        self._rows = rows
        self.refresh_rows()

    def refresh_rows(self) -> None:
        """The trace."""
        self.query_one("#lines", RowList).show(self._rows)

    def action_wrap(self) -> None:
        """Let long lines go on on the next, where the reason of a failure stands, or cut them."""
        shown = self.query_one("#lines", RowList)
        shown.fold(not shown.folds)

    def action_copy(self) -> None:
        """Copy the trace as text."""
        self.maildiag.copy(self.text())
