"""The home screen: the seven steps as they fill in, the ranked causes, and the sentence to act on."""

from __future__ import annotations

from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container, Vertical
from textual.widgets import Input, Static

from maildiag.model import Step
from maildiag.tui import copying, hostview, peek, views
from maildiag.tui.rowlist import RowList
from maildiag.tui.rows import Row, caption, plain
from maildiag.tui.screens.base import Place
from maildiag.tui.screens.copy import CopyMenu


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
        yield Static(id="told", markup=False)

    def opened(self) -> None:
        """Called once, when the screen is there."""
        self.focus_on("#causes")

    def refresh_rows(self) -> None:
        """Steps, causes and headline from the board."""
        self.put("#workflow-caption", caption("workflow"))
        self.put("#causes-caption", caption(f"causes {len(self.board.diagnosis.causes) or ''}"))
        self.put("#summary", views.summary(self.board))
        self.put("#headline", *views.headline(self.board, self.width, 2 if self.has_class("-short") else 3))
        self.query_one("#steps", RowList).show(views.steps(self.board, self._left()), views.worst_step(self.board))
        self.query_one("#causes", RowList).show(views.causes(self.board, self._unfolded, self._right()))
        self.tell_row()

    def _left(self) -> int:
        """Columns for the steps."""
        return 52 if self.has_class("-wide") else self.width

    def _right(self) -> int:
        """Columns for the causes."""
        return self.width - 55 if self.has_class("-wide") else self.width

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

    def action_stay(self) -> None:
        """Leave the filter; who presses escape once too often does not lose the screen."""
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
