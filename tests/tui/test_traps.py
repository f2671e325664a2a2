"""Traps of Textual, each measured once, and the rules that keep us out of them."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import textual
from textual.color import Color
from textual.pilot import Pilot

from maildiag.hosts import Host
from maildiag.hosts.local import LocalHost
from maildiag.registry import Registry
from maildiag.settings import Settings
from maildiag.testing import TableHost
from maildiag.tui import palette, terminal
from maildiag.tui.app import MaildiagApp
from maildiag.tui.ascii import ascii_only
from maildiag.tui.rowlist import RowList
from maildiag.tui.rows import Tone
from maildiag.tui.screens.fix import FixScreen
from maildiag.tui.session import Session
from maildiag.tui.underway import Change, Doing
from tests.tui import sample
from tests.tui.conftest import notices, play, screen_text, until

TUI = Path(terminal.__file__).parent
SOURCES = sorted(TUI.rglob("*.py"))
WIDGETS = [
    each for each in SOURCES if each.parent.name == "screens" or each.stem in ("app", "underway", "rowlist", "keyline")
]
MEANT = {
    "__init__", "action_back", "action_help_quit", "compose", "copy_to_clipboard", "get_line_filters", "get_system_commands", "get_theme",
    "handle_bindings_clash",
    "max_scroll_y", "on_mount", "render", "render_line", "render_lines", "scroll_y", "show_vertical_scrollbar", "virtual_size", "watch_scroll_y",
}  # fmt: skip


def own_names(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.attr if node.value.id == "self" else ""
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name


def test_no_attribute_of_ours_hides_one_of_textual() -> None:
    """`self._running` of a screen is Textual's: no fix could be applied while ours was named so."""
    inside = Path(textual.__file__).parent
    files = ("message_pump", "dom", "widget", "screen", "scroll_view", "app")
    theirs = {name for each in files for name in own_names(inside / f"{each}.py")} - MEANT - {""}
    for path in WIDGETS:
        assert not theirs & set(own_names(path)), path.name


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.stem)
def test_no_text_is_parsed_as_markup_and_no_worker_describes_itself_by_its_arguments(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.Call):
            continue
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        given = {each.arg: getattr(each.value, "value", None) for each in node.keywords}
        if name in ("Static", "Label", "OptionList", "notify"):
            assert given.get("markup") is False, f"{path.name}:{node.lineno}"
        if name == "work":
            assert given.get("description"), f"{path.name}:{node.lineno}: Textual calls repr of every argument"
            assert given.get("exit_on_error") is False, f"{path.name}:{node.lineno}"
        assert name not in ("from_markup", "DataTable", "RichLog", "ListView", "open_url"), f"{path.name}:{node.lineno}"


def brightness(colour: Color) -> float:
    parts = [each / 12.92 if each <= 0.03928 else ((each + 0.055) / 1.055) ** 2.4 for each in colour.normalized]
    return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]


def contrast(one: str, other: str) -> float:
    dark, light = sorted((brightness(Color.parse(one)), brightness(Color.parse(other))))
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("name", palette.THEMES)
def test_every_tone_can_be_read_on_every_background(name: str) -> None:
    """WCAG 2.1, 1.4.3: 4.5 to 1 for text."""
    theme = palette.THEMES[name][0]
    assert theme.foreground
    for ground in (theme.background, theme.panel, palette.cursor(name)):
        assert ground
        for tone in Tone:
            colour = palette.tone(tone, name).split()[-1:] or [theme.foreground]
            shown = colour[0] if colour[0].startswith("#") else theme.foreground
            assert contrast(shown, ground) >= 4.5, (tone, ground)


def test_the_colours_follow_the_terminal() -> None:
    assert terminal.theme({"TERM": "xterm-256color"}) == "maildiag-dark"
    assert terminal.theme({"TERM": "xterm", "COLORTERM": "truecolor"}) == "maildiag-dark"
    assert terminal.theme({"TERM": "linux"}) == "ansi-dark"
    assert terminal.theme({"TERM": "xterm-256color", "NO_COLOR": "1"}) == "ansi-dark"


def test_the_locale_says_whether_the_terminal_speaks_utf_8() -> None:
    assert not terminal.ascii_only({"LANG": "en_US.UTF-8", "TERM": "xterm"})
    assert not terminal.ascii_only({"LANG": "C.utf8"})
    assert terminal.ascii_only({"LANG": "en_US.UTF-8", "LC_ALL": "C"})
    assert terminal.ascii_only({})
    assert terminal.ascii_only({"LANG": "en_US.UTF-8", "TERM": "linux"})
    assert not terminal.ascii_only({"MAILDIAG_ASCII": "0"})


def test_ascii_keeps_the_width_of_what_it_replaces() -> None:
    assert ascii_only("── CAUSES ▅ └ …") == "-- CAUSES # + ~"
    assert ascii_only("über 日本") == "?ber ????"


