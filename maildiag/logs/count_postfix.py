"""Counting what Postfix's programs log; the loops here run once per line of a log of millions, hence their style."""

from __future__ import annotations

import re
from collections.abc import Iterable
from operator import itemgetter

from maildiag.logs.tally import Tally, client_domain

_HOUR_CLASSIC, _HOUR_ISO = itemgetter(slice(0, 9)), itemgetter(slice(0, 13))
_REFUSAL = re.compile(r": (?P<kind>(?:milter-)?reject|reject_warning|warning|hold|discard): (?P<what>.*)")
_REASON = re.compile(r"status=\S+ \((?P<reason>.*)\)", re.DOTALL)
_SLOW_DELIVERY = re.compile(
    r": (?P<qid>[^:\s]+): to=<(?P<to>[^>]*)>, (?:orig_to=<[^>]*>, )?relay=(?P<relay>[^,]+), (?:conn_use=[^,]+, )?"
    r"delay=(?P<delay>[^,]+), (?:delays=(?P<delays>[^,]+), )?(?:dsn=(?P<dsn>[^,]+), )?status=(?P<status>\S+)(?P<rest>.*)",
    re.DOTALL,
)
_CONNECT = re.compile(r": (?:[0-9A-Za-z]+: )?(connect to [^\[]*)\[[^\]]*\](?::\d+)?: (.*)")
_LEVELS = ("warning", "error", "fatal", "panic")
_REFUSED_HOUR = {
    "reject": "rejected",
    "milter-reject": "rejected",
    "reject_warning": "reject warnings",
    "warning": "reject warnings",
    "hold": "held",
    "discard": "discarded",
}


def _hours(tally: Tally, kind: str, lines: list[str], start: int) -> None:
    tally.hour(kind).update(map(_HOUR_ISO if start > 17 else _HOUR_CLASSIC, lines))


def smtpd(tally: Tally, lines: list[str], start: int, name: str) -> None:
    """Count what the SMTP server logs: messages, refusals, TLS, warnings, connections."""
    plain, special = [], []
    connections = disconnections = 0
    for line in lines:
        at = line.find(": ", start) + 2
        match line[at : at + 3]:
            case "con":
                connections += 1
            case "dis":
                disconnections += 1
            case (
                "Ano"
                | "Tru"
                | "Unt"
                | "Ver"
                | "NOQ"
                | "war"
                | "los"
                | "tim"
                | "fat"
                | "err"
                | "pan"
                | "imp"
                | "too"
                | "SSL"
            ):
                special.append(line)
            case _:
                plain.append(line)
    tally.totals["connections"] += connections
    special += _clients(tally, plain, start)
    for line in special:
        _smtpd_special(tally, line, start, name)
    if tally.open_sessions or "sessions" in tally.totals:
        _sessions(tally, lines, start)


def _clients(tally: Tally, lines: list[str], start: int) -> list[str]:
    """Remember who submitted each message; return the lines that say something else."""
    rest, kept, clients, received = [], [], [], tally.received
    for line in lines:
        parts = line.split(": ", 2)
        if len(parts) == 3 and parts[2].startswith("client="):
            qid, client = parts[1], parts[2]
            received[qid] = client
            kept.append(line)
            clients.append(client)
            if "sasl_username=" in client:
                _sasl_message(tally, client)
        else:
            rest.append(line)
    _hours(tally, "received", kept, start)
    tally.clients.update(clients)
    return rest


def _sasl_message(tally: Tally, client: str) -> None:
    user = client[client.find("sasl_username=") + 14 :].partition(",")[0]
    tally.sasl_users[user] += 1


def _smtpd_special(tally: Tally, line: str, start: int, name: str) -> None:
    at = line.find(": ", start) + 2
    text = line[at:]
    if text.startswith(_LEVELS):
        problem(tally, name, text, line)
    elif " TLS connection " in text:
        _tls(tally, text, "in")
    elif match := _REFUSAL.search(text):
        _refused(tally, line, text, match["kind"], match["what"], start)
    elif text.startswith(("lost connection", "timeout", "too many", "improper")):
        tally.totals[text.partition(" from ")[0].partition(" [")[0][:60]] += 1


