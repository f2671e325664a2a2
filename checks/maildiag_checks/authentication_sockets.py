"""Steps 4 and 7: does Dovecot listen where Postfix asks for passwords and hands mail over?"""

from __future__ import annotations

from collections.abc import Iterator

from maildiag.dovecot import edits as editing
from maildiag.dovecot.edits import Edit
from maildiag.facts.dovecot import Dovecot, DovecotConfig
from maildiag.facts.dovecot_daemon import DovecotDaemon
from maildiag.facts.sasl import MailSockets, Purpose
from maildiag.model import (
    Evidence,
    Fix,
    Step,
    Verdict,
    critical,
    skipped,
    unknown,
)
from maildiag.registry import SERVER, check
from maildiag_checks._sockets import DEAD, GUARDS, RELOAD, RESTART_POSTFIX, Scene, judge

SASL = "authentication.sasl-socket"
LMTP = "connectivity.lmtp-socket"


@check(
    SASL,
    step=Step.AUTHENTICATION,
    asks="Can Postfix ask Dovecot for passwords?",
    roles=SERVER,
    explained_by=DEAD,
)
def sasl_socket(
    sockets: MailSockets, dovecot: Dovecot, config: DovecotConfig | None, daemon: DovecotDaemon | None
) -> Iterator[Verdict]:
    """smtpd that offers AUTH and cannot reach the authentication socket ends, and greets nobody.

    ENOENT, ECONNREFUSED and EACCES are three causes. Sources: postconf(5) smtpd_sasl_path, SASL_README.
    """
    if not sockets.sasl_types:
        yield skipped("Postfix offers no authentication (smtpd_sasl_auth_enable = no)")
        return
    wrong = tuple(name for name, kind in sockets.sasl_types.items() if kind == "cyrus")
    if wrong and not sockets.cyrus and dovecot.installed:
        yield _cyrus(sockets, wrong)
    for endpoint in sockets.of(Purpose.SASL):
        if config is None:
            yield unknown(f"Could not tell whether Dovecot listens on {endpoint.shown}", subject=endpoint.shown)
        else:
            yield judge(Scene(SASL, sockets, config, daemon), endpoint)
    if not sockets.of(Purpose.SASL) and not (wrong and not sockets.cyrus):
        yield skipped(f"Postfix asks {', '.join(sorted(set(sockets.sasl_types.values())))} for passwords, not Dovecot")


def _cyrus(sockets: MailSockets, services: tuple[str, ...]) -> Verdict:
    return critical(
        "Postfix asks Cyrus SASL for passwords (smtpd_sasl_type = cyrus), and nothing of Cyrus SASL is set up",
        detail="AUTH is offered and every login fails. Dovecot is here: smtpd_sasl_type = dovecot lets it answer.",
        subject="smtpd_sasl_type",
        evidence=(Evidence("postconf -x", f"smtpd_sasl_type = cyrus ({', '.join(services)})"),),
        fixes=(
            Fix(
                id=f"{SASL}/ask-dovecot",
                title="Let Postfix ask Dovecot",
                commands=(
                    ("postconf", "-e", "smtpd_sasl_type = dovecot", "smtpd_sasl_path = private/auth"),
                    RESTART_POSTFIX,
                ),
                automatic=True,
                changes=("/etc/postfix/main.cf",),
                verify=(SASL,),
                guards=(("postfix", "check"),),
            ),
        ),
        explained_by=(),
    )


@check(
    LMTP,
    step=Step.CONNECTIVITY,
    asks="Can Postfix hand mail over to Dovecot's LMTP?",
    roles=SERVER,
    explained_by=DEAD,
)
def lmtp_socket(
    sockets: MailSockets, dovecot: Dovecot, config: DovecotConfig | None, daemon: DovecotDaemon | None
) -> Iterator[Verdict]:
    """Postfix defers every delivery while the LMTP socket is absent, dead or closed to it. Source: lmtp(8)."""
    endpoints = sockets.of(Purpose.LMTP)
    if not endpoints:
        yield skipped("Postfix delivers without LMTP")
        return
    if config is None:
        yield unknown("Could not tell whether Dovecot listens where Postfix delivers")
        return
    if "lmtp" not in config.protocols:
        yield _no_lmtp(config)
        return
    for endpoint in endpoints:
        yield judge(Scene(LMTP, sockets, config, daemon), endpoint)


def _no_lmtp(config: DovecotConfig) -> Verdict:
    setting = config.source.find("protocols")
    value = " ".join([*config.protocols, "lmtp"])
    fixes: tuple[Fix, ...] = ()
    if setting:
        edit = Edit(setting.place, (f"protocols = {value}",))
        fixes = (
            Fix(
                id=f"{LMTP}/switch-on",
                title="Switch Dovecot's LMTP on",
                commands=(*editing.commands((edit,)), RELOAD),
                automatic=True,
                changes=(setting.place.file,),
                verify=(LMTP,),
                guards=GUARDS,
            ),
        )
    evidence = [Evidence("doveconf -a", f"protocols = {' '.join(config.protocols)}")]
    if setting:
        evidence.append(Evidence(setting.place.file, f"{setting.place.line}: {setting.raw}"))
    return critical(
        "Postfix delivers to Dovecot's LMTP, and Dovecot's protocols leave lmtp out",
        detail="Mail for the mailboxes stays in the queue.",
        subject="protocols",
        evidence=tuple(evidence),
        fixes=fixes,
        explained_by=("services.dovecot-config",),
    )
