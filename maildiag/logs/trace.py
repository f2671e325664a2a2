"""The way of a message through one host or several, put together from the lines that name it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import NamedTuple

from maildiag.logs.events import Delivery, Reject, event_of
from maildiag.logs.find import Hit, find
from maildiag.logs.lines import LogLine, parse_line
from maildiag.logs.patterns import later
from maildiag.logs.reasons import Reason, classify_reason
from maildiag.logs.source import Source

MAX_MESSAGES = 500  # of an address that was in many messages: the latest
MAX_PASSES = 8
MAX_LINES = 20_000

QUEUE_ID = re.compile(r"[0-9A-F]{5,20}|[0-9B-DF-HJ-NP-TV-Zb-df-hj-np-tv-y]{10,30}")
_LINE_ID = re.compile(r"(?P<qid>[0-9A-Za-z]{5,30}): ")
_QUEUED_AS = later(r"\bqueued (?:mail for delivery )?as:? ([0-9A-Za-z]{5,30})\b")
_FORWARDED_AS = later(r"\bforwarded as ([0-9A-Za-z]{5,30})\b")
_NOTIFIED = later(r"\bsender (?:non-delivery|delay|delivery status) notification: ([0-9A-Za-z]{5,30})\b")
_MESSAGE_ID = later(r"message-id=<?([^>\s]*)>?")
_FROM = later(r"from=<(?P<sender>[^>]*)>(?:, size=(?P<size>\d{1,18}), nrcpt=(?P<count>\d{1,9}))?")
_CLIENT = later(r"client=(?P<client>[^\s,]+)(?:.*?sasl_username=(?P<user>[^\s,]+))?")
_ADDRESS = later(r"\[([0-9A-Fa-f.:]+)\]")


class Step(NamedTuple):
    """One line of a message's life: what happened, `after` the step before in seconds (None where a time is missing)."""

    when: datetime | None
    after: float | None
    host: str
    daemon: str
    kind: str
    text: str
    delivery: Delivery | None = None
    reason: Reason | None = None


class Message(NamedTuple):
    """One message in one queue: from where, to whom, every step, and what became of it."""

    queue_id: str
    host: str
    message_id: str
    sender: str
    size: int
    client: str
    user: str
    steps: tuple[Step, ...]
    outcome: str
    came_from: tuple[str, ...]
    went_on_as: tuple[str, ...]

    @property
    def deliveries(self) -> tuple[Delivery, ...]:
        """Every attempt to deliver it."""
        return tuple(step.delivery for step in self.steps if step.delivery)

    @property
    def first(self) -> datetime | None:
        """When it was first seen."""
        return next((step.when for step in self.steps if step.when), None)

    @property
    def last(self) -> datetime | None:
        """When it was last seen."""
        return next((step.when for step in reversed(self.steps) if step.when), None)


class Trace(NamedTuple):
    """What the logs say of a key: messages in order of time, and lines that belong to no message (refusals, logins)."""

    key: str
    messages: tuple[Message, ...]
    others: tuple[Step, ...]
    dropped: int


