"""Which messages of the queue are meant: by reason, destination, sender, age, size, queue or id."""

from __future__ import annotations

import re
from fnmatch import fnmatchcase

from maildiag.logs.reasons import classify_reason
from maildiag.queue.entries import Entry
from maildiag.records import dataclass

_AGES = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_SIZES = {"": 1, "k": 1000, "M": 10**6, "G": 10**9}
NO_REASON = "none"


class BadSelectionError(ValueError):
    """An age or size that cannot be read; the message says how it is written."""


@dataclass(frozen=True, slots=True)
class Selection:
    """What all of a message must fit; a field that is None or empty fits everything.

    `reason` is a class (`connect.refused`), a glob of classes (`connect.*`), or a part of Postfix's own words; `to` and
    `sender` are addresses, domains or globs of them; ages in seconds, sizes in bytes.
    """

    reason: str = ""
    to: str = ""
    sender: str | None = None
    older: int | None = None
    newer: int | None = None
    larger: int | None = None
    smaller: int | None = None
    queue: str = ""
    ids: frozenset[str] = frozenset()

    @property
    def everything(self) -> bool:
        """True where nothing is asked for."""
        return self == Selection()

    def fits(self, entry: Entry, now: int) -> bool:
        """True where the message is meant; `now` in seconds since 1970."""
        age = now - entry.arrived
        return (
            (not self.ids or entry.id in self.ids)
            and (not self.queue or entry.queue == self.queue)
            and (self.older is None or age >= self.older)
            and (self.newer is None or age < self.newer)
            and (self.larger is None or entry.size >= self.larger)
            and (self.smaller is None or entry.size < self.smaller)
            and (self.sender is None or _address_fits(entry.sender, self.sender))
            and (not self.to or any(_address_fits(each.address, self.to) for each in entry.recipients))
            and (not self.reason or _reason_fits(entry, self.reason))
        )


def _address_fits(address: str, wanted: str) -> bool:
    """`example.org` fits every address of the domain, `bob@*` is a glob, `<>` the empty sender."""
    address, wanted = address.lower(), wanted.lower()
    if wanted in ("<>", ""):
        return not address
    meant = address if "@" in wanted else address.rpartition("@")[2]
    return meant == wanted or fnmatchcase(meant, wanted)  # in the glob [192.0.2.1] is one of its characters


def _reason_fits(entry: Entry, wanted: str) -> bool:
    texts = {each.reason for each in entry.recipients}
    if wanted == NO_REASON:
        return not any(texts)
    if re.fullmatch(r"[a-z*-]+\.[a-z*-]+|[a-z*-]+", wanted) and any(
        text and fnmatchcase(classify_reason(text).meaning, wanted) for text in texts
    ):
        return True
    return any(wanted.lower() in text.lower() for text in texts)


def seconds(text: str) -> int:
    """`90s`, `30m`, `6h`, `2d`, `1w` as seconds. Raises BadSelectionError."""
    match = re.fullmatch(r"(\d{1,9})([smhdw])", text)
    if match is None:
        raise BadSelectionError(f"{text!r} is no age: write 90s, 30m, 6h, 2d or 1w")
    return int(match[1]) * _AGES[match[2]]


def size(text: str) -> int:
    """`500`, `20k`, `10M`, `1G` as bytes. Raises BadSelectionError."""
    match = re.fullmatch(r"(\d{1,12})([kMG]?)B?", text)
    if match is None:
        raise BadSelectionError(f"{text!r} is no size: write 500, 20k, 10M or 1G")
    return int(match[1]) * _SIZES[match[2]]
