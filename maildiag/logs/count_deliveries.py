"""Counting attempts to deliver; the loops here run once per line of a log of millions, hence their style."""

from __future__ import annotations

import re
from dataclasses import field

from maildiag.logs.count_problems import problem_of
from maildiag.logs.count_tls import tls
from maildiag.logs.hours import by_hour
from maildiag.logs.patterns import later
from maildiag.logs.places import queue_id_place
from maildiag.logs.tally import Row, Tally
from maildiag.records import dataclass

# Where the time of a delivery was spent is counted for those that took this long, in seconds.
SLOW = 1.0
# No message waits so many seconds: `nan` and `inf` are no numbers of a log.
FOREVER = 1e12
LONGEST_REASON = 400
_ATTEMPT = later(
    r": (?P<qid>[^:\s]+): to=<(?P<to>[^>]*)>, (?:orig_to=<[^>]*>, )?relay=(?P<relay>[^,]+), (?:conn_use=[^,]+, )?"
    r"delay=(?P<delay>[^,]+), (?:delays=(?P<delays>[^,]+), )?(?:dsn=(?P<dsn>[^,]+), )?status=(?P<status>\S+)(?P<rest>.*)",
    re.DOTALL,
)
# "connect to host[address]:25: why"; before Postfix 2.3 "connect to host[address]: why (port 25)", and in what pflogsumm
# also reads "connect to host: why; address 192.0.2.1 port 25", both with a queue id or without one.
_CONNECT = later(
    r": (?:[0-9A-Za-z]{5,30}: )?connect to (?P<host>[^\[\s:]*)(?:\[[^\]]*\])?(?::\d+)?: "
    r"(?P<why>.*?)(?: \(port \d+\)|; address \S+ port.*)?$"
)


class _Seconds(dict[str, float]):
    """From `delay=0.12` to the number: a log has few different ones, and looking up is quicker than reading a number."""

    def __missing__(self, key: str) -> float:
        if not key.startswith("delay="):
            raise ValueError(key)
        seconds = float(key[6:])
        if not seconds < FOREVER:
            raise ValueError(key)
        if len(self) < 100_000:
            self[key] = seconds
        return seconds


_SECONDS = _Seconds()


@dataclass(slots=True)
class _Attempts:
    """Columns of attempts with one outcome, counted at once when their block is through."""

    relays: list[str] = field(default_factory=list)
    delays: list[str] = field(default_factory=list)
    phases: list[str] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)


def deliveries(tally: Tally, lines: list[str], start: int, name: str) -> None:
    """Count deliveries: sent, bounced, deferred, with delays, relays and reasons."""
    for hour, some in by_hour(lines, start):
        attempts = [line for line in some if ": to=<" in line]
        if len(attempts) < len(some):
            _other_lines(tally, [line for line in some if ": to=<" not in line], start, name)
        if not attempts:
            continue
        for line in _attempts(tally, attempts, start, hour, name):
            _odd_attempt(tally, line, hour, name)


def _attempts(tally: Tally, lines: list[str], start: int, hour: str, name: str) -> list[str]:
    """Count the lines that are written as nearly all are; return the others.

    `QID: to=<a@b>, relay=x[192.0.2.1]:25, delay=1.5, delays=0.1/0.2/0.3/0.9, dsn=2.0.0, status=sent (250 ok)`
    """
    odd: list[str] = []
    sent, deferred, bounced = _Attempts(), _Attempts(), _Attempts()
    # attributes are looked up once and not once per line
    relays, delays, phases = sent.relays, sent.delays, sent.phases
    row_of, size_of, known, seconds_of = tally.recipients.get, tally.sizes.get, tally.deferred, _SECONDS
    begin, end = queue_id_place(lines[0], start)
    colon, space, to_at = begin - 2, begin - 1, end + 2
    forwards = name == "local"
    delivered = 0
    for line in lines:
        try:
            head, relay, delay, phase, dsn, status = line.split(", ", 5)
            seconds = seconds_of[delay]
            qid, to = head[begin:end], head[to_at:]
            row = row_of(to)
            if row is None or head[space] != " " or head[colon] != ":":
                _, qid, to = head.split(": ", 2)
                row = row_of(to)
        except ValueError:
            odd.append(line)
            continue
        if row is None:
            if status[:12] not in _STATUSES or not to.startswith("to=<"):
                odd.append(line)
                continue
            row = tally.recipients[to] = [0, 0, 0.0, 0.0, 0, 0]
        kind = status[:12]
        if kind == "status=sent ":
            if forwards and status.startswith("forwarded as ", 13):
                tally.totals["forwarded"] += 1
                continue
            row[0] += 1
            row[2] += seconds
            size = size_of(qid)
            if size is None:
                tally.foreign_sent.setdefault(qid, []).append(to)
            else:
                row[1] += size
                delivered += size
            if seconds > row[3]:
                row[3] = seconds
            relays.append(relay)
            delays.append(delay)
            if seconds >= SLOW:
                phases.append(phase)
            continue
        # what varies is taken out by hand, so that equal reasons meet in the counter, not in a regular expression; a
        # reason names its host without the port: `relay=mx.test[192.0.2.1]:25`, `(host mx.test[192.0.2.1] said: …)`
        if to != "to=<>":
            status = status.replace(to[4:-1], "")
        if where := relay[6 : relay.find("]") + 1]:
            status = status.replace(where, "relay")
        if len(status) > LONGEST_REASON:
            status = f"{status[:LONGEST_REASON]})"
        if kind == "status=defer":
            row[4] += 1
            if seconds > row[3]:
                row[3] = seconds
            if qid not in known:
                _first_deferral(tally, qid)
            deferred.reasons.append(f"{dsn} {status}")
            deferred.relays.append(relay)
        elif kind == "status=bounc":
            row[5] += 1
            bounced.reasons.append(f"{dsn} {status}")
            bounced.relays.append(relay)
        else:
            odd.append(line)
    tally.totals["bytes delivered"] += delivered
    tally.totals[f"sent by {name}"] += len(relays)
    for outcome, attempts in (("delivered", sent), ("deferred", deferred), ("bounced", bounced)):
        if attempts.relays:
            _count_columns(tally, outcome, attempts, hour)
    return odd


