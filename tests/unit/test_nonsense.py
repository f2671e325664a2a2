"""Programs that print nonsense, nothing, or cannot be asked: the fact is a gap, never a wrong value."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from maildiag.asking import gather_alone
from maildiag.dovecot.tree import tree_of
from maildiag.facts.accounts import accounts
from maildiag.facts.dovecot import MAIN, SECRETS, Dovecot, DovecotConfig, dovecot, dovecot_config
from maildiag.facts.dovecot_daemon import DovecotDaemon
from maildiag.facts.firewall import firewall
from maildiag.facts.local_time import LocalTime
from maildiag.facts.mail_users import ListedUsers, MailUsers, listed_users
from maildiag.facts.postfix import Postfix, postfix
from maildiag.facts.postfix_config import PostfixConfig, postfix_config
from maildiag.facts.processes import ProcessTable
from maildiag.facts.queue import MOST_BYTES, queue
from maildiag.facts.routes import routes
from maildiag.facts.sockets import expected
from maildiag.facts.tls import CertificateFiles, certificate_files
from maildiag.hosts.system import unhidden
from maildiag.model import Gap, GapReason, HostRole, Missing, Role
from maildiag.probes import Command, CommandResult, Identity, Interfaces, Probe, ReadFile, Stat, command
from maildiag.settings import Settings
from maildiag.testing import NOW, TableHost, file, gather, info, printed
from tests.unit.recorded import process

Answers = dict[Probe[Any], Any]

NONSENSE = printed("\x00\udc87 { smtp \n\n = *\t%x\nfield 7\n")
POSTFIX = Postfix(True, "3.7.11", {"mail_version": "3.7.11"})
TIME = LocalTime(NOW, "UTC")
VERSION: Answers = {command("dovecot", "--version"): printed("2.3.19.1 (9b53102964)\n")}
STRICT = Command(("doveconf", "-x", "-n"), discard_stdout=True)
EVERY = command("doveconf", "-a")
CONFIG = DovecotConfig("2.3.19.1", tree_of(""), tree_of(""))
QUEUE = Command(("postqueue", "-j"), timeout=20.0, most=MOST_BYTES)
NO_RULES = printed('{"nftables": [{"metainfo": {"version": "1.0.6"}}]}')
NONE_SAVED = printed("")
HUNG = Gap(GapReason.TIMEOUT, "timed out")


def rules(ruleset: Any, saved: Any) -> Answers:
    """What nft and iptables-save said."""
    return {command("nft", "-j", "list", "ruleset"): ruleset, command("iptables-save"): saved}


@pytest.mark.parametrize(
    ("gatherer", "answers", "facts"),
    [
        (postfix, {command("postconf", "-x"): NONSENSE}, {}),
        (postfix_config, {command("postconf", "-dx"): NONSENSE}, {"postfix": POSTFIX}),
        (
            expected,
            {Interfaces(): (), command("postconf", "-M"): NONSENSE},
            {"postfix": POSTFIX, "dovecot": None, "settings": Settings(), "role": None},
        ),
        (dovecot, VERSION | {command("doveconf", "-n"): NONSENSE}, {}),
        (queue, {QUEUE: NONSENSE}, {"postfix": POSTFIX, "time": TIME}),
        (queue, {QUEUE: CommandResult(0, "x" * 1000, "", truncated=True)}, {"postfix": POSTFIX, "time": TIME}),
        (accounts, {command("getent", "passwd"): NONSENSE, command("getent", "group"): NONSENSE}, {}),
        (routes, {command("ip", "-j", "-4", "route"): printed(""), command("ip", "-j", "addr"): printed("")}, {}),
        (firewall, rules(NONSENSE, NONE_SAVED), {"identity": None}),
        (firewall, rules(NO_RULES, NONSENSE), {"identity": None}),
    ],
)
def test_nonsense_is_a_failed_look(gatherer: Callable[..., Any], answers: Answers, facts: dict[str, Any]) -> None:
    gap = gather(gatherer, answers, **facts)
    assert isinstance(gap, Gap)
    assert gap.reason is GapReason.FAILED


def test_rules_that_could_not_be_read_are_not_taken_for_none() -> None:
    for answers in (rules(HUNG, NONE_SAVED), rules(NO_RULES, HUNG)):
        assert gather(firewall, answers, identity=None) == HUNG


def test_the_rules_of_firewalld_cannot_be_seen_without_nft() -> None:
    answers = rules(Gap(GapReason.ABSENT, "nft is not installed"), NONE_SAVED)
    table = ProcessTable((process("firewalld", 7, NOW, "/usr/bin/python3 /usr/sbin/firewalld"),))
    gap = gather(firewall, answers, identity=None, processes=table)
    assert isinstance(gap, Gap)
    assert "nft is not installed" in gap.detail


def test_a_missing_postconf_is_not_a_host_without_postfix() -> None:
    absent: Answers = {command("postconf", "-x"): Gap(GapReason.ABSENT, "postconf is not installed")}
    gap = gather(postfix, absent | {Stat("/usr/sbin/postfix"): info("/usr/sbin/postfix", 0o755)})
    assert isinstance(gap, Gap)
    found = gather(postfix, absent | {Stat("/usr/sbin/postfix"): Gap(GapReason.ABSENT, "no such file")})
    assert isinstance(found, Postfix)
    assert not found.installed


def test_table_types_that_cannot_be_right_are_not_judged() -> None:
    answers: Answers = {
        command("postconf", "-dx"): printed("mail_version = 3.7.11\n"),
        command("postconf", "-m"): NONSENSE,
    }
    config = gather(postfix_config, answers, postfix=POSTFIX)
    assert isinstance(config, PostfixConfig)
    assert config.table_types == frozenset()


def test_a_configuration_test_that_fails_without_a_word_is_no_pass() -> None:
    answers: Answers = {
        STRICT: printed("", "something is wrong", 1),
        EVERY: NONSENSE,
        ReadFile(MAIN, hide=SECRETS): file("ssl = no\n"),
    }
    config = gather(dovecot_config, answers, dovecot=Dovecot(True, "2.3.19.1"))
    assert isinstance(config, DovecotConfig)
    assert [each.reason for each in config.unreadable] == [GapReason.FAILED]
    assert config.value("ssl") == "no"


def looked_up(answers: Answers) -> MailUsers | Gap:
    listed = gather(
        listed_users,
        answers,
        settings=Settings(test_users=("alice",)),
        config=CONFIG,
        daemon=DovecotDaemon(running=True),
        accounts=None,
    )
    return listed.found if isinstance(listed, ListedUsers) else listed


def test_nobody_but_root_has_dovecot_look_others_up_for_it_would_log_an_error() -> None:
    host = TableHost({})
    nobody = Identity("mail", "Linux", NOW, NOW, False)
    facts = {"settings": Settings(test_users=("alice",)), "config": CONFIG, "daemon": None, "accounts": None}
    gap = gather_alone(listed_users, host, facts | {"identity": nobody})
    assert isinstance(gap, Gap)
    assert gap.reason is GapReason.DENIED
    assert host.asked == []


LOOK_UP = command("doveadm", "user", "alice", timeout=3.0)
HELP = command("doveadm", "help", timeout=2.0)


def test_a_look_up_that_hangs_blames_the_authentication_only_where_doveadm_itself_works() -> None:
    assert looked_up({LOOK_UP: HUNG, HELP: HUNG}) == HUNG
    found = looked_up({LOOK_UP: HUNG, HELP: printed("usage: doveadm …")})
    assert isinstance(found, MailUsers)
    assert found.silent


@pytest.mark.parametrize("answer", [printed(""), NONSENSE, printed("", "something is wrong", 1)])
def test_a_look_up_that_tells_neither_a_user_nor_an_error_is_a_gap(answer: Any) -> None:
    assert isinstance(looked_up({LOOK_UP: answer}), Gap)


def test_an_inbox_that_is_no_path_is_not_known() -> None:
    table = printed("field\tvalue\nuid\t1000\nhome\t/home/alice\n\n")
    path = command("doveadm", "mailbox", "path", "-u", "alice", "-t", "mailbox", "INBOX", timeout=3.0)
    found = looked_up({LOOK_UP: table, path: NONSENSE})
    assert isinstance(found, MailUsers)
    assert (found.users[0].status, found.users[0].inbox) == (-1, "")


@pytest.mark.parametrize("answer", [printed(""), NONSENSE, printed("", "something is wrong", 1)])
def test_an_openssl_that_tells_neither_a_certificate_nor_an_error_says_nothing_of_the_file(answer: Any) -> None:
    path = "/etc/ssl/certs/mail.pem"
    options = ("-subject", "-issuer", "-serial", "-dates", "-pubkey", "-ext", "subjectAltName,authorityInfoAccess")
    read = command("openssl", "x509", "-in", path, "-noout", *options, "-nameopt", "RFC2253")
    server = Postfix(True, "3.7", {"smtpd_tls_cert_file": path})
    role = HostRole(Role.MAIL_SERVER, "a test")
    found = gather(certificate_files, {read: answer}, postfix=server, dovecot=None, role=role)
    assert isinstance(found, CertificateFiles)
    assert isinstance(found.files[0].read, Gap)


def test_processes_without_init_are_hidden_and_not_ended() -> None:
    mine = process("maildiag", 4711, NOW, "/usr/bin/python3 -m maildiag")
    with pytest.raises(Missing) as hidden:
        unhidden((mine,))
    assert hidden.value.gap.reason is GapReason.DENIED
    init = process("systemd", 1, NOW, "/sbin/init")
    assert unhidden((init, mine)) == (init, mine)
