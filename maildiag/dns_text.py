"""Answers of the DNS in words."""

from __future__ import annotations

from maildiag.model import Gap
from maildiag.probes import DnsAnswer, DnsStatus

_WORDS = {
    DnsStatus.TIMEOUT: "no answer in time",
    DnsStatus.SERVER_FAILURE: "the name server answers SERVFAIL",
    DnsStatus.REFUSED: "the name server refuses to answer this host",
    DnsStatus.NO_SUCH_NAME: "no such name (NXDOMAIN)",
    DnsStatus.NO_DATA: "no such record",
}


def said(answer: DnsAnswer | Gap) -> str:
    """The records, or why there are none."""
    if isinstance(answer, Gap):
        return answer.detail
    if answer.status is DnsStatus.ANSWER:
        return ", ".join(answer.records)
    words = _WORDS.get(answer.status, answer.status.value)
    return f"{words} ({answer.detail})" if answer.detail and answer.status not in _WORDS else words


def knows(answer: DnsAnswer | Gap | None) -> bool:
    """True where the answer tells something of the name: it is there, or it is not."""
    return isinstance(answer, DnsAnswer) and answer.knows
