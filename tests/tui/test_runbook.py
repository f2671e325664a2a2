"""The runbook on the screen: set to the width, with the site's note, page by page."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from textual.pilot import Pilot

from maildiag.tui import runbook
from maildiag.tui.app import MaildiagApp
from maildiag.tui.rows import plain
from maildiag.tui.screens.runbook import RunbookScreen
from tests.tui.conftest import play
from tests.tui.sample import HOSTILE

PAGE = "# dns.mx: nowhere\n\nLong prose that\ngoes on and on.\n\n- one\n- two\n\n## Cure\n\n```sh\ndig mx\n```\n"


def test_a_page_keeps_code_as_it_stands_and_joins_prose() -> None:
    text = plain(runbook.rows("dns.mx", PAGE, "", 80))
    assert " Long prose that goes on and on.\n" in text
    assert "── CURE" in text
    assert "   dig mx\n" in f"{text}\n"
    assert " - one\n - two" in text


def test_a_page_is_wrapped_to_a_narrow_screen() -> None:
    assert all(len(line) <= 40 for line in plain(runbook.rows("x", f"{'word ' * 60}\n", "", 40)).splitlines())


def test_every_page_fits_80_columns_but_for_its_code() -> None:
    for name in runbook.names():
        for each in runbook.rows(name, runbook.page(name), "", 80):
            assert each.key.startswith("caption:") or each.text.startswith("   ") or len(each.text) <= 80, each


def test_the_note_of_the_site_stands_beneath_the_page_and_is_made_safe(tmp_path: Path) -> None:
    (tmp_path / "dns.mx.md").write_text(f"Ring the provider {HOSTILE}", encoding="utf-8", errors="replace")
    note = runbook.site_note("dns.mx@example.test", tmp_path)
    text = plain(runbook.rows("dns.mx", PAGE, note, 80))
    assert "YOUR SITE'S NOTE" in text
    assert "Ring the provider" in text
    assert "\x1b" not in text
    assert runbook.site_note("../dns.mx", tmp_path) == note, "the name never leaves the directory"
    assert runbook.site_note("dns.ptr", tmp_path) == ""


def test_b_opens_the_page_and_brackets_turn_it(app: MaildiagApp) -> None:
    async def scenario(pilot: Pilot[Any]) -> None:
        await pilot.press("B")
        await pilot.pause()
        screen = app.screen
        assert isinstance(screen, RunbookScreen)
        await pilot.press("right_square_bracket")
        assert screen.name_of_page == runbook.names()[0]
        await pilot.press("left_square_bracket")
        assert screen.name_of_page == runbook.names()[-1]
        assert "WHAT IT MEANS" in screen.text()

    play(app, scenario)
