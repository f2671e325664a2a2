"""Counting what Postfix refuses, holds and discards."""

from __future__ import annotations

from collections.abc import Callable

from maildiag.logs.count_problems import LEVELS, problem_of
from maildiag.logs.hours import count_hours
from maildiag.logs.patterns import later
from maildiag.logs.tally import Tally

_REFUSAL = later(r": (?P<kind>(?:milter-)?reject|reject_warning|warning|hold|discard): (?P<what>.*)")
_REFUSED = frozenset(("reject", "reject_warning", "milter-reject", "hold", "discard"))
_Key = tuple[str, str, str]


def refusals(tally: Tally, lines: list[str], start: int, name: str) -> None:
    """Count refusals by their reason without address, sender and recipient; `QID: reject: RCPT from name[address]: …`."""
    keys, addresses, kept = [], [], []
    one_of_equals = _one_of_equals(tally)
    for line in lines:
        told, sender, _ = line.partition("; from=<")
        parts = told.split(": ", 4)
        if len(parts) < 5 or parts[2] not in _REFUSED:
            _unusual(tally, line, start, name)
            continue
        _, _, kind, stage, reason = parts
        if not sender:
            reason = reason.partition("; proto=")[0]
        address = stage[stage.find("[") + 1 : stage.rfind("]")]
        if reason[10:11] == "<":  # "550 5.1.1 <user@domain>: …"
            reason = reason[:10] + reason[reason.find(">: ") + 3 :]
        elif reason[4:5] == "<":
            reason = reason[:4] + reason[reason.find(">: ") + 3 :]
        if address:
            reason = reason.replace(address, "ip")
        key = (kind, stage[: stage.find(" ")], reason[:200])
        keys.append(one_of_equals(key, key))
        addresses.append(address)
        kept.append(line)
    if not keys:
        return
    tally.refusals.update(keys)
    tally.refused_clients.update(addresses)
    tally.refused_at.update(zip(keys, addresses, strict=True))
    count_hours(tally, "rejected", kept, start)


def _one_of_equals(tally: Tally) -> Callable[[_Key, _Key], _Key]:
    """What gives one and the same key for equal ones: a key is long, and is kept once for each client."""
    known = tally.scratch.setdefault("refusals", {})
    assert isinstance(known, dict)
    if len(known) > 20_000:
        known.clear()
    return known.setdefault


def _unusual(tally: Tally, line: str, start: int, name: str) -> None:
    match = _REFUSAL().search(line, start)
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
    count_hours(tally, "rejected", [line], start)


def cleanup(tally: Tally, lines: list[str], start: int, name: str) -> None:
    """Count what header and body checks and milters refuse."""
    for line in lines:
        if ": message-id=" in line or ": resent-message-id=" in line:
            continue
        text = line[line.find(": ", start) + 2 :]
        match = _REFUSAL().search(text)
        if match and not text.startswith(LEVELS) and match["what"].startswith(("header ", "body ", "END-OF-MESSAGE ")):
            _refused(tally, line, match["kind"], match["what"], start)
        else:
            problem_of(tally, line, start, name)
