"""What was counted of a log file, remembered by inode and offset, so that the next run reads only what is new."""

from __future__ import annotations

import contextlib
import marshal
import os
import stat
import sys
from collections import Counter
from dataclasses import fields
from pathlib import Path
from typing import Any

from maildiag.logs.tally import Tally
from maildiag.records import dataclass

# Changes whenever what is counted changes: a state of another version is read anew.
VERSION = 5
_HEAD = 512
_COUNTER_FIELDS = tuple(
    f.name for f in fields(Tally) if "Counter[" in str(f.type) and str(f.type).startswith("Counter")
)


@dataclass(frozen=True, slots=True)
class Remembered:
    """The counts of the first `offset` bytes of a file."""

    tally: Tally
    offset: int


def directory() -> Path:
    """Return the user's state directory for maildiag, `$XDG_STATE_HOME/maildiag` or below ~/.local/state."""
    base = os.environ.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
    return Path(base) / "maildiag" / "logs"


def load(path: Path) -> Remembered | None:
    """Return what is remembered of this file under any name, None if nothing is or the file is not the same any more."""
    try:
        status = path.stat()
        where = _file(status)
        if not _ours(where):
            return None
        data: Any = marshal.loads(where.read_bytes())  # our own file, of our own user: checked above
        tag, head, offset, table = data
    except (OSError, ValueError, EOFError, TypeError):
        return None
    if tag != _tag() or offset > status.st_size or head != _fingerprint(path):
        return None
    return Remembered(thawed(table), offset)


def save(path: Path, tally: Tally, offset: int) -> None:
    """Remember the counts of the first `offset` bytes; not being able to is no error."""
    with contextlib.suppress(OSError, ValueError):
        where = _file(path.stat())
        where.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        data = marshal.dumps((_tag(), _fingerprint(path), offset, frozen(tally)))
        new = where.with_name(f"{where.name}.{os.getpid()}")
        new.unlink(missing_ok=True)
        with open(new, "xb", opener=_private) as file:
            file.write(data)
        new.replace(where)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _tag() -> tuple[int, int, str]:
    return VERSION, marshal.version, sys.version


def _file(status: os.stat_result) -> Path:
    return directory() / f"{status.st_dev:x}-{status.st_ino:x}.state"


def _ours(path: Path) -> bool:
    """Whether only we can have written the file."""
    for one in (path, path.parent):
        status = one.lstat()
        if (
            status.st_uid != os.geteuid()
            or status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
            or stat.S_ISLNK(status.st_mode)
        ):
            return False
    return True


def _fingerprint(path: Path) -> bytes:
    """The beginning of the file: it tells a truncated and rewritten log from one that grew."""
    with path.open("rb") as file:
        return file.read(_HEAD)


def frozen(tally: Tally) -> dict[str, Any]:
    """Return the counts as a value that marshal can write."""
    return {f.name: _plain(getattr(tally, f.name)) for f in fields(Tally) if f.name != "scratch"}


def _plain(value: Any) -> Any:
    """Counters as dicts, all the way down: marshal knows nothing else."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, tuple):
        return tuple(_plain(item) for item in value)
    return value


def thawed(table: dict[str, Any]) -> Tally:
    """Return the counts that `frozen` made a plain value of."""
    tally = Tally()
    for name, value in table.items():
        if name in _COUNTER_FIELDS:
            value = Counter(value)
        elif name in ("hours", "relays"):
            value = {key: Counter(item) for key, item in value.items()}
        elif name == "phases":
            value = tuple(Counter(item) for item in value)
        setattr(tally, name, value)
    return tally
