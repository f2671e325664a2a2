"""`maildiag fix`: shows the fixes of the ranked causes, asks, applies one at a time, verifies, and undoes what does not cure."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from maildiag.cli import options
from maildiag.cli.errors import UsageError
from maildiag.model import Role
from maildiag.nearest import hint

if TYPE_CHECKING:
    from maildiag.cli.fixing import Fixing


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `fix`."""
    parser.add_argument("finding", nargs="*", metavar="FINDING", help="only these findings (or fixes), by id")
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--yes", action="store_true", help="ask nothing: apply the automatic fixes of all causes in order")
    how.add_argument("--dry-run", action="store_true", help="show everything, change nothing")
    how.add_argument(
        "--confirm",
        metavar="FIX",
        help="ask nothing: apply this one fix, named by its id, also where it is not automatic",
    )
    parser.add_argument("--json", action="store_true", help="what was done and what is left, as one JSON document")
    parser.add_argument("--role", type=options.one_of(Role, "role"), metavar="ROLE", help="force the role")
    parser.add_argument("--timeout", type=options.seconds, metavar="S", help="end each diagnosis after S seconds")
    parser.add_argument("--config", type=Path, metavar="FILE", help="read this configuration file as well")


def main(args: argparse.Namespace) -> int:
    """Diagnose, show, ask, apply; the exit status is that of the state it leaves."""
    from maildiag.cli import fixing
    from maildiag.report import exit_status

    session = fixing.Fixing(options.settings(args), wanted=tuple(args.finding), quiet=args.json)
    _refuse_unknown_names(args, session)
    with session.interruptible():
        _go(args, session)
        report = session.report()
    if args.json:
        json.dump(_document(session), sys.stdout, indent=2)
        print()
    else:
        session.tell_the_rest(changed=bool(session.attempts))
    return 130 if session.cancelled else exit_status(report.status)


def _go(args: argparse.Namespace, session: Fixing) -> None:
    if args.confirm:
        session.apply_named(args.confirm)
    elif args.yes:
        session.apply_automatic()
    elif args.dry_run or args.json:
        session.show_all()
    else:
        session.offer()


def _refuse_unknown_names(args: argparse.Namespace, session: Fixing) -> None:
    from maildiag.repair.planning import names, unknown_names

    for each in unknown_names(session.report(), [*args.finding, *([args.confirm] if args.confirm else [])]):
        raise UsageError(f"no finding or fix here is called {each!r}{hint(each, names(session.report()))}")


def _document(session: Fixing) -> dict[str, Any]:
    from maildiag.document import document

    report = document(session.report())
    return {
        "schema": "maildiag.fix/1",
        "tool": report["tool"],
        "status": report["status"],
        "attempts": [each.document() for each in session.attempts],
        "causes": report["diagnosis"]["causes"],
        "fixes": report["fixes"],
        "report": report,
    }
