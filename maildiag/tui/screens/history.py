"""Earlier runs and changes of this host, and what differs between two runs."""

from __future__ import annotations

from typing import ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.widgets import Static

from maildiag import history
from maildiag.tui import historyview, repairing
from maildiag.tui.historyview import Past
from maildiag.tui.rowlist import RowList
from maildiag.tui.rows import Part, Tone, row
from maildiag.tui.screens.base import Place
from maildiag.tui.screens.reader import Reader

_MOST = 500


class HistoryScreen(Place):
    """When did it begin, and what happened then."""

    place = "History"
    enters = "Open"
    about = "When it began, and what happened then: the runs of this host and what maildiag changed, newest first. Beneath stands what the run under the cursor says that the one before did not. space marks a run to compare with instead; c marks the last one that was fine."
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("space", "mark", "Compare with", id="history.mark"),
        Binding("c", "good", "With the last good", id="history.good"),
        Binding("y", "copy", "Copy", id="history.copy"),
        Binding("tab", "app.focus_next", "Pane", show=False, id="history.pane"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self.past: Past | None = None
        self._base = ""

    def body(self) -> ComposeResult:
        """Trends, the timeline, what differs."""
        yield Static(id="trend", markup=False)
        yield RowList(id="lines")
        yield RowList(id="differences", marked=False)

    def opened(self) -> None:
        """Called once, when the screen is there."""
        self.focus_on("#lines")

    def on_screen_resume(self) -> None:
        self._read()

    @work(thread=True, exclusive=True, group="past", description="past", exit_on_error=False)
    def _read(self) -> None:
        session = self.maildiag.session
        try:
            kept = history.runs(host=self.maildiag.host_name, most=_MOST)
            past = Past(kept, repairing.deeds(session), elsewhere=not session.changeable)
        except history.HistoryError as error:
            past = Past(trouble=str(error))
        self.from_thread(self.show, past)

    def show(self, past: Past) -> None:
        """Show what is kept."""
        self.past = past
        self.update_board()

    def refresh_rows(self) -> None:
        """Trends and timeline."""
        if self.past is None:
            self.put("#trend", row("reading", Part(" reading …", Tone.DIM)))
            return
        short = self.has_class("-short")
        self.put("#trend", *([] if short else historyview.trend(self.past, self.width)))
        self.query_one("#lines", RowList).show(historyview.timeline(self.past, self._base))
        self._compare()

    @on(RowList.Moved, "#lines")
    def _compare(self) -> None:
        current = self.query_one("#lines", RowList).current
        run = self.past.run(current.key) if self.past and current else None
        shown = self.query_one("#differences", RowList)
        if self.past is None or run is None:
            shown.show([])
            return
        base = self.past.run(self._base)
        older = base if base is not None and base is not run else self.past.before(run)
        older, run = (run, older) if older is not None and older.started > run.started else (older, run)
        shown.show(historyview.differences(older, run, self.width))

    @on(RowList.Chosen, "#lines")
    def open_row(self, event: RowList.Chosen) -> None:
        """All that is kept of the run, or the change with its undo."""
        run = self.past.run(event.row.key) if self.past else None
        if run is not None:
            differs = list(self.query_one("#differences", RowList).rows)
            self.app.push_screen(Reader("History > run", [*historyview.whole(run, self.width), *differs]))
        elif self.past is not None and event.row.key.startswith("deed:"):
            name = event.row.key.removeprefix("deed:")
            self.maildiag.open_deed(next(each for each in self.past.deeds if each.id == name))

    def action_mark(self) -> None:
        """Compare with this run from now on, or again with the run before."""
        current = self.query_one("#lines", RowList).current
        key = current.key if current else ""
        self._base = "" if key == self._base else key
        self.refresh_rows()

    def action_good(self) -> None:
        """Compare with the last run without a warning or worse."""
        good = history.last_good(self.past.runs) if self.past else None
        if good is None:
            self.maildiag.say("no run that is kept was fine")
        else:
            self._base = historyview.key_of(good)
            self.refresh_rows()
