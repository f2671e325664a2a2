"""Puts back what a transaction changed, however far it had got; repeating it, or killing it and repeating it, does no harm."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path

from maildiag.repair import actions, events, lock, units
from maildiag.repair.guards import guards
from maildiag.repair.hand import Hand, Ran
from maildiag.repair.journal import Journal, Left, Record, State, Transaction, UndoBegan, UndoEnded, now
from maildiag.repair.saved import CannotRestore, Extent, Kind, Saved, digest, restore
from maildiag.repair.store import Store
from maildiag.repair.targets import Places, targets

Events = Generator[events.RepairEvent, None, events.Undone]
_CHILDREN_S = 30.0


def left_by(kept: Sequence[Saved]) -> list[Left]:
    """What a change left at the paths that were saved for it."""
    whole = [each for each in kept if each.extent is Extent.WHOLE and each.kind is not Kind.DIRECTORY]
    return [Left(each.path, digest(each.path)) for each in whole]


def conflicts(transaction: Transaction, store: Store) -> tuple[str, ...]:
    """Why an undo would take away more than this transaction's change: later fixes of the same files, or edits since."""
    mine = {each.path for each in transaction.saved if each.extent is Extent.WHOLE and each.kind is not Kind.DIRECTORY}
    found = [
        f"{path} was changed again by the later fix {later.id}: undo that one first"
        for later in store.transactions()
        if later.id > transaction.id and later.state not in (State.UNDONE, State.NOTHING_DONE)
        for path in sorted(mine & {each.path for each in later.saved})
    ]
    if transaction.state is State.APPLIED:
        changed = [each.path for each in transaction.left if digest(each.path) != each.digest]
        found += [f"{path} was changed since by somebody else" for path in changed]
    return tuple(dict.fromkeys(found))


def undo(transaction: Transaction, hand: Hand, store: Store, wait_s: float = 0.0) -> Events:
    """Take the host's lock and put everything back.

    A time-limited change whose files were edited since is taken back by its own commands, so that the edits stay.
    Raises `lock.Locked` where the lock is not free within `wait_s` seconds, and OSError.
    """
    with lock.held(store.lock, wait_s):
        lock.wait_for_children(store.children, _CHILDREN_S)
        journal = store.open(transaction.id)
        try:
            if transaction.began.until is not None and conflicts(transaction, store):
                return (yield from _take_out(transaction, journal, hand, store))
            return (yield from put_back(transaction, journal, hand, store))
        finally:
            journal.close()


def _take_out(transaction: Transaction, journal: Journal, hand: Hand, store: Store) -> Events:
    """Run the fix's own undo commands and leave the rest of the files alone."""
    _note(journal, UndoBegan(now()))
    fix = transaction.began.fix
    with lock.shared_with_children(store.children) as inherited:
        left = yield from _commands(transaction, list(fix.undo), hand, inherited)
    if not fix.undo:
        left.append(f"{', '.join(fix.changes)} was changed since: take the change out by hand")
    _note(journal, UndoEnded(now(), tuple(left)))
    return events.Undone(transaction.id, (), tuple(left))


def put_back(transaction: Transaction, journal: Journal, hand: Hand, store: Store) -> Events:
    """The same within a lock that is held: files, then the fix's own way back, files that this touched, services."""
    if not transaction.ready or not transaction.intents:
        _note(journal, UndoEnded(now()))
        return events.Undone(transaction.id)
    _note(journal, UndoBegan(now()))
    with lock.shared_with_children(store.children) as inherited:
        left = yield from _commands(transaction, list(_stops(transaction, hand)), hand, inherited)
        restored, _ = yield from _files(transaction)
        left += yield from _commands(transaction, list(_way_back(transaction, hand)), hand, inherited)
        again, still = yield from _files(transaction)
        left += yield from _commands(transaction, list(_services(transaction, hand)), hand, inherited)
    told = tuple(dict.fromkeys([*left, *still]))
    _note(journal, UndoEnded(now(), told))
    return events.Undone(transaction.id, tuple(dict.fromkeys([*restored, *again])), told)


def _note(journal: Journal, record: Record) -> None:
    """What an undo does not need to have on the disk: with a full disk it still puts back what it can."""
    with contextlib.suppress(OSError):
        journal.write(record)