class _Search:
    """The state of a trace: the lines found so far, by file and offset, and the queue ids that were looked for."""

    def __init__(self, key: str, sources: Sequence[Source], now: datetime, since: datetime | None) -> None:
        self.key, self.sources, self.now, self.since = key, sources, now, since
        self.lines: dict[tuple[int, int], LogLine] = {}
        self.looked: set[str] = set()
        self.dropped = 0

    def run(self) -> Trace:
        is_id = QUEUE_ID.fullmatch(self.key) is not None
        words = {self.key.strip("<>")}
        found = self._look(words, any_case=not is_id)
        ids = {self.key} if is_id and any(_id(line) == self.key for line in found) else set()
        ids |= {qid for line in found if (qid := _id(line))} - ({self.key} if is_id else set())
        self.looked = {self.key} if is_id else set()
        for _ in range(MAX_PASSES):
            wanted = self._limited((ids | self._next_ids()) - self.looked)
            if not wanted:
                break
            self.looked |= wanted
            # a line of one id names the next: look from the beginning only for what may lie before
            self._look(wanted, any_case=False)
            ids = set()
        return self._trace()

    def _limited(self, ids: set[str]) -> set[str]:
        if len(ids) <= MAX_MESSAGES:
            return ids
        last = {qid: key for key, line in self.lines.items() if (qid := _id(line)) in ids}
        kept = sorted(last, key=lambda qid: last[qid])[-MAX_MESSAGES:]
        self.dropped += len(ids) - len(kept)
        self.looked |= ids
        return set(kept)

    def _look(self, words: set[str], *, any_case: bool) -> list[LogLine]:
        encoded = frozenset(word.encode("utf-8", "surrogateescape") for word in words)
        places = [(number, source, 0) for number, source in enumerate(self.sources)]
        found = []
        for hit in find(places, encoded, any_case=any_case):
            line = self._parsed(hit)
            if line is None:
                continue
            if len(self.lines) >= MAX_LINES and (hit.source, hit.offset) not in self.lines:
                self.dropped += 1
                continue
            self.lines[hit.source, hit.offset] = line
            found.append(line)
        return found

    def _parsed(self, hit: Hit) -> LogLine | None:
        line = parse_line(hit.line.decode("utf-8", "replace"), self.now)
        if line is None or (self.since is not None and line.when is not None and line.when < self.since):
            return None
        return line

    def _next_ids(self) -> set[str]:
        """Queue ids that the lines of known messages lead to, as far as these logs may hold them."""
        ids = set()
        for line in self.lines.values():
            qid = _id(line)
            if qid in self.looked:
                ids |= set(_NOTIFIED().findall(line.text)) | set(_FORWARDED_AS().findall(line.text))
                if len(self.sources) > 1 or _near(line.text):
                    ids |= set(_QUEUED_AS().findall(line.text))
            elif qid and any(old in line.text for old in _QUEUED_AS().findall(line.text) if old in self.looked):
                ids.add(qid)  # the message before this one, on the host or hop before
        return ids

    def _trace(self) -> Trace:
        lives: dict[tuple[str, str, int], list[LogLine]] = {}
        others: list[LogLine] = []
        life: dict[tuple[str, str], int] = {}
        for key in self._in_time():
            line = self.lines[key]
            qid = _id(line)
            if qid is None:
                others.append(line)
                continue
            number = life.setdefault((line.host, qid), 0)
            lives.setdefault((line.host, qid, number), []).append(line)
            if line.text.endswith(": removed"):  # a short queue id may be used again
                life[line.host, qid] = number + 1
        messages = [_message(qid, host, lines) for (host, qid, _), lines in lives.items()]
        return Trace(self.key, tuple(_linked(messages)), tuple(_steps(others)), self.dropped)

    def _in_time(self) -> list[tuple[int, int]]:
        """The found lines by time; lines of one file stay in the order of the file."""

        def order(key: tuple[int, int]) -> tuple[float, int, int]:
            when = self.lines[key].when
            return (when.timestamp() if when else 0.0, *key)

        return sorted(self.lines, key=order)


def trace(key: str, sources: Sequence[Source], now: datetime, since: datetime | None = None) -> Trace:
    """Return everything the logs say of a queue id, Message-ID, sender, recipient or client address.

    `now` as in `parse_line`; lines older than `since` are left out. Raises SourceError or OSError where a log cannot
    be read. A key without a letter or digit (`<>`) is found nowhere.
    """
    if not any(map(str.isalnum, key)):
        return Trace(key, (), (), 0)
    return _Search(key.strip(), sources, now, since).run()


def _id(line: LogLine) -> str | None:
    """The queue id of a Postfix line; words such as `warning: ` or NOQUEUE are none."""
    if line.family != "postfix":
        return None
    match = _LINE_ID.match(line.text)
    if match is None or match["qid"] in ("NOQUEUE", "warning", "error", "fatal", "panic", "statistics"):
        return None
    return match["qid"] if any(character.isdigit() for character in match["qid"]) else None


def _near(text: str) -> bool:
    """Whether a delivery went to this host or its own network, whose next hop may be in the same log."""
    relay = text.partition("relay=")[2].partition(",")[0]
    address = _ADDRESS().search(relay)
    if address is None:
        return "private/" in relay or relay.startswith(("localhost", "127.", "local"))
    import ipaddress

    try:
        one = ipaddress.ip_address(address[1])
    except ValueError:
        return False
    return any(one in ipaddress.ip_network(each) for each in _NEAR)


