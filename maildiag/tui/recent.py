"""The newest lines of a log that tell of trouble, as the log grows."""

from __future__ import annotations

from collections import deque
from datetime import UTC, datetime
from pathlib import Path

from maildiag.tui.logfile import LogFile
from maildiag.tui.logscan import is_problem
from maildiag.tui.rows import Row

_END = 1 << 17  # bytes of the end of the log that are looked at when it is opened
_MOST = 100


class Recent:
    """For a worker thread: `look` reads what is new, `rows` holds the problems, newest last."""

    def __init__(self, path: Path) -> None:
        """Raises OSError where the log cannot be read."""
        self.rows: deque[Row] = deque(maxlen=_MOST)
        self._path = path
        self._file = LogFile(path, _END)
        self._looked_at = 0

    def look(self) -> bool:
        """Read on, in the new file where the log was rotated; True where there are more problems. Raises OSError."""
        if self._file.rotated():
            self._file, self._looked_at = LogFile(self._path), 0
        for _ in self._file.read_on():
            pass
        now, before = datetime.now(UTC).astimezone(), self._looked_at
        self._looked_at = len(self._file)
        found = [n for n in range(before, self._looked_at) if is_problem(self._file.line(n), now)]
        self.rows.extend(self._file[n] for n in found[-_MOST:])
        return bool(found)
