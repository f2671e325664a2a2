"""`maildiag logs`: traffic, deferrals, bounces, refusals, logins and warnings of mail logs."""

from __future__ import annotations

import argparse
import gc
import os
import sys
from typing import TYPE_CHECKING

from maildiag.cli.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from maildiag.logs.rows import LogReport
    from maildiag.logs.source import Source

UNREADABLE = 1
_HANG = 8


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `maildiag logs`."""
    parser.add_argument(
        "files",
        nargs="*",
        metavar="FILE",
        help="log files, compressed or not, `-` for standard input; without any, this host's log or journal",
    )
    parser.add_argument(
        "--since", metavar="TIME", help="from here on: 2026-11-22, '2026-11-22 10:00', 10:00, or an age: 30m, 6h, 2d"
    )
    parser.add_argument("--until", metavar="TIME", help="up to here, written as for --since")
    parser.add_argument("--json", action="store_true", help="one JSON document (schema maildiag.logs/1)")
    parser.add_argument("--top", type=int, default=20, metavar="N", help="length of each table (0: no limit; 20)")
    parser.add_argument("--jobs", type=int, default=0, metavar="N", help="processes to read with (0: one per core)")
    parser.add_argument("--smtpd-stats", action="store_true", help="times of SMTP connections by hour and client")
    parser.add_argument("--no-cache", action="store_true", help="read files from the beginning and remember nothing")


def main(args: argparse.Namespace) -> int:
    """Print the report on standard output; 0, or 1 if nothing could be read."""
    from maildiag.logs.times import BadTimeError, local_now, moment

    gc.disable()  # the process ends before it would pay to look through a hundred thousand counts for cycles
    now = local_now()
    if args.top < 0 or args.jobs < 0:
        raise UsageError("--top and --jobs may not be negative")
    try:
        since = moment(args.since, now) if args.since else None
        until = moment(args.until, now) if args.until else None
    except BadTimeError as error:
        raise UsageError(str(error)) from error
    report = _report(args, now, since, until)
    if report is None:
        return UNREADABLE
    for line in _lines(report, as_json=args.json):
        print(line)
    return 0


def _report(
    args: argparse.Namespace, now: datetime, since: datetime | None, until: datetime | None
) -> LogReport | None:
    from maildiag.logs.read import Options, read_logs
    from maildiag.logs.report import make_report

    sources, missing = _sources(args.files)
    options = Options(now, since, until, args.jobs, sessions=args.smtpd_stats, remember=not args.no_cache)
    tally, errors = read_logs(sources, options)
    for error in (*missing, *errors):
        print(f"maildiag logs: {error}", file=sys.stderr)
    if not tally.lines and not tally.outside_window and (missing or errors):
        return None
    return make_report(
        tally, now, sources=[source.name for source in sources], errors=[*missing, *errors], top=args.top
    )


def _sources(names: list[str]) -> tuple[list[Source], list[str]]:
    from maildiag.logs.source import SourceError, default_source, source_of

    sources, errors = [], []
    try:
        if not names:
            return [default_source()], []
    except SourceError as error:
        return [], [str(error)]
    for name in names:
        try:
            sources.append(source_of(name))
        except SourceError as error:
            errors.append(str(error))
    return sources, errors


def _lines(report: LogReport, *, as_json: bool) -> Iterator[str]:
    from maildiag.cli.terminal import terminal_width
    from maildiag.logs.render import as_document, as_text
    from maildiag.text import hung

    if as_json:
        import json

        yield json.dumps(as_document(report), ensure_ascii=False, indent=1)
        return
    terminal = sys.stdout.isatty()
    colour = terminal and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    width = terminal_width()
    for line in as_text(report, width=width or 80, chart=terminal, colour=colour):
        yield line if "\x1b" in line else hung(line, width, _HANG)