def test_exported_columns_do_not_freeze_the_size(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("COLUMNS", "LINES"):
        monkeypatch.setenv(name, "80")
    monkeypatch.setenv("TEXTUAL_ANIMATIONS", "none")
    monkeypatch.setenv("TEXTUAL_THEME", "ansi-dark")
    terminal.prepare()
    assert not {"COLUMNS", "LINES"} & set(__import__("os").environ)


class Watched(MaildiagApp):
    """Remembers every change of the host that was begun."""

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self.begun: list[str] = []

    def begin(self, change: Change, do: Any) -> bool:
        self.begun.append(change.what)
        return super().begin(change, do)


LEAVING = {"U", "ctrl+q", "ctrl+c", "ctrl+l", "q", "colon", "ctrl+p", "escape", "r", "ctrl+r", "f5"}
VIEWS = set("1234567OWQLPBRH@")
MOVING = ({each for one in RowList.BINDINGS for each in one.key.split(",")} | VIEWS) - {"enter"}  # type: ignore[union-attr]


class OnThisMachine(Session):
    """A host that could be changed, and that answers nothing: what this machine holds would make the test as long as its logs."""

    local = True


def watched(session: type[Session], host: Host) -> Watched:
    registry = Registry()
    registry.add(sample)
    return Watched(session(host, lambda: registry, Settings()))


def test_read_only_no_key_and_no_command_of_the_palette_changes_anything() -> None:
    app = watched(OnThisMachine, TableHost({}))
    tried: set[tuple[type, type, str]] = set()

    async def scenario(pilot: Pilot[Any]) -> None:
        for way in (
            (),
            ("enter",),
            ("enter", "p"),
            ("W",),
            ("Q",),
            ("L",),
            ("P",),
            ("B",),
            ("R",),
            ("R", "enter"),
            ("H",),
            ("question_mark",),
        ):
            app.action_home()
            await pilot.press(*way)
            here, focused = app.screen, app.focused
            for binding in [each.binding for each in here.active_bindings.values()]:
                again = (type(here), type(focused), binding.action) in tried
                tried.add((type(here), type(focused), binding.action))
                if binding.key in LEAVING or binding.key in MOVING or again:
                    continue
                await pilot.press(binding.key, "y", "enter")
                if app.screen is not here or app.focused is not focused:
                    app.action_home()
                    await pilot.press(*way)
                    here, focused = app.screen, app.focused
        for command in app.get_system_commands(app.screen):
            if command.title not in ("Quit", "Lock or unlock", "Theme"):
                command.callback()
                await pilot.pause()
        assert app.begun == []

    play(app, scenario)


def test_the_first_run_is_begun_once_and_not_cut_short(app: MaildiagApp) -> None:
    """Textual calls on_mount of every base class; with super() besides, the second run cut the first one short."""
    begun = []

    class Counted(Session):
        def run(self, step: Any = None) -> Any:
            begun.append(step)
            return super().run(step)

    counted = MaildiagApp(Counted(app.session.host, app.session.load, Settings()))

    async def scenario(pilot: Pilot[Any]) -> None:
        await pilot.pause(0.3)
        assert begun == [None]
        assert counted.board.report is not None and counted.board.report.complete

    play(counted, scenario)


def test_one_change_at_a_time_and_its_end_is_told_to_who_has_left(app: MaildiagApp) -> None:
    import threading

    going, told = threading.Event(), []

    def slowly() -> Doing:
        going.wait(10)
        yield "half"
        raise LookupError("nothing of that name")

    async def scenario(pilot: Pilot[Any]) -> None:
        assert app.begin(Change("the first", lambda _: None, lambda ending: told.append(ending.text)), slowly)
        assert not app.begin(Change("the second", lambda _: None, lambda _: None), slowly)
        await until(app, pilot, lambda: "one change at a time" in notices(app))
        app.action_leave()
        await pilot.pause(0.3)
        assert app.is_running
        going.set()
        await until(app, pilot, lambda: told)
        assert told == ["the first: nothing of that name"]

    play(app, scenario)


def test_a_re_run_keeps_what_was_found_until_it_is_answered_anew(app: MaildiagApp) -> None:
    async def scenario(pilot: Pilot[Any]) -> None:
        from maildiag.events import RunStarted

        checks = tuple(app.session.registry.checks.values())
        during = app.board.after(RunStarted("test", checks))
        assert during.running
        assert [each.key for each in during.findings] == [each.key for each in app.board.findings]
        assert during.diagnosis.causes[0].finding.id == "services.sample"
        app.board = during
        await pilot.press("enter")
        await pilot.pause()
        assert "ActiveState=inactive" in screen_text(app)
        assert re.search(r"running 0/\d+", screen_text(app))

    play(app, scenario)


def test_the_fix_screen_asks_for_its_word(app: MaildiagApp) -> None:
    """With Textual's own `_running` for ours it answered "it is being applied" for ever."""
    here = watched(Session, LocalHost())

    async def scenario(pilot: Pilot[Any]) -> None:
        await pilot.press("U", "enter", "a")
        assert isinstance(here.screen, FixScreen)
        await until(here, pilot, lambda: "type y and enter" in screen_text(here) or "needs root" in screen_text(here))
        shown = screen_text(here)
        await pilot.press("escape")
        await pilot.pause()
        assert "nothing was changed" in screen_text(here) or "needs root" in shown
        assert here.begun == []

    play(here, scenario)
