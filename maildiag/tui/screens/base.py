"""What all screens have: the title line, the footer, and the way back."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, cast

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.screen import Screen
from textual.widget import Widget
from textual.widgets import Input, Static
from textual.worker import Worker, WorkerState

from maildiag.text import safe
from maildiag.tui import palette, views
from maildiag.tui.board import Board
from maildiag.tui.guide import Guide
from maildiag.tui.keyline import KeyLine
from maildiag.tui.rowlist import RowList
from maildiag.tui.rows import Row, plain

_MOST_ROWS = 1000


class Place(Screen[None]):
    """A screen of maildiag; `place` is its name in the title line."""

    place: ClassVar[str] = ""
    main: ClassVar[str] = "#lines"
    enters: ClassVar[str] = ""
    about: ClassVar[str] = ""
    words = ""
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q", "back", "Back", id="screen.back"),
        Binding("slash", "filter", "Filter", id="screen.filter"),
        Binding("z", "zoom", "Zoom", show=False, id="screen.zoom"),
    ]

    def compose(self) -> ComposeResult:
        """Title, body, the line for a filter, footer."""
        yield Static(id="title", markup=False)
        yield from self.body()
        yield Input(id="filter", placeholder="only rows with these words; enter keeps, esc leaves")
        yield KeyLine()

    def body(self) -> ComposeResult:
        """The widgets between title and footer."""
        raise NotImplementedError

    @property
    def maildiag(self) -> Guide:
        """The application."""
        return cast("Guide", self.app)

    @property
    def board(self) -> Board:
        """The state of the run."""
        return self.maildiag.board

    @property
    def width(self) -> int:
        """Columns of the terminal."""
        return self.app.size.width

    def on_mount(self) -> None:
        self._application = self.app  # a screen that was left knows none any more, and its threads may still ask
        for each in self.query(Input):
            each.display = False
        self.update_board()
        self.opened()

    def opened(self) -> None:
        """Called once, when the screen is there. Textual calls the `on_mount` of every base class: only this one has any."""

    def on_screen_resume(self) -> None:
        self.update_board()

    def on_resize(self) -> None:
        self.call_after_refresh(self.update_board)

    def update_board(self) -> None:
        """Show the board as it is now: called after every event, at most ten times a second."""
        if not self.query("#title"):
            return
        self.put("#title", views.title(self.board, self.here, self.width))
        self.refresh_rows()

    @property
    def here(self) -> views.Here:
        """Where one is."""
        session = self.maildiag.session
        return views.Here(self.name_of_place(), session.name, not session.allow_fix, session.recorded)

    def put(self, selector: str, *rows: Row) -> None:
        """Show rows in a `Static`: assembled, never parsed; other widgets make room only where its height may change."""
        theme, dark = self.app.theme, self.app.current_theme.dark
        painted = Content("\n").join(
            Content.assemble(*((safe(part.text), palette.tone(part.tone, theme, dark)) for part in row.parts))
            for row in rows
        )
        field = self.query_one(selector, Static)
        before = field.content
        if not isinstance(before, Content):
            field.update(painted)
        elif not painted.is_same(before):
            field.update(painted, layout=field.styles.is_auto_height and _lines(painted, field) != field.size.height)

    def from_thread(self, tell: Callable[..., None], *news: object) -> None:
        """Let a worker thread tell the screen something; a screen that was left meanwhile is told nothing more."""

        def told() -> None:
            if self.is_attached and self.is_running:
                tell(*news)

        self._application.call_from_thread(told)

    def on_worker_state_changed(self, event: Worker.StateChanged) -> None:
        """What broke beside the screen is told: nothing else would show that it will never be there."""
        if event.state is WorkerState.ERROR:
            error = event.worker.error
            self.maildiag.say(f"{event.worker.description} broke off: {type(error).__name__}: {error}")

    def name_of_place(self) -> str:
        """What the title line calls this screen."""
        return self.place

    def refresh_rows(self) -> None:
        """Fill the body anew."""

    def action_filter(self) -> None:
        """Ask for words to filter the main list by."""
        field = self.query_one("#filter", Input)
        field.display = True
        field.focus()

    @on(Input.Submitted, "#filter")
    def keep_filter(self, event: Input.Submitted) -> None:
        """Show only the rows with these words; an empty line shows all."""
        self.filter_by(event.value.strip())
        self._leave_filter()

    def filter_by(self, words: str) -> None:
        """Narrow the main list."""
        self.words = words
        self.query_one(self.main, RowList).narrow(words)

    def _leave_filter(self) -> None:
        self.query_one("#filter", Input).display = False
        self.focus_on(self.main)

    def action_back(self) -> None:
        """Leave the filter line, then the filter, then the screen."""
        if self.query_one("#filter", Input).display:
            self._leave_filter()
        elif self.words:
            self.query_one("#filter", Input).value = ""
            self.filter_by("")
        else:
            self.leave()

    def leave(self) -> None:
        """Back to the screen beneath."""
        self.app.pop_screen()

    def action_zoom(self) -> None:
        """Give the pane with the cursor the whole screen, or show all panes again."""
        focused, panes = self.focused, list(self.query(RowList))
        zoom = not self.has_class("-zoomed") and focused in panes and len(panes) > 1
        self.set_class(zoom, "-zoomed")
        for each in [*panes, *self.query("#left, #right")]:
            each.set_class(zoom and focused is not None and each not in focused.ancestors_with_self, "-away")
        self.call_after_refresh(self.update_board)

    def text(self) -> str:
        """What the screen says, as plain text in reading order: for copying and screen readers; of a long list a thousand rows."""
        return "\n".join(plain(each.around(_MOST_ROWS)) for each in self.query(RowList))

    def action_copy(self) -> None:
        """Copy what the screen says, unless it has something better to copy."""
        self.maildiag.copy(self.text())

    def focus_on(self, selector: str) -> None:
        """Put the focus on a widget."""
        self.query_one(selector, Widget).focus()


def _lines(said: Content, field: Static) -> int:
    """The lines that `field` needs to say it."""
    return said.get_height({}, max(1, field.size.width)) if said.plain else 0
