"""`maildiag demo`: the diagnosis of a recorded incident; no mail server, no root, no network."""

from __future__ import annotations

import argparse
import importlib.util
import sys
import tomllib
from pathlib import Path

from maildiag.cli import options, tui
from maildiag.cli.errors import UsageError
from maildiag.cli.terminal import terminal_width
from maildiag.nearest import hint
from maildiag.text import columns


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `demo`."""
    parser.add_argument("incident", nargs="?", metavar="INCIDENT", help="which one (default: the first that is broken)")
    parser.add_argument("--list", action="store_true", help="list the recorded incidents")
    parser.add_argument("--text", action="store_true", help="the text report, also on a terminal")
    options.add_colour(parser)


def main(args: argparse.Namespace) -> int:
    """Show the incident; the exit status is 0, for the demonstration worked."""
    from maildiag.resources import incidents

    recorded = incidents()
    if args.list:
        for line in columns(((name, story(path)) for name, path in recorded.items()), terminal_width()):
            print(line)
        return 0
    chosen = _chosen(args.incident, recorded)
    return (
        _report(chosen, args)
        if args.text or tui.refusal() or not _has_textual()
        else tui.recorded(chosen.parent, args.ascii)
    )


def _has_textual() -> bool:
    return importlib.util.find_spec("textual") is not None


def story(path: Path) -> str:
    """What the incident is about, in one line."""
    try:
        return str(tomllib.loads((path.parent / "fault.toml").read_text(encoding="utf-8"))["title"])
    except (OSError, ValueError, KeyError):
        return ""


def _chosen(name: str | None, recorded: dict[str, Path]) -> Path:
    if not recorded:
        raise UsageError("no recorded incident is installed")
    if name is None:
        broken = [path for each, path in recorded.items() if not each.startswith("healthy")]
        return next(iter([*broken, *recorded.values()]))
    if name not in recorded:
        raise UsageError(f"there is no incident {name!r}{hint(name, recorded)} (one of {', '.join(recorded)})")
    return recorded[name]


def _report(path: Path, args: argparse.Namespace) -> int:
    from maildiag import engine, registry
    from maildiag.render import Format, render
    from maildiag.settings import Settings

    told = story(path)
    if told:
        print(f"Recorded incident {path.parent.name}:\n{told}\n", file=sys.stderr)
    report = engine.report(options.recorded(path.parent), registry.builtin(), Settings())
    print(render(report, Format.TEXT, options.look(args.color)), end="")
    return 0
