"""One session of `maildiag fix`: the diagnosis, the questions at the terminal, and the fixes applied so far."""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
from collections.abc import Iterator
from dataclasses import field
from types import FrameType
from typing import Any

from maildiag import engine, registry
from maildiag.cli.progress import Progress
from maildiag.events import RunFinished
from maildiag.hosts.local import LocalHost
from maildiag.model import Cause, Fix, Risk
from maildiag.records import dataclass
from maildiag.redact import cut_secrets
from maildiag.repair import events, planning, saving, words
from maildiag.repair.applying import Consent, Workshop, apply, refusal
from maildiag.repair.events import Outcome
from maildiag.repair.hand import Hand, Ran
from maildiag.repair.judging import Bench, Cure
from maildiag.repair.preview import preview
from maildiag.repair.store import Store
from maildiag.report import Report
from maildiag.settings import Settings
from maildiag.text import plural, safe, safe_lines
from maildiag.typed import typed, withheld

_MOST_ROUNDS = 20


@dataclass(frozen=True, slots=True)
class Attempt:
    """A fix that was applied, or refused: the commands that ran and how it ended."""

    cure: Cure
    ran: tuple[Ran, ...]
    outcome: Outcome

    def document(self) -> dict[str, Any]:
        """As `maildiag fix --json` tells it."""
        return {
            "finding": self.cure.finding.id,
            "subject": self.cure.finding.subject,
            "fix": self.cure.fix.id,
            "outcome": words.named(self.outcome),
            "detail": words.concluded(self.outcome),
            "transaction": getattr(self.outcome, "transaction", ""),
            "commands": [
                {
                    "argv": [cut_secrets(word) for word in each.argv],
                    "status": each.status,
                    "output": safe_lines(cut_secrets(each.output)),
                }
                for each in self.ran
            ],
        }


