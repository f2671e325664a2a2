"""Starts the application on the made-up checks: what the tests in a real terminal run.

`play.py screen NAME` opens the queue, trace, probe, logs, runbook or help screen with hostile text in it; `play.py change DIR`
begins a change of the host that waits half done until DIR/go is there.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from maildiag.tui import terminal

terminal.prepare()

from maildiag.registry import Registry  # noqa: E402 (Textual reads its environment when it is imported)
from maildiag.settings import Settings  # noqa: E402
from maildiag.testing import TableHost  # noqa: E402
from maildiag.tui.app import MaildiagApp  # noqa: E402
from maildiag.tui.session import Session  # noqa: E402
from maildiag.tui.underway import Change, Doing, Ending  # noqa: E402
from tests.tui import sample, strange  # noqa: E402


def slowly(directory: Path) -> Doing:
    """A change that is half done for as long as the test wants."""
    (directory / "change").write_text("half")
    while not (directory / "go").exists():
        time.sleep(0.02)
        yield "still at it"
    (directory / "change").write_text("whole")
    return Ending("done", good=True)


class Played(MaildiagApp):
    """Does what the command line says once the first run has ended."""

    _said = False

    def board_changed(self) -> None:
        super().board_changed()
        if self.board.report is not None and not self._said:
            self._said = True
            self.call_later(self._as_told)

    def _as_told(self) -> None:
        match sys.argv[1:]:
            case ["screen", name]:
                strange.SCREENS[name](self)
            case ["change", directory]:
                self.begin(Change("the change", lambda _: None, lambda _: None), lambda: slowly(Path(directory)))


if __name__ == "__main__":
    registry = Registry()
    registry.add(sample)
    app = Played(Session(TableHost({}), lambda: registry, Settings(), ascii=terminal.ascii_only(os.environ)))
    status = app.run()
    sys.exit(app.return_code or status or 0)
