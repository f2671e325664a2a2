"""The report of `maildiag logs`: a tally made readable, every table sorted and cut to the most frequent."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from maildiag.logs.classify import classify
from maildiag.logs.lines import LogLine, classic_day, parse_line
from maildiag.logs.normal import normalise
from maildiag.logs.reasons import classify_reason
from maildiag.logs.tally import Row, Tally
from maildiag.text import safe

SCHEMA = "maildiag.logs/1"
_STATUS = re.compile(r"dsn=(?P<dsn>\S*) status=(?P<status>\S+) \((?P<reason>.*)\)", re.DOTALL)
PERCENTILES = (50, 90, 95, 99)
PHASES = ("before the queue", "in the queue", "connecting", "transfer")


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
class ReasonRow:
    """Equal reasons of deferrals, bounces (status) or refusals (status is the kind, stage the SMTP command).

    `at` has the next hops that bounced so, or the clients that were refused so, the most frequent first.
    """

    status: str
    stage: str
    meaning: str
    text: str
    dsn: str
    count: int
    at: tuple[Counted, ...] = ()


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
    connect_failures: tuple[Counted, ...]
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


def shown(raw: str) -> str:
    """Return a piece of a log (latin-1 text of any bytes) as text that is safe to print."""
    return safe(raw if raw.isascii() else raw.encode("latin-1", "replace").decode("utf-8", "replace"))


def make_report(
    tally: Tally, now: datetime, *, sources: Iterable[str] = (), errors: Iterable[str] = (), top: int = 20
) -> LogReport:
    """Return the report of a tally; `now` dates classic timestamps, `top` limits the length of each table (0: no limit)."""
    limit = top or None
    recipients, recipient_domains = _recipients(tally)
    senders, sender_domains = _senders(tally)
    days, hours = _traffic(tally, now)
    return LogReport(
        sources=tuple(map(shown, sources)),
        errors=tuple(map(shown, errors)),
        first=_when(tally.first_stamp, now),
        last=_when(tally.last_stamp, now),
        lines=tally.lines,
        bytes=tally.bytes_read,
        outside_window=tally.outside_window,
        unparsed=tally.unparsed,
        unparsed_samples=tuple(map(shown, tally.unparsed_samples)),
        totals=_totals(tally, len(senders), len(sender_domains), _reached(recipients), _reached(recipient_domains)),
        days=days,
        hours=hours,
        recipient_domains=_top_recipients(recipient_domains, limit),
        recipients=_top_recipients(recipients, limit),
        sender_domains=_top_senders(sender_domains, limit),
        senders=_top_senders(senders, limit),
        recipients_by_size=_top_recipients(recipients, limit, _size),
        senders_by_size=_top_senders(senders, limit, _size),
        relays=_relays(tally, limit),
        delay=_spread("delay", tally.delays),
        phases=tuple(s for s in map(_spread, PHASES, tally.phases) if s),
        reasons=_reasons(tally, limit),
        refusals=_refusals(tally, limit),
        refused_clients=_counted(tally.refused_clients, limit),
        connect_failures=_merged(tally.connect_failures, limit),
        problems=_problems(tally, limit),
        auth_failures_by_user=_counted(tally.auth_users, limit),
        auth_failures_by_address=_counted(tally.auth_addresses, limit),
        submitters=_counted(tally.sasl_users, limit),
        logins=_counted(tally.logins, None),
        login_users=_counted(tally.login_users, limit),
        tls=_tls(tally.tls, limit),
        master=_counted(tally.master, limit),
        hosts=_counted(tally.hosts, limit),
        without_size=_without_size(tally, limit),
        sessions=_all_sessions(tally),
        session_clients=len(tally.session_clients),
        sessions_by_day=_sessions_by(tally, lambda stamp: _day(stamp, now)),
        sessions_by_hour=_sessions_by(tally, lambda stamp: stamp[-2:]),
        sessions_by_client=_sessions(tally.session_clients, limit),
        capped=tuple(sorted(tally.capped)),
    )


def _when(stamp: str, now: datetime) -> datetime | None:
    line = parse_line(f"{stamp} host program: text", now) if stamp else None
    return line.when if line else None


def _address(raw: str, prefix: str) -> str:
    """`to=<User@Example.COM>` as User@example.com: domains know no case, local parts may."""
    address = raw.removeprefix(prefix).rstrip(">")
    user, at, domain = address.partition("@")
    return f"{user}{at}{domain.lower()}"


def _recipients(tally: Tally) -> tuple[dict[str, Row], dict[str, Row]]:
    people: dict[str, Row] = {}
    domains = {name: list(row) for name, row in tally.recipient_domains.items()}
    for raw, row in tally.recipients.items():
        address = raw[4:-1] if raw.islower() else _address(raw, "to=<")
        if address in people:
            people[address] = _sum(people[address], row)
        else:
            people[address] = row
        name = address.partition("@")[2] or address
        domain = domains.get(name)
        if domain is None:
            domains[name] = row[:]
        else:  # a row is sent, bytes, seconds, longest, deferred, bounced
            domain[0] += row[0]
            domain[1] += row[1]
            domain[2] += row[2]
            domain[3] = max(domain[3], row[3])
            domain[4] += row[4]
            domain[5] += row[5]
    return people, domains


def _sum(one: Row, other: Row) -> Row:
    return [
        max(mine, its) if index == 3 else mine + its for index, (mine, its) in enumerate(zip(one, other, strict=True))
    ]


def _reached(table: Mapping[str, Row]) -> int:
    """How many of them something was delivered to."""
    return sum(row[0] > 0 for row in table.values())


def _senders(tally: Tally) -> tuple[dict[str, Row], dict[str, Row]]:
    people: dict[str, Row] = {}
    domains = {_bare(name): list(row) for name, row in tally.sender_domains.items()}
    for table in (tally.senders, tally.bare_senders):
        for raw, row in table.items():
            address = raw[6:-1] if raw.islower() and raw != "from=<>" else _bare(raw)
            mine = people.get(address)
            people[address] = row if mine is None else [mine[0] + row[0], mine[1] + row[1]]
            name = address.partition("@")[2]
            if name and (domain := domains.get(name)):
                domain[0] += row[0]
                domain[1] += row[1]
            elif name:
                domains[name] = row[:]
    return people, domains


def _bare(name: str) -> str:
    return _address(name, "from=<") or "<>"


def _top(weights: Mapping[str, float], limit: int | None) -> list[str]:
    """The names of most weight, equal ones in order of name. Only those that may be among them are sorted by name."""
    if limit is not None and len(weights) > limit:
        least = sorted(weights.values(), reverse=True)[limit - 1]
        weights = {name: weight for name, weight in weights.items() if weight >= least}
    return sorted(weights, key=lambda name: (-weights[name], name))[:limit]


def _size(row: Row) -> float:
    """The bytes of a sender or recipient."""
    return row[1]


def _messages(row: Row) -> float:
    """The messages of a sender."""
    return row[0]


def _attempts(row: Row) -> float:
    """The deliveries and deferrals of a recipient."""
    return row[0] + row[4]


def _top_recipients(
    table: Mapping[str, Row], limit: int | None, weight: Callable[[Row], float] = _attempts
) -> tuple[RecipientRow, ...]:
    rows = ((name, table[name]) for name in _top({name: weight(row) for name, row in table.items()}, limit))
    return tuple(
        RecipientRow(
            shown(name),
            int(sent),
            int(size),
            int(deferred),
            int(bounced),
            round(spent / sent, 2) if sent else 0.0,
            longest,
        )
        for name, (sent, size, spent, longest, deferred, bounced) in rows
    )


def _top_senders(
    table: Mapping[str, Row], limit: int | None, weight: Callable[[Row], float] = _messages
) -> tuple[SenderRow, ...]:
    names = _top({name: weight(row) for name, row in table.items()}, limit)
    return tuple(SenderRow(shown(name), int(table[name][0]), int(table[name][1])) for name in names)


def _totals(tally: Tally, senders: int, sender_domains: int, recipients: int, recipient_domains: int) -> dict[str, int]:
    totals = tally.totals
    sums = {kind: sum(counter.values()) for kind, counter in tally.hours.items()}
    kinds: Counter[str] = Counter()
    for (kind, _, _), count in tally.refusals.items():
        kinds[kind] += count
    return {
        "received": sums.get("received", 0),
        "delivered": sums.get("delivered", 0),
        "forwarded": totals["forwarded"],
        "deferred": totals["messages deferred"],
        "deferrals": sums.get("deferred", 0),
        "bounced": sums.get("bounced", 0),
        "expired": totals["expired"],
        "rejected": kinds["reject"] + kinds["milter-reject"],
        "reject_warnings": kinds["reject_warning"] + kinds["warning"],
        "held": kinds["hold"],
        "discarded": kinds["discard"],
        "bytes_received": totals["bytes received"],
        "bytes_delivered": totals["bytes delivered"],
        "senders": senders,
        "sending_domains": sender_domains,
        "recipients": recipients,
        "recipient_domains": recipient_domains,
        "submitted_locally": totals["submitted locally"],
        "left_the_queue": totals["removed"],
        "still_in_queue": len(tally.sizes),
        "without_size": sum(map(len, tally.foreign_sent.values())),
        "connections": totals["connections"],
        "stored_by_dovecot": totals["stored by Dovecot"],
        "logins": totals["logins"],
        "failed_logins": totals["failed logins"],
        "warnings": totals["warning"],
        "errors": totals["error"],
        "fatal_errors": totals["fatal"],
        "panics": totals["panic"],
        "bounce_messages": totals["bounce messages sent"],
        "other_programs_lines": totals["lines of other programs"],
    }


_KINDS = ("received", "delivered", "deferred", "bounced", "rejected")


def _traffic(tally: Tally, now: datetime) -> tuple[tuple[Traffic, ...], tuple[Traffic, ...]]:
    days: dict[str, Counter[str]] = {}
    hours: dict[str, Counter[str]] = {f"{hour:02d}": Counter() for hour in range(24)}
    for kind in _KINDS:
        for stamp, count in tally.hours.get(kind, {}).items():
            days.setdefault(_day(stamp, now), Counter())[kind] += count
            hours.setdefault(stamp[-2:], Counter())[kind] += count
    return tuple(_row(day, days[day]) for day in sorted(days)), tuple(_row(hour, hours[hour]) for hour in sorted(hours))


def _row(label: str, counts: Counter[str]) -> Traffic:
    return Traffic(shown(label), *(counts[kind] for kind in _KINDS))


def _day(stamp: str, now: datetime) -> str:
    """The day of `Nov 16 00` or `2026-11-16T00`."""
    if stamp[:1].isdigit():
        return stamp[:10]
    try:
        day = classic_day(stamp[:3], int(stamp[4:6]), now.year, now.month, now.day)
    except ValueError:
        day = None
    return "{:04d}-{:02d}-{:02d}".format(*day) if day else "unknown"


def _spread(name: str, counter: Counter[str]) -> Spread | None:
    """Percentiles of values that the log gives as text, `delay=0.12`; exact, as every distinct text is counted."""
    values: Counter[float] = Counter()
    for text, count in counter.items():
        try:
            values[float(text.rpartition("=")[2])] += count
        except ValueError:
            continue
    count = values.total()
    if not count:
        return None
    ordered = sorted(values)
    total = sum(value * times for value, times in values.items())
    percentiles = {str(percent): _percentile(ordered, values, count, percent) for percent in PERCENTILES}
    return Spread(name, count, round(total, 2), round(total / count, 3), percentiles, ordered[-1])


def _percentile(ordered: list[float], values: Counter[float], count: int, percent: int) -> float:
    """The smallest value that at least `percent` per cent of all are not above (nearest rank)."""
    rank, seen = -(-count * percent // 100), 0
    for value in ordered:
        seen += values[value]
        if seen >= rank:
            return value
    return ordered[-1]


def _relays(tally: Tally, limit: int | None) -> tuple[RelayRow, ...]:
    totals: Counter[str] = Counter()
    for counter in tally.relays.values():
        totals.update(counter)
    statuses: list[Mapping[str, int]] = [tally.relays.get(status, {}) for status in ("sent", "deferred", "bounced")]
    return tuple(
        RelayRow(shown(name.removeprefix("relay=")), *(counter.get(name, 0) for counter in statuses))
        for name in _top(totals, limit)
    )


def _reasons(tally: Tally, limit: int | None) -> tuple[ReasonRow, ...]:
    rows: Counter[tuple[str, str, str]] = Counter()
    keys: dict[str, tuple[str, str, str]] = {}
    first: dict[tuple[str, str, str], str] = {}
    for raw, count in sorted(tally.reasons.items()):
        match = _STATUS.match(raw)
        status, dsn, reason = (match["status"], match["dsn"], match["reason"]) if match else ("", "", raw)
        key = keys[raw] = (status, dsn, normalise(reason))
        rows[key] += count
        first.setdefault(key, reason)
    shown_rows = _ranked(rows)[:limit]
    at = _at(tally.bounced_at, keys, {key for key, _ in shown_rows})
    found = []
    for key, count in shown_rows:
        status, dsn, text = key
        meaning = classify_reason(shown(first[key]), dsn).meaning
        found.append(ReasonRow(status, "", meaning, shown(text), shown(dsn), count, _hops(at.get(key), limit)))
    return tuple(found)


def _refusals(tally: Tally, limit: int | None) -> tuple[ReasonRow, ...]:
    rows: Counter[tuple[str, str, str]] = Counter()
    keys: dict[tuple[str, str, str], tuple[str, str, str]] = {}
    first: dict[tuple[str, str, str], str] = {}
    for raw, count in sorted(tally.refusals.items()):
        kind, stage, reason = raw
        key = keys[raw] = (kind, stage, normalise(reason))
        rows[key] += count
        first.setdefault(key, reason)
    shown_rows = _ranked(rows)[:limit]
    at = _at(tally.refused_at, keys, {key for key, _ in shown_rows})
    found = []
    for key, count in shown_rows:
        kind, stage, text = key
        why = classify_reason(shown(first[key]))
        found.append(ReasonRow(kind, shown(stage), why.meaning, shown(text), why.dsn, count, _hops(at.get(key), limit)))
    return tuple(found)


def _at(
    counter: Counter[tuple[Any, str]], keys: Mapping[Any, tuple[str, str, str]], wanted: set[tuple[str, str, str]]
) -> dict[tuple[str, str, str], Counter[str]]:
    """Where each of the wanted reasons was met."""
    found: dict[tuple[str, str, str], Counter[str]] = {key: Counter() for key in wanted}
    for (raw, place), count in counter.items():
        key = keys.get(raw)
        if key in wanted:
            found[key][place] += count
    return found


def _hops(counter: Counter[str] | None, limit: int | None) -> tuple[Counted, ...]:
    rows = _counted(counter or Counter(), limit)
    return tuple(Counted(row.name.removeprefix("relay="), row.count) for row in rows)


def _counted(counter: Counter[str], limit: int | None) -> tuple[Counted, ...]:
    return tuple(Counted(shown(name) or "(unknown)", counter[name]) for name in _top(counter, limit) if counter[name])


def _ranked(counter: Counter[Any]) -> list[tuple[Any, int]]:
    """The most frequent first, equal ones by name: the same log gives the same report."""
    return sorted(counter.items(), key=lambda item: (-item[1], item[0]))


def _merged(counter: Counter[str], limit: int | None) -> tuple[Counted, ...]:
    """Count by text without variable parts."""
    merged: Counter[str] = Counter()
    for text, count in counter.items():
        merged[normalise(text)] += count
    return _counted(merged, limit)


def _tls(counter: Counter[str], limit: int | None) -> tuple[Counted, ...]:
    """`in: Trusted TLS TLSv1.3 with cipher X (…)` by direction, trust, protocol and cipher."""
    merged: Counter[str] = Counter()
    for text, count in counter.items():
        direction, trust, cipher = (
            text.partition(":")[0],
            text.partition(": ")[2].partition(" ")[0],
            text.rpartition(" TLS ")[2],
        )
        merged[f"{direction} {trust} {' '.join(cipher.split(' ')[:4])}"] += count
    return _counted(merged, limit)


def _problems(tally: Tally, limit: int | None) -> tuple[ProblemRow, ...]:
    rows: Counter[tuple[str, str, str]] = Counter()
    first: dict[tuple[str, str, str], tuple[str, str, str]] = {}
    for (daemon, level, text), count in sorted(tally.problems.items()):
        key = (daemon, level, normalise(text))
        rows[key] += count
        first.setdefault(key, (daemon, level, text))
    return tuple(
        _problem_row(key, count, first[key], tally.problem_samples.get(first[key], ""))
        for key, count in _ranked(rows)[:limit]
    )


def _problem_row(key: tuple[str, str, str], count: int, raw: tuple[str, str, str], sample: str) -> ProblemRow:
    daemon, level, text = key
    service = daemon.partition(" ")
    line = parse_line(sample, datetime.now().astimezone()) or (
        LogLine(None, "", "dovecot", None, f"{service[2]}: {level.capitalize()}: {raw[2]}", "")
        if service[0] == "dovecot"
        else LogLine(None, "", f"postfix/{daemon}", None, f"{level}: {raw[2]}", "")
    )
    problem = classify(line)
    meaning, severity = (problem.meaning, problem.severity) if problem else ("other", "warning")
    return ProblemRow(shown(daemon), level, meaning, severity, shown(text), count, shown(sample))


def _without_size(tally: Tally, limit: int | None) -> tuple[SizelessRow, ...]:
    """The first by queue id, which are no more telling than others."""
    return tuple(
        SizelessRow(shown(qid), tuple(shown(_address(raw, "to=<")) for raw in tally.foreign_sent[qid]))
        for qid in sorted(tally.foreign_sent)[:limit]
    )


def _sessions_by(tally: Tally, label: Callable[[str], str]) -> tuple[SessionRow, ...]:
    """Connections by the label of their "day and hour"."""
    rows: dict[str, Row] = {}
    for stamp, row in tally.sessions.items():
        mine = rows.setdefault(label(stamp), [0.0, 0.0, 0.0])
        mine[:] = [mine[0] + row[0], mine[1] + row[1], max(mine[2], row[2])]
    return tuple(SessionRow(shown(name), *map(int, rows[name])) for name in sorted(rows))


def _all_sessions(tally: Tally) -> SessionRow | None:
    """All connections whose beginning and end the log has."""
    rows = _sessions_by(tally, lambda _: "all")
    return rows[0] if rows else None


def _sessions(table: Mapping[str, Row], limit: int | None) -> tuple[SessionRow, ...]:
    names = _top({name: row[0] for name, row in table.items()}, limit)
    return tuple(SessionRow(shown(name), *map(int, table[name])) for name in names)
