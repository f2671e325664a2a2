"""What fixes did on this host lately, as the incident record tells it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from maildiag.records import dataclass

if TYPE_CHECKING:
    from maildiag.repair.journal import Transaction

LATELY = timedelta(hours=24)


@dataclass(frozen=True, slots=True)
class Deed:
    """One fix: when it began (UTC), what it was for, how it ended, and the name that takes it back."""

    at: datetime
    title: str
    finding: str
    end: str
    id: str


def lately(transactions: Iterable[Transaction], now: datetime) -> tuple[Deed, ...]:
    """The fixes of the last 24 hours, oldest first; those that were cut off before anything was done are left out."""
    from maildiag.repair.journal import State

    recent = [each for each in transactions if each.began.at > now - LATELY and each.state is not State.NOTHING_DONE]
    return tuple(_deed(each) for each in sorted(recent, key=lambda each: each.began.at))


def _deed(done: Transaction) -> Deed:
    outcome = f" ({_words(done.ended.outcome)})" if done.ended else ""
    title = done.began.fix.title or done.began.title
    return Deed(done.began.at, title, done.began.finding or done.began.fix.id, f"{done.state}{outcome}", done.id)


def _words(name: str) -> str:
    """The name of an outcome's type as words: `NotCured` is "not cured"."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).lower()
