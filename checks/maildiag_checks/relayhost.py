"""Step 4, towards the relay: does the relayhost answer, and does it offer what this host demands?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from maildiag.facts.clock import Clock
from maildiag.facts.mail_log import MailLog
from maildiag.facts.postfix import Postfix
from maildiag.facts.queue import Queue
from maildiag.facts.relay import Relay, RelayTalk
from maildiag.model import (
    Confidence,
    Evidence,
    Status,
    Step,
    Verdict,
    critical,
    notice,
    skipped,
    warning,
)
from maildiag.probes import Connect, Transcript
from maildiag.registry import BOTH, check
from maildiag.text import plural
from maildiag_checks._relay_dialogue import NO_WAY, OTHER_SIDE, ask, judge
from maildiag_checks._time import by_this_clock

_LOOK_UP = ("dns.relayhost", "dns.resolver", "connectivity.relay-settings", "services.main-cf")
_REFUSALS = {
    "relay.denied": "it does not relay for this host",
    "access.denied": "it does not accept this host",
    "auth.required": "it wants a login",
    "auth.rejected": "it does not accept our user and password",
    "auth.temporary": "it cannot check logins at present",
    "helo.rejected": "it does not accept the name that we say in HELO",
    "client.no-ptr": "our address has no proper name in the DNS",
    "sender.not-owned": "the login may not use this sender address",
    "sender.rejected": "it does not accept the sender's address",
    "rate-limited": "we send too much or too fast",
    "dnsbl.blocked": "our address is on a block list",
    "disk.full": "its disk is full",
    "lookup.temporary": "a look-up of its own fails",
    "filter.unavailable": "its filter does not answer",
}


@check(
    "connectivity.relayhost",
    step=Step.CONNECTIVITY,
    asks="Does the relayhost answer, and does it offer what this host demands?",
    roles=BOTH,
    explained_by=tuple(dict.fromkeys((*NO_WAY, *_LOOK_UP, "firewall.inbound", "authentication.relay-password"))),
)
def relayhost(
    relay: Relay, postfix: Postfix, log: MailLog | None, queue: Queue | None = None, clock: Clock | None = None
) -> Iterator[Verdict]:
    """A dialogue with each address that Postfix would try. Source: postconf(5) relayhost, smtp(8), RFC 5321."""
    if relay.hop is None:
        yield skipped("No relayhost is set: mail goes to its destinations directly")
        return
    subject = relay.hop.text
    if not relay.addresses:
        yield critical(
            f"The relayhost {subject} has no address that Postfix finds",
            subject=subject,
            evidence=(Evidence("postconf -x", f"relayhost = {subject}\nsmtp_host_lookup = {relay.lookup}"),),
            explained_by=_LOOK_UP,
        )
        return
    judged = [(each, _by_the_clock(judge(each, relay, postfix), clock)) for each in relay.talks]
    verdicts = [each for _, each in judged]
    good = [each for each in verdicts if not each.status.failing and each.status != "unknown"]
    bad = [each for each in verdicts if each.status.failing]
    if good and bad and all(_harmless(talk) for talk, each in judged if each.status.failing):
        yield notice(
            f"The relay is reached, but not at each of its {len(verdicts)} addresses: {bad[0].title}",
            detail="Postfix is refused there at once and takes the next address: no mail waits, each connection costs a moment.",
            subject=subject,
            evidence=bad[0].evidence,
        )
    elif good and bad:
        yield warning(
            f"One of the relay's {len(verdicts)} addresses does not answer: {bad[0].title}",
            detail=bad[0].detail,
            subject=subject,
            evidence=bad[0].evidence,
            explained_by=bad[0].explained_by,
        )
    elif bad and all(_late(each) for each in relay.talks) and not _mail_fails(relay, log, queue):
        yield _greets_late(relay, bad[0], log)
    elif bad:
        yield max(verdicts, key=lambda each: each.status.weight)
    else:
        yield (_refused_mail(relay, log) if log else None) or max(verdicts, key=lambda each: each.status.weight)


def _by_the_clock(verdict: Verdict, clock: Clock | None) -> Verdict:
    """openssl-verify(1): X509_V_ERR_CERT_HAS_EXPIRED and X509_V_ERR_CERT_NOT_YET_VALID are what the own clock says."""
    if verdict.data.get("reason") not in ("certificate has expired", "certificate is not yet valid"):
        return verdict
    return replace(verdict, detail=f"{verdict.detail} {by_this_clock(clock)}".rstrip())


def _late(talk: RelayTalk) -> bool:
    """Connected, and silent for as long as we waited."""
    transcript = talk.transcript
    return isinstance(transcript, Transcript) and transcript.failed == "banner" and transcript.silent


def _greets_late(relay: Relay, found: Verdict, log: MailLog | None) -> Verdict:
    """smtp(8) waits longer than we do: whether a greeting comes at all, mail that got through, or did not, tells."""
    assert relay.hop is not None
    waited = f"{relay.talks[0].probe.timeout:g} s"
    patience = "smtp(8) waits five minutes for a greeting (smtp_helo_timeout, RFC 5321 section 4.5.3.2.1)."
    if _gets_through(log):
        return notice(
            f"The relay {relay.hop.text} greets late: not within {waited}, but mail gets through",
            detail=patience,
            subject=relay.hop.text,
            evidence=found.evidence,
        )
    return replace(
        found,
        status=Status.WARNING,
        confidence=Confidence.LIKELY,
        title=f"The relay {relay.hop.text} accepts the connection, but did not greet within {waited}",
        detail=f"Either its mail server is stuck, or it greets late: {patience} No mail of this host has shown yet which.",
    )


_WAITS_S = 60


def _mail_fails(relay: Relay, log: MailLog | None, queue: Queue | None) -> bool:
    """Mail was deferred there and none was delivered since, or a message is under way for longer than a late greeting takes."""
    under_way = queue is not None and any(
        each.queues.get("active") and queue.now - each.oldest > _WAITS_S for each in queue.grouped.groups
    )
    places = (relay.hop.host if relay.hop else "", *relay.names, *relay.addresses)
    failed = log is not None and any(
        each.status in ("deferred", "bounced") and any(place in text for text in (*each.clients, *each.samples))
        for each in log.summary.reasons
        for place in places
        if place
    )
    return (under_way or failed) and not _gets_through(log)


def _gets_through(log: MailLog | None) -> bool:
    """The latest delivery succeeded, and nothing was deferred or bounced after it."""
    success = log.summary.last_success if log else None
    failed = (
        [each.last for each in log.summary.reasons if each.status in ("deferred", "bounced") and each.last]
        if log
        else []
    )
    return success is not None and all(each <= success for each in failed)


def _harmless(talk: RelayTalk) -> bool:
    """An IPv6 address that says no at once, where IPv4 works: half the hosts of the world are so."""
    transcript = talk.transcript
    at_once = (Connect.UNREACHABLE, Connect.REFUSED, Connect.NO_ROUTE)
    return ":" in talk.address and isinstance(transcript, Transcript) and transcript.connect in at_once


def _refused_mail(relay: Relay, log: MailLog) -> Verdict | None:
    """What the relay said of our mail, where no message got through since: it greets everybody, and then refuses."""
    assert relay.hop is not None
    success = log.summary.last_success
    places = {relay.hop.host, *relay.names, *relay.addresses}
    for group in log.summary.reasons:
        ours = any(place in client for client in group.clients for place in places)
        over = success is not None and group.last is not None and success >= group.last
        if group.status not in ("deferred", "bounced") or group.reason.meaning not in _REFUSALS or not ours or over:
            continue
        title = f"The relay {relay.hop.text} refuses our mail: {_REFUSALS[group.reason.meaning]}"
        shown = (Evidence(log.source, "\n".join(group.samples[-2:])),)
        lost = " It was bounced: these messages are lost." if group.status == "bounced" else ""
        return critical(
            title,
            detail=f"{plural(group.count, 'delivery', 'deliveries')} {group.status}.{lost} {OTHER_SIDE}",
            subject=relay.hop.text,
            data={"reason": group.reason.meaning, "count": group.count},
            evidence=shown,
            fixes=(ask(relay, title, shown),),
            explained_by=("authentication.relay-password", "dns.own-name", "connectivity.relay-settings"),
        )
    return None
