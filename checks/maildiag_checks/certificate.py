"""Step 4, encryption: are the certificates in order, on disk and as served?"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import PurePosixPath

from maildiag.facts.clock import Clock
from maildiag.facts.dovecot import DovecotConfig
from maildiag.facts.mail_log import MailLog
from maildiag.facts.names import DOMAIN_CLASSES, own_domains
from maildiag.facts.postfix import Postfix
from maildiag.facts.sockets import Owner
from maildiag.facts.tls import CertificateFile, Certificates, Certified, Served
from maildiag.model import (
    Evidence,
    Fix,
    Gap,
    Status,
    Step,
    Verdict,
    critical,
    is_absent,
    notice,
    ok,
    skipped,
    unknown,
    warning,
)
from maildiag.probes import CommandResult, FileInfo, FileText, Identity
from maildiag.registry import SERVER, check
from maildiag.settings import Settings
from maildiag.text import first_line, plural
from maildiag_checks import _dovecot_tls
from maildiag_checks._time import by_this_clock

_PASSPHRASE = re.compile(r"bad decrypt|maybe wrong password|bad password read|pkcs12 cipherfinal error", re.I)
_FIRST = ("services.clock", "services.main-cf", "services.dovecot-config")


@check(
    "connectivity.certificate",
    step=Step.CONNECTIVITY,
    asks="Are the certificates there, valid, matching their keys, and the ones that are served?",
    roles=SERVER,
    explained_by=_FIRST,
)
def certificate(
    found: Certificates,
    identity: Identity,
    settings: Settings,
    postfix: Postfix | None,
    config: DovecotConfig | None,
    log: MailLog | None,
    clock: Clock | None = None,
) -> Iterator[Verdict]:
    """Files first, then what the ports present, then what Dovecot complains of.

    Sources: RFC 5280 section 4.1, RFC 6125, postconf(5) smtpd_tls_cert_file, Dovecot's documentation of ssl settings.
    """
    without = _without(found, postfix)
    if without is not None:
        yield without
    told = _dovecot_tls.refused(log, config)
    if not found.files and not found.served and without is None and told is None:
        yield skipped("No certificate is configured")
        return
    soon = timedelta(days=settings.thresholds.certificate_days)
    explained = False
    for file in found.files:
        verdict = _file(file, identity.now, soon, postfix, clock) or _as_served(file, found.served, identity.now)
        explained = explained or (verdict.status is Status.CRITICAL and _is_dovecots(file, found))
        yield verdict
    if told is not None and not explained:
        yield told


def _is_dovecots(file: CertificateFile, found: Certificates) -> bool:
    """True for a file that Dovecot is configured with, by itself or together with Postfix."""
    return any(
        each.configured.owner is Owner.DOVECOT and each.configured.path == file.configured.path for each in found.files
    )


def _without(found: Certificates, postfix: Postfix | None) -> Verdict | None:
    """postconf(5) smtpd_tls_cert_file: a server without a certificate can hardly encrypt, whatever its level says."""
    level = postfix.get("smtpd_tls_security_level") if postfix else ""
    if level not in ("may", "encrypt") or any(each.configured.owner is Owner.POSTFIX for each in found.files):
        return None
    if postfix is None or postfix.get("tls_server_sni_maps"):
        return None
    verdict = critical if level == "encrypt" else warning
    return verdict(
        f"smtpd_tls_security_level = {level}, but Postfix has no certificate",
        detail="It announces STARTTLS and then answers 454."
        + (" No client can go on: every command is answered 530 5.7.0." if level == "encrypt" else ""),
        subject="postfix",
        evidence=(
            Evidence(
                "postconf -x", f"smtpd_tls_security_level = {level}\nsmtpd_tls_cert_file =\nsmtpd_tls_chain_files ="
            ),
        ),
        explained_by=("services.main-cf",),
    )


def _file(
    file: CertificateFile, now: datetime, soon: timedelta, postfix: Postfix | None, clock: Clock | None
) -> Verdict | None:
    """The weightiest of what is wrong with it; the first of equals."""
    unreadable = _readable(file)
    if unreadable is not None:
        return unreadable
    found = (_key(file), _dates(file, now, soon, clock), _names(file, postfix), _chain(file), _exposed(file))
    return max((each for each in found if each is not None), key=lambda each: each.status.weight, default=None)


def _line(file: CertificateFile) -> Evidence:
    each = file.configured
    source = "postconf -x" if each.owner is Owner.POSTFIX else "doveconf -n"
    return Evidence(source, f"{each.setting} = {each.path}")


def _who(file: CertificateFile) -> str:
    return "Postfix" if file.configured.owner is Owner.POSTFIX else "Dovecot"


def _readable(file: CertificateFile) -> Verdict | None:
    path, who = file.configured.path, _who(file)
    effect = (
        "Postfix announces STARTTLS and then answers 454: senders that demand TLS cannot deliver."
        if who == "Postfix"
        else "Dovecot does not start, or turns every TLS client away."
    )
    if file.leads_to:
        return _to_nowhere(file, effect)
    if is_absent(file.text) or _not_there(file.read):
        return critical(
            f"The certificate {path} of {who} does not exist",
            detail=effect,
            subject=path,
            evidence=(_line(file), Evidence(path, "No such file or directory")),
            explained_by=(),
        )
    if isinstance(file.read, Gap) or (isinstance(file.text, Gap) and file.certified is None):
        gap = file.text if isinstance(file.text, Gap) else file.read
        return unknown(f"The certificate {path} could not be read", detail=str(gap), subject=path)
    if file.certified is None:
        return critical(
            f"{path}, configured in {who}, is no certificate that can be read",
            detail=effect,
            subject=path,
            evidence=(_line(file), Evidence(f"openssl x509 -in {path}", first_line(file.read.stderr))),
            explained_by=(),
        )
    if isinstance(file.text, FileText) and "-----BEGIN" not in file.text.text:
        return _not_pem(file, effect)
    return None


def _to_nowhere(file: CertificateFile, effect: str) -> Verdict:
    """certbot's live/ holds links into archive/, which a copy, a restore or a clean-up tears."""
    path = file.configured.path
    return critical(
        f"The certificate {path} of {_who(file)} is a link to {file.leads_to}, which does not exist",
        detail=effect,
        subject=path,
        evidence=(_line(file), Evidence(f"ls -l {path}", f"{path} -> {file.leads_to}")),
        fixes=(
            Fix(
                id="connectivity.certificate/mend-link",
                title=f"Let the link lead to {file.instead}"
                if file.instead
                else "Bring the file back, from a backup or by renewing the certificate",
                ask=f"ls -l {PurePosixPath(file.leads_to).parent}\n"
                + (f"ln -sfn {file.instead} {path}\n" if file.instead else "")
                + "systemctl restart postfix dovecot",
                verify=("connectivity.certificate",),
                why="The link to the key beside it must lead to the file of the same number.",
            ),
        ),
        explained_by=(),
    )


