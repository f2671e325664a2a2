"""Why mail waits or was lost: what the log says of a reason, and what explains it whatever it is."""

from __future__ import annotations

from maildiag.facts.mail_log import MailLog
from maildiag.logs.summary import ReasonGroup
from maildiag.model import Evidence

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
