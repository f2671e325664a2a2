"""The command line: one module per command, imported when it is asked for; arguments in, report out."""

from __future__ import annotations

import argparse
import importlib
import itertools
import os
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, NoReturn, Protocol

from maildiag import __version__
from maildiag.cli.errors import OutputError, UsageError
from maildiag.cli.terminal import terminal_width

if TYPE_CHECKING:
    from _typeshed import SupportsWrite

NAGIOS_UNKNOWN = 3
USAGE_ERROR = 64
INTERNAL_ERROR = 70
INTERRUPTED = 130

COMMANDS: dict[str, str] = {
    "run": "run the diagnostic workflow once and report",
    "fix": "show the fixes of the causes and apply them after a yes",
    "undo": "put back what a fix changed",
    "debug-peer": "verbose logging for one peer or domain, which switches itself off again",
    "emergency": "the emergency procedure, step by step",
    "backup-config": "both configurations in one archive, secrets included",
    "probe": "send a real test message and follow it",
    "trace": "everything the logs say of one queue id, Message-ID or address",
    "logs": "report on mail logs",
    "queue": "the queue, grouped; hold, release, requeue, flush, delete",
    "checks": "list what is checked",
    "explain": "the runbook page of a check or finding",
    "bundle": "record this host's evidence for support",
    "demo": "a recorded incident: no mail server needed",
    "config": "the effective settings and where each comes from",
    "answer": "answer a maildiag that diagnoses this host over SSH",
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


class _Help(argparse.HelpFormatter):
    """Help as wide as the terminal; argparse itself imports `shutil` for that, with every unpacker, for each argument."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, width=(terminal_width() or 80) - 2)


class Parser(argparse.ArgumentParser):
    """argparse with the contract's exit status for bad usage; options are written out, never abbreviated.

    `typed` are the words that this parser is given.
    """

    typed: Sequence[str] = ()

    def error(self, message: str) -> NoReturn:
        """Say what is wrong and exit 64 (with `--format nagios`: on standard output and exit 3).

        An option that is not known goes first: what follows it was taken for an argument, and the complaint may be of that.
        """
        told = self._unknown_option() or message
        raise SystemExit(complain(USAGE_ERROR, self.prog, f"{told} (see {self.prog} --help)"))

    def _unknown_option(self) -> str:
        """What to say of the first typed option that there is not, with the nearest one; empty where all are known."""
        options = itertools.takewhile(lambda word: word != "--", self.typed)
        return next((self.not_understood(word) for word in options if self._is_unknown(word)), "")

    def _is_unknown(self, word: str) -> bool:
        """By argparse's own rules, "-", "-5" and "-a b" are arguments; `-oFILE` is `-o FILE`."""
        if not word.startswith("-") or " " in word or word[1:2].isdigit() or word == "-":
            return False
        name = word.partition("=")[0] if word.startswith("--") else word[:2]
        return name not in self._option_string_actions

    def not_understood(self, word: str) -> str:
        """What to say of a word that is no argument here, with the nearest option."""
        from maildiag.nearest import hint

        return f"{word!r} is not understood{hint(word.partition('=')[0], self.options())}"

    def print_help(self, file: SupportsWrite[str] | None = None) -> None:
        """The page of help; a monitoring system gets a line (monitoring-plugins.org, guidelines, 2.6 and 2.7)."""
        if asks_for_nagios(sys.argv[1:]):
            raise SystemExit(complain(0, self.prog, " ".join(self.format_usage().split())))
        super().print_help(file)

    def options(self) -> list[str]:
        """Every long option."""
        return [each for action in self._actions for each in action.option_strings if each.startswith("--")]


class _Version(argparse.Action):
    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> NoReturn:
        told = f"maildiag {__version__}"
        if asks_for_nagios(sys.argv[1:]):
            raise SystemExit(complain(0, told, "the version was asked for"))
        print(told)
        raise SystemExit(0)


def asks_for_nagios(arguments: Sequence[str]) -> bool:
    """True where the caller is a monitoring system, which wants every error as one line and exit 3."""
    pairs = zip(arguments, [*arguments[1:], ""], strict=False)
    return any(one == "--format=nagios" or (one == "--format" and two == "nagios") for one, two in pairs)


def complain(status: int, who: str, message: str) -> int:
    """Tell an error in one line where the caller looks for it; the exit status that the caller expects."""
    from maildiag.text import safe

    line = safe(message.replace("\n", "; "))
    if asks_for_nagios(sys.argv[1:]):
        from maildiag.render.nagios import error_line

        print(error_line(f"{who}: {line}"), flush=True)
        return NAGIOS_UNKNOWN
    print(f"{who}: {line}", file=sys.stderr)
    return status


def parser(command: str | None = None, known: Iterable[str] = COMMANDS, typed: Sequence[str] = ()) -> Parser:
    """The parser of the `known` commands; with `command`, only that one's module is imported for its arguments.

    `typed` is the command line behind the command, for what is said of a mistake in it.
    """
    top = Parser(
        prog="maildiag",
        description="What is broken on a Postfix + Dovecot host, why, and what to type. "
        "Without a command: the interactive screen.",
        allow_abbrev=False,
        formatter_class=_Help,
    )
    top.add_argument("--version", action=_Version, nargs=0, help="show the version and exit")
    top.add_argument(
        "--allow-fix", action="store_true", help="start the screen unlocked: fixes may be applied after confirmation"
    )
    top.add_argument("--ascii", action="store_true", help="draw the screen with ASCII alone (also MAILDIAG_ASCII=1)")
    commands = top.add_subparsers(dest="command", metavar="COMMAND", parser_class=Parser, prog="maildiag")
    for name in known:
        summary = COMMANDS[name]
        sub = commands.add_parser(name, help=summary, description=summary, allow_abbrev=False, formatter_class=_Help)
        if name == command:
            module(name).add_arguments(sub)
            sub.add_argument("--version", action=_Version, nargs=0, help=argparse.SUPPRESS)
            sub.set_defaults(parser=sub)
            sub.typed = typed
    return top


def module(name: str) -> Command:
    """The module of a command."""
    found: Command = importlib.import_module(f"maildiag.cli.{name.replace('-', '_')}")
    return found


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """The arguments as a namespace; a mistyped command or option is answered with the nearest one."""
    from maildiag.nearest import hint

    before = list(itertools.takewhile(lambda each: each.startswith("-"), arguments))
    name, behind = next(iter(arguments[len(before) :]), None), arguments[len(before) + 1 :]
    top = parser(name if name in COMMANDS else None, [name] if name in COMMANDS and not before else COMMANDS, behind)
    top.typed = before
    if name is not None and name not in COMMANDS:
        top.error(f"there is no command {name!r}{hint(name, COMMANDS)}")
    args, unknown = top.parse_known_args(arguments)
    if unknown:
        mine: Parser = top if unknown[0] in before else getattr(args, "parser", top)
        mine.error(mine.not_understood(unknown[0]))
    return args


def main(arguments: Sequence[str]) -> int:
    """Run one command line and return the exit status."""
    _open_streams()
    try:
        args = parse(arguments)
        status = module(args.command or "tui").main(args)
        _flush()
    except KeyboardInterrupt:
        return complain(INTERRUPTED, _who(arguments), "interrupted") if asks_for_nagios(arguments) else INTERRUPTED
    except BrokenPipeError:
        _drop_output()
        return 0
    except UsageError as error:
        return complain(USAGE_ERROR, _who(arguments), str(error))
    except OutputError as error:
        _drop_output()
        return complain(INTERNAL_ERROR, _who(arguments), str(error))
    except Exception as error:
        if os.environ.get("MAILDIAG_DEBUG"):
            raise
        what = f"internal error: {type(error).__name__}: {error} (MAILDIAG_DEBUG=1 shows where; please report it)"
        return complain(INTERNAL_ERROR, _who(arguments), what)
    return status


def _who(arguments: Sequence[str]) -> str:
    name = next((each for each in arguments if each in COMMANDS), "")
    return f"maildiag {name}".strip()


def _open_streams() -> None:
    """A closed standard stream would lend its number to the next file that is opened, and text would land in it."""
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w")  # noqa: PTH123, SIM115 (a stream for the life of the process)


def _flush() -> None:
    """What was printed must have arrived before the exit status says so."""
    if sys.stdout is None:
        return
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OutputError(f"standard output: {error.strerror}") from error


def _drop_output() -> None:
    """Nobody reads standard output any more: what is still buffered must not fail again at exit."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.close(nowhere)
