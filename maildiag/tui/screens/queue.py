"""The queue: groups above, the messages of the group beneath; what is done to them is shown and confirmed first."""

from __future__ import annotations

import time
from functools import partial
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.widgets import Input

from maildiag.hosts.local import LocalHost
from maildiag.queue.acting import Action, act, applies, argv
from maildiag.text import plural, safe
from maildiag.tui.paths import state_directory
from maildiag.tui.rows import Tone
from maildiag.tui.screens.queue_reading import QueueReading
from maildiag.tui.underway import Change, Doing, Ending

REFRESHED_EVERY_S = 10.0


class QueueScreen(QueueReading):
    """Reading is always possible; acting only unlocked, on this host, after the shown word was typed."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("a", "act", "Act", id="queue.act")]

    def __init__(self) -> None:
        super().__init__()
        self._waiting: tuple[Action, tuple[str, ...]] | None = None

    def body(self) -> ComposeResult:
        """What the queue is, and the line for the answer."""
        yield from super().body()
        yield Input(id="answer")

    @property
    def asking(self) -> bool:
        """True while a question is on the screen."""
        return self.query_one("#answer", Input).display

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
            self._begin(action, ids)
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

    def _begin(self, action: Action, ids: tuple[str, ...]) -> None:
        change = Change(f"{action} of {plural(len(ids), 'message')}", self._tell, self._acted)
        self.maildiag.begin(change, partial(self._act, action, ids))

    def _act(self, action: Action, ids: tuple[str, ...]) -> Doing:
        yield f"{action}: under way"
        refused = self.refusal()
        return Ending(refused or _done(action, ids), not refused)

    def _acted(self, ending: Ending) -> None:
        self._marked = set()
        self.maildiag.note(f"queue, {ending.text}")
        self.maildiag.say(safe(ending.text))
        if self.is_attached:
            self._tell(ending.text)
            self.action_reload()

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
