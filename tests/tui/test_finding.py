"""What can be done with a finding: copy, acknowledge, judge again, trace; and a run that is ended early."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from textual.keys import Keys
from textual.pilot import Pilot
from textual.screen import Screen

from maildiag import config, edits
from maildiag.model import Evidence, Fix
from maildiag.settings import Acknowledgement
from maildiag.testing import diagnose
from maildiag.tui import acknowledging, copying, traced
from maildiag.tui.app import MaildiagApp
from maildiag.tui.board import Board
from maildiag.tui.findingview import finding
from maildiag.tui.rowlist import RowList
from maildiag.tui.screens.backup import BackupScreen
from maildiag.tui.screens.copy import CopyMenu
from maildiag.tui.screens.emergency import EmergencyScreen
from maildiag.tui.screens.finding import FindingScreen
from maildiag.tui.screens.fix import FixScreen, plan
from maildiag.tui.screens.history import HistoryScreen
from maildiag.tui.screens.hosts import HostsScreen
from maildiag.tui.screens.logs import LogsScreen
from maildiag.tui.screens.overview import Overview
from maildiag.tui.screens.probe import ProbeScreen
from maildiag.tui.screens.queue import QueueScreen
from maildiag.tui.screens.reader import Reader
from maildiag.tui.screens.repairs import DeedScreen, RepairsScreen
from maildiag.tui.screens.runbook import RunbookScreen
from maildiag.tui.screens.trace import TraceScreen
from maildiag.tui.screens.verbose import VerboseScreen
from maildiag.tui.screens.walk import WalkScreen
from maildiag.tui.views import Here
from tests.tui import sample
from tests.tui.conftest import held_back, notices, play, until

CAUSE, SYMPTOM = (
    next(each for each in diagnose({}, sample).findings if each.id == name)
    for name in ("services.sample", "connectivity.sample")
)
SCREENS: list[type[Screen[Any]]] = [
    BackupScreen, CopyMenu, DeedScreen, EmergencyScreen, FindingScreen, FixScreen, HistoryScreen, HostsScreen, LogsScreen,
    Overview, ProbeScreen, QueueScreen, Reader, RepairsScreen, RunbookScreen, TraceScreen, VerboseScreen, WalkScreen,
]  # fmt: skip


@pytest.mark.parametrize("where", [MaildiagApp, RowList, *SCREENS])
def test_every_key_has_a_name_that_textual_knows(where: type[Any]) -> None:
    """A name it does not know is silently dead."""
    known = {each.value for each in Keys} | {
        "space", "slash", "colon", "question_mark", "number_sign", "left_square_bracket", "right_square_bracket",
        "equals_sign", "at", "plus",
    }  # fmt: skip
    for binding in where.BINDINGS:
        for key in binding.key.split(","):
            assert key in known or (len(key) == 1 and key.isalnum()), f"{key} of {binding.id}"
        assert binding.id, f"{binding.key} cannot be mapped anew without an id"


def test_the_lines_for_the_configuration_are_read_back_as_they_were_meant(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text(acknowledging.snippet(SYMPTOM, 'known: "ticket 4711" \\', date(2026, 11, 23)), encoding="utf-8")
    assert config.load(path).settings.acknowledgements == (
        Acknowledgement("connectivity.sample", 'known: "ticket 4711" \\', date(2026, 12, 23), SYMPTOM.subject),
    )


def test_a_secret_in_a_command_is_on_no_screen_and_in_no_copy_and_its_place_is_told() -> None:
    mend = Fix(id="a.b/c", title="Mend it", commands=(edits.replace_line("/etc/x.conf", 7, "password = hunter2"),))
    one = replace(CAUSE, fixes=(mend,))
    pages = (finding(Board(), one, 100, Here("Finding")), plan(one, mend, 100))
    texts = ["\n".join(each.text for each in rows) for rows in pages]
    texts.append("\n".join(each.text for each in copying.choices(one, "")))
    for text in texts:
        assert "hunter2" not in text
        assert "(removed)" in text
        assert "line 7 of /etc/x.conf" in text


def test_commands_come_first_in_the_copy_menu_and_nothing_in_it_is_a_control_character() -> None:
    found = copying.choices(CAUSE, sample.HOSTILE)
    assert found[0].text == "systemctl start postfix"
    assert [each.name.split(":")[0] for each in found[1:]] == [
        "the evidence",
        "the title and the reason",
        "the whole finding as text",
    ]
    assert not any(ord(letter) < 32 and letter != "\n" for each in found for letter in each.text)


def test_the_queue_ids_of_log_lines_and_of_the_queue_listing_are_found() -> None:
    shown = (
        Evidence("/var/log/mail.log", "Nov 23 mail postfix/smtp[12]: 4A1B2C3D4E: to=<x@example.test>, status=deferred"),
        Evidence("postqueue -p", "4F00F00F00*    1234 Mon Nov 23 05:00:00  alice@example.test"),
    )

    assert traced.queue_ids(replace(CAUSE, evidence=shown)) == ["4A1B2C3D4E", "4F00F00F00"]


def test_y_copies_what_is_chosen_into_a_file_too(
    app: MaildiagApp, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.delenv("TMUX", raising=False)

    async def scenario(pilot: Pilot[Any]) -> None:
        await pilot.press("enter", "y")
        await pilot.pause()
        assert isinstance(app.screen, CopyMenu)
        await pilot.press("enter")
        await pilot.pause()
        assert isinstance(app.screen, FindingScreen)

    play(app, scenario)
    assert (tmp_path / "maildiag/clip/last.txt").read_text() == "systemctl start postfix"


def test_i_shows_the_lines_that_acknowledge_the_finding(
    app: MaildiagApp, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))

    async def scenario(pilot: Pilot[Any]) -> None:
        await pilot.press("enter", "i", *"planned", "enter")
        await pilot.pause()
        assert isinstance(app.screen, Reader)
        assert 'reason = "planned"' in app.screen.text()
        await pilot.press("q")
        assert isinstance(app.screen, FindingScreen)

    play(app, scenario)


def test_v_judges_the_finding_again_and_says_the_verdict(app: MaildiagApp) -> None:
    async def scenario(pilot: Pilot[Any]) -> None:
        await pilot.press("enter", "v")
        await until(app, pilot, lambda: "still CRIT: Postfix is stopped" in notices(app))

    play(app, scenario)


def test_v_during_a_run_says_the_verdict_at_its_end(app: MaildiagApp) -> None:
    go_on = held_back(app)

    async def scenario(pilot: Pilot[Any]) -> None:
        await pilot.press("enter")
        app.start_run()
        await until(app, pilot, lambda: app.board.running)
        await pilot.press("v")
        go_on.set()
        assert "a run is under way" in notices(app)
        await until(app, pilot, lambda: "services.sample: still CRIT" in notices(app))

    play(app, scenario)


def test_x_says_when_nothing_is_under_way(app: MaildiagApp) -> None:
    async def scenario(pilot: Pilot[Any]) -> None:
        await pilot.press("x")
        await pilot.pause()
        assert "nothing is under way" in notices(app)

    play(app, scenario)
