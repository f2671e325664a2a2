"""Counting what Postfix's programs log; the loops here run once per line of a log of millions, hence their style."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from maildiag.logs.tally import Tally, client_domain

# Where the time of a delivery was spent is counted for those that took this long, in seconds.
SLOW = 1.0
_REFUSAL = re.compile(r": (?P<kind>(?:milter-)?reject|reject_warning|warning|hold|discard): (?P<what>.*)")
_REASON = re.compile(r"status=\S+ \((?P<reason>.*)\)", re.DOTALL)
_SLOW_DELIVERY = re.compile(
    r": (?P<qid>[^:\s]+): to=<(?P<to>[^>]*)>, (?:orig_to=<[^>]*>, )?relay=(?P<relay>[^,]+), (?:conn_use=[^,]+, )?"
    r"delay=(?P<delay>[^,]+), (?:delays=(?P<delays>[^,]+), )?(?:dsn=(?P<dsn>[^,]+), )?status=(?P<status>\S+)(?P<rest>.*)",
    re.DOTALL,
)
_CONNECT = re.compile(r": (?:[0-9A-Za-z]+: )?(connect to [^\[]*)\[[^\]]*\](?::\d+)?: (.*)")
_LEVELS = ("warning", "error", "fatal", "panic")
_TRUST = (": Anonymous TLS ", ": Trusted TLS ", ": Untrusted TLS ", ": Verified TLS ")
_REFUSED = frozenset(("reject", "reject_warning", "milter-reject", "hold", "discard"))


def _hours(tally: Tally, kind: str, lines: list[str], start: int) -> None:
    """Count lines by their hour."""
    for hour, some in _by_hour(lines, start):
        tally.hour(kind)[hour] += len(some)


def _hour(line: str, start: int) -> str:
    """The "day and hour" of a line: `Nov 16 10`, `2026-11-16T10`."""
    return line[: 13 if start > 17 else 9]


def _by_hour(lines: list[str], start: int) -> Iterator[tuple[str, list[str]]]:
    """Yield lines with the "day and hour" they begin with.

    Nearly every block lies within one hour: what the least and the greatest line begin with, all lines begin with.
    """
    end = 13 if start > 17 else 9
    if not lines:
        return
    if (hour := min(lines)[:end]) == max(lines)[:end]:
        yield hour, lines
        return
    hours: dict[str, list[str]] = {}
    for line in lines:
        hours.setdefault(line[:end], []).append(line)
    yield from hours.items()


class _Words(dict[str, Callable[[str], None]]):
    """From the text around the end of the tag ("]: co") to `append` of the list of lines of that kind."""

    def __init__(self) -> None:
        super().__init__()
        self.lists: dict[str, list[str]] = {kind: [] for kind in ("odd", "message", *_SMTPD_KINDS.values())}

    def __missing__(self, key: str) -> Callable[[str], None]:
        kind = _SMTPD_KINDS.get(key[3:], "message") if key.startswith("]: ") else "odd"
        self[key] = append = self.lists[kind].append
        return append

    @classmethod
    def of(cls, tally: Tally) -> _Words:
        """The words known in this pass, with empty lists."""
        words = tally.scratch.setdefault("smtpd words", cls())
        assert isinstance(words, cls)
        for lines in words.lists.values():
            lines.clear()
        return words


# What the SMTP server's lines begin with. No queue id begins so: short ones are hexadecimal, long ones have no vowels
# and, for the next century, begin with a digit.
_SMTPD_KINDS = {
    "co": "connect", "di": "disconnect", "An": "tls", "Tr": "tls", "Un": "tls", "Ve": "tls", "NO": "refusal",
    "wa": "problem", "er": "problem", "fa": "problem", "pa": "problem", "lo": "hangup", "ti": "hangup", "to": "hangup",
    "im": "hangup",
}  # fmt: skip


def smtpd(tally: Tally, lines: list[str], start: int, name: str) -> None:
    """Count what the SMTP server logs: messages, refusals, TLS, warnings, connections."""
    at = lines[0].find(": ", start) + 2
    words, begin, end = _Words.of(tally), at - 3, at + 2
    for line in lines:
        words[line[begin:end]](line)
    for line in words.lists["odd"]:  # the process id has another number of digits
        at = line.find(": ", start) + 2
        words["]: " + line[at : at + 2]](line)
    kinds = words.lists
    tally.totals["connections"] += len(kinds["connect"])
    _tls(tally, kinds["tls"], "in")
    kinds["refusal"] += _clients(tally, kinds["message"], start)
    _refusals(tally, kinds["refusal"], start, name)
    for line in kinds["problem"]:
        problem_of(tally, line, start, name)
    for line in kinds["hangup"]:
        text = line[line.find(": ", start) + 2 :]
        tally.totals[text.partition(" from ")[0].partition(" [")[0][:60]] += 1
    if "count sessions" in tally.scratch:
        _sessions(tally, lines, start)


def _clients(tally: Tally, lines: list[str], start: int) -> list[str]:
    """Remember who submitted each message; return the lines that say something else."""
    kept = [line for line in lines if ": client=" in line]
    rest = [line for line in lines if ": client=" not in line] if len(kept) < len(lines) else []
    if kept:
        _, ids, clients = zip(*[line.split(": ", 2) for line in kept], strict=True)
        if [client[:7] for client in clients].count("client=") < len(kept):
            kept, ids, clients = _odd_clients(kept)
        tally.received.update(zip(ids, clients, strict=True))
        _hours(tally, "received", kept, start)
        users = [client for client in clients if "sasl_username=" in client]
        tally.sasl_users.update([user[user.find("sasl_username=") + 14 :].partition(",")[0] for user in users])
    return rest


def _odd_clients(lines: list[str]) -> tuple[list[str], tuple[str, ...], tuple[str, ...]]:
    """The slow way: some line has `client=` elsewhere."""
    split = [(line, line.split(": ", 2)) for line in lines]
    good = [(line, parts[1], parts[2]) for line, parts in split if parts[2].startswith("client=")]
    return [g[0] for g in good], tuple(g[1] for g in good), tuple(g[2] for g in good)


def _tls(tally: Tally, lines: list[str], direction: str) -> None:
    """Count `Trusted TLS connection established from host[address]: TLSv1.3 with cipher …` by all but the peer."""
    for trust in _TRUST:
        some = [line for line in lines if trust in line]
        for cipher, count in Counter([line.rpartition(": ")[2] for line in some]).items():
            tally.tls[f"{direction}{trust}{cipher}"] += count
        if len(some) == len(lines):  # nearly always with the first word
            return
        lines = [line for line in lines if trust not in line]


def _refusals(tally: Tally, lines: list[str], start: int, name: str) -> None:
    """Count refusals by their reason without address, sender and recipient; `QID: reject: RCPT from name[address]: …`."""
    keys, addresses, kept = [], [], []
    for line in lines:
        parts = line.split(": ", 4)
        if len(parts) < 5 or parts[2] not in _REFUSED:
            _smtpd_other(tally, line, start, name)
            continue
        stage, reason = parts[3], parts[4]
        address = stage[stage.find("[") + 1 : stage.rfind("]")]
        cut = reason.find("; from=<")
        reason = reason[:cut] if cut > 0 else reason.partition("; proto=")[0]
        if reason[10:11] == "<":  # "550 5.1.1 <user@domain>: …"
            reason = reason[:10] + reason[reason.find(">: ") + 3 :]
        elif reason[4:5] == "<":
            reason = reason[:4] + reason[reason.find(">: ") + 3 :]
        keys.append(
            (parts[2], stage[: stage.find(" ")], reason.replace(address, "ip")[:200] if address else reason[:200])
        )
        addresses.append(address)
        kept.append(line)
    tally.refusals.update(keys)
    tally.refused_clients.update(addresses)
    tally.refused_at.update(zip(map(_one_of_equals(tally), keys, keys), addresses, strict=True))
    _hours(tally, "rejected", kept, start)


_Key = tuple[str, str, str]


def _one_of_equals(tally: Tally) -> Callable[[_Key, _Key], _Key]:
    """What gives one and the same key for equal ones: a key is long, and is kept once for each client."""
    known = tally.scratch.setdefault("refusals", {})
    assert isinstance(known, dict)
    if len(known) > 20_000:
        known.clear()
    return known.setdefault


def _smtpd_other(tally: Tally, line: str, start: int, name: str) -> None:
    match = _REFUSAL.search(line, start)
    if match:
        _refused(tally, line, match["kind"], match["what"], start)
    else:
        problem_of(tally, line, start, name)


def _refused(tally: Tally, line: str, kind: str, what: str, start: int) -> None:
    """Count one refusal that is written in an unusual way, and those of cleanup."""
    stage, _, rest = what.partition(" from ")
    client, _, reason = rest.partition(": ")
    address = client.partition("[")[2].partition("]")[0]
    reason = (reason or what).partition("; from=<")[0].partition("; proto=")[0]
    key = (kind, stage.partition(" ")[0][:40], reason.replace(address, "ip")[:200] if address else reason[:200])
    tally.refusals[key] += 1
    tally.refused_clients[address] += 1
    tally.refused_at[_one_of_equals(tally)(key, key), address] += 1
    _hours(tally, "rejected", [line], start)


def _sessions(tally: Tally, lines: list[str], start: int) -> None:
    """Times between `connect from` and `disconnect from` of each process (pflogsumm's --smtpd-stats)."""
    hour = 13 if start > 17 else 9
    for line in lines:
        tag, _, text = line[start:].partition(": ")
        if text.startswith("connect from "):
            tally.open_sessions[tag] = _seconds(line, start)
        elif text.startswith("disconnect from ") and tag in tally.open_sessions:
            spent = _seconds(line, start) - tally.open_sessions.pop(tag)
            spent += 86400 if spent < 0 else 0
            client = client_domain(text[16:].partition(" ")[0])
            for table, key in ((tally.sessions, line[:hour]), (tally.session_clients, client)):
                row = table.setdefault(key, [0, 0, 0])
                row[:] = [row[0] + 1, row[1] + spent, max(row[2], spent)]


def _seconds(line: str, start: int) -> int:
    at = 11 if start > 17 else 7
    try:
        return int(line[at : at + 2]) * 3600 + int(line[at + 3 : at + 5]) * 60 + int(line[at + 6 : at + 8])
    except ValueError:
        return 0


def pickup(tally: Tally, lines: list[str], start: int, name: str) -> None:
    """Count messages submitted on this host."""
    kept = []
    for line in lines:
        parts = line.split(": ", 2)
        if len(parts) == 3 and parts[2].startswith(("uid=", "sender=")):
            tally.received[parts[1]] = "pickup"
            kept.append(line)
        else:
            problem_of(tally, line, start, name)
    _hours(tally, "received", kept, start)
    tally.totals["submitted locally"] += len(kept)


def cleanup(tally: Tally, lines: list[str], start: int, name: str) -> None:
    """Count what header and body checks and milters refuse."""
    for line in lines:
        if ": message-id=" in line or ": resent-message-id=" in line:
            continue
        text = line[line.find(": ", start) + 2 :]
        match = _REFUSAL.search(text)
        if match and not text.startswith(_LEVELS) and match["what"].startswith(("header ", "body ", "END-OF-MESSAGE ")):
            _refused(tally, line, match["kind"], match["what"], start)
        else:
            problem_of(tally, line, start, name)


def queue_manager(tally: Tally, lines: list[str], start: int, name: str) -> None:
    """Count what the queue manager logs (`queued` and `removed` in one)."""
    removed(tally, queued(tally, lines, start), start)


def queued(tally: Tally, lines: list[str], start: int) -> list[str]:
    """Count messages that enter the active queue for the first time; return the lines that may say `removed`."""
    # "…: removed", "… (queue active)": their last letters tell the two kinds apart that nearly all lines are of
    removals = [line for line in lines if line[-1] == "d"]
    active = [line for line in lines if line[-1] == ")"]
    rest = []
    if len(removals) + len(active) < len(lines):
        rest = [line for line in lines if line[-1] != "d" and line[-1] != ")"]
    _active(tally, active, rest)
    for line in rest:
        _queue_special(tally, line, start)
    return removals


def _active(tally: Tally, lines: list[str], rest: list[str]) -> None:
    """Count `QID: from=<sender>, size=1234, nrcpt=1 (queue active)`; lines that are anything else go to `rest`."""
    sizes, received, senders = tally.sizes, tally.received, tally.senders
    total = 0
    for line in lines:
        try:
            head, length, _ = line.split(", ", 2)
            _, qid, sender = head.split(": ", 2)
            if qid in sizes:  # tried again
                continue
            size = int(length[5:])
        except ValueError:
            rest.append(line)
            continue
        sizes[qid] = size
        client = received.pop(qid, None)
        if client is None:
            tally.foreign_from[qid] = (sender, size)
            continue
        row = senders.get(sender)
        if row is None:  # new, or without domain (then it is never in this table)
            tally.add_sender(sender, size, client)
            continue
        row[0] += 1
        row[1] += size
        total += size
    tally.totals["bytes received"] += total


def _queue_special(tally: Tally, line: str, start: int) -> None:
    if ", status=" in line and ", returned to sender" in line:
        tally.totals["expired"] += 1
        _hours(tally, "expired", [line], start)
    elif line.endswith(", skipped, still being delivered"):
        tally.totals["still being delivered"] += 1
    else:
        problem_of(tally, line, start, "qmgr")


def removed(tally: Tally, lines: list[str], start: int) -> None:
    """Forget messages that left the queue; `lines` end with the letter that `removed` ends with."""
    sizes, deferred, foreign = tally.sizes, tally.deferred, tally.foreign_from
    count = 0
    for line in lines:
        tag, _, qid = line[:-9].rpartition(": ")
        if line[-9:] != ": removed" or len(tag) < start:
            _queue_special(tally, line, start)
            continue
        count += 1
        if sizes.pop(qid, None) is None or qid in foreign:
            tally.foreign_removed.add(qid)
        if deferred:
            deferred.discard(qid)
    tally.totals["removed"] += count


class _Seconds(dict[str, float]):
    """From `delay=0.12` to the number: a log has few different ones, and looking up is quicker than reading a number."""

    def __missing__(self, key: str) -> float:
        seconds = float(key[6:])
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
    for hour, some in _by_hour(lines, start):
        odd = _attempts(tally, some, hour, name)
        specials = [line for line in odd if ": to=<" not in line]
        _delivery_specials(tally, specials, start, name)
        for line in odd if not specials else [line for line in odd if ": to=<" in line]:
            _slow_delivery(tally, line, start, name)


def _attempts(tally: Tally, lines: list[str], hour: str, name: str) -> list[str]:
    """Count the lines that are written as nearly all are; return the others.

    `QID: to=<a@b>, relay=x[192.0.2.1]:25, delay=1.5, delays=0.1/0.2/0.3/0.9, dsn=2.0.0, status=sent (250 ok)`
    """
    odd: list[str] = []
    sent, deferred, bounced = _Attempts(), _Attempts(), _Attempts()
    # attributes are looked up once and not once per line
    relays, delays, phases = sent.relays, sent.delays, sent.phases
    recipients, sizes, known, seconds_of = tally.recipients, tally.sizes, tally.deferred, _SECONDS
    forwards = name == "local"
    delivered = 0
    for line in lines:
        try:
            head, relay, delay, phase, dsn, status = line.split(", ", 5)
            _, qid, to = head.split(": ", 2)
            seconds = seconds_of[delay]
        except ValueError:
            odd.append(line)
            continue
        kind = status[:12]
        row = recipients.get(to)
        if row is None:
            if kind not in _STATUSES or not to.startswith("to=<"):
                odd.append(line)
                continue
            row = recipients[to] = [0, 0, 0.0, 0.0, 0, 0]
        if kind == "status=sent ":
            if forwards and status[13:14] == "f" and status.startswith("forwarded as ", 13):
                tally.totals["forwarded"] += 1
                continue
            row[0] += 1
            row[2] += seconds
            size = sizes.get(qid)
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
        # what varies is taken out by hand, so that equal reasons meet in the counter, not in a regular expression
        if to != "to=<>":
            status = status.replace(to[4:-1], "")
        if relay != "relay=none":
            status = status.replace(relay[6:], "relay")
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
    tally.relays.setdefault("sent" if outcome == "delivered" else outcome, Counter()).update(attempts.relays)
    tally.reasons.update(attempts.reasons)
    if outcome == "bounced":
        tally.bounced_at.update(zip(attempts.reasons, attempts.relays, strict=True))
    tally.delays.update(attempts.delays)
    flat = "/".join(attempts.phases).split("/") if attempts.phases else []
    if len(flat) == 4 * len(attempts.phases):
        for index, counter in enumerate(tally.phases):
            counter.update(flat[index::4])


def _first_deferral(tally: Tally, qid: str) -> None:
    tally.deferred.add(qid)
    tally.totals["messages deferred"] += 1
    if qid not in tally.sizes or qid in tally.foreign_from:
        tally.foreign_deferred.add(qid)


def _slow_delivery(tally: Tally, line: str, start: int, name: str) -> None:
    """Count a delivery with orig_to, conn_use, a comma in the address, or of an old Postfix."""
    match = _SLOW_DELIVERY.search(line, start)
    if match is None:
        problem_of(tally, line, start, name)
        return
    qid, to, status, relay = match["qid"], f"to=<{match['to']}>", match["status"], f"relay={match['relay']}"
    row = tally.recipients.setdefault(to, [0, 0, 0.0, 0.0, 0, 0])
    seconds = _number(match["delay"])
    if status == "sent" and "forwarded as " in match["rest"]:
        tally.totals["forwarded"] += 1
    elif status == "sent":
        _slow_sent(tally, qid, to, row, seconds)
        tally.totals[f"sent by {name}"] += 1
        phases = [f"delays={match['delays']}"] if match["delays"] and seconds >= SLOW else []
        _count_columns(tally, "delivered", _Attempts([relay], [f"delay={match['delay']}"], phases), _hour(line, start))
    elif status in ("deferred", "bounced"):
        reason = _REASON.search(line)
        text = reason["reason"] if reason else ""
        text = text.replace(match["to"], "") if match["to"] else text
        if match["relay"] != "none":
            text = text.replace(match["relay"], "relay")
        why = f"dsn={match['dsn'] or ''} status={status} ({text})"
        tally.reasons[why] += 1
        tally.relays.setdefault(status, Counter())[relay] += 1
        if status == "bounced":
            tally.bounced_at[why, relay] += 1
        row[5 if status == "bounced" else 4] += 1
        _hours(tally, status, [line], start)
        if status == "deferred":
            row[3] = max(row[3], seconds)
            if qid not in tally.deferred:
                _first_deferral(tally, qid)
    else:
        tally.totals[f"status {status[:40]}"] += 1


def _slow_sent(tally: Tally, qid: str, to: str, row: list[float], seconds: float) -> None:
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
        return float(text)
    except ValueError:
        return 0.0


def _delivery_specials(tally: Tally, lines: list[str], start: int, name: str) -> None:
    """Count the other lines of delivery agents: TLS, connections that failed, notifications, problems."""
    tls = [line for line in lines if " TLS connection " in line]
    _tls(tally, tls, "out")
    for line in lines if not tls else [line for line in lines if " TLS connection " not in line]:
        text = line[line.find(": ", start) :]
        if text.startswith(": connect to "):
            match = _CONNECT.match(text)
            tally.connect_failures[f"{match[1]}: {match[2]}" if match else text[2:200]] += 1
        elif ": sender non-delivery notification: " in text:
            tally.totals["bounce messages sent"] += 1
        elif ": sender delay notification: " in text:
            tally.totals["delay messages sent"] += 1
        else:
            problem_of(tally, line, start, name)


def master(tally: Tally, lines: list[str], start: int, name: str) -> None:
    """Count what the master process says."""
    for line in lines:
        text = line[line.find(": ", start) + 2 :]
        if text.startswith(_LEVELS):
            problem(tally, name, text, line)
        else:
            tally.master[text[:120]] += 1


def other(tally: Tally, lines: list[str], start: int, name: str) -> None:
    """Look for problems, and for nothing else."""
    for line in lines:
        problem_of(tally, line, start, name)


def problem_of(tally: Tally, line: str, start: int, name: str) -> None:
    """Count the line if it is at warning or above, with or without a queue id before the word."""
    text = line[line.find(": ", start) + 2 :]
    if not text.startswith(_LEVELS):
        qid, _, after = text.partition(": ")
        if not after.startswith(_LEVELS) or " " in qid:
            return
        text = after
    problem(tally, name, text, line)


def problem(tally: Tally, name: str, text: str, line: str) -> None:
    """Count a text that begins with its level; the commonest variable parts are taken out by hand."""
    level, _, words = text.partition(": ")
    if "authentication failed" in words and ": SASL " in words:
        words = _auth_failed(tally, words)
    elif words.startswith("hostname "):
        parts = words.split(" ", 7)
        if len(parts) == 8:
            words = f"hostname host {' '.join(parts[2:7])} ip: {parts[7].partition(': ')[2]}"
    tally.totals[level] += 1
    key = (name, level, words[:200])
    tally.problems[key] += 1
    if key not in tally.problem_samples and len(tally.problem_samples) < 5000:
        tally.problem_samples[key] = line[:500]


def _auth_failed(tally: Tally, words: str) -> str:
    client, _, rest = words.partition(": SASL ")
    address = client.partition("[")[2].partition("]")[0]
    what, _, detail = rest.partition(" failed: ")
    _, _, user = detail.partition("sasl_username=")
    if address:
        tally.auth_addresses[address] += 1
    tally.auth_users[user.partition(",")[0]] += 1
    return f"client: SASL {what} failed: {detail.partition(',')[0]}"
