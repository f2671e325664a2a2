"""Starts the application on a recorded incident and tells how much processor time its first screen took."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from dataclasses import dataclass

from maildiag.events import Event
from maildiag.hosts.bundle import BundleHost
from maildiag.model import Step
from maildiag.resources import incidents
from maildiag.settings import Settings
from maildiag.tui.app import MaildiagApp
from maildiag.tui.session import Session


@dataclass(slots=True)
class Patient(Session):
    """Notes when the run would begin, which is right after the first paint, and runs nothing."""

    painted_s: float = 0.0

    def run(self, step: Step | None = None) -> Iterator[Event]:
        self.painted_s = time.process_time()
        return iter(())


def seconds() -> float:
    """Processor seconds of this process until the steps were on the screen."""
    from maildiag import registry

    session = Patient(BundleHost(incidents()["dovecot-down"].parent), registry.builtin, Settings())

    async def once() -> None:
        app = MaildiagApp(session)
        async with app.run_test(size=(80, 24)) as pilot:
            while not session.painted_s:
                await pilot.pause(0.01)
            strips = app.screen._compositor.render_strips()
            assert any("Authentication" in strip.text for strip in strips)

    asyncio.run(once())
    return session.painted_s
