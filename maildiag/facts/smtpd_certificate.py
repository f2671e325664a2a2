"""Whether smtpd can use the certificate that it is configured with, as far as the files tell before anybody asks for TLS."""

from __future__ import annotations

import re

from maildiag.asking import Ask
from maildiag.facts.postfix import Postfix
from maildiag.model import Gap, GapReason
from maildiag.probes import Command, CommandResult, command

_KEY = re.compile(r"-----BEGIN PUBLIC KEY-----.*?-----END PUBLIC KEY-----", re.S)
_DENIED = re.compile(r"Permission denied")


def begin(ask: Ask, postfix: Postfix) -> None:
    """Start looking at the certificate and key of main.cf."""
    for path, key in _pairs(postfix):
        ask.begin(read_certificate(path))
        ask.begin(public_key(key))


def refuses(ask: Ask, postfix: Postfix) -> bool:
    """True where no TLS handshake with smtpd can succeed: it then answers STARTTLS with 454.

    One pair that does not work disables TLS (postconf(5) smtpd_tls_cert_file). Certificates of `smtpd_tls_chain_files` are
    not judged here: a handshake tells of them.
    """
    begin(ask, postfix)
    return any(useless(ask.maybe(read_certificate(path)), ask.maybe(public_key(key))) for path, key in _pairs(postfix))


def _pairs(postfix: Postfix) -> list[tuple[str, str]]:
    if postfix.list("smtpd_tls_chain_files"):
        return []
    named = [(postfix.get(f"smtpd_tls_{kind}cert_file"), f"smtpd_tls_{kind}key_file") for kind in ("", "ec")]
    return [(path, postfix.get(key) or path) for path, key in named if path.startswith("/")]


def useless(certificate: CommandResult | Gap, key: CommandResult | Gap) -> bool:
    """True where openssl could look and found no certificate, no key, or a key of another certificate."""
    if not _looked(certificate) or not _looked(key):
        return False
    found, own = (_KEY.search(each.stdout) if isinstance(each, CommandResult) else None for each in (certificate, key))
    return found is None or own is None or found[0] != own[0]


def _looked(told: CommandResult | Gap) -> bool:
    """False where it was not for this account to read, or where openssl itself failed."""
    if isinstance(told, Gap):
        return told.reason is GapReason.ABSENT and "openssl" not in told.detail
    return told.status in (0, 1) and bool(told.stdout or told.stderr) and not _DENIED.search(told.stderr)


def read_certificate(path: str, stdin: str = "") -> Command:
    """Ask openssl-x509(1) for the first certificate of a file, or of standard input for `/dev/stdin`."""
    wanted = ("-subject", "-issuer", "-serial", "-dates", "-pubkey", "-ext", "subjectAltName,authorityInfoAccess")
    return command("openssl", "x509", "-in", path, "-noout", *wanted, "-nameopt", "RFC2253", stdin=stdin)


def public_key(path: str) -> Command:
    """Ask openssl-pkey(1) for the public half of the private key in a file; the private half is not printed."""
    return command("openssl", "pkey", "-in", path, "-passin", "pass:", "-pubout")
