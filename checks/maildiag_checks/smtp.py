"""Step 4: does the host's own Postfix answer as a mail server should?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from maildiag.dialogue_text import evidence, greeting, means
from maildiag.facts.postfix import Postfix
from maildiag.facts.smtp import OwnDialogues, Talk, is_encrypted
from maildiag.facts.sockets import Port
from maildiag.lint.context import words
from maildiag.model import Evidence, Fix, Gap, Step, Verdict, critical, ok, skipped, unknown, warning
from maildiag.probes import Connect, Exchange, Protocol, Transcript
from maildiag.registry import BOTH, SERVER, check
from maildiag.text import first_line

_NO_CONNECTION = (
    "connectivity.listeners",
    "firewall.inbound",
    "firewall.outbound",
    "connectivity.route",
    "services.postfix",
)
_NO_GREETING = (
    "services.programs",
    "authentication.sasl-socket",
    "services.lookup-tables",
    "services.master-cf",
    "services.main-cf",
    "services.postfix",
    "services.backend",
    "services.disk",
    "connectivity.certificate",
    "services.dovecot",
)
_SLOW_GREETING = ("connectivity.milter", "dns.resolver", *_NO_GREETING)
_NOT_ACCEPTED = (
    "services.programs",
    "connectivity.own-clients",
    "connectivity.recipients",
    "services.disk",
    "services.lookup-tables",
    "services.backend",
    "connectivity.milter",
    "connectivity.policy",
    "connectivity.domains",
    "connectivity.restrictions",
    "dns.resolver",
    "services.main-cf",
    "services.master-cf",
)
_ALL = tuple(dict.fromkeys((*_NO_CONNECTION, *_SLOW_GREETING, *_NOT_ACCEPTED)))


@check(
    "connectivity.smtp",
    step=Step.CONNECTIVITY,
    asks="Does Postfix greet, offer what is configured and accept mail for its own domain on port 25?",
    roles=BOTH,
    explained_by=_ALL,
)
def smtp(own: OwnDialogues, postfix: Postfix) -> Iterator[Verdict]:
    """A dialogue by phases, never with DATA. Source: RFC 5321 sections 3.1 to 3.3 and 4.5.1."""
    talks = [each for each in own.of(Protocol.SMTP) if each.port.number == 25]
    if not talks:
        yield skipped("No smtp service is configured on port 25")
        return
    yield judge_port(talks, postfix)


@check(
    "connectivity.submission",
    step=Step.CONNECTIVITY,
    asks="Can mail clients submit mail?",
    roles=SERVER,
    explained_by=_ALL,
)
def submission(own: OwnDialogues, postfix: Postfix) -> Iterator[Verdict]:
    """The same on 587, 465 and every other port where smtpd listens. Source: RFC 6409, RFC 8314."""
    ports: dict[Port, list[Talk]] = {}
    for talk in own.of(Protocol.SMTP):
        if talk.port.number != 25:
            ports.setdefault(talk.port, []).append(talk)
    if not ports:
        yield skipped("No submission service is configured")
    for talks in ports.values():
        yield judge_port(talks, postfix)


def judge_port(talks: list[Talk], postfix: Postfix) -> Verdict:
    """The worst that the dialogues with one port have to tell; the same trouble on all addresses is told once."""
    verdicts = [_judge(each, postfix) for each in talks]
    worst = max(verdicts, key=lambda each: each.status.weight)
    if worst.status.failing and all(each.title == worst.title for each in verdicts):
        return replace(worst, evidence=tuple(one for each in verdicts for one in each.evidence))
    return worst


def _judge(talk: Talk, postfix: Postfix) -> Verdict:
    transcript, subject = talk.transcript, str(talk.port.number)
    if isinstance(transcript, Gap):
        return unknown(f"Port {subject} could not be tried", detail=str(transcript), subject=subject)
    shown = (evidence(talk.probe, transcript),)
    broken = connection(talk, transcript, shown) or _greeting(talk, transcript, shown)
    if broken:
        return broken
    return (
        _offers(talk, transcript, postfix, shown)
        or _envelope(talk, transcript, shown)
        or ok(f"Port {subject} answers: {greeting(transcript)}", subject=subject, evidence=shown)
    )


def connection(talk: Talk, transcript: Transcript, shown: tuple[Evidence, ...]) -> Verdict | None:
    """What a connection that was not made says of the host's own port."""
    if transcript.connect is Connect.CONNECTED:
        return None
    number = talk.port.number
    edges: tuple[str, ...] = (
        _NO_CONNECTION
        if talk.port.protocol is Protocol.SMTP
        else (*_NO_CONNECTION[:4], "services.dovecot", "services.dovecot-config@listen")
    )
    edges += ("services.sandbox@postfix" if talk.port.protocol is Protocol.SMTP else "services.sandbox@dovecot",)
    if not talk.listening:
        edges = (f"connectivity.listeners@{number}", *edges)
    return critical(
        f"Port {number} cannot be reached from this host itself: {transcript.connect}",
        detail=f"{talk.address}: {means(transcript.connect)}.",
        subject=str(number),
        data={"address": talk.address, "outcome": transcript.connect.value},
        evidence=shown,
        explained_by=edges if not talk.listening else (*_filters(number), *edges),
    )


