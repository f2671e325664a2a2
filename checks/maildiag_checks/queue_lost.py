"""Step 2: which messages were lost?"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC

from maildiag.facts.mail_log import MailLog
from maildiag.facts.postfix_config import PostfixConfig
from maildiag.facts.tables import Tables
from maildiag.lint.lines import logical_lines
from maildiag.logs.summary import LogSummary, ReasonGroup
from maildiag.model import (
    Evidence,
    HostRole,
    JsonValue,
    Status,
    Step,
    Verdict,
    ok,
)
from maildiag.probes import FileText
from maildiag.registry import check
from maildiag.text import plural
from maildiag_checks import _owners
from maildiag_checks._delivery_commands import COMMAND, with_command
from maildiag_checks._discarded import discarded
from maildiag_checks._origins import Origin, is_own, origins
from maildiag_checks._queue_reasons import ROOTS, log_evidence, said

# Losses that tell of a wrong setting on this side, and not of a wrong address or an unwelcome message.
_OWN_LOSS = frozenset(
    {
        "relay.denied", "auth.required", "auth.rejected", "loop.self", "helo.rejected", "client.no-ptr", "sender.not-owned",
        "sender.domain", "dnsbl.blocked", "policy.unauthenticated", "local.permission", "transport.unavailable",
        "tls.required", "tls.not-offered", "tls.unverified", "access.denied", "size.exceeded", "local.command", "local.data-error",
    }
)  # fmt: skip


@check("queue.lost", step=Step.QUEUE, asks="Was mail lost?", explained_by=(*ROOTS, "connectivity.restrictions"))
def lost(
    log: MailLog, role: HostRole | None, postfix_config: PostfixConfig | None, tables: Tables | None
) -> Iterator[Verdict]:
    """A bounced or expired message goes back to its sender and does not reach its recipient; wrong addresses are everyday.

    Source: bounce(8).
    """
    yield from discarded(log, postfix_config, tables)
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
        found = said(log, status, meaning)
        told = _configured(_lost(status, meaning, found, summary, log, role), found, postfix_config, tables)
        yield with_command(told, found, postfix_config, tables) if meaning == COMMAND else told


# Losses that a wrong address makes.
_WRONG_ADDRESS = ("mailbox.unknown-user", "dns.not-found", "other")
_COPIES = re.compile(r"always_bcc|luser_relay|.*_notice_recipient|address_verify_sender")


def _configured(
    verdict: Verdict, found: tuple[ReasonGroup, ...], config: PostfixConfig | None, tables: Tables | None
) -> Verdict:
    """A bounce of an address that a setting or a table of this host names comes back with every message."""
    if found[0].reason.meaning not in _WRONG_ADDRESS:
        return verdict
    named = [
        each for group in found if not group.over for line in group.samples for each in _named_by(line, config, tables)
    ]
    if not named:
        return verdict
    return replace(
        verdict,
        status=max(verdict.status, Status.WARNING, key=lambda each: each.weight),
        title=f"{verdict.title}; the address is named by {named[0].told}",
        evidence=(*(each.evidence for each in dict.fromkeys(named[:3])), *verdict.evidence),
    )


def _named_by(line: str, config: PostfixConfig | None, tables: Tables | None) -> Iterator[Origin]:
    """The line of a table whose key is what the message was addressed to, or the setting that adds a recipient."""
    match = re.search(r"\bto=<([^>]+)>(?:, orig_to=<([^>]+)>)?", line)
    if match is None:
        return
    address, key = match[1], (match[2] or "").lower()
    yield from _rewritten(address.partition("@")[2].lower(), key.partition("@")[2], config, tables)
    local = [address.partition("@")[0]] if is_own(config, address.partition("@")[2]) else []
    for each in origins(config, tables, address, *local):
        own = re.split(r"[\s:=]", each.text, maxsplit=1)[0].lower()
        if own in (key, key.partition("@")[0]) if each.path != "main.cf" else _COPIES.fullmatch(own):
            yield each


_REWRITING = re.compile(r"(recipient_)?canonical_maps|virtual_alias_maps")


def _rewritten(domain: str, before: str, config: PostfixConfig | None, tables: Tables | None) -> Iterator[Origin]:
    """The line of a table by which mail for an own domain became mail for another one (canonical(5), virtual(5))."""
    if not domain or domain == before or not is_own(config, before) or tables is None:
        return
    for table in tables.tables:
        if not isinstance(table.text, FileText) or not any(_REWRITING.fullmatch(name) for name in table.users):
            continue
        for line in logical_lines(table.text.text):
            if line.text.lower().rstrip().endswith(f"@{domain}"):
                yield Origin(table.use.path, line.first, line.text.strip())


def _lost(
    status: str, meaning: str, found: tuple[ReasonGroup, ...], summary: LogSummary, log: MailLog, role: HostRole | None
) -> Verdict:
    count = sum(each.count for each in found)
    last = max((each.last for each in found if each.last), default=None)
    sent = summary.statuses.get("sent", 0)
    over = all(each.over for each in found) or (
        last is not None and summary.last_success is not None and summary.last_success > last
    )
    own = meaning in _OWN_LOSS or status == "expired"
    many = count >= 10 and count > sent
    if (own or many) and not over:
        weight = Status.CRITICAL if own and (count >= 3 or not sent) else Status.WARNING
    elif own and count >= 3:
        weight = Status.WARNING if not all(each.over for each in found) else Status.NOTICE
    else:
        weight = Status.NOTICE
    verb = "expired unsent" if status == "expired" else "returned"
    ids: list[JsonValue] = [*[one for each in found for one in each.queue_ids][:20]]
    known = found[0].reason.meaning not in ("other", "none")
    why = found[0].reason.sentence.rstrip(".") if known else found[0].reason.text[:160]
    if meaning == COMMAND:
        why = f"{why}: {found[0].reason.text[:160]}"
    sentence = "" if status == "expired" else f": {why}"
    return Verdict(
        status=weight,
        title=f"{plural(count, 'message')} {'was' if count == 1 else 'were'} {verb}{sentence}",
        detail=f"last at {last.astimezone(UTC):%Y-%m-%d %H:%M} UTC" if last else "",
        subject=meaning if status == "bounced" else "expired",
        evidence=log_evidence(log, found),
        explained_by=(
            *(("connectivity.restrictions@maximal_queue_lifetime", *ROOTS) if status == "expired" else ()),
            *_owners.of_reason(meaning, role.role if role else None),
            "logs.problems",
        ),
        data={"messages": count, "class": meaning, "status": status, "ids": ids},
    )
