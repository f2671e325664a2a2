"""The queue as it is read: groups above, the messages of the group beneath, each with its reason, headers and trace."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.widgets import Static
from textual.worker import get_current_worker

from maildiag.hosts.local import LocalHost
from maildiag.queue.entries import Entry
from maildiag.queue.headers import headers
from maildiag.queue.reading import QueueError, stream
from maildiag.text import plural, safe
from maildiag.tui import queueview, views
from maildiag.tui.queueview import By, Group, MessageRows, Queued, Shown
from maildiag.tui.rowlist import RowList
from maildiag.tui.rows import Row, Tone, broken, wrapped
from maildiag.tui.screens.base import Place
from maildiag.tui.screens.reader import Reader

REFRESHED_EVERY_S = 10.0


class QueueReading(Place):
    """The queue filtered and grouped, and what a message is; all of it only looks."""

    main = "#messages"
    enters = "Trace"
    about = "What waits, and why: groups above, the messages of the group beneath. Reading changes nothing; a acts on the marked messages after it was unlocked and confirmed."
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("right_square_bracket", "regroup(1)", "Group by", id="queue.regroup"),
        Binding("left_square_bracket", "regroup(-1)", "Group by", show=False, id="queue.regroup-back"),
        Binding("space", "mark", "Mark", id="queue.mark"),
        Binding("o", "headers", "Headers", id="queue.headers"),
        Binding("r", "reload", "Refresh", id="queue.refresh"),
        Binding("y", "copy", "Copy id", id="queue.copy"),
        Binding("t", "trace", "Trace", id="queue.trace", show=False),
        Binding("equals_sign", "pause", "Pause", id="queue.pause", show=False),
        Binding("tab", "app.focus_next", "Pane", show=False, id="queue.pane"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self.by = By.REASON
        self.queued = Queued((), int(time.time()), "reading the queue …")
        self.shown = Shown(self.queued, {})
        self._marked: set[str] = set()
        self._paused = False
        self._took_s: float | None = None

    def name_of_place(self) -> str:
        """How it is grouped, and what it is filtered by."""
        return f"Queue by {self.by}" + (f", filter: {safe(self.words)}" if self.words else "")

    def body(self) -> ComposeResult:
        """Summary, groups, messages, the question."""
        yield Static(id="summary", markup=False)
        yield RowList(id="groups")
        yield Static(id="columns", markup=False)
        yield RowList(id="messages")
        yield Static(id="ask", markup=False)

    def opened(self) -> None:
        """Called once, when the screen is there."""
        self.put("#columns", queueview.COLUMNS)
        self.focus_on("#groups")
        self.action_reload()
        self.set_interval(REFRESHED_EVERY_S, self._refresh_by_itself)

    @property
    def asking(self) -> bool:
        """True while a question is on the screen, which nothing may push away."""
        return False

    # -- reading ---------------------------------------------------------------------------------------------------

    def _refresh_by_itself(self) -> None:
        """Not while somebody is asked, not while paused, and not where reading takes so long that it would be a burden."""
        quick = self._took_s is not None and self._took_s < REFRESHED_EVERY_S / 5
        if quick and self.is_current and not self._paused and not self.asking:
            self.action_reload()

    def action_reload(self) -> None:
        """Read the queue again; a recording has none to read."""
        if isinstance(self.maildiag.session.host, LocalHost):
            self._read()
        else:
            self.show(
                Queued(
                    (),
                    int(time.time()),
                    "the queue is read on the host itself: this is a recording, or a host elsewhere",
                )
            )

    @work(thread=True, exclusive=True, group="queue", description="queue", exit_on_error=False)
    def _read(self) -> None:
        worker, entries, trouble, began = get_current_worker(), [], "", time.monotonic()
        try:
            for entry in stream():
                if worker.is_cancelled:
                    return
                if entry is not None:
                    entries.append(entry)
        except QueueError as error:
            trouble = str(error)
        queued = Queued(tuple(entries), int(time.time()), trouble)
        self._took_s = time.monotonic() - began
        self.from_thread(self.show, queued)

    def show(self, queued: Queued) -> None:
        """Show this queue, filtered and grouped beside the screen."""
        self.queued = queued
        self._arrange(queued, self.by, self.words)

    @work(thread=True, exclusive=True, group="arrange", description="arrange", exit_on_error=False)
    def _arrange(self, queued: Queued, by: By, words: str) -> None:
        worker, found = get_current_worker(), queueview.shown(queued, by, words)
        ids = {each.id for each in queued.entries}
        if not worker.is_cancelled:
            self.from_thread(self._arranged, found, ids)

    def _arranged(self, found: Shown, ids: set[str]) -> None:
        self.shown = found
        self._marked &= ids
        self.update_board()
        self.tell_reason()

    def filter_by(self, words: str) -> None:
        """Only the messages with these words."""
        self.words = words
        self.show(self.queued)

    def refresh_rows(self) -> None:
        """Groups, and the messages of the group under the cursor."""
        queued = self.shown.queued
        self.put("#summary", queueview.summary(self.shown, self._freshness()))
        rows = queueview.group_rows(self.shown.groups, len(queued.entries), queued.now)
        self.query_one("#groups", RowList).show(rows)
        self._show_messages()

    def _freshness(self) -> str:
        at = f"{datetime.fromtimestamp(self.shown.queued.now, UTC):%H:%M:%S}Z"
        return f"{at} paused" if self._paused else at

    @on(RowList.Moved, "#groups")
    def other_group(self) -> None:
        """The messages of the group under the cursor."""
        self._show_messages()
        self.tell_reason()

    def _show_messages(self) -> None:
        group = self._group()
        rows = MessageRows(group, self._marked, self.shown.queued.now) if group else ()
        self.query_one("#messages", RowList).show(rows)

    def _group(self) -> Group | None:
        current = self.query_one("#groups", RowList).current
        return self.shown.groups.get(current.key.removeprefix("group:")) if current else None

    @on(RowList.Chosen, "#groups")
    def into_group(self) -> None:
        """Go to the messages."""
        self.focus_on("#messages")

    @on(RowList.Moved, "#messages")
    def tell_reason(self) -> None:
        """Why the message under the cursor waits."""
        entry = self._entry()
        if entry is not None and not self.asking:
            marked = f"{plural(len(self._marked), 'message')} marked. " if self._marked else ""
            whose = f"{queueview.parties(entry)}: " if self.has_class("-narrow") else ""  # the list has no room for it
            self._tell(marked + whose + (entry.reason or "Postfix tells no reason for this message"), Tone.DIM)

    def _entry(self) -> Entry | None:
        shown = self.query_one("#messages", RowList)
        return shown.rows.entry(shown.cursor) if isinstance(shown.rows, MessageRows) else None

    @on(RowList.Chosen, "#messages")
    def open_message(self) -> None:
        """Everything the log says of the message."""
        self.action_trace()

    def _tell(self, text: str, tone: Tone = Tone.STRONG) -> None:
        self.put("#ask", *views.cut(list(wrapped("ask", text, self.width, tone)), 3))

    def action_regroup(self, by: int) -> None:
        """Group by the next kind: reason, destination, sender, age."""
        kinds = list(By)
        self.by = kinds[(kinds.index(self.by) + by) % len(kinds)]
        self.query_one("#groups", RowList).let_go()
        self.show(self.queued)

    def action_pause(self) -> None:
        """Stop reading the queue every ten seconds, or go on."""
        self._paused = not self._paused
        self.refresh_rows()

    def action_mark(self) -> None:
        """Mark the message under the cursor, or all of the group under the cursor."""
        group = self._group()
        if self.query_one("#messages", RowList).has_focus:
            entry = self._entry()
            self._marked ^= {entry.id} if entry else set()
            self.query_one("#messages", RowList).action_move(1)
        elif group:
            ids = group.places.keys()
            self._marked = self._marked - ids if ids <= self._marked else self._marked | ids
        self._show_messages()
        self._tell(f"{plural(len(self._marked), 'message')} marked")

    def action_trace(self) -> None:
        """Everything the log says of the message."""
        entry = self._entry()
        if entry is not None:
            self.maildiag.open_trace(entry.id)

    def action_headers(self) -> None:
        """The envelope and the headers of the message under the cursor, never its body."""
        entry = self._entry()
        if entry is not None and isinstance(self.maildiag.session.host, LocalHost):
            self._read_headers(entry.id)

    @work(thread=True, exclusive=True, group="headers", description="headers", exit_on_error=False)
    def _read_headers(self, name: str) -> None:
        try:
            rows = list(broken("headers", headers(name), self.width, indent=" "))
        except QueueError as error:
            rows = list(broken("error", str(error), self.width, Tone.WARN, " "))
        self.from_thread(self._show_headers, name, rows)

    def _show_headers(self, name: str, rows: list[Row]) -> None:
        if self.is_current:
            self.app.push_screen(Reader(f"Headers > {safe(name)}", rows))

    def action_copy(self) -> None:
        """Copy the queue id."""
        entry = self._entry()
        if entry is not None:
            self.maildiag.copy(entry.id)
