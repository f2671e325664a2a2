"""The application: runs the engine beside the screen, keeps the board, and knows where each key leads."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import termios
import threading
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import ClassVar

from textual import work
from textual.app import App, SystemCommand
from textual.binding import Binding, BindingType
from textual.screen import Screen
from textual.worker import get_current_worker

from maildiag.events import Event
from maildiag.model import Finding, Step
from maildiag.repair import events, words
from maildiag.report import exit_status
from maildiag.tui import clipboard, repairing
from maildiag.tui.board import Board
from maildiag.tui.paths import state_directory
from maildiag.tui.record import Note, keep
from maildiag.tui.rows import caption, row
from maildiag.tui.screens.base import Place
from maildiag.tui.screens.finding import FindingScreen
from maildiag.tui.screens.fix import FixScreen
from maildiag.tui.screens.logs import LogsScreen
from maildiag.tui.screens.overview import Overview
from maildiag.tui.screens.probe import ProbeScreen
from maildiag.tui.screens.queue import QueueScreen
from maildiag.tui.screens.reader import Reader
from maildiag.tui.screens.runbook import RunbookScreen
from maildiag.tui.screens.trace import TraceScreen
from maildiag.tui.screens.walk import WalkScreen
from maildiag.tui.session import Session


class MaildiagApp(App[int]):
    """The same checks and the same engine as `maildiag run`, to walk through."""

    TITLE = "maildiag"
    ENABLE_COMMAND_PALETTE = True
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (60, "-normal"), (120, "-wide")]  # noqa: RUF012 (declared so by Textual)
    VERTICAL_BREAKPOINTS = [(0, "-short"), (18, "-medium"), (40, "-tall")]  # noqa: RUF012 (declared so by Textual)
    CSS_PATH = "maildiag.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("r", "run", "Re-run", id="run.again"),
        Binding("ctrl+r,f5", "run", "Re-run", show=False, id="run.all"),
        *(
            Binding(str(step.number), f"walk('{step}')", f"Step {step.number}", show=False, id=f"step.{step}")
            for step in Step
        ),
        Binding("W", "walk('')", "Walk", id="view.walk"),
        Binding("O", "home", "Overview", show=False, id="view.overview"),
        Binding("Q", "queue", "Queue", id="view.queue"),
        Binding("L", "logs", "Logs", id="view.logs"),
        Binding("P", "probe", "Probe", id="view.probe", show=False),
        Binding("B", "runbook", "Runbook", id="view.runbook", show=False),
        Binding("U", "unlock", "Unlock", show=False, id="fix.unlock"),
        Binding("question_mark,f1", "help", "Help", id="view.help"),
        Binding("colon", "command_palette", "Commands", show=False, id="view.palette"),
        Binding("e", "export", "Export", show=False, id="report.export"),
        Binding("x", "cancel", "Cancel", show=False, id="run.cancel"),
        Binding("ctrl+l", "plain", "Plain text", show=False, id="view.plain"),
        Binding("ctrl+q", "leave_now", "Quit at once", show=False, id="app.quit"),
    ]

    def __init__(self, session: Session) -> None:
        super().__init__()
        self.session = session
        self.board = Board()
        self.notes: list[Note] = []
        self.fixing: threading.Event | None = None
        self._pending: list[Event] = []

    def on_mount(self) -> None:
        self.push_screen(Overview())
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, lambda: self.exit(return_code=128 + signal.SIGTERM))
        loop.add_signal_handler(signal.SIGHUP, self._hang_up)
        self.set_interval(2.0, self._end_without_terminal)
        self.set_interval(0.1, self._show_pending)
        self.call_after_refresh(self.start_run)

    def _end_without_terminal(self) -> None:
        """A terminal that vanished (SSH hang-up with SIGHUP ignored) must not leave a spinning process."""
        if self.is_headless:
            return
        try:
            termios.tcgetattr(sys.__stdin__.fileno() if sys.__stdin__ else 0)
        except termios.error:
            self._hang_up()

    def _hang_up(self) -> None:
        """End without drawing once more; a fix under way is stopped between two steps and undone first."""
        self.session.cancel()
        if self.fixing is None:
            os._exit(128 + signal.SIGHUP)
        self.fixing.set()
        self.set_timer(0.2, self._hang_up)

    # -- the run ---------------------------------------------------------------------------------------------------

    def start_run(self, step: Step | None = None) -> None:
        """Run everything or one step, unless a run is under way."""
        if not self.board.running:
            self._run(step)

    @work(thread=True, exclusive=True, group="run", exit_on_error=False)
    def _run(self, step: Step | None) -> None:
        worker = get_current_worker()
        for event in self.session.run(step):
            if worker.is_cancelled:
                self.session.cancel()
                return
            self._pending.append(event)

    def _show_pending(self) -> None:
        """Take what has happened since the last tick, and draw it once."""
        events, self._pending = self._pending, []
        for event in events:
            self.board = self.board.after(event)
        if events and isinstance(self.screen, Place):
            self.screen.update_board()

    # -- where keys lead -------------------------------------------------------------------------------------------

    def action_run(self) -> None:
        """Run everything again."""
        self.start_run()

    def action_cancel(self) -> None:
        """End the run that is under way with what it has; a fix is stopped between two steps and undone."""
        if self.fixing is not None:
            self.fixing.set()
            self.say("the fix stops after this step, and what is half done is undone")
        elif self.board.running:
            self.session.cancel()
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
        if isinstance(self.screen, WalkScreen):
            self.screen.go(step)
        else:
            self.push_screen(WalkScreen(step))

    def open_finding(self, key: str) -> None:
        """One finding."""
        self.push_screen(FindingScreen(key))

    def open_fix(self, finding: Finding, *, apply: bool) -> None:
        """Preview the fixes of a finding, or ask and apply one."""
        if not finding.fixes:
            self.say("there is no fix for this finding")
            return
        causes = self.board.diagnosis.causes
        explains = next((each.explains for each in causes if each.finding.key == finding.key), ())
        report = self.board.report or self.board.before
        self.push_screen(FixScreen(finding, explains, report.host.name if report else "", apply))

    def apply_fix(self, screen: FixScreen) -> None:
        """Apply the screen's fix in a thread of the application: leaving the screen does not end it half done."""
        self._apply(screen)

    @work(thread=True, group="fix", exit_on_error=False)
    def _apply(self, screen: FixScreen) -> None:
        self.fixing = screen.cancelled
        try:
            steps = repairing.steps(self.session, screen.finding, screen.fix, screen.explains, screen.cancelled)
            for event in steps:
                if isinstance(event, events.Done):
                    self.call_from_thread(self._fix_ended, screen, event.outcome)
                elif words.told(event):
                    self.call_from_thread(self._fix_happened, screen, words.told(event))
        except PermissionError as error:
            self.call_from_thread(self._fix_ended, screen, events.Refused(str(error)))
        finally:
            self.fixing = None

    def _fix_happened(self, screen: FixScreen, text: str) -> None:
        if screen.is_attached:
            screen.happened(text)

    def _fix_ended(self, screen: FixScreen, outcome: events.Outcome) -> None:
        text = words.concluded(outcome)
        if screen.is_attached:
            screen.ended(isinstance(outcome, events.Cured), text, getattr(outcome, "transaction", ""))
        self.notes.append(Note(datetime.now(UTC), f"fix {screen.fix.id}: {text}"))
        self.say(text)
        self.start_run()

    def undo_fix(self, screen: FixScreen, transaction: str) -> None:
        """Put back what a fix changed, in a thread."""
        self._undo(screen, transaction)

    @work(thread=True, group="fix", exit_on_error=False)
    def _undo(self, screen: FixScreen, transaction: str) -> None:
        try:
            for event in repairing.undo_steps(self.session, transaction):
                if words.told(event):
                    self.call_from_thread(self._fix_happened, screen, words.told(event))
            text = f"{transaction} is undone"
        except (PermissionError, LookupError, OSError) as error:
            text = f"not undone: {error}"
        self.call_from_thread(self._undone, screen, text)

    def _undone(self, screen: FixScreen, text: str) -> None:
        if screen.is_attached:
            screen.ended(False, text, "")
        self.say(text)
        self.start_run()

    def action_queue(self) -> None:
        """The mail queue."""
        self.push_screen(QueueScreen())

    def action_logs(self) -> None:
        """The mail log."""
        report = self.board.report or self.board.before
        self.push_screen(LogsScreen(report.host.log_source if report else ""))

    def action_probe(self) -> None:
        """A test message, watched hop by hop."""
        self.push_screen(ProbeScreen())

    def open_trace(self, key: str) -> None:
        """What the log says of a queue id, a Message-ID, or an address."""
        report = self.board.report or self.board.before
        self.push_screen(TraceScreen(key, report.host.log_source if report else ""))

    def action_unlock(self) -> None:
        """Leave read-only mode; a recording has nothing that could be unlocked."""
        if self.session.recorded:
            self.say("this is a recording: there is nothing to unlock")
            return
        self.session.allow_fix = not self.session.allow_fix
        self.say("fixes can be applied now, each after a confirmation" if self.session.allow_fix else "read-only again")

    def action_help(self) -> None:
        """Every key that works on this screen."""
        found = [caption("keys here")]
        for binding in self.screen.active_bindings.values():
            one = binding.binding
            found.append(row(one.id or one.key, f"  {self.get_key_display(one):<12} {one.description}"))
        self.push_screen(Reader("Help", found))

    def action_runbook(self) -> None:
        """The runbook page of the finding on the screen, or of the first cause."""
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

    def action_leave(self) -> None:
        """Quit from the home screen; a fix under way is stopped between two steps and undone first."""
        if self.fixing is not None:
            self.fixing.set()
            self.say("a fix is under way: it is stopped and undone first; quit again then")
            return
        self.session.cancel()
        self.exit(exit_status(self.board.report.status) if self.board.report else 0)

    def action_leave_now(self) -> None:
        """Quit at once."""
        self.action_leave()

    def add_note(self, step: Step, note: str) -> None:
        """Keep a note of the walk."""
        self.notes.append(Note(datetime.now(UTC), note, step))

    def action_export(self) -> None:
        """Write the incident record: the report, the notes, what was done."""
        report = self.board.report or self.board.before
        if report is None:
            self.say("there is no report yet")
            return
        try:
            self.say(f"written to {keep(state_directory(), report, self.notes)}")
        except OSError as error:
            self.say(f"not written: {error}")

    def get_system_commands(self, screen: Screen[object]) -> Iterable[SystemCommand]:
        """What the command palette offers: the application's own actions, and the theme."""
        yield SystemCommand("Run again", "every check, from the start", self.action_run)
        yield SystemCommand("Walk", "the seven steps, guided", lambda: self.action_walk(""))
        yield SystemCommand("Queue", "grouped; hold, release, requeue, flush, delete", self.action_queue)
        yield SystemCommand("Logs", "the mail log, live", self.action_logs)
        yield SystemCommand("Probe", "send a test message and watch it", self.action_probe)
        yield SystemCommand("Runbook", "the page of the finding on the screen", self.action_runbook)
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

    def say(self, message: str) -> None:
        """A short notice."""
        self.notify(message, markup=False)
