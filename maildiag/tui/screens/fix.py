"""A fix: its diff and commands, the confirmation, its steps as they happen, the end of it, and the way back."""

from __future__ import annotations

import threading
from functools import partial
from typing import ClassVar

from textual import work
from textual.binding import Binding, BindingType

from maildiag import typed
from maildiag.model import Finding, Fix
from maildiag.text import safe
from maildiag.tui import repairing
from maildiag.tui.rows import Part, Row, Tone, caption, lines, row, wrapped
from maildiag.tui.screens.changing import Changing
from maildiag.tui.underway import Change, Ending


class FixScreen(Changing):
    """One fix of a finding."""

    about = "What the fix would do, file by file and command by command. Nothing happens before the word it asks for was typed; then everything is saved, done, and judged again; what did not cure is undone."
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y", "copy", "Copy commands", id="fix.copy"),
        Binding("a", "ask", "Apply", id="fix.ask"),
        Binding("u", "undo", "Undo", id="fix.undo"),
        Binding("right_square_bracket", "other(1)", "Other fix", id="fix.other", show=False),
    ]

    def __init__(self, finding: Finding, explains: tuple[str, ...], host: str, ask: bool) -> None:
        super().__init__()
        self.finding = finding
        self.explains = explains
        self._host = host
        self._ask_at_once = ask
        self._number = 0
        self._transaction = ""
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

    def opened(self) -> None:
        """Called once, when the screen is there."""
        super().opened()
        self._load()
        if self._ask_at_once:
            self.action_ask()

    @work(thread=True, exclusive=True, group="preview", description="preview", exit_on_error=False)
    def _load(self) -> None:
        rows = plan(self.finding, self.fix, self.width)
        self.from_thread(self.show_plan, rows)

    def action_ask(self) -> None:
        """Ask for the confirmation, or say why there is none to give."""
        refused = repairing.why_not(self.maildiag.session, self.finding, self.fix)
        if refused or self.busy:
            self.tell(f"cannot be applied: {refused}" if refused else "it is being applied", Tone.WARN)
            return
        wanted = repairing.to_type(self.finding, self.fix, self._host)
        self.confirm(f"risk {self.fix.risk}: type {wanted} and enter to apply", wanted, self._start)

    def _start(self) -> None:
        self.cancelled.clear()
        self.news = []
        session, fix, stop = self.maildiag.session, self.fix, self.cancelled
        change = Change(f"the fix {fix.id}", self.happened, self._fix_ended, stop)
        do = partial(repairing.applying, session, self.finding, fix, self.explains, stop)
        if self.start("applying", change, do):
            self.tell("applying; x stops between two steps and undoes")

    def _fix_ended(self, ending: Ending) -> None:
        self.maildiag.note(f"fix {self.fix.id}: {ending.text}")
        self._transaction = ending.transaction
        self.over(ending, "   u: undo" if ending.transaction else "")
        self.maildiag.look_again()

    def _undone(self, ending: Ending) -> None:
        self.maildiag.note(f"undo of {self.fix.id}: {ending.text}")
        self._transaction = "" if ending.good else self._transaction
        self.over(ending)
        self.maildiag.look_again()

    def action_undo(self) -> None:
        """Put back what this fix changed."""
        if self.busy or not self._transaction:
            self.tell("nothing was applied from here", Tone.WARN)
            return
        change = Change(f"the undo of {self.fix.id}", self.happened, self._undone)
        do = partial(repairing.undoing, self.maildiag.session, self._transaction)
        if self.start("undoing", change, do):
            self.tell("undoing: this is finished, whatever happens")

    def action_other(self, by: int) -> None:
        """The finding's next fix."""
        if not self.busy:
            self._number = (self._number + by) % len(self.finding.fixes)
            self.news = []
            self.update_board()
            self._load()

    def action_copy(self) -> None:
        """Copy the commands."""
        self.maildiag.copy("\n".join(typed.commands(self.fix)))


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
