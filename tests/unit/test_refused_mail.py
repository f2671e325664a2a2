"""Refusals in the log: own clients that are turned away, and people who are called unknown. The lines are of the lab."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from maildiag.facts.accounts import Account, Accounts
from maildiag.facts.mail_log import MailLog
from maildiag.facts.tables import Table, Tables
from maildiag.lint.access import address_keys, client_keys, decision
from maildiag.lint.tables import TableUse
from maildiag.model import Status, Verdict
from maildiag.testing import file, info, judge
from maildiag_checks.refused_mail import own_clients
from maildiag_checks.refused_recipients import recipients
from tests.unit.postfix_files import config, recorded
from tests.unit.recorded import log

NOON = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
HEAD = "2026-11-22T11:59:55.333253+00:00 mail postfix/smtpd[231]: NOQUEUE: reject: RCPT from app01.example.test[10.0.1.20]: "
TAIL = "; from=<alice@example.test> to=<alice@example.test> proto=ESMTP helo=<app01.example.test>"
NETWORKS = "mynetworks = 127.0.0.0/8 10.0.1.0/24"
FORGED = "554 5.7.1 <alice@example.test>: Sender address rejected: you are not us"
BOGON = "554 5.7.1 <app01.example.test[10.0.1.20]>: Client host rejected: private address from outside"
DENIED = "554 5.7.1 <app01.example.test[10.0.1.20]>: Client host rejected: Access denied"
UNKNOWN = "550 5.1.1 <alice@example.test>: Recipient address rejected: User unknown in virtual alias table"
ALICE = Accounts((Account("alice", 1001, 1001, "/home/alice", "/bin/bash"),))


def table(path: str, kind: str, text: str, user: str) -> Table:
    return Table(use=TableUse(kind, path, user), users=(user,), source=info(path), text=file(text))


def said(line: str) -> MailLog:
    return log(line + "\n", "", NOON)


def clients(reason: str, *lines: str, tables: tuple[Table, ...] = ()) -> list[Verdict]:
    return judge(own_clients, said(HEAD + reason + TAIL), config(NETWORKS, *lines), None, Tables(tables))


def test_a_rule_against_forged_senders_that_meets_an_own_server_is_named_with_its_line() -> None:
    path, setting = "/etc/postfix/sender_access", "smtpd_sender_restrictions"
    access = table(path, "hash", "# forged\nexample.test REJECT you are not us\n", setting)
    (verdict,) = clients(FORGED, f"{setting} = check_sender_access hash:{path}", tables=(access,))
    assert (verdict.status, verdict.subject) == (Status.CRITICAL, setting)
    assert "app01.example.test[10.0.1.20]" in verdict.title
    assert f"{path} line 2" in verdict.title
    assert not any(fix.automatic for fix in verdict.fixes)


def test_a_network_of_bogons_is_found_by_the_clients_address() -> None:
    path, setting = "/etc/postfix/bogons.cidr", "smtpd_client_restrictions"
    access = table(path, "cidr", "10.0.0.0/8 REJECT private address from outside\n", setting)
    (verdict,) = clients(BOGON, f"{setting} = check_client_access cidr:{path}", tables=(access,))
    assert f"{path} line 1" in verdict.title


def test_a_plain_reject_is_named_with_its_list() -> None:
    (verdict,) = clients(DENIED, "smtpd_client_restrictions = permit_sasl_authenticated, reject")
    assert verdict.subject == "smtpd_client_restrictions"
    assert "reject" in verdict.title


SUBMISSION = """submission inet n - y - - smtpd
  -o syslog_name=postfix/submission
  -o smtpd_relay_restrictions=permit_sasl_authenticated,reject
