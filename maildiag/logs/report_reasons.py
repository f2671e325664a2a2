"""Why mail was put off, bounced or refused, and what the log warns of: equal texts counted together and given a meaning."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from datetime import datetime
from functools import lru_cache
from typing import Any

from maildiag.logs.classify import classify
from maildiag.logs.lines import LogLine, parse_line
from maildiag.logs.normal import normalise
from maildiag.logs.ranking import counted, ranked, shown
from maildiag.logs.reasons import classify_reason
from maildiag.logs.rows import ConnectRow, Counted, ProblemRow, ReasonRow
from maildiag.logs.tally import Tally

_STATUS = re.compile(r"dsn=(?P<dsn>\S*) status=(?P<status>\S+) \((?P<reason>.*)\)", re.DOTALL)
_Key = tuple[str, str, str]


@lru_cache(maxsize=4096)
def _normal(text: str) -> str:
    return normalise(text)


def _unreached(text: str) -> str:
    """`connect to HOST[ADDRESS]:25: why` with one host for all of them, so that the reason is worked out once."""
    head, _, why = text.partition(": ")
    if head.startswith("connect to ") and "." in head and "/" not in head:
        return f"connect to host.example: {why}"
    return text


def reasons_of(tally: Tally, limit: int | None) -> tuple[ReasonRow, ...]:
    """Return the most frequent reasons of deferrals and bounces, with the next hops that bounced so."""
    rows: Counter[_Key] = Counter()
    keys: dict[str, _Key] = {}
    first: dict[_Key, str] = {}
    for raw, count in sorted(tally.reasons.items()):
        match = _STATUS.match(raw)
        status, dsn, reason = (match["status"], match["dsn"], match["reason"]) if match else ("", "", raw)
        key = keys[raw] = (status, dsn, _normal(_unreached(reason)))
        rows[key] += count
        first.setdefault(key, reason)
    found = ranked(rows)[:limit]
    at = _at(tally.bounced_at, keys, found)
    return tuple(
        ReasonRow(
            status,
            "",
            classify_reason(shown(first[key]), dsn).meaning,
            shown(text),
            shown(dsn),
            count,
            _places(at[key], limit),
            len(at[key]),
        )
        for key, count in found
        for status, dsn, text in (key,)
    )


def refusals_of(tally: Tally, limit: int | None) -> tuple[ReasonRow, ...]:
    """Return the most frequent reasons of refusals, with the clients that were refused so."""
    rows: Counter[_Key] = Counter()
    keys: dict[_Key, _Key] = {}
    first: dict[_Key, str] = {}
    for raw, count in sorted(tally.refusals.items()):
        kind, stage, reason = raw
        key = keys[raw] = (kind, stage, normalise(reason))
        rows[key] += count
        first.setdefault(key, reason)
    found = ranked(rows)[:limit]
    at = _at(tally.refused_at, keys, found)
    return tuple(
        ReasonRow(kind, shown(stage), why.meaning, shown(text), why.dsn, count, _places(at[key], limit), len(at[key]))
        for key, count in found
        for kind, stage, text in (key,)
        for why in (classify_reason(shown(first[key])),)
    )


def _at(
    counter: Mapping[tuple[Any, str], int], keys: Mapping[Any, _Key], wanted: list[tuple[_Key, int]]
) -> dict[_Key, dict[str, int]]:
    """Where each of the wanted reasons was met."""
    found: dict[_Key, dict[str, int]] = {key: {} for key, _ in wanted}
    places_of = {raw: found[key] for raw, key in keys.items() if key in found}
    for (raw, place), count in counter.items():
        places = places_of.get(raw)
        if places is not None:
            places[place] = places.get(place, 0) + count
    return found


def _places(counter: Mapping[str, int], limit: int | None) -> tuple[Counted, ...]:
    return tuple(Counted(row.name.removeprefix("relay="), row.count) for row in counted(counter, limit))


def connect_failures_of(tally: Tally, limit: int | None) -> tuple[ConnectRow, ...]:
    """Return the most frequent failures to connect, with the hosts that were not reached."""
    hosts: dict[str, Counter[str]] = {}
    for text, count in tally.connect_failures.items():
        host = text.removeprefix("connect to ").partition(": ")[0]
        hosts.setdefault(_normal(_unreached(text)), Counter())[host] += count
    rows = ranked({text: at.total() for text, at in hosts.items()})[:limit]
    return tuple(ConnectRow(shown(text), count, counted(hosts[text], limit), len(hosts[text])) for text, count in rows)


def problems_of(tally: Tally, limit: int | None) -> tuple[ProblemRow, ...]:
    """Return the most frequent lines at warning or above."""
    rows: Counter[_Key] = Counter()
    first: dict[_Key, _Key] = {}
    for (daemon, level, text), count in sorted(tally.problems.items()):
        key = (daemon, level, normalise(text))
        rows[key] += count
        first.setdefault(key, (daemon, level, text))
    return tuple(
        _problem_row(key, count, first[key], tally.problem_samples.get(first[key], ""))
        for key, count in ranked(rows)[:limit]
    )


def _problem_row(key: _Key, count: int, raw: _Key, sample: str) -> ProblemRow:
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
