"""Tells a change under way at the terminal; shared by the commands of the guided repairs."""

from __future__ import annotations

from maildiag import registry
from maildiag.hosts.local import LocalHost
from maildiag.repair import words
from maildiag.repair.applying import Workshop
from maildiag.repair.carrying import Applied, Carried, Steps
from maildiag.repair.hand import Hand
from maildiag.repair.judging import Bench
from maildiag.repair.store import Store
from maildiag.settings import Settings


def workshop(settings: Settings | None = None) -> Workshop:
    """All that changing this machine needs."""
    host = LocalHost()
    return Workshop(hand=Hand(host), bench=Bench(host, registry.load(), settings or Settings()), store=Store())


def told(steps: Steps) -> Carried:
    """Print what happens and return how it ended; what did not end well is printed too."""
    while True:
        try:
            text = words.told(next(steps))
        except StopIteration as end:
            outcome: Carried = end.value
            if not isinstance(outcome, Applied):
                print(words.concluded(outcome))
            return outcome
        if text:
            print(text)
