"""`maildiag run`: the workflow once, reported in one of the formats."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `run`."""
    parser.add_argument("--json", action="store_true", help="the same as --format json")
    parser.add_argument("--format", choices=["text", "json"], default="text")
    parser.add_argument("--step", action="append", default=[])
    parser.add_argument("--check", action="append", default=[], metavar="GLOB")
    parser.add_argument("--bundle", type=Path, metavar="FILE")


def main(args: argparse.Namespace) -> int:
    """Run and report; the exit status is that of the worst finding."""
    from maildiag import engine, registry
    from maildiag.document import document
    from maildiag.hosts import Host
    from maildiag.hosts.bundle import BundleHost
    from maildiag.hosts.local import LocalHost
    from maildiag.report import exit_status
    from maildiag.settings import Settings

    host: Host = BundleHost(args.bundle) if args.bundle else LocalHost()
    found = registry.load()
    report = engine.report(host, found, Settings(), found.select(args.step, args.check))
    json.dump(document(report), sys.stdout, indent=2)
    print()
    return exit_status(report.status)
