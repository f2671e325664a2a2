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
    """Let resizes through (exported COLUMNS and LINES freeze the size), switch animations off, choose the colours.

    Textual reads these when it is imported.
    """
    for name in ("COLUMNS", "LINES"):
        os.environ.pop(name, None)
    os.environ.setdefault("TEXTUAL_ANIMATIONS", "none")
    os.environ.setdefault("TEXTUAL_THEME", theme(os.environ))


def theme(environment: Mapping[str, str]) -> str:
    """Our own colours where the terminal has 256 of them; its own sixteen where it has not, or none are wanted."""
    many = environment.get("COLORTERM") in ("truecolor", "24bit") or "256color" in environment.get("TERM", "")
    return "maildiag-dark" if many and not environment.get("NO_COLOR") else "ansi-dark"


def ascii_only(environment: Mapping[str, str]) -> bool:
    """True for a terminal that does not speak UTF-8, as far as the locale tells, and for the Linux console's small font.

    Python itself writes UTF-8 in the C locale (PEP 540), so its streams' encoding says nothing about the terminal.
    """
    asked = environment.get("MAILDIAG_ASCII", "")
    if asked:
        return asked != "0"
    locale = next((environment[each] for each in ("LC_ALL", "LC_CTYPE", "LANG") if environment.get(each)), "")
    return "utf" not in locale.lower() or environment.get("TERM", "") == "linux"
