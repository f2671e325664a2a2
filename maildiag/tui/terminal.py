"""What the terminal must be before the application starts, and how it is given back when signals come."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping


def refusal(environment: Mapping[str, str]) -> str:
    """Why the application cannot start here; empty where it can.

    Textual draws on standard error, asks standard output for its size, and reads standard input: all must be terminals.
    """
    if not all(stream is not None and stream.isatty() for stream in (sys.stdin, sys.stdout, sys.stderr)):
        return "the interactive application needs a terminal; `maildiag run` reports without one"
    if environment.get("TERM", "") in ("", "dumb"):
        return "the terminal cannot position text (TERM is not set or dumb); use `maildiag run --plain`"
    return ""


def prepare() -> None:
    """Let resizes through (exported COLUMNS and LINES freeze the size), and switch animations off."""
    for name in ("COLUMNS", "LINES"):
        os.environ.pop(name, None)
    os.environ.setdefault("TEXTUAL_ANIMATIONS", "none")
