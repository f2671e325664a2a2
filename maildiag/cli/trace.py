"""`maildiag trace KEY`: everything the logs say of one queue id, Message-ID or address."""

from __future__ import annotations

import argparse
import sys

from maildiag.cli.errors import UsageError

UNREADABLE = 1
_HANG = 22


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `trace`."""
    parser.add_argument("key", metavar="KEY", help="a queue id, Message-ID, sender, recipient or client address")
    parser.add_argument(
        "--log",
        action="append",
        default=[],
        metavar="FILE",
        help="a log to look in, compressed or not; may be repeated, also with the next host's log (default: this host's log or journal)",
    )
    parser.add_argument(
        "--since", metavar="TIME", help="from here on: 2026-11-22, '2026-11-22 10:00', 10:00, 30m, 6h, 2d"
    )
    parser.add_argument("--json", action="store_true", help="one JSON document (schema maildiag.trace/1)")


def main(args: argparse.Namespace) -> int:
    """Print the trace; 0 if anything was found, 1 if nothing was or no log could be read."""
    import gc

    gc.disable()  # nothing that is made here comes in cycles

    from maildiag.logs.source import Source, SourceError, default_source, source_of
    from maildiag.logs.times import BadTimeError, local_now, moment
    from maildiag.logs.trace import trace

    now = local_now()
    if not args.key.strip():
        raise UsageError("KEY is empty")
    sources: list[Source] = []
    try:
        since = moment(args.since, now) if args.since else None
        for name in args.log:
            sources.append(source_of(name))
        found = trace(args.key, sources or [default_source()], now, since)
    except BadTimeError as error:
        raise UsageError(str(error)) from error
    except (SourceError, OSError, EOFError) as error:
        print(f"maildiag trace: {error}", file=sys.stderr)
        return UNREADABLE
    from maildiag.cli.terminal import terminal_width
    from maildiag.logs.trace_text import as_document, as_text
    from maildiag.text import hung

    if args.json:
        import json

        print(json.dumps(as_document(found), ensure_ascii=False, indent=1))
    else:
        width = terminal_width()
        for line in as_text(found):
            print(hung(line, width, _HANG))
    return 0 if found.messages or found.others else UNREADABLE
