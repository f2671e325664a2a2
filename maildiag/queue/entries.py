"""One message of the queue as a value, and the readers of what postqueue(1) prints."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from datetime import datetime

from maildiag.logs.lines import MONTHS
from maildiag.records import dataclass

_NO_SENDER = "MAILER-DAEMON"


@dataclass(frozen=True, slots=True)
class Recipient:
    """Who still waits for the message, and why (empty where Postfix does not say)."""

    address: str
    reason: str = ""

    @property
    def domain(self) -> str:
        """The part behind the last @, in lower case."""
        return self.address.rpartition("@")[2].lower()


@dataclass(frozen=True, slots=True)
class Entry:
    """A queued message; `arrived` in seconds since 1970, `size` in bytes, an empty sender for a bounce."""

    queue: str
    id: str
    arrived: int
    size: int
    sender: str
    recipients: tuple[Recipient, ...]

    @property
    def reason(self) -> str:
        """The first reason that a recipient has."""
        return next((each.reason for each in self.recipients if each.reason), "")


def read_json(lines: Iterable[str]) -> Iterator[Entry | None]:
    """`postqueue -j` line by line (one JSON object each); None for a line that is none."""
    for line in lines:
        if line.strip():
            yield _entry(line)


def _entry(line: str) -> Entry | None:
    try:
        told = json.loads(line)
        sender = told["sender"]
        return Entry(
            told["queue_name"],
            told["queue_id"],
            int(told["arrival_time"]),
            int(told["message_size"]),
            "" if sender == _NO_SENDER else sender,
            tuple(Recipient(each["address"], each.get("delay_reason", "")) for each in told["recipients"]),
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


# `6BE821C9!       250 Mon Nov 23 05:28:33  alice@example.test`; `*` is active, `!` on hold, and 3.9 adds `#` for forced expiry.
_HEAD = re.compile(
    r"(?P<id>[0-9A-Za-z]+)(?P<mark>[*!#]*)\s+(?P<size>\d+) (?P<day>[A-Z][a-z]{2} (?P<month>[A-Z][a-z]{2}) +(?P<date>\d+) "
    r"(?P<clock>[\d:]{8}))\s+(?P<sender>.*)"
)


def read_text(lines: Iterable[str], now: datetime) -> Iterator[Entry]:
    """`postqueue -p` (Postfix before 3.1 has no -j): the same entries; `now` in the host's zone gives the year.

    The text names the reason in parentheses before the recipients that it belongs to.
    """
    head: re.Match[str] | None = None
    recipients: list[Recipient] = []
    reason = ""
    for line in lines:
        text = line.strip()
        begins = _HEAD.match(line)
        if begins or not text or text.startswith("-- "):
            if head is not None:
                yield _from_text(head, recipients, now)
            head, recipients, reason = begins, [], ""
        elif text.startswith("("):
            reason = text[1:].removesuffix(")")
        elif head is not None and line.startswith(" "):
            recipients.append(Recipient(text, reason))
    if head is not None:
        yield _from_text(head, recipients, now)


def _from_text(head: re.Match[str], recipients: list[Recipient], now: datetime) -> Entry:
    queue = "active" if "*" in head["mark"] else "hold" if "!" in head["mark"] else "deferred"
    sender = head["sender"].strip()
    return Entry(
        queue,
        head["id"],
        int(_when(head, now).timestamp()),
        int(head["size"]),
        "" if sender == _NO_SENDER else sender,
        tuple(recipients),
    )


def _when(head: re.Match[str], now: datetime) -> datetime:
    """The latest such date that is not in the future; the text names no year."""
    hour, minute, second = (int(part) for part in head["clock"].split(":"))
    month, day = MONTHS.get(head["month"], 1), int(head["date"])
    for year in (now.year + 1, now.year, now.year - 1):
        try:
            found = datetime(year, month, day, hour, minute, second, tzinfo=now.tzinfo)
        except ValueError:
            continue
        if (found - now).total_seconds() < 86400:
            return found
    return now
