"""Starts the application on the made-up checks: what the tests in a real terminal run."""

from __future__ import annotations

import os
import sys

from maildiag.tui import terminal

terminal.prepare()

from maildiag.registry import Registry  # noqa: E402 (Textual reads its environment when it is imported)
from maildiag.settings import Settings  # noqa: E402
from maildiag.testing import TableHost  # noqa: E402
from maildiag.tui.app import MaildiagApp  # noqa: E402
from maildiag.tui.session import Session  # noqa: E402
from tests.tui import sample  # noqa: E402

if __name__ == "__main__":
    registry = Registry()
    registry.add(sample)
    app = MaildiagApp(Session(TableHost({}), lambda: registry, Settings(), ascii=terminal.ascii_only(os.environ)))
    status = app.run()
    sys.exit(app.return_code or status or 0)
