"""smtpd is asked for STARTTLS only where its certificate may work, because it mails the postmaster of each that it refuses."""

from __future__ import annotations

from typing import Any

import pytest

from maildiag.facts import smtp, smtpd_certificate
from maildiag.facts.postfix import Postfix
from maildiag.facts.smtp import OwnDialogues, Talk
from maildiag.facts.smtpd_certificate import public_key, read_certificate
from maildiag.facts.sockets import Expected, Owner, Port
from maildiag.model import Gap, GapReason, HostRole, Role, Status
from maildiag.probes import CommandResult, Connect, Dialogue, Exchange, Listeners, Probe, Protocol, Tls, Transcript
from maildiag.testing import gather, judge, printed
from maildiag_checks import starttls
from tests.network.recorded import text

CERTIFICATE, KEY = "/etc/ssl/certs/mail.pem", "/etc/ssl/private/mail.key"
POSTFIX = Postfix(
    True, "3.7", {"smtpd_tls_cert_file": CERTIFICATE, "smtpd_tls_key_file": KEY, "myhostname": "mail.example.test"}
)
X509, PKEY = printed(text("debian12", "x509.txt")), printed(text("debian12", "pkey.txt"))
NO_FILE = printed("", f"Can't open certificate file from {CERTIFICATE} for reading, No such file or directory", 1)
DENIED = printed("", f'Can\'t open "{KEY}" for reading, Permission denied', 1)
OTHER_KEY = printed("-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEA\n-----END PUBLIC KEY-----\n")


def useless(certificate: CommandResult | Gap, key: CommandResult | Gap) -> bool:
    asked: dict[Probe[Any], Any] = {read_certificate(CERTIFICATE): certificate, public_key(KEY): key}
    found = gather(smtpd_certificate.refuses, asked, postfix=POSTFIX)
    assert isinstance(found, bool)
    return found


def test_a_certificate_with_its_key_may_work() -> None:
    assert not useless(X509, PKEY)


@pytest.mark.parametrize(
    ("certificate", "key"), [(NO_FILE, PKEY), (X509, OTHER_KEY), (X509, printed("", "Could not find private key", 1))]
)
def test_a_pair_that_openssl_finds_broken_cannot_work(certificate: CommandResult, key: CommandResult) -> None:
    assert useless(certificate, key)


@pytest.mark.parametrize(
    ("certificate", "key"),
    [
        (X509, DENIED),
        (Gap(GapReason.ABSENT, "openssl is not installed"), PKEY),
        (X509, Gap(GapReason.TIMEOUT, "openssl pkey timed out after 5 s")),
        (printed("", ""), printed("", "")),
    ],
)
def test_what_could_not_be_looked_at_is_left_to_the_handshake(
    certificate: CommandResult | Gap, key: CommandResult | Gap
) -> None:
    assert not useless(certificate, key)


def asked_on(port: Port, useless: bool) -> Tls:
    """How the port is spoken to."""
    expected = Expected((port,), ())
    key = OTHER_KEY if useless else PKEY
    answers: dict[Probe[Any], Any] = {Listeners(): (), read_certificate(CERTIFICATE): X509, public_key(KEY): key}
    role = HostRole(Role.MAIL_SERVER, "test")
    found = gather(smtp.own_dialogues, answers, expected=expected, postfix=POSTFIX, role=role)
    assert isinstance(found, OwnDialogues)
    return found.talks[0].probe.tls


def port(owner: Owner = Owner.POSTFIX, **options: str) -> Port:
    return Port(owner, "smtp", 25, (), "smtp inet", Protocol.SMTP, Tls.STARTTLS, options)


def test_smtpd_with_a_useless_certificate_is_not_asked_for_tls() -> None:
    assert asked_on(port(), useless=False) is Tls.STARTTLS
    assert asked_on(port(), useless=True) is Tls.NONE
    assert asked_on(port(smtpd_tls_cert_file="/etc/ssl/own.pem"), useless=True) is Tls.STARTTLS
    assert asked_on(port(Owner.DOVECOT), useless=True) is Tls.STARTTLS


def test_what_was_not_asked_is_neither_fine_nor_broken() -> None:
    probe = Dialogue(Protocol.SMTP, "127.0.0.1", 25, Tls.NONE)
    hello = Exchange("ehlo", "EHLO x", "250-mail.example.test\n250 STARTTLS", "250", 0.01)
    talk = Talk(port(), "127.0.0.1", probe, Transcript(Connect.CONNECTED, "127.0.0.1", (hello,)), True)
    (told,) = judge(starttls.starttls, OwnDialogues((talk,)), POSTFIX, None)
    assert told.status is Status.SKIPPED
