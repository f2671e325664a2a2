"""Another host over SSH from the screen, and what differs between two."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from textual.pilot import Pilot
from textual.widgets import Input

from maildiag.events import Event
from maildiag.hosts import Host
from maildiag.model import Status, Step
from maildiag.registry import Registry
from maildiag.settings import RemoteHost, Settings
from maildiag.testing import TableHost
from maildiag.tui import fleet as fleets
from maildiag.tui import hostsview
from maildiag.tui.app import MaildiagApp
from maildiag.tui.board import Board
from maildiag.tui.fleet import Fleet, Known, Visit
from maildiag.tui.rows import plain
from maildiag.tui.screens.hosts import HostsScreen
from maildiag.tui.screens.overview import Overview
from maildiag.tui.screens.reader import Reader
from maildiag.tui.session import Session
from maildiag.tui.underway import Change, Doing, Ending
from tests.tui import sample
from tests.tui.conftest import finished, held_back, notices, play, screen_text, until


class Elsewhere(TableHost):
    """A host over there; `ended` as an SSH connection that broke."""

    ended = False
    closed = False

    def close(self) -> None:
        self.closed = True


def held(session: Session) -> Session:
    """One whose run goes on only when it is cancelled."""

    class Held(Session):
        def run(self, step: Step | None = None) -> Iterator[Event]:
            events = super().run(step)
            yield next(events)
            self.cancelled.wait(30)
            yield from events

    return Held(Elsewhere({}), session.load, session.settings)


@pytest.fixture
def opened() -> list[tuple[Known, Elsewhere]]:
    return []


@pytest.fixture
def app(opened: list[tuple[Known, Elsewhere]]) -> MaildiagApp:
    def connect(known: Known) -> Host:
        if known.name == "nowhere":
            raise OSError("ssh is not installed")
        host = Elsewhere({})
        opened.append((known, host))
        return host

    registry = Registry()
    registry.add(sample)
    settings = Settings(hosts=(RemoteHost("mx2", "admin@192.0.2.2"), RemoteHost("app1")))
    made = MaildiagApp(Session(TableHost({}), lambda: registry, settings))
    made.fleet = Fleet(made.session, connect)
    return made


def test_another_host_is_diagnosed_and_coming_back_shows_what_was_seen(
    app: MaildiagApp, opened: list[tuple[Known, Elsewhere]]
) -> None:
    async def scenario(pilot: Pilot[Any]) -> None:
        first, seen = app.session, app.board.report
        await pilot.press("at")
        await pilot.pause()
        assert isinstance(app.screen, HostsScreen)
        assert "mx2" in screen_text(app) and "not looked at yet" in screen_text(app)
        await pilot.press("down", "enter")
        await pilot.pause()
        assert isinstance(app.screen, Overview)
        await finished(app, pilot)
        assert [(known.name, known.ssh) for known, _ in opened] == [("mx2", "admin@192.0.2.2")]
        assert app.session.host is opened[0][1]
        assert app.board.report is not seen
        await pilot.press("U")
        assert not app.session.allow_fix
        await pilot.press("at", "g", "enter")
        await pilot.pause()
        assert app.session is first
        assert app.board.report is seen
        assert not app.board.running

    play(app, scenario)


def test_a_connection_that_broke_is_opened_anew_and_what_was_seen_is_the_run_before(
    app: MaildiagApp, opened: list[tuple[Known, Elsewhere]]
) -> None:
    async def scenario(pilot: Pilot[Any]) -> None:
        app.go_to("mx2")
        await finished(app, pilot)
        seen = app.board.report
        app.go_to("")
        opened[0][1].ended = True
        app.go_to("mx2")
        await finished(app, pilot)
        assert len(opened) == 2
        assert app.board.before is seen

    play(app, scenario)
    app.fleet.close()
    assert opened[1][1].closed


def test_an_added_destination_is_gone_to_and_what_is_none_is_told(
    app: MaildiagApp, opened: list[tuple[Known, Elsewhere]]
) -> None:
    async def scenario(pilot: Pilot[Any]) -> None:
        await pilot.press("at", "plus")
        await pilot.pause()
        app.screen.query_one("#destination", Input).value = "-oProxyCommand=evil"
        await pilot.press("enter")
        await until(app, pilot, lambda: "no SSH destination" in notices(app))
        assert opened == []
        await pilot.press("plus")
        app.screen.query_one("#destination", Input).value = "sudo app1"
        await pilot.press("enter")
        await finished(app, pilot)
        assert [(known.name, known.ssh, known.sudo) for known, _ in opened] == [("app1", "app1", True)]
        app.go_to(app.fleet.add("nowhere"))
        await until(app, pilot, lambda: "ssh is not installed" in notices(app))
        assert app.fleet.here == "sudo app1"

    play(app, scenario)


def test_nobody_goes_away_from_a_host_that_is_being_changed(app: MaildiagApp) -> None:
    going = threading.Event()

    def slowly() -> Doing:
        going.wait(10)
        yield "half"
        return Ending("done")

    async def scenario(pilot: Pilot[Any]) -> None:
        app.begin(Change("the change", lambda _: None, lambda _: None), slowly)
        app.go_to("mx2")
        assert app.fleet.here == ""
        going.set()
        await until(app, pilot, lambda: app.change is None)

    play(app, scenario)


def test_what_a_host_left_behind_still_tells_is_not_shown_for_the_next(app: MaildiagApp) -> None:
    go_on = held_back(app)
    app.fleet = Fleet(app.session, lambda _: Elsewhere({}))

    async def scenario(pilot: Pilot[Any]) -> None:
        app.start_run()
        await until(app, pilot, lambda: app.board.running)
        app.go_to("mx2")
        go_on.set()
        await finished(app, pilot)
        assert app.fleet.here == "mx2"
        assert app.board.before is None
        assert len(app.board.findings) == 5

    play(app, scenario)


def test_marked_hosts_are_run_side_by_side_without_going_there(
    app: MaildiagApp, opened: list[tuple[Known, Elsewhere]]
) -> None:
    app.fleet.known["nowhere"] = Known("nowhere", "nowhere")

    async def scenario(pilot: Pilot[Any]) -> None:
        here = app.session
        await pilot.press("at")
        await pilot.press(*["down", "space"] * 3, "r", "r")
        await until(app, pilot, lambda: not app.fleet.looking)
        assert sorted(known.name for known, _ in opened) == ["app1", "mx2"], "each once, however often r is pressed"
        assert app.session is here and app.fleet.here == ""
        assert all(app.fleet.visits[each].board.report is not None for each in ("mx2", "app1"))
        assert "ssh is not installed" in notices(app)
        await until(app, pilot, lambda: screen_text(app).count("Postfix is stopped") == 3)
        app.go_to("mx2")
        assert app.board is app.fleet.visits["mx2"].board

    play(app, scenario)


def test_what_is_run_elsewhere_is_ended_by_x_and_not_gone_to_meanwhile(app: MaildiagApp) -> None:
    app.fleet.visits["mx2"] = Visit(held(app.session))

    async def scenario(pilot: Pilot[Any]) -> None:
        app.look_at("mx2")
        await until(app, pilot, lambda: app.fleet.visits["mx2"].board.running)
        app.go_to("mx2")
        assert app.fleet.here == ""
        await until(app, pilot, lambda: "x ends it" in notices(app))
        await pilot.press("at")
        await until(app, pilot, lambda: "looking" in screen_text(app))
        await pilot.press("x")
        await until(app, pilot, lambda: not app.fleet.looking)
        report = app.fleet.visits["mx2"].board.report
        assert report is not None and not report.complete

    play(app, scenario)


def boards(app: MaildiagApp) -> tuple[Board, Board]:
    """The board as it is, and one of a host where Postfix runs and is newer."""
    report = app.board.report
    assert report is not None
    better = tuple(
        replace(each, status=Status.OK, title="Postfix runs") if each.id == "services.sample" else each
        for each in report.findings
    )
    other = replace(report, host=replace(report.host, name="mx2", postfix="3.11.0"), findings=better)
    return Board(report=report), Board(report=other)


def test_two_hosts_are_compared_by_what_differs(app: MaildiagApp) -> None:
    async def scenario(pilot: Pilot[Any]) -> None:
        shown = plain(hostsview.compared(*boards(app), 80))
        assert "postfix" in shown and "3.11.0" in shown
        assert "CRIT ok   services.sample: Postfix is stopped" in shown
        assert "connectivity.sample" not in shown
        same = plain(hostsview.compared(boards(app)[0], boards(app)[0], 80))
        assert "whatever is wrong is wrong on both" in same
        app.go_to("mx2")
        await finished(app, pilot)
        await pilot.press("at", "g", "space", "down", "c")
        await pilot.pause()
        assert isinstance(app.screen, Reader)
        assert "wrong on both" in app.screen.text()

    play(app, scenario)


def test_the_wide_list_tells_each_step(app: MaildiagApp) -> None:
    async def scenario(pilot: Pilot[Any]) -> None:
        await pilot.press("at")
        await pilot.pause()
        assert "1 CRIT" in screen_text(app) and "5 note" in screen_text(app)

    play(app, scenario, size=(160, 50))


def test_ssh_is_asked_for_the_destination_as_it_was_typed(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[object, ...]] = []
    monkeypatch.setattr("maildiag.hosts.ssh.SshHost", lambda *given: asked.append(given))
    fleets.by_ssh(Known("mx2", "admin@192.0.2.2", sudo=True))
    assert asked == [("admin@192.0.2.2", "mx2", True)]
