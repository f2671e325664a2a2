"""The log screen on a real file: filter, problems, trace, growth."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot
from textual.widgets import Input

from maildiag.facts.mail_log import MOST_BYTES
from maildiag.probes import ReadFile
from maildiag.testing import TableHost, file
from maildiag.tui.app import MaildiagApp
from maildiag.tui.logcopy import LogCopy, copied
from maildiag.tui.logfile import LogFile, Selected
from maildiag.tui.rowlist import RowList
from maildiag.tui.screens.logs import LogsScreen
from maildiag.tui.screens.trace import TraceScreen
from tests.tui.conftest import play, screen_text, until

CLEANUP = "2026-11-23T04:59:58.100000+00:00 mail postfix/cleanup[12]: 4A1B2C3D4E: message-id=<x@example.test>\n"
SENT = (
    "2026-11-23T04:59:58.300000+00:00 mail postfix/local[14]: 4A1B2C3D4E: to=<alice@example.test>, relay=local, delay=0.2,"
    " delays=0.1/0/0/0.1, dsn=2.0.0, status=sent (delivered to maildir)\n"
)
DEFERRED = SENT.replace("4A1B2C3D4E", "4F00F00F00").replace(
    "dsn=2.0.0, status=sent (delivered to maildir)", "dsn=4.4.1, status=deferred (x)"
)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "mail.log"
    path.write_text((CLEANUP + SENT) * 50 + DEFERRED + SENT * 20)
    return path


def indexed(path: Path) -> LogFile:
    found = LogFile(path)
    for _ in found.read_on():
        pass
    return found


async def row_count(pilot: Pilot[Any], app: MaildiagApp, length: int) -> RowList:
    for _ in range(1500):
        await pilot.pause(0.02)
        rows = app.screen.query_one("#lines", RowList)
        if len(rows.rows) == length:
            return rows
    raise AssertionError(f"{len(rows.rows)} rows, not {length}")


def opened(app: MaildiagApp, path: Path) -> None:
    report = app.board.report
    assert report is not None
    app.board = replace(app.board, report=replace(report, host=replace(report.host, log_source=str(path))))


def test_a_log_is_a_sequence_of_its_lines(log: Path) -> None:
    opened_log = indexed(log)
    assert len(opened_log) == 121
    assert opened_log.line(0) == CLEANUP.rstrip("\n")
    assert opened_log.line(100) == DEFERRED.rstrip("\n")
    found = Selected(opened_log, "STATUS=DEFERRED")
    assert list(found.search_on()) == [1]
    assert found.number(0) == 100
    assert opened_log.place(opened_log[100].key) == 100
    assert opened_log.place("at:1") is None


def test_what_is_appended_is_read_on_and_a_rotation_is_noticed(log: Path) -> None:
    opened_log = indexed(log)
    with log.open("a") as more:
        more.write(DEFERRED)
    assert list(opened_log.read_on())[-1] == 122
    assert not opened_log.rotated()
    log.rename(log.with_suffix(".1"))
    log.write_text(SENT)
    assert opened_log.rotated()


def test_the_screen_filters_jumps_to_the_problem_and_traces_it(app: MaildiagApp, log: Path) -> None:
    async def scenario(pilot: Pilot[Any]) -> None:
        opened(app, log)
        await pilot.press("L")
        rows = await row_count(pilot, app, 121)
        await pilot.press("f", "g", "e")
        assert rows.cursor == 100
        await pilot.press("slash", *"deferred", "enter")
        await row_count(pilot, app, 1)
        await pilot.press("escape")
        await row_count(pilot, app, 121)
        await pilot.press("g", "t")
        await until(app, pilot, lambda: isinstance(app.screen, TraceScreen))
        trace = app.screen
        assert isinstance(trace, TraceScreen)
        await until(app, pilot, lambda: "4A1B2C3D4E" in trace.text())
        assert "delivered to maildir" in trace.text()

    play(app, scenario)


def test_a_log_that_cannot_be_read_says_so(app: MaildiagApp, tmp_path: Path) -> None:
    async def scenario(pilot: Pilot[Any]) -> None:
        opened(app, tmp_path / "nothing.log")
        await pilot.press("L")
        await row_count(pilot, app, 1)
        assert isinstance(app.screen, LogsScreen)
        assert "No such file" in app.screen.text()

    play(app, scenario)


def test_the_log_of_a_recording_is_taken_from_the_recording_and_never_from_this_machine(log: Path) -> None:
    host = TableHost({ReadFile("/var/log/mail.log", most=MOST_BYTES, tail=True): file(CLEANUP + SENT)})
    copy = copied(host, False, "/var/log/mail.log")
    assert copy is not None
    assert copy.path.read_text() == CLEANUP + SENT
    copy.close()
    with pytest.raises(OSError, match="not in the table"):
        copied(host, False, str(log))
    assert copied(host, True, str(log)) is None


def test_what_a_command_prints_is_followed_like_a_file() -> None:
    copy = LogCopy()
    copy.follow(["sh", "-c", "echo one; echo two; exec sleep 60"])
    shown = LogFile(copy.path)
    for _ in range(500):
        list(shown.read_on())
        if len(shown) == 2:
            break
        time.sleep(0.01)
    assert [shown.line(0), shown.line(1)] == ["one", "two"]
    copy.close()
    assert not copy.path.exists()


def test_the_reason_of_a_failure_is_seen_whole_in_a_trace(app: MaildiagApp, tmp_path: Path) -> None:
    path = tmp_path / "mail.log"
    path.write_text(
        CLEANUP + DEFERRED.replace("4F00F00F00", "4A1B2C3D4E").replace("(x)", "(host mx.example.net said: 451 later)")
    )

    async def scenario(pilot: Pilot[Any]) -> None:
        opened(app, path)
        app.open_trace("4A1B2C3D4E")
        await until(app, pilot, lambda: "said: 451 later" in " ".join(screen_text(app).split()))
        await pilot.press("w")
        await until(app, pilot, lambda: "451 later" not in screen_text(app))

    play(app, scenario)


def test_what_is_traced_is_asked_for_and_can_be_asked_again(app: MaildiagApp, log: Path) -> None:
    async def scenario(pilot: Pilot[Any]) -> None:
        opened(app, log)
        await pilot.press("T")
        await until(app, pilot, lambda: isinstance(app.focused, Input))
        await pilot.press(*"4A1B2C3D4E", "enter")
        await until(app, pilot, lambda: "4A1B2C3D4E on mail: SENT" in screen_text(app))
        assert "Trace > 4A1B2C3D4E" in screen_text(app)
        await pilot.press("T", *"4F00F00F00", "enter")
        await until(app, pilot, lambda: "4F00F00F00 on mail: DEFERRED" in screen_text(app))
        await pilot.press("T")
        await pilot.press("escape")
        assert isinstance(app.screen, TraceScreen)
        await pilot.press("escape")
        assert not isinstance(app.screen, TraceScreen)

    play(app, scenario)


def test_a_log_that_the_run_still_looks_for_is_opened_when_it_is_known(app: MaildiagApp, log: Path) -> None:
    async def scenario(pilot: Pilot[Any]) -> None:
        found, app.board = app.board, replace(app.board, report=None, before=None, running=True)
        await pilot.press("L")
        await until(app, pilot, lambda: "still finds out where the log is" in screen_text(app))
        app.board = found
        opened(app, log)
        await row_count(pilot, app, 121)
        assert str(log)[:20] in screen_text(app).splitlines()[0]

    play(app, scenario)
