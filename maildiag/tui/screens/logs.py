"""The mail log: live and back to its beginning, filtered, from problem to problem."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path
from typing import ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.widgets import Static
from textual.worker import get_current_worker

from maildiag.logs.lines import parse_line
from maildiag.logs.trace import QUEUE_ID
from maildiag.tui.logcopy import LogCopy, copied
from maildiag.tui.logfile import Compute, LogFile, Selected, here
from maildiag.tui.rowlist import RowList
from maildiag.tui.rows import Part, Tone, broken, lines, row
from maildiag.tui.screens.base import Place
from maildiag.tui.views import cut

_END = 1 << 20
_SHOWN_EVERY_S = 0.3


class LogsScreen(Place):
    """A log of any size: its end is there at once, the rest is read in a thread and drawn as far as it is seen."""

    enters = "Trace"
    about = "The mail log, live and back to its beginning. Moving up stops the following, G or f goes on. The whole line stands beneath. e goes to the next line that tells of trouble, enter traces its message."
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("f", "follow", "Follow", id="logs.follow"),
        Binding("e", "problem(1)", "Next problem", id="logs.next-problem"),
        Binding("E", "problem(-1)", "Previous problem", id="logs.previous-problem", show=False),
        Binding("w", "wrap", "Wrap", id="logs.wrap", show=False),
        Binding("t", "trace", "Trace", id="logs.trace", show=False),
        Binding("y", "copy", "Copy line", id="logs.copy"),
    ]

    def __init__(self, source: str, words: str = "") -> None:
        """`source` is a path; anything else (the journal, or no log) is told as what cannot be shown here.

        `words` narrow it from the beginning.
        """
        super().__init__()
        self.words = words
        self.source = source
        self.following = True
        self._file: LogFile | None = None
        self._end: LogFile | None = None
        self._copy: LogCopy | None = None
        self._selected: Selected | None = None
        self._reading = False
        self._begun = False

    def name_of_place(self) -> str:
        """Which log."""
        return f"Logs  {self.source}".rstrip()

    def body(self) -> ComposeResult:
        """The state line, the log, and the whole of the line under the cursor."""
        yield Static(id="state", markup=False)
        yield RowList(id="lines")
        yield Static(id="whole", markup=False)

    def opened(self) -> None:
        """Called once, when the screen is there."""
        self.focus_on("#lines")
        self._begin()
        self.set_interval(0.5, self._look_again)

    def _begin(self) -> None:
        """Open the log; the first run may still have to find out which it is."""
        if not self.source and self.board.host is None and self.board.running:
            self._rows.show([row("which", " The run still finds out where the log is …")])
            return
        self.source = self.source or (self.board.host.log_source if self.board.host else "")
        self._begun = True
        self.update_board()
        self._open()

    def on_unmount(self) -> None:
        if self._copy is not None:
            self._copy.close()

    @property
    def _rows(self) -> RowList:
        return self.query_one("#lines", RowList)

    # -- reading ---------------------------------------------------------------------------------------------------

    @work(thread=True, exclusive=True, group="copy", description="copy", exit_on_error=False)
    def _open(self) -> None:
        """Open the log, from a copy in memory where it is no file of this machine; its end first where it is large."""
        session = self.maildiag.session
        try:
            copy = self._copy = self._copy or copied(session.host, session.local, self.source)
            path = copy.path if copy else Path(self.source)
            end = LogFile(path, _END)
            for _ in end.read_on():
                pass
            file = LogFile(path)
        except OSError as error:
            self.from_thread(self._cannot, error.strerror or str(error))
        else:
            self.from_thread(self._opened, file, end)

    def _cannot(self, why: str) -> None:
        note = f"{self.source or 'The log'} cannot be shown: {why.removeprefix(': ')}"
        self._rows.show(list(lines("none", note)))

    def _opened(self, file: LogFile, end: LogFile) -> None:
        self._file, self._end = file, end
        if self.words:
            self._select()
        else:
            self._rows.show(end)
        self._rows.action_edge(1)
        self._read()

    def _look_again(self) -> None:
        if not self._begun:
            self._begin()
        if self._file is None or self._reading:
            return
        if self._copy is None and self._file.rotated():
            self._file = None
            self._open()
        elif self.following or self.words:
            self._read()

    def _read(self) -> None:
        self._reading = True
        self._read_on()

    @work(thread=True, exclusive=True, group="log", description="log", exit_on_error=False)
    def _read_on(self) -> None:
        worker, file = get_current_worker(), self._file
        before, told = len(file) if file is not None else 0, time.monotonic()
        for _ in file.read_on(self._compute(file)) if file is not None else ():
            if worker.is_cancelled:
                return
            if time.monotonic() > told + _SHOWN_EVERY_S:
                told = time.monotonic()
                self.from_thread(self._tell)
        self.from_thread(self._read_to_the_end, file is not None and len(file) != before)

    def _compute(self, file: LogFile) -> Compute:
        """Beside the screen where there is much to do; what a log grows by is not worth the way."""
        return self.maildiag.session.compute if file.ahead > _END else here

    def _read_to_the_end(self, more: bool) -> None:
        self._reading = False
        if more and self.words:
            self._select()
        if self._file is not None and (more or self._end is not None):
            self._end = None
            self._show()

    def _show(self) -> None:
        if self._file is None:
            return
        if not self.words:
            self._rows.show(self._file)
        if self.following:
            self._rows.action_edge(1)
        self._tell()

    def _tell(self) -> None:
        total = len(self._file) if self._file is not None else 0
        reading = f"   reading {self._file.share:.0%}" if self._file is not None and self._end is not None else ""
        words = f"   filter: {self.words} ({len(self._rows.rows):,})" if self.words else ""
        follow = f"   f follow: {'on' if self.following else 'off'}   w wrap: {'on' if self._rows.folds else 'off'}"
        self.put("#state", row("state", Part(f" {total:,} lines{reading}{follow}{words}", Tone.DIM)))

    # -- filtering -------------------------------------------------------------------------------------------------

    def filter_by(self, words: str) -> None:
        """Show only the lines with these words; they are searched for in a thread, and lines to come are too."""
        self.words = words
        if words:
            self._select()
        else:
            self._show()

    def _select(self) -> None:
        if self._file is not None:
            if self._selected is None or (self._selected.words, self._selected.file) != (self.words, self._file):
                self._selected = Selected(self._file, self.words)
            self._search_on(self._selected)

    @work(thread=True, exclusive=True, group="search", description="search", exit_on_error=False)
    def _search_on(self, found: Selected) -> None:
        worker, told = get_current_worker(), time.monotonic()
        for _ in found.search_on(self.maildiag.session.compute):
            if worker.is_cancelled:
                return
            if time.monotonic() > told + _SHOWN_EVERY_S:
                told = time.monotonic()
                self.from_thread(self._show_selected, found)
        self.from_thread(self._show_selected, found)

    def _show_selected(self, found: Selected) -> None:
        if found is not self._selected or not self.words:
            return
        self._rows.show(found)
        if self.following:
            self._rows.action_edge(1)
        self._tell()

    # -- the line under the cursor ---------------------------------------------------------------------------------

    @on(RowList.Moved, "#lines")
    def tell_line(self) -> None:
        """The whole of the line, for the list cuts it; who moves away from the end is not pulled back to it."""
        if self.following and self._rows.cursor < len(self._rows.rows) - 1:
            self.following = False
            self._tell()
        if not self._rows.folds:
            self.put("#whole", *cut(list(broken("whole", self._line, self.width, indent=" ")), 3))

    @property
    def _line(self) -> str:
        shown = self._rows
        match shown.rows:
            case LogFile() as file if shown.current:
                return file.line(shown.cursor)
            case Selected() as some if shown.current:
                return some.file.line(some.number(shown.cursor))
        return shown.current.text if shown.current else ""

    def action_follow(self) -> None:
        """Follow the end of the log, or stay."""
        self.following = not self.following
        self._show()
        self._tell()

    def action_wrap(self) -> None:
        """Let long lines go on on the next, or cut them and show the one under the cursor beneath."""
        self.toggle_class("-wrapped")
        self._rows.fold(not self._rows.folds)
        self.call_after_refresh(self._rows.fold, self._rows.folds)  # there is room for more lines then, or for less
        self.tell_line()
        self._tell()

    def action_problem(self, by: int) -> None:
        """The next line that tells of trouble."""
        shown = self._rows
        if isinstance(shown.rows, LogFile) and shown.current is not None:
            self.following = False
            self._tell()
            self._find_problem(shown.rows, shown.cursor, by)
        elif self.words:
            shown.action_move(by)

    @work(thread=True, exclusive=True, group="problem", description="problem", exit_on_error=False)
    def _find_problem(self, file: LogFile, start: int, by: int) -> None:
        worker, now = get_current_worker(), datetime.now(UTC).astimezone()
        for found in file.next_problem(start, by, now, self.maildiag.session.compute):
            if worker.is_cancelled:
                return
            if found is not None:
                self.from_thread(self._rows.steer, found)
                return
        self.from_thread(self.maildiag.say, "no more problems in this direction")

    @on(RowList.Chosen, "#lines")
    def action_trace(self) -> None:
        """Everything the log says of the message under the cursor."""
        line = parse_line(self._line, datetime.now(UTC).astimezone())
        queue_id = line.text.partition(":")[0] if line else ""
        if QUEUE_ID.fullmatch(queue_id):
            self.maildiag.open_trace(queue_id)
        else:
            self.maildiag.say("this line names no queue id")

    def action_copy(self) -> None:
        """Copy the line under the cursor, date and host included."""
        if self._line:
            self.maildiag.copy(self._line)