def _not_there(told: CommandResult | Gap) -> bool:
    """What openssl says of a file that is gone; one that may hold a key too is read by nobody else here."""
    return isinstance(told, CommandResult) and told.status != 0 and "No such file or directory" in told.stderr


def _not_pem(file: CertificateFile, effect: str) -> Verdict:
    """openssl-x509(1) reads DER as well; the daemons read PEM alone."""
    path = file.configured.path
    return critical(
        f"{path}, configured in {_who(file)}, is a certificate in another form than PEM (DER?)",
        detail=effect,
        subject=path,
        evidence=(_line(file), Evidence(path, "no line -----BEGIN CERTIFICATE-----, and openssl x509 reads it")),
        fixes=(
            Fix(
                id="connectivity.certificate/to-pem",
                title="Write the certificate as PEM",
                ask=f"openssl x509 -in {path} -out {path}.pem\nmv {path}.pem {path}\nsystemctl reload postfix dovecot",
                verify=("connectivity.certificate",),
                why="Where an intermediate certificate came with it, it must be appended: a DER file holds one certificate.",
            ),
        ),
        explained_by=(),
    )


def _key(file: CertificateFile) -> Verdict | None:
    key, who = file.configured.key, _who(file)
    if not key or file.key_info is None or file.public_key is None or file.certified is None:
        return None
    if is_absent(file.key_info):
        return critical(
            f"The key {key} of {who}'s certificate does not exist",
            subject=file.configured.path,
            evidence=(_line(file), Evidence(key, "No such file or directory")),
            explained_by=(),
        )
    if isinstance(file.key_info, Gap) or isinstance(file.public_key, Gap):
        return None
    denied = "ermission denied" in file.public_key.stderr
    if file.public_key.status != 0:
        if denied:
            return None
        return _encrypted(file) or critical(
            f"The key {key} of {who}'s certificate cannot be read",
            subject=file.configured.path,
            evidence=(_line(file), Evidence(f"openssl pkey -in {key} -pubout", first_line(file.public_key.stderr))),
            explained_by=(),
        )
    if file.keyed:
        return _out_of_order(file)
    if file.public_key.stdout.strip() != file.certified.public_key.strip():
        return critical(
            f"The key {key} does not belong to the certificate {file.configured.path}",
            detail=f"{who} cannot use either: every TLS handshake fails.",
            subject=file.configured.path,
            evidence=(
                _line(file),
                Evidence(f"openssl pkey -in {key} -pubout", _short(file.public_key.stdout)),
                Evidence(f"openssl x509 -in {file.configured.path} -pubkey", _short(file.certified.public_key)),
            ),
            explained_by=(),
        )
    return None


