"""`maildiag emergency`: the emergency procedure, each step confirmed by itself, everything saved before."""

from __future__ import annotations

import argparse
import contextlib
import sys
from typing import TYPE_CHECKING

from maildiag.cli.errors import UsageError

if TYPE_CHECKING:
    from maildiag.repair.applying import Workshop
    from maildiag.repair.emergency import Stage
    from maildiag.repair.hand import Ran


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `emergency`."""
    parser.add_argument("--dry-run", action="store_true", help="show every step, change nothing")


def main(args: argparse.Namespace) -> int:
    """Walk through the procedure; exit status as that of the diagnosis at its end, 1 where it was ended early."""
    from maildiag.cli.carrying import workshop

    if not args.dry_run and not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise UsageError("every step is asked about, which needs a terminal; --dry-run shows the steps")
    shop = workshop()
    if not args.dry_run and not shop.hand.privileged:
        raise UsageError("this needs root; --dry-run shows the steps and what to type")
    return _Procedure(shop, args.dry_run).walk()


class _Ended(Exception):  # noqa: N818 (an answer)
    """The administrator ended the procedure."""


class _Procedure:
    def __init__(self, shop: Workshop, dry_run: bool) -> None:
        self._shop = shop
        self._dry_run = dry_run
        self._done: list[str] = []

    def walk(self) -> int:
        """All steps in order."""
        try:
            self._steps()
        except _Ended:
            print("Ended. What was done so far, latest first: " + (", ".join(reversed(self._done)) or "nothing"))
            print("Each can be taken back with maildiag undo.")
            return 1
        return self._diagnose()

    def _steps(self) -> None:
        from maildiag.repair.procedure import Archive, Checked, procedure

        steps = procedure(self._shop, self._dry_run)
        answer = ""
        with contextlib.suppress(StopIteration):
            step = next(steps)
            while True:
                match step:
                    case Archive(file):
                        print(f"\n== Save both configurations\n   to {file} (mode 600, secrets included)")
                    case Checked(ran):
                        self._tell(ran)
                    case stage:
                        answer = self._do(stage)
                step = steps.send(answer)
                answer = ""

    def _tell(self, ran: tuple[Ran, ...]) -> None:
        from maildiag.repair.events import Guarded
        from maildiag.repair.words import told

        print("\n== Check both configurations")
        for each in ran:
            print(_indented(told(Guarded(each))))

    def _do(self, stage: Stage) -> str:
        """Show, ask, do; the transaction's name, empty where the step was left out."""
        from maildiag.cli.carrying import told
        from maildiag.repair.carrying import Applied, carry_out
        from maildiag.repair.saving import Label
        from maildiag.text import safe_lines
        from maildiag.typed import typed

        print(f"\n== {stage.title}\n{_indented(safe_lines(stage.why))}")
        for argv in stage.fix.commands:
            print(f"   $ {typed(argv)}")
        if self._dry_run or not _yes():
            return ""
        outcome = told(carry_out(stage.fix, Label(title=stage.title), self._shop))
        if isinstance(outcome, Applied):
            self._done.append(outcome.transaction)
            return outcome.transaction
        if not _yes("That did not work. Go on all the same?"):
            raise _Ended
        return ""

    def _diagnose(self) -> int:
        from maildiag.report import exit_status
        from maildiag.text import safe

        if self._dry_run:
            print("\n== Diagnose the whole host\n   $ maildiag run")
            return 0
        report = self._shop.bench.look_at_all()
        print(f"\n{report.status.value}: {safe(report.diagnosis.headline, 500)}")
        return exit_status(report.status)


def _yes(question: str = "Do it?") -> bool:
    """A yes; q ends the procedure."""
    print(f"{question} [y/N, q to end] ", end="", file=sys.stderr, flush=True)
    answer = sys.stdin.readline()
    if not answer or answer.strip().lower() in ("q", "quit"):
        raise _Ended
    return answer.strip().lower() in ("y", "yes")


def _indented(text: str) -> str:
    return "\n".join(f"   {line}" for line in text.splitlines())
