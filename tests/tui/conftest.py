"""A session on made-up checks, and the text of the screen as a user sees it."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot

from maildiag import history
from maildiag.registry import Registry
from maildiag.settings import Settings
from maildiag.testing import TableHost
from maildiag.tui.app import MaildiagApp
from maildiag.tui.session import Session
from tests.tui import sample


@pytest.fixture(autouse=True)
def history_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Whole runs of this machine are kept; those of the tests are not this machine's."""
    monkeypatch.setattr(history, "place", lambda: tmp_path / "history.sqlite")
    return tmp_path / "history.sqlite"


@pytest.fixture
def app() -> MaildiagApp:
    registry = Registry()
    registry.add(sample)
    return MaildiagApp(Session(TableHost({}), lambda: registry, Settings()))


def screen_text(app: MaildiagApp) -> str:
    """What is drawn, line by line; the only place that touches Textual's inside."""
    strips = app.screen._compositor.render_strips()
    return "\n".join(strip.text.rstrip() for strip in strips) + "\n"


async def until(app: MaildiagApp, pilot: Pilot[Any], done: Callable[[], object]) -> None:
    """Wait for something to be so, however busy the machine is."""
    end = time.monotonic() + 60
    while not done():
        assert time.monotonic() < end, screen_text(app)
        await pilot.pause(0.02)
