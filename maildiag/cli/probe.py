"""`maildiag probe`: send a real test message and follow it, hop by hop, until it is seen in the mailbox."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from maildiag.cli import options
from maildiag.cli.errors import UsageError
from maildiag.cli.terminal import terminal_width

if TYPE_CHECKING:
    from maildiag.probing.journey import Hop
    from maildiag.probing.submit import Credentials
    from maildiag.report import Report


_NO_CAUSE = "no check finds a cause; what the hop that failed says is all that is known"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `probe`."""
    parser.add_argument(
        "--to",
        default="",
        metavar="USER",
        help="a user of this host, or an address (default: probe mailbox of the configuration, or you)",
    )
    parser.add_argument(
        "--from", dest="sender", default="", metavar="ADDRESS", help="envelope sender (default: the recipient)"
    )
    parser.add_argument(
        "--via",
        choices=["sendmail", "smtp", "submission"],
        help="how to hand it in (default: as users of this host do)",
    )
    parser.add_argument("--user", default="", help="user for submission and IMAP")
    parser.add_argument(
        "--password-file", type=Path, metavar="FILE", help="file whose first line is that user's password"
    )
    parser.add_argument(
        "--imap", default="", metavar="HOST", help="look for the message over IMAP on this host (with --user)"
    )
    parser.add_argument("--config", type=Path, metavar="FILE", help="read this configuration file as well")
    parser.add_argument(
        "--wait", type=float, default=60.0, metavar="S", help="seconds to wait for the message (default: 60)"
    )
    parser.add_argument("--json", action="store_true", help="one JSON document on standard output")


def main(args: argparse.Namespace) -> int:
    """Send, follow, tell; exit 0 when the message was seen, 2 when a hop failed, 3 when it could not be watched to the end."""
    from maildiag import engine, registry
    from maildiag.hosts.local import LocalHost
    from maildiag.probing import message as messages
    from maildiag.probing.journey import Outcome, travel
    from maildiag.probing.planning import addresses, route
    from maildiag.probing.submit import Way

    settings = options.settings(args)
    found = registry.load()
    host = engine.report(LocalHost(), found, settings, [])
    try:
        credentials = _credentials(args)
        names = addresses(args.to or settings.probe_mailbox, args.sender, host.host.name)
        sent = messages.make(*names, host.started.astimezone())
    except (OSError, ValueError) as error:
        raise UsageError(str(error)) from error
    hops: list[Hop] = []
    way = Way(args.via) if args.via else None
    for hop in travel(sent, route(host.host, sent.recipient, credentials, way, args.imap), args.wait):
        hops.append(hop)
        if not args.json:
            _print(hop)
    failed = any(each.outcome is Outcome.FAILED and each.name != "clean up" for each in hops)
    why = engine.report(LocalHost(), found, settings) if failed else None
    _close(args, hops, why)
    return 2 if failed else 3 if any(each.outcome is Outcome.NOT_LOOKED for each in hops) else 0


def _credentials(args: argparse.Namespace) -> Credentials | None:
    from maildiag.probing.submit import Credentials

    if not args.password_file:
        return None
    if not args.user:
        raise ValueError("--password-file needs --user")
    lines = args.password_file.read_text(encoding="utf-8").splitlines()
    return Credentials(args.user, lines[0] if lines else "")


def _print(hop: Hop) -> None:
    from maildiag.text import hung, safe

    width, indent = terminal_width(), " " * 17
    told = f"{hop.outcome.value:<5}{hop.seconds:7.2f} s  {hop.name:<9} {safe(hop.detail)}"
    for line in (told, *(f"{indent}{safe(each)}" for each in hop.evidence)):
        print(hung(line, width, len(indent) + 2), flush=True)


def _close(args: argparse.Namespace, hops: list[Hop], why: Report | None) -> None:
    from maildiag.text import hung, safe

    if args.json:
        told = [
            {
                "name": each.name,
                "outcome": each.outcome.name.lower(),
                "seconds": round(each.seconds, 3),
                "detail": safe(each.detail),
                "evidence": [safe(line) for line in each.evidence],
            }
            for each in hops
        ]
        json.dump(
            {"schema": "maildiag.probe/1", "hops": told, "diagnosis": why.diagnosis.headline if why else ""},
            sys.stdout,
            indent=2,
        )
        print()
    elif why is not None:
        print()
        cause = why.diagnosis.headline if why.diagnosis.causes else _NO_CAUSE
        print(hung(f"Diagnosis of this host: {cause}", terminal_width(), 2))
