"""What a screen may do with its room and its keys: zoom, wrap, the newest trouble beside the causes, keys of one's own."""

from __future__ import annotations

import ast
import itertools
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from textual.binding import Binding
from textual.pilot import Pilot

from maildiag.config import ConfigError, load
from maildiag.events import Event
from maildiag.model import Step
from maildiag.settings import Screen as ScreenSettings
from maildiag.settings import Settings
from maildiag.tui import keymap
from maildiag.tui.app import MaildiagApp
from maildiag.tui.guide import Guide
from maildiag.tui.recent import Recent
from maildiag.tui.rowlist import RowList
from maildiag.tui.screens.logs import LogsScreen
from maildiag.tui.screens.repairs import RepairsScreen
from maildiag.tui.session import Session
from tests.tui.conftest import notices, play, screen_text, until
from tests.tui.test_logs import SENT

TUI = Path(keymap.__file__).parent
DEFERRED = (
    "2026-11-23T04:59:58.300000+00:00 mail postfix/smtp[14]: 4A1B2C3D4E: to=<joe@example.test>, relay=none, delay=1,"
    " delays=0/0/1/0, dsn=4.4.1, status=deferred (connect to mx.example.test[192.0.2.1]:25: Connection refused)\n"
)


class OnThisMachine(Session):
    """Made-up answers, and a log that is a file."""

    local = True


def test_the_pane_with_the_cursor_takes_the_whole_screen_and_gives_it_back(app: MaildiagApp) -> None:
    async def scenario(pilot: Pilot[Any]) -> None:
        await pilot.press("z")
        await pilot.pause(0.2)
        causes = app.screen.query_one("#causes", RowList)
        assert causes.size.width >= 158
        assert "WORKFLOW" not in screen_text(app)
        await pilot.press("z")
        app.screen.query_one("#steps", RowList).focus()
        await pilot.press("z")
        await pilot.pause(0.2)
        assert "CAUSES" not in screen_text(app)
        await pilot.press("z")
        await pilot.pause(0.2)
        assert "WORKFLOW" in screen_text(app) and "CAUSES" in screen_text(app)

    play(app, scenario, size=(160, 50))


@pytest.mark.parametrize("size", [(80, 24), (40, 12)])
def test_w_lets_long_lines_go_on_and_cuts_them_again(app: MaildiagApp, tmp_path: Path, size: tuple[int, int]) -> None:
    path = tmp_path / "mail.log"
    # Just longer than three lines, and than what is left of the shortest screen.
    filler = "x" * (20 if size[0] == 40 else 80)
    path.write_text(SENT + SENT.replace("delivered", f"{filler} the end of it"))

    async def scenario(pilot: Pilot[Any]) -> None:
        screen = LogsScreen(str(path))
        await app.push_screen(screen)
        await until(app, pilot, lambda: screen.query_one("#lines", RowList).rows)
        await pilot.pause(0.3)
        assert "the end of it" not in screen_text(app)
        await pilot.press("w")
        await until(app, pilot, lambda: "the end of it" in re.sub(r"\s+", " ", screen_text(app)))
        assert "w wrap: on" in screen_text(app)
        await pilot.press("w")
        await pilot.pause(0.2)
        assert "the end of it" not in screen_text(app)

    app.session = OnThisMachine(app.session.host, app.session.load, Settings())
    play(app, scenario, size=size)


def test_the_newest_trouble_is_kept_as_the_log_grows_and_is_rotated(tmp_path: Path) -> None:
    path = tmp_path / "mail.log"
    path.write_text(SENT + DEFERRED + SENT)
    recent = Recent(path)
    assert recent.look()
    assert ["Connection refused" in each.text for each in recent.rows] == [True]
    assert not recent.look()
    with path.open("a") as log:
        log.write(SENT + DEFERRED.replace("refused", "timed out"))
    assert recent.look()
    assert "timed out" in recent.rows[-1].text
    path.rename(tmp_path / "mail.log.1")
    path.write_text(DEFERRED.replace("refused", "reset"))
    assert recent.look()
    assert "reset" in recent.rows[-1].text


def test_where_there_is_room_the_newest_trouble_of_the_log_stands_beneath_the_finding(
    app: MaildiagApp, tmp_path: Path
) -> None:
    path = tmp_path / "mail.log"
    path.write_text(SENT + DEFERRED)
    app.session = OnThisMachine(app.session.host, app.session.load, Settings())

    async def scenario(pilot: Pilot[Any]) -> None:
        assert "TROUBLE IN THE LOG" not in screen_text(app)
        assert app.board.report is not None
        info = replace(app.board.report.host, log_source=str(path))
        app.board = replace(app.board, report=replace(app.board.report, host=info))
        await until(app, pilot, lambda: "4A1B2C3D4E" in screen_text(app))
        assert "TROUBLE IN THE LOG" in screen_text(app)
        with path.open("a") as log:
            log.write(DEFERRED.replace("4A1B2C3D4E", "5B5B5B5B5B"))
        await until(app, pilot, lambda: "5B5B5B5B5B" in screen_text(app))

    play(app, scenario, size=(160, 50))


