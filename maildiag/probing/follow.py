"""Follows one message through the lines of the mail log: from its Message-ID to queue ids, and to each delivery's outcome."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import field
from datetime import datetime

from maildiag.logs.events import Delivery, event_of
from maildiag.logs.lines import LogLine, parse_line
from maildiag.records import dataclass

_MESSAGE_ID = re.compile(r"^(?P<queue_id>[0-9A-Za-z]{6,}): (?:resent-)?message-id=(?P<id>.*)$")
_QUEUED_AS = re.compile(r"queued as (?P<queue_id>[0-9A-Za-z]{6,})")


@dataclass(frozen=True, slots=True)
class Seen:
    """A log line about the message: `delivery` where it tells the outcome of one."""

    line: LogLine
    queue_id: str
    delivery: Delivery | None


@dataclass(slots=True)
class Follower:
    """Keeps the queue ids that belong to the message, re-queueing by filters included."""

    message_id: str
    queue_ids: set[str] = field(default_factory=set)
    finished: Delivery | None = None
    trouble: list[LogLine] = field(default_factory=list)

    def feed(self, lines: Iterable[str], now: datetime) -> list[Seen]:
        """What these lines tell of the message; problem lines of others are kept in `trouble`, as they may be the reason."""
        found = [seen for raw in lines if (line := parse_line(raw, now)) and (seen := self._see(line))]
        for seen in found:
            if seen.delivery is not None:
                self.finished = self._final(seen.delivery)
        return found

    def _see(self, line: LogLine) -> Seen | None:
        if line.level != "info" and line.family in ("postfix", "dovecot") and len(self.trouble) < 50:
            self.trouble.append(line)
        match = _MESSAGE_ID.match(line.text)
        if match and match["id"].strip() == self.message_id:
            self.queue_ids.add(match["queue_id"])
            return Seen(line, match["queue_id"], None)
        queue_id = line.text.partition(":")[0]
        if line.family != "postfix" or queue_id not in self.queue_ids:
            return None
        event = event_of(line)
        delivery = event if isinstance(event, Delivery) else None
        return Seen(line, queue_id, delivery)

    def _final(self, delivery: Delivery) -> Delivery | None:
        """The delivery that ends the journey on this host: not one that hands the message to a filter of this host."""
        onward = _QUEUED_AS.search(delivery.reason)
        local = delivery.relay.startswith(("127.", "localhost", "[127.")) or "[127." in delivery.relay
        if delivery.status == "sent" and onward and local:
            self.queue_ids.add(onward["queue_id"])
            return None
        return delivery
