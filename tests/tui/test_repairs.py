"""The guided repairs on the screen: nothing before it is unlocked and confirmed, watched, taken back; and the changes so far."""

from __future__ import annotations

import tarfile
import threading
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot

from maildiag.hosts.local import LocalHost
from maildiag.repair import backup, debug_peer
from maildiag.repair.applying import Workshop
from maildiag.repair.emergency import Stage
from maildiag.repair.hand import Hand
from maildiag.repair.journal import State
from maildiag.repair.procedure import Archive, Procedure
from maildiag.settings import Settings
from maildiag.tui import guided, repairing
from maildiag.tui.app import MaildiagApp
from maildiag.tui.repairing import Means
from maildiag.tui.screens.emergency import EmergencyScreen
from maildiag.tui.screens.logs import LogsScreen
from maildiag.tui.screens.repairs import DeedScreen, RepairsScreen
from maildiag.tui.session import Session
from tests.repair.workbench import BAD, GOOD, World, fix, world
from tests.tui.conftest import notices, play, screen_text, until


class AsRoot(Hand):
    """The guided repairs want root; what they change here belongs to the test."""

    @property
    def privileged(self) -> bool:
        return True


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """A small host to change, in the place of this machine."""
    (tmp_path / "host").mkdir()
    made = world(tmp_path / "host")
    hand = AsRoot(LocalHost(), made.shop.hand.actions, made.shop.hand.guards, limit_s=10)

    def shop(session: Session, cancelled: Any) -> Workshop | None:
        return replace(made.shop, hand=hand, cancelled=cancelled) if isinstance(session.host, LocalHost) else None

    def means(session: Session) -> Means | None:
        return Means(hand, made.shop.store) if isinstance(session.host, LocalHost) else None

    monkeypatch.setattr(repairing, "workshop", shop)
    monkeypatch.setattr(repairing, "means", means)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return made


@pytest.fixture
def here(app: MaildiagApp) -> MaildiagApp:
    """The application on this machine."""
    return MaildiagApp(Session(LocalHost(), app.session.load, Settings()))


async def shown(app: MaildiagApp, pilot: Pilot[Any], words: str) -> None:
    await until(app, pilot, lambda: words in screen_text(app))


async def typed(app: MaildiagApp, pilot: Pilot[Any], text: str) -> None:
    """Type and enter; names hold characters that have key names of their own."""
    await until(app, pilot, lambda: getattr(app.focused, "id", "") == "answer")
    app.focused.value = text  # type: ignore[union-attr]
    await pilot.press("enter")


@pytest.mark.parametrize("name", ["verbose", "backup", "emergency"])
def test_read_only_a_guided_repair_says_how_to_unlock(here: MaildiagApp, small: World, name: str) -> None:
    async def scenario(pilot: Pilot[Any]) -> None:
        await pilot.press("R")
        await shown(here, pilot, "Emergency procedure")
        here.open_guided(name)
        await pilot.press("a")
        await shown(here, pilot, "read-only: U unlocks")
        with pytest.raises(PermissionError):
            next(guided.Emergency(here.session).begin())
        with pytest.raises(PermissionError):
            next(guided.backing_up(here.session, Path("/tmp/never.tar.gz")))
        with pytest.raises(PermissionError):
            next(guided.switching_on(here.session, guided.wish("mx.example.test"), threading.Event()))

    play(here, scenario)
    assert small.file.read_text() == BAD
    assert not (small.root / "state").exists()


def test_a_host_elsewhere_is_never_changed(app: MaildiagApp) -> None:
    async def scenario(pilot: Pilot[Any]) -> None:
        await pilot.press("U", "R")
        await shown(app, pilot, "Nothing was changed")
        await pilot.press("enter")
        await shown(app, pilot, "only on the host itself")

    play(app, scenario)


@pytest.mark.parametrize(
    ("text", "peers", "seconds", "dovecot"),
    [
        ("mx.example.test", ("mx.example.test",), 600, False),
        (" 10.0.1.20, [2001:db8::25] 90s", ("10.0.1.20", "[2001:db8::25]"), 90, False),
        ("dovecot 2h", (), 7200, True),
    ],
)
def test_what_is_typed_for_verbose_logging_is_understood(
    text: str, peers: tuple[str, ...], seconds: int, dovecot: bool
) -> None:
    wanted = guided.wish(text)
    assert (wanted.peers, wanted.duration.total_seconds(), wanted.dovecot) == (peers, seconds, dovecot)


@pytest.mark.parametrize("text", ["", "10m", "hash:/etc/passwd", "a;b", "mx 25h", "mx 0s"])
def test_what_is_no_wish_is_told(text: str) -> None:
    with pytest.raises(ValueError, match=r"name an|is no|is not"):
        guided.wish(text)


