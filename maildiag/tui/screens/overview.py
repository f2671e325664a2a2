"""The home screen: the seven steps as they fill in, the ranked causes, and the sentence to act on."""

from __future__ import annotations

from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container, Vertical
from textual.widgets import Static

from maildiag.model import Step
from maildiag.tui import peek, views
from maildiag.tui.rowlist import RowList
from maildiag.tui.rows import Row, caption
from maildiag.tui.screens.base import Place, content


class Overview(Place):
    """Is mail working, and if not, why."""

    place = "Overview"
    main = "#causes"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("space", "fold", "Fold", id="overview.fold"),
        Binding("tab", "app.focus_next", "Pane", show=False, id="overview.pane"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self._unfolded: frozenset[str] = frozenset()

    def body(self) -> ComposeResult:
        """Summary and headline above; steps and causes below, side by side where there is room."""
        yield Static(id="summary", markup=False)
        yield Static(id="headline", markup=False)
        with Container(id="panes"):
            with Vertical(id="left"):
                yield Static(content(caption("workflow")), id="workflow-caption", markup=False)
                yield RowList(id="steps")
            with Vertical(id="right"):
                yield Static(content(caption("causes")), id="causes-caption", markup=False)
                yield RowList(id="causes")
                yield RowList(id="peek", marked=False)
        yield Static(id="told", markup=False)

    def on_mount(self) -> None:
        super().on_mount()
        self.focus_on("#causes")

    def refresh_rows(self) -> None:
        """Steps, causes and headline from the board."""
        width = self.width
        self.query_one("#summary", Static).update(content(views.summary(self.board)))
        said = views.headline(self.board, width)
        self.query_one("#headline", Static).update("\n".join(each.text for each in said))
        self.query_one("#steps", RowList).show(views.steps(self.board, width))
        self.query_one("#causes", RowList).show(views.causes(self.board, self._unfolded, self._right()))
        self.tell_row()

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
            session = self.maildiag.session
            rows = peek.pane(self.board, key, self._right(), not session.allow_fix, session.recorded)
            self.query_one("#peek", RowList).show(rows)
        else:
            lines = peek.told(self.board, key, self.width)
            self.query_one("#told", Static).update("\n".join(each.text for each in lines))

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

    def leave(self) -> None:
        """Quit: there is nothing beneath the home screen."""
        self.maildiag.action_leave()

    def action_fold(self) -> None:
        """Show or hide what hangs beneath the row."""
        current = self.query_one("#causes", RowList).current
        if current:
            self._unfolded ^= {current.key}
            self.refresh_rows()
