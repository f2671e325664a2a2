"""Senders, recipients and their domains in the report: how many messages, how large, how long they took."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence

from maildiag.logs.ranking import heavy, shown
from maildiag.logs.rows import RecipientRow, SenderRow
from maildiag.logs.tally import Row, Tally

Table = dict[str, Row]


def bare_address(raw: str, prefix: str) -> str:
    """`to=<User@Example.COM>` as User@example.com: domains know no case, local parts may."""
    address = raw.removeprefix(prefix).rstrip(">")
    user, at, domain = address.partition("@")
    return f"{user}{at}{domain.lower()}"


def recipients_of(tally: Tally) -> tuple[Table, Table]:
    """Return (recipients by `to=<address>`, recipient domains) with their rows; see `tally.Row`."""
    people = _alike(tally.recipients, "to=<", _add_recipient)
    rows: defaultdict[str, list[Row]] = defaultdict(
        list, {name: [row] for name, row in tally.recipient_domains.items()}
    )
    for raw, row in people.items():
        rows[raw[raw.find("@", 4) + 1 or 4 : -1]].append(row)
    return people, {name: _recipients_sum(some) if len(some) > 1 else some[0] for name, some in rows.items()}


def _recipients_sum(rows: list[Row]) -> Row:
    sent, size, seconds, longest, deferred, bounced = zip(*rows, strict=True)
    return [sum(sent), sum(size), sum(seconds), max(longest), sum(deferred), sum(bounced)]


def _add_recipient(into: Row, row: Row) -> None:
    sent, size, seconds, longest, deferred, bounced = row
    into[0] += sent
    into[1] += size
    into[2] += seconds
    if longest > into[3]:
        into[3] = longest
    into[4] += deferred
    into[5] += bounced


def senders_of(tally: Tally) -> tuple[Table, Table]:
    """Return (senders by `from=<address>`, sending domains) with their messages and bytes."""
    people = _alike(tally.senders, "from=<", _add_sender)
    rows = defaultdict(
        list, {bare_address(name, "from=<") or "<>": [row] for name, row in tally.sender_domains.items()}
    )
    for raw, row in people.items():
        rows[raw[raw.find("@") + 1 : -1]].append(row)
    domains = {name: _senders_sum(some) if len(some) > 1 else some[0] for name, some in rows.items()}
    return people | tally.bare_senders, domains


def _senders_sum(rows: list[Row]) -> Row:
    return [sum(column) for column in zip(*rows, strict=True)]


def _add_sender(into: Row, row: Row) -> None:
    into[0] += row[0]
    into[1] += row[1]


def _alike(table: Table, prefix: str, add: Callable[[Row, Row], None]) -> Table:
    """The rows with those of addresses that differ only in the case of the domain put together."""
    if (names := "".join(table)) == names.lower():
        return table
    odd = [raw for raw in table if not raw.islower()]
    people = dict(table)
    for raw in odd:
        alike, row = f"{prefix}{bare_address(raw, prefix)}>", people.pop(raw)
        if alike in people:
            people[alike] = people[alike][:]
            add(people[alike], row)
        else:
            people[alike] = row
    return people


def reached(table: Mapping[str, Row]) -> int:
    """How many of the recipients something was delivered to."""
    return sum([row[0] > 0 for row in table.values()])


def most_sent_to(table: Table, limit: int | None) -> tuple[tuple[RecipientRow, ...], tuple[RecipientRow, ...]]:
    """Return the recipients of most deliveries and deferrals, and those of most bytes."""
    weights = [(row[0] + row[4], row[1]) for row in table.values()]
    attempts, size = zip(*weights, strict=True) if weights else ((), ())
    return _recipient_rows(table, attempts, limit), _recipient_rows(table, size, limit)


def most_sent_by(table: Table, limit: int | None) -> tuple[tuple[SenderRow, ...], tuple[SenderRow, ...]]:
    """Return the senders of most messages, and those of most bytes."""
    messages, size = zip(*table.values(), strict=True) if table else ((), ())
    return _sender_rows(table, messages, limit), _sender_rows(table, size, limit)


def _recipient_rows(table: Table, weights: Sequence[float], limit: int | None) -> tuple[RecipientRow, ...]:
    found = []
    for name, (sent, size, seconds, longest, deferred, bounced) in _heaviest(table, "to=<", weights, limit):
        average = round(seconds / sent, 2) if sent else 0.0
        found.append(RecipientRow(shown(name), int(sent), int(size), int(deferred), int(bounced), average, longest))
    return tuple(found)


def _sender_rows(table: Table, weights: Sequence[float], limit: int | None) -> tuple[SenderRow, ...]:
    rows = _heaviest(table, "from=<", weights, limit)
    return tuple(SenderRow(shown(name), int(messages), int(size)) for name, (messages, size) in rows)


def _heaviest(table: Table, prefix: str, weights: Sequence[float], limit: int | None) -> list[tuple[str, Row]]:
    """The rows of most weight with their plain names, equal ones in order of name."""
    rows = [
        (-weight, bare_address(raw, prefix) or "<>", row)
        for (raw, row), weight in heavy(list(table.items()), weights, limit)
    ]
    return [(name, row) for _, name, row in sorted(rows)[:limit]]
