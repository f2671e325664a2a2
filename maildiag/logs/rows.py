"""What the report of `maildiag logs` consists of: its tables, row by row."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from maildiag.records import dataclass


@dataclass(frozen=True, slots=True)
class Traffic:
    """What happened in one hour or on one day."""

    label: str
    received: int
    delivered: int
    deferred: int
    bounced: int
    rejected: int


@dataclass(frozen=True, slots=True)
class RecipientRow:
    """A recipient or a recipient domain; delays in seconds, bytes of delivered messages."""

    name: str
    delivered: int
    bytes: int
    deferred: int
    bounced: int
    delay_average: float
    delay_maximum: float


@dataclass(frozen=True, slots=True)
class SenderRow:
    """A sender or a sending domain, with the bytes of its received messages."""

    name: str
    messages: int
    bytes: int


@dataclass(frozen=True, slots=True)
class RelayRow:
    """A next hop and what came of the attempts."""

    name: str
    sent: int
    deferred: int
    bounced: int


@dataclass(frozen=True, slots=True)
class Counted:
    """A name and how often it was seen."""

    name: str
    count: int


@dataclass(frozen=True, slots=True)
class ConnectRow:
    """Equal failures to connect, `at` the hosts that were not reached, those that failed most first, of `places` hosts."""

    name: str
    count: int
    at: tuple[Counted, ...]
    places: int


@dataclass(frozen=True, slots=True)
class ReasonRow:
    """Equal reasons of deferrals, bounces (status) or refusals (status is the kind, stage the SMTP command).

    `at` has the next hops that bounced so, or the clients that were refused so, the most frequent first, of `places`.
    """

    status: str
    stage: str
    meaning: str
    text: str
    dsn: str
    count: int
    at: tuple[Counted, ...] = ()
    places: int = 0


@dataclass(frozen=True, slots=True)
class ProblemRow:
    """Equal lines at warning or above."""

    daemon: str
    level: str
    meaning: str
    severity: str
    text: str
    count: int
    sample: str


@dataclass(frozen=True, slots=True)
class Spread:
    """How long something took, in seconds, over `count` deliveries."""

    name: str
    count: int
    total: float
    average: float
    percentiles: Mapping[str, float]
    maximum: float


@dataclass(frozen=True, slots=True)
class SessionRow:
    """Connections of one hour or client: how many and how many seconds."""

    name: str
    connections: int
    seconds: int
    longest: int


@dataclass(frozen=True, slots=True)
class SizelessRow:
    """A message that was delivered though the log does not have the line with its size; recipients as delivered to."""

    queue_id: str
    recipients: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class LogReport:
    """Everything that `maildiag logs` says; counts are of the whole log, tables are cut to `top` rows."""

    sources: tuple[str, ...]
    errors: tuple[str, ...]
    first: datetime | None
    last: datetime | None
    lines: int
    bytes: int
    outside_window: int
    unparsed: int
    unparsed_samples: tuple[str, ...]
    totals: Mapping[str, int]
    days: tuple[Traffic, ...]
    hours: tuple[Traffic, ...]
    recipient_domains: tuple[RecipientRow, ...]
    recipients: tuple[RecipientRow, ...]
    sender_domains: tuple[SenderRow, ...]
    senders: tuple[SenderRow, ...]
    recipients_by_size: tuple[RecipientRow, ...]
    senders_by_size: tuple[SenderRow, ...]
    relays: tuple[RelayRow, ...]
    delay: Spread | None
    phases: tuple[Spread, ...]
    reasons: tuple[ReasonRow, ...]
    refusals: tuple[ReasonRow, ...]
    refused_clients: tuple[Counted, ...]
    connect_failures: tuple[ConnectRow, ...]
    problems: tuple[ProblemRow, ...]
    auth_failures_by_user: tuple[Counted, ...]
    auth_failures_by_address: tuple[Counted, ...]
    submitters: tuple[Counted, ...]
    logins: tuple[Counted, ...]
    login_users: tuple[Counted, ...]
    tls: tuple[Counted, ...]
    master: tuple[Counted, ...]
    hosts: tuple[Counted, ...]
    without_size: tuple[SizelessRow, ...]
    sessions: SessionRow | None
    session_clients: int
    sessions_by_day: tuple[SessionRow, ...]
    sessions_by_hour: tuple[SessionRow, ...]
    sessions_by_client: tuple[SessionRow, ...]
    capped: tuple[str, ...]
