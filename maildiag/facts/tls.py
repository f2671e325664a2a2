"""Certificates: the files that Postfix and Dovecot are configured with, and what their ports present."""

from __future__ import annotations

import hashlib
import itertools
import posixpath
import re
import ssl
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import PurePosixPath

from maildiag.asking import Ask
from maildiag.facts.dovecot import Dovecot, DovecotConfig
from maildiag.facts.postfix import Postfix
from maildiag.facts.smtp import OwnDialogues, Talk
from maildiag.facts.smtpd_certificate import public_key, read_certificate
from maildiag.facts.sockets import Owner
from maildiag.model import Gap, GapReason, HostRole, Role, is_absent
from maildiag.probes import (
    Command,
    CommandResult,
    Directory,
    FileInfo,
    FileText,
    ListDirectory,
    ReadFile,
    Stat,
    command,
)
from maildiag.records import dataclass
from maildiag.registry import gatherer

_PEM = re.compile(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", re.S)
_COMPLAINT = re.compile(r"certificate|:error:|Error opening|BIO_new_file", re.I)
_ROOTS = ("/usr/share/ca-certificates/", "/usr/local/share/ca-certificates/")
_CHAINS = re.compile(r"chain|intermediate|bundle|(^|[._-])ca([._-]|$)", re.I)


@dataclass(frozen=True, slots=True)
class Certified:
    """A certificate as openssl-x509(1) reads it; names in lower case, times in UTC, `helper` where its issuer can be fetched."""

    subject: str
    issuer: str
    serial: str
    not_before: datetime
    not_after: datetime
    names: tuple[str, ...]
    public_key: str
    helper: bool

    @property
    def self_signed(self) -> bool:
        """True where it is its own issuer."""
        return self.subject == self.issuer

    def covers(self, name: str) -> bool:
        """RFC 6125 section 6.4.3: the name itself, or a wildcard for its first label."""
        wanted = name.lower()
        return any(each == wanted or (each[:2] == "*." and wanted.partition(".")[2] == each[2:]) for each in self.names)


@dataclass(frozen=True, slots=True)
class Configured:
    """A certificate and its key as a daemon is configured with them; `key` is empty where it could not be told."""

    owner: Owner
    setting: str
    path: str
    key: str


@dataclass(frozen=True, slots=True)
class CertificateFile:
    """A configured certificate, looked at.

    `text` is the file, `read` what openssl said of it, `certified` the leaf; `key_info` and `public_key` belong to the key
    file; `verified` is openssl's verdict by the CAs of the system, `repaired_by` a neighbouring file that completes the chain.
    `shut_by` is a directory on the way to a key open to all, through which other accounts may not go (path_resolution(7)).
    `leads_to` is where a link leads that leads to nothing, `instead` a file there that has the same name but for its number;
    `keyed` the place of the certificate that the key belongs to, where that is not the first of the file.
    """

    configured: Configured
    text: FileText | Gap
    read: CommandResult | Gap
    certified: Certified | None
    key_info: FileInfo | Gap | None
    public_key: CommandResult | Gap | None
    verified: CommandResult | Gap | None
    repaired_by: str = ""
    shut_by: str = ""
    leads_to: str = ""
    instead: str = ""
    keyed: int = 0

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the leaf; empty where there is none."""
        found = _PEM.search(self.text.text) if isinstance(self.text, FileText) else None
        return fingerprint(found[0]) if found else ""

    @property
    def length(self) -> int:
        """How many certificates the file holds."""
        return len(_PEM.findall(self.text.text)) if isinstance(self.text, FileText) else 0


@dataclass(frozen=True, slots=True)
class Served:
    """A certificate that a port presents: the port's owner and number, its fingerprint, and what openssl reads of it."""

    owner: Owner
    port: int
    fingerprint: str
    certified: Certified | None


@dataclass(frozen=True, slots=True)
class CertificateFiles:
    """The certificates that the daemons are configured with."""

    files: tuple[CertificateFile, ...]


@dataclass(frozen=True, slots=True)
class Certificates:
    """The certificates on disk and those that are presented."""

    files: tuple[CertificateFile, ...]
    served: tuple[Served, ...]


@gatherer
def certificate_files(
    ask: Ask, postfix: Postfix | None, dovecot: Dovecot | None, role: HostRole, config: DovecotConfig | None = None
) -> CertificateFiles:
    """Look at every configured certificate."""
    wanted = list(_postfix_certificates(ask, postfix)) if postfix and postfix.installed else []
    if dovecot and dovecot.installed and role.role is Role.MAIL_SERVER:
        wanted += _dovecot_certificates(dovecot, config)
    for each in wanted:
        ask.begin(ReadFile(each.path))
        ask.begin(read_certificate(each.path))
        ask.begin(_by_directory(each.path))
        if each.key:
            ask.begin(Stat(each.key))
            ask.begin(public_key(each.key))
    return CertificateFiles(tuple(_file(ask, each) for each in wanted))


@gatherer
def certificates(ask: Ask, configured: CertificateFiles, own: OwnDialogues) -> Certificates:
    """The configured certificates, and every one that the own ports present."""
    known = {each.fingerprint: each.certified for each in configured.files}
    return Certificates(configured.files, _served(ask, own, known))


def _postfix_certificates(ask: Ask, postfix: Postfix) -> Iterator[Configured]:
    chains = [each for each in postfix.list("smtpd_tls_chain_files") if each.startswith("/")]
    yield from _chain_files(ask, chains)
    for kind in ("", "ec") if not chains else ():
        path = postfix.get(f"smtpd_tls_{kind}cert_file")
        if path.startswith("/"):
            yield Configured(
                Owner.POSTFIX, f"smtpd_tls_{kind}cert_file", path, postfix.get(f"smtpd_tls_{kind}key_file") or path
            )


def _chain_files(ask: Ask, paths: list[str]) -> Iterator[Configured]:
    """Each chain with its key, which is in the same file or in one before it (postconf(5), smtpd_tls_chain_files)."""
    told = ask.all([*(read_certificate(path) for path in paths), *(public_key(path) for path in paths)])
    certificates, keys = told[: len(paths)], told[len(paths) :]
    key, closed = "", False
    for path, certificate, own in zip(paths, certificates, keys, strict=True):
        holds_key, holds_chain = _worked(own), _worked(certificate)
        closed = closed or _denied(own)
        key = path if holds_key else key
        if holds_chain or not holds_key:
            yield Configured(Owner.POSTFIX, "smtpd_tls_chain_files", path, key or ("" if closed else path))


def _worked(told: CommandResult | Gap) -> bool:
    return isinstance(told, CommandResult) and told.status == 0


def _denied(told: CommandResult | Gap) -> bool:
    return isinstance(told, Gap) or "ermission denied" in told.stderr


def _dovecot_certificates(dovecot: Dovecot, config: DovecotConfig | None) -> list[Configured]:
    """2.3 prints `ssl_cert = <FILE` and hides the key's path, which only the files tell; 2.4 prints both."""
    if re.search(r"^ssl = no$", dovecot.text, re.M):
        return []
    new = re.search(r"^ssl_server \{\n(.*?)^\}", dovecot.text, re.M | re.S)
    if new:
        values = dict(re.findall(r"^  (cert_file|key_file) = (\S+)$", new[1], re.M))
        path, key = (values.get(name, "").lstrip("<") for name in ("cert_file", "key_file"))
        return [Configured(Owner.DOVECOT, "ssl_server_cert_file", path, key)] if path else []
    old = re.search(r"^ssl_cert = <\s*(\S+)$", dovecot.text, re.M)
    if old is None:
        return []
    named = config.source.value("ssl_key") if config else ""
    key = named[1:].strip() if named.startswith("<") else ""
    return [Configured(Owner.DOVECOT, "ssl_cert", old[1], key)]


def _verify(path: str, untrusted: str = "") -> Command:
    return command("openssl", "verify", "-untrusted", untrusted or path, path)


def _by_directory(path: str) -> Command:
    """The same by the system's hashed directory of CAs alone: loading all of them from one file takes four times as long."""
    return command("openssl", "verify", "-no-CAfile", "-no-CAstore", "-untrusted", path, path)


def _verified(ask: Ask, path: str) -> CommandResult | Gap:
    """What is good by a part of the CAs is good by all of them; anything else is asked again of all."""
    quick = ask.maybe(_by_directory(path))
    return quick if isinstance(quick, CommandResult) and quick.status == 0 else ask.maybe(_verify(path))


def _file(ask: Ask, each: Configured) -> CertificateFile:
    text, read, verified = (
        ask.maybe(ReadFile(each.path)),
        ask.maybe(read_certificate(each.path)),
        _verified(ask, each.path),
    )
    certified = parse_certificate(read.stdout) if isinstance(read, CommandResult) else None
    if certified is None and isinstance(read, CommandResult) and not _COMPLAINT.search(read.stderr):
        read = Gap(GapReason.FAILED, f"openssl x509 told of no certificate and no error (exit status {read.status})")
    repaired = ""
    if certified and not certified.self_signed and isinstance(verified, CommandResult) and verified.status != 0:
        repaired = _completing(ask, each.path)
    key = ask.maybe(Stat(each.key)) if each.key else None
    pair = ask.maybe(public_key(each.key)) if each.key else None
    leads_to = _leads_to(ask, each.path) if is_absent(text) else ""
    return CertificateFile(
        each,
        text,
        read,
        certified,
        key,
        pair,
        verified,
        repaired,
        _shut_by(ask, key) if isinstance(key, FileInfo) and key.mode & 0o004 else "",
        leads_to,
        _newest_like(ask, leads_to) if leads_to else "",
        _keyed(ask, text, certified, pair),
    )


_CHAIN = 8


def _keyed(ask: Ask, text: FileText | Gap, first: Certified | None, pair: CommandResult | Gap | None) -> int:
    """The place of the key's own certificate in a file that begins with another (RFC 8446 section 4.4.2: the sender's first)."""
    if isinstance(text, Gap) or first is None or not isinstance(pair, CommandResult) or pair.status:
        return 0
    mine = pair.stdout.strip()
    others = _PEM.findall(text.text)[1:_CHAIN] if mine != first.public_key.strip() else []
    answers = ask.all([read_certificate("/dev/stdin", each) for each in others])
    read = [parse_certificate(told.stdout) if isinstance(told, CommandResult) else None for told in answers]
    return next((at for at, each in enumerate(read, 2) if each and each.public_key.strip() == mine), 0)


def _leads_to(ask: Ask, path: str) -> str:
    """Where the link leads that has this name; empty where there is none."""
    listed = ask.maybe(ListDirectory(posixpath.dirname(path)))
    found = [each for each in listed.entries if each.path == path] if isinstance(listed, Directory) else []
    return posixpath.normpath(posixpath.join(posixpath.dirname(path), found[0].link_to)) if found else ""


def _newest_like(ask: Ask, path: str) -> str:
    """The newest file beside it that differs by its number alone, as certbot numbers them (fullchain2.pem)."""
    listed = ask.maybe(ListDirectory(posixpath.dirname(path)))
    found = listed.entries if isinstance(listed, Directory) else ()
    alike = [each for each in found if each.size and _unnumbered(each.path) == _unnumbered(path)]
    return max(alike, key=lambda each: each.modified).path if alike else ""


def _unnumbered(path: str) -> str:
    return re.sub(r"\d+", "", posixpath.basename(path))


def _shut_by(ask: Ask, key: FileInfo) -> str:
    """A directory that keeps other accounts from the file, and from the file that a link leads to; empty where none does."""
    places = [key.path, *([posixpath.join(posixpath.dirname(key.path), key.link_to)] if key.link_to else [])]
    shut = [next((each.path for each in _directories(ask, place) if not each.mode & 0o001), "") for place in places]
    return shut[0] if all(shut) else ""


def _directories(ask: Ask, path: str) -> list[FileInfo]:
    above = [str(each) for each in PurePosixPath(posixpath.normpath(path)).parents][:-1]
    return [each for each in ask.all([Stat(one) for one in above]) if isinstance(each, FileInfo)]


def _completing(ask: Ask, path: str) -> str:
    """A file beside the certificate that makes its chain complete, or an empty string."""
    listed = ask.maybe(ListDirectory(path.rpartition("/")[0] or "/"))
    if isinstance(listed, Gap):
        return ""
    found = _beside(path, listed)[:8]
    answers = ask.all([_verify(path, each) for each in found])
    good = [
        name for name, told in zip(found, answers, strict=True) if isinstance(told, CommandResult) and told.status == 0
    ]
    return good[0] if good else ""


def _beside(path: str, listed: Directory) -> list[str]:
    """Files that may hold the rest of the chain, those that are named most like the certificate first; no root of the system."""
    found = [
        each.path
        for each in listed.entries
        if _CHAINS.search(each.path.rpartition("/")[2])
        and each.path.endswith((".pem", ".crt", ".cer"))
        and each.path not in (path, "/etc/ssl/certs/ca-certificates.crt")
        and not each.link_to.startswith(_ROOTS)
    ]
    return sorted(found, key=lambda each: -_alike(each, path))


def _alike(one: str, other: str) -> int:
    """How many characters they begin with alike."""
    return len(list(itertools.takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False))))


