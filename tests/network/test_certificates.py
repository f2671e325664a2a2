"""What is said of certificates, from what openssl printed on real hosts."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from maildiag.asking import gather_alone
from maildiag.dovecot.syntax import parse
from maildiag.dovecot.tree import build
from maildiag.facts import tls as facts
from maildiag.facts.dovecot import Dovecot, DovecotConfig
from maildiag.facts.postfix import Postfix
from maildiag.facts.smtpd_certificate import public_key, read_certificate
from maildiag.facts.sockets import Owner
from maildiag.facts.tls import (
    CertificateFile,
    Certificates,
    Certified,
    Configured,
    Served,
    fingerprint,
    parse_certificate,
)
from maildiag.model import Gap, GapReason, HostRole, Role, Status, Verdict
from maildiag.probes import Command, CommandResult, Directory, Identity, ListDirectory, Probe, ReadFile, Stat, command
from maildiag.settings import Settings
from maildiag.testing import TableHost, file, gather, info, judge, printed
from maildiag_checks import certificate
from tests.network.recorded import RELEASES, text

PATH, KEY = "/etc/ssl/certs/mail.example.test.pem", "/etc/ssl/private/mail.example.test.key"
POSTFIX = Postfix(True, "3.7", {"myhostname": "mail.example.test", "mydomain": "example.test"})
both_releases = pytest.mark.parametrize("release", RELEASES)


def certified(release: str = "debian12") -> Certified:
    found = parse_certificate(text(release, "x509.txt"))
    assert found is not None
    return found


def on_disk(release: str = "debian12") -> CertificateFile:
    return CertificateFile(
        Configured(Owner.POSTFIX, "smtpd_tls_cert_file", PATH, KEY),
        file(text(release, "certificate.pem")),
        printed(text(release, "x509.txt")),
        certified(release),
        info(KEY, 0o640, "root", "ssl-cert"),
        printed(text(release, "pkey.txt")),
        printed(f"{PATH}: OK\n"),
    )


def told(
    found: CertificateFile, now: datetime, *served: Served, settings: Mapping[str, str] = POSTFIX.settings
) -> Verdict:
    identity = Identity("mail", "Linux", now, now, True)
    (verdict,) = judge(
        certificate.certificate,
        Certificates((found,), served),
        identity,
        Settings(),
        replace(POSTFIX, settings=settings),
        None,
        None,
    )
    return verdict


def test_a_chain_that_is_good_by_the_directory_of_cas_is_not_verified_again() -> None:
    assert questions_of(printed(f"{PATH}: OK")) == ["-no-CAfile"]


def test_a_chain_that_the_directory_does_not_know_is_verified_by_all_cas() -> None:
    for answer in (printed(stderr="unable to get local issuer certificate", status=2), Gap(GapReason.TIMEOUT, "")):
        assert questions_of(answer) == ["-no-CAfile", "-untrusted"]


def questions_of(answer: CommandResult | Gap) -> list[str]:
    """The first option of each `openssl verify` where the quick one is answered so."""
    quick = command("openssl", "verify", "-no-CAfile", "-no-CAstore", "-untrusted", PATH, PATH)
    host = TableHost({quick: answer})
    postfix = Postfix(True, "3.7", {"smtpd_tls_cert_file": PATH})
    role = HostRole(Role.MAIL_SERVER, "a test")
    gather_alone(facts.certificate_files, host, {"postfix": postfix, "dovecot": None, "role": role})
    return [each.argv[2] for each in host.asked if isinstance(each, Command) and each.argv[1] == "verify"]


def soon(found: CertificateFile) -> datetime:
    assert found.certified is not None
    return found.certified.not_before + timedelta(days=1)


@both_releases
def test_openssl_s_words_are_read(release: str) -> None:
    found = certified(release)
    assert found.names == ("mail.example.test", "example.test")
    assert found.not_after > found.not_before
    assert found.not_after.tzinfo is UTC
    assert not found.self_signed
    snakeoil = parse_certificate(text(release, "snakeoil.txt"))
    assert snakeoil is not None
    assert snakeoil.self_signed


@both_releases
def test_a_certificate_in_order_is_fine(release: str) -> None:
    found = on_disk(release)
    assert told(found, soon(found)).status is Status.OK


def chains(**answers: CommandResult) -> list[tuple[str, str]]:
    """(chain, key) of each configured certificate, from what openssl said of the files in smtpd_tls_chain_files."""
    postfix = Postfix(True, "3.7", {"smtpd_tls_chain_files": "/le/privkey.pem, /le/fullchain.pem"})
    asked: dict[Probe[Any], Any] = {read_certificate("/le/privkey.pem"): answers["key_as_certificate"], read_certificate("/le/fullchain.pem"): answers["chain"],
             public_key("/le/privkey.pem"): answers["key"], public_key("/le/fullchain.pem"): answers["chain_as_key"]}  # fmt: skip
    server = HostRole(Role.MAIL_SERVER, "test")
    found = gather(facts.certificate_files, asked, postfix=postfix, dovecot=None, role=server)
    assert isinstance(found, facts.CertificateFiles)
    return [(each.configured.path, each.configured.key) for each in found.files]


@both_releases
def test_a_key_and_its_chain_in_two_files_belong_together(release: str) -> None:
    no = printed("", "Could not find certificate from /le/privkey.pem", 1)
    x509, pkey = printed(text(release, "x509.txt")), printed(text(release, "pkey.txt"))
    assert chains(key_as_certificate=no, chain=x509, key=pkey, chain_as_key=no) == [
        ("/le/fullchain.pem", "/le/privkey.pem")
    ]


def test_a_key_that_only_root_may_read_is_not_looked_for_in_the_chain() -> None:
    no, denied = printed("", "Could not find private key", 1), printed("", "Can't open: Permission denied", 1)
    x509 = printed(text("debian12", "x509.txt"))
    assert ("/le/fullchain.pem", "") in chains(key_as_certificate=denied, chain=x509, key=denied, chain_as_key=no)


def test_a_missing_file_is_critical_and_an_unreadable_one_unknown() -> None:
    found = on_disk()
    now = soon(found)
    assert told(replace(found, text=Gap(GapReason.ABSENT, "no such file")), now).status is Status.CRITICAL
    denied = replace(found, text=Gap(GapReason.DENIED, "denied", "needs root"), certified=None)
    assert told(denied, now).status is Status.UNKNOWN


def test_a_chain_with_its_key_is_never_read_and_openssl_alone_tells_of_it() -> None:
    now = soon(on_disk())
    kept = Gap(GapReason.FAILED, f"{KEY} holds a private key and is never read")
    nothing = printed(
        stderr=f"Could not open file or uri for loading certificate from {KEY}: No such file or directory", status=1
    )
    gone = told(replace(on_disk(), text=kept, read=nothing, certified=None), now)
    assert (gone.status, gone.title.rpartition(" of ")[2]) == (Status.CRITICAL, "Postfix does not exist")
    closed = printed(
        stderr=f"Could not open file or uri for loading certificate from {KEY}: Permission denied", status=1
    )
    assert told(replace(on_disk(), text=kept, read=closed, certified=None), now).status is Status.UNKNOWN
    assert told(replace(on_disk(), text=kept), now).status is Status.OK


def test_text_that_is_no_certificate_is_critical() -> None:
    found = replace(on_disk(), certified=None, read=printed("", "Could not read certificate", 1))
    assert told(found, datetime(2026, 12, 1, tzinfo=UTC)).status is Status.CRITICAL


def test_a_key_of_another_certificate_is_critical() -> None:
    snakeoil = parse_certificate(text("debian12", "snakeoil.txt"))
    assert snakeoil is not None
    found = replace(on_disk(), public_key=printed(snakeoil.public_key + "\n"))
    verdict = told(found, soon(found))
    assert verdict.status is Status.CRITICAL
    assert "does not belong" in verdict.title


def test_a_key_that_we_may_not_read_is_no_verdict() -> None:
    found = replace(on_disk(), public_key=printed("", "Can't open: Permission denied", 1))
    assert told(found, soon(found)).status is Status.OK


def test_a_key_for_everybody_is_protected() -> None:
    found = replace(on_disk(), key_info=info(KEY, 0o644))
    verdict = told(found, soon(found))
    assert verdict.fixes[0].commands == (("chmod", "640", KEY),)
    assert verdict.fixes[0].undo == (("chmod", "644", KEY),)


def test_a_key_that_only_its_directory_shuts_is_shut() -> None:
    assert (
        told(replace(on_disk(), key_info=info(KEY, 0o644), shut_by="/etc/ssl/private"), soon(on_disk())).status
        is Status.OK
    )


@pytest.mark.parametrize(("private", "shut"), [(0o710, "/etc/ssl/private"), (0o755, "")])
def test_the_directories_on_the_way_to_the_key_are_looked_at(private: int, shut: str) -> None:
    answers: dict[Probe[Any], Any] = {
        Stat(KEY): info(KEY, 0o644),
        Stat("/etc/ssl/private"): info("/etc/ssl/private", private),
    }
    answers |= {Stat(each): info(each, 0o755) for each in ("/etc", "/etc/ssl")}
    postfix = Postfix(True, "3.7", {"smtpd_tls_cert_file": PATH, "smtpd_tls_key_file": KEY})
    role = HostRole(Role.MAIL_SERVER, "a test")
    given = {"postfix": postfix, "dovecot": None, "role": role}
    found = gather_alone(facts.certificate_files, TableHost(answers), given)
    assert [each.shut_by for each in found.files] == [shut]


def test_a_link_to_nowhere_is_told_with_the_file_that_it_could_lead_to() -> None:
    live, archive = "/etc/letsencrypt/live/mail", "/etc/letsencrypt/archive/mail"
    link = replace(info(f"{live}/fullchain.pem"), link_to="../../archive/mail/fullchain1.pem")
    answers: dict[Probe[Any], Any] = {
        ReadFile(f"{live}/fullchain.pem"): Gap(GapReason.ABSENT, "no such file"),
        ListDirectory(live): Directory((link,), False),
        ListDirectory(archive): Directory((info(f"{archive}/fullchain2.pem"), info(f"{archive}/privkey2.pem")), False),
    }
    postfix = Postfix(True, "3.7", {"smtpd_tls_cert_file": f"{live}/fullchain.pem"})
    given = {"postfix": postfix, "dovecot": None, "role": HostRole(Role.MAIL_SERVER, "a test")}
    found = gather_alone(facts.certificate_files, TableHost(answers), given)
    verdict = told(found.files[0], soon(on_disk()))
    assert verdict.title.endswith(f"is a link to {archive}/fullchain1.pem, which does not exist")
    assert f"ln -sfn {archive}/fullchain2.pem {live}/fullchain.pem" in verdict.fixes[0].ask


@both_releases
def test_a_chain_that_begins_with_its_issuer_is_told(release: str) -> None:
    ca, mine = "-----BEGIN CERTIFICATE-----\nCA\n-----END CERTIFICATE-----", fake_pem("MINE")
    issuer = text(release, "x509.txt").replace("subject=CN=mail.example.test", "subject=CN=Lab CA")
    issuer = re.sub(r"(-----BEGIN PUBLIC KEY-----\n).", r"\1X", issuer)
    answers: dict[Probe[Any], Any] = {
        ReadFile(PATH): file(f"{ca}\n{mine}\n"),
        read_certificate(PATH): printed(issuer),
        read_certificate("/dev/stdin", mine): printed(text(release, "x509.txt")),
        public_key(KEY): printed(text(release, "pkey.txt")),
        Stat(KEY): info(KEY, 0o640),
    }
    postfix = Postfix(True, "3.7", {"smtpd_tls_cert_file": PATH, "smtpd_tls_key_file": KEY})
    given = {"postfix": postfix, "dovecot": None, "role": HostRole(Role.MAIL_SERVER, "a test")}
    found = gather_alone(facts.certificate_files, TableHost(answers), given)
    verdict = told(found.files[0], soon(on_disk()))
    assert "are in the wrong order" in verdict.title
    assert "at place 2" in verdict.title


def fake_pem(body: str) -> str:
    return f"-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----"


def test_dovecot_s_key_is_the_last_that_any_of_its_files_names() -> None:
    settings = "ssl_cert = </a/mail.pem\nssl_key = </a/mail.key\nssl_cert = </b/new.pem\nssl_key = </b/new.key\n"
    inner = "local_name imap.example.test {\n  ssl_key = </c/other.key\n}\n"
    source = build(parse(settings + inner, "/etc/dovecot/conf.d/99-ssl.conf"))
    told = Dovecot(True, "2.3.19.1", "ssl_cert = </b/new.pem\nssl_key = # hidden, use -P to show it\n")
    given: dict[str, Any] = {"postfix": None, "dovecot": told, "role": HostRole(Role.MAIL_SERVER, "a test")}
    given["config"] = DovecotConfig("2.3.19.1", source, source)
    found = gather_alone(facts.certificate_files, TableHost({}), given)
    assert [(each.configured.path, each.configured.key) for each in found.files] == [("/b/new.pem", "/b/new.key")]


def test_the_weightiest_of_what_is_wrong_is_told() -> None:
    found = replace(on_disk(), key_info=info(KEY, 0o644))
    assert found.certified is not None
    assert told(found, found.certified.not_after + timedelta(days=1)).status is Status.CRITICAL


def test_time_decides_by_the_host_s_own_clock() -> None:
    found = on_disk()
    assert found.certified is not None
    begin, end = found.certified.not_before, found.certified.not_after
    assert told(found, end + timedelta(days=1)).status is Status.CRITICAL
    assert told(found, begin - timedelta(days=1)).explained_by == ("services.clock",)
    assert told(found, end - timedelta(days=5)).status is Status.WARNING
    assert told(found, end - timedelta(days=30)).status is Status.OK


def test_a_certificate_for_another_name_is_told() -> None:
    found = replace(on_disk(), certified=replace(certified(), names=("www.example.net",)))
    assert told(found, soon(found)).status is Status.WARNING


def test_a_name_in_one_of_the_domains_that_the_host_serves_is_what_clients_use() -> None:
    found = replace(on_disk(), certified=replace(certified(), names=("mail.example.net",)))
    postfix = {**POSTFIX.settings, "virtual_mailbox_domains": "example.net"}
    assert told(found, soon(found), settings=postfix).status is Status.OK
    postfix = {**POSTFIX.settings, "virtual_mailbox_domains": "mysql:/etc/postfix/domains.cf"}
    assert told(found, soon(found), settings=postfix).status is Status.NOTICE


def test_a_wildcard_covers_one_label() -> None:
    wild = replace(certified(), names=("*.example.test",))
    assert wild.covers("mail.example.test")
    assert not wild.covers("a.b.example.test")


def test_a_self_signed_certificate_is_only_noted() -> None:
    snakeoil = parse_certificate(text("debian12", "snakeoil.txt"))
    found = replace(on_disk(), certified=snakeoil, public_key=None, verified=printed("", "error 18", 2))
    assert told(found, soon(found)).status is Status.NOTICE


def test_a_missing_intermediate_is_told_where_it_is_there() -> None:
    broken = printed("", "error 20 at 0 depth lookup: unable to get local issuer certificate", 2)
    found = replace(on_disk(), verified=broken)
    assert told(found, soon(found)).status is Status.NOTICE
    leaf = text("debian12", "certificate.pem").split("-----END CERTIFICATE-----")[0] + "-----END CERTIFICATE-----\n"
    found = replace(on_disk(), verified=broken, text=file(leaf), repaired_by="/etc/ssl/certs/chain.pem")
    verdict = told(found, soon(found))
    assert verdict.status is Status.WARNING
    assert "/etc/ssl/certs/chain.pem" in verdict.detail


def test_what_is_served_must_be_what_is_on_disk() -> None:
    found = on_disk()
    same = Served(Owner.POSTFIX, 25, found.fingerprint, found.certified)
    other = Served(Owner.POSTFIX, 25, "00", certified())
    assert told(found, soon(found), same).status is Status.OK
    verdict = told(found, soon(found), other)
    assert verdict.status is Status.WARNING
    assert verdict.fixes[0].commands == (("systemctl", "reload", "postfix"),)
    assert told(found, soon(found), replace(other, owner=Owner.DOVECOT)).status is Status.OK


def test_encryption_without_a_certificate_is_a_deadlock() -> None:
    postfix = replace(POSTFIX, settings={**POSTFIX.settings, "smtpd_tls_security_level": "encrypt"})
    now = datetime(2026, 12, 1, tzinfo=UTC)
    identity = Identity("mail", "Linux", now, now, True)
    (verdict,) = judge(certificate.certificate, Certificates((), ()), identity, Settings(), postfix, None, None)
    assert verdict.status is Status.CRITICAL


def test_a_fingerprint_is_of_the_leaf() -> None:
    assert on_disk().fingerprint == fingerprint(text("debian12", "certificate.pem"))
    assert fingerprint("nothing") == ""


def test_the_rest_of_a_chain_is_looked_for_in_files_named_like_the_certificate_and_not_among_the_roots() -> None:
    roots = [replace(info(f"/etc/ssl/certs/{name}"), link_to=f"/usr/share/ca-certificates/mozilla/{name}")
             for name in ("Actalis_Authentication_Root_CA.pem", "Amazon_Root_CA_1.pem")]  # fmt: skip
    others = [info(f"/etc/ssl/certs/{name}") for name in ("a.chain.pem", "ca.crt", "mail.chain.pem", "mail.key")]
    found = facts._beside(PATH, Directory((*roots, *others)))
    assert found == ["/etc/ssl/certs/mail.chain.pem", "/etc/ssl/certs/a.chain.pem", "/etc/ssl/certs/ca.crt"]
