"""Carries out a fix's commands within an open transaction: the intent first, guards before a service reads its configuration."""

from __future__ import annotations

import threading
from collections.abc import Generator
from pathlib import Path

from maildiag.model import Fix
from maildiag.records import dataclass
from maildiag.repair import actions, events, lock
from maildiag.repair.guards import guards
from maildiag.repair.hand import Hand, Ran
from maildiag.repair.journal import Finished, Intent
from maildiag.repair.saved import Extent, Saved, capture, keep_permissions
from maildiag.repair.saving import Open
from maildiag.repair.store import Store
from maildiag.repair.targets import Places, targets

_EDITORS = frozenset({"postconf", "postmap", "postalias", "newaliases", "sed"})


@dataclass(frozen=True, slots=True)
class Completed:
    """All commands worked; `left_out` were not run, because the configuration was broken for another reason before."""

    left_out: tuple[tuple[str, ...], ...] = ()


@dataclass(frozen=True, slots=True)
class Broke:
    """A command or a guard failed. `loading` where it only failed to make a service read what was edited."""

    ran: Ran
    loading: bool


@dataclass(frozen=True, slots=True)
class Stopped:
    """Cancelled between two commands."""


Acted = Completed | Broke | Stopped


def act(
    fix: Fix, transaction: Open, hand: Hand, store: Store, cancelled: threading.Event
) -> Generator[events.RepairEvent, None, Acted]:
    """Run the commands in order, and stop at the first that fails."""
    needed = guards(fix, (each.path for each in transaction.saved), hand.actions)
    failing_before = {argv for argv in needed if not hand.guard(argv).worked}
    left_out: list[tuple[str, ...]] = []
    guarded = blocked = False
    with lock.shared_with_children(store.children) as inherited:
        for number, argv in enumerate(fix.commands):
            if cancelled.is_set():
                return Stopped()
            loading = actions.loads(argv, hand.actions)
            if loading and not guarded:
                guarded = True
                broken = yield from _guard(needed, hand)
                if broken is not None and broken.argv not in failing_before:
                    return Broke(broken, loading=False)
                blocked = broken is not None
            if loading and blocked:
                yield events.LeftOut(argv, "the configuration still does not pass for another reason")
                left_out.append(argv)
                continue
            transaction.journal.write(Intent(number, argv))
            yield events.Running(argv)
            before = _permissions(argv)
            ran = hand.act(argv, inherited)
            for each in before:
                keep_permissions(each)
            transaction.journal.write(Finished(number, -1 if ran.status is None else ran.status))
            yield events.Finished(ran)
            if not ran.worked:
                return Broke(ran, loading)
    return Completed(tuple(left_out))


def _guard(needed: tuple[actions.Argv, ...], hand: Hand) -> Generator[events.RepairEvent, None, Ran | None]:
    """Ask the guards; the first that does not pass."""
    for argv in needed:
        ran = hand.guard(argv)
        yield events.Guarded(ran)
        if not ran.worked:
            return ran
    return None


def _permissions(argv: actions.Argv) -> list[Saved]:
    """Owner, mode and attributes of what an editor is about to write anew beside the old file: it may lose them."""
    if argv[0] not in _EDITORS:
        return []
    return [capture(each.path, Path("/"), "", Extent.PERMISSIONS) for each in targets(argv, Places())]
