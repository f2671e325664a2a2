"""Counting what the SMTP server logs; the loops here run once per line of a log of millions, hence their style."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from maildiag.logs.count_problems import problem_of
from maildiag.logs.count_refusals import refusals
from maildiag.logs.count_tls import tls
from maildiag.logs.hours import count_hours
from maildiag.logs.places import queue_id_place, sort_out
from maildiag.logs.tally import Tally, client_domain

# What the SMTP server's lines begin with. No queue id begins so: short ones are hexadecimal, long ones have no vowels
# and, for the next century, begin with a digit.
_SMTPD_KINDS = {
    "co": "connect", "di": "disconnect", "An": "tls", "Tr": "tls", "Un": "tls", "Ve": "tls", "NO": "refusal",
    "wa": "problem", "er": "problem", "fa": "problem", "pa": "problem", "lo": "hangup", "ti": "hangup", "to": "hangup",
    "im": "hangup",
}  # fmt: skip

_MOST_WORDS = 10_000


class _Words(dict[str, Callable[[str], None]]):
    """From the text around the end of the tag ("]: co") to `append` of the list of lines of that kind."""

    def __init__(self) -> None:
        super().__init__()
        self.lists: dict[str, list[str]] = {kind: [] for kind in ("odd", "message", *_SMTPD_KINDS.values())}

    def __missing__(self, key: str) -> Callable[[str], None]:
        kind = _SMTPD_KINDS.get(key[3:], "message") if key.startswith("]: ") else "odd"
        append = self.lists[kind].append
        if len(self) < _MOST_WORDS:
            self[key] = append
        return append

    @classmethod
    def of(cls, tally: Tally) -> _Words:
        """The words known in this pass, with empty lists."""
        words = tally.scratch.setdefault("smtpd words", cls())
        assert isinstance(words, cls)
        for lines in words.lists.values():
            lines.clear()
        return words


def smtpd(tally: Tally, lines: list[str], start: int, name: str) -> None:
    """Count what the SMTP server logs: messages, refusals, TLS, warnings, connections."""
    at = lines[0].find(": ", start) + 2
    words = _Words.of(tally)
    sort_out(lines, slice(at - 3, at + 2), words)
    kinds = words.lists
    others = _clients(tally, kinds["message"], start)
    kinds["message"].clear()
    for line in kinds["odd"]:  # the process id has another number of digits
        at = line.find(": ", start) + 2
        words["]: " + line[at : at + 2]](line)
    tally.totals["connections"] += len(kinds["connect"])
    tls(tally, kinds["tls"], start, "in")
    kinds["refusal"] += [*others, *_odd_clients(tally, kinds["message"], start)]
    refusals(tally, kinds["refusal"], start, name)
    for line in kinds["problem"]:
        problem_of(tally, line, start, name)
    hangups = [line[line.find(": ", start) + 2 :].partition(" from ")[0] for line in kinds["hangup"]]
    for text, count in Counter(hangups).items() if hangups else ():
        tally.totals[text.partition(" [")[0][:60]] += count
    if "count sessions" in tally.scratch:
        _sessions(tally, lines, start)


def _clients(tally: Tally, lines: list[str], start: int) -> list[str]:
    """Remember who submitted each message; the tags of the lines are equally long. Return the lines that say other things."""
    if not lines:
        return lines
    begin, end = queue_id_place(lines[0], start)
    client, client_end = end + 2, end + 9
    found = [line for line in lines if line[end:client_end] == ": client="]
    _received(tally, [line[begin:end] for line in found], [line[client:] for line in found], found, start)
    if len(found) == len(lines):
        return []
    return _odd_clients(tally, [line for line in lines if line[end:client_end] != ": client="], start)


def _odd_clients(tally: Tally, lines: list[str], start: int) -> list[str]:
    """As `_clients`, for lines whose queue ids are not in one place."""
    rest: list[str] = []
    found: list[str] = []
    ids: list[str] = []
    clients: list[str] = []
    for line in lines:
        parts = line.split(": ", 2)
        if parts[-1][:7] == "client=" and len(parts) == 3:
            ids.append(parts[1])
            clients.append(parts[2])
            found.append(line)
        else:
            rest.append(line)
    _received(tally, ids, clients, found, start)
    return rest


def _received(tally: Tally, ids: list[str], clients: list[str], lines: list[str], start: int) -> None:
    if not lines:
        return
    tally.received.update(zip(ids, clients, strict=True))
    count_hours(tally, "received", lines, start)
    users = [client for client in clients if "sasl_username=" in client]
    if users:
        tally.sasl_users.update([user[user.find("sasl_username=") + 14 :].partition(",")[0] for user in users])


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
