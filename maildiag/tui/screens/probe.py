"""A test message on its way: sent after a yes, and watched hop by hop."""

from __future__ import annotations

from typing import ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.widgets import Input

from maildiag.hosts.local import LocalHost
from maildiag.model import HostInfo
from maildiag.probing.journey import Hop, Outcome, travel
from maildiag.probing.message import make
from maildiag.probing.planning import addresses, route
from maildiag.text import safe
from maildiag.tui.rowlist import RowList
from maildiag.tui.rows import Part, Row, Tone, lines, row
from maildiag.tui.screens.base import Place

_TONES = {Outcome.DONE: Tone.GOOD, Outcome.FAILED: Tone.BAD, Outcome.NOT_LOOKED: Tone.ASK}


class ProbeScreen(Place):
    """Asks to whom, sends, and shows each hop as it is seen."""

    place = "Probe"
    about = "A real message, sent as users of this host send one, and followed hop by hop into the mailbox. It is the proof that mail works."
    BINDINGS: ClassVar[list[BindingType]] = [Binding("s", "ask", "Send", id="probe.send")]

    def __init__(self) -> None:
        super().__init__()
        self._rows: list[Row] = [
            row("what", " s sends a real test message as users of this host do, and follows it to the mailbox.")
        ]
        self._under_way = False

    def body(self) -> ComposeResult:
        """The hops, and the line for the recipient."""
        yield RowList(id="lines", marked=False)
        yield Input(
            id="recipient", placeholder="recipient: a user of this host, or an address; enter sends, esc does not"
        )

    def opened(self) -> None:
        """Called once, when the screen is there."""
        self.focus_on("#lines")
        self.query_one("#lines", RowList).fold(True)

    def refresh_rows(self) -> None:
        """The hops so far."""
        self.query_one("#lines", RowList).show(self._rows)

    def action_ask(self) -> None:
        """Ask for the recipient; in read-only mode say that sending is a change."""
        refused = self._refusal()
        if refused:
            self._add(row("refused", Part(f" not sent: {refused}", Tone.WARN)))
            return
        field = self.query_one("#recipient", Input)
        field.value = self.maildiag.session.settings.probe_mailbox
        field.display = True
        field.focus()

    def _refusal(self) -> str:
        session = self.maildiag.session
        if session.recorded or not isinstance(session.host, LocalHost):
            return "only on the host itself"
        if self._under_way:
            return "one is on its way"
        return "" if session.allow_fix else "read-only: U unlocks"

    @on(Input.Submitted, "#recipient")
    def send(self, event: Input.Submitted) -> None:
        """Send to this recipient."""
        self._leave_field()
        host = self.board.host
        if host is None or self._refusal():
            self._add(row("wait", Part(" not sent: wait for the end of the first run", Tone.WARN)))
            return
        self._under_way = True
        self._rows = []
        self._travel(event.value.strip(), host)

    @work(thread=True, exclusive=True, group="probe", description="probe", exit_on_error=False)
    def _travel(self, to: str, host: HostInfo) -> None:
        from datetime import UTC, datetime

        try:
            message = make(*addresses(to, "", host.name), datetime.now(UTC).astimezone())
        except ValueError as error:
            self.from_thread(self._add, row("bad", Part(f" not sent: {safe(str(error))}", Tone.WARN)))
        else:
            for hop in travel(message, route(host, message.recipient)):
                self.from_thread(self._hop, hop)
        self._under_way = False

    def _hop(self, hop: Hop) -> None:
        number = len(self._rows)
        parts = (
            Part(f" {hop.outcome.value:<5}", _TONES[hop.outcome]),
            f"{hop.seconds:6.2f} s  {hop.name:<9}",
            f" {safe(hop.detail)}",
        )
        self._add(row(f"hop:{number}", *parts))
        for line in hop.evidence:
            for each in lines(f"hop:{number}:line", line, Tone.DIM, "                  "):
                self._add(each)

    def _add(self, added: Row) -> None:
        self._rows.append(added)
        if self.is_attached:
            self.refresh_rows()

    def _leave_field(self) -> None:
        self.query_one("#recipient", Input).display = False
        self.focus_on("#lines")

    def action_back(self) -> None:
        """Leave the field, then the screen."""
        if self.query_one("#recipient", Input).display:
            self._leave_field()
        else:
            super().action_back()
