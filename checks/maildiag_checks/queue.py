"""Step 2: are messages stuck, why, and which of them are lost?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC

from maildiag.facts.mail_log import MailLog
from maildiag.facts.postfix import Postfix
from maildiag.facts.queue import Maildrop, Queue
from maildiag.facts.services import Services
from maildiag.facts.spool import Spool, SpoolPath, Wanted
from maildiag.logs.summary import LogSummary, ReasonGroup
from maildiag.model import (
    Confidence,
    Evidence,
    Fix,
    Gap,
    GapReason,
    HostRole,
    JsonValue,
    Risk,
    Role,
    Status,
    Step,
    Verdict,
    critical,
    notice,
    ok,
    unknown,
    warning,
)
from maildiag.probes import FileKind
from maildiag.queue.grouping import Group
from maildiag.registry import check
from maildiag.settings import Settings
from maildiag.text import plural
from maildiag_checks import _owners

FLUSH = Fix(
    id="queue.deferred/flush",
    title="Try all deferred messages now",
    commands=(("postqueue", "-f"),),
    automatic=True,
    verify=("queue.deferred",),
    why="Postfix waits between attempts, up to an hour by default (maximal_backoff_time)",
)

# Reasons of this host itself: mail for any destination would meet them.
_OWN = frozenset(
    {
        "lookup.temporary", "alias-db.unavailable", "filter.unavailable", "disk.full", "transport.unavailable",
        "local.data-error", "local.permission", "connect.socket-missing", "connect.socket-denied", "tls.local-problem",
        "loop.self", "auth.rejected", "auth.required", "auth.no-mechanism", "auth.temporary",
    }
)  # fmt: skip
# Reasons that pass by themselves, or belong to one recipient.
_PASSING = frozenset({"greylisted", "rate-limited", "mailbox.quota", "mailbox.temporary", "mailbox.unknown-user"})
# Losses that tell of a wrong setting on this side, and not of a wrong address or an unwelcome message.
_OWN_LOSS = frozenset(
    {
        "relay.denied", "auth.required", "auth.rejected", "loop.self", "helo.rejected", "client.no-ptr", "sender.not-owned",
        "sender.domain", "dnsbl.blocked", "policy.unauthenticated", "local.permission", "transport.unavailable",
        "tls.required", "tls.not-offered", "tls.unverified", "access.denied", "size.exceeded", "local.command",
    }
)  # fmt: skip
_ROOTS = (
    "services.postfix",
    "services.dovecot",
    "services.disk",
    "services.main-cf",
    "services.master-cf",
    "services.lookup-tables",
    "services.backend",
    "queue.directories",
    "connectivity.relayhost",
    "connectivity.relay-settings",
    "connectivity.lmtp-socket",
    "dns.resolver",
    "dns.relayhost",
    "logs.problems",
)


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
    "queue.deferred",
    step=Step.QUEUE,
    asks="Why do messages wait?",
    explained_by=_ROOTS,
)
def deferred(queue: Queue, role: HostRole | None, log: MailLog | None, postfix: Postfix | None) -> Iterator[Verdict]:
    """One answer for each reason that messages wait for; trouble that is over waits only for the next attempt.

    Source: qmgr(8), postqueue(1).
    """
    waiting = _by_meaning(queue)
    if not waiting:
        shown = (Evidence(queue.command, "no deferred message"),)
        yield ok("No message waits for another attempt", evidence=shown)
    relayed = postfix is not None and bool(postfix.get("relayhost"))
    for meaning, groups in waiting.items():
        yield _deferred(meaning, groups, queue, role.role if role else None, log, relayed)


def _by_meaning(queue: Queue) -> dict[str, list[Group]]:
    found: dict[str, list[Group]] = {}
    for each in queue.grouped.groups:
        if set(each.queues) & {"deferred"} or (
            each.reason.meaning != "none" and set(each.queues) & {"active", "incoming"}
        ):
            found.setdefault(each.reason.meaning, []).append(each)
    return found


def _deferred(
    meaning: str, groups: list[Group], queue: Queue, role: Role | None, log: MailLog | None, relayed: bool
) -> Verdict:
    count = sum(each.messages for each in groups)
    oldest = min(each.oldest for each in groups)
    said = _said(log, "deferred", meaning)
    over = _over(said, log, relayed)
    status = _weight(meaning, groups, queue, log, relayed)
    destinations = sorted({name for each in groups for name in each.destinations})
    title = f"{plural(count, 'message')} {'waits' if count == 1 else 'wait'}: {_sentence(groups[0])}"
    if over:
        status, title = Status.NOTICE, f"{title}; this looks over, they only wait for the next attempt"
    return Verdict(
        status=status,
        title=title,
        detail=f"to {', '.join(destinations[:5])}{' …' if len(destinations) > 5 else ''}; the oldest is {_age(queue.now - oldest)} old",
        subject=meaning,
        evidence=(*_waiting_evidence(queue, groups), *_log_evidence(log, said)),
        fixes=(FLUSH,) if over else (),
        explained_by=(*_owners.of_reason(meaning, role), *_generic(meaning)),
        data={
            "messages": count,
            "oldest_s": queue.now - oldest,
            "destinations": list(destinations[:50]),
            "class": meaning,
        },
        confidence=Confidence.CERTAIN if meaning not in ("none", "other") else Confidence.LIKELY,
    )


def _sentence(group: Group) -> str:
    if group.reason.meaning == "none":
        return "Postfix tells no reason; a delivery process may not start"
    if group.reason.meaning == "other":
        return group.text[:160]
    words = group.reason.sentence.rstrip(".")
    where = group.reason.host or group.reason.address
    return f"{words[:1].lower()}{words[1:]}{f' ({where})' if where else ''}"


def _generic(meaning: str) -> tuple[str, ...]:
    """What explains a wait whatever its reason is: nothing for what the other side has decided."""
    if meaning in ("none", "other"):
        return _ROOTS
    return ("services.postfix",) if meaning in _PASSING else ("services.postfix", "logs.problems")


def _said(log: MailLog | None, status: str, meaning: str) -> tuple[ReasonGroup, ...]:
    if log is None:
        return ()
    return tuple(each for each in log.summary.reasons if each.status == status and each.reason.meaning == meaning)


def _over(said: tuple[ReasonGroup, ...], log: MailLog | None, relayed: bool) -> bool:
    """True where the last such refusal lies before the last start or reload, or (with one way for all mail) before the
    last success.
    """
    if not said or log is None:
        return False
    if all(each.over for each in said):
        return True
    last = max((each.last for each in said if each.last), default=None)
    success = log.summary.last_success
    return relayed and last is not None and success is not None and success > last


def _weight(meaning: str, groups: list[Group], queue: Queue, log: MailLog | None, relayed: bool) -> Status:
    """Critical: mail of all destinations waits. Notice: what every mail server has in its queue at any time."""
    age = queue.now - min(each.oldest for each in groups)
    destinations = {name for each in groups for name in each.destinations}
    count = sum(each.messages for each in groups)
    delivered = log is not None and log.summary.last_success is not None
    if meaning == "greylisted":
        return Status.NOTICE if age < 3600 else Status.WARNING
    if meaning in _PASSING:
        return Status.NOTICE if count < 10 else Status.WARNING
    if meaning in _OWN or (relayed and not meaning.startswith("mailbox.")) or _to_own_socket(groups):
        return Status.CRITICAL
    if meaning in ("none", "other"):
        return Status.WARNING
    few = len(destinations) <= 2 or count < 5
    return Status.NOTICE if few and delivered else Status.WARNING


def _to_own_socket(groups: list[Group]) -> bool:
    return any("[private/" in each.text or "[/" in each.text or "[127.0.0.1]" in each.text for each in groups)


def _waiting_evidence(queue: Queue, groups: list[Group]) -> tuple[Evidence, ...]:
    shown = []
    for each in groups[:3]:
        to = ", ".join(f"{name} ({count})" for name, count in list(each.destinations.items())[:5])
        words = each.text or "(no reason)"
        shown.append(
            Evidence(queue.command, f"{', '.join(each.ids[:3])}: {plural(each.messages, 'message')} to {to}: {words}")
        )
    return tuple(shown)


def _log_evidence(log: MailLog | None, said: tuple[ReasonGroup, ...]) -> tuple[Evidence, ...]:
    if log is None:
        return ()
    return tuple(Evidence(log.source, each.samples[-1], each.last) for each in said[:2])


def _age(seconds: int) -> str:
    for unit, length in (("day", 86400), ("hour", 3600), ("minute", 60)):
        if seconds >= 2 * length:
            return plural(seconds // length, unit)
    return plural(max(0, seconds), "second")


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
        Evidence(queue.command, f"oldest message: {_age(queue.now - grouped.oldest) if grouped.total else 'none'}"),
    )
    if not grouped.total:
        yield ok("No message waits", evidence=shown)
        return
    old = queue.now - grouped.oldest
    left = queue.lifetime - old
    data: Mapping[str, JsonValue] = {"oldest_s": old, "left_s": left, "lifetime_s": queue.lifetime}
    told = f"the oldest message is {_age(old)} old"
    if left < 86400:
        due = sum(each.messages for each in grouped.groups if queue.lifetime - (queue.now - each.oldest) < 86400)
        words = (
            f"{told} and will be returned to its sender in {_age(left)}" if left > 0 else f"{told}, past its lifetime"
        )
        make = warning if due >= 10 else notice
        yield make(f"{words[:1].upper()}{words[1:]}", evidence=shown, data=data)
    elif old > settings.thresholds.queue_age_hours * 3600:
        yield notice(
            f"{told[:1].upper()}{told[1:]}; {_age(left)} are left until it is returned", evidence=shown, data=data
        )
    else:
        yield ok(f"{told[:1].upper()}{told[1:]}; {_age(left)} are left until it is returned", evidence=shown, data=data)


@check("queue.hold", step=Step.QUEUE, asks="Are messages on hold?", explained_by=())
def hold(queue: Queue, settings: Settings, log: MailLog | None) -> Iterator[Verdict]:
    """A message on hold is not delivered until somebody releases it. Source: postsuper(1), access(5)."""
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
    yield warning(
        f"{plural(count, 'message')} on hold: nothing moves {'it' if count == 1 else 'them'} until released",
        detail="put on hold by `postsuper -h`, or by a HOLD action in an access table, header check or policy service",
        evidence=(Evidence(queue.command, f"{count} on hold: {names}"),),
        fixes=(release,),
        data={"messages": count, "ids": list(ids)},
    )


@check(
    "queue.maildrop",
    step=Step.QUEUE,
    asks="Is mail from local programs taken into the queue?",
    explained_by=(
        "services.postfix",
        "queue.directories",
        "services.main-cf",
        "services.master-cf",
        "services.lookup-tables",
        "services.disk",
    ),
)
def maildrop(maildrop: Maildrop, services: Services | None) -> Iterator[Verdict]:
    """sendmail(1) says success while Postfix is stopped; the message waits in maildrop for pickup(8)."""
    late = [each for each in maildrop.waiting if (maildrop.now - each.modified).total_seconds() > 75]
    listing = "\n".join(f"{each.path} {each.owner} {each.modified:%Y-%m-%d %H:%M:%S}" for each in late[:5])
    if not late:
        found = plural(len(maildrop.waiting), "message")
        yield ok(
            "Mail from local programs is taken up", evidence=(Evidence(f"ls {maildrop.path}", f"{found} waiting"),)
        )
        return
    count = f"{len(late):,}{'+' if maildrop.more else ''}"
    running = services is not None and services.postfix.running
    oldest = min(each.modified for each in late)
    yield critical(
        f"{count} message{'s' if len(late) > 1 else ''} of local programs wait{'' if len(late) > 1 else 's'} in maildrop since "
        f"{oldest:%Y-%m-%d %H:%M} UTC: {'pickup does not take them' if running else 'Postfix is not running'}",
        detail="the programs were told that their mail was sent",
        evidence=(Evidence(f"ls {maildrop.path}", listing),),
        data={"messages": len(late)},
    )


@check("queue.lost", step=Step.QUEUE, asks="Was mail lost?", explained_by=_ROOTS)
def lost(log: MailLog, role: HostRole | None) -> Iterator[Verdict]:
    """A bounced or expired message goes back to its sender and does not reach its recipient; wrong addresses are everyday.

    Source: bounce(8).
    """
    summary = log.summary
    gone = summary.statuses.get("bounced", 0) + summary.statuses.get("expired", 0)
    if not gone:
        yield ok(
            "No message was returned in the window of the log",
            evidence=(Evidence(log.source, "no status=bounced, no status=expired"),),
        )
        return
    meanings = dict.fromkeys(
        (each.status, each.reason.meaning) for each in summary.reasons if each.status in ("bounced", "expired")
    )
    for status, meaning in meanings:
        yield _lost(status, meaning, _said(log, status, meaning), summary, log, role)


def _lost(
    status: str, meaning: str, said: tuple[ReasonGroup, ...], summary: LogSummary, log: MailLog, role: HostRole | None
) -> Verdict:
    count = sum(each.count for each in said)
    last = max((each.last for each in said if each.last), default=None)
    sent = summary.statuses.get("sent", 0)
    over = all(each.over for each in said) or (
        last is not None and summary.last_success is not None and summary.last_success > last
    )
    own = meaning in _OWN_LOSS or status == "expired"
    many = count >= 10 and count > sent
    if (own or many) and not over:
        weight = Status.CRITICAL if own and (count >= 3 or not sent) else Status.WARNING
    elif own and count >= 3:
        weight = Status.WARNING if not all(each.over for each in said) else Status.NOTICE
    else:
        weight = Status.NOTICE
    verb = "expired unsent" if status == "expired" else "returned"
    ids: list[JsonValue] = [*[one for each in said for one in each.queue_ids][:20]]
    sentence = "" if status == "expired" else f": {said[0].reason.sentence.rstrip('.')}"
    return Verdict(
        status=weight,
        title=f"{plural(count, 'message')} {'was' if count == 1 else 'were'} {verb}{sentence}",
        detail=f"last at {last.astimezone(UTC):%Y-%m-%d %H:%M} UTC" if last else "",
        subject=meaning if status == "bounced" else "expired",
        evidence=_log_evidence(log, said),
        explained_by=(*_owners.of_reason(meaning, role.role if role else None), "logs.problems"),
        data={"messages": count, "class": meaning, "status": status, "ids": ids},
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


@check(
    "queue.directories",
    step=Step.QUEUE,
    asks="Are the queue's directories and programs as Postfix needs them?",
    explained_by=("services.disk",),
)
def directories(spool: Spool, maildrop: Maildrop | None, services: Services | None) -> Iterator[Verdict]:
    """A spool that was restored, moved or cleaned by hand has lost owners and modes. Source: postfix-files, postfix(1)."""
    wrong = [each for each in spool.paths if not _right(each)]
    closed = [each for each in spool.paths if isinstance(each.found, Gap) and each.found.reason is not GapReason.ABSENT]
    if len(wrong) > _MANY:
        yield _whole_spool(wrong, services)
    else:
        yield from (_directory(each, services) for each in wrong)
    if spool.foreign:
        yield _foreign(spool, services)
    if maildrop is not None and maildrop.corrupt:
        yield _corrupt(maildrop)
    if closed:
        yield unknown(
            f"{plural(len(closed), 'path')} of the spool could not be seen",
            subject="closed",
            detail=closed[0].wanted.path,
        )
    if not wrong and not spool.foreign:
        shown = (Evidence("stat", f"{plural(len(spool.paths), 'path')} as expected"),)
        told = "" if spool.searched else "the queue files themselves could not be looked at without root"
        yield ok("The queue's directories have the right owners and modes", evidence=shown, detail=told)


def _right(each: SpoolPath) -> bool:
    wanted, found = each.wanted, each.found
    if isinstance(found, Gap):
        return found.reason is not GapReason.ABSENT
    return (
        found.kind is wanted.kind
        and found.owner == wanted.owner
        and (not wanted.group or found.group == wanted.group)
        and found.mode & wanted.mask == wanted.mode & wanted.mask
    )


_MANY = 4  # more wrong paths than this have one cause: a chown -R, a restore
_NEEDED = ("active", "incoming", "deferred", "defer", "bounce", "maildrop", "private", "public", "hold", "postdrop")


def _directory(each: SpoolPath, services: Services | None) -> Verdict:
    wanted = each.wanted
    last = wanted.path.rpartition("/")[2]
    make = critical if last in _NEEDED or wanted.kind is FileKind.FILE else warning
    return make(
        f"{wanted.path} {_difference(each)}",
        detail=f"Postfix expects {_words(wanted)}",
        subject=wanted.path,
        evidence=(Evidence(f"stat {wanted.path}", _found(each)),),
        fixes=(_mend(each, services),),
    )


def _whole_spool(wrong: list[SpoolPath], services: Services | None) -> Verdict:
    root = wrong[0].wanted.path.rpartition("/")[0] if wrong[0].wanted.path.count("/") > 3 else wrong[0].wanted.path
    fixes = [_mend(each, services) for each in wrong]
    fix = Fix(
        id="queue.directories/mend-all",
        title="Give all of them the owner and mode that Postfix expects",
        commands=tuple(dict.fromkeys(argv for each in fixes for argv in each.commands)),
        undo=tuple(dict.fromkeys(argv for each in reversed(fixes) for argv in each.undo)),
        automatic=True,
        verify=(f"queue.directories@{root}",),
        changes=tuple(path for each in fixes for path in each.changes),
        why="`postfix set-permissions` does the same",
    )
    return critical(
        f"{plural(len(wrong), 'path')} below {root} {'has' if len(wrong) == 1 else 'have'} a wrong owner or mode, or are missing",
        detail="as after a chown -R, or a restore that lost the owners",
        subject=root,
        evidence=tuple(
            Evidence(f"stat {each.wanted.path}", f"{_found(each)}; expected: {_words(each.wanted)}")
            for each in wrong[:6]
        ),
        fixes=(fix,),
        data={"paths": [each.wanted.path for each in wrong]},
    )


def _words(wanted: Wanted) -> str:
    group = f" and group {wanted.group}" if wanted.group else ""
    return f"owner {wanted.owner}{group}, mode {wanted.mode:o}"


def _difference(each: SpoolPath) -> str:
    wanted, found = each.wanted, each.found
    if isinstance(found, Gap):
        return "does not exist"
    if found.kind is not wanted.kind:
        return f"is a {found.kind.value}, not a {wanted.kind.value}"
    parts = []
    if found.owner != wanted.owner:
        parts.append(f"belongs to {found.owner}, not to {wanted.owner}")
    if wanted.group and found.group != wanted.group:
        parts.append(f"has the group {found.group}, not {wanted.group}")
    if found.mode & wanted.mask != wanted.mode & wanted.mask:
        parts.append(f"has the mode {found.mode:o}, not {wanted.mode:o}")
    return " and ".join(parts)


def _found(each: SpoolPath) -> str:
    found = each.found
    return str(found) if isinstance(found, Gap) else f"{found.kind.value} {found.owner}:{found.group} {found.mode:o}"


def _mend(each: SpoolPath, services: Services | None) -> Fix:
    wanted, found = each.wanted, each.found
    owner = f"{wanted.owner}:{wanted.group}" if wanted.group else wanted.owner
    commands: list[tuple[str, ...]] = []
    undo: list[tuple[str, ...]] = []
    if isinstance(found, Gap):
        group = ("-g", wanted.group) if wanted.group else ()
        if wanted.kind is FileKind.DIRECTORY:
            commands.append(("install", "-d", "-o", wanted.owner, *group, "-m", f"{wanted.mode:o}", wanted.path))
            undo.append(("rmdir", wanted.path))
        if services is not None and services.postfix.running:
            commands.append(services.restart("postfix"))
    else:
        if found.owner != wanted.owner or (wanted.group and found.group != wanted.group):
            commands.append(("chown", owner, wanted.path))
            undo.append(("chown", f"{found.owner}:{found.group}", wanted.path))
        mode = found.mode & ~wanted.mask | wanted.mode
        if wanted.kind is FileKind.FILE:
            mode = 0o2755
        commands.append(("chmod", f"{mode:o}", wanted.path))
        undo.append(("chmod", f"{found.mode:o}", wanted.path))
    return Fix(
        id=f"queue.directories/mend:{wanted.path}",
        title=f"Give {wanted.path} the owner and mode that Postfix expects",
        commands=tuple(commands),
        undo=tuple(undo),
        automatic=bool(commands),
        verify=(f"queue.directories@{wanted.path}",),
        changes=() if isinstance(found, Gap) else (wanted.path,),
        why="`postfix set-permissions` would do the same for all files at once",
    )


def _foreign(spool: Spool, services: Services | None) -> Verdict:
    first = spool.foreign[0]
    owners = ", ".join(sorted({each.owner for each in spool.foreign}))
    listing = "\n".join(f"{each.path} {each.owner}:{each.group} {each.mode:o}" for each in spool.foreign[:5])
    fix = Fix(
        id="queue.directories/chown-files",
        title=f"Give the queue files to {spool.owner}",
        commands=(("chown", "-R", spool.owner, *spool.holding),),
        verify=("queue.directories@files",),
        why="Postfix moves the files about while it fails on them, so that only whole directories can be given back",
    )
    return critical(
        f"{plural(len(spool.foreign), 'queue file')} {'belongs' if len(spool.foreign) == 1 else 'belong'} to {owners}, not to {spool.owner}",
        subject="files",
        evidence=(Evidence(f"ls {first.path.rpartition('/')[0]}", listing),),
        fixes=(fix,),
    )


def _corrupt(maildrop: Maildrop) -> Verdict:
    newest = max(each.modified for each in maildrop.corrupt)
    listing = "\n".join(
        f"{each.path} {each.size} bytes {each.modified:%Y-%m-%d %H:%M}" for each in maildrop.corrupt[:5]
    )
    recent = (maildrop.now - newest).total_seconds() < 86400
    make = warning if recent else notice
    return make(
        f"{plural(len(maildrop.corrupt), 'message')} set aside as damaged: nobody will deliver {'it' if len(maildrop.corrupt) == 1 else 'them'}",
        detail="look at it with `postcat FILE`; what can be read can be sent again",
        subject="corrupt",
        evidence=(Evidence("ls corrupt", listing),),
    )
