"""The command line: one module per command, imported when it is asked for; arguments in, report out."""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence
from typing import NoReturn, Protocol

from maildiag import __version__

USAGE_ERROR = 64
INTERNAL_ERROR = 70
INTERRUPTED = 130

COMMANDS: dict[str, str] = {
    "run": "run the diagnostic workflow once and report",
    "fix": "show the fixes of the causes and apply them after a yes",
    "undo": "put back what a fix changed",
    "probe": "send a real test message and follow it",
    "trace": "everything the logs say of one queue id, Message-ID or address",
    "logs": "report on mail logs",
    "queue": "the queue, grouped; hold, release, requeue, flush, delete",
    "checks": "list what is checked",
    "explain": "the runbook page of a check or finding",
    "bundle": "record this host's evidence for support",
    "demo": "a recorded incident: no mail server needed",
    "config": "the effective settings and where each comes from",
    "history": "earlier runs and what changed",
}


class Command(Protocol):
    """What a command's module offers."""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare the command's arguments; import nothing heavy."""
        ...

    def main(self, args: argparse.Namespace) -> int:
        """Do it; the exit status."""
        ...


class Parser(argparse.ArgumentParser):
    """argparse with the contract's exit status for bad usage."""

    def error(self, message: str) -> NoReturn:
        """Say what is wrong on standard error and exit 64 (with `--format nagios`: on standard output and exit 3)."""
        if asks_for_nagios(sys.argv[1:]):
            print(f"MAILDIAG UNKNOWN - {self.prog}: {message}")
            raise SystemExit(3)
        self.print_usage(sys.stderr)
        print(f"{self.prog}: {message}", file=sys.stderr)
        raise SystemExit(USAGE_ERROR)


def asks_for_nagios(arguments: Sequence[str]) -> bool:
    """True where the caller is a monitoring system, which wants every error as one line and exit 3."""
    pairs = zip(arguments, [*arguments[1:], ""], strict=True)
    return any(one == "--format=nagios" or (one == "--format" and two == "nagios") for one, two in pairs)


def parser(command: str | None = None) -> Parser:
    """The parser; with `command`, only that one's module is imported for its arguments."""
    top = Parser(prog="maildiag", description="What is broken on a Postfix + Dovecot host, why, and what to type.")
    top.add_argument("--version", action="version", version=f"maildiag {__version__}")
    top.add_argument(
        "--allow-fix", action="store_true", help="start the TUI unlocked: fixes may be applied after confirmation"
    )
    commands = top.add_subparsers(dest="command", metavar="COMMAND", parser_class=Parser)
    for name, summary in COMMANDS.items():
        sub = commands.add_parser(name, help=summary, description=summary)
        if name == command:
            module(name).add_arguments(sub)
    return top


def module(name: str) -> Command:
    """The module of a command."""
    found: Command = importlib.import_module(f"maildiag.cli.{name}")
    return found


def main(arguments: Sequence[str]) -> int:
    """Run one command line and return the exit status."""
    name = next((each for each in arguments if not each.startswith("-")), None)
    args = parser(name if name in COMMANDS else None).parse_args(arguments)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    try:
        return module(args.command or "tui").main(args)
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        sys.stderr.close()
        return 0
