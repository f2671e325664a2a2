"""What a log line at warning or above means."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from types import MappingProxyType

from maildiag.logs.known import ProblemClass, Severity
from maildiag.logs.known_dovecot import DOVECOT, DOVECOT_LOGINS
from maildiag.logs.known_postfix import POSTFIX
from maildiag.logs.known_system import KERNEL, OTHER, SYSTEMD
from maildiag.logs.lines import Family, Level, LogLine, split_level
from maildiag.logs.normal import normalise
from maildiag.logs.patterns import search
from maildiag.records import dataclass

_TABLES: Mapping[Family, tuple[ProblemClass, ...]] = MappingProxyType(
    {
        "postfix": POSTFIX,
        "dovecot": DOVECOT,
        "systemd": SYSTEMD,
        "kernel": KERNEL,
        "other": (*OTHER, *KERNEL),
    }
)
_UNCLASSED = "The log reports a problem that maildiag has no class for."
SENTENCES: Mapping[str, str] = MappingProxyType(
    {"other": _UNCLASSED}
    | {row.id: row.sentence for table in (DOVECOT_LOGINS, *reversed(list(_TABLES.values()))) for row in reversed(table)}
)


@dataclass(frozen=True, slots=True)
class Problem:
    """One line at warning or above: what it means, how bad that is, and what it names."""

    meaning: str
    severity: Severity
    level: Level
    key: str
    fields: Mapping[str, str]
    family: Family
    daemon: str
    text: str

    @property
    def sentence(self) -> str:
        """The meaning in words."""
        return SENTENCES[self.meaning]


def classify(line: LogLine) -> Problem | None:
    """Return what the line reports, None if it reports no problem.

    Postfix and Dovecot lines report a problem when they say so (warning, error, fatal, panic), Dovecot's also when they
    tell of a login that was refused unseen; those of systemd, the kernel and others when they match a known class.
    """
    found = _classify(line.family, line.text)
    if found is None:
        return None
    meaning, severity, level, key, fields = found
    return Problem(meaning, severity, level, key, MappingProxyType(dict(fields)), line.family, line.daemon, line.text)


_BY_LEVEL: Mapping[Level, Severity] = MappingProxyType(
    {"info": "notice", "warning": "warning", "error": "warning", "fatal": "critical", "panic": "critical"}
)
Found = tuple[str, Severity, Level, str, tuple[tuple[str, str], ...]]


@lru_cache(maxsize=8192)
def _classify(family: Family, text: str) -> Found | None:
    level, body = split_level(family, text)
    if level == "info" and family == "postfix":
        return None
    for row in DOVECOT_LOGINS if level == "info" and family == "dovecot" else _TABLES[family]:
        match = search(row.pattern, body)
        if match:
            # `file2` is a second place for `file` in the same pattern
            fields = tuple((name.rstrip("23"), value) for name, value in match.groupdict().items() if value)
            return row.id, row.severity, level, normalise(body), fields
    if level == "info":
        return None
    return "other", _BY_LEVEL[level], level, normalise(body), ()
