"""The grouped queue as text and as a JSON document."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from maildiag.queue.grouping import AGES, Grouped
from maildiag.text import plural, safe

SCHEMA = "maildiag.queue/1"
AGE_NAMES = ("under 5 minutes", "under 1 hour", "under 4 hours", "under 1 day", "under 3 days", "older")


def age(seconds: int) -> str:
    """`45 s`, `12 min`, `3 h`, `2 d`."""
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds // length} {unit}"
    return f"{max(0, seconds)} s"


def amount(count: int) -> str:
    """Bytes as `1.2 MB`."""
    for unit, length in (("GB", 10**9), ("MB", 10**6), ("kB", 1000)):
        if count >= length:
            return f"{count / length:.1f} {unit}"
    return f"{count} B"


def as_text(grouped: Grouped, now: int, by: str, top: int, width: int = 80) -> Iterator[str]:
    """The queue grouped by `reason`, `destination`, `sender`, `age` or `queue`, the largest first; `top` 0: no limit."""
    if not grouped.total:
        yield "The queue is empty."
        return
    parts = ", ".join(f"{count:,} {name}" for name, count in grouped.queues.items())
    oldest = age(now - grouped.oldest)
    yield f"{plural(grouped.total, 'message')} ({parts}), {amount(grouped.size)}, the oldest {oldest} old"
    if grouped.unread:
        yield f"{plural(grouped.unread, 'line')} of postqueue's could not be read"
    yield ""
    if by == "reason":
        yield from _reasons(grouped, now, top, width)
    else:
        yield from _table(_counts(grouped, by), top, width)


def _counts(grouped: Grouped, by: str) -> Mapping[str, int]:
    match by:
        case "destination":
            return grouped.destinations
        case "sender":
            return {name or "<>": count for name, count in grouped.senders.items()}
        case "age":
            return {name: count for name, count in zip(AGE_NAMES, grouped.ages, strict=True) if count}
        case _:
            return grouped.queues


def _table(counts: Mapping[str, int], top: int, width: int) -> Iterator[str]:
    for number, (name, count) in enumerate(counts.items()):
        if top and number >= top:
            yield f"{'':>9}  … and {len(counts) - top:,} more"
            return
        yield f"{count:>9,}  {safe(name, max(20, width - 11))}"


def _reasons(grouped: Grouped, now: int, top: int, width: int) -> Iterator[str]:
    for number, each in enumerate(grouped.groups):
        if top and number >= top:
            yield f"{'':>9}  … and {len(grouped.groups) - top:,} more reasons"
            return
        meaning = each.reason.meaning
        yield f"{each.messages:>9,}  {meaning}, oldest {age(now - each.oldest)}"
        if each.text:
            yield f"{'':>11}{safe(each.text, max(20, width - 11))}"
        to = ", ".join(f"{safe(name, 60)} ({count:,})" for name, count in list(each.destinations.items())[:3])
        more = f", {len(each.destinations) - 3} more" if len(each.destinations) > 3 else ""
        yield f"{'':>11}to {to}{more}"


def as_document(grouped: Grouped, now: int) -> dict[str, Any]:
    """The same as plain values; times in seconds since 1970."""
    return {
        "schema": SCHEMA,
        "at": now,
        "messages": grouped.total,
        "bytes": grouped.size,
        "oldest": grouped.oldest,
        "unread": grouped.unread,
        "queues": dict(grouped.queues),
        "ages": [
            {"under_s": limit, "messages": count} for limit, count in zip((*AGES, None), grouped.ages, strict=True)
        ],
        "destinations": {safe(name): count for name, count in grouped.destinations.items()},
        "senders": {safe(name): count for name, count in grouped.senders.items()},
        "reasons": [
            {
                "class": each.reason.meaning,
                "text": safe(each.text),
                "messages": each.messages,
                "recipients": each.recipients,
                "bytes": each.size,
                "oldest": each.oldest,
                "newest": each.newest,
                "queues": dict(each.queues),
                "destinations": {safe(name): count for name, count in each.destinations.items()},
                "ids": list(each.ids),
            }
            for each in grouped.groups
        ],
    }