def parse_certificate(text: str) -> Certified | None:
    """What `openssl x509` prints of a certificate; None where it printed none."""
    values = dict(re.findall(r"^(subject|issuer|serial|notBefore|notAfter)=(.*)$", text, re.M))
    key = re.search(r"-----BEGIN PUBLIC KEY-----.*?-----END PUBLIC KEY-----", text, re.S)
    if not {"subject", "issuer", "notBefore", "notAfter"} <= set(values):
        return None
    names = re.findall(r"(?:DNS|IP Address):([^\s,]+)", text)
    common = re.search(r"(?:^|,)\s*CN=([^,]+)", values["subject"])
    return Certified(
        values["subject"].strip(),
        values["issuer"].strip(),
        values.get("serial", ""),
        _time(values["notBefore"]),
        _time(values["notAfter"]),
        tuple(each.lower() for each in (names or ([common[1]] if common else []))),
        key[0] if key else "",
        "CA Issuers" in text,
    )


def _time(text: str) -> datetime:
    return datetime.strptime(" ".join(text.split()), "%b %d %H:%M:%S %Y GMT").replace(tzinfo=UTC)


def fingerprint(pem: str) -> str:
    """SHA-256 of a certificate's DER form, in hexadecimal; empty for text that is no certificate."""
    try:
        return hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem.strip())).hexdigest()
    except ValueError:
        return ""


def _served(ask: Ask, own: OwnDialogues, known: dict[str, Certified | None]) -> tuple[Served, ...]:
    found: dict[tuple[Owner, int], tuple[str, str]] = {}
    for talk in own.talks:
        leaf = _leaf(talk)
        if leaf:
            found.setdefault((talk.port.owner, talk.port.number), (fingerprint(leaf), leaf))
    strange = {mark: leaf for mark, leaf in found.values() if mark not in known}
    answers = ask.all([read_certificate("/dev/stdin", leaf) for leaf in strange.values()])
    read = {
        mark: parse_certificate(told.stdout) if isinstance(told, CommandResult) else None
        for mark, told in zip(strange, answers, strict=True)
    }
    return tuple(
        Served(owner, port, mark, read.get(mark) or known.get(mark)) for (owner, port), (mark, _) in found.items()
    )


def _leaf(talk: Talk) -> str:
    certificate = None if isinstance(talk.transcript, Gap) else talk.transcript.certificate
    return certificate.chain[0] if certificate and certificate.chain else ""