def test_verbose_logging_is_shown_confirmed_timed_followed_and_switched_off(
    here: MaildiagApp, small: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    arranged: list[float] = []
    change = fix(small.root)
    monkeypatch.setattr(debug_peer, "change", lambda *_: change)
    monkeypatch.setattr(guided, "change", lambda *_: change)

    def arrange(_: str, after: timedelta, __: Workshop) -> str:
        arranged.append(after.total_seconds())
        return ""

    monkeypatch.setattr(debug_peer, "arrange_undo", arrange)

    async def scenario(pilot: Pilot[Any]) -> None:
        await pilot.press("U", "R")
        await pilot.pause()
        await pilot.press("enter")
        await typed(here, pilot, "hash:/etc/x")
        await shown(here, pilot, "is no address")
        await pilot.press("a")
        await typed(here, pilot, "mx.example.test 5m")
        await shown(here, pilot, "type y and enter")
        assert f"# {small.root}/service reload" in here.screen.text()  # type: ignore[attr-defined]
        await typed(here, pilot, "n")
        await shown(here, pilot, "nothing was changed")
        assert small.file.read_text() == BAD
        await pilot.press("a")
        await typed(here, pilot, "mx.example.test 5m")
        await shown(here, pilot, "type y and enter")
        await typed(here, pilot, "y")
        await shown(here, pilot, "off by itself in")
        assert small.file.read_text() == GOOD
        assert arranged == [300]
        await pilot.press("f")
        await pilot.pause()
        assert isinstance(here.screen, LogsScreen)
        assert here.screen.words == "mx.example.test"
        await pilot.press("escape", "escape")
        await pilot.press("u")
        await shown(here, pilot, "is undone")
        assert small.file.read_text() == BAD

    play(here, scenario)


def test_the_configuration_is_saved_into_a_file_that_is_not_there_yet(
    here: MaildiagApp, small: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backup, "places", lambda *_, **__: (small.file,))
    file = tmp_path / "kept.tar.gz"

    async def scenario(pilot: Pilot[Any]) -> None:
        await pilot.press("U")
        here.open_guided("backup")
        await pilot.pause()
        await until(
            here, pilot, lambda: getattr(here.focused, "value", "").startswith(str(small.root / "state/config-"))
        )
        await typed(here, pilot, str(file))
        await shown(here, pilot, "1 path, mode 600")
        first = file.read_bytes()
        await pilot.press("a")
        await typed(here, pilot, str(file))
        await shown(here, pilot, "there already")
        assert file.read_bytes() == first

    play(here, scenario, size=(160, 50))
    with tarfile.open(file) as archive:
        assert str(small.file).lstrip("/") in archive.getnames()


def steps(small: World) -> Procedure:
    """Two stages: one that works, one that breaks the configuration and is undone."""
    yield Archive(small.root / "state" / "emergency.tar.gz")
    yield Stage("Mend the value", "a comment is part of it", fix(small.root))
    wrong = fix(small.root, commands=(("cp", "/nonexistent", str(small.file)),), guards=())
    yield Stage("Break it", "this cannot work", wrong)


def test_the_emergency_procedure_goes_step_by_step_and_back(
    here: MaildiagApp, small: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guided, "procedure", lambda _: steps(small))

    async def scenario(pilot: Pilot[Any]) -> None:
        await pilot.press("U")
        here.open_guided("emergency")
        await pilot.pause()
        screen = here.screen
        assert isinstance(screen, EmergencyScreen)
        await pilot.press("a")
        await shown(here, pilot, "next: Mend the value")
        assert small.file.read_text() == BAD
        await pilot.press("a")
        await typed(here, pilot, "y")
        await shown(here, pilot, "nothing was changed")
        await pilot.press("a")
        await typed(here, pilot, here.host_name)
        await shown(here, pilot, "next: Break it")
        assert small.file.read_text() == GOOD
        await pilot.press("q")
        await pilot.press("ctrl+q")
        await until(here, pilot, lambda: "once more quits" in notices(here))
        assert here.is_running
        here.open_guided("emergency")
        await shown(here, pilot, "next: Break it")
        await pilot.press("a")
        await typed(here, pilot, here.host_name)
        await shown(here, pilot, "everything is as it was")
        assert small.file.read_text() == GOOD
        await pilot.press("u")
        await typed(here, pilot, here.host_name)
        await shown(here, pilot, "every step is taken back")
        assert small.file.read_text() == BAD

    play(here, scenario, size=(160, 50))


def test_a_step_that_is_left_out_leads_on_to_the_end(
    here: MaildiagApp, small: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guided, "procedure", lambda _: steps(small))

    async def scenario(pilot: Pilot[Any]) -> None:
        await pilot.press("U")
        here.open_guided("emergency")
        await pilot.press("a")
        await shown(here, pilot, "next: Mend the value")
        await pilot.press("s")
        await shown(here, pilot, "next: Break it")
        before = here.board.report
        await pilot.press("s")
        await shown(here, pilot, "the procedure is over")
        await until(here, pilot, lambda: here.board.report not in (None, before))
        assert small.file.read_text() == BAD

    play(here, scenario)


def test_a_change_of_earlier_is_shown_and_taken_back(here: MaildiagApp, small: World) -> None:
    from maildiag.repair.carrying import carry_out
    from maildiag.repair.saving import Label

    for _ in carry_out(fix(small.root), Label(title="by hand"), small.shop):
        pass
    assert small.file.read_text() == GOOD

    async def scenario(pilot: Pilot[Any]) -> None:
        await pilot.press("R")
        await shown(here, pilot, "applied")
        assert isinstance(here.screen, RepairsScreen)
        await pilot.press("G", "enter")
        await shown(here, pilot, "SAVED BEFORE")
        assert isinstance(here.screen, DeedScreen)
        await pilot.press("u")
        await shown(here, pilot, "read-only: U unlocks")
        await pilot.press("U", "u")
        await typed(here, pilot, "undo")
        await shown(here, pilot, "is undone")
        assert small.file.read_text() == BAD
        await pilot.press("q")
        await shown(here, pilot, "undone")

    play(here, scenario)
    (done,) = small.shop.store.transactions()
    assert done.state is State.UNDONE
