"""Counting messages that enter and leave the queue; the loops here run once per line of a log of millions."""

from __future__ import annotations

from maildiag.logs.count_deliveries import deliveries
from maildiag.logs.count_problems import problem_of
from maildiag.logs.hours import count_hours
from maildiag.logs.places import queue_id_place
from maildiag.logs.tally import Tally


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
    count_hours(tally, "received", kept, start)
    tally.totals["submitted locally"] += len(kept)


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
        rest = [line for line in lines if line[-1] not in "d)"]
    if active:
        _active(tally, active, start, rest)
    attempts = [line for line in rest if ": to=<" in line]
    if attempts:  # where no other process could be asked to put the delivery off
        deliveries(tally, attempts, start, "qmgr")
        rest = [line for line in rest if ": to=<" not in line]
    for line in rest:
        _queue_special(tally, line, start)
    return removals


def _active(tally: Tally, lines: list[str], start: int, rest: list[str]) -> None:
    """Count `QID: from=<sender>, size=1234, nrcpt=1 (queue active)`; lines that are anything else go to `rest`."""
    sizes, take, senders = tally.sizes, tally.received.pop, tally.senders
    begin, end = queue_id_place(lines[0], start)
    colon, space, text_at, from_end = begin - 2, begin - 1, end + 2, end + 8
    total = 0
    for line in lines:
        qid = line[begin:end]
        if qid in sizes and line[end:from_end] == ": from=<" and line[space] == " " and line[colon] == ":":
            continue  # tried again
        try:
            head, length, _ = line.split(", ", 2)
            sender = head[text_at:]
            if head[end:from_end] != ": from=<" or head[space] != " " or head[colon] != ":":
                _, qid, sender = head.split(": ", 2)
                if qid in sizes and sender[:6] == "from=<":
                    continue
            size = int(length[5:])
        except ValueError:
            rest.append(line)
            continue
        sizes[qid] = size
        client = take(qid, None)
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
        count_hours(tally, "expired", [line], start)
    elif line.endswith(", skipped, still being delivered"):
        tally.totals["still being delivered"] += 1
    else:
        problem_of(tally, line, start, "qmgr")


def removed(tally: Tally, lines: list[str], start: int) -> None:
    """Forget messages that left the queue; `lines` end with the letter that `removed` ends with."""
    if not lines:
        return
    take, foreign = tally.sizes.pop, tally.foreign_from
    begin, end = queue_id_place(lines[0], start)
    colon, space = begin - 2, begin - 1
    gone = []
    for line in lines:
        qid = line[begin:end]
        if line[end:] != ": removed" or line[space] != " " or line[colon] != ":" or take(qid, None) is None:
            tag, _, qid = line[:-9].rpartition(": ")
            if line[-9:] != ": removed" or len(tag) < start:
                _queue_special(tally, line, start)
                continue
            if take(qid, None) is None:
                tally.foreign_removed.add(qid)
        gone.append(qid)
    if foreign:
        tally.foreign_removed.update(filter(foreign.__contains__, gone))
    tally.deferred.difference_update(gone)
    tally.totals["removed"] += len(gone)