def _filters(number: int) -> tuple[str, ...]:
    """The host's own rules meet a connection to itself twice: when it leaves and when it comes in."""
    return (
        f"firewall.inbound@{number}",
        f"firewall.outbound@{number}",
        "firewall.inbound@loopback",
        "firewall.inbound@replies",
    )


# smtpd(8), and the daemons that it asks before it greets; postscreen(8) greets in its place.
_BEFORE_IT_GREETS = ("smtpd", "proxymap", "tlsmgr", "anvil", "trivial-rewrite", "postscreen", "tlsproxy")


def _greeting(talk: Talk, transcript: Transcript, shown: tuple[Evidence, ...]) -> Verdict | None:
    subject = str(talk.port.number)
    banner = transcript.exchange("banner")
    if transcript.failed == "tls" and banner is None:
        return critical(
            f"The TLS handshake on port {subject} fails",
            detail=transcript.error,
            subject=subject,
            evidence=shown,
            explained_by=("connectivity.starttls", "connectivity.certificate", *_NO_GREETING),
        )
    if banner is None:
        closed = "closed" in transcript.error or "reset" in transcript.error.lower()
        return critical(
            f"Port {subject} is open, but no greeting comes",
            detail=(
                "smtpd cannot start or dies before it greets; the mail log tells why (look for `fatal:`)."
                if closed
                else "smtpd is busy or waits for something: a milter, the resolver, or its process limit."
            ),
            subject=subject,
            data={"error": transcript.error},
            evidence=shown,
            explained_by=(
                *(_NO_GREETING if closed else (*_few(talk), *_SLOW_GREETING)),
                *(f"logs.crashes@{each}" for each in _BEFORE_IT_GREETS),
                "logs.problems",
            ),
        )
    if banner.code != "220":
        return critical(
            f"Port {subject} greets with {banner.code}: {_text(banner)}",
            subject=subject,
            evidence=shown,
            explained_by=("connectivity.milter", "connectivity.policy", "services.main-cf", "logs.problems"),
        )
    hello = transcript.exchange("ehlo")
    if hello is None or not hello.code.startswith("2"):
        return critical(
            f"EHLO is not answered on port {subject}"
            if hello is None
            else f"EHLO is refused on port {subject}: {_text(hello)}",
            detail=transcript.error,
            subject=subject,
            evidence=shown,
            explained_by=(*_NOT_ACCEPTED, "logs.problems"),
        )
    if transcript.failed == "ehlo":
        return critical(
            f"The dialogue on port {subject} breaks off after STARTTLS, at the second EHLO",
            detail=f"{transcript.error}. smtpd looks for its authentication only then (smtpd_tls_auth_only); the mail log tells why.",
            subject=subject,
            evidence=shown,
            explained_by=(
                *_NO_GREETING,
                *_NOT_ACCEPTED,
                "authentication.passdb",
                "authentication.mechanisms",
                "logs.crashes@smtpd",
                "logs.problems",
            ),
        )
    return None


def _few(talk: Talk) -> tuple[str, ...]:
    """Limits that a few slow clients use up (master(5) maxproc)."""
    limits = ("default_process_limit", f"{talk.port.line.split()[0]}/inet")
    return tuple(f"connectivity.restrictions@{each}" for each in limits)