def _tls(tally: Tally, text: str, direction: str) -> None:
    trust, _, rest = text.partition(" TLS connection ")
    protocol = rest.rpartition(": ")[2]
    tally.tls[f"{direction} {trust} {' '.join(protocol.split(' ', 4)[:4])}"] += 1


def _refused(tally: Tally, line: str, text: str, kind: str, what: str, start: int) -> None:
    """Count one refusal by its reason without address, sender and recipient."""
    stage, _, rest = what.partition(" from ")
    client, _, reason = rest.partition(": ")
    name, _, address = client.partition("[")
    address = address.partition("]")[0] or name
    reason = reason.partition("; from=<")[0].partition("; proto=")[0]
    if reason[9:11] == " <" or reason[3:5] == " <":  # "550 5.1.1 <user@domain>: …", "450 <user>: …"
        cut = reason.find(">: ")
        reason = reason[: 9 if reason[9:11] == " <" else 3] + reason[cut + 2 :] if cut > 0 else reason
    reason = reason.replace(address, "ip")
    tally.refusals[kind, stage[:40], reason[:200]] += 1
    tally.refused_clients[address] += 1
    tally.totals[_REFUSED_HOUR[kind]] += 1
    tally.hour("rejected")[line[: 13 if start > 17 else 9]] += 1


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
            _refused(tally, line, text, match["kind"], match["what"], start)
        else:
            problem_of(tally, line, start, name)


def queue_manager(tally: Tally, lines: list[str], start: int, name: str) -> None:
    """Count what the queue manager logs (`queued` and `removed` in one)."""
    removed(tally, queued(tally, lines, start), start)


def queued(tally: Tally, lines: list[str], start: int) -> list[str]:
    """Count messages that enter the active queue for the first time; return the lines that say `removed`."""
    removals, rest = [], []
    sizes, received, foreign = tally.sizes, tally.received, tally.foreign_from
    for line in lines:
        end = line[-7:]
        if end == "removed":
            removals.append(line)
            continue
        if end != "active)":
            rest.append(line)
            continue
        _, qid, text = line.split(": ", 2)
        if qid in sizes:  # tried again
            continue
        fields = text.split(", ")
        if len(fields) != 3 or fields[1][:5] != "size=":
            rest.append(line)
            continue
        size = int(fields[1][5:])
        sizes[qid] = size
        client = received.pop(qid, None)
        if client is None:
            foreign[qid] = (fields[0], size)
        else:
            tally.add_sender(fields[0], size, client)
    for line in rest:
        _queue_special(tally, line, start)
    return removals


def _queue_special(tally: Tally, line: str, start: int) -> None:
    if ", status=" in line and ", returned to sender" in line:
        tally.totals["expired"] += 1
        _hours(tally, "expired", [line], start)
    elif line.endswith(", skipped, still being delivered"):
        tally.totals["still being delivered"] += 1
    else:
        problem_of(tally, line, start, "qmgr")


def removed(tally: Tally, lines: list[str], start: int) -> None:
    """Forget messages that left the queue."""
    sizes, deferred = tally.sizes, tally.deferred
    for line in lines:
        qid = line[line.find(": ", start) + 2 : -9]
        if sizes.pop(qid, None) is None or qid in tally.foreign_from:
            tally.foreign_removed.add(qid)
        deferred.discard(qid)
    tally.totals["removed"] += len(lines)


