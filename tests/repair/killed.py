"""Applies (or undoes) a fix in a process of its own that tells each step it reaches and waits there to be killed."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from maildiag.repair.applying import Consent, apply
from maildiag.repair.events import RepairEvent
from maildiag.repair.undo import undo
from tests.repair.scenes import SCENES


def main(what: str, scene: str, root: Path, stop_at: int) -> int:
    """Print each event's name; at number `stop_at` wait for ever."""
    for number, event in enumerate(_steps(what, scene, root)):
        print(type(event).__name__, flush=True)
        if number == stop_at:
            sys.stdin.read()
    return 0


def _steps(what: str, scene: str, root: Path) -> Iterator[RepairEvent]:
    here, fix = SCENES[scene](root)
    if what == "apply":
        return apply(here.cure(fix), here.shop, Consent.CONFIRMED)
    newest = here.shop.store.transactions()[0]
    return undo(newest, here.shop.hand, here.shop.store)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2], Path(sys.argv[3]), int(sys.argv[4])))
