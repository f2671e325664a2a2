"""Saves everything that a fix will change and opens its transaction; nothing is touched before all is on the disk."""

from __future__ import annotations

import stat
from collections.abc import Generator
from datetime import datetime
from pathlib import Path

from maildiag import __version__
from maildiag.model import Fix, Gap
from maildiag.probes import command
from maildiag.records import dataclass
from maildiag.repair import events, targets, units
from maildiag.repair.hand import Hand
from maildiag.repair.journal import COPIES, AllSaved, Began, Journal, now
from maildiag.repair.saved import MOST_BYTES, CannotSave, Extent, Saved, capture
from maildiag.repair.store import Store
from maildiag.repair.targets import Places, Reach, Target


@dataclass(frozen=True, slots=True)
class Open:
    """A transaction whose saving is done: its journal is open, and these paths are saved."""

    id: str
    journal: Journal
    saved: tuple[Saved, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """What a transaction is for: the finding's key, a title, and the end of a time-limited change (UTC)."""

    finding: str = ""
    title: str = ""
    until: datetime | None = None


def save(fix: Fix, label: Label, hand: Hand, store: Store, id: str) -> Generator[events.RepairEvent, None, Open]:
    """Open the transaction `id` and save what `fix` changes. Raises CannotSave, `store.Unsafe` and OSError."""
    wanted = changes(fix, places(hand))
    paths = targets.paths(wanted)
    store.prepare()
    journal = store.create(id)
    trees = tuple(each.path for each in wanted if each.reach is Reach.BENEATH)
    journal.write(
        Began(
            id=id,
            at=now(),
            fix=fix,
            finding=label.finding,
            title=label.title,
            trees=trees,
            version=__version__,
            until=label.until,
        )
    )
    kept = yield from _save_all(id, paths, journal.directory / COPIES)
    journal.write(*kept, *units.states(hand, fix.commands), AllSaved(now()))
    yield events.AllSaved(id, tuple(each.path for each in kept))
    return Open(id, journal, kept)


def changes(fix: Fix, where: Places) -> tuple[Target, ...]:
    """What the fix says that it changes, and what its commands show that they change."""
    told = [Target(path) for path in fix.changes if path.startswith("/")]
    seen = [target for argv in fix.commands for target in targets.targets(argv, where)]
    return tuple(dict.fromkeys([*told, *seen]))


def places(hand: Hand) -> Places:
    """Where this host's Postfix keeps its configuration and alias tables; the defaults where it cannot be asked."""
    told = hand.ask(command("postconf", "-hx", "config_directory", "alias_database"))
    if isinstance(told, Gap) or told.status != 0:
        return Places()
    lines = told.stdout.splitlines()
    if len(lines) != 2 or not lines[0].startswith("/"):
        return Places()
    return Places(lines[0], tuple(lines[1].replace(",", " ").split()))


def _save_all(
    id: str, paths: list[tuple[str, Extent]], into: Path
) -> Generator[events.RepairEvent, None, tuple[Saved, ...]]:
    kept: list[Saved] = []
    room = MOST_BYTES
    for number, (path, extent) in enumerate(paths):
        yield events.Saving(id, path)
        room -= _size(path) if extent is Extent.WHOLE else 0
        if room < 0:
            raise CannotSave(f"{path}: more than {MOST_BYTES} bytes are too many to save")
        kept.append(capture(path, into, f"{number:05}", extent))
    return tuple(kept)


def _size(path: str) -> int:
    try:
        info = Path(path).lstat()
    except OSError:
        return 0
    return info.st_size if stat.S_ISREG(info.st_mode) else 0
