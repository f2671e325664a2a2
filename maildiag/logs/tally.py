"""The counts of one pass over a log, small enough to keep and exact to merge."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import field, fields
from typing import Any

from maildiag.records import dataclass

CAP = 200_000  # distinct values kept per counter; beyond it the rarest go to OTHERS, and the report says so
LIVE_CAP = 1_000_000  # messages in the queue at one time
SAMPLES = 5
OTHERS = "(others)"

# A sender: messages, bytes. A recipient: sent, bytes, sum and maximum of the delays in seconds, deferrals, bounces.
Row = list[float]


@dataclass(slots=True)
class Tally:
    """Everything that is counted; keys are raw pieces of lines, made readable only in the report.

    A message is known by its queue id from `client=` to `removed`; what happened to it outside the part of the log
    that was read is kept in the `foreign_*` tables, by which `merge` joins two neighbouring parts exactly.
    """

    lines: int = 0
    bytes_read: int = 0
    unparsed: int = 0
    unparsed_samples: list[str] = field(default_factory=list)
    outside_window: int = 0
    first_stamp: str = ""
    last_stamp: str = ""

    # whole-log counts by "day and hour" prefix of the timestamp
    hours: dict[str, Counter[str]] = field(default_factory=dict)
    totals: Counter[str] = field(default_factory=Counter)

    senders: dict[str, Row] = field(default_factory=dict)
    recipients: dict[str, Row] = field(default_factory=dict)
    bare_senders: dict[str, Row] = field(default_factory=dict)  # those without a domain, <> above all
    sender_domains: dict[str, Row] = field(default_factory=dict)
    recipient_domains: dict[str, Row] = field(default_factory=dict)

    relays: dict[str, Counter[str]] = field(default_factory=dict)  # by status
    delays: Counter[str] = field(default_factory=Counter)
    phases: tuple[Counter[str], ...] = field(default_factory=lambda: tuple(Counter() for _ in range(4)))
    reasons: Counter[str] = field(default_factory=Counter)  # "dsn=… status=… (…)"
    refusals: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    refused_clients: Counter[str] = field(default_factory=Counter)
    # where an equal reason was met: the next hops of bounces, the clients of refusals
    bounced_at: Counter[tuple[str, str]] = field(default_factory=Counter)
    refused_at: Counter[tuple[tuple[str, str, str], str]] = field(default_factory=Counter)
    problems: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    problem_samples: dict[tuple[str, str, str], str] = field(default_factory=dict)
    connect_failures: Counter[str] = field(default_factory=Counter)
    tls: Counter[str] = field(default_factory=Counter)
    hosts: Counter[str] = field(default_factory=Counter)
    master: Counter[str] = field(default_factory=Counter)
    auth_users: Counter[str] = field(default_factory=Counter)
    auth_addresses: Counter[str] = field(default_factory=Counter)
    sasl_users: Counter[str] = field(default_factory=Counter)
    logins: Counter[str] = field(default_factory=Counter)
    login_users: Counter[str] = field(default_factory=Counter)
    sessions: dict[str, list[float]] = field(default_factory=dict)  # per hour or client: count, seconds, longest
    session_clients: dict[str, list[float]] = field(default_factory=dict)
    open_sessions: dict[str, float] = field(default_factory=dict)

    # messages that are in the queue at this point of the log
    received: dict[str, str] = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=dict)
    deferred: set[str] = field(default_factory=set)
    # and what concerns messages that came before the part of the log that was read
    foreign_from: dict[str, tuple[str, int]] = field(default_factory=dict)
    foreign_sent: dict[str, list[str]] = field(default_factory=dict)
    foreign_deferred: set[str] = field(default_factory=set)
    foreign_removed: set[str] = field(default_factory=set)
    capped: set[str] = field(default_factory=set)
    scratch: dict[str, object] = field(default_factory=dict)  # belongs to the pass, is never merged

    def hour(self, kind: str) -> Counter[str]:
        """The counter by hour of one kind of event."""
        return _counter(self.hours, kind)

    def relays_of(self, status: str) -> Counter[str]:
        """The counter of next hops of one outcome."""
        return _counter(self.relays, status)

    def shrink(self) -> None:
        """Keep every table within its cap; called between blocks of lines."""
        for name in _COUNTERS:
            table = getattr(self, name)
            if len(table) > CAP:
                self._shrink_counter(name, table)
        for counter in self.relays.values():
            if len(counter) > CAP:
                self._shrink_counter("relays", counter)
        if len(self.senders) > CAP:
            self._evict("senders", self.senders, self.sender_domains, _add_rows)
        if len(self.recipients) > CAP:
            self._evict("recipients", self.recipients, self.recipient_domains, _add_recipients)
        for name in _LIVE:
            self._shrink_live(name, getattr(self, name))

    def _shrink_counter(self, name: str, table: Counter[Any]) -> None:
        self.capped.add(name)
        for key, count in table.most_common()[CAP // 2 :]:
            del table[key]
            if isinstance(key, str):
                table[OTHERS] += count
            else:
                table[*key[:-1], OTHERS] += count

    def _evict(self, name: str, rows: dict[str, Row], domains: dict[str, Row], add: Callable[[Row, Row], None]) -> None:
        """Fold the half that counts least into its domains."""
        self.capped.add(name)
        for key in sorted(rows, key=lambda one: rows[one][0])[: -(CAP // 2)]:
            row, domain = rows.pop(key), key.rpartition("@")[2].rstrip(">").lower()
            if domain not in domains and len(domains) >= CAP:
                domain = OTHERS
            add(domains.setdefault(domain, [0] * len(row)), row)

    def _shrink_live(self, name: str, table: dict[str, object] | set[str]) -> None:
        if len(table) <= LIVE_CAP:
            return
        self.capped.add(name)
        for key in list(table)[: -(LIVE_CAP // 2)]:
            if isinstance(table, set):
                table.discard(key)
            else:
                del table[key]

    def merge(self, later: Tally) -> None:
        """Add the counts of the part of the log that follows this one; equal to having read both in one pass."""
        self._join_messages(later)
        for one in fields(self):
            name = one.name
            if name not in _JOINED:
                _merge_field(self, name, getattr(later, name))
        self.first_stamp = self.first_stamp or later.first_stamp
        self.last_stamp = later.last_stamp or self.last_stamp
        self.unparsed_samples = [*self.unparsed_samples, *later.unparsed_samples][:SAMPLES]
        self.shrink()

    def _join_messages(self, later: Tally) -> None:
        for qid, (sender, size) in later.foreign_from.items():
            self._join_from(qid, sender, size)
        for qid, recipients in later.foreign_sent.items():
            self._join_sent(qid, recipients)
        known = self.deferred & later.foreign_deferred
        self.totals["messages deferred"] -= len(known)
        self.deferred |= later.deferred
        ours = {qid for qid in later.foreign_deferred if qid in self.sizes and qid not in self.foreign_from}
        self.foreign_deferred |= later.foreign_deferred - known - ours
        self.received |= later.received
        self.sizes |= later.sizes
        for qid in later.foreign_removed:
            if qid in self.sizes or qid in self.received:
                self.sizes.pop(qid, None)
                self.received.pop(qid, None)
                self.deferred.discard(qid)
            else:
                self.foreign_removed.add(qid)

    def _join_from(self, qid: str, sender: str, size: int) -> None:
        if qid in self.sizes:
            return
        client = self.received.pop(qid, None)
        if client is None:
            self.foreign_from[qid] = (sender, size)
        else:
            self.add_sender(sender, size, client)
            self.sizes[qid] = size

    def _join_sent(self, qid: str, recipients: list[str]) -> None:
        size = self.sizes.get(qid)
        if size is None:
            self.foreign_sent.setdefault(qid, []).extend(recipients)
            return
        for recipient in recipients:
            self.recipients.setdefault(recipient, [0.0] * 6)[1] += size
            self.totals["bytes delivered"] += size

    def add_sender(self, sender: str, size: int, client: str) -> None:
        """Count a received message; `sender` is `from=<…>`, `client` the `client=…` text or `pickup`."""
        row = (self.senders if "@" in sender else self.bare_senders).setdefault(sender, [0, 0])
        row[0] += 1
        row[1] += size
        if "@" not in sender:  # then the domain is that of the client
            domain = sender if client == "pickup" else client_domain(client)
            _add_rows(
                self.sender_domains.setdefault(domain if len(self.sender_domains) < CAP else OTHERS, [0, 0]), [1, size]
            )
        self.totals["bytes received"] += size


def _counter(table: dict[str, Counter[str]], key: str) -> Counter[str]:
    counter = table.get(key)
    if counter is None:
        counter = table[key] = Counter()
    return counter


def client_domain(client: str) -> str:
    """Return the domain of `client=mx1.example.com[192.0.2.1], …`, the address if the name is unknown."""
    name, _, rest = client.removeprefix("client=").partition("[")
    address = rest.partition("]")[0]
    if name in ("", "unknown"):
        return address
    parts = name.rsplit(".", 3)
    # as pflogsumm: mach.host.dom and mach.host.do.co become host.dom and host.do.co
    if len(parts) == 4 and len(parts[3]) == 2 and len(parts[2]) in (2, 3):
        return f"{parts[1].lower()}.{parts[2]}.{parts[3]}"
    if len(parts) >= 3 and len(parts[-1]) == 3:
        return f"{parts[-2].lower()}.{parts[-1]}"
    return name


def _add_rows(into: Row, row: Row) -> None:
    for index, value in enumerate(row):
        into[index] += value


def _add_recipients(into: Row, row: Row) -> None:
    for index, value in enumerate(row):
        into[index] = max(into[index], value) if index == 3 else into[index] + value


def _merge_field(into: Tally, name: str, value: Any) -> None:
    mine = getattr(into, name)
    match value:
        case Counter():
            mine.update(value)
        case int():
            setattr(into, name, mine + value)
        case set():
            mine |= value
        case tuple():
            for own, other in zip(mine, value, strict=True):
                own.update(other)
        case dict():
            _merge_table(name, mine, value.items())


def _merge_table(name: str, mine: dict[str, Any], items: Iterable[tuple[str, Any]]) -> None:
    for key, value in items:
        own = mine.get(key)
        if own is None:
            mine[key] = value
        elif isinstance(own, Counter):
            own.update(value)
        elif isinstance(own, list):
            match name:
                case "recipients" | "recipient_domains":
                    _add_recipients(own, value)
                case "sessions" | "session_clients":
                    own[:] = [own[0] + value[0], own[1] + value[1], max(own[2], value[2])]
                case _:
                    _add_rows(own, value)


_LIVE = ("received", "sizes", "deferred", "foreign_from", "foreign_sent", "foreign_deferred", "foreign_removed")
_COUNTERS = (
    "delays", "reasons", "refusals", "refused_clients", "bounced_at", "refused_at", "problems", "connect_failures", "tls",
    "hosts", "master", "auth_users", "auth_addresses", "sasl_users", "logins", "login_users",
)  # fmt: skip
_JOINED = frozenset((*_LIVE, "first_stamp", "last_stamp", "unparsed_samples", "scratch"))
