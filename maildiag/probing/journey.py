"""The journey of a test message, hop by hop: handed in, queued, delivered, seen in the mailbox, cleaned up."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from enum import StrEnum

from maildiag.hosts.commands import ENVIRONMENT
from maildiag.logs.events import Delivery
from maildiag.probing.follow import Follower
from maildiag.probing.mailbox import Mailbox
from maildiag.probing.message import TestMessage
from maildiag.probing.spool import in_maildrop
from maildiag.probing.submit import Submitted
from maildiag.probing.tail import Tail
from maildiag.records import dataclass

_POLL_S = 0.2
_PLACED_S = 10.0  # what was logged as delivered is in the mailbox at once; a slow disk or index may need a little
_BEFORE_THE_QUEUE = frozenset({"postdrop", "pickup", "cleanup"})
_LASTING_S = 3.0  # a service that is restarted refuses for less


class Outcome(StrEnum):
    """How a hop went; `not looked` is neither good nor bad."""

    DONE = "ok"
    FAILED = "FAIL"
    NOT_LOOKED = "????"


@dataclass(frozen=True, slots=True)
class Hop:
    """One hop: what happened, after how many seconds, and the lines that show it."""

    name: str
    outcome: Outcome
    seconds: float
    detail: str
    evidence: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Route:
    """How the message is handed in and where it can be watched; None where a place cannot be looked into, and why."""

    submit: Callable[[TestMessage], Submitted]
    log: Tail | None
    mailbox: Mailbox | None
    no_mailbox: str = ""


def travel(message: TestMessage, route: Route, limit_s: float = 60.0) -> Iterator[Hop]:
    """Send the message and yield each hop as it is seen, for at most `limit_s` seconds; cleans up behind itself."""
    begun = time.monotonic()
    follower = Follower(message.message_id)
    submitted = route.submit(message)
    outcome = Outcome.DONE if submitted.accepted else Outcome.FAILED
    yield Hop("submit", outcome, time.monotonic() - begun, submitted.said)
    if not submitted.accepted:
        return
    if submitted.queue_id:
        follower.queue_ids.add(submitted.queue_id)
    yield from _delivery(route, follower, begun, limit_s, message)
    if follower.finished is None and route.log is not None:
        yield from _withdraw(follower, begun, message)
        return
    if follower.finished is None or follower.finished.status == "sent":
        yield from _mailbox(message, route, begun, limit_s, delivered=follower.finished is not None)
    elif follower.finished.status == "deferred":
        yield from _withdraw(follower, begun, message)


def _delivery(route: Route, follower: Follower, begun: float, limit_s: float, message: TestMessage) -> Iterator[Hop]:
    if route.log is None:
        yield Hop("deliver", Outcome.NOT_LOOKED, time.monotonic() - begun, "the mail log cannot be read (needs root)")
        return
    queued, looked = False, begun
    while time.monotonic() - begun < limit_s:
        for seen in follower.feed(route.log.lines(), datetime.now(UTC).astimezone()):
            if not queued:
                queued = True
                yield Hop(
                    "queue", Outcome.DONE, time.monotonic() - begun, f"queue id {seen.queue_id}", (seen.line.raw,)
                )
            if seen.delivery is not None:
                yield _delivered(seen.delivery, time.monotonic() - begun, seen.line.raw)
        if follower.finished is not None:
            return
        refused = [line.raw for line in follower.trouble if line.daemon in _BEFORE_THE_QUEUE]
        if refused and not queued and time.monotonic() - begun > _LASTING_S:
            yield Hop(
                "queue", Outcome.FAILED, time.monotonic() - begun, "it waits before the queue", tuple(refused[-5:])
            )
            return
        if not queued and time.monotonic() - looked > _PLACED_S:
            looked = time.monotonic()
            if in_maildrop(message.message_id):
                yield Hop("queue", Outcome.FAILED, looked - begun, "it waits in maildrop, and pickup does not fetch it")
                return
        time.sleep(_POLL_S)
    where = "deliver" if queued else "queue"
    why = (
        "no delivery was logged"
        if queued
        else "nothing of the message was logged: it waits before the queue, or the log is silent"
    )
    shown = tuple(line.raw for line in follower.trouble[-5:])
    yield Hop(where, Outcome.FAILED, time.monotonic() - begun, f"{why} within {limit_s:g} s", shown)


def _delivered(delivery: Delivery, seconds: float, raw: str) -> Hop:
    outcome = Outcome.DONE if delivery.status == "sent" else Outcome.FAILED
    via = f" via {delivery.relay}" if delivery.relay != "none" else ""
    return Hop("deliver", outcome, seconds, f"{delivery.status}{via}: {delivery.reason}", (raw,))


def _mailbox(message: TestMessage, route: Route, begun: float, limit_s: float, delivered: bool) -> Iterator[Hop]:
    """Until it is seen; not for the whole time where the log says that it is there, or the mailbox cannot be opened."""
    if route.mailbox is None:
        yield Hop("mailbox", Outcome.NOT_LOOKED, time.monotonic() - begun, route.no_mailbox)
        return
    error, arrived = "", time.monotonic()
    opened = arrived
    limit_s = min(limit_s, arrived - begun + _PLACED_S) if delivered else limit_s
    while time.monotonic() - begun < limit_s and time.monotonic() - opened < _LASTING_S:
        try:
            if route.mailbox.find(message.message_id):
                yield Hop(
                    "mailbox", Outcome.DONE, time.monotonic() - begun, f"seen in the mailbox of {message.recipient}"
                )
                yield _clean(route.mailbox, message, begun)
                return
            opened = time.monotonic()
            error = "delivered, and yet not in the mailbox: the place of delivery may not be the one that is read"
        except OSError as failure:
            error = str(failure)
        time.sleep(_POLL_S)
    yield Hop("mailbox", Outcome.FAILED, time.monotonic() - begun, error)
    if delivered:
        left = f"the test message stays where it was delivered: Message-ID {message.message_id}"
        yield Hop("clean up", Outcome.NOT_LOOKED, time.monotonic() - begun, left)


def _clean(mailbox: Mailbox, message: TestMessage, begun: float) -> Hop:
    try:
        done = mailbox.remove(message.message_id)
    except OSError as error:
        return Hop("clean up", Outcome.FAILED, time.monotonic() - begun, str(error))
    words = "the test message was taken out of the mailbox" if done else "the test message is still in the mailbox"
    return Hop("clean up", Outcome.DONE if done else Outcome.FAILED, time.monotonic() - begun, words)


def _withdraw(follower: Follower, begun: float, message: TestMessage) -> Iterator[Hop]:
    """Take our own message, and nothing else, out of the queue again (postsuper(1) -d with its queue id)."""
    waiting = [] if follower.queue_ids else in_maildrop(message.message_id)
    for queue_id, queue in [
        *((each, ()) for each in sorted(follower.queue_ids)),
        *((each, ("maildrop",)) for each in waiting),
    ]:
        argv = ["postsuper", "-d", queue_id, *queue]
        try:
            done = subprocess.run(argv, capture_output=True, env=ENVIRONMENT, timeout=10, check=False)
        except (OSError, subprocess.TimeoutExpired) as error:
            yield Hop("clean up", Outcome.FAILED, time.monotonic() - begun, f"{queue_id} stays queued: {error}")
            continue
        outcome = Outcome.DONE if done.returncode == 0 else Outcome.FAILED
        said = "; ".join(done.stderr.decode("utf-8", "replace").split("\n")).strip("; ")
        yield Hop("clean up", outcome, time.monotonic() - begun, f"taken out of the queue: {queue_id} ({said})")
