"""Where maildiag keeps what outlives a run: the history of runs, and what an undo needs."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

SYSTEM = Path("/var/lib/maildiag")
VARIABLE = "MAILDIAG_STATE_DIR"
_NO_HOME = "/nonexistent"  # as Debian's nobody has it: whoever has no home keeps nothing, and is told so


def directory(environment: Mapping[str, str] | None = None) -> Path:
    """`$MAILDIAG_STATE_DIR`, `/var/lib/maildiag` for root, or the user's state directory (XDG base directories)."""
    given = os.environ if environment is None else environment
    if given.get(VARIABLE):
        return Path(given[VARIABLE])
    if os.geteuid() == 0:
        return SYSTEM
    base = given.get("XDG_STATE_HOME", "")
    return (Path(base) if base.startswith("/") else _home() / ".local" / "state") / "maildiag"


def _home() -> Path:
    try:
        return Path.home()
    except RuntimeError:
        return Path(_NO_HOME)
