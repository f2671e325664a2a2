"""The queue by reason, destination, sender and age, in memory that depends on the number of groups and not of messages."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import field

from maildiag.logs.reasons import Reason, classify_reason
from maildiag.queue.entries import Entry
from maildiag.records import dataclass

MOST_GROUPS = 500  # distinct reasons kept; what is more falls into one group that says so
MOST_COUNTED = 2000  # distinct senders, destinations kept
IDS_KEPT = 20
OTHERS = "(others)"
NO_REASON = Reason("none", "", "", "", "", "", "", suspended=False)


@dataclass(frozen=True, slots=True)
class Group:
    """Messages that wait for the same reason; times in seconds since 1970, `size` in bytes.

    `text` is the latest reason as Postfix tells it, `destinations` counts recipients by domain.
    """

    reason: Reason
    text: str
    messages: int
    recipients: int
    size: int
    oldest: int
    newest: int
    destinations: Mapping[str, int]
    queues: Mapping[str, int]
    senders: Mapping[str, int]
    ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Grouped:
    """The whole queue: messages by queue, groups (the largest first), senders and destinations by messages.

    `ahead` messages arrived later than now by their own time, `newest` (seconds since 1970) the last of all.
    """

    total: int
    size: int
    queues: Mapping[str, int]
    groups: tuple[Group, ...]
    senders: Mapping[str, int]
    destinations: Mapping[str, int]
    oldest: int
    ages: tuple[int, ...]
    unread: int
    held: tuple[str, ...]
    oldest_held: int = 0
    ahead: int = 0
    newest: int = 0

    def of(self, *meanings: str) -> tuple[Group, ...]:
        """The groups with one of these meanings."""
        return tuple(each for each in self.groups if each.reason.meaning in meanings)


# Upper ends of the age classes in seconds: the rest is older.
AGES = (300, 3600, 4 * 3600, 86400, 3 * 86400)
_AHEAD_S = 600


@dataclass(slots=True)
class _Tally:
    reason: Reason
    text: str = ""
    messages: int = 0
    recipients: int = 0
    size: int = 0
    oldest: int = 0
    newest: int = 0
    destinations: Counter[str] = field(default_factory=Counter)
    queues: Counter[str] = field(default_factory=Counter)
    senders: Counter[str] = field(default_factory=Counter)
    ids: list[str] = field(default_factory=list)

    def add(self, entry: Entry, text: str) -> None:
        self.text = text or self.text
        self.messages += 1
        self.recipients += len(entry.recipients)
        self.size += entry.size
        self.oldest = min(self.oldest or entry.arrived, entry.arrived)
        self.newest = max(self.newest, entry.arrived)
        self.queues[entry.queue] += 1
        _count(self.senders, entry.sender, 50)
        for domain in {each.domain for each in entry.recipients}:
            _count(self.destinations, domain, 200)
        if len(self.ids) < IDS_KEPT:
            self.ids.append(entry.id)

    def done(self) -> Group:
        return Group(
            self.reason,
            self.text,
            self.messages,
            self.recipients,
            self.size,
            self.oldest,
            self.newest,
            dict(self.destinations.most_common()),
            dict(self.queues),
            dict(self.senders.most_common()),
            tuple(self.ids),
        )


def group(entries: Iterable[Entry | None], now: int) -> Grouped:
    """Count the entries in one pass; `now` in seconds since 1970 is what ages count from."""
    tallies: dict[tuple[str, str], _Tally] = {}
    queues: Counter[str] = Counter()
    senders: Counter[str] = Counter()
    destinations: Counter[str] = Counter()
    ages = [0] * (len(AGES) + 1)
    total = size = oldest = oldest_held = unread = ahead = newest = 0
    held: list[str] = []
    for entry in entries:
        if entry is None:
            unread += 1
            continue
        total += 1
        size += entry.size
        oldest = min(oldest or entry.arrived, entry.arrived)
        newest = max(newest, entry.arrived)
        ahead += entry.arrived > now + _AHEAD_S
        queues[entry.queue] += 1
        ages[_age_class(now - entry.arrived)] += 1
        _count(senders, entry.sender, MOST_COUNTED)
        for domain in {each.domain for each in entry.recipients}:
            _count(destinations, domain, MOST_COUNTED)
        if entry.queue == "hold":
            oldest_held = min(oldest_held or entry.arrived, entry.arrived)
            held += [entry.id] if len(held) < IDS_KEPT else []
        _tally(tallies, entry).add(entry, entry.reason)
    return Grouped(
        total,
        size,
        dict(queues),
        tuple(sorted((each.done() for each in tallies.values()), key=lambda each: -each.messages)),
        dict(senders.most_common()),
        dict(destinations.most_common()),
        oldest,
        tuple(ages),
        unread,
        tuple(held),
        oldest_held,
        ahead,
        newest,
    )


def _tally(tallies: dict[tuple[str, str], _Tally], entry: Entry) -> _Tally:
    text = entry.reason
    reason = classify_reason(text) if text else NO_REASON
    key = (reason.meaning, reason.text)
    found = tallies.get(key)
    if found is None:
        if len(tallies) >= MOST_GROUPS:
            key = (reason.meaning, OTHERS)
            found = tallies.get(key)
        if found is None:
            found = tallies[key] = _Tally(reason)
    return found


def _age_class(seconds: int) -> int:
    return next((number for number, limit in enumerate(AGES) if seconds < limit), len(AGES))


def _count(counter: Counter[str], key: str, limit: int) -> None:
    counter[key if key in counter or len(counter) < limit else OTHERS] += 1
