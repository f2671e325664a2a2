"""Arguments that several commands share, and the values that they stand for."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Iterable
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from maildiag.cli.errors import UsageError
from maildiag.cli.terminal import terminal_width
from maildiag.model import Role, Step
from maildiag.nearest import hint

if TYPE_CHECKING:
    from maildiag.hosts import Host
    from maildiag.registry import Check, Registry
    from maildiag.render import Look
    from maildiag.settings import Settings

E = TypeVar("E", bound=StrEnum)


def one_of(kind: type[E], what: str) -> Callable[[str], E]:
    """An argument type: a value of the enum, or an error that names the nearest one and all of them."""

    def read(word: str) -> E:
        try:
            return kind(word)
        except ValueError:
            known = [each.value for each in kind]
            message = f"unknown {what} {word!r}{hint(word, known)} (one of {', '.join(known)})"
            raise argparse.ArgumentTypeError(message) from None

    return read


def seconds(word: str) -> float:
    """An argument type: a positive number of seconds."""
    try:
        number = float(word)
    except ValueError:
        number = 0.0
    if not 0 < number < 86400:
        raise argparse.ArgumentTypeError(f"{word!r} is no number of seconds above 0 and below 86400")
    return number


def add_selection(parser: argparse.ArgumentParser) -> None:
    """Which checks, of which host, with which settings."""
    group = parser.add_argument_group("what is looked at")
    group.add_argument(
        "--step",
        action="append",
        default=[],
        type=one_of(Step, "step"),
        metavar="STEP",
        help=f"only this step; may be repeated: {', '.join(Step)}",
    )
    group.add_argument("--check", action="append", default=[], metavar="GLOB", help="only checks like 'queue.*'")
    group.add_argument("--role", type=one_of(Role, "role"), metavar="ROLE", help=f"force the role: {', '.join(Role)}")
    group.add_argument("--timeout", type=seconds, metavar="S", help="end the run after S seconds")
    group.add_argument("--bundle", type=Path, metavar="FILE", help="diagnose a recorded host, offline")
    group.add_argument(
        "--host", metavar="NAME", default="", help="diagnose a host of the configuration, or any SSH destination"
    )
    group.add_argument("--sudo", action="store_true", help="with --host: ask there as root, by sudo without a password")
    group.add_argument("--config", type=Path, metavar="FILE", help="read this configuration file as well")


def add_colour(parser: argparse.ArgumentParser) -> None:
    """When to use colours."""
    parser.add_argument("--color", choices=["auto", "always", "never"], default="auto", help="colours (default: auto)")


def settings(args: argparse.Namespace) -> Settings:
    """The settings of the files, overridden by the command line. Raises UsageError for a mistake in a file."""
    from dataclasses import replace

    from maildiag.config import load

    found = load(args.config).settings
    remote = next((each for each in found.hosts if each.name == getattr(args, "host", "")), None)
    if remote is not None:
        found = replace(found, role=remote.role)
    if getattr(args, "role", None) is not None:
        found = replace(found, role=args.role)
    if getattr(args, "timeout", None) is not None:
        found = replace(found, timeout=args.timeout)
    return found


def host(args: argparse.Namespace) -> Host:
    """The recorded host, or this machine. Raises UsageError for a file that is no bundle."""
    if args.bundle is not None:
        return recorded(args.bundle)
    if args.host:
        return _remote(args)
    from maildiag.hosts.local import LocalHost

    return LocalHost()


def _remote(args: argparse.Namespace) -> Host:
    from maildiag.hosts.ssh import SshHost

    configured = {each.name: each.ssh or each.name for each in settings(args).hosts}
    try:
        return SshHost(configured.get(args.host, args.host), args.host, args.sudo)
    except ValueError as error:
        raise UsageError(str(error)) from error
    except OSError as error:
        raise UsageError(f"ssh: {error.strerror or error}") from error


def recorded(path: Path) -> Host:
    """The host of a bundle. Raises UsageError for a file that is none."""
    from maildiag.hosts.bundle import BundleError, BundleHost

    try:
        return BundleHost(path)
    except BundleError as error:
        raise UsageError(str(error)) from error
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from error


def checks(args: argparse.Namespace, registry: Registry) -> list[Check]:
    """The chosen checks. Raises UsageError for a glob that matches none."""
    for pattern in args.check:
        if not registry.select((), [pattern]):
            raise UsageError(
                f"no check is like {pattern!r}{hint(pattern, registry.checks)} (maildiag checks lists them)"
            )
    chosen = registry.select(args.step, args.check)
    if not chosen and (args.step or args.check):
        raise UsageError(f"no check is both in {_words(args.step)} and like {_words(args.check)}")
    return chosen


def _words(words: Iterable[str]) -> str:
    return " or ".join(words)


def coloured(choice: str, terminal: bool) -> bool:
    """Whether to colour: the command line, then NO_COLOR (no-color.org), FORCE_COLOR, then whether it is a terminal."""
    if choice != "auto":
        return choice == "always"
    if os.environ.get("NO_COLOR"):
        return False
    if os.environ.get("FORCE_COLOR") or os.environ.get("CLICOLOR_FORCE", "0") not in ("", "0"):
        return True
    return terminal and os.environ.get("TERM", "dumb") != "dumb"


def look(choice: str, to_file: bool = False, timings: bool = False, everything: bool = False) -> Look:
    """How a text report on standard output is set: as wide as the terminal (40 to 120), 80 columns elsewhere."""
    from maildiag.render import Look

    terminal = not to_file and sys.stdout is not None and sys.stdout.isatty()
    return Look((terminal_width() if terminal else 0) or 80, coloured(choice, terminal), timings, everything)
