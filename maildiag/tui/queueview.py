"""The queue as rows: groups of one kind, and the messages of a group; pure functions of the entries."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from enum import StrEnum
from functools import cached_property
from typing import overload

from maildiag.logs.reasons import classify_reason
from maildiag.queue.entries import Entry
from maildiag.queue.showing import age, amount
from maildiag.records import dataclass
from maildiag.text import plural, safe
from maildiag.tui.rows import Part, Row, Tone, row

_AGES = ((3600, "under 1 hour"), (6 * 3600, "under 6 hours"), (86400, "under 1 day"))


class By(StrEnum):
    """What the queue is grouped by."""

    REASON = "reason"
    DESTINATION = "destination"
    SENDER = "sender"
    AGE = "age"


@dataclass(frozen=True)
class Group:
    """Messages that have something in common."""

    name: str
    entries: tuple[Entry, ...]

    @cached_property
    def oldest(self) -> int:
        """When the oldest of them arrived."""
        return min(each.arrived for each in self.entries)

    @cached_property
    def places(self) -> Mapping[str, int]:
        """Where each message stands, by its queue id."""
        return {each.id: number for number, each in enumerate(self.entries)}


@dataclass(frozen=True)
class Queued:
    """The queue as it was read at `now` (seconds since 1970); `trouble` is what kept it from being read."""

    entries: tuple[Entry, ...]
    now: int
    trouble: str = ""

    def groups(self, by: By) -> dict[str, Group]:
        """The messages by group, the largest group first."""
        name = _names(by, self.now)
        found: dict[str, list[Entry]] = {}
        for entry in self.entries:
            found.setdefault(name(entry), []).append(entry)
        return {key: Group(key, tuple(found[key])) for key in sorted(found, key=lambda key: -len(found[key]))}

    def with_words(self, words: str) -> Queued:
        """Only the messages that have these words in id, sender, a recipient or a reason, whatever the case."""
        wanted = words.lower()
        return replace(self, entries=tuple(each for each in self.entries if wanted in _text(each)))

    @cached_property
    def told(self) -> str:
        """Messages by queue, their size, the oldest."""
        counts = Counter(each.queue for each in self.entries)
        parts = "  ".join(f"{safe(name)} {count:,}" for name, count in counts.most_common())
        oldest = min((each.arrived for each in self.entries), default=self.now)
        size = amount(sum(each.size for each in self.entries))
        return f"{plural(len(self.entries), 'message')}  {parts}  {size}  oldest {age(self.now - oldest)}"


@dataclass(frozen=True)
class Shown:
    """The queue as the screen shows it: filtered and grouped, all of it worked out beside the screen."""

    queued: Queued
    groups: Mapping[str, Group]
    words: str = ""


def shown(queued: Queued, by: By, words: str) -> Shown:
    """Filter, group and count: for a worker thread, 100,000 messages take their time."""
    some = queued.with_words(words) if words else queued
    groups = some.groups(by)
    for each in groups.values():
        _ = each.oldest, each.places
    _ = some.told
    return Shown(some, groups, words)


def _text(entry: Entry) -> str:
    to = " ".join(f"{each.address} {each.reason}" for each in entry.recipients)
    return f"{entry.id} {entry.sender} {to}".lower()


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


def summary(found: Shown, refreshed: str = "") -> Row:
    """How much waits, how old the oldest is, and how fresh this is."""
    queued = found.queued
    if queued.trouble:
        return row("summary", Part(f" {safe(queued.trouble)}", Tone.WARN))
    if not queued.entries:
        words = " Nothing in the queue has these words." if found.words else " The queue is empty."
        return row("summary", Part(words, Tone.GOOD), Part(f"  {refreshed}", Tone.DIM))
    return row("summary", Part(f" {queued.told}", Tone.STRONG), Part(f"  {refreshed}", Tone.DIM))


COLUMNS = row("columns", Part(f"   {'queue id':<14} {'age':>7} {'size':>9}  from -> to", Tone.DIM))


def group_rows(groups: Mapping[str, Group], total: int, now: int) -> list[Row]:
    """A row for each group: how many, which share, how old."""
    return [
        row(
            f"group:{each.name}",
            f" {len(each.entries):>7,} {100 * len(each.entries) // max(1, total):>3}%  {age(now - each.oldest):>7}  ",
            Part(safe(each.name), Tone.STRONG),
        )
        for each in groups.values()
    ]


class MessageRows(Sequence[Row]):
    """The messages of a group, each made a row when it is drawn."""

    def __init__(self, group: Group, marked: set[str], now: int) -> None:
        self._group = group
        self._marked = marked
        self._now = now

    def entry(self, number: int) -> Entry | None:
        """The message in this row."""
        return self._group.entries[number] if 0 <= number < len(self) else None

    def place(self, key: str) -> int | None:
        """The number of the row with this key."""
        return self._group.places.get(key.removeprefix("message:"))

    def __len__(self) -> int:
        return len(self._group.entries)

    @overload
    def __getitem__(self, number: int) -> Row: ...
    @overload
    def __getitem__(self, number: slice) -> Sequence[Row]: ...
    def __getitem__(self, number: int | slice) -> Row | Sequence[Row]:
        if isinstance(number, slice):
            return [self[each] for each in range(*number.indices(len(self)))]
        entry = self._group.entries[number]
        return message_row(entry, entry.id in self._marked, self._now)


def parties(entry: Entry) -> str:
    """Sender and first recipient, and how many more there are."""
    to = entry.recipients[0].address if entry.recipients else ""
    more = f" +{len(entry.recipients) - 1}" if len(entry.recipients) > 1 else ""
    return f"{safe(entry.sender) or '<>'} -> {safe(to)}{more}"


def message_row(entry: Entry, marked: bool, now: int) -> Row:
    """One message in a line: mark, queue id, age, size, sender, first recipient."""
    return row(
        f"message:{entry.id}",
        Part("*" if marked else " ", Tone.WARN),
        f" {safe(entry.id):<14} {age(now - entry.arrived):>7} {amount(entry.size):>9}  ",
        parties(entry),
        Part(f"  {safe(entry.queue)}", Tone.DIM),
    )
