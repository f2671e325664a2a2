"""`maildiag` alone: the interactive screen, where there is a terminal for it."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from maildiag.cli.errors import UsageError

if TYPE_CHECKING:
    from maildiag.registry import Registry
    from maildiag.settings import Settings
    from maildiag.tui.diagnosing import Way

_HELP = """\
Without a terminal:
  maildiag run            diagnose this host and print a report
  maildiag run --json     the same as one JSON document
  maildiag demo --text    a recorded incident, no mail server needed
  maildiag --help         every command"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The screen's arguments are those of the program itself."""


def main(args: argparse.Namespace) -> int:
    """Start the screen on this machine."""
    from maildiag import config
    from maildiag.hosts.local import LocalHost

    refused = refusal()
    if refused:
        print(f"maildiag: {refused}\n{_HELP}", file=sys.stderr)
        return 64
    from maildiag import registry
    from maildiag.tui.diagnosing import Way

    settings = config.load(None).settings
    return start(Way(LocalHost), registry.load, settings, allow_fix=args.allow_fix, in_ascii=args.ascii)


def refusal() -> str:
    """Why the screen cannot be shown here; empty where it can."""
    from maildiag.tui import terminal

    return terminal.refusal(os.environ)


def start(
    way: Way, load: Callable[[], Registry], settings: Settings, *, allow_fix: bool = False, in_ascii: bool = False
) -> int:
    """Show the screen for a host until it is left; the exit status is that of the last report.

    The checks are loaded in a process of their own, where they also run, while this one loads the screen; not where there
    is only one processor, which the screen has for itself until it is there.
    """
    from maildiag.text import safe
    from maildiag.tui import terminal
    from maildiag.tui.beside import Beside
    from maildiag.tui.diagnosing import loaded

    host, beside = way.host(), Beside()
    try:
        if len(os.sched_getaffinity(0)) > 1:
            with contextlib.suppress(OSError):  # it is tried again with the first run
                beside.each(loaded, load, cancelled=threading.Event())
        terminal.prepare()
        from maildiag.tui.app import MaildiagApp
        from maildiag.tui.session import Session

        in_ascii = in_ascii or terminal.ascii_only(os.environ)
        app = MaildiagApp(Session(host, load, settings, allow_fix, in_ascii, beside, way))
        try:
            status = app.run() or 0
        finally:
            app.fleet.close()
        if app.farewell:
            print(safe(app.farewell))
        return status
    except ImportError as error:
        raise UsageError(
            "the interactive screen needs textual: install maildiag[tui], or use `maildiag run`"
        ) from error
    finally:
        beside.close()


def recorded(path: Path, in_ascii: bool = False) -> int:
    """Show the screen for a recorded incident; 0, for the demonstration worked."""
    from maildiag import registry
    from maildiag.hosts.bundle import BundleHost
    from maildiag.settings import Settings
    from maildiag.tui.diagnosing import Way

    start(Way(BundleHost, (path,)), registry.builtin, Settings(), in_ascii=in_ascii)
    return 0
