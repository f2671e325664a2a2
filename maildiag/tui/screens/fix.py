"""A fix: its diff and commands, the confirmation, its steps as they happen, the end of it, and the way back."""

from __future__ import annotations

import threading
from functools import partial
from typing import ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.widgets import Input, Static

from maildiag import typed
from maildiag.model import Finding, Fix
from maildiag.text import safe
from maildiag.tui import repairing
from maildiag.tui.rowlist import RowList
from maildiag.tui.rows import Part, Row, Tone, caption, lines, row, wrapped
from maildiag.tui.screens.base import Place
from maildiag.tui.underway import Change, Ending


class FixScreen(Place):
    """Nothing happens before what the screen asks for was typed; a running fix belongs to the application, not to this screen."""

    about = "What the fix would do, file by file and command by command. Nothing happens before the word it asks for was typed; then everything is saved, done, and judged again; what did not cure is undone."
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y", "copy", "Copy commands", id="fix.copy"),
        Binding("a", "ask", "Apply", id="fix.ask"),
        Binding("u", "undo", "Undo", id="fix.undo"),
        Binding("x", "stop", "Stop", id="fix.stop", show=False),
        Binding("right_square_bracket", "other(1)", "Other fix", id="fix.other", show=False),
    ]

    def __init__(self, finding: Finding, explains: tuple[str, ...], host: str, ask: bool) -> None:
        super().__init__()
        self.finding = finding
        self.explains = explains
        self._host = host
        self._ask_at_once = ask
        self._number = 0
        self._shown: list[Row] = []
        self._happened: list[Row] = []
        self._transaction = ""
        self._busy = False
        self.cancelled = threading.Event()

    @property
    def fix(self) -> Fix:
        """The fix on the screen; `]` shows the finding's next one."""
        return self.finding.fixes[self._number]

    def name_of_place(self) -> str:
        """The fix's id."""
        many = len(self.finding.fixes)
        number = f" {self._number + 1} of {many} (] shows another)" if many > 1 else ""
        return f"Fix{number} > {self.fix.id}"

    def body(self) -> ComposeResult:
        """The plan and what happens as one text, the question beneath."""
        yield RowList(id="lines", marked=False)
        yield Static(id="ask", markup=False)
        yield Input(id="answer")

    def on_mount(self) -> None:
        super().on_mount()
        self.query_one("#answer", Input).display = False
        self.focus_on("#lines")
        self._load()
        if self._ask_at_once:
            self.action_ask()

    @work(thread=True, exclusive=True, group="preview", description="preview", exit_on_error=False)
    def _load(self) -> None:
        rows = plan(self.finding, self.fix, self.width)
        self.app.call_from_thread(self._show_plan, rows)

    def _show_plan(self, rows: list[Row]) -> None:
        self._shown = rows
        self.refresh_rows()

    def refresh_rows(self) -> None:
        """The plan, then what has happened."""
        shown = self.query_one("#lines", RowList)
        shown.show([*self._shown, *self._happened])
        if self._happened:
            shown.action_edge(1)

    def _tell(self, text: str, tone: Tone = Tone.STRONG) -> None:
        self.put("#ask", *wrapped("ask", text, self.width, tone))

    # -- asking ----------------------------------------------------------------------------------------------------

    def action_ask(self) -> None:
        """Ask for the confirmation, or say why there is none to give."""
        refused = repairing.why_not(self.maildiag.session, self.finding, self.fix)
        if refused or self._busy:
            self._tell(f"cannot be applied: {refused}" if refused else "it is being applied", Tone.WARN)
            return
        wanted = repairing.to_type(self.finding, self.fix, self._host)
        self._tell(f"risk {self.fix.risk}: type {wanted} and enter to apply, esc leaves everything as it is")
        answer = self.query_one("#answer", Input)
        answer.display = True
        answer.focus()

    @on(Input.Submitted, "#answer")
    def decide(self, event: Input.Submitted) -> None:
        """Apply where exactly the asked word was typed; anything else changes nothing."""
        wanted = repairing.to_type(self.finding, self.fix, self._host)
        typed = event.value.strip()
        self._leave_answer()
        if typed == wanted:
            self._start()
        else:
            self._tell(f"not applied: {safe(typed)!r} is not {wanted!r}", Tone.WARN)

    def _leave_answer(self) -> None:
        answer = self.query_one("#answer", Input)
        answer.value = ""
        answer.display = False
        self.focus_on("#lines")

    # -- acting ----------------------------------------------------------------------------------------------------

    def _start(self) -> None:
        self.cancelled.clear()
        self._happened = [caption("applying")]
        self._tell("applying; x stops between two steps and undoes")
        session, fix, stop = self.maildiag.session, self.fix, self.cancelled
        change = Change(f"the fix {fix.id}", self.happened, self._fix_ended, stop)
        do = partial(repairing.applying, session, self.finding, fix, self.explains, stop)
        self._busy = self.maildiag.begin(change, do)

    def happened(self, text: str) -> None:
        """A step of the fix, in words."""
        self._happened += list(lines(f"step:{len(self._happened)}", text, Tone.CODE))
        self._draw()

    def _fix_ended(self, ending: Ending) -> None:
        self.maildiag.note(f"fix {self.fix.id}: {ending.text}")
        self._transaction = ending.transaction
        self._ended(ending, "   u: undo" if ending.transaction else "")

    def _undone(self, ending: Ending) -> None:
        self.maildiag.note(f"undo of {self.fix.id}: {ending.text}")
        self._transaction = "" if ending.good else self._transaction
        self._ended(ending)

    def _ended(self, ending: Ending, more: str = "") -> None:
        """The end of it, told plainly, here and in a notice for who has left; then everything is looked at again."""
        self._busy = False
        tone = Tone.GOOD if ending.good else Tone.WARN
        self._happened += list(wrapped(f"end:{len(self._happened)}", ending.text, self.width, tone))
        if self.is_current:
            self._tell(ending.text + more, tone)
        else:
            self.maildiag.say(ending.text)
        self._draw()
        self.maildiag.look_again()

    def _draw(self) -> None:
        if self.is_attached:
            self.refresh_rows()

    def action_stop(self) -> None:
        """End the fix between two steps; what is half done is undone."""
        if self._busy:
            self.cancelled.set()
            self._tell("stopping after this step; what is half done will be undone", Tone.WARN)

    def action_undo(self) -> None:
        """Put back what this fix changed."""
        if self._busy or not self._transaction:
            self._tell("nothing was applied from here", Tone.WARN)
            return
        change = Change(f"the undo of {self.fix.id}", self.happened, self._undone)
        self._happened.append(caption("undoing"))
        self._tell("undoing: this is finished, whatever happens")
        self._busy = self.maildiag.begin(change, partial(repairing.undoing, self.maildiag.session, self._transaction))

    def action_other(self, by: int) -> None:
        """The finding's next fix."""
        if not self._busy:
            self._number = (self._number + by) % len(self.finding.fixes)
            self._happened = []
            self.update_board()
            self._load()

    def action_copy(self) -> None:
        """Copy the commands."""
        self.maildiag.copy("\n".join(typed.commands(self.fix)))

    def action_back(self) -> None:
        """Leave the question, then the screen; a running fix goes on and tells its end in a notice."""
        if self.query_one("#answer", Input).display:
            self._leave_answer()
            self._tell("nothing was changed")
        else:
            super().action_back()