def _out_of_order(file: CertificateFile) -> Verdict:
    """Concatenated the wrong way round: the daemons take the first certificate for their own."""
    path = file.configured.path
    assert file.certified is not None
    return critical(
        f"The certificates in {path} are in the wrong order: the first is that of {file.certified.subject}, "
        f"and the key {file.configured.key} belongs to the one at place {file.keyed}",
        detail=f"{_who(file)} cannot use the key: every TLS handshake fails.",
        subject=path,
        evidence=(_line(file), Evidence(f"openssl x509 -in {path} -subject", file.certified.subject)),
        fixes=(
            Fix(
                id="connectivity.certificate/order",
                title="Put the server's own certificate first, then the one that issued it, and so on",
                ask=f"cat SERVER.pem INTERMEDIATE.pem > {path}\nsystemctl restart postfix dovecot",
                verify=("connectivity.certificate",),
            ),
        ),
        explained_by=(),
    )


def _encrypted(file: CertificateFile) -> Verdict | None:
    """postconf(5) smtpd_tls_key_file: it must not be encrypted; Dovecot takes a passphrase from ssl_key_password alone."""
    key, who = file.configured.key, _who(file)
    if not isinstance(file.public_key, CommandResult) or not _PASSPHRASE.search(file.public_key.stderr):
        return None
    return critical(
        f"The key {key} is encrypted with a passphrase, and {who} has none to open it",
        detail="A program that asks at each start is no daemon: the key of a mail server lies in the file without one.",
        subject=file.configured.path,
        evidence=(_line(file), Evidence(f"openssl pkey -in {key} -pubout", first_line(file.public_key.stderr))),
        fixes=(
            Fix(
                id="connectivity.certificate/without-passphrase",
                title="Take the passphrase off the key; root alone, and the key's group, may read the file",
                ask=f"umask 077; openssl pkey -in {key} -out {key}.new\ncat {key}.new > {key}; rm {key}.new\n"
                "systemctl reload postfix dovecot",
                verify=("connectivity.certificate",),
            ),
        ),
        explained_by=(),
    )


def _exposed(file: CertificateFile) -> Verdict | None:
    info = file.key_info
    if not isinstance(info, FileInfo) or not info.mode & 0o004 or file.shut_by:
        return None
    mode = f"{info.mode & ~0o007:o}"
    fix = Fix(
        id="connectivity.certificate/protect-key",
        title="Let only root and the key's group read the key",
        commands=(("chmod", mode, info.path),),
        undo=(("chmod", f"{info.mode:o}", info.path),),
        verify=("connectivity.certificate",),
        automatic=True,
    )
    return warning(
        f"Every account of this host can read the private key {info.path}",
        subject=file.configured.path,
        evidence=(Evidence(f"stat {info.path}", f"mode {info.mode:o}, owner {info.owner}:{info.group}"),),
        fixes=(fix,),
        explained_by=(),
    )


def _short(pem: str) -> str:
    lines = pem.strip().splitlines()
    return lines[1] + "…" if len(lines) > 1 else pem.strip()


def _dates(file: CertificateFile, now: datetime, soon: timedelta, clock: Clock | None) -> Verdict | None:
    each, path = file.certified, file.configured.path
    assert each is not None
    shown = (_line(file), Evidence(f"openssl x509 -in {path} -dates", _period(each)))
    if each.not_after <= now:
        return critical(
            f"The certificate {path} expired on {each.not_after:%Y-%m-%d}",
            detail=f"{_who(file)} still serves it; clients and servers that verify refuse it. It must be renewed. "
            f"{by_this_clock(clock)}".rstrip(),
            subject=path,
            data={"expires": each.not_after.isoformat()},
            evidence=shown,
            explained_by=("services.clock",),
        )
    if each.not_before > now:
        return critical(
            f"The certificate {path} is valid only from {each.not_before:%Y-%m-%d %H:%M} UTC",
            detail=by_this_clock(clock) or f"The clock of this host says {now:%Y-%m-%d %H:%M} UTC.",
            subject=path,
            evidence=shown,
            explained_by=("services.clock",),
        )
    if each.not_after - now <= soon:
        return warning(
            f"The certificate {path} expires in {plural((each.not_after - now).days, 'day')}",
            subject=path,
            data={"expires": each.not_after.isoformat()},
            evidence=shown,
            explained_by=(),
        )
    return None


