"""Step 2: are messages stuck: how many, how old, on hold, and of whom?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from maildiag.facts.mail_log import MailLog
from maildiag.facts.queue import Queue
from maildiag.model import (
    Confidence,
    Evidence,
    Fix,
    JsonValue,
    Risk,
    Step,
    Verdict,
    notice,
    ok,
    unknown,
    warning,
)
from maildiag.queue.grouping import Group
from maildiag.registry import check
from maildiag.settings import Settings
from maildiag.text import lasting, plural

_FEW_HELD = 10
_FORGOTTEN_S = 24 * 3600


@check(
    "queue.backlog",
    step=Step.QUEUE,
    asks="Is the queue shorter than its limit?",
    explained_by=("services.postfix", "queue.deferred", "queue.hold", "queue.sender"),
)
def backlog(queue: Queue, settings: Settings) -> Iterator[Verdict]:
    """A queue that grows is the first sign of trouble; the documentation's limit is 100 messages. Source: qmgr(8)."""
    limit = settings.thresholds.queue_messages
    grouped = queue.grouped
    parts = ", ".join(f"{count:,} {name}" for name, count in grouped.queues.items())
    at_least = "" if queue.complete else "at least "
    told = f"{at_least}{plural(grouped.total, 'message')} queued"
    shown = (Evidence(queue.command, f"{told}: {parts}" if parts else "Mail queue is empty"),)
    data: Mapping[str, JsonValue] = {
        "messages": grouped.total,
        "limit": limit,
        "queues": dict(grouped.queues),
        "bytes": grouped.size,
    }
    if grouped.unread:
        yield notice(
            f"{plural(grouped.unread, 'line')} of {queue.command} could not be read", subject="unread", evidence=shown
        )
    if grouped.total <= limit:
        yield ok(f"{told[:1].upper()}{told[1:]}, under the limit of {limit}", evidence=shown, data=data)
    else:
        worst = ", ".join(f"{each.messages:,} {_called(each)}" for each in grouped.groups[:3])
        yield warning(
            f"{told[:1].upper()}{told[1:]}, over the limit of {limit} ({parts})",
            detail=f"reasons: {worst}",
            evidence=shown,
            data=data,
        )


def _called(group: Group) -> str:
    return group.reason.meaning if group.reason.meaning != "none" else "without a reason"


@check(
    "queue.age",
    step=Step.QUEUE,
    asks="Is there time left before queued mail is returned?",
    explained_by=("queue.deferred", "queue.hold", "services.postfix"),
)
def age(queue: Queue, settings: Settings) -> Iterator[Verdict]:
    """Postfix returns what it could not deliver for maximal_queue_lifetime: then the mail is lost. Source: qmgr(8)."""
    grouped = queue.grouped
    shown = (
        Evidence(queue.command, f"oldest message: {lasting(queue.now - grouped.oldest) if grouped.total else 'none'}"),
    )
    if not grouped.total:
        yield ok("No message waits", evidence=shown)
        return
    old = queue.now - grouped.oldest
    left = queue.lifetime - old
    data: Mapping[str, JsonValue] = {"oldest_s": old, "left_s": left, "lifetime_s": queue.lifetime}
    told = f"the oldest message is {lasting(old)} old"
    if left < 86400:
        due = sum(each.messages for each in grouped.groups if queue.lifetime - (queue.now - each.oldest) < 86400)
        words = (
            f"{told} and will be returned to its sender in {lasting(left)}"
            if left > 0
            else f"{told}, past its lifetime"
        )
        make = warning if due >= 10 else notice
        yield make(f"{words[:1].upper()}{words[1:]}", evidence=shown, data=data)
    elif old > settings.thresholds.queue_age_hours * 3600:
        yield notice(
            f"{told[:1].upper()}{told[1:]}; {lasting(left)} are left until it is returned", evidence=shown, data=data
        )
    else:
        yield ok(
            f"{told[:1].upper()}{told[1:]}; {lasting(left)} are left until it is returned", evidence=shown, data=data
        )


