"""Keeps the event loop going round while threads work: short turns for each thread, and rubbish collected in small heaps."""

from __future__ import annotations

import gc
import sys
from dataclasses import field

from maildiag.records import dataclass

_TURN_S = 0.001
# A collection of the oldest generation looks at every object there is: 0.1 s with a queue of 100,000 messages in memory.
_RARELY = (10_000, 20, 1_000)


@dataclass(slots=True)
class Smooth:
    """What was set before, to be put back."""

    turn_s: float = field(default_factory=sys.getswitchinterval)
    thresholds: tuple[int, int, int] = field(default_factory=gc.get_threshold)

    def begin(self) -> None:
        """Set it for a screen."""
        sys.setswitchinterval(_TURN_S)
        gc.set_threshold(*_RARELY)

    def end(self) -> None:
        """Put it back."""
        sys.setswitchinterval(self.turn_s)
        gc.set_threshold(*self.thresholds)
