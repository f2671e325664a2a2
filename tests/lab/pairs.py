"""Two independent faults at once: both must be among the causes, each under its own name."""

from __future__ import annotations

import itertools

from tests.lab.fault_judge import Report, is_one_of
from tests.lab.faults import Fault, catalogue

# Faults of the reading side and of the sending side of one mail server: neither hides what shows the other.
_DOVECOT = (
    "services/dovecot-stopped",
    "dovecot/misspelt-setting",
    "dovecot/brace-too-many",
    "dovecot/include-missing",
    "dovecot/socket-directory-missing",
    "dovecot/plugin-not-installed",
)
_POSTFIX = (
    "postfix/comment-behind-inet-interfaces",
    "postfix/line-without-equals-sign",
    "services/postfix-stopped",
    "services/postfix-not-enabled",
    "firewall/firewalld-smtp-removed",
    "tables/virtual-never-built",
)

Pair = tuple[Fault, Fault]


def pairs() -> tuple[Pair, ...]:
    """Every fault of one side with every fault of the other."""
    known = {fault.name: fault for fault in catalogue()}
    return tuple((known[one], known[two]) for one, two in itertools.product(_DOVECOT, _POSTFIX))


def releases_of(pair: Pair) -> tuple[str, ...]:
    """The releases that have both faults."""
    return tuple(release for release in pair[0].releases if release in pair[1].releases)


def name_of(pair: Pair) -> str:
    """`one + two`."""
    return " + ".join(fault.name for fault in pair)


def judge_pair(report: Report, pair: Pair) -> list[str]:
    """What is wrong with the report on a host that has both faults; empty when each is named as a cause."""
    missing = [
        f"{fault.name} is not named: expected {' or '.join(fault.first)} among the causes, which are "
        + (", ".join(map(str, report.causes)) or "none")
        for fault in pair
        if not any(is_one_of(cause, fault.first, fault.subject) for cause in report.causes)
    ]
    return missing + [f"crashed: {check}" for check in report.crashed]
