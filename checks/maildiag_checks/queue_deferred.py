"""Step 2: why do messages wait?"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

from maildiag.facts.mail_log import MailLog
from maildiag.facts.postfix import Postfix
from maildiag.facts.postfix_config import PostfixConfig
from maildiag.facts.queue import Queue, parse_seconds
from maildiag.facts.relay import Level, tls_level
from maildiag.facts.tables import Tables
from maildiag.lint.cure import CHECKED
from maildiag.logs.summary import ReasonGroup
from maildiag.model import (
    Confidence,
    Evidence,
    Fix,
    HostRole,
    Risk,
    Role,
    Status,
    Step,
    Verdict,
    ok,
)
from maildiag.queue.grouping import Group
from maildiag.registry import check
from maildiag.text import lasting, plural
from maildiag_checks import _owners
from maildiag_checks._delivery_commands import COMMAND, with_command
from maildiag_checks._main_cf import shown
from maildiag_checks._origins import is_own, origins
from maildiag_checks._queue_reasons import ROOTS, leaves_meanwhile, log_evidence, said

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


@check(
    "queue.deferred",
    step=Step.QUEUE,
    asks="Why do messages wait?",
    explained_by=ROOTS,
)
def deferred(
    queue: Queue,
    role: HostRole | None,
    log: MailLog | None,
    postfix: Postfix | None,
    postfix_config: PostfixConfig | None,
    tables: Tables | None,
) -> Iterator[Verdict]:
    """One answer for each reason that messages wait for; trouble that is over waits only for the next attempt.

    Source: qmgr(8), postqueue(1).
    """
    waiting = _by_meaning(queue)
    if not waiting:
        shown = (Evidence(queue.command, "no deferred message"),)
        yield ok("No message waits for another attempt", evidence=shown)
    relayed = postfix is not None and bool(postfix.get("relayhost"))
    for meaning, groups in waiting.items():
        found = _deferred(meaning, groups, queue, role.role if role else None, log, relayed)
        found = _with_origin(found, groups, postfix_config, tables)
        found = _with_demand(found, meaning, postfix, postfix_config)
        found = _with_patience(found, meaning, postfix_config)
        if meaning == COMMAND:
            found = with_command(found, said(log, "deferred", meaning), postfix_config, tables)
        yield _with_own_domain(found, meaning, groups, postfix_config)


def _with_origin(verdict: Verdict, groups: list[Group], config: PostfixConfig | None, tables: Tables | None) -> Verdict:
    """Mail that waits for a host which a table or setting of this host names: the line is what to look at."""
    hosts = [name for each in groups for name in (each.reason.host, each.reason.address) if name]
    named = origins(config, tables, *hosts)
    if not named or (verdict.status is Status.NOTICE and verdict.fixes):
        return verdict
    own = any(is_own(config, name) for each in groups for name in each.destinations)
    status = Status.CRITICAL if own else max(verdict.status, Status.WARNING, key=lambda each: each.weight)
    return replace(
        verdict,
        status=status,
        title=f"{verdict.title}; {named[0].told} sends it there",
        evidence=(*(each.evidence for each in named[:3]), *verdict.evidence),
    )


# What of TLS the other server lacks counts only because this host demands it: the levels that do (postconf(5)).
_DEMANDS = {
    "tls.not-offered": (Level.ENCRYPT, Level.VERIFY),
    "tls.unverified": (Level.VERIFY,),
    "tls.handshake": (Level.ENCRYPT, Level.VERIFY),
}


def _with_demand(verdict: Verdict, meaning: str, postfix: Postfix | None, config: PostfixConfig | None) -> Verdict:
    """Without a relayhost a level above `may` in main.cf demands of every server what many do not have."""
    over = verdict.status is Status.NOTICE and verdict.fixes
    if postfix is None or config is None or postfix.get("relayhost") or meaning not in _DEMANDS or over:
        return verdict
    level, text = tls_level(postfix)
    if level not in _DEMANDS[meaning]:
        return verdict
    return replace(
        verdict,
        title=f"{text} demands {'encryption' if level is Level.ENCRYPT else 'a trusted certificate'} of every server: {verdict.title}",
        detail=f"{verdict.detail}. `may` encrypts wherever the other server can, and delivers to the others too; "
        "smtp_tls_policy_maps demands more of those domains that need it.",
        evidence=(*shown(config, text.partition(" = ")[0]), *verdict.evidence),
        fixes=(_LET_PLAIN, *verdict.fixes),
        explained_by=("services.main-cf", "services.clock"),
        data={**verdict.data, "setting": text},
    )


_LET_PLAIN = Fix(
    id="queue.deferred/tls-may",
    title="Encrypt wherever the other server can, and demand it of none",
    commands=(("postconf", "-e", "smtp_tls_security_level=may"), ("postfix", "reload"), ("postqueue", "-f")),
    risk=Risk.MEDIUM,
    undo=(("postfix", "reload"),),
    verify=("queue.deferred",),
    changes=("/etc/postfix/main.cf",),
    guards=CHECKED,
    why="Mail then goes in clear text to servers without TLS: yours to decide.",
)


def _with_own_domain(verdict: Verdict, meaning: str, groups: list[Group], config: PostfixConfig | None) -> Verdict:
    """A sender's domain that nobody finds, and that this host appends itself (postconf(5), myorigin)."""
    if config is None or meaning != "sender.domain":
        return verdict
    entry, domain = config.main.entry("myorigin"), config.get("myorigin").lower()
    if entry is None or not domain or not any(f"@{domain}>" in each.text.lower() for each in groups):
        return verdict
    return replace(
        verdict,
        title=f"{verdict.title}; main.cf line {entry.line} appends it: myorigin = {entry.value}",
        evidence=(*shown(config, "myorigin"), *verdict.evidence),
    )


