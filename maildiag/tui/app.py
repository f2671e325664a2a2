"""The application: runs the engine beside the screen, keeps the board, and knows where each key leads."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from textual import work
from textual.app import SystemCommand
from textual.binding import Binding, BindingType
from textual.dom import DOMNode
from textual.filter import LineFilter
from textual.screen import Screen
from textual.theme import Theme

from maildiag.model import Finding, Step
from maildiag.text import safe
from maildiag.tui import clipboard, helping, keymap, palette
from maildiag.tui.ascii import Ascii
from maildiag.tui.fleet import Fleet
from maildiag.tui.paths import state_directory
from maildiag.tui.record import Note, keep
from maildiag.tui.rowlist import RowList
from maildiag.tui.screens.base import Place
from maildiag.tui.screens.overview import Overview
from maildiag.tui.session import Session
from maildiag.tui.underway import Underway

if TYPE_CHECKING:
    from maildiag.repair.journal import Transaction
    from maildiag.tui.guided import Emergency

_SCREENS = (
    "finding",
    "walk",
    "fix",
    "logs",
    "queue",
    "trace",
    "probe",
    "runbook",
    "repairs",
    "history",
    "hosts",
    "verbose",
    "emergency",
    "backup",
)

_TWICE_S = 2.0


class MaildiagApp(Underway):
    """The same checks and the same engine as `maildiag run`, to walk through.

    Screens are imported when they are opened: the first one is painted before the others are read from the disk.
    """

    TITLE = "maildiag"
    ENABLE_COMMAND_PALETTE = True
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (60, "-normal"), (120, "-wide")]  # noqa: RUF012 (declared so by Textual)
    VERTICAL_BREAKPOINTS = [(0, "-short"), (18, "-medium"), (40, "-tall")]  # noqa: RUF012 (declared so by Textual)
    CSS_PATH = Path(__file__).with_name("maildiag.tcss")
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("r", "run", "Re-run", id="run.again"),
        Binding("ctrl+r,f5", "run", "Re-run", show=False, id="run.all"),
        *(
            Binding(str(step.number), f"walk('{step}')", f"Step {step.number}", show=False, id=f"step.{step}")
            for step in Step
        ),
        Binding("W", "walk('')", "Walk", id="view.walk"),
        Binding("U", "unlock", "Unlock", id="view.unlock"),
        Binding("O", "home", "Overview", show=False, id="view.overview"),
        Binding("Q", "queue", "Queue", id="view.queue"),
        Binding("L", "logs", "Logs", id="view.logs"),
        Binding("T", "trace", "Trace", id="view.trace"),
        Binding("P", "probe", "Probe", id="view.probe"),
        Binding("B", "runbook", "Runbook", id="view.runbook"),
        Binding("R", "repairs", "Repairs", id="view.repairs"),
        Binding("H", "history", "History", id="view.history"),
        Binding("at", "hosts", "Hosts", id="view.hosts"),
        Binding("question_mark,f1", "help", "Help", id="view.help"),
        Binding("colon", "command_palette", "Commands", id="view.palette"),
        Binding("e", "export", "Export", id="view.export"),
        Binding("x", "cancel", "Cancel", show=False, id="run.cancel"),
        Binding("ctrl+l", "plain", "Plain text", show=False, id="view.plain"),
        Binding("ctrl+q", "leave", "Quit", show=False, id="app.quit"),
        Binding("ctrl+z", "suspend_process", "Suspend", show=False, id="app.suspend"),
    ]

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self.fleet = Fleet(session)
        self.notes: list[Note] = []
        self.farewell = ""
        self._emergency: Emergency | None = None
        self._warned = False
        self._pressed_at = float("-inf")
        for theme, _ in palette.THEMES.values():
            self.register_theme(theme)

    def on_mount(self) -> None:
        # Textual calls the on_mount of every base class itself: to call super() would begin everything twice.
        self.set_keymap(keymap.usable(self.session.settings.tui.keys))
        self.push_screen(Overview())
        self.call_after_refresh(self._warm_up)

    @work(thread=True, group="warm", description="warm", exit_on_error=False)
    def _warm_up(self) -> None:
        """Read the other screens from the disk, so that the first key that opens one does not wait for it."""
        for name in _SCREENS:
            import_module(f"maildiag.tui.screens.{name}")
        for problem in keymap.problems(self.session.settings.tui.keys, self._actions()):
            self.call_from_thread(self.say, problem)

    def _actions(self) -> set[str]:
        """The ids of everything that a key does, on whatever screen."""
        places: list[type] = [MaildiagApp, RowList, Place]
        for each in places:
            places += each.__subclasses__() if issubclass(each, Place) else []
        bindings = [one for each in places for one in each.__dict__.get("BINDINGS", ())]
        return {each.id for each in bindings if isinstance(each, Binding) and each.id}

    def handle_bindings_clash(self, clashed_bindings: set[Binding], node: DOMNode) -> None:
        """Two actions on one key: the one from the configuration has it, and that is told."""
        told = ", ".join(sorted(each.id or each.key for each in clashed_bindings))
        self.say(f"[tui.keys] takes a key that another action has: {told}")

    def board_changed(self) -> None:
        """Let the screen on top draw the board."""
        if isinstance(self.screen, Place):
            self.screen.update_board()

    def get_theme(self, theme_name: str) -> Theme | None:
        """Ours are known from the start, for `TEXTUAL_THEME` may name one of them."""
        return palette.THEMES[theme_name][0] if theme_name in palette.THEMES else super().get_theme(theme_name)

    def get_line_filters(self) -> Sequence[LineFilter]:
        """Textual's own, and the one that keeps to ASCII where the terminal does."""
        return [*super().get_line_filters(), *([Ascii()] if self.session.ascii else [])]

    # -- where keys lead -------------------------------------------------------------------------------------------

    def action_run(self) -> None:
        """Run everything again."""
        self.start_run()

    def action_cancel(self) -> None:
        """End the run that is under way with what it has; a fix is stopped between two steps and undone."""
        if self.change is not None and self.change.stop is not None:
            self.change.stop.set()
            self.say(f"{self.change.what} stops after this step, and what is half done is undone")
        elif self.change is not None:
            self.say(f"{self.change.what} cannot be stopped, it is finished")
        elif self.board.running or self.fleet.looking:
            self.session.cancel()
            self.fleet.cancel()
            self.say("the run ends here: what was not answered yet is left out")
        else:
            self.say("nothing is under way")

    def action_home(self) -> None:
        """The overview."""
        while len(self.screen_stack) > 2:
            self.pop_screen()

    def action_walk(self, step: str) -> None:
        """Walk from a step on; without one, from where the first cause lies."""
        causes = self.board.diagnosis.causes
        self.open_walk(Step(step) if step else causes[0].finding.step if causes else Step.SERVICES)

    def open_walk(self, step: Step) -> None:
        """The guided mode at this step."""
        from maildiag.tui.screens.walk import WalkScreen

        if isinstance(self.screen, WalkScreen):
            self.screen.go(step)
        else:
            self.push_screen(WalkScreen(step))

    def open_finding(self, key: str) -> None:
        """One finding."""
        from maildiag.tui.screens.finding import FindingScreen

        self.push_screen(FindingScreen(key))

    def open_fix(self, finding: Finding, *, apply: bool) -> None:
        """Preview the fixes of a finding, or ask and apply one."""
        from maildiag.tui.screens.fix import FixScreen

        if not finding.fixes:
            self.say("there is no fix for this finding")
            return
        self.push_screen(FixScreen(finding, self.board.explained(finding.key), self.host_name, apply))

    @property
    def host_name(self) -> str:
        """What has to be typed where the host's name is asked for."""
        return safe(self.board.host.name) if self.board.host else self.session.name

    def action_queue(self) -> None:
        """The mail queue."""
        from maildiag.tui.screens.queue import QueueScreen

        self.push_screen(QueueScreen())

    def action_logs(self) -> None:
        """The mail log."""
        self.open_logs()

    def open_logs(self, words: str = "") -> None:
        """The mail log, only the lines with these words."""
        from maildiag.tui.screens.logs import LogsScreen

        self.push_screen(LogsScreen(self._log_source, words))

    def action_repairs(self) -> None:
        """The guided repairs, and what was changed on this host with the way back."""
        from maildiag.tui.screens.repairs import RepairsScreen

        if not isinstance(self.screen, RepairsScreen):
            self.push_screen(RepairsScreen())

    def action_hosts(self) -> None:
        """This host and others over SSH."""
        from maildiag.tui.screens.hosts import HostsScreen

        if not isinstance(self.screen, HostsScreen):
            self.fleet.visits[self.fleet.here].board = self.board
            self.push_screen(HostsScreen())

    def go_to(self, key: str) -> None:
        """Diagnose another host, or come back to one with what was seen there; not while something is being changed."""
        if self.change is not None or (self._emergency is not None and self._emergency.unfinished):
            self.say("not now: this host is being changed")
            return
        before = self.fleet.visits[self.fleet.here]
        if key in self.fleet.looking:
            self.say("not yet: everything is being run there; x ends it")
            return
        try:
            visit = self.fleet.visit(key)
        except (ValueError, OSError) as error:
            self.say(f"{key}: {error}")
            return
        self.action_home()
        if visit is not before:
            before.board = replace(self.board, running=False)
            self.turn_to(visit.session, visit.board)

    def look_at(self, key: str) -> None:
        """Run everything on a host without going there; what is under way there already is left to its end."""
        if key == self.fleet.here:
            self.start_run()
        elif key not in self.fleet.looking:
            self.fleet.looking.add(key)
            self._look_at(key)

    @work(thread=True, group="hosts", description="hosts", exit_on_error=False)
    def _look_at(self, key: str) -> None:
        try:
            for _ in self.fleet.look(key):
                pass
        except Exception as error:  # noqa: BLE001 (whatever it is, it is told, and the other hosts are looked at)
            self._pass_on(self.say, f"{key}: {error or type(error).__name__}")

    def action_history(self) -> None:
        """Earlier runs and changes, and what differs."""
        from maildiag.tui.screens.history import HistoryScreen

        if not isinstance(self.screen, HistoryScreen):
            self.push_screen(HistoryScreen())

    def open_deed(self, done: Transaction) -> None:
        """One change of this host, with its undo."""
        from maildiag.tui.screens.repairs import DeedScreen

        self.push_screen(DeedScreen(done))

    def open_guided(self, name: str) -> None:
        """One of the guided repairs."""
        if name == "verbose":
            from maildiag.tui.screens.verbose import VerboseScreen

            self.push_screen(VerboseScreen())
        elif name == "backup":
            from maildiag.tui.screens.backup import BackupScreen

            self.push_screen(BackupScreen())
        else:
            self._open_emergency()

    def _open_emergency(self) -> None:
        from maildiag.tui.guided import Emergency
        from maildiag.tui.screens.emergency import EmergencyScreen

        if self._emergency is None or (self._emergency.over and not self.change):
            self._emergency = Emergency(self.session)
        self.push_screen(EmergencyScreen(self._emergency))

    @property
    def _log_source(self) -> str:
        return self.board.host.log_source if self.board.host else ""

    def action_probe(self) -> None:
        """A test message, watched hop by hop."""
        from maildiag.tui.screens.probe import ProbeScreen

        self.push_screen(ProbeScreen())

    def open_trace(self, key: str) -> None:
        """What the log says of a queue id, a Message-ID, or an address."""
        from maildiag.tui.screens.trace import TraceScreen

        self.push_screen(TraceScreen(key, self._log_source))

    def action_trace(self) -> None:
        """Everything the log says of a queue id, a Message-ID, or an address that is asked for."""
        from maildiag.tui.screens.trace import TraceScreen

        if isinstance(self.screen, TraceScreen):
            self.screen.ask()
        else:
            self.open_trace("")

    def action_unlock(self) -> None:
        """Leave read-only mode; a recording has nothing that could be unlocked."""
        if not self.session.changeable:
            recorded = "this is a recording: there is nothing to unlock"
            self.say(
                recorded if self.session.recorded else "fixes are applied on the host itself: nothing to unlock here"
            )
            return
        self.session.allow_fix = not self.session.allow_fix
        self.refresh_bindings()
        self.say("fixes can be applied now, each after a confirmation" if self.session.allow_fix else "read-only again")

    def action_help(self) -> None:
        """Every key that works on this screen."""
        from maildiag.tui.screens.reader import Reader

        if isinstance(self.screen, Reader) and self.screen.name_of_place().startswith("Help"):
            return
        about = self.screen.about if isinstance(self.screen, Place) else ""
        place = self.screen.name_of_place().split()[0] if isinstance(self.screen, Place) else ""
        bindings = [(each.node, each.binding) for each in self.screen.active_bindings.values()]
        self.push_screen(Reader(f"Help > {place}", helping.help_rows(about, bindings, self.size.width)))

    def action_runbook(self) -> None:
        """The runbook page of the finding on the screen, or of the first cause."""
        from maildiag.tui.screens.finding import FindingScreen
        from maildiag.tui.screens.runbook import RunbookScreen

        finding = self.screen.finding if isinstance(self.screen, FindingScreen) else None
        causes = self.board.diagnosis.causes
        name = finding.runbook if finding else causes[0].finding.runbook if causes else "services.postfix"
        if not isinstance(self.screen, RunbookScreen):
            self.push_screen(RunbookScreen(name))

    def action_plain(self) -> None:
        """This view as text on the normal screen: to select, to paste, for a screen reader."""
        text = self.screen.text() if isinstance(self.screen, Place) else ""
        with self.suspend():
            print(text)
            input("-- enter goes back --")

    def action_help_quit(self) -> None:
        """ctrl+c, where there is nothing selected to copy: twice within two seconds quits."""
        now = time.monotonic()
        if now - self._pressed_at < _TWICE_S:
            self.action_leave()
        else:
            self._pressed_at = now
            self.say("ctrl+c once more quits")

    def action_leave(self) -> None:
        """Quit; a change under way is finished, or stopped and undone, first. Within the emergency procedure asked for twice."""
        if self._emergency is not None and self._emergency.unfinished and not self._warned:
            self._warned = True
            self.say("the emergency procedure is not at its end: R leads back to it; once more quits, and leaves it so")
            return
        self.leave(self.status())

    def leave(self, status: int) -> None:
        """End, and what is under way on other hosts with it."""
        self.fleet.cancel()
        super().leave(status)

    def note(self, text: str, step: Step | None = None) -> None:
        """Keep what was typed at a step of the walk, or what was done, for the incident record."""
        self.notes.append(Note(datetime.now(UTC), text, step))

    def action_export(self) -> None:
        """Write the incident record: the report, the notes, what was done."""
        self.say(self._written() or "there is no report yet")

    def _written(self) -> str:
        report = self.board.report or self.board.before
        if report is None:
            return ""
        try:
            return f"written to {keep(state_directory(), report, self.notes)}"
        except OSError as error:
            return f"not written: {error}"

    def ending(self) -> None:
        """What was noted and done is in the incident record, however the end came; `farewell` tells where."""
        if self.notes and (told := self._written()):
            self.farewell = f"the incident record with the notes is {told}"

    def get_system_commands(self, screen: Screen[object]) -> Iterable[SystemCommand]:
        """What the command palette offers: the application's own actions, and the theme."""
        yield SystemCommand("Run again", "every check, from the start", self.action_run)
        yield SystemCommand("Walk", "the seven steps, guided", lambda: self.action_walk(""))
        yield SystemCommand("Queue", "grouped; hold, release, requeue, flush, delete", self.action_queue)
        yield SystemCommand("Logs", "the mail log, live", self.action_logs)
        yield SystemCommand("Trace", "what the log says of a queue id, Message-ID or address", self.action_trace)
        yield SystemCommand("Probe", "send a test message and watch it", self.action_probe)
        yield SystemCommand("Runbook", "the page of the finding on the screen", self.action_runbook)
        yield SystemCommand(
            "Repairs", "verbose logging, emergency procedure, backup; take back a change", self.action_repairs
        )
        yield SystemCommand("History", "earlier runs and changes, and what differs", self.action_history)
        yield SystemCommand("Hosts", "this host and others over SSH; what differs between two", self.action_hosts)
        yield SystemCommand("Export", "write the incident record", self.action_export)
        yield SystemCommand("Lock or unlock", "whether fixes may be applied", self.action_unlock)
        yield SystemCommand("Theme", "other colours", self.action_change_theme)
        yield SystemCommand("Help", "the keys of this screen", self.action_help)
        yield SystemCommand("Quit", "leave maildiag", self.action_leave)

    def copy(self, text: str) -> None:
        """Copy, and say where it went."""
        try:
            self.say(clipboard.copy(text, super().copy_to_clipboard, state_directory()))
        except ValueError as error:
            self.say(f"not copied: {error}")

    def copy_to_clipboard(self, text: str) -> None:
        """Text selected with the mouse goes the same way as `y`."""
        self.copy(text)
