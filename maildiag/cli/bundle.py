"""`maildiag bundle`: records this host's evidence for support, secrets removed, and shows what it holds before it is written."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from maildiag.cli import options
from maildiag.cli.errors import OutputError, UsageError

if TYPE_CHECKING:
    from maildiag.redact import Kept
    from maildiag.report import Report


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `bundle`."""
    parser.add_argument("-o", "--output", type=Path, metavar="FILE", help="the bundle; a name in .gz is compressed")
    parser.add_argument(
        "--pseudonymise", action="store_true", help="replace names and public addresses, stably within it"
    )
    parser.add_argument("--list", action="store_true", help="only show what it would hold")
    parser.add_argument("--yes", action="store_true", help="write without asking")
    options.add_selection(parser)


def main(args: argparse.Namespace) -> int:
    """Record, show, ask on a terminal, write; the exit status is 0 where the bundle was written."""
    if args.output is None and not args.list:
        raise UsageError("say where to: -o FILE (or --list to see what it would hold)")
    if args.output is not None and not args.output.parent.is_dir():
        raise UsageError(f"cannot write {args.output}: there is no directory {args.output.parent}")
    kept, report = _record(args)
    kept = _redact(kept, args.pseudonymise)
    print(contents(kept), file=sys.stdout if args.list else sys.stderr)
    if args.list:
        return 0
    if not _agreed(args):
        print("nothing was written", file=sys.stderr)
        return 0
    _write(args.output, kept)
    print(f"wrote {args.output}; it answers: maildiag run --bundle {args.output}", file=sys.stderr)
    _compare(args, report)
    return 0


def _record(args: argparse.Namespace) -> tuple[Kept, Report]:
    from maildiag import engine, registry
    from maildiag.cli.progress import Progress
    from maildiag.events import RunFinished
    from maildiag.hosts.bundle import Recorder

    recorder = Recorder(options.host(args))
    found = registry.load()
    with Progress() as progress:
        for event in engine.run(recorder, found, options.settings(args), options.checks(args, found)):
            progress.follow(event)
            if isinstance(event, RunFinished):
                recorder.close()
                return recorder.kept, event.report
    raise AssertionError("a run ends with its report")


def _redact(kept: Kept, pseudonymise: bool) -> Kept:
    from maildiag.redact import redacted

    clean = redacted(kept)
    if not pseudonymise:
        return clean
    from maildiag.pseudonyms import Pseudonyms

    return redacted(clean, Pseudonyms(clean))


def contents(kept: Kept) -> str:
    """Every question that was asked, and how much was answered."""
    from maildiag.text import plural, safe

    rows = sorted((_kind(probe), safe(probe.source, 100), _size(got)) for probe, got in kept.items())
    lines = [f"  {kind:<16}{size:>9}  {source}" for kind, source, size in rows]
    head = f"The bundle holds {plural(len(lines), 'answer')}; private keys, password maps and database logins are never read,"
    return "\n".join([head, "and other passwords were cut out:", *lines])


def _kind(probe: Any) -> str:
    return type(probe).__name__


def _size(got: Any) -> str:
    import json

    from maildiag.codec import encode
    from maildiag.model import Gap

    return got.reason.value if isinstance(got, Gap) else f"{len(json.dumps(encode(got))):,}"


def _agreed(args: argparse.Namespace) -> bool:
    if args.yes or sys.stdin is None or not sys.stdin.isatty() or not sys.stderr.isatty():
        return True
    print(f"Write it to {args.output}? [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _write(path: Path, kept: Kept) -> None:
    from maildiag.hosts.bundle import write

    try:
        write(path, dict(kept))
    except OSError as error:
        raise OutputError(f"{path}: {error.strerror}") from error


def _compare(args: argparse.Namespace, report: Report) -> None:
    """The proof that the bundle tells what the host told: its own diagnosis has the same findings."""
    from maildiag import engine, registry

    found = registry.load()
    again = engine.report(options.recorded(args.output), found, options.settings(args), options.checks(args, found))
    before = sorted((each.id, each.status.value) for each in report.findings)
    after = sorted((each.id, each.status.value) for each in again.findings)
    if before != after:
        changed = sorted({each for each, _ in set(before) ^ set(after)})
        print(f"note: the bundle alone tells something else of {', '.join(changed)}", file=sys.stderr)
