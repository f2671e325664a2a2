"""Step 4: do Dovecot's IMAP and POP3 ports answer as a mail client expects?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from maildiag.dialogue_text import evidence, greeting
from maildiag.dovecot import edits as editing
from maildiag.dovecot.edits import Edit
from maildiag.dovecot.tree import Setting
from maildiag.facts.dovecot import Dovecot, DovecotConfig
from maildiag.facts.smtp import OwnDialogues, Talk
from maildiag.facts.sockets import Port
from maildiag.model import Evidence, Fix, Gap, Step, Verdict, critical, notice, ok, skipped, unknown
from maildiag.probes import Protocol, Transcript
from maildiag.registry import SERVER, check
from maildiag.text import first_line
from maildiag_checks.smtp import connection

_EDGES = (
    "services.programs",
    "connectivity.listeners",
    "firewall.inbound",
    "firewall.outbound",
    "connectivity.route",
    "connectivity.certificate",
    "services.dovecot",
    "services.dovecot-limits",
    "services.dovecot-config",
    "services.sandbox",
    "services.disk",
)
# A login process greets nobody while the authentication process dies: "* BYE Auth process broken".
_AUTH = ("authentication.passdb", "authentication.mechanisms", "logs.crashes@auth")
_GREETINGS = {Protocol.IMAP: "* OK", Protocol.POP3: "+OK"}
MAIL = frozenset(_GREETINGS)


@check(
    "connectivity.imap",
    step=Step.CONNECTIVITY,
    asks="Does Dovecot answer mail clients over IMAP?",
    roles=SERVER,
    explained_by=_EDGES,
)
def imap(own: OwnDialogues, dovecot: Dovecot, config: DovecotConfig | None) -> Iterator[Verdict]:
    """Greeting, capabilities and encryption on each IMAP port. Source: RFC 3501 sections 6.1 and 7.1, RFC 8314."""
    yield from _ports(own, Protocol.IMAP, dovecot, config)


@check(
    "connectivity.pop3",
    step=Step.CONNECTIVITY,
    asks="Does Dovecot answer mail clients over POP3?",
    roles=SERVER,
    explained_by=_EDGES,
)
def pop3(own: OwnDialogues, dovecot: Dovecot, config: DovecotConfig | None) -> Iterator[Verdict]:
    """Greeting, capabilities and encryption on each POP3 port. Source: RFC 1939, RFC 2449, RFC 2595."""
    yield from _ports(own, Protocol.POP3, dovecot, config)


def _ports(own: OwnDialogues, protocol: Protocol, dovecot: Dovecot, config: DovecotConfig | None) -> Iterator[Verdict]:
    ports: dict[Port, list[Talk]] = {}
    for talk in own.of(protocol):
        ports.setdefault(talk.port, []).append(talk)
    if not ports:
        why = "Dovecot is not installed" if not dovecot.installed else f"{protocol.value} is not served"
        yield skipped(f"No {protocol.value.upper()} port is configured", detail=why)
    for talks in ports.values():
        verdicts = [_judge(each, config) for each in talks]
        worst = max(verdicts, key=lambda each: each.status.weight)
        if worst.status.failing and all(each.title == worst.title for each in verdicts):
            worst = replace(worst, evidence=tuple(one for each in verdicts for one in each.evidence))
        yield worst


def _judge(talk: Talk, config: DovecotConfig | None) -> Verdict:
    transcript, subject = talk.transcript, str(talk.port.number)
    if isinstance(transcript, Gap):
        return unknown(f"Port {subject} could not be tried", detail=str(transcript), subject=subject)
    shown = (evidence(talk.probe, transcript),)
    return (
        connection(talk, transcript, shown)
        or _handshake(talk, transcript, shown)
        or _behind_proxy(talk, transcript, shown, config)
        or _greeting(talk, transcript, shown)
        or _capability(talk, transcript, shown)
        or ok(f"Port {subject} answers: {greeting(transcript)}", subject=subject, evidence=shown)
    )


def _handshake(talk: Talk, transcript: Transcript, shown: tuple[Evidence, ...]) -> Verdict | None:
    if transcript.failed != "tls":
        return None
    return critical(
        f"The TLS handshake on port {talk.port.number} fails",
        detail=transcript.error,
        subject=str(talk.port.number),
        evidence=shown,
        explained_by=(
            "services.dovecot",
            "connectivity.certificate",
            "services.dovecot-config",
            "services.sandbox",
            *died(talk),
            *_AUTH,
            "logs.problems",
        ),
    )


def died(talk: Talk) -> tuple[str, ...]:
    """The finding about the login process of this port that dies as soon as a client comes."""
    protocol = talk.port.protocol
    return (f"logs.crashes@{protocol.value}-login",) if protocol in _GREETINGS else ()


def _behind_proxy(
    talk: Talk, transcript: Transcript, shown: tuple[Evidence, ...], config: DovecotConfig | None
) -> Verdict | None:
    """`haproxy = yes`: whoever comes without the PROXY header, or is not in haproxy_trusted_networks, gets no greeting."""
    setting = _proxied(talk, config)
    if config is None or setting is None or transcript.exchange("banner") is not None:
        return None
    number = str(talk.port.number)
    trusted = config.value("haproxy_trusted_networks")
    evidence = (*shown, Evidence(setting.place.file, f"{setting.place.line}: {setting.raw}"))
    if trusted:
        return notice(
            f"Port {number} waits for HAProxy (trusted: {trusted}) and greets nobody else",
            subject=number,
            evidence=evidence,
        )
    edit = Edit(setting.place)
    return critical(
        f"{setting.place}: port {number} greets nobody: haproxy = yes, and haproxy_trusted_networks is empty",
        detail="Dovecot waits for a PROXY header that only HAProxy sends, and trusts no address to send it.",
        subject=number,
        evidence=(*evidence, Evidence("doveconf -a", "haproxy_trusted_networks =")),
        fixes=(
            Fix(
                id=f"connectivity.{talk.port.protocol}/no-proxy",
                title="Let clients connect without HAProxy",
                commands=(*editing.commands((edit,)), ("systemctl", "restart", "dovecot")),
                automatic=True,
                changes=(setting.place.file,),
                verify=(f"connectivity.{talk.port.protocol}",),
                guards=(("doveconf", "-n"),),
                why="Where HAProxy is in front, name its addresses in haproxy_trusted_networks instead.",
            ),
        ),
        explained_by=(),
    )


def _proxied(talk: Talk, config: DovecotConfig | None) -> Setting | None:
    found = [
        each
        for each in (config.source.settings if config else ())
        if each.name == "haproxy" and each.value == "yes" and each.within and each.within[-1].name == talk.port.name
    ]
    return found[-1] if found else None


def _greeting(talk: Talk, transcript: Transcript, shown: tuple[Evidence, ...]) -> Verdict | None:
    subject, banner = str(talk.port.number), transcript.exchange("banner")
    if banner is None:
        return critical(
            f"Port {subject} is open, but no greeting comes",
            detail="The login process cannot start, or its client or process limit is reached; Dovecot's log tells which.",
            subject=subject,
            data={"error": transcript.error},
            evidence=shown,
            explained_by=(
                "services.sandbox",
                "services.dovecot-limits",
                "connectivity.certificate",
                "services.dovecot",
                "services.dovecot-config",
                "services.disk",
                *_AUTH,
                *died(talk),
                "logs.problems",
            ),
        )
    assert talk.port.protocol is not None
    if banner.reply.startswith(_GREETINGS[talk.port.protocol]):
        return None
    tls = "TLS" in banner.reply or "SSL" in banner.reply
    return critical(
        f"Port {subject} turns clients away: {first_line(banner.reply)}",
        subject=subject,
        evidence=shown,
        explained_by=("connectivity.certificate", "logs.problems")
        if tls
        else (*_EDGES[5:], *_AUTH, *died(talk), "logs.problems"),
    )


def _capability(talk: Talk, transcript: Transcript, shown: tuple[Evidence, ...]) -> Verdict | None:
    """A greeting after which nothing is answered: the login process is stuck."""
    if transcript.failed in ("capability", "starttls"):
        return critical(
            f"Port {talk.port.number} greets, but does not answer {transcript.failed.upper()}",
            detail=transcript.error,
            subject=str(talk.port.number),
            evidence=shown,
            explained_by=("services.dovecot-limits", "services.dovecot", *_AUTH, *died(talk), "logs.problems"),
        )
    return None
