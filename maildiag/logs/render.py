"""The log report as text for people and as a JSON document for programs."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any

from maildiag.logs.report import SCHEMA
from maildiag.logs.rows import Counted, LogReport, ReasonRow, RecipientRow, SenderRow, Spread, Traffic

_BARS = " ▁▂▃▄▅▆▇█"
Heading = Callable[[str], str]


def as_document(report: LogReport) -> dict[str, Any]:
    """Return the report as a JSON document of schema `maildiag.logs/1`: field names are those of `LogReport`."""
    return {
        "schema": SCHEMA,
        **{field.name: _plain(getattr(report, field.name)) for field in dataclasses.fields(report)},
    }


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: _plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return dict(value) if isinstance(value, dict) else value


def as_text(report: LogReport, *, width: int = 80, chart: bool = False, colour: bool = False) -> Iterator[str]:
    """Yield the report line by line; `chart` draws the hours as bars, `colour` marks headings."""

    def heading(text: str) -> str:
        return f"\n\x1b[1m{text}\x1b[0m" if colour else f"\n{text}\n{'-' * len(text)}"

    yield from _summary(report, heading)
    yield from _days(report, heading)
    yield from (_chart(report, heading, width) if chart else _hours(report, heading))
    yield from _people(report, heading)
    yield from _delays(report, heading)
    yield from _failures(report, heading)
    yield from _security(report, heading)
    yield from _sessions(report, heading)
    yield from _rest(report, heading)


def size(count: float) -> str:
    """Return a number of bytes as people write it: 999, 12.3k, 4.5M."""
    for unit in ("", "k", "M", "G", "T"):
        if count < 1000 or unit == "T":
            return f"{count:.0f}" if not unit else f"{count:.1f}{unit}"
        count /= 1024
    return f"{count:.0f}"


def _table(rows: Iterable[Sequence[object]], numbers: int = 1) -> Iterator[str]:
    """Align the first `numbers` columns of rows to the right; the rest is free text."""
    texts = [[f"{cell:.1f}" if isinstance(cell, float) else str(cell) for cell in row] for row in rows]
    widths = [max((len(row[column]) for row in texts), default=0) for column in range(numbers)]
    for row in texts:
        yield "  ".join(
            ["", *(cell.rjust(wide) for cell, wide in zip(row, widths, strict=False)), *row[numbers:]]
        ).rstrip()


def _section(heading: Heading, title: str, rows: Sequence[Sequence[object]], numbers: int = 1) -> Iterator[str]:
    if rows:
        yield heading(title)
        yield from _table(rows, numbers)


_SUMMARY = (
    ("received", "messages received"), ("submitted_locally", "of these submitted on this host"), ("delivered", "deliveries"),
    ("forwarded", "forwarded"), ("deferred", "messages deferred"), ("deferrals", "deferrals"), ("bounced", "bounced"),
    ("expired", "expired and returned"), ("rejected", "rejected"), ("reject_warnings", "reject warnings"), ("held", "held"),
    ("discarded", "discarded"), ("senders", "senders"), ("sending_domains", "sending domains"), ("recipients", "recipients"),
    ("recipient_domains", "recipient domains"), ("without_size", "deliveries of unknown size"), ("still_in_queue", "still in the queue at the end"),
    ("connections", "SMTP connections"), ("stored_by_dovecot", "messages stored by Dovecot"), ("logins", "logins"),
    ("failed_logins", "failed logins"), ("warnings", "warnings"), ("errors", "errors"), ("fatal_errors", "fatal errors"),
    ("panics", "panics"),
)  # fmt: skip


def _summary(report: LogReport, heading: Heading) -> Iterator[str]:
    names = ", ".join(report.sources)
    span = (
        f"{report.first:%Y-%m-%d %H:%M:%S} to {report.last:%Y-%m-%d %H:%M:%S}"
        if report.first and report.last
        else "no times"
    )
    yield f"{names or 'log'}: {report.lines:,} lines, {span}"
    for error in report.errors:
        yield f"not read: {error}"
    for name in report.capped:
        yield f"too many different values of {name}: the rarest are counted together as (others)"
    yield heading("Totals")
    always = {"received", "delivered", "deferred", "bounced", "rejected"}
    yield from _table(
        [(f"{report.totals[key]:,}", text) for key, text in _SUMMARY if report.totals[key] or key in always]
    )
    yield from _table([(size(report.totals[f"bytes_{key}"]), f"bytes {key}") for key in ("received", "delivered")])


def _columns(rows: Iterable[Traffic]) -> Iterator[str]:
    yield from _table(
        [
            ("", "received", "delivered", "deferred", "bounced", "rejected"),
            *((row.label, row.received, row.delivered, row.deferred, row.bounced, row.rejected) for row in rows),
        ],
        6,
    )


def _days(report: LogReport, heading: Heading) -> Iterator[str]:
    if report.days:
        yield heading("Per day")
        yield from _columns(report.days)


def _hours(report: LogReport, heading: Heading) -> Iterator[str]:
    if report.days:
        yield heading("Per hour of the day")
        yield from _columns(report.hours)


def _chart(report: LogReport, heading: Heading, width: int) -> Iterator[str]:
    """The hours of the day as one line of bars for each kind of event."""
    if not report.days:
        return
    yield heading("Per hour of the day, 00 to 23")
    each = max(1, min(3, (width - 34) // 24))
    for kind in ("received", "delivered", "deferred", "bounced", "rejected"):
        counts = [getattr(row, kind) for row in report.hours if row.label.isdigit()][:24]
        most = max(counts, default=0)
        bars = "".join(_BARS[-(-count * 8 // most) if most else 0] * each for count in counts)
        yield f"  {kind:<10}{bars}  most {most:,}"


def _recipient_rows(rows: Iterable[RecipientRow]) -> list[Sequence[object]]:
    found: list[Sequence[object]] = [("sent", "bytes", "deferred", "bounced", "avg s", "max s", "")]
    found += [
        (r.delivered, size(r.bytes), r.deferred, r.bounced, r.delay_average, r.delay_maximum, r.name) for r in rows
    ]
    return found if len(found) > 1 else []


def _sender_rows(rows: Iterable[SenderRow]) -> list[Sequence[object]]:
    return [(r.messages, size(r.bytes), r.name) for r in rows]


def _people(report: LogReport, heading: Heading) -> Iterator[str]:
    yield from _section(heading, "Recipient domains", _recipient_rows(report.recipient_domains), 6)
    yield from _section(heading, "Sending domains", _sender_rows(report.sender_domains), 2)
    yield from _section(heading, "Recipients", _recipient_rows(report.recipients), 6)
    yield from _section(heading, "Senders", _sender_rows(report.senders), 2)
    yield from _section(heading, "Recipients by size", [(size(r.bytes), r.name) for r in report.recipients_by_size])
    yield from _section(heading, "Senders by size", [(size(r.bytes), r.name) for r in report.senders_by_size])
    yield from _section(heading, "Authenticated senders", _counted(report.submitters))
    relays: list[Sequence[object]] = [(r.sent, r.deferred, r.bounced, r.name) for r in report.relays]
    yield from _section(heading, "Next hops: sent, deferred, bounced", relays, 3)


def _delays(report: LogReport, heading: Heading) -> Iterator[str]:
    spreads = [spread for spread in (report.delay, *report.phases) if spread]
    if not spreads:
        return
    yield heading("Delays in seconds; where the time went in those of a second and longer")
    whole = sum(spread.total for spread in report.phases) or 1.0
    head = ["average", *(f"{percent}%" for percent in spreads[0].percentiles), "longest", "share", ""]
    yield from _table([head, *(_delay_row(spread, whole) for spread in spreads)], len(head) - 1)


def _delay_row(spread: Spread, whole: float) -> Sequence[object]:
    share = "" if spread.name == "delay" else f"{100 * spread.total / whole:.0f}%"
    return [
        f"{spread.average:.2f}",
        *(f"{value:g}" for value in spread.percentiles.values()),
        f"{spread.maximum:g}",
        share,
        spread.name,
    ]


def _reasons(heading: Heading, title: str, rows: Sequence[ReasonRow]) -> Iterator[str]:
    """Each reason with the three places where it was met most."""
    if not rows:
        return
    yield heading(title)
    wide = len(str(rows[0].count))
    for row in rows:
        yield f"  {row.count:>{wide}}  {' '.join(filter(None, (row.status, row.stage)))}  [{row.meaning}]  {row.text}"
        if row.at:
            yield f"  {'':{wide}}    {_most(row.at, row.places)}"


def _most(places: Sequence[Counted], of: int) -> str:
    """The three places where something was met most, and how many more there are."""
    more = f", {of - 3:,} more" if of > 3 else ""
    return ", ".join(f"{place.name} ({place.count})" for place in places[:3]) + more


def _failures(report: LogReport, heading: Heading) -> Iterator[str]:
    yield from _reasons(heading, "Deferrals and bounces by reason", report.reasons)
    yield from _reasons(heading, "Refusals by reason", report.refusals)
    yield from _section(heading, "Refused clients", _counted(report.refused_clients))
    failures = report.connect_failures
    if failures:
        yield heading("Connections that failed")
        wide = len(str(failures[0].count))
        for row in failures:
            yield f"  {row.count:>{wide}}  {row.name}"
            yield f"  {'':{wide}}    {_most(row.at, row.places)}"


def _counted(rows: Iterable[Counted]) -> list[Sequence[object]]:
    return [(row.count, row.name) for row in rows]


def _security(report: LogReport, heading: Heading) -> Iterator[str]:
    yield from _section(heading, "Authentication failures by user", _counted(report.auth_failures_by_user))
    yield from _section(heading, "Authentication failures by address", _counted(report.auth_failures_by_address))
    yield from _section(heading, "Logins", _counted(report.logins))
    yield from _section(heading, "TLS", _counted(report.tls))


def _sessions(report: LogReport, heading: Heading) -> Iterator[str]:
    if report.sessions:
        connections, seconds = report.sessions.connections, report.sessions.seconds
        average = seconds / max(connections, 1)
        yield heading("SMTP connections")
        yield f"  {connections:,} of {report.session_clients:,} hosts and domains, {seconds:,} s, {average:.1f} s on average"
    for title, rows in (
        ("SMTP connections by day", report.sessions_by_day),
        ("SMTP connections by hour", report.sessions_by_hour),
        ("SMTP connections by client", report.sessions_by_client),
    ):
        table = [(r.connections, r.seconds, r.longest, r.name) for r in rows]
        yield from _section(heading, f"{title}: count, seconds, longest", table, 3)


def _rest(report: LogReport, heading: Heading) -> Iterator[str]:
    problems = [(p.count, f"{p.severity:<8} {p.daemon}: {p.level}: {p.text} [{p.meaning}]") for p in report.problems]
    yield from _section(heading, "Warnings and worse", problems)
    yield from _section(heading, "Master process", _counted(report.master))
    sizeless = [(row.queue_id, ", ".join(row.recipients[:3])) for row in report.without_size]
    yield from _section(heading, "Delivered, but the log has no line with the size", sizeless, 0)
    if len(report.hosts) > 1:
        yield from _section(heading, "Lines by host", _counted(report.hosts))
    if report.unparsed:
        yield heading(f"Not understood: {report.unparsed:,} lines, for example")
        yield from (f"  {sample}" for sample in report.unparsed_samples)
