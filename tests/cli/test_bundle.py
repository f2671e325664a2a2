"""Bundles: what they hold is shown first, holds no secret, and gives the same findings as the host."""

from __future__ import annotations

import gzip
import json
import stat
from pathlib import Path
from typing import Any

import pytest

from maildiag.hosts import bundle
from maildiag.hosts.local import LocalHost
from maildiag.model import Gap, GapReason, Reading
from maildiag.probes import CommandResult, DnsAnswer, DnsLookup, DnsStatus, FileText, Probe, ReadFile, command
from maildiag.pseudonyms import Pseudonyms
from maildiag.redact import cut_secrets, redacted
from maildiag.secrets import holds
from tests.support import NOW, maildiag, recorded

SECRETS = (
    "-----BEGIN RSA PRIVATE KEY-----\nMIIEpAIBAAKCAQEAhunter2\n-----END RSA PRIVATE KEY-----",
    "password = hunter2",
    "bind_password=hunter2 and",
    "dnpass = hunter2",
    "connect = host=localhost dbname=mail user=mail password=hunter2",
    "auth: Debug: client passdb out: given password: hunter2)",
    "PASS hunter2",
    "AUTH PLAIN AGFsaWNlAGh1bnRlcjI=",
    "mysql://mail:hunter2@db.example.test/mail",
    "smtp_sasl_password_maps = static:alice:hunter2",
    "alice:{SSHA512}hunter2hunter2hunter2hunter2:1000",
    "alice:$6$saltsalt$hunter2hunter2hunter2:19000:0",
    "api_key = hunter2",
    "ldap_bind_pw = hunter2",
    "postconf: warning: mysql:/etc/postfix/valias.cf: unused parameter: bind_pw=hunter2",
    "import_environment = MAIL_CONFIG DB_PASSWORD=hunter2",
    "import_environment = MAIL_CONFIG TOKEN=hunter2",
    "my_secret_thing = hunter2",
    "auth_policy_server_api_header = Authorization: Basic hunter2",
    "X: Authorization: Bearer hunter2",
    "uris=ldap://cn=admin:hunter2@h/",
    "//admin:hunter2@10.0.0.1/",
    "dict_mysql: connect to mysql server mail:hunter2@127.0.0.1 failed",
    "smtp_sasl_passwd_lookup: host `x' user `bob' pass `hunter2'",
    "  -o smtp_sasl_password_maps=inline:{{10.0.0.1=alice:hunter2}}",
    "smtp_sasl_password_maps = inline:{ { [relay.example.test]:587 = alice:hunter2 } }",
    "argv=/usr/bin/curl -u bot:hunter2 https://example.test",
    "argv=/usr/bin/hook --token=hunter2 --password hunter2 --api-key hunter2",
    'bot: "|/usr/local/bin/hook --api-key hunter2"',
    "#*.* :ommysql:localhost,Syslog,rsyslog,hunter2",
    'action(type="ommysql" server="db" uid="u" pwd="hunter2")',
)


@pytest.mark.parametrize("text", SECRETS)
def test_secrets_are_cut(text: str) -> None:
    told = cut_secrets(text)
    assert "hunter2" not in told
    assert "aGh1bnRlcjI" not in told.replace("AGFsaWNlAGh1bnRlcjI", "aGh1bnRlcjI")


@pytest.mark.parametrize(
    "text",
    [
        "smtp_sasl_password_maps = hash:/etc/postfix/sasl_passwd",
        "smtp_sasl_password_maps =",
        "passdb {\n  driver = pam\n}",
        "disable_plaintext_auth = no",
        "auth_mechanisms = plain login",
        "warning: SASL authentication failure: Password verification failed",
        "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----",
        "password authentication is disabled",
        "transport_maps = inline:{{x.test=smtp:[10.0.0.9]}}",
        "virtual_mailbox_domains = inline:{{example.test=x}}",
        "to=<alice@example.test>, relay=mx.example.test[10.0.0.9]:25, status=sent",
        "default_password_scheme = plain",
    ],
)
def test_what_is_no_secret_stays(text: str) -> None:
    assert cut_secrets(text) == text


@pytest.mark.parametrize(
    "path",
    [
        "/etc/shadow",
        "/etc/ssl/private/mail.pem",
        "/etc/letsencrypt/live/mail.example.test/privkey.pem",
        "/etc/postfix/sasl_passwd",
        "/etc/postfix/sasl_passwd.db",
        "/etc/postfix/sasl/passwd",
        "/etc/postfix/mysql-virtual_forwardings.cf",
        "/etc/postfix/ldap-aliases.cf",
        "/etc/postfix/sql/mysql_virtual_alias_maps.cf",
        "/etc/dovecot/users",
        "/etc/dovecot/dovecot-sql.conf.ext",
        "/etc/dovecot/dovecot-ldap.conf.ext",
        "/etc/dkimkeys/mail.private",
        "/etc/sasldb2",
        "/root/.my.cnf",
    ],
)
def test_files_that_hold_secrets_are_never_opened(path: str) -> None:
    assert holds(path)
    answer = LocalHost().ask(ReadFile(path))
    assert isinstance(answer, Gap)
    assert "never read" in answer.detail


@pytest.mark.parametrize(
    "path",
    ["/etc/postfix/main.cf", "/etc/postfix/master.cf", "/etc/passwd", "/etc/aliases", "/etc/postfix/virtual", "/etc/hosts",
     "/etc/dovecot/dovecot.conf", "/etc/dovecot/conf.d/10-auth.conf", "/etc/dovecot/conf.d/auth-passwdfile.conf.ext",
     "/etc/ssl/certs/mail.pem", "/var/log/mail.log", "/etc/resolv.conf"],
)  # fmt: skip
def test_files_that_hold_none_may_be_read(path: str) -> None:
    assert not holds(path)


