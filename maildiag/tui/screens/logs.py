"""The mail log: live and back to its beginning, filtered, from problem to problem."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import ClassVar

from textual import work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.widgets import Static
from textual.worker import get_current_worker

from maildiag.logs.lines import parse_line
from maildiag.logs.trace import QUEUE_ID
from maildiag.tui.logcopy import LogCopy, copied
from maildiag.tui.logfile import LogFile, Selected
from maildiag.tui.rowlist import RowList
from maildiag.tui.rows import Part, Row, Tone, lines, row
from maildiag.tui.screens.base import Place


class LogsScreen(Place):
    """A log of any size; it is read in a thread, and drawn as far as it is seen."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("f", "follow", "Follow", id="logs.follow"),
        Binding("e", "problem(1)", "Next problem", id="logs.next-problem"),
        Binding("E", "problem(-1)", "Previous problem", id="logs.previous-problem", show=False),
        Binding("t", "trace", "Trace", id="logs.trace"),
        Binding("y", "copy", "Copy line", id="logs.copy"),
    ]

    def __init__(self, source: str) -> None:
        """`source` is a path; anything else (the journal, or no log) is told as what cannot be shown here."""
        super().__init__()
        self.source = source
        self.following = True
        self._file: LogFile | None = None
        self._copy: LogCopy | None = None

    def name_of_place(self) -> str:
        """Which log."""
        return f"Logs  {self.source or 'no log source'}"

    def body(self) -> ComposeResult:
        """The state line and the log."""
        yield Static(id="state", markup=False)
        yield RowList(id="lines")

    def on_mount(self) -> None:
        super().on_mount()
        self.focus_on("#lines")
        self._open()
        self.set_interval(0.5, self._look_again)

    def on_unmount(self) -> None:
        if self._file is not None:
            self._file.close()
        if self._copy is not None:
            self._copy.close()

    @work(thread=True, exclusive=True, group="copy", exit_on_error=False)
    def _open(self) -> None:
        """Open the log, from a copy in memory where it is no file of this machine."""
        session = self.maildiag.session
        try:
            copy = self._copy = self._copy or copied(session.host, session.local, self.source)
            file = LogFile(copy.path if copy else Path(self.source))
        except OSError as error:
            self.app.call_from_thread(self._cannot, error.strerror or str(error))
        else:
            self.app.call_from_thread(self._opened, file)

    def _cannot(self, why: str) -> None:
        note = f"{self.source or 'There is no log file'} cannot be shown: {why}"
        self.query_one("#lines", RowList).show(list(lines("none", note)))

    def _opened(self, file: LogFile) -> None:
        self._file = file
        self._read()

    def _look_again(self) -> None:
        if self._file is not None and self._copy is None and self._file.rotated():
            self._file.close()
            self._file = None
            self._open()
        elif self._file is not None and self.following:
            self._read()

    @work(thread=True, exclusive=True, group="log", exit_on_error=False)
    def _read(self) -> None:
        worker, file = get_current_worker(), self._file
        if file is None:
            return
        before = len(file)
        for _ in file.read_on():
            if worker.is_cancelled:
                return
        if len(file) != before:
            self.app.call_from_thread(self._show)

    def _show(self) -> None:
        if self._file is None:
            return
        shown = self.query_one("#lines", RowList)
        if not self.words:
            shown.show(self._file)
        if self.following and not self.words:
            shown.action_edge(1)
        self._tell()

    def _tell(self) -> None:
        total = len(self._file) if self._file else 0
        shown = len(self.query_one("#lines", RowList).rows)
        words = f"   filter: {self.words} ({shown:,})" if self.words else ""
        state = f" {total:,} lines   f follow: {'on' if self.following else 'off'}{words}"
        self.put("#state", row("state", Part(state, Tone.DIM)))

    def filter_by(self, words: str) -> None:
        """Show only the lines with these words; they are searched for in a thread."""
        self.words = words
        if words:
            self._select(words)
        else:
            self._show()

    @work(thread=True, exclusive=True, group="search", exit_on_error=False)
    def _select(self, words: str) -> None:
        worker, file = get_current_worker(), self._file
        if file is None:
            return
        found = []
        for number in file.search(words):
            if worker.is_cancelled:
                return
            found.append(number)
        self.app.call_from_thread(self._show_selected, Selected(file, found))

    def _show_selected(self, found: Selected) -> None:
        self.query_one("#lines", RowList).show(found)
        self._tell()

    def action_follow(self) -> None:
        """Follow the end of the log, or stay."""
        self.following = not self.following
        self._show()
        self._tell()

    def action_problem(self, by: int) -> None:
        """The next line that tells of trouble."""
        shown = self.query_one("#lines", RowList)
        if self._file is None or self.words or shown.current is None:
            return
        self.following = False
        found = self._file.next_problem(shown.cursor, by, datetime.now(UTC).astimezone())
        if found is None:
            self.maildiag.say("no more problems in this direction")
        else:
            shown.cursor = found
        self._tell()

    @property
    def _line(self) -> Row | None:
        return self.query_one("#lines", RowList).current

    def action_trace(self) -> None:
        """Everything the log says of the message under the cursor."""
        line = parse_line(self._line.text, datetime.now(UTC).astimezone()) if self._line else None
        queue_id = line.text.partition(":")[0] if line else ""
        if QUEUE_ID.fullmatch(queue_id):
            self.maildiag.open_trace(queue_id)
        else:
            self.maildiag.say("this line names no queue id")

    def action_copy(self) -> None:
        """Copy the line under the cursor."""
        if self._line is not None:
            self.maildiag.copy(self._line.text)
