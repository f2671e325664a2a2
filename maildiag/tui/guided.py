"""The guided repairs as the screens need them: each asks at this one place whether the host may be changed at all."""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Generator
from pathlib import Path

from maildiag.model import Fix
from maildiag.repair import backup, words
from maildiag.repair.applying import Workshop
from maildiag.repair.carrying import Applied, Carried, Steps, carry_out
from maildiag.repair.debug_peer import PEER, Wish, change, duration, switch_on
from maildiag.repair.emergency import Stage
from maildiag.repair.events import Guarded
from maildiag.repair.journal import State
from maildiag.repair.procedure import Archive, Checked, Procedure, procedure
from maildiag.repair.saving import Label as JournalEntry
from maildiag.repair.saving import places
from maildiag.text import plural, safe
from maildiag.tui import repairing
from maildiag.tui.repairing import undoing
from maildiag.tui.session import Session
from maildiag.tui.underway import Doing, Ending

DOVECOT = "dovecot"
FOR = "10m"


def refusal(session: Session, root: bool = True) -> str:
    """Why nothing may be changed from here and now; empty where it may."""
    mine = repairing.means(session)
    if mine is None:
        return "a recording cannot be changed" if session.recorded else "only on the host itself"
    if not session.allow_fix:
        return "read-only: U unlocks"
    return "this needs root" if root and not mine.hand.privileged else ""


def allowed(session: Session, cancelled: threading.Event) -> Workshop:
    """The means to act. Raises PermissionError where nothing may be changed: asked here, not where keys are bound."""
    refused = refusal(session)
    shop = None if refused else repairing.workshop(session, cancelled)
    if shop is None:
        raise PermissionError(refused)
    return shop


def _told(steps: Steps) -> Generator[str, None, Carried]:
    while True:
        try:
            text = words.told(next(steps))
        except StopIteration as end:
            outcome: Carried = end.value
            return outcome
        if text:
            yield text


# -- verbose logging ---------------------------------------------------------------------------------------------------


def wish(text: str) -> Wish:
    """What was typed: peers, `dovecot`, and a time such as 10m, in any order. Raises ValueError with what is wrong."""
    peers: list[str] = []
    time, dovecot = "", False
    for each in re.split(r"[\s,]+", text.strip()):
        if each == DOVECOT:
            dovecot = True
        elif re.fullmatch(r"\d+[smh]", each):
            time = each
        elif PEER.fullmatch(each):
            peers.append(each)
        elif each:
            raise ValueError(f"{each!r} is no address, network or domain")
    if not peers and not dovecot:
        raise ValueError("name an address, a network or a domain, or dovecot")
    return Wish(tuple(peers), duration(time or FOR), dovecot=dovecot)


def verbose(session: Session, wanted: Wish) -> Fix:
    """The commands that would switch it on; nothing is changed. Raises PermissionError."""
    shop = allowed(session, threading.Event())
    shop.store.prepare()
    return change(wanted, shop.hand, shop.store.root)


def switching_on(session: Session, wanted: Wish, cancelled: threading.Event) -> Doing:
    """Switch it on, its end arranged before; the transaction in the end is what switches it off earlier."""
    outcome = yield from _told(switch_on(wanted, allowed(session, cancelled)))
    if isinstance(outcome, Applied):
        return Ending("verbose logging is on, and switches itself off", True, outcome.transaction)
    return Ending(words.concluded(outcome))


def switched_off(session: Session, transaction: str) -> bool:
    """True once the change is undone, whoever did it. Raises LookupError, OSError."""
    mine = repairing.means(session)
    return mine is not None and mine.store.load(transaction).state is State.UNDONE


# -- saving both configurations ----------------------------------------------------------------------------------------


def suggested(session: Session, when: str) -> str:
    """Where an archive of the configuration would go."""
    mine = repairing.means(session)
    return str(mine.store.root / f"config-{when}.tar.gz") if mine is not None else ""


def backing_up(session: Session, file: Path) -> Doing:
    """Write the archive; a file that is there already is left as it is. Raises PermissionError, OSError."""
    shop = allowed(session, threading.Event())
    if file.exists():
        return Ending(f"{safe(str(file))} is there already: nothing was written")
    where = places(shop.hand)
    tables = [each.partition(":")[2] or each for each in where.aliases]
    yield f"saving {where.postfix}, /etc/dovecot and what belongs to them"
    shop.store.prepare()
    done = backup.write(file, backup.places(where.postfix, aliases=tables), socket.gethostname())
    for each in done.missed:
        yield f"left out: {safe(each)}"
    held = "it holds passwords and keys as they are: leave it on this host"
    return Ending(f"{safe(str(file))}: {plural(len(done.paths), 'path')}, mode 600; {held}", not done.missed)


# -- the emergency procedure -------------------------------------------------------------------------------------------


class Emergency:
    """The procedure under way. `stage` is the one to be decided; `done` are the transactions so far, oldest first."""

    def __init__(self, session: Session) -> None:
        self.stage: Stage | None = None
        self.done: list[str] = []
        self.begun = False
        self.over = False
        self.cancelled = threading.Event()
        self._session = session
        self._steps: Procedure | None = None

    @property
    def unfinished(self) -> bool:
        """True where something was done and the end is not reached."""
        return bool(self.done) and not self.over

    def begin(self) -> Doing:
        """Save both configurations, and come to the first stage. Raises PermissionError."""
        self._steps = procedure(allowed(self._session, self.cancelled))
        self.begun = True
        return (yield from self._onward(None))

    def do(self) -> Doing:
        """Carry out the stage, and go on to the next; one that failed was undone and can be decided again."""
        shop, stage = allowed(self._session, self.cancelled), self.stage
        if stage is None:
            return Ending("there is no step to do")
        outcome = yield from _told(carry_out(stage.fix, JournalEntry(title=stage.title), shop))
        if not isinstance(outcome, Applied):
            return Ending(words.concluded(outcome))
        self.done.append(outcome.transaction)
        return (yield from self._onward(outcome.transaction))

    def leave_out(self) -> Doing:
        """Go on without this stage."""
        allowed(self._session, self.cancelled)
        yield f"left out: {safe(self.stage.title) if self.stage else ''}"
        return (yield from self._onward(""))

    def take_back(self) -> Doing:
        """Undo every stage that was done, latest first; the procedure is over then."""
        while self.done:
            ending = yield from undoing(self._session, self.done[-1])
            if not ending.good:
                return ending
            self.done.pop()
        self.over, self.stage = True, None
        return Ending("every step is taken back: the host is as it was before", True)

    def _onward(self, answer: str | None) -> Doing:
        steps, self._steps = self._steps, None
        if steps is None:
            return Ending("the procedure broke off before: u takes back what was done")
        while True:
            try:
                met = steps.send(answer) if answer is not None else next(steps)
            except StopIteration:
                self.over, self.stage = True, None
                return Ending("the procedure is at its end; now everything is looked at again", True)
            answer = ""
            match met:
                case Archive(file):
                    yield f"both configurations are saved to {safe(str(file))} (mode 600, secrets included)"
                case Checked(ran):
                    yield from (words.told(Guarded(each)) for each in ran)
                case stage:
                    self.stage, self._steps = stage, steps
                    return Ending(f"next: {safe(stage.title)}", True)