LOG = """\
Nov 23 03:10:01 mail postfix/smtpd[812]: connect from app01.customer.test[203.0.113.20]
Nov 23 03:10:02 mail postfix/smtp[813]: 4jXPn42hhhzKP9j: to=<alice.smith@customer.test>, relay=mx.partner.test[198.51.100.9]:25, status=sent
Nov 23 03:10:03 mail dovecot: imap-login: Login: user=<alice.smith>, method=PLAIN, rip=93.184.216.34, lip=10.0.1.10
Nov 23 03:10:04 mail postfix/smtp[813]: connect to gmail-smtp-in.l.google.com[142.250.1.26]:25: Connection timed out
"""


def host() -> dict[Probe[Any], Any]:
    settings = "myhostname = srv7.customer.test\nmydomain = customer.test\nmynetworks = 10.0.1.0/24 93.184.216.0/24\n"
    return {
        command("postconf", "-x"): Reading(CommandResult(0, settings, ""), NOW, 0.01),
        ReadFile("/var/log/mail.log"): Reading(FileText(LOG, len(LOG), NOW), NOW, 0.01),
        DnsLookup("customer.test", "MX"): Reading(DnsAnswer(DnsStatus.ANSWER, ("10 srv7.customer.test.",)), NOW, 0.01),
        command("doveadm", "user", "alice.smith"): Gap(GapReason.DENIED, "doveadm user alice.smith", "needs root"),
    }


def test_pseudonyms_leave_no_name_and_keep_relations() -> None:
    kept = host()
    changed = redacted(kept, Pseudonyms(kept, b"key"))
    text = repr(changed)
    for name in ("customer", "alice", "srv7", "app01", "partner", "93.184.216"):
        assert name not in text
    for name in ("google.com", "10.0.1.0/24", "10.0.1.10", "4jXPn42hhhzKP9j", "myhostname", "/var/log/mail.log"):
        assert name in text
    (lookup,) = [each for each in changed if isinstance(each, DnsLookup)]
    postconf = changed[command("postconf", "-x")]
    assert isinstance(postconf, Reading)
    assert f"mydomain = {lookup.name}\n" in postconf.value.stdout


def test_units_and_settings_are_no_people() -> None:
    units = "Id=user@0.service\nId=container-getty@1.service\nId=postfix@-.service\nuser = vmail\nuser:\nmode = 0660\n"
    kept: dict[Probe[Any], Any] = {
        command("systemctl", "show"): Reading(CommandResult(0, units, ""), NOW, 0.01)
    } | host()
    assert Pseudonyms(kept, b"key")(units) == units


@pytest.mark.parametrize(
    "version", ["2.3.19.1 (9b53102964)", "# 2.3.19.1 (9b53102964): /etc/dovecot/dovecot.conf", "1:2.3.19.1+dfsg1-2.1"]
)
def test_a_version_of_four_numbers_is_no_address(version: str) -> None:
    assert Pseudonyms(host(), b"key")(version) == version


def test_addresses_of_one_network_stay_in_one_network() -> None:
    import ipaddress

    names = Pseudonyms(host(), b"key")
    network, address = names("93.184.216.0/24"), names("93.184.216.34")
    assert ipaddress.ip_address(address) in ipaddress.ip_network(network)
    assert names("34.216.184.93.in-addr.arpa") == ".".join(reversed(address.split("."))) + ".in-addr.arpa"
    assert names("2606:2800:220:1::25") != "2606:2800:220:1::25"
    assert names("fe80::1 ::1 127.0.0.1 03:10:04") == "fe80::1 ::1 127.0.0.1 03:10:04"


def test_a_bundle_is_private_whole_and_answers_as_the_host_did(tmp_path: Path) -> None:
    path = tmp_path / "host.jsonl.gz"
    ran = maildiag("bundle", "-o", path)
    assert (ran.status, ran.out) == (0, ""), ran.err
    assert "postconf -x" in ran.err
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert json.loads(gzip.decompress(path.read_bytes()).splitlines()[0])["schema"] == bundle.SCHEMA
    assert maildiag("run", "--json", "--bundle", path).status in (0, 1, 2, 3)


@pytest.mark.parametrize("pseudonymise", [False, True])
def test_a_redacted_bundle_gives_the_same_findings(tmp_path: Path, pseudonymise: bool) -> None:
    first = recorded(tmp_path / "first.jsonl")
    arguments = ["--pseudonymise"] if pseudonymise else []
    ran = maildiag("bundle", "--bundle", first, "-o", tmp_path / "second.jsonl", *arguments)
    assert "tells something else" not in ran.err
    told = [json.loads(maildiag("run", "--json", "--bundle", each).out) for each in (first, tmp_path / "second.jsonl")]
    assert [(each["id"], each["status"]) for each in told[0]["findings"]] == [
        (each["id"], each["status"]) for each in told[1]["findings"]
    ]


def test_a_bundle_without_a_place_is_bad_usage_and_a_full_disk_is_told(tmp_path: Path) -> None:
    assert maildiag("bundle").status == 64
    assert maildiag("bundle", "-o", "/nonexistent/x").status == 64
    assert maildiag("bundle", "--list").status == 0


def test_a_file_that_is_no_bundle_is_refused(tmp_path: Path) -> None:
    for text in (b"", b"{}", b"[]\n", b"\x1f\x8bbroken", b"\xff\xfe", b'{"schema": "maildiag.bundle/1"}\n'):
        path = tmp_path / "file"
        path.write_bytes(text)
        ran = maildiag("run", "--bundle", path)
        assert ran.status == 64, text
        assert "Traceback" not in ran.err
        assert "internal error" not in ran.err
