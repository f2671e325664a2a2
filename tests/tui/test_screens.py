"""Every screen and key, driven by Textual's pilot."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot
from textual.widgets import Input

from maildiag.events import Event
from maildiag.hosts.local import LocalHost
from maildiag.model import Step
from maildiag.registry import Registry
from maildiag.settings import Settings
from maildiag.testing import TableHost
from maildiag.tui import repairing
from maildiag.tui.app import MaildiagApp
from maildiag.tui.rowlist import RowList
from maildiag.tui.screens.finding import FindingScreen
from maildiag.tui.screens.fix import FixScreen
from maildiag.tui.screens.overview import Overview
from maildiag.tui.screens.reader import Reader
from maildiag.tui.screens.walk import WalkScreen
from maildiag.tui.session import Session
from tests.tui import sample
from tests.tui.conftest import finished, held_back, notices, play, screen_text, until


def test_the_overview_answers_at_one_glance(app: MaildiagApp) -> None:
    async def scenario(_: Pilot[Any]) -> None:
        shown = screen_text(app)
        assert "2 CRIT" in shown
        assert "Postfix is stopped" in shown
        assert "1 CRIT Services" in shown
        assert "4 CRIT Connectivity" in shown
        assert "6 ???? Firewall" in shown
        assert " RO" in shown.splitlines()[0]

    play(app, scenario)


def test_symptoms_are_folded_beneath_their_cause(app: MaildiagApp) -> None:
    async def scenario(pilot: Pilot[Any]) -> None:
        assert "└ CRIT Port 25 refuses" not in screen_text(app)
        await pilot.press("space")
        assert "└ CRIT Port 25 refuses" in screen_text(app)

    play(app, scenario)


def test_enter_opens_the_cause_with_evidence_and_fix(app: MaildiagApp) -> None:
    async def scenario(pilot: Pilot[Any]) -> None:
        await pilot.press("enter")
        await pilot.pause()
        assert isinstance(app.screen, FindingScreen)
        text = app.screen.text()
        assert "ActiveState=inactive" in text
        assert "# systemctl start postfix" in text
        assert "EXPLAINS 1" in text
        await pilot.press("escape")
        assert isinstance(app.screen, Overview)

    play(app, scenario)


def test_the_walk_goes_through_the_steps_and_keeps_notes(app: MaildiagApp) -> None:
    async def scenario(pilot: Pilot[Any]) -> None:
        await pilot.press("W")
        await pilot.pause()
        screen = app.screen
        assert isinstance(screen, WalkScreen)
        assert screen.step.number == 1
        assert "evidence and cure" in screen_text(app)
        await pilot.press("4")
        await pilot.pause()
        assert screen.step.number == 4
        assert "the evidence points to step 1" in screen_text(app)
        await pilot.press("n")
        assert screen.step.number == 1
        await pilot.press("number_sign", *"called Bob", "enter")
        assert [(each.step, each.text) for each in app.notes] == [(screen.step, "called Bob")]
        assert "called Bob" in screen.text()

    play(app, scenario)


def test_each_digit_walks_to_its_step_and_a_capital_o_goes_home(app: MaildiagApp) -> None:
    async def scenario(pilot: Pilot[Any]) -> None:
        for digit in "1234567":
            await pilot.press(digit)
            await pilot.pause()
            assert isinstance(app.screen, WalkScreen)
            assert app.screen.step.number == int(digit)
        await pilot.press("O")
        await pilot.pause()
        assert isinstance(app.screen, Overview)

    play(app, scenario)


def test_the_incident_record_holds_the_report_and_the_notes(
    app: MaildiagApp, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))

    async def scenario(pilot: Pilot[Any]) -> None:
        app.note("called <b>Bob</b>", Step.QUEUE)
        await pilot.press("e")

    play(app, scenario)
    (record,) = (tmp_path / "maildiag" / "incidents").glob("*.md")
    text = record.read_text()
    assert "# Mail incident" in text
    assert "step 2: called" in text
    assert "<b>" not in text
    assert record.stat().st_mode & 0o077 == 0


def test_help_lists_the_keys_of_the_screen(app: MaildiagApp) -> None:
    async def scenario(pilot: Pilot[Any]) -> None:
        await pilot.press("question_mark")
        await pilot.pause()
        assert isinstance(app.screen, Reader)
        text = app.screen.text()
        assert "Show or hide what hangs beneath the row" in text
        assert "1 to 7" in text
        assert "mail or logins fail now" in text
        await pilot.press("question_mark")
        assert len(app.screen_stack) == 3, "help about help is no help"
        await pilot.press("q")
        assert isinstance(app.screen, Overview)

    play(app, scenario)


def test_a_re_run_keeps_the_place_of_the_eye(app: MaildiagApp) -> None:
    async def scenario(pilot: Pilot[Any]) -> None:
        await pilot.press("down")
        screen = app.screen
        assert isinstance(screen, Overview)
        before = screen.query_one("#causes", RowList).current
        await pilot.press("r")
        await finished(app, pilot)
        after = screen.query_one("#causes", RowList).current
        assert before is not None and after is not None and before.key == after.key

    play(app, scenario)


def test_a_filter_narrows_the_list_and_escape_takes_it_away_before_the_screen(app: MaildiagApp) -> None:
    async def scenario(pilot: Pilot[Any]) -> None:
        await pilot.press("slash", *"answer", "enter")
        await pilot.pause()
        causes = app.screen.query_one("#causes", RowList)
        assert [row.key for row in causes.rows] == ["group:unknown", "group:notice", "group:fine"]
        await pilot.press("escape")
        await pilot.pause()
        assert isinstance(app.screen, Overview)
        assert "CRIT Postfix is stopped" in screen_text(app)

    play(app, scenario)


def test_read_only_applies_nothing_and_says_how_to_unlock(app: MaildiagApp) -> None:
    async def scenario(pilot: Pilot[Any]) -> None:
        await pilot.press("enter", "a")
        screen = app.screen
        assert isinstance(screen, FixScreen)
        await until(app, pilot, lambda: "systemctl start postfix" in screen.text())
        await pilot.press("a")
        assert not screen.query_one("#answer", Input).display
        with pytest.raises(PermissionError):
            repairing.steps(app.session, screen.finding, screen.fix, (), screen.cancelled)

    play(app, scenario)


def keys(app: MaildiagApp) -> str:
    return screen_text(app).splitlines()[-1]


def test_the_last_line_shows_how_to_unlock_where_that_is_possible(app: MaildiagApp) -> None:
    here = MaildiagApp(Session(LocalHost(), app.session.load, Settings()))

    async def on_this_machine(pilot: Pilot[Any]) -> None:
        assert "W Walk  U Unlock  Q Queue" in keys(here)
        await pilot.press("U")
        await until(here, pilot, lambda: "W Walk  U Lock  Q Queue" in keys(here))

    async def elsewhere(pilot: Pilot[Any]) -> None:
        assert "W Walk  Q Queue" in keys(app)

    play(here, on_this_machine, size=(160, 50))
    play(app, elsewhere, size=(160, 50))


def test_on_eighty_columns_the_keys_of_the_screen_stay_and_before_a_locked_fix_the_key_that_unlocks(
    app: MaildiagApp,
) -> None:
    here = MaildiagApp(Session(LocalHost(), app.session.load, Settings()))

    async def scenario(pilot: Pilot[Any]) -> None:
        assert keys(here) == " enter Open  q Quit  space Fold  y Copy  / Filter  r Re-run  W Walk  ? Help"
        await pilot.press("enter")
        await until(here, pilot, lambda: "a Apply" in keys(here))
        assert keys(here) == " esc Back  y Copy  p Preview  a Apply  v Verify  i Ack  U Unlock  ? Help"
        await pilot.press("U")
        await until(here, pilot, lambda: "/ Filter" in keys(here))
        assert keys(here) == " esc Back  y Copy  p Preview  a Apply  v Verify  i Ack  / Filter  ? Help"

    play(here, scenario)


def test_a_host_that_is_not_this_machine_cannot_be_changed_even_unlocked(app: MaildiagApp) -> None:
    async def scenario(pilot: Pilot[Any]) -> None:
        await pilot.press("U", "enter", "a")
        screen = app.screen
        assert isinstance(screen, FixScreen)
        with pytest.raises(PermissionError):
            repairing.steps(app.session, screen.finding, screen.fix, (), screen.cancelled)

    play(app, scenario)


@pytest.mark.parametrize("size", [(40, 12), (60, 15), (80, 24), (160, 50)])
def test_every_size_shows_the_state_and_the_cause(app: MaildiagApp, size: tuple[int, int]) -> None:
    async def scenario(pilot: Pilot[Any]) -> None:
        shown = screen_text(app)
        assert " RO" in shown.splitlines()[0]
        assert "Postfix is stopped" in shown
        await pilot.press("enter")
        await pilot.pause()
        assert isinstance(app.screen, FindingScreen)

    play(app, scenario, size)


def test_hostile_text_is_shown_and_never_obeyed(app: MaildiagApp) -> None:
    async def scenario(pilot: Pilot[Any]) -> None:
        await pilot.press("enter")
        await pilot.pause()
        text = screen_text(app)
        assert not any((ord(each) < 32 and each != "\n") or 127 <= ord(each) < 160 for each in text)
        assert "\u202e" not in text
        assert "[@click=app.leave]press[/]" in app.screen.text()  # type: ignore[attr-defined]

    play(app, scenario)


def test_a_run_that_began_before_a_change_ended_is_cut_short_and_never_shown() -> None:
    """After a fix and its quick undo the screen showed what the run in between had found, and ended with its status."""
    asked: list[str] = []
    go_on = threading.Event()
    host = {"state": "cured"}

    class Slow(Session):
        def run(self, step: Step | None = None) -> Iterator[Event]:
            asked.append(host["state"])
            for event in super().run(step):
                yield event
                if asked[-1] == "cured":
                    go_on.wait(10)

    registry = Registry()
    registry.add(sample)
    app = MaildiagApp(Slow(TableHost({}), lambda: registry, Settings()))

    async def run() -> None:
        async with app.run_test() as pilot:
            await until(app, pilot, lambda: app.board.running)
            cut = app.session.cancelled
            host["state"] = "undone"
            app.look_again()
            assert cut.is_set()
            await pilot.pause(0.3)
            assert app.board.running and app.board.report is None
            go_on.set()
            await finished(app, pilot)
            assert asked == ["cured", "undone"]
            assert app.board.report is not None and app.board.report.complete
            assert app.board.before is None

    asyncio.run(run())


def test_a_change_that_ends_with_nothing_under_way_is_followed_by_a_run(app: MaildiagApp) -> None:
    async def scenario(pilot: Pilot[Any]) -> None:
        first = app.board.report
        app.look_again()
        assert app.board.running
        assert app.status() == 2
        await until(app, pilot, lambda: not app.board.running)
        assert app.board.before is first
        assert app.board.report is not first

    play(app, scenario)


def test_leaving_while_only_a_run_is_under_way_ends_it_with_the_status_of_the_last_report(app: MaildiagApp) -> None:
    go_on = held_back(app)

    async def scenario(pilot: Pilot[Any]) -> None:
        app.start_run()
        await until(app, pilot, lambda: app.board.running)
        cut = app.session.cancelled
        app.simulate_key("q")
        await until(app, pilot, cut.is_set)
        go_on.set()

    play(app, scenario)
    assert app.return_code == 2


def test_what_breaks_beside_a_screen_is_told_and_what_comes_after_it_was_left_is_not(app: MaildiagApp) -> None:
    told: list[str] = []
    begun, left = threading.Event(), threading.Event()

    def broken() -> None:
        raise RuntimeError("the\x1bthread")

    def late(screen: Reader) -> None:
        begun.set()
        left.wait(10)
        screen.from_thread(told.append, "late")
        told.append("and the thread goes on")

    async def scenario(pilot: Pilot[Any]) -> None:
        screen = Reader("somewhere", [])
        await app.push_screen(screen)
        screen.run_worker(broken, thread=True, exit_on_error=False, description="the reading")
        await until(app, pilot, lambda: r"the reading broke off: RuntimeError: the\x1bthread" in notices(app))
        screen.run_worker(lambda: late(screen), thread=True, exit_on_error=False, description="late")
        await until(app, pilot, begun.is_set)
        await pilot.press("escape")
        await pilot.pause()
        left.set()
        await until(app, pilot, lambda: told)

    play(app, scenario)
    assert told == ["and the thread goes on"]
