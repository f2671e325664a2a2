"""Step 4, towards the relay: does the relayhost answer, and does it offer what this host demands?"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

from maildiag.dialogue_text import evidence, means
from maildiag.facts.clock import Clock
from maildiag.facts.mail_log import MailLog
from maildiag.facts.postfix import Postfix
from maildiag.facts.queue import Queue
from maildiag.facts.relay import Level, Relay, RelayTalk, takes_protocol
from maildiag.model import (
    Confidence,
    Evidence,
    Fix,
    Gap,
    Status,
    Step,
    Verdict,
    critical,
    notice,
    ok,
    skipped,
    unknown,
    warning,
)
from maildiag.probes import CommandResult, Connect, Exchange, Tls, Transcript
from maildiag.registry import BOTH, check
from maildiag.text import first_line, plural
from maildiag_checks._time import by_this_clock

_LOOK_UP = ("dns.relayhost", "dns.resolver", "connectivity.relay-settings", "services.main-cf")
_NO_WAY = (
    "firewall.outbound",
    "connectivity.route",
    "dns.disagreement",
    "dns.hosts-file",
    "connectivity.relay-settings",
)
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
_OTHER_SIDE = "The fault is on the other side of the hop: nothing on this host, and no restart of it, cures it."


@check(
    "connectivity.relayhost",
    step=Step.CONNECTIVITY,
    asks="Does the relayhost answer, and does it offer what this host demands?",
    roles=BOTH,
    explained_by=tuple(dict.fromkeys((*_NO_WAY, *_LOOK_UP, "firewall.inbound", "authentication.relay-password"))),
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
    judged = [(each, _by_the_clock(_judge(each, relay, postfix), clock)) for each in relay.talks]
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
            detail=f"{plural(group.count, 'delivery', 'deliveries')} {group.status}.{lost} {_OTHER_SIDE}",
            subject=relay.hop.text,
            data={"reason": group.reason.meaning, "count": group.count},
            evidence=shown,
            fixes=(_ask(relay, title, shown),),
            explained_by=("authentication.relay-password", "dns.own-name", "connectivity.relay-settings"),
        )
    return None


def _judge(talk: RelayTalk, relay: Relay, postfix: Postfix) -> Verdict:
    assert relay.hop is not None
    transcript, subject = talk.transcript, relay.hop.text
    if isinstance(transcript, Gap):
        return unknown(f"The relay {subject} could not be tried", detail=str(transcript), subject=subject)
    shown = (evidence(talk.probe, transcript),)
    for look in (_connection, _greeting, _loop, _encryption, _verification, _authentication):
        found = look(talk, transcript, relay, postfix, shown)
        if found is not None:
            return found
    banner = transcript.exchange("banner")
    return _size(transcript, postfix, subject, shown) or ok(
        f"The relay {subject} answers: {_text(banner)}", subject=subject, evidence=shown
    )


Shown = tuple[Evidence, ...]


def _connection(
    talk: RelayTalk, transcript: Transcript, relay: Relay, postfix: Postfix, shown: Shown
) -> Verdict | None:
    outcome = transcript.connect
    if outcome is Connect.CONNECTED:
        return None
    assert relay.hop is not None
    where = f"{talk.address} port {relay.hop.port}" + (f" from {talk.probe.bind}" if talk.probe.bind else "")
    title = {
        Connect.REFUSED: f"The relay {where} refuses connections",
        Connect.TIMEOUT: f"The relay {where} does not answer: the connection times out",
        Connect.NO_ROUTE: f"There is no route to the relay {where}, or its firewall rejects this host",
        Connect.UNREACHABLE: f"The network of the relay {where} is unreachable from here",
        Connect.PROHIBITED: f"This host's own firewall forbids connections to the relay {where}",
    }.get(outcome, f"No connection to the relay {where}: {outcome}")
    return critical(
        title,
        detail=f"{means(outcome).capitalize()}. If no rule or route of this host explains it: {_OTHER_SIDE}",
        subject=relay.hop.text,
        data={"address": talk.address, "port": relay.hop.port, "outcome": outcome.value},
        evidence=shown,
        fixes=(_ask(relay, f"{title.removeprefix('The relay ')} (from {postfix.get('myhostname')})", shown),),
        explained_by=(f"firewall.outbound@{relay.hop.port}", "firewall.inbound@answers", *_NO_WAY[1:]),
    )


def _greeting(talk: RelayTalk, transcript: Transcript, relay: Relay, postfix: Postfix, shown: Shown) -> Verdict | None:
    assert relay.hop is not None
    banner, hello = transcript.exchange("banner"), transcript.exchange("ehlo")
    subject = relay.hop.text
    if banner is None:
        title = f"The relay {subject} accepts the connection, but does not greet"
        return critical(
            title,
            detail=f"{transcript.error}. Its mail server is stuck or cannot start, or it is no mail server. {_OTHER_SIDE}",
            subject=subject,
            evidence=shown,
            fixes=(_ask(relay, title, shown),),
            explained_by=("connectivity.relay-settings",),
        )
    if banner.code != "220":
        title = f"The relay {subject} turns this host away: {_text(banner)}"
        detail = (
            "It limits connections for now" if banner.code.startswith("4") else "It does not allow this host to connect"
        )
        return critical(
            title,
            detail=f"{detail}; Postfix defers the mail until it expires. {_OTHER_SIDE}",
            subject=subject,
            data={"code": banner.code},
            evidence=shown,
            fixes=(_ask(relay, title, shown),),
            explained_by=("connectivity.relay-settings",),
        )
    if hello is None or not hello.code.startswith("2"):
        title = f"The relay {subject} does not accept our EHLO: {_text(hello) or transcript.error}"
        return critical(
            title,
            detail=f"The name sent is {talk.probe.helo} (smtp_helo_name, myhostname).",
            subject=subject,
            evidence=shown,
            fixes=(_ask(relay, title, shown),),
            explained_by=(
                *(("connectivity.mtu",) if transcript.silent else ()),
                "dns.own-name",
                "connectivity.relay-settings",
            ),
        )
    return None


def _loop(talk: RelayTalk, transcript: Transcript, relay: Relay, postfix: Postfix, shown: Shown) -> Verdict | None:
    """smtp(8): a server that greets with our own name is ourselves."""
    assert relay.hop is not None
    words = _text(transcript.exchange("banner")).split()
    own = postfix.get("myhostname").lower()
    if len(words) < 2 or not own or words[1].lower() != own:
        return None
    return critical(
        f"The relay {relay.hop.text} greets with our own name {own}: mail loops back to this host",
        detail="Either relayhost leads to this very host, or both hosts have the same myhostname.",
        subject=relay.hop.text,
        evidence=(*shown, Evidence("postconf -x", f"myhostname = {own}\nrelayhost = {relay.hop.text}")),
        explained_by=("connectivity.relay-settings", "dns.own-name", "dns.hosts-file"),
    )


def _encryption(
    talk: RelayTalk, transcript: Transcript, relay: Relay, postfix: Postfix, shown: Shown
) -> Verdict | None:
    assert relay.hop is not None
    demands = relay.level in (Level.ENCRYPT, Level.VERIFY, Level.DANE)
    subject, setting = relay.hop.text, Evidence("postconf -x", relay.level_text)
    if relay.level is Level.NONE:
        return None
    if transcript.certificate is not None:
        return _version(transcript.certificate.protocol, demands, relay, postfix, (*shown, setting))
    if talk.probe.tls is Tls.STARTTLS and not _has(transcript.exchange("ehlo"), "STARTTLS"):
        if not demands:
            return None
        title = f"This host demands TLS ({relay.level_text}), but the relay {subject} does not offer STARTTLS"
    else:
        refused = transcript.exchange("starttls")
        said = _text(refused) if refused and refused.code != "220" else transcript.error
        title = f"STARTTLS with the relay {subject} fails: {said}"
    verdict = critical if demands else notice
    return verdict(
        title,
        detail="Postfix defers all mail for it." if demands else "Postfix falls back to an unencrypted connection.",
        subject=subject,
        evidence=(*shown, setting),
        fixes=(_ask(relay, title, shown),),
        explained_by=("connectivity.relay-settings",),
    )


def _version(version: str, demands: bool, relay: Relay, postfix: Postfix, shown: Shown) -> Verdict | None:
    assert relay.hop is not None
    name = "smtp_tls_mandatory_protocols" if demands else "smtp_tls_protocols"
    if takes_protocol(postfix.get(name), version):
        return None
    title = f"The relay {relay.hop.text} speaks {version}, which {name} = {postfix.get(name)} does not let Postfix use"
    return (critical if demands else notice)(
        title,
        detail="Postfix defers all mail for it." if demands else "Postfix falls back to an unencrypted connection.",
        subject=relay.hop.text,
        evidence=(*shown, Evidence("postconf -x", f"{name} = {postfix.get(name)}")),
        fixes=(_ask(relay, title, shown),),
        explained_by=("connectivity.relay-settings",),
    )


def _verification(
    talk: RelayTalk, transcript: Transcript, relay: Relay, postfix: Postfix, shown: Shown
) -> Verdict | None:
    assert relay.hop is not None
    told = talk.verified
    if not isinstance(told, CommandResult) or told.status == 0:
        return None
    why = "; ".join(dict.fromkeys(re.findall(r"lookup: (.+)", told.text))) or first_line(told.text)
    unreadable = "loading file" in told.text or "No such file" in told.text
    files = [f"{name} = {postfix.get(name)}" for name in ("smtp_tls_CAfile", "smtp_tls_CApath")]
    return critical(
        f"The certificate of the relay {relay.hop.text} is not verified: {why}",
        detail=(
            "The CA file that Postfix is given cannot be read."
            if unreadable
            else f"{relay.level_text} demands it; Postfix defers all mail with `Server certificate not verified`."
        ),
        subject=relay.hop.text,
        data={"reason": why},
        evidence=(Evidence("openssl verify", told.text.strip()), Evidence("postconf -x", "\n".join(files)), *shown),
        explained_by=(
            "services.main-cf@main.cf:smtp_tls_CAfile",
            "services.main-cf@main.cf:smtp_tls_CApath",
            "services.clock",
            "connectivity.relay-settings",
        ),
    )


def _authentication(
    talk: RelayTalk, transcript: Transcript, relay: Relay, postfix: Postfix, shown: Shown
) -> Verdict | None:
    assert relay.hop is not None
    if not postfix.yes("smtp_sasl_auth_enable"):
        return None
    hello = transcript.exchange("ehlo")
    offered = re.findall(r"^250[- ]AUTH[ =](.*)$", hello.reply if hello else "", re.M | re.I)
    mechanisms = {word.upper() for line in offered for word in line.split()}
    if not mechanisms:
        return warning(
            f"This host is set to log in (smtp_sasl_auth_enable), but the relay {relay.hop.text} offers no AUTH",
            detail="Mail is sent without a login; a relay that demands one refuses it. Port 587, or TLS, may be needed.",
            subject=relay.hop.text,
            evidence=shown,
            explained_by=("connectivity.relay-settings",),
        )
    secure = transcript.certificate is not None
    name = "smtp_sasl_tls_security_options" if secure else "smtp_sasl_security_options"
    if "noplaintext" not in postfix.list(name) or mechanisms - {"PLAIN", "LOGIN", "XOAUTH2", "OAUTHBEARER"}:
        return None
    fix = Fix(
        id="connectivity.relayhost/plaintext-mechanisms",
        title="Let the client use PLAIN and LOGIN under TLS",
        commands=(("postconf", "-e", "smtp_sasl_tls_security_options = noanonymous"), ("postfix", "reload")),
        changes=("/etc/postfix/main.cf",),
        guards=(("postfix", "check"),),
        verify=("connectivity.relayhost",),
        automatic=secure,
    )
    return critical(
        f"The relay {relay.hop.text} offers only {' '.join(sorted(mechanisms))}, which {name} forbids",
        detail="Postfix defers all mail with `no mechanism available`.",
        subject=relay.hop.text,
        evidence=(Evidence("postconf -x", f"{name} = {postfix.get(name)}"), *shown),
        fixes=(fix,) if secure else (),
        explained_by=("authentication.relay-password",),
    )


def _size(transcript: Transcript, postfix: Postfix, subject: str, shown: Shown) -> Verdict | None:
    """RFC 1870: a message that we take and the relay does not is bounced later."""
    hello = transcript.exchange("ehlo")
    size = re.search(r"^250[- ]SIZE (\d+)", hello.reply if hello else "", re.M)
    own = postfix.get("message_size_limit", "0")
    if size is None or not own.isdigit() or int(size[1]) == 0 or int(own) <= int(size[1]):
        return None
    return notice(
        f"The relay {subject} takes messages up to {int(size[1]):,} bytes, this host up to {int(own):,}",
        detail="A message between the two is accepted here and bounced afterwards.",
        subject=subject,
        evidence=shown,
    )


def _ask(relay: Relay, what: str, shown: Shown) -> Fix:
    assert relay.hop is not None
    return Fix(
        id="connectivity.relayhost/ask-the-relay",
        title=f"Ask whoever runs {relay.hop.host}",
        needs_root=False,
        ask=f"Our host relays mail through {relay.hop.text}, and this fails: {what}.\n\n" + shown[0].text,
        why=_OTHER_SIDE,
    )


def _has(exchange: Exchange | None, word: str) -> bool:
    return exchange is not None and word in exchange.reply.upper()


def _text(exchange: Exchange | None) -> str:
    return first_line(exchange.reply) if exchange else ""