_NEAR = (
    "127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16", "::1/128", "fc00::/7", "fe80::/10",
)  # fmt: skip


def _steps(lines: Iterable[LogLine]) -> Iterator[Step]:
    before: datetime | None = None
    for line in lines:
        after = (line.when - before).total_seconds() if line.when and before else None
        before = line.when or before
        text = line.text.partition(": ")[2] if _id(line) else line.text
        event = event_of(line)
        delivery = event if isinstance(event, Delivery) else None
        reason = None
        if delivery and delivery.status != "sent":
            reason = classify_reason(delivery.reason, delivery.dsn)
        elif isinstance(event, Reject):
            reason = classify_reason(event.reason)
        yield Step(line.when, after, line.host, line.daemon, _kind(line, text, delivery), text, delivery, reason)


def _kind(line: LogLine, text: str, delivery: Delivery | None) -> str:
    if delivery:
        return delivery.status
    for word, kind in _KINDS:
        if word in text:
            return kind
    return "problem" if line.level != "info" else "note"


_KINDS = (
    ("reject: ", "rejected"), ("client=", "received"), ("uid=", "submitted"), ("message-id=", "message-id"),
    ("(queue active)", "queued"), (" notification: ", "notified"), ("removed", "removed"), ("hold: ", "held"),
    ("discard: ", "discarded"), ("auth failed", "login failed"), ("authentication failed", "login failed"),
    ("saved mail to ", "stored"), ("stored mail into ", "stored"), ("Login: ", "login"), ("Logged in: ", "login"),
    ("connect from ", "connected"),
)  # fmt: skip


def _message(queue_id: str, host: str, lines: list[LogLine]) -> Message:
    steps = tuple(_steps(lines))
    texts = [step.text for step in steps]
    message_id = next((match[1] for text in texts if (match := _MESSAGE_ID().match(text))), "")
    sender = next((match for text in texts if (match := _FROM().search(text)) and match["size"]), None)
    client = next((match for text in texts if (match := _CLIENT().match(text))), None)
    submitted = next(
        (match["sender"] for text in texts if text.startswith("uid=") and (match := _FROM().search(text))), ""
    )
    return Message(
        queue_id=queue_id,
        host=host,
        message_id=message_id,
        sender=sender["sender"] if sender else submitted,
        size=int(sender["size"]) if sender else 0,
        client=client["client"] if client else "",
        user=(client["user"] or "") if client else "",
        steps=steps,
        outcome=_outcome(steps),
        came_from=(),
        went_on_as=tuple(qid for text in texts for qid in _next_of(text)),
    )


def _next_of(text: str) -> list[str]:
    return [*_QUEUED_AS().findall(text), *_FORWARDED_AS().findall(text), *_NOTIFIED().findall(text)]


def _outcome(steps: Sequence[Step]) -> str:
    """What became of a message: the last word for each recipient, the worst first."""
    last = {
        step.delivery.to: step.delivery.status for step in steps if step.delivery and step.delivery.status != "expired"
    }
    statuses = set(last.values())
    kinds = {step.kind for step in steps}
    if "expired" in kinds or "force-expired" in kinds:
        return "expired"
    if len(statuses) > 1:
        return "partly " + ", partly ".join(sorted(statuses))
    if statuses:
        return statuses.pop()
    for kind in ("rejected", "discarded", "held"):
        if kind in kinds:
            return kind
    return "gone" if "removed" in kinds else "in the queue" if "queued" in kinds else "unknown"


def _linked(messages: list[Message]) -> Iterator[Message]:
    """Say of each message which of the others it came from."""
    parents: dict[str, list[str]] = {}
    for message in messages:
        for child in message.went_on_as:
            parents.setdefault(child, []).append(message.queue_id)
    known = {message.queue_id for message in messages}
    for message in sorted(messages, key=lambda one: (one.first is None, one.first.timestamp() if one.first else 0.0)):
        came_from = tuple(dict.fromkeys(parents.get(message.queue_id, ())))
        went_on = tuple(qid for qid in dict.fromkeys(message.went_on_as) if qid in known)
        yield message._replace(came_from=came_from, went_on_as=went_on)
