"""What a screen may ask of the application: the board, the session, where keys lead, and a change of the host."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from maildiag.model import Finding, Step
from maildiag.repair.journal import Transaction
from maildiag.tui.board import Board
from maildiag.tui.fleet import Fleet
from maildiag.tui.record import Note
from maildiag.tui.session import Session
from maildiag.tui.underway import Change, Doing


class Guide(Protocol):
    """The application as the screens see it; they know nothing else of it, and it knows them."""

    session: Session
    board: Board
    fleet: Fleet
    notes: list[Note]

    @property
    def host_name(self) -> str:
        """What has to be typed where the host's name is asked for."""
        ...

    def say(self, message: str) -> None:
        """A short notice."""

    def copy(self, text: str) -> None:
        """Copy, and say where it went."""

    def note(self, text: str, step: Step | None = None) -> None:
        """Keep it for the incident record."""

    def start_run(self, step: Step | None = None) -> None:
        """Run everything or one step."""

    def look_again(self) -> None:
        """Run everything after a change."""

    def begin(self, change: Change, do: Callable[[], Doing]) -> bool:
        """Change the host; False where a change is under way."""
        ...

    def action_cancel(self) -> None:
        """End what is under way."""

    def action_leave(self) -> None:
        """Quit."""

    def open_walk(self, step: Step) -> None:
        """The guided mode at this step."""

    def open_finding(self, key: str) -> None:
        """One finding."""

    def open_fix(self, finding: Finding, *, apply: bool) -> None:
        """The fixes of a finding."""

    def open_trace(self, key: str) -> None:
        """What the log says of a message."""

    def open_logs(self, words: str = "") -> None:
        """The mail log."""

    def open_deed(self, done: Transaction) -> None:
        """One change of this host."""

    def open_guided(self, name: str) -> None:
        """One of the guided repairs."""

    def go_to(self, key: str) -> None:
        """Diagnose another host."""

    def look_at(self, key: str) -> None:
        """Run everything on a host without going there."""