@dataclass(slots=True)
class Fixing:
    """The state of the session."""

    settings: Settings
    wanted: tuple[str, ...] = ()
    quiet: bool = False
    attempts: list[Attempt] = field(default_factory=list)
    _shop: Workshop = field(init=False)
    _report: Report | None = None
    _signals: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        host = LocalHost()
        bench = Bench(host, registry.load(), self.settings)
        self._shop = Workshop(hand=Hand(host), bench=bench, store=Store(), cancelled=self._signals, diagnoses=True)

    @property
    def cancelled(self) -> bool:
        """True once a signal asked to stop."""
        return self._signals.is_set()

    @contextlib.contextmanager
    def interruptible(self) -> Iterator[None]:
        """The first signal ends the fix under way between two steps and undoes it; it is never cut in the middle."""

        def stop(number: int, frame: FrameType | None) -> None:
            self._signals.set()
            self._say("stopping after this step; what is half done will be undone")

        before = {each: signal.signal(each, stop) for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def report(self) -> Report:
        """The diagnosis of the host as it is now."""
        if self._report is None:
            self._report = self._diagnose()
        return self._report

    def _diagnose(self) -> Report:
        bench = self._shop.bench
        with Progress() as progress:
            for event in engine.run(bench.host, bench.registry, bench.settings):
                progress.follow(event)
                if isinstance(event, RunFinished):
                    return event.report
        raise AssertionError("a run ends with its report")

    # -- the ways to go -------------------------------------------------------------------------------------------

    def apply_automatic(self) -> None:
        """All automatic fixes in rank order, diagnosing anew after each, until nothing is left or nothing helps."""
        done: set[planning.Tried] = set()
        self._headline()
        for _ in range(_MOST_ROUNDS):
            chosen = planning.automatic(self.report(), done, self.wanted)
            if chosen is None or self.cancelled:
                return
            self._show(Cause(chosen.finding, chosen.explains), [chosen.fix])
            done.add(planning.tried(chosen))
            outcome = self._apply(chosen, Consent.AUTOMATIC)
            if isinstance(outcome, events.Cured):
                done = {planning.tried(each.cure) for each in self.attempts if isinstance(each.outcome, events.Cured)}

    def apply_named(self, name: str) -> None:
        """The one fix of that id: naming it is the yes."""
        for cause in planning.causes(self.report(), (name,)):
            for fix in planning.fixes(cause, (name,)):
                self._show(cause, [fix])
                self._apply(planning.cure(cause, fix), Consent.CONFIRMED)

    def show_all(self) -> None:
        """Every cause with its fixes, the diff of every file and the commands; nothing is changed."""
        self._headline()
        for cause in planning.causes(self.report(), self.wanted):
            self._show(cause, planning.fixes(cause, self.wanted))

    def offer(self) -> None:
        """Show and ask, one cause after the other; without a terminal only show, and say what to pass."""
        self._headline()
        asked: set[str] = set()
        if not (sys.stdin.isatty() and sys.stderr.isatty()):
            self._without_terminal()
            return
        while not self.cancelled:
            rest = [each for each in planning.causes(self.report(), self.wanted) if each.finding.key not in asked]
            if not rest:
                return
            asked.add(rest[0].finding.key)
            if not self._offer(rest[0]):
                return

    def tell_the_rest(self, changed: bool) -> None:
        """What the state is now, and what is left to do by hand."""
        report = self.report()
        left = report.diagnosis.causes
        if changed:
            self._say(f"\nNow: {report.status.value}. {safe(report.diagnosis.headline, 500)}")
            for cause in left if self.attempts else ():
                self._by_hand(cause)

    # -- one cause ------------------------------------------------------------------------------------------------

    def _offer(self, cause: Cause) -> bool:
        """Show the cause and ask; False to end the session."""
        chosen = planning.fixes(cause, self.wanted)
        self._show(cause, chosen)
        possible = [each for each in chosen if not self._refusal(cause, each)]
        if not possible:
            return True
        fix = self._choose(possible)
        if isinstance(fix, Fix) and self._confirmed(cause, fix):
            self._apply(planning.cure(cause, fix), Consent.CONFIRMED)
        return fix != "q"

    def _choose(self, possible: list[Fix]) -> Fix | str:
        if len(possible) == 1:
            return possible[0]
        answer = self._ask(f"Which one? [1-{len(possible)}, n for none, q to end] ")
        if answer.isdigit() and 1 <= int(answer) <= len(possible):
            return possible[int(answer) - 1]
        return answer

    def _confirmed(self, cause: Cause, fix: Fix) -> bool:
        """A plain yes; for a high risk the finding's id has to be typed."""
        if fix.risk is Risk.HIGH:
            return self._ask(f"The risk is high. Type {cause.finding.id} to apply {fix.id}: ") == cause.finding.id
        return self._ask(f"Apply {fix.id}? [y/N] ").lower() in ("y", "yes")

    def _apply(self, chosen: Cure, consent: Consent) -> Outcome:
        ran: list[Ran] = []
        undoing, left = False, None
        for event in apply(chosen, self._shop, consent, self._report):
            undoing = undoing or isinstance(event, events.Undoing)
            if isinstance(event, events.Finished) and not undoing:
                ran.append(event.ran)
            if isinstance(event, events.Diagnosed):
                left = event.report
            if isinstance(event, events.Done):
                outcome = event.outcome
            text = words.told(event)
            if text:
                self._say(text)
        self._say(f"{safe(chosen.finding.key)}: {words.concluded(outcome)}")
        self.attempts.append(Attempt(chosen, tuple(ran), outcome))
        self._report = left if isinstance(outcome, events.Cured) else None
        return outcome

    def _refusal(self, cause: Cause, fix: Fix) -> str:
        return refusal(planning.cure(cause, fix), self._shop.hand, Consent.CONFIRMED)

    # -- words ----------------------------------------------------------------------------------------------------

    def _headline(self) -> None:
        self._say(safe(self.report().diagnosis.headline, 500))

    def _show(self, cause: Cause, chosen: list[Fix]) -> None:
        finding = cause.finding
        self._say(f"\n{finding.status.value.upper()} {finding.key}: {finding.title}")
        for evidence in finding.evidence[:3]:
            self._say(f"  {evidence.source}: {safe_lines(evidence.text, 200, 4)}")
        if not chosen:
            self._say("  No fix is known; maildiag explain " + finding.runbook)
        for number, fix in enumerate(chosen, 1):
            self._show_fix(number, cause, fix)

    def _show_fix(self, number: int, cause: Cause, fix: Fix) -> None:
        traits = [f"risk {fix.risk.value}", "automatic" if fix.automatic else "not automatic"]
        traits += [f"disrupts {fix.disrupts}"] if fix.disrupts else []
        self._say(f"  {number}. {safe(fix.title)} ({fix.id}; {', '.join(traits)})")
        if fix.why:
            self._say(f"     {safe(fix.why)}")
        if fix.ask:
            self._say("     To send:\n" + _indented(safe_lines(fix.ask), 7))
        if not fix.commands:
            return
        for diff in preview(fix, saving.places(self._shop.hand)).diffs:
            self._say(_indented(diff.text, 5))
        for argv in fix.commands:
            self._say(f"     $ {typed(argv)}")
        secret = withheld(fix)
        if secret:
            self._say(f"     {secret}")
        why = self._refusal(cause, fix)
        if why:
            self._say(f"     maildiag does not do this here: {why}")

    def _by_hand(self, cause: Cause) -> None:
        for fix in cause.finding.fixes[:1]:
            self._say(f"  left: {cause.finding.key}: {safe(fix.title)}")
            for argv in fix.commands:
                self._say(f"    $ {typed(argv)}")

    def _without_terminal(self) -> None:
        chosen = planning.causes(self.report(), self.wanted)
        for cause in chosen:
            self._show(cause, planning.fixes(cause, self.wanted))
        if chosen:
            self._say(
                f"\n{plural(len(chosen), 'cause')}; nothing was changed, because there is no terminal to ask at: pass --yes to "
                "apply the automatic fixes, --confirm FIX to apply one, --dry-run to only show",
                always=True,
            )

    def _say(self, text: str, always: bool = False) -> None:
        if not self.quiet:
            print(text, file=sys.stderr if always else sys.stdout, flush=True)

    def _ask(self, question: str) -> str:
        print(question, end="", file=sys.stderr, flush=True)
        try:
            return sys.stdin.readline().strip()
        except KeyboardInterrupt:
            return ""


def _indented(text: str, width: int) -> str:
    return "\n".join(" " * width + line for line in text.splitlines())