@check("queue.hold", step=Step.QUEUE, asks="Are messages on hold?", explained_by=())
def hold(queue: Queue, settings: Settings, log: MailLog | None) -> Iterator[Verdict]:
    """A message on hold is not delivered until somebody releases it. Source: postsuper(1), access(5).

    A few that an administrator holds to look at are his business; those that a rule holds, that are many, or that were
    forgotten are not.
    """
    count = queue.grouped.queues.get("hold", 0)
    ids = queue.grouped.held
    if count <= settings.thresholds.hold_messages:
        yield ok(
            "No message is on hold" if not count else f"{plural(count, 'message')} on hold, as many as are allowed",
            evidence=(Evidence(queue.command, f"{count} on hold"),),
        )
        return
    release = Fix(
        id="queue.hold/release",
        title=f"Release {'it' if count == 1 else 'them'}",
        commands=(("postsuper", "-H", *(ids if count == len(ids) else ("ALL",))),),
        undo=(("postsuper", "-h", *ids),),
        risk=Risk.MEDIUM,
        verify=("queue.hold",),
        why="somebody, or a rule, put the mail on hold on purpose: look at it first (postcat -q ID)",
    )
    names = ", ".join(ids[:5]) + (" …" if count > 5 else "")
    rules = [each for each in log.summary.reasons if each.status == "held" and not each.over] if log else []
    chosen = not rules and count <= _FEW_HELD and queue.now - queue.grouped.oldest_held < _FORGOTTEN_S
    yield (notice if chosen else warning)(
        f"{plural(count, 'message')} on hold: nothing moves {'it' if count == 1 else 'them'} until released",
        detail="put on hold by `postsuper -h`, or by a HOLD action in an access table, header check or policy service",
        evidence=(
            Evidence(queue.command, f"{count} on hold: {names}"),
            *(Evidence("mail log", each.samples[-1]) for each in rules[:2]),
        ),
        fixes=(release,),
        data={"messages": count, "ids": list(ids)},
    )


@check("queue.sender", step=Step.QUEUE, asks="Does one sender fill the queue?", explained_by=())
def sender(queue: Queue | None, log: MailLog | None, settings: Settings) -> Iterator[Verdict]:
    """A stolen password shows as one login that sends to many; a flood of bounces as one empty sender."""
    if queue is None and log is None:
        yield unknown("Neither the queue nor the log could be read")
        return
    found = [*_logins(log, settings), *_queued(queue, settings)]
    yield from found
    if not found:
        top = next(iter(log.summary.sasl_messages.items()), None) if log else None
        told = f"the busiest login sent {plural(top[1], 'message')}" if top else "no login sent mail in the window"
        yield ok("No sender dominates", evidence=(Evidence(log.source if log else "postqueue -j", told),))


def _logins(log: MailLog | None, settings: Settings) -> Iterator[Verdict]:
    if log is None:
        return
    total = sum(log.summary.sasl_messages.values())
    for user, count in list(log.summary.sasl_messages.items())[:3]:
        failed = log.summary.statuses.get("bounced", 0) + log.summary.statuses.get("deferred", 0)
        if count >= 5 * settings.thresholds.queue_messages and count >= 0.6 * total and failed >= 0.2 * count:
            yield warning(
                f"The login {user} sent {count:,} of {total:,} authenticated messages, and many of them fail",
                detail="a stolen password looks like this: change it, then remove the mail of this sender from the queue (never all of it)",
                subject=user,
                evidence=(
                    Evidence(
                        log.source, f"sasl_username={user}: {count} messages; {failed} deferred or bounced in all"
                    ),
                ),
                data={"messages": count},
            )


def _queued(queue: Queue | None, settings: Settings) -> Iterator[Verdict]:
    if queue is None or queue.total <= settings.thresholds.queue_messages:
        return
    for address, count in list(queue.grouped.senders.items())[:1]:
        if count < 0.6 * queue.total:
            continue
        name = address or "<> (bounces)"
        detail = (
            "bounces that cannot be delivered: mail was accepted for senders that do not exist"
            if not address
            else "look at one of the messages (postcat -q ID): a stolen password or a looping program looks like this"
        )
        yield warning(
            f"{count:,} of {queue.total:,} queued messages are from one sender: {name}",
            detail=detail,
            subject=address or "<>",
            evidence=(Evidence(queue.command, f"{count} messages from {name}"),),
            explained_by=("queue.deferred",) if address else (),
            data={"messages": count},
            confidence=Confidence.LIKELY,
        )
