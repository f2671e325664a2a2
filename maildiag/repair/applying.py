"""Applies one fix: refuse, judge again, save, guard, act, verify; at the end the finding is cured, or everything is undone."""

from __future__ import annotations

import threading
import time
from collections.abc import Generator
from dataclasses import field
from datetime import UTC, datetime
from enum import StrEnum

from maildiag.model import Finding, Fix
from maildiag.records import dataclass
from maildiag.repair import acting, actions, events, journal, judging, lock, saved, saving, store, targets, undo
from maildiag.repair.acting import Broke, Completed, Stopped
from maildiag.repair.events import Outcome, RepairEvent
from maildiag.repair.hand import Hand, Ran
from maildiag.repair.judging import Bench, CannotTell, Clean, Cure, Judgement, StillFailing, Worse
from maildiag.repair.saving import Label, Open
from maildiag.repair.store import Store
from maildiag.report import Report

Steps = Generator[RepairEvent, None, None]
_FIRST_PAUSE_S = 0.25
_LONGEST_PAUSE_S = 2.0


class Consent(StrEnum):
    """Who said yes: a person to this very fix, or `--yes` to all that are automatic."""

    CONFIRMED = "confirmed"
    AUTOMATIC = "automatic"


@dataclass(frozen=True, slots=True, kw_only=True)
class Workshop:
    """All that applying needs. `patience_s`: how long services may take to come up; `settle_s`: how long they must stay.

    `diagnoses`: whether the look that confirms a service's start is at everything, and told as `Diagnosed`: for who would
    diagnose next anyway.
    """

    hand: Hand
    bench: Bench
    store: Store
    patience_s: float = 10.0
    settle_s: float = 1.0
    diagnoses: bool = False
    cancelled: threading.Event = field(default_factory=threading.Event)


def apply(cure: Cure, shop: Workshop, consent: Consent, shown: Report | None = None) -> Steps:
    """Apply one fix and yield what happens; the last event is `Done`. Closing the generator early undoes.

    `shown` is the report that the fix was chosen from: it is the first look, unless it is too old for that. Raises
    nothing for what the host does: an error of the state directory is a refusal too.
    """
    wrong = refusal(cure, shop.hand, consent)
    if wrong:
        yield events.Done(events.Refused(wrong))
        return
    try:
        shop.store.prepare()
        with lock.held(shop.store.lock):
            lock.wait_for_children(shop.store.children, shop.patience_s)
            outcome = yield from _locked(cure, shop, shown)
    except lock.Locked as locked:
        outcome = events.Refused(str(locked))
    except (saved.CannotSave, store.Unsafe, OSError) as error:
        outcome = events.Refused(f"what the fix changes could not be saved: {error}")
    yield events.Done(outcome)


def refusal(cure: Cure, hand: Hand, consent: Consent) -> str:
    """Why this fix must not be applied here and now; empty where it may be."""
    fix = cure.fix
    if not fix.commands:
        return "this cannot be cured on this host" + (f": {fix.title}" if fix.title else "")
    if fix.needs_root and not hand.privileged:
        return "this needs root"
    wrong = (actions.refusal(argv, hand.actions) for argv in fix.commands)
    never = [actions.automatic_refusal(argv) for argv in fix.commands]
    if consent is Consent.AUTOMATIC:
        if not fix.automatic:
            return "this is not applied without a person's yes"
        wrong = (*wrong, *(why and f"{why}, which is not done without a person's yes" for why in never))  # type: ignore[assignment]
    return next((each for each in wrong if each), "")


def services(fix: Fix, hand: Hand) -> tuple[str, ...]:
    """The checks of the services that the fix restarts or reloads: they must not be worse off afterwards."""
    units = {unit for argv in fix.commands if actions.loads(argv, hand.actions) for unit in actions.units(argv)}
    return tuple(f"services.{name}" for name in ("postfix", "dovecot") if any(name in unit for unit in units))


def _locked(cure: Cure, shop: Workshop, shown: Report | None) -> Generator[RepairEvent, None, Outcome]:
    checks = judging.watched(cure, shop.bench, services(cure.fix, shop.hand))
    before = yield from _first_look(cure, shop, checks, shown)
    unfit = _judged_again(cure, before)
    if unfit is not None:
        return unfit
    label = Label(finding=cure.finding.key, title=cure.finding.title)
    transaction = yield from saving.save(cure.fix, label, shop.hand, shop.store, shop.store.new_id())
    try:
        return (yield from _in_transaction(cure, shop, transaction, before, checks))
    except OSError as error:
        failed = Ran((), None, str(error))
        return events.Failed(failed, (yield from _undo(transaction, shop, str(error))))
    except BaseException:  # closed, interrupted, or a bug of ours: whatever it is, nothing half done stays
        _silently(_undo(transaction, shop, "interrupted"))
        raise
    finally:
        transaction.journal.close()


def _first_look(
    cure: Cure, shop: Workshop, checks: tuple[str, ...], shown: Report | None
) -> Generator[RepairEvent, None, Report]:
    changes = saving.changes(cure.fix, saving.places(shop.hand)) if shown else ()
    paths = [path for path, _ in targets.paths(changes)]
    if shown is not None and judging.serves(shown, checks, paths, datetime.now(UTC)):
        return judging.only(shown, checks)
    yield events.Judging(cure.finding.key)
    return shop.bench.look(checks)


