"""The main screens of a recorded incident as text, at three sizes; MAILDIAG_SNAPSHOTS=write writes them anew."""

from __future__ import annotations

import asyncio
import os
import re
from pathlib import Path

import pytest

from maildiag import registry
from maildiag.hosts.bundle import BundleHost
from maildiag.resources import incidents
from maildiag.settings import Settings
from maildiag.tui.app import MaildiagApp
from maildiag.tui.session import Session
from tests.tui.conftest import finished, screen_text

KEPT = Path(__file__).parent / "snapshots"
KEYS = {"overview": [], "finding": ["enter"], "walk": ["W"], "runbook": ["B"], "fix": ["enter", "p"]}


def shown(size: tuple[int, int]) -> dict[str, str]:
    """Each screen's text; the time of the run and how long it took are not a part of it."""
    host = BundleHost(incidents()["comment-behind-inet-interfaces"].parent)
    app = MaildiagApp(Session(host, registry.builtin, Settings()))
    found = {}

    async def run() -> None:
        async with app.run_test(size=size) as pilot:
            await finished(app, pilot)
            for name, keys in KEYS.items():
                await pilot.press(*keys)
                await pilot.pause(0.3)
                timeless = re.sub(r"run \d\d:\d\dZ", "run 03:12Z", screen_text(app))
                found[name] = re.sub(r"(SLOWEST(?: ANSWER)?) \d+\.\d S", r"\1 0.1 S", timeless)
                app.action_home()
                await pilot.pause()

    asyncio.run(run())
    return found


@pytest.mark.parametrize("size", [(80, 24), (160, 50), (40, 12)], ids=lambda size: f"{size[0]}x{size[1]}")
def test_the_screens_are_as_they_were_kept(size: tuple[int, int]) -> None:
    for name, text in shown(size).items():
        path = KEPT / f"{name}-{size[0]}x{size[1]}.txt"
        if os.environ.get("MAILDIAG_SNAPSHOTS") == "write":
            path.write_text(text, encoding="utf-8")
        assert text == path.read_text(encoding="utf-8"), f"{path.name} differs"
