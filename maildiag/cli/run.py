"""`maildiag run`: the workflow once, reported in one of the formats."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, TextIO

from maildiag.cli import options
from maildiag.cli.errors import UsageError
from maildiag.model import Status
from maildiag.render import Format

if TYPE_CHECKING:
    from maildiag.events import Event
    from maildiag.render.deeds import Deed
    from maildiag.report import Report

_FAIL_ON = (Status.NOTICE, Status.WARNING, Status.CRITICAL)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `run`."""
    form = parser.add_argument_group("how it is reported")
    form.add_argument("--json", action="store_true", help="the same as --format json")
    form.add_argument(
        "--format",
        type=options.one_of(Format, "format"),
        metavar="FORMAT",
        help=f"{', '.join(Format)} (default: text)",
    )
    form.add_argument("-o", "--output", type=Path, metavar="FILE", help="write to FILE, whole or not at all")
    form.add_argument(
        "--fail-on",
        type=_status,
        default=Status.WARNING,
        metavar="STATUS",
        help="the mildest status that makes the exit status other than 0: notice, warning (default), critical",
    )
    form.add_argument("-v", "--verbose", action="store_true", help="tell every finding, the fine ones too")
    form.add_argument("--timings", action="store_true", help="tell how long each probe took")
    form.add_argument("--plain", action="store_true", help="only append text, for screen readers and logs")
    form.add_argument("--no-history", action="store_true", help="do not keep this run for maildiag history")
    options.add_selection(parser)
    options.add_colour(parser)


def _status(word: str) -> Status:
    found = options.one_of(Status, "status")(word)
    if found not in _FAIL_ON:
        raise argparse.ArgumentTypeError(f"{word!r} is none of {', '.join(_FAIL_ON)}")
    return found


def main(args: argparse.Namespace) -> int:
    """Run and report; the exit status is that of the worst finding, or 130 where the run was interrupted."""
    from maildiag.cli.output import result

    form = _format(args)
    with _interruptible() as cut, result(args.output) as out:
        report = _observe(args, form, cut, out)
        status = _exit_status(report, args.fail_on, cut)
        if form is not Format.JSONL:
            from maildiag.render import render

            colour = "never" if args.plain else args.color
            to_file = args.output is not None
            look = options.look(colour, to_file, args.timings, args.verbose)
            out.write(render(report, form, replace(look, done=_done(args, form, report), fail_on=args.fail_on)))
        out.flush()
    _remember(args, report)
    return 3 if form is Format.NAGIOS and not report.complete else status


def _done(args: argparse.Namespace, form: Format, report: Report) -> tuple[Deed, ...]:
    """What fixes did on this host lately, for the incident record; nothing where it cannot be read."""
    if form is not Format.MARKDOWN or args.bundle is not None or args.host:
        return ()
    from maildiag.render.deeds import lately
    from maildiag.repair.store import Store

    try:
        return lately(Store().transactions(), report.started)
    except OSError:
        return ()


def _format(args: argparse.Namespace) -> Format:
    if args.json and args.format not in (None, Format.JSON):
        raise UsageError(f"--json and --format {args.format} exclude each other")
    return Format.JSON if args.json else args.format or Format.TEXT


def _observe(args: argparse.Namespace, form: Format, cut: Cut, out: TextIO) -> Report:
    """Run to the end, with progress on standard error; jsonl is written as things happen."""
    from maildiag import engine, registry
    from maildiag.cli.progress import Progress
    from maildiag.events import RunFinished

    settings = options.settings(args)
    host = options.host(args)
    found = registry.load()
    chosen = options.checks(args, found)
    plain = args.plain or bool(os.environ.get("MAILDIAG_PLAIN") or os.environ.get("ACCESSIBLE"))
    try:
        with Progress(plain, args.verbose) as progress:
            for event in engine.run(host, found, settings, chosen, cut.cancelled):
                progress.follow(event)
                if form is Format.JSONL:
                    _stream(event, out, args, cut)
                if isinstance(event, RunFinished):
                    return event.report
    finally:
        host.close()
    raise AssertionError("a run ends with its report")


def _stream(event: Event, out: TextIO, args: argparse.Namespace, cut: Cut) -> None:
    from maildiag.events import RunFinished
    from maildiag.render.jsonl import write_event

    status = _exit_status(event.report, args.fail_on, cut) if isinstance(event, RunFinished) else 0
    write_event(event, out, status)


def _exit_status(report: Report, fail_on: Status, cut: Cut) -> int:
    from maildiag.report import exit_status

    return cut.exit_status or exit_status(report.status, fail_on)


class Cut:
    """Whether a signal ended the run: the first one asks for the partial report, the second ends at once."""

    def __init__(self) -> None:
        self.cancelled = threading.Event()
        self.exit_status = 0

    def __call__(self, number: int, frame: FrameType | None) -> None:
        """The signal handler."""
        self.exit_status = 128 + number
        self.cancelled.set()
        signal.signal(number, signal.SIG_DFL)


@contextmanager
def _interruptible() -> Iterator[Cut]:
    """What the caller had ignored (nohup(1), a shell's background job) stays ignored."""
    cut = Cut()
    wanted = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {each: signal.signal(each, cut) for each in wanted if signal.getsignal(each) is not signal.SIG_IGN}
    try:
        yield cut
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _remember(args: argparse.Namespace, report: Report) -> None:
    """Keep the run for `maildiag history`; that it could not be kept is told on a terminal and stops nothing.

    Another host's runs would be taken for this one's when growth and drops are judged.
    """
    if args.no_history or args.bundle is not None or args.host or args.step or args.check or not report.complete:
        return
    from maildiag import history

    problem = history.remember(report)
    if problem and sys.stderr.isatty():
        print(f"maildiag: this run is not in the history: {problem}", file=sys.stderr)
