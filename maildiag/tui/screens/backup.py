"""Both configurations into one archive."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import ClassVar

from textual.binding import Binding, BindingType

from maildiag.tui import guided
from maildiag.tui.rows import Tone, wrapped
from maildiag.tui.screens.changing import Changing
from maildiag.tui.underway import Change, Ending


class BackupScreen(Changing):
    """Asks where to, and writes."""

    place = "Repairs > Save the configuration"
    about = "Everything below /etc/postfix and /etc/dovecot, the alias tables, and the files of the host's name and resolver, in one archive (tar.gz, mode 600). It holds passwords and keys as they are: it stays on this host. For support there is maildiag bundle."
    BINDINGS: ClassVar[list[BindingType]] = [Binding("a", "ask", "Save", id="change.ask")]

    def opened(self) -> None:
        """Called once, when the screen is there."""
        super().opened()
        self.show_plan(list(wrapped("about", self.about, self.width)))
        self.action_ask()

    def action_ask(self) -> None:
        """Ask for the file."""
        refused = guided.refusal(self.maildiag.session)
        if refused or self.busy:
            self.tell(f"cannot be done: {refused}" if refused else "it is being saved", Tone.WARN)
            return
        name = guided.suggested(self.maildiag.session, f"{datetime.now(UTC):%Y%m%d-%H%M%S}")
        self.question("the archive: enter writes it, esc does not", self._start, name)

    def _start(self, typed: str) -> None:
        if not typed.startswith("/"):
            self.tell("nothing was written: the name of a file begins with /", Tone.WARN)
            return
        change = Change("saving the configuration", self.happened, self._ended)
        self.start("saving", change, partial(guided.backing_up, self.maildiag.session, Path(typed)))

    def _ended(self, ending: Ending) -> None:
        self.maildiag.note(f"configuration saved: {ending.text}")
        self.over(ending)