_STATUSES = frozenset(("status=sent ", "status=defer", "status=bounc"))


def _count_columns(tally: Tally, outcome: str, attempts: _Attempts, hour: str) -> None:
    tally.hour(outcome)[hour] += len(attempts.relays)
    tally.relays_of("sent" if outcome == "delivered" else outcome).update(attempts.relays)
    if attempts.reasons:
        tally.reasons.update(attempts.reasons)
    if outcome == "bounced":
        tally.bounced_at.update(zip(attempts.reasons, attempts.relays, strict=True))
    if attempts.delays:
        tally.delays.update(attempts.delays)
    phases = [each for each in attempts.phases if each.count("/") == 3]
    if phases:
        flat = "/".join(phases).split("/")
        for index, counter in enumerate(tally.phases):
            counter.update(flat[index::4])


def _first_deferral(tally: Tally, qid: str) -> None:
    tally.deferred.add(qid)
    tally.totals["messages deferred"] += 1
    if qid not in tally.sizes or qid in tally.foreign_from:
        tally.foreign_deferred.add(qid)


def _odd_attempt(tally: Tally, line: str, hour: str, name: str) -> None:
    """Count a delivery with `orig_to` or `conn_use`, a comma in the address, of an old Postfix, or with another status."""
    match = _ATTEMPT().search(line)
    if match is None:
        problem_of(tally, line, 0, name)
        return
    status = match["status"]
    if status not in ("sent", "deferred", "bounced"):
        tally.totals[f"status {status[:40]}"] += 1
        return
    qid, to, relay, seconds = match["qid"], f"to=<{match['to']}>", f"relay={match['relay']}", _number(match["delay"])
    if status == "sent" and name == "local" and match["rest"].startswith(" (forwarded as "):
        tally.totals["forwarded"] += 1
        return
    row = tally.recipients.setdefault(to, [0, 0, 0.0, 0.0, 0, 0])
    if status == "sent":
        _odd_sent(tally, qid, to, row, seconds)
        tally.totals[f"sent by {name}"] += 1
        phases = [f"delays={match['delays']}"] if match["delays"] and seconds >= SLOW else []
        _count_columns(tally, "delivered", _Attempts([relay], [f"delay={seconds:g}"], phases), hour)
        return
    text = match["rest"].replace(match["to"], "") if match["to"] else match["rest"]
    if where := relay[6 : relay.find("]") + 1]:
        text = text.replace(where, "relay")
    if len(text) > LONGEST_REASON:
        text = f"{text[:LONGEST_REASON]})"
    why = f"dsn={match['dsn'] or ''} status={status}{text}"
    _count_columns(tally, status, _Attempts([relay], reasons=[why]), hour)
    row[5 if status == "bounced" else 4] += 1
    if status == "deferred":
        row[3] = max(row[3], seconds)
        if qid not in tally.deferred:
            _first_deferral(tally, qid)


def _odd_sent(tally: Tally, qid: str, to: str, row: Row, seconds: float) -> None:
    row[0] += 1
    row[2] += seconds
    row[3] = max(row[3], seconds)
    size = tally.sizes.get(qid)
    if size is None:
        tally.foreign_sent.setdefault(qid, []).append(to)
    else:
        row[1] += size
        tally.totals["bytes delivered"] += size


def _number(text: str) -> float:
    try:
        return _SECONDS[f"delay={text}"]
    except ValueError:
        return 0.0


def _other_lines(tally: Tally, lines: list[str], start: int, name: str) -> None:
    """Count the other lines of delivery agents: TLS, connections that failed, notifications, problems."""
    secured = [line for line in lines if " TLS connection " in line]
    tls(tally, secured, start, "out")
    for line in lines if not secured else [line for line in lines if " TLS connection " not in line]:
        text = line[line.find(": ", start) :]
        if ": connect to " in text and (match := _CONNECT().match(text)):
            tally.connect_failures[f"connect to {match['host']}: {match['why'][:200]}"] += 1
        elif ": sender non-delivery notification: " in text:
            tally.totals["bounce messages sent"] += 1
        elif ": sender delay notification: " in text:
            tally.totals["delay messages sent"] += 1
        else:
            problem_of(tally, line, start, name)
