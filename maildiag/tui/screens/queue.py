"""The queue: groups above, the messages of the group beneath; what is done to them is shown and confirmed first."""

from __future__ import annotations

import time
from typing import ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.widgets import Input, Static
from textual.worker import get_current_worker

from maildiag.hosts.local import LocalHost
from maildiag.queue.acting import Action, act, applies, argv
from maildiag.queue.entries import Entry
from maildiag.queue.reading import QueueError, stream
from maildiag.text import plural, safe
from maildiag.tui import queueview, views
from maildiag.tui.paths import state_directory
from maildiag.tui.queueview import By, MessageRows, Queued
from maildiag.tui.rowlist import RowList
from maildiag.tui.rows import Tone, wrapped
from maildiag.tui.screens.base import Place


class QueueScreen(Place):
    """Reading is always possible; acting only unlocked, on this host, after the shown word was typed."""

    main = "#messages"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("right_square_bracket", "regroup", "Group by", id="queue.regroup"),
        Binding("space", "mark", "Mark", id="queue.mark"),
        Binding("t", "trace", "Trace", id="queue.trace"),
        Binding("a", "act", "Act", id="queue.act"),
        Binding("y", "copy", "Copy id", id="queue.copy", show=False),
        Binding("tab", "app.focus_next", "Pane", show=False, id="queue.pane"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self.by = By.REASON
        self.queued = Queued((), int(time.time()))
        self._groups: dict[str, tuple[Entry, ...]] = {}
        self._marked: set[str] = set()
        self._waiting: tuple[Action, tuple[str, ...]] | None = None

    def name_of_place(self) -> str:
        """How it is grouped."""
        return f"Queue by {self.by}"

    def body(self) -> ComposeResult:
        """Summary, groups, messages, the question."""
        yield Static(id="summary", markup=False)
        yield RowList(id="groups")
        yield RowList(id="messages")
        yield Static(id="ask", markup=False)
        yield Input(id="answer")

    def on_mount(self) -> None:
        super().on_mount()
        self.query_one("#answer", Input).display = False
        self.focus_on("#groups")
        self.reload()

    # -- reading ---------------------------------------------------------------------------------------------------

    def reload(self) -> None:
        """Read the queue again; a recording has none to read."""
        if isinstance(self.maildiag.session.host, LocalHost):
            self._read()
        else:
            self._show(
                Queued(
                    (),
                    int(time.time()),
                    "the queue is read on the host itself: this is a recording, or a host elsewhere",
                )
            )

    @work(thread=True, exclusive=True, group="queue", exit_on_error=False)
    def _read(self) -> None:
        worker, entries, trouble = get_current_worker(), [], ""
        try:
            for entry in stream():
                if worker.is_cancelled:
                    return
                if entry is not None:
                    entries.append(entry)
        except QueueError as error:
            trouble = str(error)
        self.app.call_from_thread(self._show, Queued(tuple(entries), int(time.time()), trouble))

    def _show(self, queued: Queued) -> None:
        self.queued = queued
        self._groups = queued.groups(self.by)
        self._marked &= {each.id for each in queued.entries}
        self.update_board()

    def refresh_rows(self) -> None:
        """Groups, and the messages of the group under the cursor."""
        self.put("#summary", queueview.summary(self.queued))
        rows = queueview.group_rows(self._groups, len(self.queued.entries), self.queued.now)
        self.query_one("#groups", RowList).show(rows)
        self._show_messages()

    @on(RowList.Moved, "#groups")
    def other_group(self) -> None:
        """The messages of the group under the cursor."""
        self._show_messages()

    def _show_messages(self) -> None:
        self.query_one("#messages", RowList).show(MessageRows(self._chosen_group(), self._marked, self.queued.now))

    def _chosen_group(self) -> tuple[Entry, ...]:
        current = self.query_one("#groups", RowList).current
        return self._groups.get(current.key.removeprefix("group:"), ()) if current else ()

    @on(RowList.Chosen, "#groups")
    def into_group(self) -> None:
        """Go to the messages."""
        self.focus_on("#messages")

    @on(RowList.Moved, "#messages")
    def tell_reason(self) -> None:
        """Why the message under the cursor waits."""
        entry = self._entry()
        if entry is not None and self._waiting is None:
            marked = f"{plural(len(self._marked), 'message')} marked. " if self._marked else ""
            self._tell(marked + (entry.reason or "Postfix tells no reason for this message"), Tone.DIM)

    def _entry(self) -> Entry | None:
        current = self.query_one("#messages", RowList).current
        name = current.key.removeprefix("message:") if current else ""
        return next((each for each in self._chosen_group() if each.id == name), None)

    @on(RowList.Chosen, "#messages")
    def open_message(self) -> None:
        """Everything the log says of the message."""
        self.action_trace()

    def _tell(self, text: str, tone: Tone = Tone.STRONG) -> None:
        self.put("#ask", *views.cut(list(wrapped("ask", text, self.width, tone)), 3))

    def action_regroup(self) -> None:
        """Group by the next kind."""
        kinds = list(By)
        self.by = kinds[(kinds.index(self.by) + 1) % len(kinds)]
        self._show(self.queued)

    def action_mark(self) -> None:
        """Mark the message under the cursor, or all of the group under the cursor."""
        if self.query_one("#messages", RowList).has_focus:
            entry = self._entry()
            self._marked ^= {entry.id} if entry else set()
            self.query_one("#messages", RowList).action_move(1)
        else:
            ids = {each.id for each in self._chosen_group()}
            self._marked = self._marked - ids if ids <= self._marked else self._marked | ids
        self._show_messages()
        self._tell(f"{plural(len(self._marked), 'message')} marked")

    def action_trace(self) -> None:
        """Everything the log says of the message."""
        entry = self._entry()
        if entry is not None:
            self.maildiag.open_trace(entry.id)

    def action_copy(self) -> None:
        """Copy the queue id."""
        entry = self._entry()
        if entry is not None:
            self.maildiag.copy(entry.id)

    # -- acting ----------------------------------------------------------------------------------------------------

    def refusal(self) -> str:
        """Why nothing may be done to the queue; empty where it may. Asked again when it is done."""
        session = self.maildiag.session
        if not isinstance(session.host, LocalHost):
            return "only on the host itself"
        return "" if session.allow_fix else "read-only: U unlocks"

    def action_act(self) -> None:
        """Ask what to do with the marked messages, or with the one under the cursor."""
        refused = self.refusal()
        entry = self._entry()
        ids = self._marked or ({entry.id} if entry else set())
        if refused or not ids:
            self._tell(refused or "no message is chosen", Tone.WARN)
            return
        self._tell(f"{plural(len(ids), 'message')}: type hold, release, requeue, flush or delete; esc does nothing")
        self._ask()

    def _ask(self) -> None:
        answer = self.query_one("#answer", Input)
        answer.value = ""
        answer.display = True
        answer.focus()

    @on(Input.Submitted, "#answer")
    def answered(self, event: Input.Submitted) -> None:
        """First the action, then its confirmation: `yes`, and for deleting the number of messages."""
        word = event.value.strip().lower()
        if self._waiting is None:
            self._choose(word)
            return
        action, ids = self._waiting
        self._leave_answer()
        if word == self._confirmation(action, ids):
            self._tell(f"{action}: under way")
            self._act(action, ids)
        else:
            self._tell("nothing was done", Tone.WARN)

    def _choose(self, word: str) -> None:
        if word not in list(Action):
            self._leave_answer()
            self._tell("nothing was done", Tone.WARN)
            return
        action = Action(word)
        entry = self._entry()
        chosen = self._marked or ({entry.id} if entry else set())
        ids = tuple(each.id for each in self.queued.entries if each.id in chosen and applies(action, each))
        self._waiting = (action, ids)
        saved = "; each is saved first" if action is Action.DELETE else ""
        self._tell(
            f"{' '.join(argv(action))} for {plural(len(ids), 'message')}{saved}: type {self._confirmation(action, ids)} to do it"
        )
        self._ask()

    @staticmethod
    def _confirmation(action: Action, ids: tuple[str, ...]) -> str:
        return str(len(ids)) if action is Action.DELETE else "yes"

    def _leave_answer(self) -> None:
        self._waiting = None
        self.query_one("#answer", Input).display = False
        self.focus_on("#messages")

    @work(thread=True, exclusive=True, group="queue-act", exit_on_error=False)
    def _act(self, action: Action, ids: tuple[str, ...]) -> None:
        refused = self.refusal()
        words = refused or _done(action, ids)
        self.app.call_from_thread(self._acted, words)

    def _acted(self, words: str) -> None:
        self._marked = set()
        self._tell(words)
        self.maildiag.say(safe(words))
        self.reload()

    def action_back(self) -> None:
        """Leave the question, then the screen."""
        if self.query_one("#answer", Input).display:
            self._leave_answer()
            self._tell("nothing was done")
        else:
            super().action_back()


def _done(action: Action, ids: tuple[str, ...]) -> str:
    """Do it and say how it ended; what is deleted is saved first, and what could not be saved is not deleted."""
    from maildiag.queue.saving import NotSavedError, save

    where = ""
    if action is Action.DELETE:
        directory = state_directory() / "deleted" / time.strftime("%Y%m%dT%H%M%S")
        try:
            directory.mkdir(parents=True, mode=0o700)
            ids = tuple(save(ids, directory))
        except (NotSavedError, OSError) as error:
            return f"nothing was deleted: {error}"
        where = f"; saved in {directory}"
    done = act(action, ids)
    failed = f"it ended with status {done.status}: " if done.status else ""
    return f"{action}: {failed}{done.words or plural(len(ids), 'message')}{where}"
