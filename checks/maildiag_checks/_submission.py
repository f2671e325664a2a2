"""Settings of a submission port that leave its clients no way to log in, although the port answers."""

from __future__ import annotations

from maildiag.facts.postfix import Postfix
from maildiag.facts.smtp import Talk
from maildiag.model import Evidence, Fix, Verdict, critical
from maildiag.probes import Tls

CHECK = "connectivity.submission"
_LISTS = ("smtpd_client_restrictions", "smtpd_relay_restrictions", "smtpd_recipient_restrictions")


def contradiction(talk: Talk, postfix: Postfix, shown: tuple[Evidence, ...]) -> Verdict | None:
    """What of master.cf's options for this port contradicts the port's purpose (RFC 6409 section 4.3, RFC 8314 section 3)."""
    return (
        _without_wrapper(talk, shown) or _without_auth(talk, postfix, shown) or _auth_without_tls(talk, postfix, shown)
    )


def _of(talk: Talk, postfix: Postfix, name: str) -> str:
    return talk.port.options.get(name, postfix.get(name))


def _service(talk: Talk) -> str:
    """The name of the service as it stands in the first field of master.cf, which postconf(1) -P wants."""
    return talk.port.line.split()[0] if talk.port.line else talk.port.name


def _line(talk: Talk) -> Evidence:
    return Evidence("postconf -M", talk.port.line)


def _set(talk: Talk, name: str, option: str, title: str, *, automatic: bool) -> Fix:
    return Fix(
        id=f"{CHECK}/{name}",
        title=title,
        commands=(("postconf", "-P", f"{_service(talk)}/inet/{option}"), ("postfix", "reload")),
        automatic=automatic,
        changes=("/etc/postfix/master.cf",),
        verify=(CHECK,),
        guards=(("postfix", "check"),),
    )


def _without_wrapper(talk: Talk, shown: tuple[Evidence, ...]) -> Verdict | None:
    if talk.port.number != 465 or talk.port.tls is Tls.IMPLICIT:
        return None
    return critical(
        "Port 465 waits for a plain greeting, and its clients begin with a TLS handshake: smtpd_tls_wrappermode is not set",
        detail="Mail programs that are set up for SSL/TLS on 465 hang or report an SSL error. RFC 8314: 465 is TLS from the first byte.",
        subject="465",
        evidence=(_line(talk), *shown),
        fixes=(_set(talk, "wrapper", "smtpd_tls_wrappermode=yes", "Begin with TLS on port 465", automatic=True),),
        explained_by=("services.master-cf",),
    )


def _without_auth(talk: Talk, postfix: Postfix, shown: tuple[Evidence, ...]) -> Verdict | None:
    """A port that takes mail from nobody but those who logged in, and where nobody can log in."""
    demanding = next((name for name in _LISTS if _only_logins(talk.port.options.get(name, ""))), "")
    if not demanding or _of(talk, postfix, "smtpd_sasl_auth_enable") == "yes":
        return None
    number, asked = talk.port.number, postfix.get("smtpd_sasl_auth_enable") == "yes"
    option = "smtpd_sasl_auth_enable=yes"
    return critical(
        f"Port {number} takes mail only from those who logged in, and offers no login: smtpd_sasl_auth_enable is not yes there",
        detail=f"{demanding} = {talk.port.options[demanding]}. Every client is refused.",
        subject=str(number),
        evidence=(_line(talk), *shown),
        fixes=(_set(talk, "offer-auth", option, f"Offer AUTH on port {number}", automatic=asked),),
        explained_by=("services.master-cf",),
    )


def _only_logins(restrictions: str) -> bool:
    words = restrictions.replace(",", " ").split()
    return words[:1] == ["permit_sasl_authenticated"] and words[-1] in ("reject", "defer")


def _auth_without_tls(talk: Talk, postfix: Postfix, shown: tuple[Evidence, ...]) -> Verdict | None:
    """postconf(5) smtpd_tls_auth_only: no AUTH without TLS; where TLS is off, that is no AUTH at all."""
    enabled = (
        _of(talk, postfix, "smtpd_sasl_auth_enable") == "yes" and _of(talk, postfix, "smtpd_tls_auth_only") == "yes"
    )
    level = _of(talk, postfix, "smtpd_tls_security_level") or "none"
    old = _of(talk, postfix, "smtpd_use_tls") == "yes" or _of(talk, postfix, "smtpd_enforce_tls") == "yes"
    if not enabled or level != "none" or old or talk.port.tls is Tls.IMPLICIT:
        return None
    number = talk.port.number
    return critical(
        f"Nobody can log in on port {number}: smtpd_tls_auth_only = yes wants TLS first, and smtpd_tls_security_level = none there",
        detail="AUTH is never announced; mail programs say that the server does not support authentication.",
        subject=str(number),
        evidence=(_line(talk), Evidence("postconf -x", "smtpd_tls_auth_only = yes"), *shown),
        fixes=(
            _set(talk, "offer-tls", "smtpd_tls_security_level=encrypt", f"Demand TLS on port {number}", automatic=True),
        ),
        explained_by=("services.master-cf",),
    )
