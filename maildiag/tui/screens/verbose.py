"""Verbose logging for a peer or a domain: what would be changed, a yes, the time that is left, and off again."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import ClassVar

from textual import work
from textual.binding import Binding, BindingType

from maildiag.model import Fix
from maildiag.repair.debug_peer import Wish
from maildiag.text import safe
from maildiag.tui import guided, repairing
from maildiag.tui.repairsview import plan
from maildiag.tui.rows import Tone, wrapped
from maildiag.tui.screens.changing import Changing
from maildiag.tui.underway import Change, Ending

_GRACE = timedelta(seconds=20)


class VerboseScreen(Changing):
    """The switching back is arranged before it is switched on, and happens whether maildiag still runs or not."""

    place = "Repairs > Verbose logging"
    about = "Postfix logs one peer or domain in detail, Dovecot its logins, for a limited time: the switching back is arranged first, and happens even when maildiag is killed. f follows the log meanwhile, u switches it off earlier."
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("a", "ask", "Switch on", id="change.ask"),
        Binding("f", "follow", "Follow the log", id="verbose.follow"),
        Binding("u", "undo", "Off now", id="change.undo"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self._wish: Wish | None = None
        self._until: datetime | None = None
        self._transaction = ""
        self.cancelled = threading.Event()

    def opened(self) -> None:
        """Called once, when the screen is there."""
        super().opened()
        self.show_plan(list(wrapped("about", self.about, self.width)))
        self.set_interval(1.0, self._tell_time)
        self.action_ask()

    def action_ask(self) -> None:
        """Ask whom, and for how long."""
        refused = guided.refusal(self.maildiag.session)
        if refused or self.busy or self._transaction:
            self.tell(f"cannot be done: {refused}" if refused else "it is on already", Tone.WARN)
            return
        self.question("whom: an address, a network, a domain, dovecot; and how long: mx.example.test 10m", self._plan)

    def _plan(self, typed: str) -> None:
        try:
            self._wish = guided.wish(typed)
        except ValueError as error:
            self.tell(f"nothing was changed: {safe(str(error))}", Tone.WARN)
        else:
            self._ask_for(self._wish)

    @work(thread=True, exclusive=True, group="plan", description="plan", exit_on_error=False)
    def _ask_for(self, wanted: Wish) -> None:
        try:
            fix = guided.verbose(self.maildiag.session, wanted)
        except Exception as error:  # noqa: BLE001 (the state directory is not safe, or Postfix is not there: told)
            self.from_thread(self.tell, f"nothing was changed: {safe(str(error))}", Tone.WARN)
        else:
            self.from_thread(self._confirm, wanted, fix)

    def _confirm(self, wanted: Wish, fix: Fix) -> None:
        self.show_plan(plan(fix, f"For {wanted.duration}; then it switches itself off.", self.width))
        self.confirm(f"{wanted.duration}, then off by itself: type y and enter to switch it on", "y", self._start)

    def _start(self) -> None:
        wanted = self._wish
        if wanted is None:
            return
        self.cancelled.clear()
        change = Change("verbose logging", self.happened, self._on, self.cancelled)
        do = partial(guided.switching_on, self.maildiag.session, wanted, self.cancelled)
        if self.start("switching on", change, do):
            self._until = datetime.now(UTC) + wanted.duration

    def _on(self, ending: Ending) -> None:
        self._transaction = ending.transaction
        self.maildiag.note(f"verbose logging: {ending.text}")
        self.over(ending)
        self._tell_time()

    def _tell_time(self) -> None:
        """What is left of the time; after it, whether it is really off."""
        if not self._transaction or self._until is None or self.busy:
            return
        left = self._until - datetime.now(UTC)
        if left > timedelta(0):
            clock = str(timedelta(seconds=round(left.total_seconds())))
            self.tell(f"on; off by itself in {clock}   f: follow the log   u: off now", Tone.GOOD)
        else:
            self._look(late=left < -_GRACE)

    @work(thread=True, exclusive=True, group="plan", description="look", exit_on_error=False)
    def _look(self, late: bool) -> None:
        off = guided.switched_off(self.maildiag.session, self._transaction)
        self.from_thread(self._looked, off, late)

    def _looked(self, off: bool, late: bool) -> None:
        if off:
            self._transaction = ""
            self.tell("it is switched off again: everything is as it was", Tone.GOOD)
        elif late:
            self.tell("its time is over and it is still on: u switches it off", Tone.WARN)

    def action_follow(self) -> None:
        """The mail log, only the lines of this peer."""
        peers = self._wish.peers if self._wish else ()
        self.maildiag.open_logs(peers[0].strip("[]") if len(peers) == 1 else "")

    def action_undo(self) -> None:
        """Switch it off before its time."""
        if self.busy or not self._transaction:
            self.tell("nothing was switched on from here", Tone.WARN)
            return
        change = Change("switching verbose logging off", self.happened, self._off)
        self.start("switching off", change, partial(repairing.undoing, self.maildiag.session, self._transaction))

    def _off(self, ending: Ending) -> None:
        self._transaction = "" if ending.good else self._transaction
        self.maildiag.note(f"verbose logging off: {ending.text}")
        self.over(ending)
