"""What is under way beside the screen, a run or a change of the host, and how the application ends without cutting a change in half."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import termios
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import field, replace
from typing import TypeVar

from textual import work
from textual.app import App
from textual.worker import get_current_worker

from maildiag.events import Event, RunFinished
from maildiag.model import Status, Step
from maildiag.records import dataclass
from maildiag.report import Report, exit_status
from maildiag.text import safe
from maildiag.tui.beside import Broken
from maildiag.tui.board import Board
from maildiag.tui.session import Session
from maildiag.tui.smooth import Smooth

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Ending:
    """How a change ended, in words; `transaction` can be undone where there is one."""

    text: str
    good: bool = False
    transaction: str = ""


Doing = Generator[str, None, Ending]


@dataclass(frozen=True, slots=True)
class Change:
    """A change of the host under way. `stop` ends it between two steps and undoes it; one without a way to stop is finished."""

    what: str
    told: Callable[[str], None]
    ended: Callable[[Ending], None]
    stop: threading.Event | None = None


@dataclass(slots=True)
class Flow:
    """What a run has told and nobody has taken yet; `over` once it will tell nothing more, `broke` where it ends unfinished.

    `earlier` is what the last kept run did not find fine.
    """

    events: deque[Event] = field(default_factory=deque)
    earlier: Mapping[str, Status] | None = None
    over: bool = False
    broke: bool = False

    def taken(self) -> list[Event]:
        """What has come since the last time."""
        return [self.events.popleft() for _ in range(len(self.events))]


class Underway(App[int]):
    """Runs the engine in a thread and keeps the board; lets at most one change of the host happen, and waits for its end."""

    def __init__(self, session: Session) -> None:
        super().__init__()
        self.session = session
        self.board = Board()
        self.change: Change | None = None
        self._flow = Flow(over=True)
        self._leaving: int | None = None
        self._gone = False
        self._outdated = False
        self._smooth = Smooth()

    def on_mount(self) -> None:
        self._smooth.begin()
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, lambda: self.leave(128 + signal.SIGTERM))
        loop.add_signal_handler(signal.SIGHUP, self._hang_up)
        self.set_interval(2.0, self._end_without_terminal)
        self.set_interval(0.1, self._tick)
        self.call_after_refresh(self.start_run)

    def on_unmount(self) -> None:
        self._smooth.end()

    def say(self, message: str) -> None:
        """A short notice, whoever wrote a part of it."""
        self.notify(safe(message), markup=False)

    def board_changed(self) -> None:
        """Draw what has happened."""

    # -- the run ---------------------------------------------------------------------------------------------------

    def start_run(self, step: Step | None = None) -> None:
        """Run everything or one step, unless a run is under way."""
        if not self.board.running and self._flow.over:
            self._flow = Flow()
            self._run(self._flow, self.session, step)

    def look_again(self) -> None:
        """Run everything after a change; a run that began before it saw the host as it was, and is cut short unread."""
        self._outdated = True
        self.session.cancel()
        self.board = replace(self.board, running=True)
        self.board_changed()

    @work(thread=True, exclusive=True, group="run", description="run", exit_on_error=False)
    def _run(self, flow: Flow, session: Session, step: Step | None) -> None:
        worker = get_current_worker()
        try:
            for event in session.run(step):
                if worker.is_cancelled:
                    session.cancel()
                    return
                if step is None and isinstance(event, RunFinished):
                    flow.earlier = self._remember(session, event.report)
                flow.events.append(event)
        except Exception as error:  # noqa: BLE001 (whatever it is, it is told, and the next run may begin)
            flow.broke = True
            why = str(error) if isinstance(error, Broken) else f"{type(error).__name__}: {error}"
            self._pass_on(self.say, f"the run broke off: {why}")
        finally:
            flow.over = True

    def turn_to(self, session: Session, board: Board) -> None:
        """Go on with another host: what the run under way here would still have told is left unread."""
        self.session.cancel()
        self._flow = Flow(over=True)
        self._outdated = False
        self.session, self.board = session, board
        if board.report is None:
            self.start_run()
        self.board_changed()

    def _remember(self, session: Session, report: Report) -> Mapping[str, Status] | None:
        """Keep the run; what the one before it did not find fine."""
        from maildiag.history import HistoryError

        earlier, problem = None, ""
        try:
            earlier = session.earlier(report.host.name)
        except HistoryError as error:
            problem = str(error)
        problem = session.remember(report) or problem
        if problem:
            self._pass_on(self.say, f"this run is not in the history: {problem}")
        return earlier

    def _tick(self) -> None:
        """Take what has happened since the last time, and draw it once; end where the end was waited for."""
        over = self._flow.over  # asked first: what a run that is over had to say is all there
        events = self._flow.taken()
        if self._outdated:
            self._replace_run(over)
        elif over and self._flow.broke and not events and self.board.running:
            self.board = replace(self.board, running=False)
            self.board_changed()
        elif events:
            for event in events:
                self.board = self.board.after(event)
            self.board = replace(self.board, earlier=self._flow.earlier)
            self.board_changed()
        if self.change is None and self._leaving is not None:
            self._end(self._leaving)

    def _replace_run(self, over: bool) -> None:
        if not over:
            self.session.cancel()
        elif self._leaving is None:
            self._outdated = False
            self._flow = Flow()
            self._run(self._flow, self.session, None)

    # -- changes of the host ---------------------------------------------------------------------------------------

    def begin(self, change: Change, do: Callable[[], Doing]) -> bool:
        """Do it in a thread of the application: leaving a screen does not end it half done. False where one is under way."""
        if self.change is not None:
            self.say(f"{self.change.what} is under way: one change at a time")
            return False
        self.change = change
        self._carry_out(change, do)
        return True

    @work(thread=True, group="change", description="change", exit_on_error=False)
    def _carry_out(self, change: Change, do: Callable[[], Doing]) -> None:
        ending = Ending(f"{change.what} was cut off: maildiag undo lists what was begun")

        def whole() -> Iterator[str]:
            nonlocal ending
            ending = yield from do()

        try:
            for text in whole():
                self._pass_on(change.told, text)
        except Exception as error:  # noqa: BLE001 (whatever it is, it is told, and the next change may begin)
            ending = Ending(safe(f"{change.what}: {error or type(error).__name__}"))
        finally:
            self._pass_on(change.ended, ending)
            self.change = None

    def _pass_on(self, tell: Callable[[T], None], news: T) -> None:
        """To the screen's thread, if there is still a screen; a vanished terminal must not cut a change in half."""
        if not self._gone:
            self.call_from_thread(tell, news)

    # -- the end ---------------------------------------------------------------------------------------------------

    def leave(self, status: int) -> None:
        """End now, or as soon as the change under way is finished, or stopped and undone."""
        self.session.cancel()
        if self.change is None:
            self._end(status)
            return
        self._leaving = status
        if self.change.stop is not None:
            self.change.stop.set()
            self.say(f"{self.change.what} is stopped and undone first, then maildiag ends")
        else:
            self.say(f"{self.change.what} is finished first, then maildiag ends")

    def ending(self) -> None:
        """What is to outlive the screen is kept now."""

    def _end(self, status: int) -> None:
        self.ending()
        self._leaving = None
        self._outdated = False
        self.exit(status, return_code=status)

    def status(self) -> int:
        """The exit status that the last report stands for."""
        report = self.board.report or self.board.before
        return exit_status(report.status) if report else 0

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
        self._gone = True
        if self.change is None:
            self.ending()
            os._exit(128 + signal.SIGHUP)
        if self.change.stop is not None:
            self.change.stop.set()
        self.set_timer(0.2, self._hang_up)
