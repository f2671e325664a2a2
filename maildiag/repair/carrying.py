"""Carries out a change that cures no finding (verbose logging, the emergency procedure) with the same safety as a fix."""

from __future__ import annotations

from collections.abc import Callable, Generator

from maildiag.model import Fix
from maildiag.records import dataclass
from maildiag.repair import acting, actions, events, journal, lock, saved, saving, store, undo
from maildiag.repair.acting import Broke, Completed, Stopped
from maildiag.repair.applying import Workshop
from maildiag.repair.saving import Label, Open


@dataclass(frozen=True, slots=True)
class Applied:
    """Done as asked; there was nothing to verify."""

    transaction: str


Carried = Applied | events.Refused | events.Failed | events.Cancelled
Steps = Generator[events.RepairEvent, None, Carried]


def refusal(fix: Fix, shop: Workshop) -> str:
    """Why this must not be done here; empty where it may be."""
    if fix.needs_root and not shop.hand.privileged:
        return "this needs root"
    return next((why for argv in fix.commands if (why := actions.refusal(argv, shop.hand.actions))), "")


def carry_out(fix: Fix, label: Label, shop: Workshop, prepare: Callable[[str], str] = lambda _: "") -> Steps:
    """Save, call `prepare` with the transaction's id, act.

    `prepare` returns why it failed, or an empty string; nothing is changed where it failed. Returns how it ended.
    """
    wrong = refusal(fix, shop)
    if wrong:
        return events.Refused(wrong)
    try:
        shop.store.prepare()
        with lock.held(shop.store.lock):
            return (yield from _locked(fix, label, shop, prepare))
    except lock.Locked as locked:
        return events.Refused(str(locked))
    except (saved.CannotSave, store.Unsafe, OSError) as error:
        return events.Refused(f"what it changes could not be saved: {error}")


def _locked(fix: Fix, label: Label, shop: Workshop, prepare: Callable[[str], str]) -> Steps:
    name = shop.store.new_id()
    transaction = yield from saving.save(fix, label, shop.hand, shop.store, name)
    try:
        why = prepare(name)
        if why:
            return events.Refused(why)
        acted = yield from acting.act(fix, transaction, shop.hand, shop.store, shop.cancelled)
        match acted:
            case Completed():
                left = undo.left_by(transaction.saved)
                transaction.journal.write(*left, journal.Ended(journal.now(), "Applied"))
                return Applied(name)
            case Broke(ran):
                return events.Failed(ran, (yield from _undo(transaction, shop)))
            case Stopped():
                return events.Cancelled((yield from _undo(transaction, shop)))
    except BaseException:
        for _ in _undo(transaction, shop):
            pass
        raise
    finally:
        transaction.journal.close()


def _undo(transaction: Open, shop: Workshop) -> undo.Events:
    yield events.Undoing(transaction.id, "it failed")
    return (yield from undo.put_back(shop.store.load(transaction.id), transaction.journal, shop.hand, shop.store))
