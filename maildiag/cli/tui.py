"""`maildiag` alone: the interactive screen, where there is a terminal for it."""

from __future__ import annotations

import argparse
import importlib
import os
import sys

from maildiag.cli.errors import UsageError

_HELP = """\
maildiag needs a terminal for its interactive screen. Without one:
  maildiag run            diagnose this host and print a report
  maildiag run --json     the same as one JSON document
  maildiag demo           a recorded incident, no mail server needed
  maildiag --help         every command"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The screen's arguments are those of the program itself."""


def main(args: argparse.Namespace) -> int:
    """Start the screen. Textual draws on stderr and asks stdout for its size, so all three must be terminals."""
    terminals = all(stream is not None and stream.isatty() for stream in (sys.stdin, sys.stdout, sys.stderr))
    if not terminals or os.environ.get("TERM", "") in ("", "dumb"):
        print(_HELP, file=sys.stderr)
        return 64
    try:
        import textual  # noqa: F401
    except ImportError as error:
        raise UsageError(
            "the interactive screen needs textual: install maildiag[tui], or use `maildiag run`"
        ) from error
    status: int = importlib.import_module("maildiag.tui.app").main(args)
    return status