def _offers(talk: Talk, transcript: Transcript, postfix: Postfix, shown: tuple[Evidence, ...]) -> Verdict | None:
    """AUTH where it is configured and allowed on this kind of connection (postconf(5) smtpd_tls_auth_only)."""
    options = talk.port.options
    wanted = options.get("smtpd_sasl_auth_enable", postfix.get("smtpd_sasl_auth_enable")) == "yes"
    only_tls = options.get("smtpd_tls_auth_only", postfix.get("smtpd_tls_auth_only")) == "yes"
    only_tls |= options.get("smtpd_tls_security_level", postfix.get("smtpd_tls_security_level")) == "encrypt"
    hello = transcript.exchange("ehlo")
    if not wanted or hello is None or " AUTH" in hello.reply.replace("-AUTH", " AUTH"):
        return None
    if only_tls and not is_encrypted(talk):
        return None
    hidden = options.get("smtpd_sasl_exceptions_networks", postfix.get("smtpd_sasl_exceptions_networks"))
    if hidden:
        return _hidden(talk, hidden, shown)
    return warning(
        f"AUTH is configured on port {talk.port.number} but not offered",
        detail="Clients cannot log in to send mail.",
        subject=str(talk.port.number),
        evidence=(*shown, Evidence("postconf -x", "smtpd_sasl_auth_enable = yes")),
        explained_by=(
            "authentication.sasl-socket",
            "authentication.mechanisms",
            "authentication.passdb",
            "services.dovecot",
            "services.dovecot-limits",
            "logs.crashes@auth",
        ),
    )


def _hidden(talk: Talk, networks: str, shown: tuple[Evidence, ...]) -> Verdict | None:
    """On port 25 that is how old clients of the own network are served (postconf(5)); elsewhere nobody there can log in."""
    if talk.port.number == 25:
        return None
    name = "smtpd_sasl_exceptions_networks"
    every = "0.0.0.0/0" in words(networks)
    return (critical if every else warning)(
        f"{name} = {networks} hides AUTH on port {talk.port.number} from "
        + ("every client" if every else "clients there, this host among them"),
        detail="Mail programs say that the server does not support authentication, or send without and are refused.",
        subject=str(talk.port.number),
        evidence=(Evidence("postconf -x", f"{name} = {networks}"), *shown),
        explained_by=(),
        fixes=(
            Fix(
                id="connectivity.submission/show-auth",
                title="Let everybody see AUTH on this port",
                commands=(
                    ("postconf", "-P", f"{_service(talk)}/inet/{name}="),
                    ("postfix", "reload"),
                ),
                changes=("/etc/postfix/master.cf",),
                verify=("connectivity.submission",),
                guards=(("postfix", "check"),),
                automatic=True,
            ),
        )
        if talk.port.line
        else (),
    )


def _service(talk: Talk) -> str:
    """The name of the service as it stands in the first field of master.cf, which postconf(1) -P wants."""
    return talk.port.line.split()[0]


def _envelope(talk: Talk, transcript: Transcript, shown: tuple[Evidence, ...]) -> Verdict | None:
    for phase, what in (("mail", "the sender"), ("rcpt", "mail for its own domain")):
        answer = transcript.exchange(phase)
        if answer is not None and not answer.code.startswith("2"):
            return critical(
                f"Postfix does not accept {what}: {_text(answer)}",
                detail=f"{answer.sent} was answered {answer.code}; {_reason(answer)}.",
                subject=str(talk.port.number),
                data={"code": answer.code, "phase": phase},
                evidence=shown,
                explained_by=(*_blame(answer), *_NOT_ACCEPTED, "logs.problems"),
            )
    if transcript.failed in ("mail", "rcpt"):
        return critical(
            f"The dialogue on port {talk.port.number} breaks off at {transcript.failed.upper()}",
            detail=transcript.error,
            subject=str(talk.port.number),
            evidence=shown,
            explained_by=("services.postfix", *_NOT_ACCEPTED, "logs.problems"),
        )
    return None


def _reason(answer: Exchange) -> str:
    return {
        "451": "a look-up failed: a table, a data base, a milter or the resolver",
        "452": "the file system of the queue is short of space",
        "450": "a restriction puts it off",
        "454": "the domain is not this server's, so that it counts as relaying",
        "550": "the address is not known",
        "552": "the message would be too large",
        "554": "a restriction refuses it",
    }.get(answer.code, "a restriction refuses it")


def _blame(answer: Exchange) -> tuple[str, ...]:
    if answer.code == "452":
        return ("services.disk", "services.main-cf")
    if answer.code == "451":
        return ("services.lookup-tables", "services.backend", "connectivity.policy", "connectivity.milter")
    if "elay access denied" in answer.reply:
        return ("connectivity.domains", "connectivity.relay-access", "connectivity.restrictions")
    if answer.code == "550" and "nknown" in answer.reply:
        return ("connectivity.domains", "authentication.users", "services.lookup-tables")
    return ("connectivity.restrictions", "connectivity.own-clients", "connectivity.policy")


def _text(answer: Exchange) -> str:
    return first_line(answer.reply)
