"""Everything that can happen while a fix is applied or undone, on one page; command line and TUI only read these."""

from __future__ import annotations

from maildiag.records import dataclass
from maildiag.repair.hand import Ran
from maildiag.report import Report


@dataclass(frozen=True, slots=True)
class Judging:
    """The finding is judged again before anything is touched; left out where the report that was shown serves."""

    finding: str


@dataclass(frozen=True, slots=True)
class Saving:
    """What the fix will change is being saved; `transaction` is the name that `maildiag undo` takes."""

    transaction: str
    path: str


@dataclass(frozen=True, slots=True)
class AllSaved:
    """Everything is saved and on the disk."""

    transaction: str
    paths: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Guarded:
    """A guard has answered; where it does not pass, no service is made to read the configuration."""

    ran: Ran


@dataclass(frozen=True, slots=True)
class Running:
    """The intent is on the disk, the command comes next."""

    argv: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Finished:
    """A command of the fix has ended."""

    ran: Ran


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A command was not run, and why."""

    argv: tuple[str, ...]
    why: str


@dataclass(frozen=True, slots=True)
class Verifying:
    """The checks run again; `waiting_for` are the findings that were not clean the last time."""

    attempt: int
    waiting_for: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Diagnosed:
    """The last look of the verification was at everything: where the end is `Cured`, this is the host as it was left."""

    report: Report


@dataclass(frozen=True, slots=True)
class Undoing:
    """What was done is put back, and why."""

    transaction: str
    why: str


@dataclass(frozen=True, slots=True)
class Restored:
    """A path is as it was saved."""

    path: str


@dataclass(frozen=True, slots=True)
class Undone:
    """The end of an undo: the paths put back, and what could not be, in words."""

    transaction: str
    restored: tuple[str, ...] = ()
    left: tuple[str, ...] = ()

    @property
    def complete(self) -> bool:
        """True where everything is as it was."""
        return not self.left


@dataclass(frozen=True, slots=True)
class Cured:
    """The finding is gone, and so is all that had to go; `remaining` still fails for other causes."""

    transaction: str
    remaining: tuple[str, ...] = ()
    note: str = ""


@dataclass(frozen=True, slots=True)
class NotCured:
    """The commands worked, the finding stays: undone."""

    why: str
    undone: Undone


@dataclass(frozen=True, slots=True)
class MadeWorse:
    """Something that was fine before fails now: undone."""

    worse: tuple[str, ...]
    undone: Undone


@dataclass(frozen=True, slots=True)
class NoLongerNeeded:
    """The finding was gone before anything was touched."""

    why: str


@dataclass(frozen=True, slots=True)
class Refused:
    """The fix must not or cannot be applied; nothing was changed."""

    why: str


@dataclass(frozen=True, slots=True)
class Failed:
    """A command or a guard failed: undone."""

    ran: Ran
    undone: Undone


@dataclass(frozen=True, slots=True)
class Unverified:
    """The commands worked, but whether they cured could not be determined; the change stays and can be undone."""

    transaction: str
    why: str


@dataclass(frozen=True, slots=True)
class Cancelled:
    """Stopped between two steps: undone."""

    undone: Undone


Outcome = Cured | NotCured | MadeWorse | NoLongerNeeded | Refused | Failed | Unverified | Cancelled


@dataclass(frozen=True, slots=True)
class Done:
    """The last event."""

    outcome: Outcome


RepairEvent = (
    Judging
    | Saving
    | AllSaved
    | Guarded
    | Running
    | Finished
    | LeftOut
    | Verifying
    | Diagnosed
    | Undoing
    | Restored
    | Undone
    | Done
)
