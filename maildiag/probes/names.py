"""Questions to the DNS."""

from __future__ import annotations

from enum import StrEnum

from maildiag.probes.probe import Probe
from maildiag.records import dataclass


class DnsStatus(StrEnum):
    """RFC 1035 section 4.1.1 and RFC 2308: what a name server said, or why it said nothing."""

    ANSWER = "answer"
    NO_DATA = "no-data"
    NO_SUCH_NAME = "nxdomain"
    SERVER_FAILURE = "servfail"
    REFUSED = "refused"
    TIMEOUT = "timeout"
    UNREACHABLE = "unreachable"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class DnsAnswer:
    """The answer to a DNS question: its records in presentation form, and which server gave it.

    `SERVER_FAILURE`, `REFUSED`, `TIMEOUT`, `UNREACHABLE` and `FAILED` say nothing about the name itself.
    """

    status: DnsStatus
    records: tuple[str, ...] = ()
    server: str = ""
    detail: str = ""

    @property
    def knows(self) -> bool:
        """True where the answer tells something of the name: it is there, or it is not."""
        return self.status in (DnsStatus.ANSWER, DnsStatus.NO_DATA, DnsStatus.NO_SUCH_NAME)


@dataclass(frozen=True, slots=True)
class DnsLookup(Probe[DnsAnswer]):
    """Ask the DNS for records of one type; of `server` (an address; `tries` times within the limit), or of the servers in
    resolv.conf, in order.
    """

    name: str
    record: str
    server: str = ""
    timeout: float = 3.0
    tries: int = 2

    @property
    def source(self) -> str:
        return f"dig {self.name} {self.record}" + (f" @{self.server}" if self.server else "")

    @property
    def limit_s(self) -> float:
        return self.timeout
