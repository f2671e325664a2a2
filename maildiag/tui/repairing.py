"""What the screens need of the repair engine: whether a fix may be applied, what must be typed first, and its steps."""

from __future__ import annotations

import threading
from collections.abc import Generator
from typing import cast

from maildiag.hosts.local import LocalHost
from maildiag.model import Finding, Fix, Risk
from maildiag.records import dataclass
from maildiag.repair import events, words
from maildiag.repair.applying import Consent, Steps, Workshop, apply, refusal
from maildiag.repair.hand import Hand
from maildiag.repair.journal import Transaction
from maildiag.repair.judging import Bench, Cure
from maildiag.repair.store import Store
from maildiag.repair.undo import Events, conflicts, undo
from maildiag.text import safe
from maildiag.tui.session import Session
from maildiag.tui.underway import Doing, Ending


@dataclass(frozen=True, slots=True)
class Means:
    """What may act on the host, and where it keeps what it did."""

    hand: Hand
    store: Store


def means(session: Session) -> Means | None:
    """The means to act; None for a recording and for a host elsewhere: nothing can be changed there."""
    return Means(Hand(session.host), Store()) if isinstance(session.host, LocalHost) else None


def workshop(session: Session, cancelled: threading.Event) -> Workshop | None:
    """All that applying needs. For a worker thread: it loads the checks."""
    mine = means(session)
    if mine is None:
        return None
    bench = Bench(session.host, session.registry, session.settings)
    return Workshop(hand=mine.hand, bench=bench, store=mine.store, cancelled=cancelled)


def why_not(session: Session, finding: Finding, fix: Fix) -> str:
    """Why this fix cannot be applied from here and now; empty where it can. Asked again when it is applied."""
    mine = means(session)
    if mine is None:
        return (
            "this is a recording: nothing can be changed"
            if session.recorded
            else "fixes are applied on the host itself"
        )
    if not session.allow_fix:
        return "read-only: U unlocks"
    return refusal(Cure(finding, fix), mine.hand, Consent.CONFIRMED)


def to_type(finding: Finding, fix: Fix, host: str) -> str:
    """What has to be typed to confirm: `y` for a low risk, the host's name for a medium, the finding's id for a high one."""
    match fix.risk:
        case Risk.LOW:
            return "y"
        case Risk.MEDIUM:
            return host or finding.id
        case Risk.HIGH:
            return finding.id


def steps(session: Session, finding: Finding, fix: Fix, explains: tuple[str, ...], cancelled: threading.Event) -> Steps:
    """Apply the fix and yield what happens. Raises PermissionError where it may not be: asked here, not where keys are bound."""
    refused = why_not(session, finding, fix)
    shop = workshop(session, cancelled)
    if refused or shop is None:
        raise PermissionError(refused)
    return apply(Cure(finding, fix, explains), shop, Consent.CONFIRMED)


def applying(
    session: Session, finding: Finding, fix: Fix, explains: tuple[str, ...], cancelled: threading.Event
) -> Doing:
    """The same in words, and its end."""
    ending = Ending("it ended without a word")
    for event in steps(session, finding, fix, explains, cancelled):
        if isinstance(event, events.Done):
            good = isinstance(event.outcome, events.Cured)
            ending = Ending(words.concluded(event.outcome), good, getattr(event.outcome, "transaction", ""))
        elif text := words.told(event):
            yield text
    return ending


def undoing(session: Session, transaction: str) -> Doing:
    """Put back what a transaction changed, unless that would take away later changes too."""
    mine = means(session)
    if mine is not None and session.allow_fix:
        done = mine.store.load(transaction)
        against = () if done.began.until else conflicts(done, mine.store)
        if against:
            return Ending(f"not undone: {safe(against[0])} (maildiag undo --force {transaction} does it all the same)")
    undone = yield from _told(undo_steps(session, transaction))
    left = "" if undone.complete else f", but {safe(undone.left[0])} could not be put back"
    return Ending(f"{undone.transaction} is undone{left}", undone.complete)


def _told(undone: Events) -> Generator[str, None, events.Undone]:
    while True:
        try:
            text = words.told(next(undone))
        except StopIteration as end:
            return cast("events.Undone", end.value)
        if text:
            yield text


def undo_steps(session: Session, transaction: str) -> Events:
    """Put back what a transaction changed and yield what happens.

    Raises PermissionError where nothing may be changed, LookupError for an unknown transaction.
    """
    mine, refused = means(session), undo_refusal(session)
    if mine is None or refused:
        raise PermissionError(refused)
    return undo(mine.store.load(transaction), mine.hand, mine.store)


def undo_refusal(session: Session) -> str:
    """Why nothing may be undone from here and now; empty where it may."""
    if not isinstance(session.host, LocalHost):
        return "nothing can be changed here"
    return "" if session.allow_fix else "read-only: U unlocks"


def deeds(session: Session) -> list[Transaction]:
    """What maildiag changed on this host, newest first; nothing for a recording and for a host elsewhere."""
    mine = means(session)
    return mine.store.transactions() if mine is not None else []
