"""What is said of DKIM keys: the signers' settings, a key that opendkim-genkey(8) made, and the DNS."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from maildiag.facts.dkim import (
    OPENDKIM,
    RSPAMD,
    Dkim,
    PublishedKey,
    Signing,
    key_table,
    opendkim_settings,
    rspamd_keys,
)
from maildiag.facts.dkim import dkim as gather_dkim
from maildiag.facts.names import DomainRecords, PublicNames
from maildiag.facts.postfix import Postfix
from maildiag.facts.smtpd_certificate import public_key
from maildiag.model import Gap, GapReason, HostRole, Role, Status, Verdict
from maildiag.probes import DnsAnswer, DnsLookup, DnsStatus, Probe, ReadFile, Stat
from maildiag.testing import file, gather, info, judge, printed
from maildiag_checks.dkim import dkim

KEY = (
    "MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQC1u0SQbnqrlCE7fbw4B+sZJjLBBOl+ETjikkb5RW4GkvSn6YuNaA3jQMU76CZY0s8EEHVSiL7O"
    "Ayk8qqVPfL3xSI75WIN10PBNifLGfn85wB4r3x/Fk+WyApulcyz+6sVFHq6t8f/5ZD885mQA4vhhx15wjZTqWlRAi/xt/5q4VwIDAQAB"
)
PUBLIC = printed(
    f"-----BEGIN PUBLIC KEY-----\n{KEY[:64]}\n{KEY[64:128]}\n{KEY[128:192]}\n{KEY[192:]}\n-----END PUBLIC KEY-----\n"
)
RECORD = f'"v=DKIM1; h=sha256; k=rsa; " "p={KEY}"'
FILE = "/etc/opendkim/keys/mail.private"
SIGNING = Signing("example.test", "mail", FILE, "/etc/opendkim/KeyTable:1")
SPF = DnsAnswer(DnsStatus.ANSWER, ('"v=spf1 mx -all"',))
NOTHING = DnsAnswer(DnsStatus.NO_SUCH_NAME)
OUTSIDE = PublicNames((DomainRecords("example.test", NOTHING, SPF, NOTHING),), (), ())
INSIDE = PublicNames((DomainRecords("example.test", NOTHING, NOTHING, NOTHING),), (), ())
SERVER = HostRole(Role.MAIL_SERVER, "a test")
SIGNED = Postfix(
    True, "3.7", {"smtpd_milters": "inet:localhost:8891", "virtual_mailbox_domains": "example.test example.net"}
)

# opendkim.conf of Debian 12, the lines that are not comments, and what README.Debian has people add.
CONF = """\
Syslog\t\t\tyes
SyslogSuccess\t\tyes
Canonicalization\trelaxed/simple
Mode\t\t\tsv
OversignHeaders\t\tFrom
UserID\t\t\topendkim
Socket\t\t\tlocal:/run/opendkim/opendkim.sock
"""
ONE = f"{CONF}Domain example.test\nSelector mail # of this year\nKeyFile {FILE}\n"


def told(record: DnsAnswer | Gap, public: PublicNames | None = OUTSIDE, own: Any = PUBLIC) -> Verdict:
    (verdict,) = judge(dkim, Dkim((PublishedKey(SIGNING, record, own),)), public)
    return verdict


def published(text: str) -> DnsAnswer:
    return DnsAnswer(DnsStatus.ANSWER, (text,))


def test_the_key_that_signs_and_is_published_is_fine() -> None:
    verdict = told(published(RECORD))
    assert verdict.status is Status.OK
    assert "is the one that signs" in verdict.title


def test_a_key_whose_file_may_not_be_read_is_only_looked_up() -> None:
    assert told(published(RECORD), own=Gap(GapReason.DENIED, "denied", "needs root")).status is Status.OK


@pytest.mark.parametrize("text", ['"v=DKIM1; p="', f'"v=DKIM1; k=rsa; p={KEY[:-20]}"', '"v=DKIM1; k=rsa; p=AAAA"'])
def test_a_revoked_a_cut_and_another_key_are_warnings_with_the_record_to_publish(text: str) -> None:
    verdict = told(published(text))
    assert verdict.status is Status.WARNING
    assert f"p={KEY}" in verdict.fixes[0].ask
    assert not verdict.fixes[0].automatic


def test_an_absent_key_weighs_by_whether_the_view_of_the_dns_is_the_world_s() -> None:
    assert told(NOTHING, OUTSIDE).status is Status.WARNING
    assert told(NOTHING, INSIDE).status is Status.NOTICE
    assert told(NOTHING, None).status is Status.NOTICE


@pytest.mark.parametrize("answer", [DnsAnswer(DnsStatus.TIMEOUT), Gap(GapReason.TIMEOUT, "no answer")])
def test_a_look_up_that_fails_is_unknown_and_never_missing(answer: DnsAnswer | Gap) -> None:
    assert told(answer).status is Status.UNKNOWN


def test_a_host_without_a_signer_is_skipped() -> None:
    assert [each.status for each in judge(dkim, Dkim(()), OUTSIDE)] == [Status.SKIPPED]


def test_an_ed25519_key_is_published_as_its_last_bytes() -> None:
    spki = "MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE="
    own = printed(f"-----BEGIN PUBLIC KEY-----\n{spki}\n-----END PUBLIC KEY-----\n")
    record = published('"v=DKIM1; k=ed25519; p=Gb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE="')
    assert told(record, own=own).status is Status.OK


# -- the signers -------------------------------------------------------------------------------------------------------


def gathered(files: dict[str, str], there: tuple[str, ...] = (), postfix: Postfix = SIGNED) -> list[Signing]:
    answers: dict[Probe[Any], Any] = {
        ReadFile(path): Gap(GapReason.ABSENT, "no such file") for path in (OPENDKIM, *RSPAMD)
    }
    answers |= {ReadFile(path): file(text) for path, text in files.items()}
    answers |= {Stat(path): info(path) for path in there}
    found = gather(gather_dkim, answers, postfix=postfix, role=SERVER)
    assert isinstance(found, Dkim)
    return [each.signing for each in found.keys]


def test_the_settings_as_shipped_sign_nothing() -> None:
    assert opendkim_settings(CONF)["mode"] == "sv"
    assert gathered({OPENDKIM: CONF}) == []


def test_one_key_for_one_domain() -> None:
    assert gathered({OPENDKIM: ONE}) == [replace(SIGNING, place=OPENDKIM)]


def test_a_signer_that_only_verifies_or_that_no_mail_passes_signs_nothing() -> None:
    assert gathered({OPENDKIM: ONE.replace("sv", "v")}) == []
    assert gathered({OPENDKIM: ONE}, postfix=Postfix(True, "3.7", {})) == []


def test_a_key_table_names_domain_selector_and_file() -> None:
    table = f"# keys\nmail._domainkey.example.test example.test:mail:{FILE}\nall %:s1:/keys/%.key\nodd line\n"
    assert list(key_table(table, "/etc/opendkim/KeyTable", ["example.net"])) == [
        replace(SIGNING, place="/etc/opendkim/KeyTable:2"),
        Signing("example.net", "s1", "/keys/example.net.key", "/etc/opendkim/KeyTable:3", assumed=True),
    ]
    conf = f"{CONF}KeyTable refile:/etc/opendkim/KeyTable\nSigningTable refile:/etc/opendkim/SigningTable\n"
    found = gathered({OPENDKIM: conf, "/etc/opendkim/KeyTable": table}, there=("/keys/example.net.key",))
    assert [each.name for each in found] == [
        "mail._domainkey.example.test",
        "s1._domainkey.example.net",
    ]


def test_rspamd_signs_where_there_is_a_key() -> None:
    conf = 'path = "/var/lib/rspamd/dkim/$domain.$selector.key"; # selector stays dkim\n'
    key = "/var/lib/rspamd/dkim/example.net.dkim.key"
    assert gathered({RSPAMD[1]: conf}, there=(key,)) == [Signing("example.net", "dkim", key, RSPAMD[1], assumed=True)]


def test_rspamd_s_domains_may_have_several_selectors() -> None:
    conf = """
    selector = "main";
    domain {
      example.test { selectors [ { path = "/k/one.key"; selector = "ds"; }, { path = "/k/two.key"; selector = "ed"; } ] }
      example.net { path = "/k/net.key"; }
    }
    """
    found = [(each.domain, each.selector, each.key) for each in rspamd_keys(conf, RSPAMD[0], ["example.test"])]
    assert found == [
        ("example.test", "ds", "/k/one.key"),
        ("example.test", "ed", "/k/two.key"),
        ("example.net", "main", "/k/net.key"),
    ]


def test_the_key_is_asked_for_its_public_half_and_looked_up() -> None:
    answers: dict[Probe[Any], Any] = {ReadFile(OPENDKIM): file(ONE), public_key(FILE): PUBLIC}
    answers[DnsLookup("mail._domainkey.example.test", "TXT")] = published(RECORD)
    found = gather(gather_dkim, answers, postfix=SIGNED, role=SERVER)
    (verdict,) = judge(dkim, found, OUTSIDE)
    assert verdict.status is Status.OK