def test_a_run_that_cannot_be_is_told_and_the_next_may_begin(app: MaildiagApp) -> None:
    class Broken(Session):
        def run(self, step: Step | None = None) -> Iterator[Event]:
            events = super().run(step)
            if app.board.report is None:
                return events
            return itertools.chain(itertools.islice(events, 2), raising())

    def raising() -> Iterator[Event]:
        raise ImportError("no such check")
        yield

    app.session = Broken(app.session.host, app.session.load, Settings())

    async def scenario(pilot: Pilot[Any]) -> None:
        app.start_run()
        await until(app, pilot, lambda: "broke off: ImportError" in notices(app))
        await until(app, pilot, lambda: app.board.before is not None and not app.board.running)
        assert app.board.report is None
        app.start_run()
        await until(app, pilot, lambda: app.board.report is not None)

    play(app, scenario)


def with_keys(app: MaildiagApp, **keys: str) -> MaildiagApp:
    named = {name.replace("__", "."): key for name, key in keys.items()}
    settings = Settings(tui=ScreenSettings(keys=named))
    return MaildiagApp(Session(app.session.host, app.session.load, settings))


def test_a_key_of_ones_own_takes_the_place_of_ours_and_the_help_tells_it(app: MaildiagApp) -> None:
    mine = with_keys(app, view__repairs="f8")

    async def scenario(pilot: Pilot[Any]) -> None:
        await pilot.press("R")
        await pilot.pause()
        assert not isinstance(mine.screen, RepairsScreen)
        await pilot.press("f8")
        await pilot.pause()
        assert isinstance(mine.screen, RepairsScreen)
        await pilot.press("question_mark")
        await until(mine, pilot, lambda: "  f8 " in mine.screen.text())  # type: ignore[attr-defined]

    play(mine, scenario)


def test_a_wish_that_cannot_be_is_told(app: MaildiagApp) -> None:
    mine = with_keys(app, view__repair="f8", fix__apply="esc")

    async def scenario(pilot: Pilot[Any]) -> None:
        def told() -> str:
            return "\n".join(each.message for each in mine._notifications)

        await until(mine, pilot, lambda: "no key 'esc'" in told() and "no action 'view.repair'" in told())
        assert "view.repairs" in told(), "the nearest one is named"

    play(mine, scenario)


def test_keys_are_read_from_the_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "none"))
    file = tmp_path / "config.toml"
    file.write_text('[tui.keys]\n"view.repairs" = "f8"\n')
    assert load(file).settings.tui.keys == {"view.repairs": "f8"}
    for wrong, line in (
        ('[tui]\nkeys = "f8"\n', 2),
        ('[tui.keys]\n"view.repairs" = 8\n', 1),
        ("[tui.keys]\nview.repairs = 'x'\n", 1),
    ):
        file.write_text(wrong)
        with pytest.raises(ConfigError, match=rf"config.toml:{line}: "):
            load(file)


@pytest.mark.parametrize("key", ["a", "R", "?", "question_mark", "f8", "ctrl+r", "escape", "space", "@", "at", "enter"])
def test_keys_that_textual_tells_are_known(key: str) -> None:
    assert keymap.known(key)


@pytest.mark.parametrize("key", ["esc", "ctrl+enterr", "", "control-r", "Shift+F1"])
def test_keys_that_textual_does_not_tell_are_not(key: str) -> None:
    assert not keymap.known(key)


def test_no_capital_leads_to_two_views_and_each_is_in_the_palette(app: MaildiagApp) -> None:
    views = [each for each in MaildiagApp.BINDINGS if isinstance(each, Binding) and (each.id or "").startswith("view.")]
    keys = [key for each in views for key in each.key.split(",")]
    assert len(keys) == len(set(keys))

    async def scenario(_: Pilot[Any]) -> None:
        offered = {each.callback for each in app.get_system_commands(app.screen)}
        for name in ("queue", "logs", "probe", "runbook", "repairs", "history", "hosts", "export", "help"):
            assert getattr(app, f"action_{name}") in offered

    play(app, scenario)


def test_the_screens_know_the_application_only_as_their_guide() -> None:
    for path in TUI.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom):
                assert node.module != "maildiag.tui.app", path.name


def the_application_is_one(app: MaildiagApp) -> Guide:
    """Checked by mypy."""
    return app


def test_while_something_is_typed_the_last_line_tells_what_takes_and_what_leaves_it(app: MaildiagApp) -> None:
    async def scenario(pilot: Pilot[Any]) -> None:
        assert "r Re-run" in screen_text(app).splitlines()[-1]
        await pilot.press("slash")
        await pilot.pause()
        assert screen_text(app).splitlines()[-1] == " enter Take it  esc Leave it  f1 Help"
        await pilot.press("escape")
        await pilot.pause()
        assert "r Re-run" in screen_text(app).splitlines()[-1]

    play(app, scenario)


def test_a_notice_covers_neither_the_question_nor_the_answer(app: MaildiagApp) -> None:
    async def scenario(pilot: Pilot[Any]) -> None:
        await pilot.press("slash", *"zzz")
        app.say("a notice")
        await until(app, pilot, lambda: "a notice" in screen_text(app))
        assert "a notice" not in "".join(screen_text(app).splitlines()[-4:])

    play(app, scenario)
