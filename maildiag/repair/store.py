"""Where transactions are kept: a directory of the administrator's own, one directory for each, newest last by name."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from maildiag import state
from maildiag.repair import journal
from maildiag.repair.journal import Journal, Transaction


class Unsafe(Exception):  # noqa: N818 (a reason to refuse)
    """The state directory is not safe to keep saved configuration in; the message says why."""


class NoSuchTransactionError(LookupError):
    """There is no transaction of that name; the message names it."""


class Store:
    """The transactions of one host."""

    def __init__(self, root: Path | None = None) -> None:
        """`root` defaults to `state.directory()`; nothing is created until something is kept."""
        self.root = root or state.directory()
        self.undo = self.root / "undo"

    @property
    def lock(self) -> Path:
        """The repair lock (`maildiag.repair.lock.held`)."""
        return self.root / "lock"

    @property
    def children(self) -> Path:
        """The lock that the programs of a fix inherit."""
        return self.root / "lock.children"

    def prepare(self) -> None:
        """Make the directories, for their owner only: they hold copies of files with secrets. Raises Unsafe, OSError."""
        for each in (self.root, self.undo):
            each.mkdir(mode=0o700, parents=True, exist_ok=True)
            info = each.lstat()
            if info.st_uid != os.geteuid() or each.is_symlink():
                raise Unsafe(f"{each} does not belong to the user who runs maildiag")
            if info.st_mode & 0o022:
                raise Unsafe(f"{each} is writable by others (chmod 700 {each})")

    def new_id(self) -> str:
        """A name that sorts by time, also within one second; one fix at a time runs, so the microsecond is its own."""
        now = journal.now()
        return f"{now:%Y%m%d-%H%M%S}-{now.microsecond:05x}"

    def create(self, id: str) -> Journal:
        """The journal of a new transaction. Raises OSError."""
        directory = self.undo / id
        directory.mkdir(mode=0o700)
        (directory / journal.COPIES).mkdir(mode=0o700)
        return Journal(directory)

    def open(self, id: str) -> Journal:
        """The journal of an earlier transaction, to be written on."""
        return Journal(self._directory(id))

    def load(self, id: str) -> Transaction:
        """The transaction of that name, or of the only name that begins so. Raises NoSuchTransactionError."""
        found = journal.read(self._directory(id))
        if found is None:
            raise NoSuchTransactionError(f"{id} was interrupted before it began: nothing was changed")
        return found

    def transactions(self) -> list[Transaction]:
        """All of them, newest first; those killed before their first record changed nothing and are left out."""
        if not self.undo.is_dir():
            return []
        found = [_readable(each) for each in sorted(self.undo.iterdir(), reverse=True) if each.is_dir()]
        return [each for each in found if each is not None]

    def forget(self, id: str) -> None:
        """Remove a transaction with its saved copies: it cannot be undone afterwards."""
        shutil.rmtree(self._directory(id))

    def _directory(self, id: str) -> Path:
        found = [each for each in self._names() if each == id] or [
            each for each in self._names() if each.startswith(id)
        ]
        if len(found) != 1 or not id:
            raise NoSuchTransactionError(
                f"there is no transaction {id!r}" if not found else f"{id!r} is not the only one"
            )
        return self.undo / found[0]

    def _names(self) -> list[str]:
        return sorted(each.name for each in self.undo.iterdir()) if self.undo.is_dir() else []


def _readable(directory: Path) -> Transaction | None:
    try:
        return journal.read(directory)
    except (OSError, ValueError, KeyError, TypeError):
        return None
