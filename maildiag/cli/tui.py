"""`maildiag` alone: the interactive screen, where there is a terminal for it."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from maildiag.cli.errors import UsageError

if TYPE_CHECKING:
    from maildiag.hosts import Host
    from maildiag.registry import Registry
    from maildiag.settings import Settings

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

    settings = config.load(None).settings
    return start(LocalHost(), registry.load, settings, allow_fix=args.allow_fix, in_ascii=args.ascii)


def refusal() -> str:
    """Why the screen cannot be shown here; empty where it can."""
    from maildiag.tui import terminal

    return terminal.refusal(os.environ)


def start(
    host: Host, load: Callable[[], Registry], settings: Settings, *, allow_fix: bool = False, in_ascii: bool = False
) -> int:
    """Show the screen for a host until it is left; the exit status is that of the last report."""
    from maildiag.tui import terminal

    terminal.prepare()
    in_ascii = in_ascii or terminal.ascii_only(os.environ)
    try:
        from maildiag.tui.app import MaildiagApp
    except ImportError as error:
        raise UsageError(
            "the interactive screen needs textual: install maildiag[tui], or use `maildiag run`"
        ) from error
    from maildiag.tui.session import Session

    app = MaildiagApp(Session(host, load, settings, allow_fix, in_ascii))
    try:
        return app.run() or 0
    finally:
        app.fleet.close()


def recorded(path: Path, in_ascii: bool = False) -> int:
    """Show the screen for a recorded incident; 0, for the demonstration worked."""
    from maildiag import registry
    from maildiag.hosts.bundle import BundleHost
    from maildiag.settings import Settings

    start(BundleHost(path), registry.builtin, Settings(), in_ascii=in_ascii)
    return 0
