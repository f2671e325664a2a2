"""Why mail waits or was lost: what the log says of a reason, and what explains it whatever it is."""

from __future__ import annotations

from datetime import timedelta

from maildiag.facts.mail_log import MailLog
from maildiag.logs.summary import ReasonGroup
from maildiag.model import Evidence

# Where mail leaves all the time, this long without any is no lull between two attempts.
_BETWEEN = timedelta(minutes=10)
ROOTS = (
    "services.postfix",
    "services.dovecot",
    "services.disk",
    "services.main-cf",
    "services.master-cf",
    "services.lookup-tables",
    "services.backend",
    "queue.directories",
    "connectivity.relayhost",
    "connectivity.relay-settings",
    "connectivity.lmtp-socket",
    "dns.resolver",
    "dns.relayhost",
    "logs.problems",
)


def said(log: MailLog | None, status: str, meaning: str) -> tuple[ReasonGroup, ...]:
    """What the log says of deliveries that ended with this status for this reason."""
    if log is None:
        return ()
    return tuple(each for each in log.summary.reasons if each.status == status and each.reason.meaning == meaning)


def log_evidence(log: MailLog | None, groups: tuple[ReasonGroup, ...]) -> tuple[Evidence, ...]:
    """The newest line of each of the first two."""
    if log is None:
        return ()
    return tuple(Evidence(log.source, each.samples[-1], each.last) for each in groups[:2])


def leaves_meanwhile(log: MailLog | None, *meanings: str) -> bool:
    """Mail left for other hosts between deferrals of these meanings: what waits is for hosts that are gone or misspelt."""
    elsewhere = log.summary.last_elsewhere if log is not None else None
    deferred = [one for meaning in meanings for one in said(log, "deferred", meaning)]
    first = min((each.first for each in deferred if each.first), default=None)
    last = max((each.last for each in deferred if each.last), default=None)
    return bool(elsewhere and first and last and first < elsewhere and last < elsewhere + _BETWEEN)
