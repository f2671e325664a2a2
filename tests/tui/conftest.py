"""A session on made-up checks, and the text of the screen as a user sees it."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot

from maildiag import history
from maildiag.events import Event
from maildiag.model import Step
from maildiag.registry import Registry
from maildiag.settings import Settings
from maildiag.testing import TableHost
from maildiag.tui.app import MaildiagApp
from maildiag.tui.session import Session
from tests.tui import sample

Scenario = Callable[[Pilot[Any]], Awaitable[None]]


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


async def finished(app: MaildiagApp, pilot: Pilot[Any]) -> None:
    """Wait for the end of the run."""
    await until(app, pilot, lambda: app.board.report is not None and not app.board.running)
    await pilot.pause(0.15)


def play(app: MaildiagApp, scenario: Scenario, size: tuple[int, int] = (80, 24)) -> None:
    """Start the application, wait for the end of the first run, and do what the scenario says."""

    async def run() -> None:
        async with app.run_test(size=size, notifications=True) as pilot:
            await finished(app, pilot)
            await scenario(pilot)

    asyncio.run(run())


def notices(app: MaildiagApp) -> str:
    """What was said so far, a line each."""
    return "\n".join(each.message for each in app._notifications)


def held_back(app: MaildiagApp) -> threading.Event:
    """Let every run after the first wait behind each of its events, until what is returned is set."""
    go_on = threading.Event()

    class Slow(Session):
        def run(self, step: Step | None = None) -> Iterator[Event]:
            for event in super().run(step):
                yield event
                if app.board.report is not None or app.board.before is not None:
                    go_on.wait(30)

    app.session = Slow(app.session.host, app.session.load, app.session.settings)
    return go_on
