"""`maildiag undo`: lists what fixes changed, and puts one back, also one that was killed half-way."""

from __future__ import annotations

import argparse
import json
import sys
import time
from typing import TYPE_CHECKING, Any

from maildiag.cli import options
from maildiag.cli.errors import UsageError

if TYPE_CHECKING:
    from maildiag.repair.events import Undone
    from maildiag.repair.hand import Hand
    from maildiag.repair.journal import Transaction
    from maildiag.repair.store import Store


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `undo`."""
    parser.add_argument(
        "transaction", nargs="?", metavar="TRANSACTION", help="the transaction to undo (default: list them)"
    )
    parser.add_argument("--force", action="store_true", help="also where the files were changed again since")
    parser.add_argument("--forget", action="store_true", help="remove the saved copies; it cannot be undone afterwards")
    parser.add_argument("--after", type=options.seconds, metavar="S", help="wait S seconds first")
    parser.add_argument("--wait", type=options.seconds, metavar="S", help="wait up to S seconds for another fix to end")
    parser.add_argument("--json", action="store_true", help="as one JSON document")


def main(args: argparse.Namespace) -> int:
    """List, undo or forget; exit status 0 done (or nothing to do), 1 not or not wholly undone, 64 no such transaction."""
    from maildiag.hosts.local import LocalHost
    from maildiag.repair.hand import Hand
    from maildiag.repair.lock import Locked
    from maildiag.repair.store import NoSuchTransactionError, Store

    store = Store()
    time.sleep(args.after or 0)
    try:
        if not args.transaction:
            return _list(store, args.json)
        if args.forget:
            return _forget(store, args.transaction)
        return _undo(store.load(args.transaction), Hand(LocalHost()), store, args)
    except NoSuchTransactionError as error:
        raise UsageError(str(error)) from error
    except (Locked, OSError) as error:
        print(f"maildiag undo: {error}", file=sys.stderr)
        return 1


def _list(store: Store, as_json: bool) -> int:
    from maildiag.repair import lock

    found = store.transactions()
    if as_json:
        json.dump(
            {"schema": "maildiag.undo/1", "transactions": [_document(each) for each in found]}, sys.stdout, indent=2
        )
        print()
        return 0
    if not found:
        print(f"Nothing to undo: no fix was applied by this user ({store.undo})")
    if lock.taken(store.lock):
        print("A fix is under way at this moment.")
    for each in found:
        print(_line(each))
    return 0


def _line(each: Transaction) -> str:
    from maildiag.text import safe

    hint = "  <- it was cut off half-way: undo it" if each.half_way else ""
    outcome = f" ({each.ended.outcome})" if each.ended else ""
    what = safe(each.began.fix.title or each.began.title, 100)
    return f"{each.id}  {each.state.value}{outcome}  {safe(each.began.finding or each.began.fix.id)}: {what}{hint}"


def _forget(store: Store, name: str) -> int:
    found = store.load(name)
    store.forget(found.id)
    print(f"forgotten: {found.id}")
    return 0


def _undo(transaction: Transaction, hand: Hand, store: Store, args: argparse.Namespace) -> int:
    from maildiag.repair import words
    from maildiag.repair.journal import State
    from maildiag.repair.undo import conflicts, undo
    from maildiag.text import safe

    if transaction.state is State.UNDONE:
        print(f"{transaction.id} is undone already", file=sys.stderr)
        return 0
    against = () if args.force or transaction.began.until else conflicts(transaction, store)
    for each in against:
        print(f"maildiag undo: {safe(each)}", file=sys.stderr)
    if against:
        print("maildiag undo: nothing was changed; --force puts back what was saved all the same", file=sys.stderr)
        return 1
    steps = undo(transaction, hand, store, args.wait or 0.0)
    while True:
        try:
            text = words.told(next(steps))
        except StopIteration as end:
            return _end(end.value, args.json)
        if text and not args.json:
            print(text)


def _end(done: Undone, as_json: bool) -> int:
    from maildiag.text import plural, safe

    if as_json:
        found = {"transaction": done.transaction, "restored": list(done.restored), "left": list(done.left)}
        json.dump({"schema": "maildiag.undo/1", "undone": found}, sys.stdout, indent=2)
        print()
    else:
        for each in done.left:
            print(f"could not be put back: {safe(each)}")
        print(f"{done.transaction}: undone, {plural(len(done.restored), 'path')} put back")
    return 0 if done.complete else 1


def _document(each: Transaction) -> dict[str, Any]:
    return {
        "id": each.id,
        "at": each.began.at.isoformat(),
        "state": each.state.value,
        "outcome": each.ended.outcome if each.ended else "",
        "finding": each.began.finding,
        "fix": each.began.fix.id,
        "title": each.began.fix.title,
        "paths": [one.path for one in each.saved],
        "until": each.began.until.isoformat() if each.began.until else "",
    }
