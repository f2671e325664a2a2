"""What stands beside the causes where there is room: who the host is, and every answer of the step under the cursor."""

from __future__ import annotations

from collections.abc import Iterator

from maildiag.model import HostInfo, Step
from maildiag.text import safe
from maildiag.tui.board import Board
from maildiag.tui.rows import Part, Row, Tone, caption, row, word
from maildiag.tui.views import fitted


def beside(board: Board, step: Step, width: int) -> list[Row]:
    """The host as the run found it, then the step's answers, worst first."""
    found = [caption("host"), *_host(board.host)] if board.host else []
    mine = sorted((each for each in board.findings if each.step is step), key=lambda each: -each.status.weight)
    found.append(caption(f"answers of step {step.number} {step}, slowest {board.step(step).took_s:.1f} s"))
    return [*found, *(row(each.key, " ", word(each.status), " ", fitted(each.title, width - 6)) for each in mine)]


def _host(info: HostInfo) -> Iterator[Row]:
    facts = (
        ("system", info.os),
        ("Postfix", info.postfix or "not installed"),
        ("Dovecot", info.dovecot or "not installed"),
        ("firewall", info.firewall or "none"),
        ("log", info.log_source or "none found"),
        ("seen as", "root" if info.privileged else "a user: some answers need root"),
    )
    for name, fact in facts:
        yield row(f"host:{name}", Part(f" {name:<9}", Tone.DIM), safe(fact))
