"""The queue as rows: groups of one kind, and the messages of a group; pure functions of the entries."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import overload

from maildiag.logs.reasons import classify_reason
from maildiag.queue.entries import Entry
from maildiag.queue.showing import age, amount
from maildiag.text import plural, safe
from maildiag.tui.rows import Part, Row, Tone, row

_AGES = ((3600, "under 1 hour"), (6 * 3600, "under 6 hours"), (86400, "under 1 day"))


class By(StrEnum):
    """What the queue is grouped by."""

    REASON = "reason"
    DESTINATION = "destination"
    SENDER = "sender"
    AGE = "age"


@dataclass(frozen=True, slots=True)
class Queued:
    """The queue as it was read at `now` (seconds since 1970); `trouble` is what kept it from being read."""

    entries: tuple[Entry, ...]
    now: int
    trouble: str = ""

    def groups(self, by: By) -> dict[str, tuple[Entry, ...]]:
        """The messages by group, the largest group first."""
        name = _names(by, self.now)
        found: dict[str, list[Entry]] = {}
        for entry in self.entries:
            found.setdefault(name(entry), []).append(entry)
        return {key: tuple(found[key]) for key in sorted(found, key=lambda key: -len(found[key]))}


def _names(by: By, now: int) -> Callable[[Entry], str]:
    match by:
        case By.REASON:
            return lambda entry: (
                classify_reason(entry.reason).text if entry.reason else f"no reason told ({entry.queue})"
            )
        case By.DESTINATION:
            return lambda entry: entry.recipients[0].domain if entry.recipients else "(nobody)"
        case By.SENDER:
            return lambda entry: entry.sender or "<> (bounces)"
        case By.AGE:
            return lambda entry: next((word for limit, word in _AGES if now - entry.arrived < limit), "older")


def summary(queued: Queued) -> Row:
    """Messages by queue, their size, the oldest."""
    if queued.trouble:
        return row("summary", Part(f" {safe(queued.trouble)}", Tone.WARN))
    counts = Counter(each.queue for each in queued.entries)
    parts = "  ".join(f"{safe(name)} {count:,}" for name, count in counts.most_common())
    oldest = min((each.arrived for each in queued.entries), default=queued.now)
    size = amount(sum(each.size for each in queued.entries))
    text = f" {plural(len(queued.entries), 'message')}  {parts}  {size}  oldest {age(queued.now - oldest)}"
    return row("summary", Part(text if queued.entries else " The queue is empty.", Tone.STRONG))


def group_rows(groups: dict[str, tuple[Entry, ...]], total: int, now: int) -> list[Row]:
    """A row for each group: how many, which share, how old."""
    return [
        row(
            f"group:{name}",
            f" {len(found):>7,} {100 * len(found) // max(1, total):>3}%  {age(now - min(each.arrived for each in found)):>7}  ",
            Part(safe(name), Tone.STRONG),
        )
        for name, found in groups.items()
    ]


class MessageRows(Sequence[Row]):
    """The messages of a group, each made a row when it is drawn."""

    def __init__(self, entries: Sequence[Entry], marked: Iterable[str], now: int) -> None:
        self._entries = entries
        self._marked = frozenset(marked)
        self._now = now

    def __len__(self) -> int:
        return len(self._entries)

    @overload
    def __getitem__(self, number: int) -> Row: ...
    @overload
    def __getitem__(self, number: slice) -> Sequence[Row]: ...
    def __getitem__(self, number: int | slice) -> Row | Sequence[Row]:
        if isinstance(number, slice):
            return [self[each] for each in range(*number.indices(len(self)))]
        return message_row(self._entries[number], self._entries[number].id in self._marked, self._now)


def message_row(entry: Entry, marked: bool, now: int) -> Row:
    """One message in a line: mark, queue id, age, size, sender, first recipient."""
    to = entry.recipients[0].address if entry.recipients else ""
    more = f" +{len(entry.recipients) - 1}" if len(entry.recipients) > 1 else ""
    return row(
        f"message:{entry.id}",
        Part("*" if marked else " ", Tone.WARN),
        f"{safe(entry.id):<16} {age(now - entry.arrived):>7} {amount(entry.size):>9}  ",
        f"{safe(entry.sender) or '<>'} -> {safe(to)}{more}",
        Part(f"  {safe(entry.queue)}", Tone.DIM),
    )
