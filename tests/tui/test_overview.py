"""What the overview and the walk say, as text from boards."""

from __future__ import annotations

from typing import Any

import pytest
from textual.pilot import Pilot

from maildiag import engine
from maildiag.model import Step
from maildiag.registry import Registry
from maildiag.settings import Settings
from maildiag.testing import TableHost
from maildiag.tui import peek, views, walkview
from maildiag.tui.app import MaildiagApp
from maildiag.tui.board import Board
from maildiag.tui.rows import plain
from maildiag.tui.screens.walk import WalkScreen
from tests.tui import sample
from tests.tui.conftest import play, screen_text

KEY = "finding:services.sample"


@pytest.fixture
def board() -> Board:
    registry = Registry()
    registry.add(sample)
    found = Board()
    for event in engine.run(TableHost({}), registry, Settings()):
        found = found.after(event)
    return found


def test_a_long_title_leaves_the_number_of_symptoms_and_fixes_in_sight(board: Board) -> None:
    first = views.causes(board, frozenset(), 60)[0]
    assert first.text.endswith("…  +1  fix 1")
    assert len(first.text) <= 60


def test_what_is_unknown_is_told_with_its_reason(board: Board) -> None:
    assert " + 1 answer could not be told: the question failed (1)" in plain(views.causes(board, frozenset()))


def test_the_row_under_the_cursor_is_explained_in_three_lines(board: Board) -> None:
    shown = peek.told(board, KEY, 80)
    assert len(shown) <= 3
    assert "Nobody can send mail." in shown[0].text
    assert "fix: systemctl start postfix" in shown[-1].text
    symptom = next(each.key for each in board.findings if each.id == "connectivity.sample")
    assert "because of services.sample: fix that first" in peek.told(board, f"finding:{symptom}", 80)[-1].text


def test_a_tall_wide_screen_shows_the_whole_finding_beside_the_list(app: MaildiagApp) -> None:
    async def scenario(pilot: Pilot[Any]) -> None:
        assert "ActiveState=inactive" in screen_text(app)
        await pilot.press("down")
        await pilot.pause()
        assert "ActiveState=inactive" not in screen_text(app)

    play(app, scenario, (160, 50))


def test_the_walk_proposes_the_step_of_the_first_cause(board: Board) -> None:
    assert "n: the evidence points to step 1" in walkview.proposal(board, Step.DNS)
    assert "the first cause lies here" in walkview.proposal(board, Step.SERVICES)


def test_a_skipped_step_goes_into_the_record_with_its_reason(app: MaildiagApp) -> None:
    async def scenario(pilot: Pilot[Any]) -> None:
        await pilot.press("2", "s", *"no queue", "enter")
        await pilot.pause()
        screen = app.screen
        assert isinstance(screen, WalkScreen)
        assert screen.step is Step.LOGS
        assert [(each.step, each.text) for each in app.notes] == [(Step.QUEUE, "skipped: no queue")]

    play(app, scenario)
