"""Keeps each run's outcome and indicators in a local SQLite file; nothing that goes wrong with it stops a diagnosis."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path

from maildiag import state
from maildiag.indicators import indicators
from maildiag.records import dataclass
from maildiag.report import Report

_WAIT_S = 1.0
_GIB = 1024**3
_KEPT = 20_000
_BARS = "._-=+*#"
_CREATE = """
CREATE TABLE IF NOT EXISTS runs (
  id INTEGER PRIMARY KEY,
  started TEXT NOT NULL,
  host TEXT NOT NULL,
  status TEXT NOT NULL,
  headline TEXT NOT NULL,
  findings TEXT NOT NULL,
  indicators TEXT NOT NULL
)
"""


class HistoryError(Exception):
    """The file cannot be read: one line that says why."""


@dataclass(frozen=True, slots=True)
class PastRun:
    """One run: `findings` maps the key of each finding that was not ok to its status, `indicators` names to numbers."""

    started: datetime
    host: str
    status: str
    headline: str
    findings: Mapping[str, str]
    indicators: Mapping[str, float]


def place() -> Path:
    """Root's runs are the system's; others keep theirs in their own state directory."""
    return state.directory() / "history.sqlite"


def remember(report: Report, path: Path | None = None) -> str:
    """Keep the run. Never raises: an empty string, or why it could not be kept."""
    path = path or place()
    try:
        path.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
        with _open(path) as store, store:
            store.execute(_CREATE)
            store.execute(
                "INSERT INTO runs (started, host, status, headline, findings, indicators) VALUES (?, ?, ?, ?, ?, ?)",
                _row(report),
            )
            store.execute("DELETE FROM runs WHERE id <= (SELECT max(id) FROM runs) - ?", (_KEPT,))
    except (OSError, sqlite3.Error, ValueError) as error:
        return f"{path}: {error}"
    return ""


def runs(path: Path | None = None, host: str = "", most: int = 100) -> list[PastRun]:
    """The newest runs (of one host), newest first; none where there is no file. Raises HistoryError for a broken one."""
    path = path or place()
    if not path.exists():
        return []
    query = "SELECT started, host, status, headline, findings, indicators FROM runs WHERE ? IN ('', host) ORDER BY id DESC LIMIT ?"
    try:
        with _open(path) as store:
            return [_run(row) for row in store.execute(query, (host, most))] if _begun(store) else []
    except (OSError, sqlite3.Error, ValueError, TypeError) as error:
        raise HistoryError(f"{path}: {error}; move it away to begin anew") from error


def _begun(store: sqlite3.Connection) -> bool:
    """False for a file without its table: a full disk let it be made, and not be filled."""
    return store.execute("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'runs'").fetchone() is not None


@contextmanager
def _open(path: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(path, timeout=_WAIT_S)) as store:
        yield store


def _row(report: Report) -> Sequence[str]:
    findings = {each.key: each.status.value for each in report.findings if each.status.failing or each.gap}
    return (
        report.started.astimezone(UTC).isoformat(),
        report.host.name,
        report.status.value,
        report.diagnosis.headline,
        json.dumps(findings),
        json.dumps(indicators(report)),
    )


def _run(row: tuple[str, str, str, str, str, str]) -> PastRun:
    started, host, status, headline, findings, measured = row
    return PastRun(datetime.fromisoformat(started), host, status, headline, json.loads(findings), json.loads(measured))


@dataclass(frozen=True, slots=True)
class Change:
    """What differs between two runs: findings that came, went, or changed their status, by key."""

    came: Mapping[str, str]
    went: Mapping[str, str]
    turned: Mapping[str, tuple[str, str]]

    @property
    def nothing(self) -> bool:
        """True where the runs agree."""
        return not (self.came or self.went or self.turned)


def change(before: PastRun, after: PastRun) -> Change:
    """What `after` says that `before` did not."""
    old, new = before.findings, after.findings
    return Change(
        came={key: status for key, status in new.items() if key not in old},
        went={key: status for key, status in old.items() if key not in new},
        turned={key: (old[key], new[key]) for key in new if key in old and old[key] != new[key]},
    )


def last_good(past: Sequence[PastRun]) -> PastRun | None:
    """The newest run without a warning or worse, of runs that are newest first."""
    return next((each for each in past if each.status not in ("warning", "critical")), None)


def amount(name: str, value: float) -> str:
    """The value of an indicator as people read it."""
    if name.endswith("_bytes"):
        return f"{value / _GIB:.2f} GiB" if value >= _GIB else f"{value / 1024**2:.1f} MiB"
    return f"{value:,.10g}"


def trends(past: Sequence[PastRun]) -> dict[str, list[float]]:
    """The values of each indicator, oldest first, of runs that are newest first."""
    names = dict.fromkeys(name for each in past for name in each.indicators)
    return {name: [each.indicators[name] for each in reversed(past) if name in each.indicators] for name in names}


def picture(values: Sequence[float]) -> str:
    """One character for each value, from the lowest to the highest of them."""
    low, high = min(values), max(values)
    span = high - low or 1.0
    return "".join(_BARS[round((each - low) / span * (len(_BARS) - 1))] for each in values)
