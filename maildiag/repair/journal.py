"""The record of one transaction: every intent is on the disk before the action, so that a kill at any point can be undone."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import field
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path

from maildiag.codec import decode, encode
from maildiag.model import Fix
from maildiag.records import dataclass
from maildiag.repair.saved import Saved

FILE = "journal.jsonl"
COPIES = "saved"


@dataclass(frozen=True, slots=True, kw_only=True)
class Began:
    """The first record: what is about to be done and for which finding; `trees` are directories saved with all in them.

    `until` is the time (UTC) at which a time-limited change is switched back.
    """

    id: str
    at: datetime
    fix: Fix
    finding: str = ""
    title: str = ""
    trees: tuple[str, ...] = ()
    version: str = ""
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class UnitWas:
    """A unit's state before the fix, in the words of systemctl(1): ActiveState and UnitFileState."""

    unit: str
    active: str
    enabled: str


@dataclass(frozen=True, slots=True)
class AllSaved:
    """Everything is saved; only from here on may anything be changed."""

    at: datetime


@dataclass(frozen=True, slots=True)
class Intent:
    """This command is about to run."""

    number: int
    argv: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Finished:
    """The command of that number ended with this status."""

    number: int
    status: int


@dataclass(frozen=True, slots=True)
class Left:
    """What the fix left at a path (`saved.digest`): an undo that finds something else there asks first."""

    path: str
    digest: str


@dataclass(frozen=True, slots=True)
class Ended:
    """How it ended: the name of the outcome, and why."""

    at: datetime
    outcome: str
    why: str = ""


@dataclass(frozen=True, slots=True)
class UndoBegan:
    """Putting back has begun."""

    at: datetime


@dataclass(frozen=True, slots=True)
class UndoEnded:
    """Everything that could be put back is; `left` says what could not."""

    at: datetime
    left: tuple[str, ...] = ()


Record = Began | Saved | UnitWas | AllSaved | Intent | Finished | Left | Ended | UndoBegan | UndoEnded
_RECORDS: dict[str, type] = {
    each.__name__: each
    for each in (Began, Saved, UnitWas, AllSaved, Intent, Finished, Left, Ended, UndoBegan, UndoEnded)
}


class State(StrEnum):
    """How far a transaction got."""

    NOTHING_DONE = "nothing done"
    INTERRUPTED = "interrupted"
    APPLIED = "applied"
    UNDO_INTERRUPTED = "undo interrupted"
    UNDONE = "undone"
    PARTLY_UNDONE = "partly undone"


@dataclass(frozen=True, slots=True, kw_only=True)
class Transaction:
    """A transaction as its journal tells it."""

    directory: Path
    began: Began
    saved: tuple[Saved, ...] = ()
    units: tuple[UnitWas, ...] = ()
    ready: bool = False
    intents: tuple[Intent, ...] = ()
    left: tuple[Left, ...] = ()
    ended: Ended | None = None
    undo_began: bool = False
    undo_ended: UndoEnded | None = None

    @property
    def id(self) -> str:
        """The name that `maildiag undo` takes."""
        return self.began.id

    @property
    def copies(self) -> Path:
        """Where the saved contents are."""
        return self.directory / COPIES

    @property
    def state(self) -> State:
        """How far it got; "interrupted" unless its journal has an end."""
        if self.undo_ended is not None:
            return State.PARTLY_UNDONE if self.undo_ended.left else State.UNDONE
        if self.undo_began:
            return State.UNDO_INTERRUPTED
        if not self.intents:
            return State.NOTHING_DONE
        return State.APPLIED if self.ended is not None else State.INTERRUPTED

    @property
    def half_way(self) -> bool:
        """True where something was begun and neither finished nor put back."""
        return self.state in (State.INTERRUPTED, State.UNDO_INTERRUPTED, State.PARTLY_UNDONE)


@dataclass(slots=True)
class Journal:
    """The journal of one transaction, open for writing."""

    directory: Path
    _file: int = field(init=False)

    def __post_init__(self) -> None:
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        self._file = os.open(self.directory / FILE, flags, 0o600)

    def write(self, *records: Record) -> None:
        """Append the records and return when they are on the disk. Raises OSError."""
        text = "".join(json.dumps(encode(each)) + "\n" for each in records).encode("utf-8")
        while text:
            text = text[os.write(self._file, text) :]
        os.fsync(self._file)

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)


def read(directory: Path) -> Transaction | None:
    """The transaction in `directory`; None where it was killed before its first record. Raises OSError, ValueError."""
    records = list(_records((directory / FILE).read_bytes()))
    if not records or not isinstance(records[0], Began):
        return None
    return fold(directory, records[0], records[1:])


def fold(directory: Path, began: Began, records: list[Record]) -> Transaction:
    """What the records add up to."""
    ends = [each for each in records if isinstance(each, Ended)]
    undone = [each for each in records if isinstance(each, UndoEnded)]
    return Transaction(
        directory=directory,
        began=began,
        saved=tuple(each for each in records if isinstance(each, Saved)),
        units=tuple(each for each in records if isinstance(each, UnitWas)),
        ready=any(isinstance(each, AllSaved) for each in records),
        intents=tuple(each for each in records if isinstance(each, Intent)),
        left=tuple(each for each in records if isinstance(each, Left)),
        ended=ends[-1] if ends else None,
        undo_began=any(isinstance(each, UndoBegan) for each in records),
        undo_ended=undone[-1] if undone else None,
    )


def now() -> datetime:
    """The time of a record, UTC."""
    return datetime.now(UTC)


def _records(data: bytes) -> Iterator[Record]:
    """All whole lines; a last one that a kill or a power cut tore off was written before its action and counts as not there."""
    for line in data.split(b"\n"):
        try:
            value = json.loads(line)
            yield decode(value, _RECORDS)
        except (json.JSONDecodeError, UnicodeDecodeError):
            return
