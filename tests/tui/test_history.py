"""Earlier runs and changes, and what differs between two of them."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from textual.pilot import Pilot
from textual.widgets import Static

from maildiag import history
from maildiag.history import PastRun
from maildiag.hosts.local import LocalHost
from maildiag.settings import Settings
from maildiag.tui import historyview
from maildiag.tui.app import MaildiagApp
from maildiag.tui.historyview import Past
from maildiag.tui.rows import plain
from maildiag.tui.screens.history import HistoryScreen
from maildiag.tui.screens.reader import Reader
from maildiag.tui.session import Session
from tests.tui.conftest import finished, notices, play, screen_text, until
from tests.tui.sample import HOSTILE

NOW = datetime(2026, 11, 22, 3, 12, tzinfo=UTC)


def run(minutes: int, status: str, queue: float, **findings: str) -> PastRun:
    """A run so many minutes before now."""
    kept = {name.replace("_", "."): word for name, word in findings.items()}
    return PastRun(
        NOW - timedelta(minutes=minutes), "mail", status, f"headline {HOSTILE}", kept, {"queue_messages": queue}
    )


PAST = Past(
    [
        run(0, "critical", 1284, services_postfix="critical", queue_backlog="critical"),
        run(7, "warning", 318, queue_backlog="warning"),
        run(37, "ok", 12),
    ]
)


def test_the_timeline_tells_when_something_is_new() -> None:
    newest, middle, oldest = [each.text for each in historyview.timeline(PAST, "")]
    assert "CRIT" in newest and "2C 0W" in newest and "1 new" in newest
    assert "WARN" in middle and "1 new" in middle
    assert "ok" in oldest and "new" not in oldest


def test_what_differs_is_told_with_the_status_before() -> None:
    shown = plain(historyview.differences(PAST.runs[1], PAST.runs[0], 80))
    assert "+ CRIT services.postfix" in shown
    assert "~ CRIT queue.backlog  (was WARN)" in shown
    assert "queue_messages 318 -> 1,284" in shown
    assert "- gone services.postfix" in plain(historyview.differences(PAST.runs[0], PAST.runs[1], 80))
    assert "oldest run" in plain(historyview.differences(None, PAST.runs[2], 80))


def test_the_trend_runs_from_the_oldest_to_the_newest() -> None:
    (line,) = historyview.trend(PAST, 80)
    assert line.text.split() == ["queue_messages", "._#", "12", "->", "1,284"]


def test_a_run_is_compared_with_the_one_before_with_a_marked_one_and_with_the_last_good_one(app: MaildiagApp) -> None:
    async def scenario(pilot: Pilot[Any]) -> None:
        await pilot.press("H")
        await until(app, pilot, lambda: "No run is kept of a recording" in screen_text(app))
        screen = app.screen
        assert isinstance(screen, HistoryScreen)
        screen.show(PAST)
        await pilot.pause()
        assert "(was WARN)" in screen.text()
        await pilot.press("c")
        assert "03:12Z" in screen.text() and "02:35Z -> " in plain(screen.query_one("#differences").rows)  # type: ignore[attr-defined]
        await pilot.press("down", "space")
        assert "03:05Z" in plain(screen.query_one("#lines").rows[1:2])  # type: ignore[attr-defined]
        assert "*" in screen.query_one("#lines").rows[1].text  # type: ignore[attr-defined]
        await pilot.press("up")
        assert "03:05Z -> " in plain(screen.query_one("#differences").rows)  # type: ignore[attr-defined]
        assert screen.query_one("#trend", Static).size.height == 1
        await pilot.press("enter")
        await pilot.pause()
        assert isinstance(app.screen, Reader)
        assert "CRIT services.postfix" in app.screen.text()
        assert "(was WARN)" in app.screen.text()

    play(app, scenario)


def test_whole_runs_of_this_machine_are_kept_and_no_others(app: MaildiagApp, history_of_its_own: Path) -> None:
    async def nothing(_: Pilot[Any]) -> None:
        assert not history_of_its_own.exists()

    play(app, nothing)
    here = MaildiagApp(Session(LocalHost(), app.session.load, Settings()))

    async def scenario(pilot: Pilot[Any]) -> None:
        await until(here, pilot, lambda: len(history.runs()) == 1)
        await pilot.press("1")
        here.start_run(here.board.findings[0].step)
        await finished(here, pilot)
        assert len(history.runs()) == 1

    play(here, scenario)


def test_the_first_run_marks_what_the_last_kept_one_did_not_find_and_what_is_cured_since(app: MaildiagApp) -> None:
    async def keeps(pilot: Pilot[Any]) -> None:
        await until(first, pilot, lambda: first.board.report is not None)
        assert not first.board.changes(), "there is nothing to compare with"

    first = MaildiagApp(Session(LocalHost(), app.session.load, Settings()))
    play(first, keeps)
    report = first.board.report
    assert report is not None
    new, *others = report.findings
    gone = replace(new, subject="gone")
    assert not history.remember(replace(report, findings=(*others, gone)))
    second = MaildiagApp(Session(LocalHost(), app.session.load, Settings()))

    async def marks(pilot: Pilot[Any]) -> None:
        assert second.board.changes() == {new.key: "new", gone.key: "cured"}
        await until(second, pilot, lambda: f"cured since the last run: {gone.key}" in screen_text(second))

    play(second, marks)


def test_that_a_run_cannot_be_kept_is_told(app: MaildiagApp, history_of_its_own: Path) -> None:
    history_of_its_own.mkdir()
    here = MaildiagApp(Session(LocalHost(), app.session.load, Settings()))

    async def scenario(pilot: Pilot[Any]) -> None:
        await until(here, pilot, lambda: "not in the history" in notices(here))
        await pilot.press("H")
        await until(here, pilot, lambda: "move it away to begin anew" in here.screen.text())  # type: ignore[attr-defined]

    play(here, scenario)
