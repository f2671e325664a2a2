"""Asks the DNS, through dnspython, and tells apart what the answer says of the name from what it says of the server."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from maildiag.probes import DnsAnswer, DnsLookup, DnsStatus


def lookup(probe: DnsLookup) -> DnsAnswer:
    """The records of one type; every failure is an answer of its own kind."""
    import dns.exception
    import dns.resolver

    try:
        resolver = dns.resolver.Resolver(configure=not probe.server)
    except dns.resolver.NoResolverConfiguration as error:
        return DnsAnswer(DnsStatus.FAILED, detail=str(error))
    if probe.server:
        resolver.nameservers = [probe.server]
    resolver.timeout = max(0.5, probe.timeout / (probe.tries if probe.server else 3))
    resolver.lifetime = probe.timeout - 0.1
    server = probe.server or ", ".join(str(each) for each in resolver.nameservers[:3])
    try:
        answer = resolver.resolve(_absolute(probe), probe.record, raise_on_no_answer=False, search=False)
    except dns.resolver.NXDOMAIN:
        return DnsAnswer(DnsStatus.NO_SUCH_NAME, server=server)
    except dns.resolver.LifetimeTimeout as error:
        return DnsAnswer(*_no_answer(error.kwargs.get("errors", [])))
    except dns.resolver.NoNameservers as error:
        return DnsAnswer(*_no_answer(error.kwargs.get("errors", [])))
    except dns.exception.DNSException as error:
        return DnsAnswer(DnsStatus.FAILED, server=server, detail=str(error) or type(error).__name__)
    used = str(answer.nameserver or server)
    if answer.rrset is None:
        return DnsAnswer(DnsStatus.NO_DATA, server=used)
    return DnsAnswer(DnsStatus.ANSWER, tuple(sorted(record.to_text() for record in answer.rrset)), used)


def _absolute(probe: DnsLookup) -> str:
    return probe.name if probe.name.endswith(".") else f"{probe.name}."


def _no_answer(errors: Sequence[tuple[Any, ...]]) -> tuple[DnsStatus, tuple[str, ...], str, str]:
    """What the servers' failures amount to: one that spoke tells more than one that was silent."""
    import dns.rcode

    rcodes = [each[4] for each in errors if len(each) > 4 and each[4] is not None and hasattr(each[4], "rcode")]
    server = ", ".join(dict.fromkeys(str(each[0]) for each in errors))
    for response in rcodes:
        code = response.rcode()
        if code in (dns.rcode.SERVFAIL, dns.rcode.REFUSED):
            status = DnsStatus.SERVER_FAILURE if code == dns.rcode.SERVFAIL else DnsStatus.REFUSED
            return status, (), server, f"the server answered {dns.rcode.to_text(code)}"
    causes = [each[3] for each in errors if len(each) > 3]
    if causes and all(isinstance(each, OSError) for each in causes):
        return DnsStatus.UNREACHABLE, (), server, str(causes[0])
    if any("timed out" in str(each) or "Timeout" in type(each).__name__ for each in causes) or not causes:
        return DnsStatus.TIMEOUT, (), server, "no answer in time"
    return DnsStatus.FAILED, (), server, str(causes[0])