def _files(transaction: Transaction) -> Generator[events.RepairEvent, None, tuple[list[str], list[str]]]:
    """Restore every path, what lies deeper first; what appeared in a tree that was saved whole goes away."""
    restored, left = [], []
    for path in _new_in_trees(transaction):
        path.unlink()
        restored.append(str(path))
    for each in reversed(transaction.saved):
        try:
            done = restore(each, transaction.copies)
        except CannotRestore as error:
            left.append(str(error))
            continue
        if done:
            restored.append(each.path)
            yield events.Restored(each.path)
    return restored, left


def _new_in_trees(transaction: Transaction) -> Iterator[Path]:
    known = {each.path for each in transaction.saved}
    for tree in transaction.began.trees:
        found = [Path(root) / name for root, _, names in os.walk(tree) for name in names]
        yield from (each for each in found if str(each) not in known)


def _way_back(transaction: Transaction, hand: Hand) -> Iterator[actions.Argv]:
    """The fix's own undo, where a command ran that is more than an edit; edits of saved files are undone already."""
    places = Places()
    if all(targets(each.argv, places) and not _state(each.argv) for each in transaction.intents):
        return
    for argv in transaction.began.fix.undo:
        edits = targets(argv, places) and not _state(argv)
        if not edits and not actions.loads(argv, hand.actions):
            yield argv


def _state(argv: actions.Argv) -> bool:
    """Programs that change more than the files they write: what runs now."""
    return argv[0] in ("firewall-cmd", "ufw", "hostnamectl")


def _stops(transaction: Transaction, hand: Hand) -> Iterator[actions.Argv]:
    """Units that did not run before are stopped first, while the configuration still lets them stop in good order."""
    return (argv for argv in _units(transaction, hand) if actions.verb(argv) == "stop")


def _units(transaction: Transaction, hand: Hand) -> Iterator[actions.Argv]:
    for was in transaction.units:
        current = units.state(hand, was.unit)
        if current is not None:
            yield from units.way_back(was, current)


def _services(transaction: Transaction, hand: Hand) -> Iterator[actions.Argv]:
    """Bring every unit back to its state and make the running ones read what is there again."""
    yield from _units(transaction, hand)
    idle = {was.unit for was in transaction.units if was.active not in ("active", "reloading")}
    for argv in _loaded(transaction, hand):
        if not idle & {each.removesuffix(".service") for each in actions.units(argv)}:
            yield argv


def _loaded(transaction: Transaction, hand: Hand) -> list[actions.Argv]:
    done = [each.argv for each in transaction.intents]
    given = transaction.began.fix.undo if transaction.began.fix.undo else tuple(done)
    wanted = [argv for argv in given if actions.loads(argv, hand.actions)]
    wanted = wanted or [argv for argv in done if actions.loads(argv, hand.actions)]
    ran = any(actions.loads(argv, hand.actions) for argv in done)
    return [argv for argv in dict.fromkeys(wanted) if actions.verb(argv) != "start"] if ran else []


def _commands(
    transaction: Transaction, commands: list[actions.Argv], hand: Hand, inherited: int
) -> Generator[events.RepairEvent, None, list[str]]:
    """Run them all, the later ones also after one that failed; a service is not made to read what does not pass."""
    left: list[str] = []
    for argv in commands:
        broken = _guarded(transaction, argv, hand)
        if broken is not None:
            why = f"not run, because {' '.join(broken.argv)} does not pass with the files as they were"
            yield events.LeftOut(argv, why)
            continue
        yield events.Running(argv)
        ran = _run(argv, hand, inherited)
        yield events.Finished(ran)
        if not ran.worked:
            left.append(f"{' '.join(argv)} failed: {ran.output.strip() or f'status {ran.status}'}")
    return left


def _run(argv: actions.Argv, hand: Hand, inherited: int) -> Ran:
    try:
        return hand.act(argv, inherited)
    except ValueError as error:
        return Ran(argv, 126, str(error))


def _guarded(transaction: Transaction, argv: actions.Argv, hand: Hand) -> Ran | None:
    if not actions.loads(argv, hand.actions):
        return None
    for each in guards(transaction.began.fix, (one.path for one in transaction.saved), hand.actions):
        ran = hand.guard(each)
        if not ran.worked:
            return ran
    return None
