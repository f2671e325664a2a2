"""The report of `maildiag logs`: a tally made readable, every table sorted and cut to the most frequent."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import datetime

from maildiag.logs.ranking import counted, heaviest, shown
from maildiag.logs.report_addresses import bare_address, most_sent_by, most_sent_to, reached, recipients_of, senders_of
from maildiag.logs.report_reasons import connect_failures_of, problems_of, reasons_of, refusals_of
from maildiag.logs.report_times import (
    PHASES,
    all_sessions,
    sessions_by_client,
    sessions_by_day,
    sessions_by_hour,
    spread,
    traffic_of,
    when,
)
from maildiag.logs.rows import Counted, LogReport, RelayRow, SizelessRow
from maildiag.logs.tally import Tally

SCHEMA = "maildiag.logs/1"


def make_report(
    tally: Tally, now: datetime, *, sources: Iterable[str] = (), errors: Iterable[str] = (), top: int = 20
) -> LogReport:
    """Return the report of a tally; `now` dates classic timestamps, `top` limits the length of each table (0: no limit)."""
    limit = top or None
    recipients, recipient_domains = recipients_of(tally)
    senders, sender_domains = senders_of(tally)
    days, hours = traffic_of(tally, now)
    recipients_by_count, recipients_by_size = most_sent_to(recipients, limit)
    senders_by_count, senders_by_size = most_sent_by(senders, limit)
    return LogReport(
        sources=tuple(map(shown, sources)),
        errors=tuple(map(shown, errors)),
        first=when(tally.first_stamp, now),
        last=when(tally.last_stamp, now),
        lines=tally.lines,
        bytes=tally.bytes_read,
        outside_window=tally.outside_window,
        unparsed=tally.unparsed,
        unparsed_samples=tuple(map(shown, tally.unparsed_samples)),
        totals=_totals(tally, len(senders), len(sender_domains), reached(recipients), reached(recipient_domains)),
        days=days,
        hours=hours,
        recipient_domains=most_sent_to(recipient_domains, limit)[0],
        recipients=recipients_by_count,
        sender_domains=most_sent_by(sender_domains, limit)[0],
        senders=senders_by_count,
        recipients_by_size=recipients_by_size,
        senders_by_size=senders_by_size,
        relays=_relays(tally, limit),
        delay=spread("delay", tally.delays),
        phases=tuple(s for s in map(spread, PHASES, tally.phases) if s),
        reasons=reasons_of(tally, limit),
        refusals=refusals_of(tally, limit),
        refused_clients=counted(tally.refused_clients, limit),
        connect_failures=connect_failures_of(tally, limit),
        problems=problems_of(tally, limit),
        auth_failures_by_user=counted(tally.auth_users, limit),
        auth_failures_by_address=counted(tally.auth_addresses, limit),
        submitters=counted(tally.sasl_users, limit),
        logins=counted(tally.logins, None),
        login_users=counted(tally.login_users, limit),
        tls=_tls(tally.tls, limit),
        master=counted(tally.master, limit),
        hosts=counted(tally.hosts, limit),
        without_size=_without_size(tally, limit),
        sessions=all_sessions(tally),
        session_clients=len(tally.session_clients),
        sessions_by_day=sessions_by_day(tally, now),
        sessions_by_hour=sessions_by_hour(tally),
        sessions_by_client=sessions_by_client(tally, limit),
        capped=tuple(sorted(tally.capped)),
    )


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


def _relays(tally: Tally, limit: int | None) -> tuple[RelayRow, ...]:
    statuses: list[Mapping[str, int]] = [tally.relays.get(status, {}) for status in ("sent", "deferred", "bounced")]
    totals = dict(statuses[0])
    for counter in statuses[1:]:
        for name, count in counter.items():
            totals[name] = totals.get(name, 0) + count
    return tuple(
        RelayRow(shown(name.removeprefix("relay=")), *(counter.get(name, 0) for counter in statuses))
        for name in heaviest(totals.keys(), totals.values(), limit)
    )


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
    return counted(merged, limit)


def _without_size(tally: Tally, limit: int | None) -> tuple[SizelessRow, ...]:
    """The first by queue id, which are no more telling than others."""
    return tuple(
        SizelessRow(shown(qid), tuple(shown(bare_address(raw, "to=<")) for raw in tally.foreign_sent[qid]))
        for qid in sorted(tally.foreign_sent)[:limit]
    )
