"""What all screens that change the host have: the plan, the question with the word to type, and what happens as it happens."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.widgets import Input, Static

from maildiag.text import safe
from maildiag.tui.rowlist import RowList
from maildiag.tui.rows import Row, Tone, caption, lines, wrapped
from maildiag.tui.screens.base import Place
from maildiag.tui.underway import Change, Doing, Ending


class Changing(Place):
    """Nothing happens before what the screen asks for was typed; what is under way belongs to the application, not to the screen."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("x", "stop", "Stop", id="change.stop", show=False)]

    def __init__(self) -> None:
        super().__init__()
        self.shown: list[Row] = []
        self.news: list[Row] = []
        self.busy = False
        self._then: Callable[[str], None] | None = None

    def body(self) -> ComposeResult:
        """The plan and what happens as one text, the question beneath."""
        yield RowList(id="lines", marked=False)
        yield Static(id="ask", markup=False)
        yield Input(id="answer")

    def opened(self) -> None:
        """Called once, when the screen is there."""
        self.focus_on("#lines")

    def show_plan(self, rows: list[Row]) -> None:
        """What would be done."""
        self.shown = rows
        self.draw()

    def refresh_rows(self) -> None:
        """The plan, then what has happened."""
        shown = self.query_one("#lines", RowList)
        shown.show([*self.shown, *self.news])
        if self.news:
            shown.action_edge(1)

    def draw(self) -> None:
        """Show the rows anew, unless the screen was left."""
        if self.is_attached:
            self.refresh_rows()

    def tell(self, text: str, tone: Tone = Tone.STRONG) -> None:
        """The line beneath."""
        self.put("#ask", *wrapped("ask", text, self.width, tone))
        if self.news:  # the line may have grown, and what happened last is to stay in sight above it
            self.call_after_refresh(self.query_one("#lines", RowList).action_edge, 1)

    # -- asking ----------------------------------------------------------------------------------------------------

    def question(self, words: str, then: Callable[[str], None], suggested: str = "") -> None:
        """Ask for a line; `then` gets what was typed."""
        self._then = then
        self.tell(words)
        answer = self.query_one("#answer", Input)
        answer.value = suggested
        answer.display = True
        answer.focus()

    def confirm(self, words: str, wanted: str, then: Callable[[], None]) -> None:
        """Ask for exactly `wanted`; anything else changes nothing."""

        def decided(typed: str) -> None:
            if typed == wanted:
                then()
            else:
                self.tell(f"nothing was changed: {safe(typed)!r} is not {wanted!r}", Tone.WARN)

        self.question(f"{words}, esc leaves everything as it is", decided)

    @on(Input.Submitted, "#answer")
    def decide(self, event: Input.Submitted) -> None:
        """Hand on what was typed."""
        then, typed = self._then, event.value.strip()
        self._leave_answer()
        if then is not None:
            then(typed)

    def _leave_answer(self) -> None:
        self._then = None
        answer = self.query_one("#answer", Input)
        answer.value = ""
        answer.display = False
        self.focus_on("#lines")

    # -- acting ----------------------------------------------------------------------------------------------------

    def start(self, title: str, change: Change, do: Callable[[], Doing]) -> bool:
        """Begin a change beneath a heading; False where another one is under way."""
        if not self.maildiag.begin(change, do):
            return False
        self.busy = True
        self.news.append(caption(title))
        self.draw()
        return True

    def happened(self, text: str) -> None:
        """A step of the change, in words."""
        self.news += list(lines(f"step:{len(self.news)}", text, Tone.CODE))
        self.draw()

    def over(self, ending: Ending, more: str = "") -> None:
        """The end of a change, told plainly, here and in a notice for who has left; then everything is looked at again."""
        self.busy = False
        tone = Tone.GOOD if ending.good else Tone.WARN
        self.news += list(wrapped(f"end:{len(self.news)}", ending.text, self.width, tone))
        if self.is_current:
            self.tell(ending.text + more, tone)
        else:
            self.maildiag.say(ending.text)
        self.draw()

    def action_stop(self) -> None:
        """End the change between two steps; what is half done is undone."""
        if self.busy:
            self.maildiag.action_cancel()

    def action_back(self) -> None:
        """Leave the question, then the screen; what is under way goes on and tells its end in a notice."""
        if self.query_one("#answer", Input).display:
            self._leave_answer()
            self.tell("nothing was changed")
        else:
            super().action_back()
