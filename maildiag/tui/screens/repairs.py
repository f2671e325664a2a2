"""The guided repairs, and what was changed on this host with the way back."""

from __future__ import annotations

from functools import partial
from typing import ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType

from maildiag.repair.journal import State, Transaction
from maildiag.tui import repairing, repairsview
from maildiag.tui.rowlist import RowList
from maildiag.tui.rows import Tone
from maildiag.tui.screens.base import Place
from maildiag.tui.screens.changing import Changing
from maildiag.tui.underway import Change, Ending


class RepairsScreen(Place):
    """What can be done beyond the fix of one finding."""

    place = "Repairs"
    enters = "Open"
    about = "The guided repairs of the documentation, each shown before it asks; and everything that maildiag changed on this host, which enter shows and takes back."

    def __init__(self) -> None:
        super().__init__()
        self._done: list[Transaction] | None = None

    def body(self) -> ComposeResult:
        """One list."""
        yield RowList(id="lines")

    def opened(self) -> None:
        """Called once, when the screen is there."""
        self.focus_on("#lines")

    def on_screen_resume(self) -> None:
        self._read()

    @work(thread=True, exclusive=True, group="deeds", description="deeds", exit_on_error=False)
    def _read(self) -> None:
        self.from_thread(self._show, repairing.deeds(self.maildiag.session))

    def _show(self, done: list[Transaction]) -> None:
        self._done = done
        self.update_board()

    def refresh_rows(self) -> None:
        """The guided repairs, then what was changed."""
        self.query_one("#lines", RowList).show(repairsview.menu(self._done, self.width), "guided:verbose")

    @on(RowList.Chosen, "#lines")
    def open_row(self, event: RowList.Chosen) -> None:
        """Open the repair, or the change."""
        kind, _, name = event.row.key.partition(":")
        if kind == "guided":
            self.maildiag.open_guided(name)
        elif kind == "deed":
            chosen = next(each for each in self._done or () if each.id == name)
            self.maildiag.open_deed(chosen)


class DeedScreen(Changing):
    """One change as its journal tells it, and its undo."""

    about = "What was changed, when and how it ended, and what an undo puts back. An undo that would take away later changes too is refused."
    BINDINGS: ClassVar[list[BindingType]] = [Binding("u", "undo", "Undo", id="change.undo")]

    def __init__(self, done: Transaction) -> None:
        super().__init__()
        self._deed = done

    def name_of_place(self) -> str:
        """Its name."""
        return f"Repairs > {self._deed.id}"

    def opened(self) -> None:
        """Called once, when the screen is there."""
        super().opened()
        self.show_plan(repairsview.story(self._deed, self.width))

    def action_undo(self) -> None:
        """Put back what it changed."""
        refused = repairing.undo_refusal(self.maildiag.session)
        if refused or self.busy or self._deed.state in (State.UNDONE, State.NOTHING_DONE):
            self.tell(f"cannot be undone: {refused or 'there is nothing to put back'}", Tone.WARN)
            return
        self.confirm("puts back what was saved: type undo and enter", "undo", self._start)

    def _start(self) -> None:
        change = Change(f"the undo of {self._deed.id}", self.happened, self._ended)
        self.start("undoing", change, partial(repairing.undoing, self.maildiag.session, self._deed.id))

    def _ended(self, ending: Ending) -> None:
        self.maildiag.note(f"undo of {self._deed.id}: {ending.text}")
        self.over(ending)
        self._read()
        self.maildiag.look_again()

    @work(thread=True, exclusive=True, group="deeds", description="deed", exit_on_error=False)
    def _read(self) -> None:
        mine = repairing.means(self.maildiag.session)
        if mine is not None:
            self._deed = mine.store.load(self._deed.id)
            self.from_thread(self.show_plan, repairsview.story(self._deed, self.width))