def deliveries(tally: Tally, lines: list[str], start: int, name: str) -> None:
    """Count deliveries: sent, bounced, deferred, with delays, relays and reasons."""
    sent, others, rest = [], [], []
    recipients, sizes = tally.recipients, tally.sizes
    relays, delays, phases = [], [], []
    total_bytes = 0
    for line in lines:
        try:
            _, qid, text = line.split(": ", 2)
            to, relay, delay, phase, _, status = text.split(", ", 5)
        except ValueError:
            rest.append(line)
            continue
        if (
            status[:8] != "status=s"
            or to[:4] != "to=<"
            or delay[:6] != "delay="
            or status[:24] == "status=sent (forwarded a"
        ):
            rest.append(line)
            continue
        sent.append(line)
        relays.append(relay)
        delays.append(delay)
        phases.append(phase)
        row = recipients.get(to)
        if row is None:
            row = recipients[to] = [0, 0, 0.0, 0.0, 0, 0]
        row[0] += 1
        seconds = float(delay[6:])
        row[2] += seconds
        if seconds > row[3]:
            row[3] = seconds
        size = sizes.get(qid)
        if size is None:
            tally.foreign_sent.setdefault(qid, []).append(to)
        else:
            row[1] += size
            total_bytes += size
    tally.totals["bytes delivered"] += total_bytes
    _count_sent(tally, name, sent, relays, delays, phases, start)
    for line in rest:
        if ": to=<" in line and ", status=" in line:
            others.append(line)
        else:
            _delivery_special(tally, line, start, name)
    _unsent(tally, others, start, name)


def _count_sent(
    tally: Tally, name: str, lines: list[str], relays: Iterable[str], delays: list[str], phases: list[str], start: int
) -> None:
    _hours(tally, "delivered", lines, start)
    tally.relays.update([(relay, "sent") for relay in relays])
    tally.delays.update(delays)
    flat = "/".join(phases).split("/") if phases else []
    if len(flat) == 4 * len(phases):
        for index, counter in enumerate(tally.phases):
            counter.update(flat[index::4])
    tally.totals[f"sent by {name}"] += len(lines)


def _unsent(tally: Tally, lines: list[str], start: int, name: str) -> None:
    """Count deferrals and bounces, and the deliveries that are written in an unusual way."""
    deferrals, bounces = [], []
    for line in lines:
        try:
            _, qid, text = line.split(": ", 2)
            to, relay, delay, _, dsn, status = text.split(", ", 5)
        except ValueError:
            _slow_delivery(tally, line, start, name)
            continue
        if to[:4] != "to=<" or dsn[:4] != "dsn=" or status[:8] not in ("status=d", "status=b"):
            _slow_delivery(tally, line, start, name)
            continue
        row = tally.recipients.get(to)
        if row is None:
            row = tally.recipients[to] = [0, 0, 0.0, 0.0, 0, 0]
        kind, _, reason = status[7:].partition(" (")
        tally.relays[relay, kind] += 1
        # what varies is taken out by hand, so that equal reasons meet in the counter and not in a regular expression
        reason = reason[:-1].replace(to[4:-1], "")
        if len(relay) > 10:
            reason = reason.replace(relay[6:], "relay")
        tally.reasons[kind, dsn, reason] += 1
        if kind == "deferred":
            deferrals.append(line)
            row[4] += 1
            seconds = float(delay[6:])
            if seconds > row[3]:
                row[3] = seconds
            if qid not in tally.deferred:
                _first_deferral(tally, qid)
        elif kind == "bounced":
            bounces.append(line)
            row[5] += 1
    _hours(tally, "deferred", deferrals, start)
    _hours(tally, "bounced", bounces, start)


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
        _count_sent(tally, name, [line], [relay], [f"delay={match['delay']}"], [f"delays={match['delays']}"], start)
    elif status in ("deferred", "bounced"):
        reason = _REASON.search(line)
        text = (reason["reason"] if reason else "").replace(match["to"], "") if match["to"] else ""
        tally.reasons[status, f"dsn={match['dsn'] or ''}", text.replace(match["relay"], "relay")] += 1
        tally.relays[relay, status] += 1
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


def _delivery_special(tally: Tally, line: str, start: int, name: str) -> None:
    text = line[line.find(": ", start) :]
    if " TLS connection " in text:
        _tls(tally, text[2:], "out")
    elif text.startswith(": connect to "):
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
        if len(parts) > 6:
            words = f"hostname host {' '.join(parts[2:6])} ip" + (f" {parts[7]}" if len(parts) > 7 else "")
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
