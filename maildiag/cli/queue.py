"""`maildiag queue`: the queue grouped; hold, release, requeue, flush or delete what is selected."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from maildiag.cli.errors import UsageError
from maildiag.cli.terminal import terminal_width

if TYPE_CHECKING:
    from maildiag.queue.acting import Action, Ids
    from maildiag.queue.grouping import Grouped
    from maildiag.queue.selecting import Selection

ACTIONS = ("show", "hold", "release", "requeue", "flush", "delete")
FAILED = 1
SAVED_BELOW = Path("/var/lib/maildiag/deleted")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `maildiag queue`."""
    parser.add_argument("action", nargs="?", choices=ACTIONS, default="show", help="what to do (show)")
    parser.add_argument("ids", nargs="*", metavar="QUEUE-ID", help="only these messages")
    parser.add_argument(
        "--by",
        choices=("reason", "destination", "sender", "age", "queue"),
        default="reason",
        help="group by this (reason)",
    )
    parser.add_argument("--top", type=int, default=20, metavar="N", help="length of the table (0: no limit; 20)")
    parser.add_argument("--json", action="store_true", help="one JSON document (schema maildiag.queue/1)")
    only = parser.add_argument_group("only messages that fit all of these")
    only.add_argument(
        "--reason", default="", metavar="CLASS", help="a class as shown (connect.*), or words of the reason"
    )
    only.add_argument("--to", default="", metavar="ADDRESS", help="a recipient, a domain, or a glob of either")
    only.add_argument("--from", dest="sender", metavar="ADDRESS", help="the sender, likewise; <> is a bounce")
    only.add_argument("--older", metavar="AGE", help="waiting for at least this long: 90s, 30m, 6h, 2d")
    only.add_argument("--newer", metavar="AGE", help="waiting for less than this")
    only.add_argument("--larger", metavar="SIZE", help="at least this large: 500, 20k, 10M")
    only.add_argument("--smaller", metavar="SIZE", help="smaller than this")
    only.add_argument(
        "--queue", default="", choices=("maildrop", "incoming", "active", "deferred", "hold"), help="in this queue"
    )
    only.add_argument("--all", action="store_true", help="an action on every message, which no selection narrows")
    doing = parser.add_argument_group("for actions")
    doing.add_argument("--dry-run", action="store_true", help="show what would be hit, and change nothing")
    doing.add_argument("--yes", action="store_true", help="do not ask")
    doing.add_argument("--no-save", action="store_true", help="delete without keeping a copy of the messages")
    doing.add_argument("--save-to", type=Path, metavar="DIR", help=f"where copies go (below {SAVED_BELOW})")


def main(args: argparse.Namespace) -> int:
    """Show the queue, or act; 0, or 1 where postqueue or postsuper failed or the answer was no."""
    from maildiag.queue.reading import QueueError

    selection = _selection(args)
    if args.top < 0:
        raise UsageError("--top may not be negative")
    try:
        return _show(args, selection) if args.action == "show" else _act(args, selection)
    except QueueError as error:
        print(f"maildiag queue: {error}", file=sys.stderr)
        return FAILED


def _selection(args: argparse.Namespace) -> Selection:
    from maildiag.queue.selecting import BadSelectionError, Selection, seconds, size

    try:
        return Selection(
            reason=args.reason,
            to=args.to,
            sender=args.sender,
            older=seconds(args.older) if args.older else None,
            newer=seconds(args.newer) if args.newer else None,
            larger=size(args.larger) if args.larger else None,
            smaller=size(args.smaller) if args.smaller else None,
            queue=args.queue,
            ids=frozenset(args.ids),
        )
    except BadSelectionError as error:
        raise UsageError(str(error)) from error


def _show(args: argparse.Namespace, selection: Selection) -> int:
    from maildiag.queue.acting import Ids

    with Ids() as ids:
        grouped, now = _gather(selection, None, ids)
    _print(args, grouped, now, selected=not selection.everything)
    return 0


