"""The emergency procedure: each step shown, confirmed by itself, watched, and taken back where it did not help."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from textual.binding import Binding, BindingType

from maildiag.text import safe
from maildiag.tui import guided
from maildiag.tui.guided import Emergency
from maildiag.tui.repairsview import plan
from maildiag.tui.rows import Row, Tone, wrapped
from maildiag.tui.screens.changing import Changing
from maildiag.tui.underway import Change, Doing, Ending


class EmergencyScreen(Changing):
    """The procedure belongs to the application: leaving the screen does not end it, and `R` leads back to it."""

    place = "Repairs > Emergency procedure"
    about = "When nothing else helps: save both configurations, stop both services, comment out what Postfix refuses, start it for loopback only, start Dovecot, and let the network in again. Each step is confirmed by itself; s leaves one out, u takes all of them back."
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("a", "ask", "Do this step", id="change.ask"),
        Binding("s", "skip", "Leave it out", id="emergency.skip"),
        Binding("u", "undo", "Take all back", id="change.undo"),
    ]

    def __init__(self, emergency: Emergency) -> None:
        super().__init__()
        self.emergency = emergency

    def opened(self) -> None:
        """Called once, when the screen is there."""
        super().opened()
        self.show_plan(self._plan())
        self._tell_next()

    def _plan(self) -> list[Row]:
        stage = self.emergency.stage
        if stage is None:
            return list(wrapped("about", self.about, self.width))
        return plan(stage.fix, stage.why, self.width)

    def _tell_next(self) -> None:
        if self.emergency.over:
            self.tell("the procedure is over", Tone.GOOD)
        elif self.emergency.stage is not None:
            self.tell(f"next: {safe(self.emergency.stage.title)}   a: do it   s: leave it out   u: take all back")
        else:
            self.tell("a: begin by saving both configurations; nothing is stopped before you say so")

    def _refused(self) -> bool:
        refused = guided.refusal(self.maildiag.session)
        if refused:
            self.tell(f"cannot be done: {refused}", Tone.WARN)
        elif self.emergency.over:
            self.tell("the procedure is over: leave, and come back to begin anew", Tone.WARN)
        elif self.busy:
            self.tell("a step is under way", Tone.WARN)
        return bool(refused) or self.emergency.over or self.busy

    def action_ask(self) -> None:
        """Ask before the next step."""
        if self._refused():
            return
        stage, host = self.emergency.stage, self.maildiag.host_name
        if stage is None:
            self._begin("saving both configurations", self.emergency.begin)
            return
        words = f"{safe(stage.title)}: type {host} and enter to do it"
        self.confirm(words, host, lambda: self._begin(stage.title, self.emergency.do))

    def action_skip(self) -> None:
        """Go on without this step."""
        if self.emergency.stage is not None and not self._refused():
            self._begin("leaving out", self.emergency.leave_out)

    def action_undo(self) -> None:
        """Take back every step that was done, latest first."""
        if self.busy or not self.emergency.done:
            self.tell("nothing was done yet", Tone.WARN)
            return
        wanted = self.maildiag.host_name
        words = f"take back all {len(self.emergency.done)} steps: type {wanted} and enter"
        self.confirm(words, wanted, lambda: self._begin("taking everything back", self.emergency.take_back, stop=False))

    def _begin(self, title: str, do: Callable[[], Doing], stop: bool = True) -> None:
        self.emergency.cancelled.clear()
        way_out = self.emergency.cancelled if stop else None
        if self.start(title, Change("the emergency procedure", self.happened, self._ended, way_out), do):
            self.tell("under way")

    def _ended(self, ending: Ending) -> None:
        self.maildiag.note(f"emergency procedure: {ending.text}")
        self.over(ending)
        if self.emergency.over:
            self.maildiag.look_again()
        if self.is_attached:
            if ending.good:
                self.show_plan(self._plan())
            if self.is_current:
                self._tell_next() if ending.good else None
