"""What one dialogue with the relay tells: connection, greeting, encryption, certificate, login, size."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from maildiag.dialogue_text import evidence, greeting, means
from maildiag.facts.postfix import Postfix
from maildiag.facts.relay import Level, Relay, RelayTalk, protocols_setting, takes_protocol
from maildiag.model import (
    Evidence,
    Fix,
    Gap,
    Verdict,
    critical,
    notice,
    ok,
    unknown,
    warning,
)
from maildiag.probes import CommandResult, Connect, Exchange, Tls, Transcript
from maildiag.text import first_line

Shown = tuple[Evidence, ...]
NO_WAY = (
    "firewall.outbound",
    "connectivity.route",
    "dns.disagreement",
    "dns.hosts-file",
    "connectivity.relay-settings",
)
OTHER_SIDE = "The fault is on the other side of the hop: nothing on this host, and no restart of it, cures it."


def judge(talk: RelayTalk, relay: Relay, postfix: Postfix) -> Verdict:
    """The first thing that goes wrong in it, in the order of the dialogue, or that all goes well. Source: RFC 5321."""
    assert relay.hop is not None
    transcript, subject = talk.transcript, relay.hop.text
    if isinstance(transcript, Gap):
        return unknown(f"The relay {subject} could not be tried", detail=str(transcript), subject=subject)
    shown = (evidence(talk.probe, transcript),)
    for look in (_connection, _greeting, _loop, _encryption, _verification, _authentication):
        found = look(talk, transcript, relay, postfix, shown)
        if found is not None:
            return found
    return _size(transcript, postfix, subject, shown) or ok(
        f"The relay {subject} answers: {greeting(transcript)}", subject=subject, evidence=shown
    )


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
        detail=f"{means(outcome).capitalize()}. If no rule or route of this host explains it: {OTHER_SIDE}",
        subject=relay.hop.text,
        data={"address": talk.address, "port": relay.hop.port, "outcome": outcome.value},
        evidence=shown,
        fixes=(ask(relay, f"{title.removeprefix('The relay ')} (from {postfix.get('myhostname')})", shown),),
        explained_by=(f"firewall.outbound@{relay.hop.port}", "firewall.inbound@answers", *NO_WAY[1:]),
    )


def _greeting(talk: RelayTalk, transcript: Transcript, relay: Relay, postfix: Postfix, shown: Shown) -> Verdict | None:
    assert relay.hop is not None
    banner, hello = transcript.exchange("banner"), transcript.exchange("ehlo")
    subject = relay.hop.text
    silent = ("connectivity.mtu",) if transcript.silent else ()
    if banner is None:
        title = f"The relay {subject} accepts the connection, but does not greet"
        detail = f"{transcript.error}. Its mail server is stuck or cannot start, or it is no mail server. {OTHER_SIDE}"
        return _theirs(relay, title, detail, shown)
    if banner.code != "220":
        title = f"The relay {subject} turns this host away: {_text(banner)}"
        detail = (
            "It limits connections for now" if banner.code.startswith("4") else "It does not allow this host to connect"
        )
        detail += f"; Postfix defers the mail until it expires. {OTHER_SIDE}"
        return replace(_theirs(relay, title, detail, shown), data={"code": banner.code})
    if hello is None or not hello.code.startswith("2"):
        title = f"The relay {subject} does not accept our EHLO: {_text(hello) or transcript.error}"
        detail = f"The name sent is {talk.probe.helo} (smtp_helo_name, myhostname)."
        return _theirs(relay, title, detail, shown, *silent, "dns.own-name")
    if transcript.failed == "ehlo":
        title = f"The relay {subject} breaks off after STARTTLS, at the second EHLO: {transcript.error}"
        detail = f"Its smtpd dies or hangs as soon as the connection is encrypted. {OTHER_SIDE}"
        return _theirs(relay, title, detail, shown, *silent)
    return None


def _theirs(relay: Relay, title: str, detail: str, shown: Shown, *explained_by: str) -> Verdict:
    """What the relay does, with the text for whoever runs it."""
    assert relay.hop is not None
    return critical(
        title,
        detail=detail,
        subject=relay.hop.text,
        evidence=shown,
        fixes=(ask(relay, title, shown),),
        explained_by=(*explained_by, "connectivity.relay-settings"),
    )


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
    demands = relay.level.demands
    subject, setting = relay.hop.text, Evidence("postconf -x", relay.level_text)
    if relay.level is Level.NONE:
        return None
    if transcript.certificate is not None:
        return _version(transcript.certificate.protocol, relay, postfix, (*shown, setting))
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
        fixes=(ask(relay, title, shown),),
        explained_by=("connectivity.relay-settings",),
    )


def _version(version: str, relay: Relay, postfix: Postfix, shown: Shown) -> Verdict | None:
    assert relay.hop is not None
    demands = relay.level.demands
    name = protocols_setting(relay.level)
    if takes_protocol(postfix.get(name), version):
        return None
    title = f"The relay {relay.hop.text} speaks {version}, which {name} = {postfix.get(name)} does not let Postfix use"
    return (critical if demands else notice)(
        title,
        detail="Postfix defers all mail for it." if demands else "Postfix falls back to an unencrypted connection.",
        subject=relay.hop.text,
        evidence=(*shown, Evidence("postconf -x", f"{name} = {postfix.get(name)}")),
        fixes=(ask(relay, title, shown),),
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
    names = ("smtp_tls_CAfile", "smtp_tls_CApath")
    files = [f"{name} = {postfix.get(name)}" for name in names]
    nobody = "issuer" in why or "self" in why  # openssl-verification-options(1): nobody who is trusted has signed it
    nobody = nobody and not any(map(postfix.get, names)) and postfix.get("tls_append_default_CA") != "yes"
    reason = "smtp_tls_CAfile and smtp_tls_CApath are empty, so Postfix trusts no authority" if nobody else why
    return critical(
        f"The certificate of the relay {relay.hop.text} is not verified: {reason}",
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
    filters = postfix.list(_FILTER)
    if filters and not any(_passes(each, filters) for each in mechanisms):
        return _filtered(relay, mechanisms, postfix, shown)
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


_FILTER = "smtp_sasl_mechanism_filter"


def _passes(mechanism: str, filters: Sequence[str]) -> bool:
    """The first pattern that fits decides; what a table says cannot be told from here. Source: postconf(5)."""
    for each in filters:
        name = each.lstrip("!").lower()
        if name == mechanism.lower() or ":" in name or "/" in name:
            return not each.startswith("!")
    return False


def _filtered(relay: Relay, mechanisms: set[str], postfix: Postfix, shown: Shown) -> Verdict:
    assert relay.hop is not None
    return critical(
        f"{_FILTER} = {postfix.get(_FILTER)} lets none of {' '.join(sorted(mechanisms))} pass, which the relay {relay.hop.text} offers",
        detail="Postfix defers all mail with `no mechanism available`.",
        subject=relay.hop.text,
        evidence=(Evidence("postconf -x", f"{_FILTER} = {postfix.get(_FILTER)}"), *shown),
        fixes=(
            Fix(
                id="connectivity.relayhost/mechanism-filter",
                title="Filter no mechanism",
                commands=(("postconf", "-X", _FILTER), ("postfix", "reload")),
                changes=("/etc/postfix/main.cf",),
                guards=(("postfix", "check"),),
                verify=("connectivity.relayhost",),
                automatic=True,
            ),
        ),
        explained_by=(),
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


def ask(relay: Relay, what: str, shown: Shown) -> Fix:
    """Nothing to do here: the text for whoever runs the relay."""
    assert relay.hop is not None
    return Fix(
        id="connectivity.relayhost/ask-the-relay",
        title=f"Ask whoever runs {relay.hop.host}",
        needs_root=False,
        ask=f"Our host relays mail through {relay.hop.text}, and this fails: {what}.\n\n" + shown[0].text,
        why=OTHER_SIDE,
    )


def _has(exchange: Exchange | None, word: str) -> bool:
    return exchange is not None and word in exchange.reply.upper()


def _text(exchange: Exchange | None) -> str:
    return first_line(exchange.reply) if exchange else ""