"""
AT_587 = HEAD.replace("postfix/smtpd", "postfix/submission/smtpd")


def at_submission(reason: str, options: str, *lines: str) -> Verdict:
    master = recorded("master.cf", "debian12") + SUBMISSION + options
    made = config(NETWORKS, *lines, master=master)
    (verdict,) = judge(own_clients, said(AT_587 + reason + TAIL), made, None, Tables(()))
    return verdict


def test_the_list_of_a_service_in_master_cf_is_named_and_mended_there() -> None:
    told = at_submission(
        DENIED, "  -o smtpd_client_restrictions=reject\n", "smtpd_client_restrictions = permit_mynetworks"
    )
    assert told.subject == "submission/inet/smtpd_client_restrictions"
    assert "smtpd_client_restrictions of submission/inet in master.cf: reject" in told.title
    assert told.evidence[0].text.endswith("-o smtpd_client_restrictions=reject")
    assert told.fixes[0].commands[0] == (
        "postconf",
        "-P",
        "submission/inet/smtpd_client_restrictions=permit_sasl_authenticated,reject",
    )
    assert told.fixes[0].changes == ("/etc/postfix/master.cf",)


def test_a_client_without_a_login_is_refused_where_logins_alone_are_let_in() -> None:
    options = "  -o smtpd_client_restrictions=permit_sasl_authenticated,reject\n"
    told = at_submission(DENIED, options)
    assert told.status is Status.WARNING
    assert told.title.endswith("for it has not logged in")
    assert not told.fixes


def test_a_list_that_the_service_leaves_to_main_cf_is_main_cf_s() -> None:
    told = at_submission(DENIED, "", "smtpd_client_restrictions = permit_sasl_authenticated, reject")
    assert told.subject == "smtpd_client_restrictions"
    assert told.fixes[0].commands[0][:2] == ("postconf", "-e")


def test_an_address_that_is_another_login_s_is_no_matter_of_order() -> None:
    owned = "553 5.7.1 <bob@example.test>: Sender address rejected: not owned by user bob"
    options = "  -o smtpd_sender_restrictions=reject_sender_login_mismatch\n"
    told = at_submission(owned, options, "smtpd_sender_login_maps = hash:/etc/postfix/lm")
    assert told.subject == "smtpd_sender_login_maps"
    assert "hash:/etc/postfix/lm" in told.title
    assert [each.commands for each in told.fixes] == [()]


# Recorded on Debian 12: a HELO rule behind a client rule whose name ends in hostname, too.
SHORT = "504 5.5.2 <app01>: Helo command rejected: need fully-qualified hostname"
HELO_RULES = (
    "smtpd_client_restrictions = permit_mynetworks, reject_unknown_reverse_client_hostname",
    "smtpd_helo_restrictions = reject_invalid_helo_hostname, reject_non_fqdn_helo_hostname, reject_unknown_helo_hostname",
)


@pytest.mark.parametrize(
    ("reason", "name", "word"),
    [
        (SHORT, "smtpd_helo_restrictions", "reject_non_fqdn_helo_hostname"),
        (
            "450 4.7.1 <app01>: Helo command rejected: Host not found",
            "smtpd_helo_restrictions",
            "reject_unknown_helo_hostname",
        ),
        (
            "450 4.7.25 Client host rejected: cannot find your reverse hostname, [10.0.1.20]",
            "smtpd_client_restrictions",
            "reject_unknown_reverse_client_hostname",
        ),
    ],
)
def test_the_rule_that_says_these_words_is_named(reason: str, name: str, word: str) -> None:
    (verdict,) = clients(reason, *HELO_RULES)
    assert (verdict.subject, verdict.data["restriction"]) == (name, word)
    assert bool(verdict.fixes) is (name == "smtpd_helo_restrictions")  # permit_mynetworks is first in the other already


def test_strangers_may_be_refused() -> None:
    (verdict,) = judge(
        own_clients, said(HEAD.replace("10.0.1.20", "192.0.2.7") + DENIED + TAIL), config(NETWORKS), None, None
    )
    assert verdict.status is Status.OK


def test_a_wrong_recipient_is_the_clients_own_fault() -> None:
    (verdict,) = clients(UNKNOWN)
    assert verdict.status is Status.OK


@pytest.mark.parametrize(
    "reason",
    [
        "450 4.1.1 <x@example.test>: Recipient address rejected: undeliverable address: host mx said: 550 no such user",
        "504 5.5.2 <root>: Sender address rejected: need fully-qualified address",
        "550 5.1.1 <x@example.test>: Recipient address rejected: User unknown in local recipient table",
    ],
)
def test_an_address_that_is_wrong_in_itself_is_the_clients_fault(reason: str) -> None:
    (verdict,) = clients(reason)
    assert verdict.status is Status.OK


def test_a_policy_service_that_failed_is_no_rule_against_the_client() -> None:
    broken = "451 4.3.5 <app01.example.test[10.0.1.20]>: Client host rejected: Server configuration problem"
    (verdict,) = clients(broken)
    assert verdict.status is Status.OK


def test_somebody_with_an_account_who_is_called_unknown_is_critical() -> None:
    lines = ("mydomain = example.test", "virtual_alias_domains = example.test")
    (verdict,) = judge(recipients, said(HEAD + UNKNOWN + TAIL), config(*lines), None, ALICE)
    assert (verdict.status, verdict.subject) == (Status.CRITICAL, "virtual_alias_domains")
    assert "alice@example.test" in verdict.title


def test_an_unknown_recipient_without_an_account_is_everyday() -> None:
    told = (HEAD + UNKNOWN + TAIL).replace("alice@", "nobody-here@")
    (verdict,) = judge(recipients, said(told), config("mydomain = example.test"), None, ALICE)
    assert verdict.status is Status.OK


def test_local_recipient_maps_without_the_accounts_are_set_back_to_the_default() -> None:
    reason = UNKNOWN.replace("virtual alias", "local recipient")
    lines = ("mydomain = example.test", "local_recipient_maps = $alias_maps")
    (verdict,) = judge(recipients, said(HEAD + reason + TAIL), config(*lines), None, ALICE)
    assert verdict.subject == "local_recipient_maps"
    assert verdict.fixes[0].automatic


def test_without_the_accounts_nothing_is_judged() -> None:
    (verdict,) = judge(recipients, said(HEAD + UNKNOWN + TAIL), config(), None, None)
    assert verdict.status is Status.SKIPPED


def test_access_tables_are_read_as_smtpd_reads_them() -> None:
    found = decision("/^info@/ DUNNO\n/example/ 550 no\n", "regexp", address_keys("alice@example.test"))
    assert found is not None
    assert (found.number, found.refuses) == (2, True)
    assert decision("10.0.1 REJECT\n", "hash", client_keys("unknown", "10.0.1.20")) is not None
    assert decision(".example.test OK\n", "hash", client_keys("app01.example.test", "10.0.1.20")) is not None
    assert decision("!10.0.0.0/8 REJECT\n", "cidr", client_keys("unknown", "10.0.1.20")) is None
    assert decision("other.test REJECT\n", "hash", address_keys("alice@example.test")) is None