def _judged_again(cure: Cure, now: Report) -> Outcome | None:
    """The outcome where the fix does not fit the host any more."""
    found = [each for each in now.findings if each.key == cure.finding.key]
    if not found:
        unknown = next((each for each in now.findings if each.check == cure.finding.check and each.gap), None)
        if unknown is not None:
            return events.Refused(f"it cannot be judged now: {unknown.gap}")
    if not any(each.status.failing for each in found):
        gap = next((each.gap for each in found if each.gap), None)
        return events.Refused(f"it cannot be judged now: {gap}") if gap else events.NoLongerNeeded(_fine(found))
    offered = [each for one in found for each in one.fixes if each.id == cure.fix.id]
    if not any(each.commands == cure.fix.commands for each in offered):
        return events.Refused("the host has changed since it was diagnosed: diagnose again")
    return None


def _fine(found: list[Finding]) -> str:
    return found[0].title if found else "the finding is gone"


def _in_transaction(
    cure: Cure, shop: Workshop, transaction: Open, before: Report, checks: tuple[str, ...]
) -> Generator[RepairEvent, None, Outcome]:
    acted = yield from acting.act(cure.fix, transaction, shop.hand, shop.store, shop.cancelled)
    match acted:
        case Stopped():
            return events.Cancelled((yield from _undo(transaction, shop, "cancelled")))
        case Broke(ran, loading=False):
            return events.Failed(ran, (yield from _undo(transaction, shop, f"{' '.join(ran.argv)} failed")))
        case Broke() | Completed():
            pass
    judgement = yield from _verify(cure, shop, before, checks)
    if shop.cancelled.is_set():
        return events.Cancelled((yield from _undo(transaction, shop, "cancelled")))
    return (yield from _conclude(cure, shop, transaction, acted, judgement))


def _verify(
    cure: Cure, shop: Workshop, before: Report, checks: tuple[str, ...]
) -> Generator[RepairEvent, None, Judgement]:
    """Judge again until it is clean, and after a start or reload stays clean, or patience ends."""
    restarts = any(actions.loads(argv, shop.hand.actions) for argv in cure.fix.commands)
    edits = any(targets.targets(argv, targets.Places()) for argv in cure.fix.commands)
    deadline = time.monotonic() + (shop.patience_s if restarts else shop.patience_s / 3)
    pause, attempt, clean_before = _FIRST_PAUSE_S, 1, False
    waiting: tuple[str, ...] = ()
    while True:
        yield events.Verifying(attempt, waiting)
        whole = clean_before and shop.diagnoses
        after = shop.bench.look_at_all() if whole else shop.bench.look(checks)
        judgement = judging.judge(cure, before, judging.only(after, checks), edits)
        clean = isinstance(judgement, Clean)
        if clean and (clean_before or not restarts):
            if whole:
                yield events.Diagnosed(after)
            return judgement
        if not clean and (time.monotonic() >= deadline or shop.cancelled.is_set()):
            return judgement
        waiting = _keys(judgement)
        shop.cancelled.wait(shop.settle_s if clean else pause)
        pause, attempt, clean_before = min(pause * 2, _LONGEST_PAUSE_S), attempt + 1, clean


def _conclude(
    cure: Cure, shop: Workshop, transaction: Open, acted: Broke | Completed, judgement: Judgement
) -> Generator[RepairEvent, None, Outcome]:
    match judgement:
        case Clean():
            return _cured(transaction, acted, ())
        case Worse(keys):
            return events.MadeWorse(keys, (yield from _undo(transaction, shop, f"{keys[0]} fails now")))
        case StillFailing(keys, own=False) if judging.explained_elsewhere(
            keys, cure.finding.key, after := shop.bench.look_at_all()
        ):
            yield events.Diagnosed(after)
            return _cured(transaction, acted, keys)
        case CannotTell(why) if isinstance(acted, Completed) and not acted.left_out:
            transaction.journal.write(*undo.left_by(transaction.saved), journal.Ended(journal.now(), "Unverified", why))
            return events.Unverified(transaction.id, why)
        case CannotTell(why) if isinstance(acted, Completed):
            return events.NotCured(why, (yield from _undo(transaction, shop, why)))
        case CannotTell() | StillFailing():
            why = f"{', '.join(_keys(judgement))} still fails"
            undone = yield from _undo(transaction, shop, why)
            return events.Failed(acted.ran, undone) if isinstance(acted, Broke) else events.NotCured(why, undone)


def _cured(transaction: Open, acted: Broke | Completed, remaining: tuple[str, ...]) -> Outcome:
    note = ""
    if isinstance(acted, Broke):
        note = f"{' '.join(acted.ran.argv)} failed for another cause"
    elif acted.left_out:
        note = "not loaded yet: the configuration is still broken elsewhere"
    transaction.journal.write(*undo.left_by(transaction.saved), journal.Ended(journal.now(), "Cured", note))
    return events.Cured(transaction.id, remaining, note)


def _undo(transaction: Open, shop: Workshop, why: str) -> undo.Events:
    """Within the lock that is held."""
    yield events.Undoing(transaction.id, why)
    done = yield from undo.put_back(shop.store.load(transaction.id), transaction.journal, shop.hand, shop.store)
    yield done
    return done


def _silently(steps: undo.Events) -> None:
    for _ in steps:
        pass


def _keys(judgement: Judgement) -> tuple[str, ...]:
    match judgement:
        case StillFailing(keys) | Worse(keys):
            return keys
        case CannotTell(why):
            return (why,)
    return ()


__all__ = ["Consent", "Ran", "Workshop", "apply", "refusal"]
