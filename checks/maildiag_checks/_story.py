"""What the log tells of a daemon that does not run: what it complained of last, and when it was told to stop."""

from __future__ import annotations

from datetime import datetime, timedelta

from maildiag.logs.summary import Group, LogSummary
from maildiag.records import dataclass
from maildiag_checks import _owners


@dataclass(frozen=True, slots=True)
class Story:
    """`complaints` are the critical lines around its end, those that name a cause first; `stopped` when it was told to
    stop (None where the log does not say).
    """

    complaints: tuple[Group, ...]
    stopped: datetime | None

    @property
    def first(self) -> Group | None:
        """The complaint that names a cause; the first failure counts, not what follows from it."""
        return next((each for each in self.complaints if each.meaning not in FOLLOWS), None)

    def owners(self, otherwise: tuple[str, ...]) -> tuple[str, ...]:
        """The checks that own what it complained of."""
        named = dict.fromkeys(
            owner
            for each in self.complaints
            if each.meaning not in FOLLOWS
            for owner in _owners.of_meaning(each.meaning)
        )
        return tuple(named) or otherwise


# What a daemon says on its way down, and what systemd makes of it; the cause stands elsewhere.
FOLLOWS = frozenset(
    {
        "process.signal", "start.failed", "start.not-running", "start.down", "start.pickup-socket", "start.already-running",
        "dovecot.signal", "systemd.failed", "systemd.exited", "systemd.start-failed", "systemd.start-limit",
    }
)  # fmt: skip
_AROUND = timedelta(seconds=90)


def story(summary: LogSummary | None, name: str, ended: datetime | None) -> Story:
    """The story of `postfix` or `dovecot`, which ended at `ended`."""
    if summary is None:
        return Story((), None)
    stops = [each.when for each in summary.starts if each.family == name and each.kind == "stop" and each.when]
    mine = [each for each in summary.groups if not each.over and each.severity == "critical" and concerns(each, name)]
    near = [each for each in mine if ended is None or each.last is None or each.last >= ended - _AROUND]
    return Story(tuple(sorted(near or mine, key=_order)), max(stops, default=None))


def concerns(group: Group, name: str) -> bool:
    """True for the daemon's own lines, those of systemd about its unit, and of the kernel about its processes."""
    told = " ".join((*group.fields.values(), group.key if group.family == "systemd" else "")).lower()
    return group.family == name or (group.family in ("systemd", "kernel") and name in told)


def _order(group: Group) -> tuple[bool, float]:
    return group.meaning in FOLLOWS, group.first.timestamp() if group.first else 0.0
