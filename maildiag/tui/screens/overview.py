"""The home screen: the seven steps as they fill in, the ranked causes, and the sentence to act on."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container, Vertical
from textual.widgets import Input, Static

from maildiag.model import Step
from maildiag.text import safe
from maildiag.tui import copying, hostview, peek, views
from maildiag.tui.recent import Recent
from maildiag.tui.rowlist import RowList
from maildiag.tui.rows import Part, Row, Tone, caption, plain, row
from maildiag.tui.screens.base import Place
from maildiag.tui.screens.copy import CopyMenu

_LIVE_S = 2.0


class Overview(Place):
    """Is mail working, and if not, why."""

    place = "Overview"
    main = "#causes"
    enters = "Open"
    about = "Is mail working, and if not, why: the seven steps of the workflow, then the causes in the order to act on. What hangs beneath a cause is cured with it: space shows it. enter on a cause shows its evidence and what to type."
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("q", "back", "Quit", id="overview.quit"),
        Binding("escape", "stay", "Stay", show=False, id="overview.stay"),
        Binding("space", "fold", "Fold", id="overview.fold"),
        Binding("y", "copy", "Copy", id="overview.copy"),
        Binding("tab", "app.focus_next", "Pane", show=False, id="overview.pane"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self._unfolded: frozenset[str] = frozenset()
        self._recent: Recent | None = None
        self._looking = False

    def body(self) -> ComposeResult:
        """Verdict and headline above; steps and causes below, side by side where there is room."""
        yield Static(id="summary", markup=False)
        yield Static(id="headline", markup=False)
        with Container(id="panes"):
            with Vertical(id="left"):
                yield Static(id="workflow-caption", markup=False)
                yield RowList(id="steps")
                yield RowList(id="host", marked=False)
            with Vertical(id="right"):
                yield Static(id="causes-caption", markup=False)
                yield RowList(id="causes")
                yield RowList(id="peek", marked=False)
                yield Static(id="live-caption", markup=False)
                yield RowList(id="live", marked=False)
        yield Static(id="told", markup=False)

    def opened(self) -> None:
        """Called once, when the screen is there."""
        self.focus_on("#causes")
        self.set_interval(_LIVE_S, self._look_at_log)

    # -- the newest problem lines ----------------------------------------------------------------------------------

    def _look_at_log(self) -> None:
        """Where there is room for them and the log is a file of this machine."""
        if not self.is_current:
            return
        info = self.board.host
        source = info.log_source if info and self.maildiag.session.local else ""
        self.set_class(source.startswith("/"), "-local")
        if self._roomy and source.startswith("/") and not self._looking:
            self._looking = True
            self._read_log(source)

    @work(thread=True, group="live", description="live", exit_on_error=False)
    def _read_log(self, source: str) -> None:
        try:
            self._recent = self._recent or Recent(Path(source))
            if self._recent.look():
                self.from_thread(self._show_recent, list(self._recent.rows))
        except OSError as error:
            note = row("none", Part(f" {safe(source)}: {error.strerror}", Tone.DIM))
            self.from_thread(self._show_recent, [note])
        finally:
            self._looking = False

    def _show_recent(self, rows: list[Row]) -> None:
        live = self.query_one("#live", RowList)
        live.show(rows)
        live.action_edge(1)

    def refresh_rows(self) -> None:
        """Steps, causes and headline from the board."""
        self.put("#workflow-caption", caption("workflow"))
        self.put("#live-caption", caption("trouble in the log, newest last"))
        self.put("#causes-caption", caption(f"causes {len(self.board.diagnosis.causes) or ''}"))
        self.put("#summary", views.summary(self.board))
        self.put("#headline", *views.headline(self.board, self.width, 2 if self.has_class("-short") else 3))
        self.query_one("#steps", RowList).show(views.steps(self.board, self._left()), views.worst_step(self.board))
        self.query_one("#causes", RowList).show(views.causes(self.board, self._unfolded, self._right()))
        self.tell_row()

    def _left(self) -> int:
        """Columns for the steps."""
        return 52 if self.has_class("-wide") and not self.has_class("-zoomed") else self.width

    def _right(self) -> int:
        """Columns for the causes."""
        return self.width - 55 if self.has_class("-wide") and not self.has_class("-zoomed") else self.width

    @property
    def _roomy(self) -> bool:
        """True where the selected finding fits beside the list."""
        return self.has_class("-wide") and self.has_class("-tall")

    @on(RowList.Moved)
    def tell_row(self) -> None:
        """Say what the row under the cursor stands for."""
        steps, causes = self.query_one("#steps", RowList), self.query_one("#causes", RowList)
        current: Row | None = steps.current if steps.has_focus else causes.current
        key = current.key if current else ""
        if self._roomy:
            self.query_one("#peek", RowList).show(peek.pane(self.board, key, self._right(), self.here))
            step = Step((steps.current.key if steps.current else f"step:{Step.SERVICES}").removeprefix("step:"))
            self.query_one("#host", RowList).show(hostview.beside(self.board, step, self._left()))
        else:
            self.put("#told", *peek.told(self.board, key, self.width))

    @on(RowList.Chosen, "#causes")
    def open_finding(self, event: RowList.Chosen) -> None:
        """Open the finding, or unfold the group."""
        kind, _, key = event.row.key.partition(":")
        if kind == "finding":
            self.maildiag.open_finding(key)
        elif kind == "group":
            self.action_fold()

    @on(RowList.Chosen, "#steps")
    def open_step(self, event: RowList.Chosen) -> None:
        """Walk the step."""
        self.maildiag.open_walk(Step(event.row.key.removeprefix("step:")))

    def action_back(self) -> None:
        """Leave the filter line, then the filter; without any, quit."""
        super().action_back()

    def action_stay(self) -> None:
        """Leave the filter; without any, say that q quits."""
        if self.words or self.query_one("#filter", Input).display:
            self.action_back()
        else:
            self.maildiag.say("q quits")

    def action_copy(self) -> None:
        """Copy the headline, or what the finding under the cursor offers."""
        current = self.query_one("#causes", RowList).current
        key = current.key if current else ""
        found = self.board.finding(key.removeprefix("finding:"))
        if found is None:
            self.maildiag.copy(self.board.diagnosis.headline)
        else:
            self.app.push_screen(CopyMenu(copying.choices(found, plain(peek.pane(self.board, key, 80, self.here)))))

    def leave(self) -> None:
        """Quit: there is nothing beneath the home screen."""
        self.maildiag.action_leave()

    def action_fold(self) -> None:
        """Show or hide what hangs beneath the row."""
        current = self.query_one("#causes", RowList).current
        if current:
            self._unfolded ^= {current.key}
            self.refresh_rows()
