"""The checks of Dovecot, authentication and mailboxes: facts in, findings out."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from maildiag.dovecot.refusal import parse_refusal
from maildiag.dovecot.syntax import parse
from maildiag.dovecot.tree import build
from maildiag.facts.accounts import Account, Accounts
from maildiag.facts.closed_accounts import PAM_LOG, ClosedAccount, ClosedAccounts, closed_accounts, expired
from maildiag.facts.dovecot import SECRETS, Dovecot, DovecotConfig
from maildiag.facts.dovecot import dovecot_config as dovecot_config_of
from maildiag.facts.dovecot_daemon import DovecotDaemon
from maildiag.facts.dovecot_parts import DovecotParts, Reference, RunDirectory, dovecot_parts
from maildiag.facts.local_time import LocalTime
from maildiag.facts.mail_log import MailLog
from maildiag.facts.mail_users import (
    ListedUsers,
    MailUser,
    MailUsers,
    _delivered_to,
    first_error,
    listed_users,
    mail_users,
    parse_users,
)
from maildiag.facts.mailboxes import Delivery, Mailbox, Mailboxes, Quota, Quotas, Trouble
from maildiag.facts.mailboxes import mailboxes as look_at_mailboxes
from maildiag.facts.passdbs import Passdbs, passdbs, refusing
from maildiag.facts.postfix import Postfix
from maildiag.facts.refused_logins import RefusedLogins, refused_logins
from maildiag.facts.sasl import Endpoint, MailSockets, Purpose
from maildiag.facts.tables import Table, Tables
from maildiag.facts.virtual_stores import virtual_stores
from maildiag.lint.tables import TableUse
from maildiag.logs.summary import summarise
from maildiag.model import Gap, GapReason, Status, Verdict
from maildiag.probes import (
    Connect,
    Connection,
    Directory,
    Exchange,
    FileInfo,
    FileKind,
    Identity,
    ListDirectory,
    Probe,
    ReadFile,
    Stat,
    Transcript,
    command,
)
from maildiag.settings import Settings, Thresholds
from maildiag.testing import NOW, file, gather, info, judge, printed
from maildiag_checks import (
    authentication,
    authentication_passdb,
    authentication_sockets,
    dovecot_config,
    dovecot_limits,
    login_failures,
    mailboxes,
    mailboxes_inbox,
    mailboxes_quota,
)
from maildiag_checks.system import memory
from tests.unit import postfix_files
from tests.unit.recorded import log

DATA = Path(__file__).parents[1] / "data" / "dovecot"
FILE = "/etc/dovecot/local.conf"
SOCKET = "/var/spool/postfix/private/auth"
LISTENER = f"service auth {{\n  unix_listener {SOCKET} {{\n    mode = 0660\n    user = postfix\n    group = postfix\n  }}\n}}\n"
RUNNING = DovecotDaemon(True, 397, NOW - timedelta(hours=1), NOW - timedelta(hours=1))
STOPPED = DovecotDaemon(False)
NOW_OF_LOG = datetime(2026, 11, 25, 3, 23, tzinfo=UTC)
ABSENT = Gap(GapReason.ABSENT, "no such file")


def config(text: str, version: str = "2.3.19.1", said: str = "", effective: str = "") -> DovecotConfig:
    source = build(parse(text, FILE))
    return DovecotConfig(
        version=version,
        source=source,
        effective=build(parse(effective, FILE)) if effective else source,
        refusal=parse_refusal(said),
        files=(FILE,),
        lines={FILE: tuple(text.splitlines())},
    )


def only(verdicts: list[Verdict]) -> Verdict:
    (verdict,) = verdicts
    return verdict


# -- services.dovecot-config -------------------------------------------------------------------------------------------

REFUSED = config(
    "foo_bar = 1\n", said=f"doveconf: Fatal: Error in configuration file {FILE} line 1: Unknown setting: foo_bar\n"
)


def test_a_refused_configuration_is_critical_where_dovecot_does_not_run() -> None:
    verdict = only(judge(dovecot_config.dovecot_config, Dovecot(True, "2.3.19.1"), REFUSED, STOPPED, None))
    assert verdict.status is Status.CRITICAL
    assert f"{FILE}:1" in verdict.title


def test_a_refused_configuration_is_a_warning_while_dovecot_runs_with_the_old_one() -> None:
    verdict = only(judge(dovecot_config.dovecot_config, Dovecot(True, "2.3.19.1"), REFUSED, RUNNING, None))
    assert verdict.status is Status.WARNING


def test_a_key_that_only_root_reads_leaves_the_configuration_unknown() -> None:
    said = (
        f"doveconf: Fatal: Error in configuration file {FILE} line 1: ssl_key: Can't open file /k: Permission denied\n"
    )
    verdict = only(judge(dovecot_config.dovecot_config, Dovecot(True), config("ssl = yes\n", said=said), RUNNING, None))
    assert verdict.status is Status.UNKNOWN


def test_a_file_changed_after_the_last_reload_is_a_notice() -> None:
    changed = replace(config("ssl = yes\n"), changed=NOW, newest=FILE)
    found = judge(dovecot_config.dovecot_config, Dovecot(True), changed, RUNNING, None)
    assert [each.status for each in found] == [Status.NOTICE, Status.OK]


def test_a_host_without_dovecot_is_skipped() -> None:
    verdict = only(judge(dovecot_config.dovecot_config, Dovecot(False), ABSENT, None, None))
    assert verdict.status is Status.SKIPPED


# -- sockets -----------------------------------------------------------------------------------------------------------


def sockets(endpoint: Endpoint | None, kind: str = "dovecot", cyrus: bool = False) -> MailSockets:
    return MailSockets(
        owner="postfix",
        groups=("postfix",),
        sasl_types={"smtp/inet": kind},
        endpoints=(endpoint,) if endpoint else (),
        queue_directory="/var/spool/postfix",
        cyrus=cyrus,
        recipient="alice@example.test",
    )


def endpoint(
    info: FileInfo | Gap,
    outcome: Connect = Connect.CONNECTED,
    error: str = "",
    path: str = SOCKET,
    hidden: tuple[str, ...] = (),
) -> Endpoint:
    answer = Connection(outcome, path, error)
    return Endpoint(Purpose.SASL, "smtpd_sasl_path", "private/auth", path, ("smtp/inet",), info, None, answer, hidden)


def socket(mode: int, owner: str = "postfix", group: str = "postfix") -> FileInfo:
    return info(SOCKET, mode, owner, group, FileKind.SOCKET)


def said(found: MailSockets, daemon: DovecotDaemon = RUNNING, text: str = LISTENER) -> Verdict:
    return only(judge(authentication_sockets.sasl_socket, found, Dovecot(True, "2.3.19.1"), config(text), daemon))


def test_a_socket_that_postfix_may_use_is_fine() -> None:
    assert said(sockets(endpoint(socket(0o660)))).status is Status.OK


def test_an_absent_socket_of_a_stopped_dovecot_is_explained_by_dovecot() -> None:
    verdict = said(sockets(endpoint(ABSENT, Connect.ABSENT)), STOPPED)
    assert verdict.status is Status.CRITICAL
    assert verdict.explained_by == ("services.dovecot-config", "services.dovecot")
    assert verdict.fixes == ()


def test_an_absent_socket_of_a_running_dovecot_is_made_by_a_restart() -> None:
    verdict = said(sockets(endpoint(ABSENT, Connect.ABSENT)))
    assert verdict.fixes[0].commands[0] == ("systemctl", "restart", "dovecot")


def test_a_socket_that_is_not_configured_is_added_to_the_service() -> None:
    verdict = said(sockets(endpoint(ABSENT, Connect.ABSENT)), text="service auth {\n}\n")
    assert [fix.id for fix in verdict.fixes] == ["authentication.sasl-socket/add-listener"]
    assert any("unix_listener" in word for argv in verdict.fixes[0].commands for word in argv)


def test_postfix_is_pointed_to_the_one_socket_that_dovecot_has_for_it() -> None:
    verdict = said(sockets(endpoint(ABSENT, Connect.ABSENT, path="/var/spool/postfix/private/auth-client")))
    assert verdict.fixes[0].commands[0] == ("postconf", "-e", "smtpd_sasl_path = private/auth")


def test_a_socket_of_root_alone_is_given_to_postfix_and_never_to_everybody() -> None:
    verdict = said(sockets(endpoint(socket(0o600, "root", "root"))), text=LISTENER.replace("0660", "0600"))
    assert verdict.status is Status.CRITICAL
    assert "0660" in " ".join(verdict.fixes[0].commands[0])
    assert not any("666" in word for argv in verdict.fixes[0].commands for word in argv)


def test_a_refused_connection_means_that_nobody_listens() -> None:
    verdict = said(sockets(endpoint(socket(0o660), Connect.REFUSED, "Connection refused")))
    assert "nobody listens" in verdict.title


def test_an_absolute_path_is_hidden_by_the_chroot() -> None:
    verdict = said(sockets(endpoint(socket(0o660), hidden=("smtp/inet",))))
    assert verdict.fixes[0].commands[0] == ("postconf", "-e", "smtpd_sasl_path = private/auth")


def test_cyrus_without_anything_of_cyrus_is_critical() -> None:
    assert said(sockets(None, "cyrus")).status is Status.CRITICAL


def test_cyrus_that_is_set_up_is_left_alone() -> None:
    assert said(sockets(None, "cyrus", cyrus=True)).status is Status.SKIPPED


def lmtp(reply: str, code: str) -> Endpoint:
    path = "/var/spool/postfix/private/dovecot-lmtp"
    rcpt = Exchange("rcpt", "RCPT TO:<alice@example.test>", reply, code, 0.0)
    answer = Transcript(Connect.CONNECTED, path, (rcpt,))
    there = info(path, 0o600, "postfix", "postfix", FileKind.SOCKET)
    return Endpoint(Purpose.LMTP, "mailbox_transport", f"lmtp:unix:{path}", path, ("lmtp/unix",), there, None, answer)


LMTP = "protocols = imap lmtp\nprotocol lmtp {\n}\n"


def test_lmtp_that_takes_the_user_is_fine() -> None:
    found = judge(
        authentication_sockets.lmtp_socket, sockets(lmtp("250 2.1.5 OK", "250")), Dovecot(True), config(LMTP), RUNNING
    )
    assert only(found).status is Status.OK


@pytest.mark.parametrize(("failed", "words"), [("banner", "hangs up before it greets"), ("rcpt", "hangs up at RCPT")])
def test_lmtp_that_takes_the_connection_and_dies_is_told(failed: str, words: str) -> None:
    fine = lmtp("250 2.1.5 OK", "250")
    assert isinstance(fine.answer, Transcript)
    dead = replace(
        fine, answer=replace(fine.answer, exchanges=(), failed=failed, error="the server closed the connection")
    )
    verdict = only(judge(authentication_sockets.lmtp_socket, sockets(dead), Dovecot(True), config(LMTP), RUNNING))
    assert verdict.status is Status.CRITICAL
    assert verdict.title.endswith(words)
    assert "logs.crashes@lmtp" in (verdict.explained_by or ())


def over_tcp(text: str, value: str = "lmtp:inet:127.0.0.1:24") -> Verdict:
    answer = Transcript(Connect.REFUSED, "127.0.0.1", (), error="Connection refused")
    at_port = Endpoint(Purpose.LMTP, "mailbox_transport", value, "", ("lmtp/unix",), None, None, answer)
    return only(judge(authentication_sockets.lmtp_socket, sockets(at_port), Dovecot(True), config(text), RUNNING))


def test_a_port_that_no_listener_has_is_not_opened_by_a_restart() -> None:
    verdict = over_tcp(LMTP)
    assert "Dovecot is not configured to listen there" in verdict.title
    assert not verdict.fixes[0].commands
    assert "port = 24" in verdict.fixes[0].ask


def test_a_port_that_a_listener_has_and_that_nobody_holds_is_opened_by_a_restart() -> None:
    service = "service lmtp {\n  inet_listener lmtp {\n    port = 24\n  }\n}\n"
    assert over_tcp(LMTP + service).fixes[0].commands[0] == ("systemctl", "restart", "dovecot")
    assert "nobody listens" in over_tcp(LMTP, "lmtp:inet:192.0.2.7:24").title


def test_lmtp_that_wants_another_form_of_the_name_gets_it() -> None:
    refused = lmtp("550 5.1.1 <alice@example.test> User doesn't exist: alice@example.test", "550")
    verdict = only(judge(authentication_sockets.lmtp_socket, sockets(refused), Dovecot(True), config(LMTP), RUNNING))
    assert verdict.status is Status.CRITICAL
    assert "auth_username_format = %Ln" in " ".join(verdict.fixes[0].commands[0] + verdict.fixes[0].commands[1])


def test_lmtp_that_cuts_the_domain_off_is_told_with_its_line() -> None:
    refused = lmtp("550 5.1.1 <alice@example.test> User doesn't exist: alice@example.test", "550")
    text = "protocols = imap lmtp\nprotocol lmtp {\n  auth_username_format = %Ln\n}\n"
    verdict = only(judge(authentication_sockets.lmtp_socket, sockets(refused), Dovecot(True), config(text), RUNNING))
    assert verdict.status is Status.CRITICAL
    assert verdict.evidence[0].text == "3:   auth_username_format = %Ln"
    assert verdict.fixes[0].commands[0][-2] == "3s/^/#/"


# -- users and passwords -----------------------------------------------------------------------------------------------

FOUND = "field\tvalue\nuid\t1000\ngid\t1000\nhome\t/home/alice\nmail\tmaildir:~/Maildir\nuid\t1001\ngid\t1001\nhome\t/home/bob\n"
TOO_LOW = (
    "doveadm(alice): Error: cmd mailbox path: Mail access for users with UID 1000 not permitted "
    "(see first_valid_uid in config file, uid from userdb lookup).\n"
)


def test_the_users_of_one_doveadm_are_told_apart() -> None:
    assert [each["home"] for each in parse_users(FOUND)] == ["/home/alice", "/home/bob"]


def test_users_shut_out_by_their_number_are_one_cause_with_its_line() -> None:
    error = first_error(TOO_LOW)
    bad = tuple(MailUser(name, {"uid": "1000"}, "", 75, error) for name in ("alice", "bob"))
    text = "first_valid_uid = 5000\n"
    found = judge(authentication.users, MailUsers("people", bad), config(text), RUNNING, None, None)
    verdict = only(found)
    assert verdict.subject == "first_valid_uid"
    assert verdict.fixes[0].automatic
    assert verdict.evidence[-1].text == "1: first_valid_uid = 5000"


def test_users_that_are_found_are_fine() -> None:
    good = MailUser("alice", {"uid": "1000"}, "/home/alice/Maildir")
    assert (
        only(judge(authentication.users, MailUsers("people", (good,)), config(""), RUNNING, None, None)).status
        is Status.OK
    )


def test_a_look_up_without_an_answer_is_a_dead_authentication_process() -> None:
    silent = MailUsers("people", (), "doveadm user alice timed out after 3 s")
    assert only(judge(authentication.users, silent, config(""), RUNNING, None, None)).status is Status.CRITICAL


@pytest.mark.parametrize(
    ("text", "refused"),
    [
        ("auth requisite pam_deny.so\n@include common-auth\n", ("auth requisite pam_deny.so",)),
        ("auth [success=1 default=ignore] pam_unix.so nullok\nauth requisite pam_deny.so\n", ()),
        ("auth sufficient pam_unix.so\nauth required pam_deny.so\n", ()),
        ("#auth required pam_deny.so\n@include common-auth\n", ()),
    ],
)
def test_pam_deny_refuses_only_where_nothing_lets_in_before_it(text: str, refused: tuple[str, ...]) -> None:
    assert refusing(file(text)) == refused


PAM = "passdb {\n  driver = pam\n}\n"


@pytest.mark.parametrize(
    ("offered", "status"),
    [
        ("plain login", Status.OK),
        ("plain", Status.OK),
        ("cram-md5", Status.CRITICAL),
        ("plain cram-md5", Status.CRITICAL),
        ("gssapi", Status.NOTICE),
    ],
)
def test_pam_can_check_plain_passwords_alone(offered: str, status: Status) -> None:
    found = judge(authentication.mechanisms, config(f"auth_mechanisms = {offered}\n{PAM}"), None)
    assert only(found).status is status


@pytest.mark.parametrize(
    ("text", "version", "status"),
    [
        ("ssl = no\ndisable_plaintext_auth = yes\n", "2.3.19.1", Status.CRITICAL),
        ("ssl = no\nauth_allow_cleartext = no\n", "2.4.1-4", Status.CRITICAL),
        ("ssl = yes\ndisable_plaintext_auth = no\n", "2.3.19.1", Status.NOTICE),
        ("ssl = required\nauth_allow_cleartext = yes\n", "2.4.1-4", Status.OK),
        ("ssl = yes\n", "2.4.1-4", Status.OK),
    ],
)
def test_nobody_can_log_in_without_tls_where_clear_text_is_refused(text: str, version: str, status: Status) -> None:
    assert only(judge(authentication.cleartext, config(text, version))).status is status


# -- logins that fail --------------------------------------------------------------------------------------------------


def mail_log(lines: list[str]) -> MailLog:
    return MailLog("/var/log/mail.log", NOW - timedelta(hours=24), summarise(lines, NOW), ())


def failed(release: str, count: int, address: str) -> list[str]:
    recorded = (DATA / f"logins-{release}.txt").read_text().splitlines()
    line = next(each for each in recorded if "auth failed, 1 attempts" in each)
    return [f"2026-11-23T03:00:00.000000+00:00 mail {line.replace('rip=127.0.0.1', f'rip={address}')}"] * count


@pytest.mark.parametrize("release", ["debian12", "debian13"])
def test_many_failures_from_one_address_are_told_with_the_address(release: str) -> None:
    verdict = only(judge(login_failures.failures, mail_log(failed(release, 120, "192.0.2.7")), Settings()))
    assert verdict.status is Status.WARNING
    assert "120 failed logins from 192.0.2.7" in verdict.title


@pytest.mark.parametrize("release", ["debian12", "debian13"])
def test_a_few_failures_are_what_people_mistype(release: str) -> None:
    found = judge(login_failures.failures, mail_log(failed(release, 3, "10.0.1.21")), Settings())
    assert only(found).status is Status.OK


def test_the_limit_is_the_administrator_s() -> None:
    settings = Settings(thresholds=Thresholds(auth_failures_per_hour=2))
    found = judge(login_failures.failures, mail_log(failed("debian12", 3, "10.0.1.21")), settings)
    assert only(found).status is Status.WARNING


CHAGE = """Last password change					: Nov 23, 2026
Password expires					: never
Password inactive					: never
Account expires						: Jan 01, 2020
"""


def test_an_account_that_expired_is_read_from_chage() -> None:
    assert [why for _, why in expired(CHAGE, date(2026, 11, 23))] == ["the account expired on 2020-01-01"]
    assert list(expired(CHAGE.replace("Jan 01, 2020", "never"), date(2026, 11, 23))) == []


def test_a_locked_account_is_opened_only_by_a_person() -> None:
    locked = ClosedAccount("alice", 3, "its password is locked", "passwd -S alice", "alice L 2026-11-23 0 99999 7 -1")
    verdict = only(judge(login_failures.accounts, ClosedAccounts((locked,), ("alice",))))
    assert verdict.status is Status.WARNING
    assert not verdict.fixes[0].automatic


def test_failures_that_faillock_counted_are_forgotten_by_its_own_program() -> None:
    line = "pam_faillock(dovecot:auth): Consecutive login failures for user alice account temporarily locked"
    why = "pam_faillock refuses it: Consecutive login failures for user alice account temporarily locked"
    counted = ClosedAccount("alice", 2, why, "journalctl -t auth", line)
    verdict = only(judge(login_failures.accounts, ClosedAccounts((counted,), ("alice",))))
    assert verdict.fixes[0].commands == (("faillock", "--user", "alice", "--reset"),)


# -- mailboxes ---------------------------------------------------------------------------------------------------------

MAILDIR = Mailbox("alice", "alice", "alice", "/home/alice", "/home/alice/Maildir", "/home/alice/Maildir/")
HOME = Delivery("home_mailbox", "Maildir/", in_home="Maildir/")
SPOOL = Delivery("mail_spool_directory", "/var/mail", spool="/var/mail")


def test_a_maildir_of_root_goes_back_to_its_user() -> None:
    path = "/home/alice/Maildir"
    box = replace(MAILDIR, troubles=(Trouble(path, "write", info(path, 0o700, kind=FileKind.DIRECTORY)),))
    verdict = only(judge(mailboxes.mailbox, Mailboxes(HOME, (box,)), None))
    assert verdict.status is Status.CRITICAL
    assert verdict.fixes[0].commands[0] == ("chown", "-R", "alice:alice", path)


def test_a_way_that_is_closed_to_a_place_where_no_mail_arrives_is_the_place_s_fault() -> None:
    var = Trouble("/var", "write", info("/var", 0o755, kind=FileKind.DIRECTORY))
    box = replace(MAILDIR, inbox="/var/vmail//alice/Maildir", troubles=(var,))
    (verdict,) = judge(mailboxes.mailbox, Mailboxes(HOME, (box,)), None)
    assert verdict.explained_by is not None
    assert verdict.explained_by[0] == "authentication.inbox-place"


def test_a_mail_spool_that_lost_its_group_gets_it_back() -> None:
    spool = Trouble("/var/mail", "write", info("/var/mail", 0o2755, kind=FileKind.DIRECTORY))
    box = replace(MAILDIR, inbox="/var/mail/alice", delivered="/var/mail/alice", troubles=(spool,))
    (verdict,) = judge(mailboxes.mailbox, Mailboxes(SPOOL, (box,)), None)
    assert verdict.fixes[0].commands == (("chgrp", "mail", "/var/mail"), ("chmod", "2775", "/var/mail"))
    assert verdict.fixes[0].undo == (("chown", "root:root", "/var/mail"), ("chmod", "2755", "/var/mail"))


def test_the_directories_of_folders_are_looked_at_too() -> None:
    maildir, sent = "/home/alice/Maildir", "/home/alice/Maildir/.Sent"
    mine = info(maildir, 0o700, "alice", "alice", FileKind.DIRECTORY)
    answers: dict[Probe[Any], Any] = {
        Stat(maildir): mine,
        ListDirectory(maildir, 60): Directory((replace(mine, path=sent),), False),
        ListDirectory(sent, 60): Directory((info(f"{sent}/cur", 0o700, kind=FileKind.DIRECTORY),), False),
    }
    user = MailUser("alice", {"uid": "1000", "gid": "1000", "home": "/home/alice"}, maildir)
    people = Accounts((Account("alice", 1000, 1000, "/home/alice", "/bin/bash"),))
    given = {"users": MailUsers("people", (user,)), "config": config(""), "postfix": None, "accounts": people}
    found = gather(look_at_mailboxes, answers, **given)
    assert isinstance(found, Mailboxes)
    assert [(each.path, each.needs) for each in found.boxes[0].troubles] == [(f"{sent}/cur", "write")]


def test_a_directory_in_the_place_of_an_mbox_is_told() -> None:
    answers: dict[Probe[Any], Any] = {Stat("/var/mail/alice"): info("/var/mail/alice", 0o755, kind=FileKind.DIRECTORY)}
    user = MailUser("alice", {"uid": "1000", "gid": "1000", "home": "/home/alice"}, "/var/mail/alice")
    people = Accounts((Account("alice", 1000, 1000, "/home/alice", "/bin/bash"),))
    postfix = Postfix(True, "3.7", {"mail_spool_directory": "/var/mail"})
    given = {"users": MailUsers("people", (user,)), "config": config(""), "postfix": postfix, "accounts": people}
    found = gather(look_at_mailboxes, answers, **given)
    assert isinstance(found, Mailboxes)
    (verdict,) = judge(mailboxes.mailbox, found, None)
    assert verdict.title == "/var/mail/alice is a directory, and an mbox is a file"


def test_a_link_leads_through_the_directories_of_its_target() -> None:
    private = info("/srv/m", 0o700, kind=FileKind.DIRECTORY)
    link = replace(info("/home/alice/Maildir", 0o700, "alice", "alice", FileKind.DIRECTORY), link_to="/srv/m/alice")
    answers: dict[Probe[Any], Any] = {
        Stat(each): info(each, 0o755, kind=FileKind.DIRECTORY) for each in ("/", "/home", "/home/alice", "/srv")
    }
    answers |= {Stat("/srv/m"): private, Stat("/srv/m/alice"): replace(link, path="/srv/m/alice", link_to="")}
    answers |= {Stat("/home/alice/Maildir"): link}
    user = MailUser("alice", {"uid": "1000", "gid": "1000", "home": "/home/alice"}, "/home/alice/Maildir")
    people = Accounts((Account("alice", 1000, 1000, "/home/alice", "/bin/bash"),))
    given = {"users": MailUsers("people", (user,)), "config": config(""), "postfix": None, "accounts": people}
    found = gather(look_at_mailboxes, answers, **given)
    assert isinstance(found, Mailboxes)
    assert [(each.path, each.needs) for each in found.boxes[0].troubles] == [("/srv/m", "search")]


def test_postfix_delivers_to_the_home_of_the_account_whatever_dovecot_takes_for_it() -> None:
    user = MailUser("alice", {"uid": "999", "gid": "996", "home": "/var/vmail/alice"}, "/var/vmail/alice/Maildir")
    people = Accounts((Account("alice", 1000, 1000, "/home/alice", "/bin/bash"),))
    postfix = Postfix(True, "3.7", {"home_mailbox": "Maildir/"})
    given = {"users": MailUsers("people", (user,)), "config": config(""), "postfix": postfix, "accounts": people}
    found = gather(look_at_mailboxes, {}, **given)
    assert isinstance(found, Mailboxes)
    assert found.boxes[0].delivered == "/home/alice/Maildir/"
    verdict = only(judge(mailboxes_inbox.inbox_place, found, config("")))
    assert verdict.title.startswith(
        "Postfix delivers to /home/alice/Maildir/, and Dovecot looks for INBOX in /var/vmail"
    )


BOB = replace(MAILDIR, user="bob", owner="bob", home="/home/bob", inbox="/home/bob/Maildir", delivered="")


def test_a_directory_that_is_closed_to_several_is_one_cause() -> None:
    shut = Trouble("/home", "search", info("/home", 0o600, kind=FileKind.DIRECTORY))
    boxes = tuple(replace(each, troubles=(shut,)) for each in (MAILDIR, BOB))
    (verdict,) = judge(mailboxes.mailbox, Mailboxes(HOME, boxes), None)
    assert verdict.title.startswith("alice, bob may not search /home")


def test_homes_that_are_all_gone_lack_their_file_system() -> None:
    gone = tuple(replace(each, homeless=True) for each in (MAILDIR, BOB))
    (verdict,) = judge(mailboxes.mailbox, Mailboxes(HOME, gone), None)
    assert (verdict.status, verdict.subject) == (Status.CRITICAL, "/home")
    alone, rest = judge(mailboxes.mailbox, Mailboxes(HOME, (gone[0], BOB)), None)
    assert (alone.status, rest.status) == (Status.WARNING, Status.OK)


def test_a_mailbox_without_trouble_is_fine() -> None:
    assert only(judge(mailboxes.mailbox, Mailboxes(HOME, (MAILDIR,)), None)).status is Status.OK


VIRTUAL = {
    "virtual_mailbox_domains": "virtual.test",
    "virtual_transport": "virtual",
    "virtual_mailbox_base": "/var/vmail",
    "virtual_uid_maps": "static:5000",
    "virtual_gid_maps": "static:5000",
}


def stored(owner: str, **settings: str) -> list[Verdict]:
    base = info("/var/vmail", 0o755, owner, kind=FileKind.DIRECTORY)
    domain = info("/var/vmail/virtual.test", 0o755, owner, kind=FileKind.DIRECTORY)
    answers: dict[Probe[Any], Any] = {Stat(base.path): base, ListDirectory(base.path, 200): Directory((domain,))}
    postfix = Postfix(True, "3.7.11", VIRTUAL | settings)
    found = gather(
        virtual_stores,
        answers,
        postfix=postfix,
        accounts=Accounts((Account("vmail", 5000, 5000, "/var/vmail", "/usr/sbin/nologin"),)),
    )
    return judge(mailboxes.mailbox, Mailboxes(HOME, (MAILDIR,)), None, found)


def test_a_store_of_virtual_users_that_root_made_goes_to_the_account_of_virtual() -> None:
    told = stored("root")[0]
    assert told.title.startswith("vmail may not write /var/vmail: 0755 root:root")
    assert told.fixes[0].commands == (("chown", "5000:5000", "/var/vmail", "/var/vmail/virtual.test"),)
    assert [each.status for each in stored("vmail")] == [Status.OK]
    assert [each.status for each in stored("root", virtual_transport="lmtp:unix:private/lmtp")] == [Status.OK]


def test_a_number_that_virtual_refuses_is_told() -> None:
    assert stored("vmail", virtual_minimum_uid="6000")[0].subject == "virtual_uid_maps"


def test_a_directory_of_virtual_users_that_root_made_goes_to_their_account() -> None:
    path = "/var/vmail"
    troubles = (Trouble(path, "write", info(path, 0o755, kind=FileKind.DIRECTORY)),)
    box = Mailbox("a@virtual.test", "vmail", "vmail", f"{path}/a", f"{path}/a/Maildir", troubles=troubles)
    assert only(judge(mailboxes.mailbox, Mailboxes(HOME, (box,)), None)).fixes[0].commands == (
        ("chown", "vmail:vmail", path),
    )


@pytest.mark.parametrize(("locked", "status"), [(False, Status.WARNING), (True, Status.NOTICE)])
def test_only_a_person_misses_a_home(locked: bool, status: Status) -> None:
    box = replace(MAILDIR, homeless=True, locked=locked)
    assert only(judge(mailboxes.mailbox, Mailboxes(HOME, (box,)), None)).status is status


def test_an_account_made_without_a_home_is_no_mailbox_and_a_virtual_user_without_one_is() -> None:
    nobody = MailUser("ci", {"uid": "1500", "home": "/nonexistent"}, "/nonexistent/Maildir")
    virtual = MailUser("ann@example.test", {"uid": "5000"}, "/srv/vmail/example.test/ann")
    users = MailUsers("all", (nobody, virtual))
    found = gather(look_at_mailboxes, {}, users=users, config=config(""), postfix=None, accounts=Accounts(()))
    assert isinstance(found, Mailboxes)
    assert [each.user for each in found.boxes] == ["ann@example.test"]


@pytest.mark.parametrize(
    ("transport", "names"), [("lmtp:unix:private/dovecot-lmtp", ("ann@example.test",)), ("virtual", ())]
)
def test_addresses_that_postfix_hands_to_dovecot_are_looked_up(transport: str, names: tuple[str, ...]) -> None:
    text = file("# people\n@example.test x\nann@example.test x\n  more\n")
    use = TableUse("hash", "/etc/postfix/vmailbox", "virtual_mailbox_maps")
    one = Table(use=use, users=("virtual_mailbox_maps",), source=info("/etc/postfix/vmailbox"), text=text)
    assert _delivered_to(Postfix(True, "3.7", {"virtual_transport": transport}), Tables((one,))) == names


def test_the_same_place_written_otherwise_is_fine() -> None:
    assert only(judge(mailboxes_inbox.inbox_place, Mailboxes(HOME, (MAILDIR,)), config(""))).status is Status.OK


def test_postfix_that_delivers_to_the_spool_is_turned_to_the_maildir() -> None:
    box = replace(MAILDIR, delivered=SPOOL.place("alice", "/home/alice"), waiting=1)
    verdict = only(judge(mailboxes_inbox.inbox_place, Mailboxes(SPOOL, (box,)), config("")))
    assert verdict.status is Status.CRITICAL
    assert verdict.fixes[0].commands[0] == ("postconf", "-e", "home_mailbox = Maildir/")


def test_debian_13_s_own_inbox_path_is_turned_to_the_maildir() -> None:
    box = replace(MAILDIR, inbox="/var/mail/alice")
    text = "mail_driver = maildir\nmail_path = ~/Maildir\nmail_inbox_path = /var/mail/%{user}\n"
    verdict = only(judge(mailboxes_inbox.inbox_place, Mailboxes(HOME, (box,)), config(text, "2.4.1-4")))
    assert verdict.fixes[0].automatic
    assert verdict.fixes[0].commands[0][3] == "3s/.*/mail_inbox_path = ~\\/Maildir/"


def test_where_dovecot_delivers_itself_there_is_nothing_to_compare() -> None:
    lmtp_delivers = Delivery("mailbox_transport", "lmtp:unix:private/dovecot-lmtp", by_dovecot=True)
    assert only(judge(mailboxes_inbox.inbox_place, Mailboxes(lmtp_delivers, ()), config(""))).status is Status.OK


def test_a_quota_that_is_used_up_is_a_warning() -> None:
    full = Quota("alice", "User quota", "STORAGE", 100 << 10, 100 << 10, 100)
    assert only(judge(mailboxes_quota.quota, Quotas(True, (full,)))).status is Status.WARNING
    assert only(judge(mailboxes_quota.quota, Quotas(False))).status is Status.SKIPPED


@pytest.mark.parametrize(
    "text", ["plugin {\n  quota_rule = *:storage=100\n}\n", 'quota "User quota" {\n  storage_size = 102400\n}\n']
)
def test_a_quota_without_its_unit_is_found_before_it_is_full(text: str) -> None:
    tiny = Quota("alice", "User quota", "STORAGE", 0, 100, 0)
    verdict = only(judge(mailboxes_quota.quota, Quotas(True, (tiny,)), config(text)))
    assert verdict.status is Status.CRITICAL
    assert verdict.title.startswith(f"{FILE}:2: ")
    assert (
        only(judge(mailboxes_quota.quota, Quotas(True, (replace(tiny, limit=100 << 10),)), config(text))).status
        is Status.OK
    )


# -- limits ------------------------------------------------------------------------------------------------------------


def test_a_quota_that_its_back_end_does_not_tell_is_named_with_its_line() -> None:
    said = "doveadm(alice): Error: Failed to get quota resource STORAGE: quota-fs: quotactl(Q_GETQUOTA, overlay) failed: No such file or directory"
    text = "mail_plugins = quota\nplugin {\n  quota = fs:User quota\n}\n"
    verdict = only(judge(mailboxes_quota.quota, Quotas(True, (), said), config(text)))
    assert (verdict.status, verdict.subject) == (Status.WARNING, "quota")
    assert verdict.title.startswith(f"{FILE}:3: ")
    assert only(judge(mailboxes_quota.quota, Quotas(True, (), "timed out"), config(text))).status is Status.UNKNOWN


def test_a_memory_limit_below_what_a_process_needs_is_taken_out() -> None:
    line = "2026-11-25T04:06:05.356473+00:00 mail dovecot: config: Fatal: block_alloc(1048576): Out of memory\n"
    found = judge(dovecot_limits.limits, config("default_vsz_limit = 8 M\n"), log(line, "", NOW_OF_LOG))
    verdict = found[0]
    assert verdict.status is Status.CRITICAL
    assert verdict.fixes[0].commands[0][3] == "1s/^/#/"


@pytest.mark.parametrize("release", ["debian12", "debian13"])
def test_a_service_at_its_limit_is_named(release: str) -> None:
    recorded = (DATA / f"logins-{release}.txt").read_text().splitlines()
    line = next(each for each in recorded if "reached, client connections" in each)
    log = mail_log([f"2026-11-23T03:00:00.000000+00:00 mail {line}"])
    verdict = only(judge(dovecot_limits.limits, config("ssl = yes\n"), log))
    assert verdict.subject == "imap-login"
    assert verdict.status is Status.CRITICAL


def test_the_default_limits_are_fine() -> None:
    assert only(judge(dovecot_limits.limits, config("default_vsz_limit = 256 M\n"), None)).status is Status.OK


def pam_says(answers: dict[Probe[Any], Any], text: str = PAM) -> list[Verdict]:
    found = gather(passdbs, answers, config=config(text))
    assert isinstance(found, Passdbs)
    return judge(authentication_passdb.passdb, found, config(text), None, None)


def directory(*names: str) -> Directory:
    return Directory(tuple(info(f"/etc/pam.d/{name}") for name in names), False)


def test_a_pam_file_that_includes_another_one_slip_away_is_corrected() -> None:
    (verdict,) = pam_says(
        {
            ReadFile("/etc/pam.d/dovecot"): file("@include common-atuh\n@include common-account\n"),
            ReadFile("/etc/pam.d/common-atuh"): Gap(GapReason.ABSENT, "no such file"),
            ReadFile("/etc/pam.d/common-account"): file("account required pam_unix.so\n"),
            ListDirectory("/etc/pam.d"): directory("common-auth", "common-account", "other"),
        }
    )
    assert "common-atuh, which does not exist" in verdict.title
    assert verdict.fixes[0].automatic


def test_a_control_that_pam_does_not_know_is_corrected() -> None:
    (verdict,) = pam_says({ReadFile("/etc/pam.d/dovecot"): file("#%PAM-1.0\nauth requried pam_unix.so\n")})
    assert verdict.title.startswith("/etc/pam.d/dovecot:2: requried is no control")
    assert "required" in verdict.fixes[0].commands[0][3]
    fine = "auth [success=1 default=ignore] pam_unix.so\n-auth optional pam_gnome_keyring.so\n"
    assert pam_says({ReadFile("/etc/pam.d/dovecot"): file(fine)})[0].status is Status.OK


@pytest.mark.parametrize(("onerr", "status"), [("fail", Status.CRITICAL), ("succeed", Status.OK)])
def test_a_list_of_pam_that_does_not_exist_refuses_everybody(onerr: str, status: Status) -> None:
    line = f"auth required pam_listfile.so item=user sense=allow file=/etc/imap-users onerr={onerr}\n"
    answers: dict[Probe[Any], Any] = {ReadFile("/etc/pam.d/dovecot"): file(line), Stat("/etc/imap-users"): ABSENT}
    assert pam_says(answers)[0].status is status


def test_a_nologin_file_counts_only_where_pam_is_told_to_look_for_it() -> None:
    answers: dict[Probe[Any], Any] = {
        ReadFile("/etc/pam.d/dovecot"): file("@include common-account\n"),
        ReadFile("/etc/pam.d/common-account"): file("account required pam_nologin.so\n"),
        Stat("/etc/nologin"): info("/etc/nologin"),
    }
    (verdict,) = pam_says(answers)
    assert verdict.title.startswith("/etc/nologin exists")
    answers[ReadFile("/etc/pam.d/common-account")] = file("account required pam_unix.so\n")
    assert pam_says(answers)[0].status is Status.OK


@pytest.mark.parametrize(
    ("inside", "status"),
    [
        ("user = $default_internal_user", Status.CRITICAL),
        ("user = root", Status.OK),
        ("user = dovecot\n  extra_groups = shadow", Status.OK),
    ],
)
def test_an_auth_worker_that_cannot_read_shadow_is_named(inside: str, status: Status) -> None:
    answers: dict[Probe[Any], Any] = {ReadFile("/etc/pam.d/dovecot"): file("auth required pam_unix.so\n")}
    verdict, *_ = pam_says(answers, PAM + f"service auth-worker {{\n  {inside}\n}}\n")
    assert verdict.status is status


def test_an_auth_process_that_cannot_reach_its_workers_is_led_back_to_its_account() -> None:
    said = (
        "2026-11-28T09:09:35.487043+00:00 mail dovecot: auth: Error: auth-worker: net_connect_unix(auth-worker) in directory "
        "/run/dovecot failed: Permission denied (euid=65534(nobody) egid=65534(nogroup) missing +r perm: "
        "/run/dovecot/auth-worker, dir owned by 0:0 mode=0755)\n"
    )
    told = log(said, "", datetime(2026, 11, 28, 9, 10, tzinfo=UTC))
    text = "service auth {\n  user = nobody\n}\n" + PAM
    (verdict,) = judge(authentication_passdb.passdb, Passdbs((), ()), config(text), None, told)
    assert verdict.title.startswith(f"{FILE}:2: the auth process runs as nobody")
    assert judge(authentication_passdb.passdb, Passdbs((), ()), config(text), None, None)[0].status is Status.OK


@pytest.mark.parametrize(
    ("text", "error", "edit"),
    [
        ("namespace inbox {\n  inbox = no\n}\n", "inbox=yes namespace missing", "2s/.*/  inbox = yes/"),
        (
            "namespace inbox {\n  inbox = yes\n}\nnamespace other {\n  inbox = yes\n  prefix = Other.\n}\n",
            "There can be only one namespace with inbox=yes",
            "5s/^/#/",
        ),
        (
            "namespace other {\n  prefix = Other\n}\n",
            "list=yes requires prefix=Other to end with separator /",
            "2s/.*/  prefix = Other\\//",
        ),
    ],
)
def test_namespaces_that_do_not_fit_are_led_back_to_their_line(text: str, error: str, edit: str) -> None:
    bad = MailUsers("people", (MailUser("alice", status=75, error=f"namespace configuration error: {error}"),))
    verdict = only(judge(authentication.users, bad, config(text), RUNNING, None, None))
    assert verdict.title.startswith(f"{FILE}:{edit.partition('s')[0]}: ")
    assert verdict.fixes[0].commands[0][3] == edit


TURNED_AWAY = {
    "2.3.19.1": (
        "2026-11-28T04:06:03.493420+00:00 mail dovecot: master: Dovecot v2.3.19.1 (9b53102964) starting up for imap, pop3, lmtp (core dumps disabled)",
        "2026-11-28T04:06:04.747474+00:00 mail dovecot: imap-login: Disconnected: Connection closed (cert required, client didn't start TLS): user=<>, method=PLAIN, rip=10.0.1.10, lip=10.0.1.10, secured, session=<FhqlS05h9q8KAAEK>",
        "2026-11-28T04:06:04.755171+00:00 mail dovecot: imap-login: Disconnected: Connection closed (client didn't send a cert): user=<>, method=PLAIN, rip=10.0.1.10, lip=10.0.1.10, TLS: Connection closed, session=<jZClS05hUNUKAAEK>",
    ),
    "2.4.1-4": (
        "2026-11-28T04:07:53.027327+00:00 mail dovecot: master: Dovecot v2.4.1-4 (7d8c0e5759) starting up for imap, pop3, lmtp (core dumps disabled)",
        "2026-11-28T04:07:54.308880+00:00 mail dovecot: imap-login: Login aborted: Connection closed (cert required, client didn't start TLS) (client_ssl_not_started): user=<>, method=PLAIN, rip=10.0.1.10, lip=10.0.1.10, secured, session=<CH8sUk5hYKwKAAEK>",
        "2026-11-28T04:07:54.462860+00:00 mail dovecot: pop3-login: Login aborted: Connection closed (client didn't send a cert) (client_ssl_cert_missing): user=<>, method=PLAIN, rip=10.0.1.10, lip=10.0.1.10, TLS: Connection closed, session=<ECsvUk5hYsMKAAEK>",
    ),
}
LOOKED_AND_LEFT = (
    "2026-11-28T04:07:54.397379+00:00 mail dovecot: imap-login: Login aborted: Logged out (client didn't send a cert) (client_ssl_cert_missing):"
    " user=<>, rip=10.0.1.10, lip=10.0.1.10, TLS, session=<IQAuUk5hSqIKAAEK>"
)
LOGGED_IN = (
    "2026-11-28T04:08:00.000000+00:00 mail dovecot: imap-login: Logged in: user=<alice>, method=PLAIN, rip=10.0.1.10, lip=10.0.1.10,"
    " mpid=1, TLS, session=<xAAuUk5hSqIKAAEK>"
)


def with_certificates(*lines: str, version: str = "2.4.1-4") -> Verdict:
    now = datetime(2026, 11, 28, 5, tzinfo=UTC)
    said = MailLog("/var/log/mail.log", now - timedelta(hours=24), summarise(lines, now), ())
    text = f"auth_ssl_require_client_cert = yes\nauth_mechanisms = plain login\n{PAM}"
    return only(judge(authentication.mechanisms, config(text, version), said))


@pytest.mark.parametrize("version", sorted(TURNED_AWAY))
def test_a_server_that_wants_certificates_and_lets_nobody_in_is_told(version: str) -> None:
    verdict = with_certificates(*TURNED_AWAY[version], version=version)
    assert (verdict.status, verdict.subject) == (Status.CRITICAL, "auth_ssl_require_client_cert")
    assert verdict.title.startswith(f"{FILE}:1: auth_ssl_require_client_cert = yes")
    assert len(verdict.evidence) == 3
    assert not verdict.fixes[0].automatic


def test_where_somebody_has_a_certificate_strangers_without_one_are_no_trouble() -> None:
    assert with_certificates(*TURNED_AWAY["2.4.1-4"], LOGGED_IN).status is Status.OK
    assert with_certificates(LOOKED_AND_LEFT).status is Status.OK


AUTH_SAYS = "2026-11-25T03:22:38.706219+00:00 mail dovecot: auth: "


@pytest.mark.parametrize(
    ("words", "text", "kept"),
    [
        (
            "Fatal: Unknown authentication mechanism 'GSSAPI'",
            "auth_mechanisms = plain login gssapi\n",
            "auth_mechanisms = plain login",
        ),
        ("Fatal: No authentication mechanisms configured", "auth_mechanisms =\n", "auth_mechanisms = plain login"),
    ],
)
def test_a_mechanism_that_the_auth_process_does_not_have_is_taken_out(words: str, text: str, kept: str) -> None:
    said = log(f"{AUTH_SAYS}{words}\n", "", NOW_OF_LOG)
    verdict = only(judge(authentication.mechanisms, config(text), said))
    assert verdict.title.startswith(f"{FILE}:1: Dovecot's authentication process says")
    assert kept in verdict.fixes[0].commands[0][3]


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (
            "Fatal: static userdb: Invalid uid: vmial",
            "userdb {\n  driver = static\n  args = uid=vmial gid=vmail home=/home/%u\n}\n",
        ),
        ("Fatal: sql: Unknown database driver 'mysql'", "passdb {\n  driver = sql\n}\n"),
        ("Fatal: Support not compiled in for passdb driver 'ldap'", "passdb {\n  driver = ldap\n}\n"),
        (
            "Error: passwd-file(alice,10.0.1.21,<mERLUxFhouEKAAEV>): Unknown scheme SHA3",
            "passdb {\n  driver = passwd-file\n}\n",
        ),
        (
            "Error: prefetch(alice,10.0.1.21,<OxJCURFhALoKAAEV>): userdb lookup not possible with only userdb prefetch",
            "userdb {\n  driver = prefetch\n}\npassdb {\n  driver = pam\n}\n",
        ),
    ],
)
def test_what_the_auth_process_complains_of_is_led_back_to_its_database(words: str, text: str) -> None:
    text = text if "passdb" in text else text + "passdb {\n  driver = pam\n}\n"
    said = log(f"{AUTH_SAYS}{words}\n", "", NOW_OF_LOG)
    verdict, *_ = judge(authentication_passdb.passdb, Passdbs((), ()), config(text), None, said)
    assert verdict.status is Status.CRITICAL
    assert verdict.title.startswith(f"{FILE}:")
    assert "<" not in verdict.title


USERS_FILE = "/etc/dovecot/users"
PASSWD_FILE = f"passdb {{\n  driver = passwd-file\n  args = {USERS_FILE}\n}}\n"
EMPTY = info(USERS_FILE, 0o640, "root", "dovecot", size=0)


def file_says(answer: FileInfo | Gap, text: str, said: str = "") -> list[Verdict]:
    """What is said of a passwd-file of which stat(2) tells this, the auth process being in the group dovecot."""
    answers: dict[Probe[Any], Any] = {
        command("id", "-Gn", "dovecot"): printed("dovecot\n"),
        command("id", "-Gn", "root"): printed("root\n"),
        Stat(USERS_FILE): answer,
    }
    found = gather(passdbs, answers, config=config(text))
    assert isinstance(found, Passdbs)
    told = log(f"{AUTH_SAYS}{said}\n", "", NOW_OF_LOG) if said else None
    return judge(authentication_passdb.passdb, found, config(text), None, told)


@pytest.mark.parametrize(
    ("answer", "text", "status"),
    [
        (EMPTY, PASSWD_FILE, Status.CRITICAL),
        (info(USERS_FILE, 0o755, kind=FileKind.DIRECTORY), PASSWD_FILE, Status.CRITICAL),
        (ABSENT, PASSWD_FILE, Status.CRITICAL),
        (ABSENT, PAM + PASSWD_FILE, Status.WARNING),
        (ABSENT, PAM + PASSWD_FILE.replace("args", "master = yes\n  args"), Status.WARNING),
        (ABSENT, PAM + PASSWD_FILE.replace("args", "deny = yes\n  args"), Status.CRITICAL),
        (EMPTY, PAM + PASSWD_FILE, Status.OK),
        (EMPTY, PAM + PASSWD_FILE.replace("args", "deny = yes\n  args"), Status.OK),
        (EMPTY, PAM + PASSWD_FILE.replace("args", "master = yes\n  args"), Status.OK),
    ],
)
def test_a_file_of_users_is_as_bad_as_what_depends_on_it(answer: FileInfo | Gap, text: str, status: Status) -> None:
    verdict, *_ = file_says(answer, text)
    assert verdict.status is status


def test_a_line_without_its_colon_is_told_and_its_password_is_not() -> None:
    text = PASSWD_FILE + PASSWD_FILE.replace("passdb", "userdb")
    hashed = "{SHA512-CRYPT}$6$C7JQd9wGmUxu0d7Q$OnTsJvWR2b2VbH6yH8Vd0"
    answers: dict[Probe[Any], Any] = {
        command("doveadm", "user", "*"): printed(f"alice {hashed}\nbob\n"),
        command("doveadm", "user", "bob", timeout=3.0): printed("field\tvalue\nuid\t1001\nhome\t/home/bob\n"),
    }
    given = {"settings": Settings(), "config": config(text), "daemon": RUNNING, "accounts": None}
    listed = gather(listed_users, answers, **given)
    assert isinstance(listed, ListedUsers)
    found = listed.found
    assert (found.torn, [each.name for each in found.users]) == (1, ["bob"])
    verdict, *_ = judge(authentication.users, found, config(text), RUNNING, None, None)
    assert verdict.status is Status.WARNING
    assert verdict.title == f"1 line of {USERS_FILE} has no colon behind the name"
    assert hashed not in str(verdict)


def test_without_a_userdb_that_is_what_is_told() -> None:
    bad = MailUsers("people", (MailUser("alice", status=75, error="userdb lookup(alice): Auth USER lookup failed"),))
    (verdict,) = judge(authentication.users, bad, config(PAM), RUNNING, None, None)
    assert verdict.title.startswith("No userdb is configured")


def test_without_a_passdb_a_file_that_was_put_aside_is_named() -> None:
    aside = "/etc/dovecot/conf.d/10-auth.conf.dpkg-dist"
    without = replace(config("ssl = yes\n"), aside=(aside,))
    (verdict,) = judge(authentication_passdb.passdb, Passdbs((), ()), without, None, None)
    assert verdict.title.endswith(f"{aside} is there, and is not read")
    assert verdict.fixes[0].commands[0] == ("mv", "-n", aside, "/etc/dovecot/conf.d/10-auth.conf")


def test_files_that_were_put_aside_are_those_without_one_in_their_place() -> None:
    names = ("10-auth.conf.dpkg-dist", "10-mail.conf", "10-mail.conf.dpkg-dist", "10-ssl.conf.txt")
    answers: dict[Probe[Any], Any] = {
        ReadFile("/etc/dovecot/dovecot.conf", hide=SECRETS): file("!include conf.d/*.conf\n"),
        ReadFile("/etc/dovecot/conf.d/10-mail.conf", hide=SECRETS): file("mail_location = maildir:~/Maildir\n"),
        ListDirectory("/etc/dovecot/conf.d"): Directory(
            tuple(info(f"/etc/dovecot/conf.d/{name}") for name in names), False
        ),
    }
    found = gather(dovecot_config_of, answers, dovecot=Dovecot(True, "2.3.19.1"))
    assert isinstance(found, DovecotConfig)
    assert found.aside == ("/etc/dovecot/conf.d/10-auth.conf.dpkg-dist",)


def test_a_driver_that_is_not_installed_comes_before_its_file() -> None:
    text = PASSWD_FILE.replace("passwd-file", "ldap")
    (verdict,) = file_says(ABSENT, text, "Fatal: Support not compiled in for passdb driver 'ldap'")
    assert "Support not compiled in" in verdict.title
    assert "dovecot-ldap" in verdict.fixes[0].ask


def test_a_highest_number_that_shuts_users_out_is_taken_out() -> None:
    error = "Mail access for users with UID 1000 not permitted (see first_valid_uid in config file, uid from userdb lookup)."
    bad = MailUsers("people", (MailUser("alice", status=75, error=error),))
    verdict = only(judge(authentication.users, bad, config("last_valid_uid = 999\n"), RUNNING, None, None))
    assert verdict.subject == "last_valid_uid"
    assert verdict.fixes[0].automatic


@pytest.mark.parametrize(
    ("base", "login", "spoilt"),
    [
        (info("/run/dovecot", 0o755), info("/run/dovecot/login", 0o750, "root", "dovenull"), ()),
        (
            info("/run/dovecot", 0o700),
            info("/run/dovecot/login", 0o750, "root", "dovenull"),
            ("/run/dovecot",),
        ),
        (info("/run/dovecot", 0o755), info("/run/dovecot/login", 0o700), ("/run/dovecot/login",)),
        (info("/run/dovecot", 0o755), ABSENT, ("/run/dovecot/login",)),
    ],
)
def test_a_run_directory_that_was_changed_is_told(
    base: FileInfo, login: FileInfo | Gap, spoilt: tuple[str, ...]
) -> None:
    answers: dict[Probe[Any], Any] = {Stat("/run/dovecot"): base, Stat("/run/dovecot/login"): login}
    found = gather(dovecot_parts, answers, config=config("ssl = yes\n"), accounts=None, daemon=RUNNING)
    assert isinstance(found, DovecotParts)
    assert tuple(each.path for each in found.spoilt) == spoilt
    verdicts = judge(dovecot_config.dovecot_config, Dovecot(True, "2.3.19.1"), config("ssl = yes\n"), RUNNING, found)
    assert [each.subject for each in verdicts if each.status is Status.CRITICAL] == list(spoilt)


def test_a_login_service_of_another_account_is_led_back_to_its_line() -> None:
    login = "/run/dovecot/login"
    parts = DovecotParts((), (RunDirectory(login, info(login, 0o750, kind=FileKind.DIRECTORY), 0o050),))
    text = "service imap-login {\n  user = root\n}\n"
    (verdict,) = judge(dovecot_config.dovecot_config, Dovecot(True, "2.3.19.1"), config(text), RUNNING, parts)
    assert verdict.title.startswith(f"{FILE}:2: imap-login runs as root")
    assert verdict.fixes[0].automatic


def test_letters_that_no_name_may_have_are_told() -> None:
    text = "auth_username_chars = abcdefghijk\n"
    absent = tuple(MailUser(name, status=67, error="User doesn't exist") for name in ("alice", "bob"))
    verdict = only(judge(authentication.users, MailUsers("people", absent), config(text), RUNNING, None, None))
    assert verdict.subject == "auth_username_chars"
    (other,) = judge(authentication.users, MailUsers("people", absent), config("ssl = yes\n"), RUNNING, None, None)
    assert other.subject != "auth_username_chars"


POST_LOGIN = "service imap-postlogin {\n  executable = script-login /usr/local/bin/postlogin.sh\n}\n"


def named(text: str, version: str = "2.3.19.1", **answers: Any) -> list[tuple[str, str]]:
    asked: dict[Probe[Any], Any] = {Stat("/usr/local/bin/postlogin.sh"): answers.get("script", ABSENT)}
    found = gather(dovecot_parts, asked, config=config(text, version), accounts=None, daemon=STOPPED)
    assert isinstance(found, DovecotParts)
    return [(each.kind, each.name) for each in found.dangling]


def test_a_post_login_script_that_is_not_there_is_named() -> None:
    assert named(POST_LOGIN) == [("program", "/usr/local/bin/postlogin.sh")]
    assert named(POST_LOGIN, script=info("/usr/local/bin/postlogin.sh", 0o755)) == []


def test_a_script_that_no_login_runs_leaves_logins_alone() -> None:
    text = POST_LOGIN.replace("imap-postlogin", "quota-warning").replace("script-login", "script")
    given = config(text)
    parts = DovecotParts((Reference("program", "/usr/local/bin/postlogin.sh", given.source.settings[0]),))
    dovecot = Dovecot(True, "2.3.19.1")
    verdict = only(judge(dovecot_config.dovecot_config, dovecot, given, RUNNING, parts))
    assert verdict.status is Status.WARNING
    assert "only the service quota-warning does nothing" in verdict.title


LIVE = "/etc/letsencrypt/live/mail/fullchain.pem"


@pytest.mark.parametrize(
    "words",
    [
        f"ssl_cert: Can't open file {LIVE}: No such file or directory",
        f"ssl_server_cert_file: open({LIVE}) failed: No such file or directory",
    ],
)
def test_a_missing_certificate_explains_the_refusal(words: str) -> None:
    said = f"doveconf: Fatal: Error in configuration file {FILE} line 1: {words}\n"
    refused = config(f"ssl_cert = <{LIVE}\n", said=said)
    verdict = only(judge(dovecot_config.dovecot_config, Dovecot(True, "2.3.19.1"), refused, STOPPED, None))
    assert verdict.explained_by == (f"connectivity.certificate@{LIVE}",)


def test_a_plug_in_that_builds_on_another_needs_it() -> None:
    text = "protocol imap {\n  mail_plugins = $mail_plugins imap_quota\n}\n"
    assert named(text) == [("companion", "quota")]
    assert named(f"mail_plugins = quota\n{text}") == []
    boxed = "protocol imap {\n  mail_plugins {\n    imap_quota = yes\n  }\n}\n"
    assert named(boxed, "2.4.1-4") == [("companion", "quota")]
    assert named(f"mail_plugins {{\n  quota = yes\n}}\n{boxed}", "2.4.1-4") == []


@pytest.mark.parametrize(
    "words",
    [
        "imap(alice)<410><g9PVThFhgJoKAAEV>: Error: Namespace '': Home directory not set for user. Can't expand ~/ for mail"
        " root dir in: ~/Maildir",
        "imap(alice): Error: Mail access for users with UID 8 not permitted (see first_valid_uid in config file, uid from"
        " userdb lookup).",
    ],
)
def test_where_no_user_is_known_the_mail_processes_tell_what_the_userdb_lacks(words: str) -> None:
    text = "passdb {\n  driver = pam\n}\nuserdb {\n  driver = static\n  args = uid=mail gid=mail\n}\n"
    said = log(f"2026-11-25T03:20:25.479590+00:00 mail dovecot: {words}\n", "", NOW_OF_LOG)
    verdict = only(judge(authentication.users, MailUsers("no users are known", ()), config(text), RUNNING, None, said))
    assert verdict.title.startswith(f"{FILE}:4: Dovecot opens no mailbox")


def test_where_no_user_is_known_and_nothing_is_said_nothing_is_judged() -> None:
    verdict = only(judge(authentication.users, MailUsers("no users are known", ()), config(""), RUNNING, None, None))
    assert verdict.status is Status.SKIPPED


def test_a_maildir_that_is_a_link_to_nowhere_is_told() -> None:
    link = info("/home/alice/Maildir", 0o777, kind=FileKind.FILE)
    box = Mailbox("alice", "alice", "alice", "/home/alice", link.path, troubles=(Trouble(link.path, "follow", link),))
    verdict, *_ = judge(mailboxes.mailbox, Mailboxes(Delivery("home_mailbox", "Maildir/"), (box,)), None)
    assert verdict.title == "/home/alice/Maildir is a link to a place that does not exist"


def test_no_plain_text_in_postfix_and_nothing_else_in_dovecot_leaves_no_mechanism() -> None:
    lines = ("smtpd_sasl_type = dovecot", "smtpd_sasl_auth_enable = yes")
    strict = postfix_files.config(*lines, "smtpd_sasl_security_options = noanonymous, noplaintext")
    plain = config(f"auth_mechanisms = plain login\n{PAM}")
    verdict = only(judge(authentication.mechanisms, plain, None, strict, None))
    assert verdict.status is Status.CRITICAL
    assert verdict.fixes[0].automatic
    assert only(judge(authentication.mechanisms, plain, None, postfix_files.config(*lines), None)).status is Status.OK


NOT_IN_GROUP = 'pam_succeed_if(dovecot:auth): requirement "user ingroup mailusers" not met by user "alice"'
WRONG = "pam_unix(dovecot:auth): authentication failure; logname= uid=0 euid=0 tty=dovecot ruser=alice rhost=10.0.1.21  user=alice"


@pytest.mark.parametrize(
    ("journal", "why"),
    [
        (
            NOT_IN_GROUP,
            'pam_succeed_if refuses it: requirement "user ingroup mailusers" not met by user "alice"',
        ),
        (f"{NOT_IN_GROUP}\n{WRONG}", ""),
        (WRONG, ""),
        (NOT_IN_GROUP.replace("alice", "bob"), ""),
        (
            "pam_access(dovecot:account): access denied for user `alice' from `10.0.1.21'",
            "pam_access refuses it: access denied for user `alice' from `10.0.1.21'",
        ),
    ],
)
def test_a_rule_of_pam_that_refuses_the_right_password_is_told(journal: str, why: str) -> None:
    failed = (
        "2026-11-25T03:51:19.016937+00:00 mail dovecot: imap-login: Disconnected: Connection closed (auth failed, 1 attempts"
        " in 4 secs): user=<alice>, method=PLAIN, rip=10.0.1.21, lip=10.0.1.10, session=<+UkcvRFhJt8KAAEV>\n"
    )
    answers: dict[Probe[Any], Any] = {
        command("passwd", "-S", "alice"): printed("alice P 2026-11-23 0 99999 7 -1\n"),
        command("chage", "-l", "alice"): printed("Password expires\t: never\n"),
        PAM_LOG: printed(f"{journal}\n"),
    }
    people = Accounts((Account("alice", 1000, 1000, "/home/alice", "/bin/bash"),))
    root = Identity("mail", "6.1", NOW_OF_LOG, NOW_OF_LOG - timedelta(days=1), True)
    found = gather(closed_accounts, answers, log=log(failed, "", NOW_OF_LOG), accounts=people, identity=root)
    assert isinstance(found, ClosedAccounts)
    assert [each.why for each in found.closed] == ([why] if why else [])


def test_a_login_that_ends_with_an_expired_password_is_a_failed_login() -> None:
    line = (
        "2026-11-25T03:50:50.313709+00:00 mail dovecot: imap-login: Disconnected: Connection closed (password expired):"
        " user=<alice>, method=PLAIN, rip=10.0.1.21, lip=10.0.1.10, session=<HOd7uxFhQJ4KAAEV>\n"
    )
    assert log(line, "", NOW_OF_LOG).summary.auth_failures_by_user == {"alice": 1}


# Recorded on Debian 13, with a passdb of driver passwd-file and deny = yes.
DISABLED = (
    "2026-11-27T15:00:47.046824+00:00 mail dovecot: imap-login: Login aborted: Logged out (user disabled, 1 attempts in 2"
    " secs) (user_disabled): user=<bob>, method=PLAIN, rip=10.0.1.21, lip=10.0.1.10, session=<68wXU0NhUNEKAAEV>\n"
)
DENY = "passdb deny {\n  driver = passwd-file\n  deny = yes\n  passwd_file_path = /etc/dovecot/refused\n}\n"
ALLOWED = "passdb {\n  driver = pam\n  override_fields = allow_nets=192.168.1.0/24,127.0.0.0/8\n}\n"


def refused(text: str, lists: str = "") -> RefusedLogins:
    answers: dict[Probe[Any], Any] = {ReadFile("/etc/dovecot/refused", hide=r"(?m)^([^:\n]*:).+$"): file(lists)}
    found = gather(refused_logins, answers, log=log(DISABLED, "", NOW_OF_LOG), config=config(text))
    assert isinstance(found, RefusedLogins)
    return found


def test_a_user_on_a_list_of_denied_users_is_told_with_the_line() -> None:
    verdict = only(judge(login_failures.accounts, ClosedAccounts((), ("bob",)), refused(DENY, "alice\nbob\n")))
    assert (verdict.status, verdict.subject) == (Status.WARNING, "bob")
    assert [each.text for each in verdict.evidence] == ["2: bob", "3: deny = yes"]
    assert not verdict.fixes[0].automatic


def test_what_dovecot_says_of_a_refused_login_is_told_where_no_list_has_the_user() -> None:
    verdict = only(judge(login_failures.accounts, ClosedAccounts(()), refused(DENY, "alice\n")))
    assert verdict.title == "bob cannot log in: Dovecot says user disabled"


# Recorded with pam_access.so on Debian 12 and 13.
NOT_PERMITTED = (
    "2026-11-28T09:02:55.791133+00:00 mail dovecot: auth-worker(259): Error: conn unix:auth-worker (pid=258,uid=102): "
    "auth-worker<1>: pam(alice,10.0.1.21,<BEdDcVJhKM4KAAEV>): pam_acct_mgmt() failed: Permission denied",
    "2026-11-28T09:20:14.312755+00:00 mail dovecot: auth-worker(alice,10.0.1.21)<218><KToor1JhwLUKAAEV>: request [1]: "
    "Error: pam: pam_acct_mgmt() failed: Permission denied",
)


@pytest.mark.parametrize("line", NOT_PERMITTED)
def test_an_account_that_pam_refuses_after_the_password_is_told(line: str) -> None:
    said = log(f"{line}\n", "", datetime(2026, 11, 28, 9, 21, tzinfo=UTC))
    found = gather(refused_logins, {}, log=said, config=config(PAM))
    (verdict,) = judge(login_failures.accounts, ClosedAccounts((), ("alice",)), found)
    assert verdict.status is Status.WARNING
    assert verdict.title == "alice cannot log in: Dovecot says pam_acct_mgmt() failed: Permission denied"


def test_networks_that_may_log_in_are_told_where_logins_from_elsewhere_fail() -> None:
    found = refused(ALLOWED)
    assert [each.addresses for each in found.shut_out] == [("10.0.1.21",)]
    assert not refused(ALLOWED.replace("192.168.1.0/24", "10.0.0.0/8")).shut_out
    assert not refused(ALLOWED.replace("192.168.1.0/24", "%{nets}")).shut_out


def test_a_small_limit_by_which_nothing_ended_is_a_notice() -> None:
    small = config("default_vsz_limit = 8 M\n")
    (told,) = judge(dovecot_limits.limits, small, log("", "", NOW_OF_LOG))
    assert told.status is Status.NOTICE


def test_a_limit_in_which_no_password_can_be_verified_is_critical_once_logins_fail() -> None:
    """Measured on Debian 12: at 24 M pam_unix says "authentication failure" to the right password, and nothing else is said."""
    small = config("default_vsz_limit = 16 M\npassdb {\n  driver = pam\n}\n")
    (quiet,) = judge(dovecot_limits.limits, small, log("", "", NOW_OF_LOG))
    (failing,) = judge(
        dovecot_limits.limits, small, log(DISABLED.replace("user disabled,", "auth failed,"), "", NOW_OF_LOG)
    )
    assert (quiet.status, failing.status) == (Status.WARNING, Status.CRITICAL)
    imap = config("service imap {\n  vsz_limit = 16 M\n}\npassdb {\n  driver = pam\n}\n")
    assert only(judge(dovecot_limits.limits, imap, log("", "", NOW_OF_LOG))).status is Status.NOTICE


def test_users_of_a_data_base_are_those_whose_mail_the_log_tells_of() -> None:
    """Recorded on Debian 13."""
    line = (
        "2026-11-27T15:12:40.146869+00:00 mail postfix/lmtp[444]: 3BE87458: to=<info@virtual.test>, "
        "relay=mail.example.test[private/dovecot-lmtp], delay=0.09, delays=0/0.01/0/0.08, dsn=4.2.0, "
        "status=deferred (host mail.example.test[private/dovecot-lmtp] said: 451 4.2.0 <info@virtual.test> Internal error "
        "occurred. Refer to server log for more information. (in reply to end of DATA command))\n"
    )
    assert log(line, "", NOW_OF_LOG).summary.mailboxes == {"info@virtual.test": 1}


DELIVERED = (
    "2026-11-28T09:13:55.458772+00:00 mail postfix/local[281]: 6C25D8F: to=<alice@example.test>, relay=local, delay=0.05, "
    "delays=0.04/0.01/0/0, dsn=2.0.0, status=sent (delivered to maildir)\n"
)


def test_people_to_whom_local_delivers_are_looked_up_where_dovecot_lists_nobody() -> None:
    name = "alice"
    asked = command("doveadm", "user", name, timeout=3.0)
    path = command("doveadm", "mailbox", "path", "-u", name, "-t", "mailbox", "INBOX", timeout=3.0)
    answers: dict[Probe[Any], Any] = {
        asked: printed(f"field\tvalue\nuid\t999\ngid\t996\nhome\t/var/vmail/{name}\n"),
        path: printed(f"/var/vmail/{name}/Maildir\n"),
    }
    accounts = Accounts((Account("alice", 1000, 1000, "/home/alice", "/bin/bash"),))
    static = config("userdb {\n  driver = static\n  args = uid=vmail gid=vmail home=/var/vmail/%u\n}\n")
    listed = gather(listed_users, {}, settings=Settings(), config=static, daemon=RUNNING, accounts=accounts)
    told = log(DELIVERED, "", datetime(2026, 11, 28, 9, 14, tzinfo=UTC))
    found = gather(mail_users, answers, listed=listed, accounts=accounts, log=told)
    assert isinstance(found, MailUsers)
    assert [(each.name, each.inbox) for each in found.users] == [(name, f"/var/vmail/{name}/Maildir")]


def test_a_limit_that_is_too_small_is_no_want_of_memory_of_the_host() -> None:
    """Recorded on Debian 13 with default_vsz_limit = 8 M."""
    line = "2026-11-25T04:06:05.356473+00:00 mail dovecot: config: Fatal: block_alloc(1048576): Out of memory\n"
    said, small = log(line, "", NOW_OF_LOG), config("default_vsz_limit = 8 M\n", "2.4.1-4")
    (setting, reached) = judge(dovecot_limits.limits, small, said)
    assert (setting.subject, setting.explained_by) == ("default_vsz_limit", ())
    assert "services.dovecot-limits@default_vsz_limit" in (reached.explained_by or ())
    verdict = only(judge(memory, said, None, LocalTime(NOW_OF_LOG, "UTC")))
    assert "services.dovecot-limits@default_vsz_limit" in (verdict.explained_by or ())


def test_a_base_that_is_not_there_is_told_where_virtual_may_not_make_it() -> None:
    def of(owner: str) -> list[Verdict]:
        answers: dict[Probe[Any], Any] = {
            Stat("/var/vmial"): Gap(GapReason.ABSENT, "no such file"),
            ListDirectory("/var/vmial", 200): Gap(GapReason.ABSENT, "no such file"),
            Stat("/var"): info("/var", 0o755, owner, kind=FileKind.DIRECTORY),
        }
        postfix = Postfix(True, "3.7.11", VIRTUAL | {"virtual_mailbox_base": "/var/vmial"})
        accounts = Accounts((Account("vmail", 5000, 5000, "/var/vmail", "/usr/sbin/nologin"),))
        found = gather(virtual_stores, answers, postfix=postfix, accounts=accounts)
        return judge(mailboxes.mailbox, Mailboxes(HOME, (MAILDIR,)), None, found)

    assert next((each.status, each.subject) for each in of("root")) == (Status.CRITICAL, "virtual_mailbox_base")
    assert [each.status for each in of("vmail")] == [Status.OK]


DROPPED = (
    "2026-11-28T05:16:44.625722+00:00 mail dovecot: master: Dovecot v2.4.1-4 (7d8c0e5759) starting up for imap, pop3, lmtp (core dumps disabled)",
    "2026-11-28T05:16:45.860825+00:00 mail dovecot: master: Warning: service(imap): client_limit/restart_request_count (1) reached, client connections are being dropped",
)


@pytest.mark.parametrize(
    ("text", "blamed"),
    [
        ("service imap {\n  process_limit = 1\n}\n", f"{FILE}:2: service imap reached process_limit = 1"),
        (
            "service imap {\n  restart_request_count = 1\n}\n",
            f"{FILE}:2: service imap reached restart_request_count = 1",
        ),
        ("service pop3 {\n  process_limit = 1\n}\n", "service imap reached client_limit/restart_request_count 1"),
    ],
)
def test_the_limit_that_somebody_set_is_named_whichever_dovecot_names(text: str, blamed: str) -> None:
    now = datetime(2026, 11, 28, 6, tzinfo=UTC)
    said = MailLog("/var/log/mail.log", now - timedelta(hours=24), summarise(DROPPED, now), ())
    verdict = only(judge(dovecot_limits.limits, config(text), said))
    assert verdict.title.startswith(blamed)
    assert bool(verdict.fixes) is blamed.startswith(FILE)


def test_a_setting_that_changes_all_names_is_blamed_for_users_that_nobody_knows() -> None:
    gone = tuple(MailUser(name, status=67, error=f"User doesn't exist: {name}") for name in ("alice", "bob"))
    text = f"auth_default_realm = other.test\n{PAM}"
    verdict = only(judge(authentication.users, MailUsers("people", gone), config(text), RUNNING, None, None))
    assert verdict.title == f"{FILE}:1: auth_default_realm = other.test, and Dovecot knows no user alice, bob"
    assert verdict.fixes[0].automatic
    one = MailUsers("people", (gone[0], MailUser("bob", {"uid": "1001"}, "/home/bob/Maildir", 0)))
    missing = judge(authentication.users, one, config(text), RUNNING, None, None)[0]
    assert (missing.title, missing.fixes) == ("Dovecot knows no user alice", ())