def plan(finding: Finding, fix: Fix, width: int) -> list[Row]:
    """What the fix would do: the diff of every file and the commands, its risk, what it disrupts, how it is verified."""
    from maildiag.repair.preview import preview

    found = [
        row("title", Part(f" {safe(fix.title)}", Tone.STRONG)),
        row("for", Part(f" for {safe(finding.title)}", Tone.DIM)),
    ]
    if fix.why:
        found += wrapped("why", fix.why, width)
    found.append(caption("commands, in this order"))
    found += [
        row(f"command:{n}", Part(f"   # {safe(line)}", Tone.CODE)) for n, line in enumerate(typed.lines(fix.commands))
    ]
    if secret := typed.withheld(fix):
        found += wrapped("withheld", secret, width, Tone.ASK)
    for each in preview(fix).diffs if fix.commands else ():
        found.append(caption(f"diff of {safe(each.path)}"))
        found += [_diff_line(f"{each.path}:{n}", line) for n, line in enumerate(each.text.splitlines())]
    if fix.ask:
        found += [caption("whom to ask, and the text to send"), *lines("ask", fix.ask)]
    undo = "yes" if fix.undo or fix.changes else "no"
    facts = f" risk: {fix.risk}   undo: {undo}   disrupts: {safe(fix.disrupts) or 'nothing'}"
    found += [caption("facts"), row("facts", facts)]
    found.append(row("verify", f" then judged again: {', '.join(fix.verify) or finding.id}"))
    return found


def _diff_line(key: str, line: str) -> Row:
    tone = {"+": Tone.GOOD, "-": Tone.BAD, "@": Tone.DIM}.get(line[:1], Tone.PLAIN)
    return row(f"diff:{key}", " ", Part(safe(line), tone))
