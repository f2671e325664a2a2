"""Step 4, encryption: do the ports that promise STARTTLS or TLS keep the promise?"""

from __future__ import annotations

from collections.abc import Iterator

from maildiag.dialogue_text import evidence
from maildiag.facts.dovecot import Dovecot
from maildiag.facts.postfix import Postfix
from maildiag.facts.smtp import OwnDialogues, Talk
from maildiag.model import Evidence, Gap, Step, Verdict, critical, ok, skipped, warning
from maildiag.probes import Connect, Protocol, Tls, Transcript
from maildiag.registry import SERVER, check
from maildiag.text import first_line
from maildiag_checks.mail_access import MAIL, died

_HANDSHAKE = (
    "connectivity.certificate",
    "services.main-cf",
    "services.dovecot-config",
    "services.dovecot-limits",
    "services.sandbox",
    "services.clock",
)


@check(
    "connectivity.starttls",
    step=Step.CONNECTIVITY,
    asks="Do the ports that promise encryption keep the promise?",
    roles=SERVER,
    explained_by=_HANDSHAKE,
)
def starttls(own: OwnDialogues, postfix: Postfix | None, dovecot: Dovecot | None) -> Iterator[Verdict]:
    """STARTTLS offered where configured, and the handshake. Source: RFC 3207, RFC 2595, postconf(5) smtpd_tls_security_level."""
    said = False
    for talk in own.talks:
        if (
            talk.transcript is None
            or isinstance(talk.transcript, Gap)
            or talk.transcript.connect is not Connect.CONNECTED
        ):
            continue
        verdict = _starttls(talk, talk.transcript, postfix)
        if verdict is not None:
            said = True
            yield verdict
    if not said:
        yield skipped("No port that encrypts could be reached")


def _starttls(talk: Talk, transcript: Transcript, postfix: Postfix | None) -> Verdict | None:
    subject = str(talk.port.number)
    shown = (evidence(talk.probe, transcript),)
    if transcript.certificate is not None:
        told = f"{transcript.certificate.protocol} {transcript.certificate.cipher}"
        return ok(f"Port {subject} encrypts ({told})", subject=subject, evidence=(Evidence(talk.probe.source, told),))
    if transcript.failed == "tls":
        return critical(
            f"The TLS handshake on port {subject} fails: {transcript.error}",
            subject=subject,
            evidence=shown,
            explained_by=(
                *_HANDSHAKE,
                *_by_name(talk, postfix),
                *died(talk),
                *((f"connectivity.{talk.port.protocol}@{subject}",) if talk.port.protocol in MAIL else ()),
            ),
        )
    answer = transcript.exchange("starttls")
    if answer is not None:
        return critical(
            f"Port {subject} offers STARTTLS and then refuses it: {first_line(answer.reply)}",
            detail="Senders that demand TLS cannot deliver; the log has the reason (mostly the certificate or its key).",
            subject=subject,
            evidence=shown,
            explained_by=("connectivity.certificate", "services.main-cf", "logs.problems"),
        )
    if talk.port.tls is Tls.STARTTLS and talk.probe.tls is Tls.NONE:
        return skipped(
            f"STARTTLS on port {subject} was not tried: its certificate cannot work",
            detail="Postfix would answer 454, and mail the postmaster a transcript of it.",
            subject=subject,
        )
    if (
        talk.port.protocol is Protocol.SMTP
        and talk.port.tls is Tls.STARTTLS
        and transcript.exchange("ehlo")
        and postfix
    ):
        return _not_offered(talk, postfix, shown)
    return None


def _by_name(talk: Talk, postfix: Postfix | None) -> tuple[str, ...]:
    """The table in which smtpd(8) looks the name up that the client gives, before it shows a certificate."""
    named = postfix.list("tls_server_sni_maps") if postfix and talk.port.protocol is Protocol.SMTP else ()
    return tuple(f"services.lookup-tables@{each}" for each in named)


def _not_offered(talk: Talk, postfix: Postfix, shown: tuple[Evidence, ...]) -> Verdict | None:
    level = talk.port.options.get("smtpd_tls_security_level", postfix.get("smtpd_tls_security_level"))
    subject = str(talk.port.number)
    if level not in ("may", "encrypt"):
        return None
    setting = Evidence("postconf -x", f"smtpd_tls_security_level = {level}")
    if level == "encrypt":
        return critical(
            f"Port {subject} demands TLS but offers no STARTTLS: no client can go on",
            detail="Every command is answered 530 5.7.0 Must issue a STARTTLS command first. Is a certificate configured?",
            subject=subject,
            evidence=(*shown, setting),
        )
    return warning(f"Port {subject} is to offer STARTTLS, but does not", subject=subject, evidence=(*shown, setting))