def _period(each: Certified) -> str:
    return f"{each.subject}\nvalid {each.not_before:%Y-%m-%d %H:%M} to {each.not_after:%Y-%m-%d %H:%M} UTC"


def _names(file: CertificateFile, postfix: Postfix | None) -> Verdict | None:
    """A certificate that names neither the host nor anything in its own domains. Source: RFC 6125 section 6."""
    each, path = file.certified, file.configured.path
    assert each is not None
    name = postfix.get("myhostname") if postfix else ""
    if postfix is None or "." not in name or each.covers(name) or _akin(each, postfix):
        return None
    snakeoil = "snakeoil" in path or each.self_signed
    elsewhere = any(":" in postfix.get(one) for one in DOMAIN_CLASSES)
    verdict = notice if snakeoil or elsewhere else warning
    return verdict(
        f"The certificate {path} is for {', '.join(each.names) or each.subject}, not for {name}",
        detail=(
            "A self-signed certificate encrypts, but no client can verify it."
            if snakeoil
            else "Clients that verify the name refuse it, unless they were told the one in the certificate."
        ),
        subject=path,
        evidence=(_line(file), Evidence(f"openssl x509 -in {path}", f"{each.subject}\nnames: {', '.join(each.names)}")),
        explained_by=(),
    )


def _akin(each: Certified, postfix: Postfix) -> bool:
    """True where a name of the certificate lies in one of the host's own domains: clients may well use that one."""
    domains = [one for one in (postfix.get("mydomain").lower(), *own_domains(postfix)) if "." in one]
    return any(name == one or name.endswith(f".{one}") for name in each.names for one in domains)


def _chain(file: CertificateFile) -> Verdict | None:
    each, path, told = file.certified, file.configured.path, file.verified
    assert each is not None
    if told is None or isinstance(told, Gap) or told.status == 0:
        return None
    shown = (_line(file), Evidence(f"openssl verify -untrusted {path} {path}", told.text.strip()))
    if each.self_signed:
        return notice(
            f"The certificate {path} is self-signed: it encrypts, but no client can verify it",
            subject=path,
            evidence=shown,
        )
    missing = file.length == 1 and (bool(file.repaired_by) or each.helper)
    if not missing:
        return notice(
            f"The certificate {path} is not verified by the CAs of this host",
            detail="Its CA is a private one, or an intermediate certificate is missing in the file.",
            subject=path,
            evidence=shown,
        )
    return warning(
        f"The chain in {path} is incomplete: the intermediate certificate of its issuer is missing",
        detail="Some clients fetch it themselves, others refuse the connection."
        + (f" {file.repaired_by} has it: use the full chain file." if file.repaired_by else ""),
        subject=path,
        evidence=shown,
        explained_by=(),
    )


def _as_served(file: CertificateFile, served: tuple[Served, ...], now: datetime) -> Verdict:
    each, path = file.certified, file.configured.path
    assert each is not None
    mine = [one for one in served if one.owner is file.configured.owner]
    other = [one for one in mine if one.fingerprint != file.fingerprint]
    sole = not [one for one in mine if one.fingerprint == file.fingerprint]
    if not other or not sole or "chain_files" in file.configured.setting or "eccert" in file.configured.setting:
        return ok(
            f"The certificate {path} of {_who(file)} is valid until {each.not_after:%Y-%m-%d}",
            subject=path,
            data={"expires": each.not_after.isoformat()},
            evidence=(_line(file), Evidence(f"openssl x509 -in {path}", _period(each))),
        )
    old = other[0].certified
    expired = old is not None and old.not_after <= now
    unit = "postfix" if file.configured.owner is Owner.POSTFIX else "dovecot"
    fix = Fix(
        id=f"connectivity.certificate/reload-{unit}",
        title=f"Reload {_who(file)}, so that it serves the certificate on disk",
        commands=(("systemctl", "reload", unit),),
        guards=(("doveconf", "-x", "-n") if unit == "dovecot" else ("postfix", "check"),),
        verify=("connectivity.certificate",),
        automatic=True,
        why="A deploy hook of the program that renews the certificate does this every time.",
    )
    verdict = critical if expired else warning
    return verdict(
        f"{_who(file)} serves another certificate than the one on disk: renewed, but not reloaded"
        + (", and the one that is served has expired" if expired else ""),
        subject=f"{path} ({_who(file)})",
        data={"ports": [one.port for one in other]},
        evidence=(
            Evidence(
                f"served on port {other[0].port}", _period(old) + f"\nserial {old.serial}" if old else "unreadable"
            ),
            Evidence(f"openssl x509 -in {path}", f"{_period(each)}\nserial {each.serial}"),
        ),
        fixes=(fix,),
        explained_by=(),
    )