_HASTY_S = 5


def _with_patience(verdict: Verdict, meaning: str, config: PostfixConfig | None) -> Verdict:
    """A time that main.cf sets so short that many servers need longer (RFC 5321 section 4.5.3.2 asks for minutes)."""
    if config is None or not meaning.startswith("connect.timeout"):
        return verdict
    hasty = [
        each
        for each in config.main.entries
        if re.fullmatch(r"(smtp|lmtp)_\w+_timeout", each.name)
        and 0 < parse_seconds(f"{each.value}s" if each.value.isdigit() else each.value, 0) <= _HASTY_S
    ]
    if not hasty:
        return verdict
    names = [each.name for each in hasty]
    told = " and ".join(f"{each.name} = {each.value} (main.cf line {each.line})" for each in hasty[:2])
    return replace(
        verdict,
        title=f"{verdict.title}; {told} gives it no longer",
        evidence=(*shown(config, *names), *verdict.evidence),
        fixes=(_patience(config, names), *verdict.fixes),
    )


def _patience(config: PostfixConfig, names: list[str]) -> Fix:
    return Fix(
        id="queue.deferred/patience",
        title=f"Set {', '.join(names)} back to the default",
        commands=(("postconf", "-X", *names), ("postfix", "reload"), ("postqueue", "-f")),
        undo=(("postfix", "reload"),),
        verify=("queue.deferred",),
        changes=(config.main.path,),
        guards=CHECKED,
        why="; ".join(f"{name} = {config.defaults.get(name, '')}" for name in names),
    )


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
    told = said(log, "deferred", meaning)
    over = _over(told, log, relayed)
    status = _weight(meaning, groups, queue, log, relayed)
    destinations = sorted({name for each in groups for name in each.destinations})
    title = f"{plural(count, 'message')} {'waits' if count == 1 else 'wait'}: {_sentence(groups[0])}"
    if over:
        status, title = Status.NOTICE, f"{title}; this looks over, they only wait for the next attempt"
    return Verdict(
        status=status,
        title=title,
        detail=f"to {', '.join(destinations[:5])}{' …' if len(destinations) > 5 else ''}; the oldest is {lasting(queue.now - oldest)} old",
        subject=meaning,
        evidence=(*_waiting_evidence(queue, groups), *log_evidence(log, told)),
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
    if group.reason.meaning == COMMAND:
        return f"{_lowered(words)}: {group.text[:160]}"
    return f"{_lowered(words)}{f' ({where})' if where else ''}"


def _lowered(words: str) -> str:
    """As the rest of a sentence; names of protocols stay as they are."""
    return words if words[1:2].isupper() else f"{words[:1].lower()}{words[1:]}"


def _generic(meaning: str) -> tuple[str, ...]:
    """What explains a wait whatever its reason is: nothing for what the other side has decided."""
    if meaning in ("none", "other"):
        return ROOTS
    return ("services.postfix",) if meaning in _PASSING else ("services.postfix", "logs.problems")


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
    return Status.NOTICE if (few and delivered) or leaves_meanwhile(log, meaning) else Status.WARNING


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