def _gather(selection: Selection, action: Action | None, ids: Ids) -> tuple[Grouped, int]:
    """One pass over the queue: what fits, grouped, and its ids where an action wants them."""
    import time
    from collections.abc import Iterator

    from maildiag.queue.acting import applies
    from maildiag.queue.entries import Entry
    from maildiag.queue.grouping import group
    from maildiag.queue.reading import stream

    now = int(time.time())

    def fitting() -> Iterator[Entry | None]:
        for entry in stream():
            if entry is None:
                yield None
            elif selection.everything or selection.fits(entry, now):
                if action is None:
                    yield entry
                elif applies(action, entry):
                    ids.add(entry.id)
                    yield entry

    return group(fitting(), now), now


def _print(args: argparse.Namespace, grouped: Grouped, now: int, *, selected: bool) -> None:
    from maildiag.queue.showing import as_document, as_text

    if args.json:
        import json

        print(json.dumps(as_document(grouped, now), indent=1))
        return
    if selected and not grouped.total:
        print("No queued message fits.")
        return
    for line in as_text(grouped, now, args.by, args.top, terminal_width() or 80):
        print(line)
    sys.stdout.flush()  # what will be hit is seen before the question on standard error


def _act(args: argparse.Namespace, selection: Selection) -> int:
    from maildiag.queue.acting import Action, Ids

    action = Action(args.action)
    if selection.everything and not args.all:
        raise UsageError(f"{action} what? name queue ids, select (--reason, --to, --from, …), or say --all")
    if action.needs_root and os.geteuid() != 0 and not args.dry_run:
        raise UsageError(f"{action} needs root (postsuper); --dry-run shows what it would hit")
    with Ids() as ids:
        grouped, now = _gather(selection, action, ids)
        _print(args, grouped, now, selected=True)
        return _decide(args, action, ids)


def _decide(args: argparse.Namespace, action: Action, ids: Ids) -> int:
    from maildiag.queue.acting import argv

    if not ids.count:
        print(f"Nothing to {action}.", file=sys.stderr)
        return 0
    if args.dry_run:
        print(f"Would run: {' '.join(argv(action))} (for {ids.count:,} of them); nothing was changed.", file=sys.stderr)
        return 0
    if not args.yes and not _confirmed(action, ids.count):
        print("Nothing was changed.", file=sys.stderr)
        return FAILED
    return _do(args, action, ids)


def _confirmed(action: Action, count: int) -> bool:
    from maildiag.text import plural

    if not sys.stdin.isatty():
        raise UsageError("there is no terminal to ask on: --yes does it, --dry-run shows it")
    print(f"{str(action).capitalize()} {plural(count, 'message')}? [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _do(args: argparse.Namespace, action: Action, ids: Ids) -> int:
    from maildiag.queue.acting import Action, Ids

    if action is not Action.DELETE or args.no_save:
        return _done(action, ids)
    with Ids() as kept:
        return _done(action, kept) if _saved(args, ids, kept) else FAILED


def _done(action: Action, chosen: Ids) -> int:
    from maildiag.queue.acting import act
    from maildiag.text import plural

    done = act(action, chosen)
    if done.status:
        print(f"maildiag queue: {done.words}", file=sys.stderr)
        return FAILED
    print(f"{plural(chosen.count, 'message')}: {done.words or f'{action} done'}", file=sys.stderr)
    return 0


def _saved(args: argparse.Namespace, ids: Ids, kept: Ids) -> bool:
    """Copies first, and only what was copied is deleted. False where a copy failed: then nothing is deleted."""
    from datetime import UTC, datetime

    from maildiag.queue.saving import NotSavedError, save

    directory = args.save_to or SAVED_BELOW / f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{os.getpid()}"
    try:
        for name in save(ids, directory):
            kept.add(name)
    except (NotSavedError, OSError) as error:
        print(f"maildiag queue: nothing was deleted, a copy failed: {error}", file=sys.stderr)
        return False
    print(f"Copies are in {directory}", file=sys.stderr)
    return True
