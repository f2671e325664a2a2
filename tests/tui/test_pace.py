"""The screen comes before any answer, and keys are answered while a run is under way."""

from __future__ import annotations

import asyncio
import threading

from maildiag.registry import Registry
from maildiag.settings import Settings
from maildiag.testing import TableHost
from maildiag.tui.app import MaildiagApp
from maildiag.tui.session import Session
from tests.tui import sample
from tests.tui.conftest import screen_text


def test_the_first_screen_is_painted_with_the_steps_before_the_run_begins() -> None:
    begun = threading.Event()

    class Watched(Session):
        def run(self, step=None):  # type: ignore[no-untyped-def]
            begun.wait(10)
            return super().run(step)

    registry = Registry()
    registry.add(sample)
    app = MaildiagApp(Watched(TableHost({}), registry, Settings()))

    async def run() -> None:
        async with app.run_test() as pilot:
            await pilot.pause()
            assert "Authentication" in screen_text(app)
            assert not app.board.findings
            await pilot.press("down")
            begun.set()

    asyncio.run(run())
