"""What the checks of main.cf and master.cf say, and the commands that they offer."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from maildiag.facts.postfix import Postfix
from maildiag.facts.postfix_config import CANARY, PostfixConfig, postfix_config
from maildiag.facts.postfix_process import PostfixProcess
from maildiag.model import Gap, GapReason, HostRole, Role, Status
from maildiag.probes import FileKind, Interface, Interfaces, ReadFile, command
from maildiag.testing import file, gather, info, judge, printed
from maildiag_checks.postfix_config import main_cf, master_cf
from tests.unit.postfix_files import RELEASES, config, recorded
from tests.unit.recorded import log

SERVER = HostRole(Role.MAIL_SERVER, "test")
STOPPED = PostfixProcess(True, True)


@pytest.mark.parametrize("release", RELEASES)
def test_stock_files_are_sound(release: str) -> None:
    made = config(release=release)
    found = [*judge(main_cf, made, None, None), *judge(master_cf, made, None, SERVER)]
    assert [each.status for each in found] == [Status.OK, Status.OK]


def test_a_fault_comes_with_file_line_text_and_commands() -> None:
    found = judge(main_cf, config("message_size_limit = 10240000 # 10MB"), STOPPED, None)
    assert len(found) == 1
    assert (found[0].status, found[0].subject) == (Status.CRITICAL, "main.cf:message_size_limit")
    assert found[0].evidence[0].source == f"/etc/postfix/main.cf:{found[0].data['line']}"
    assert "message_size_limit = 10240000 # 10MB" in found[0].evidence[0].text
    fix = found[0].fixes[0]
    assert fix.commands == (("postconf", "-e", "message_size_limit=10240000"), ("systemctl", "restart", "postfix"))
    assert (fix.automatic, fix.changes, fix.guards) == (True, ("/etc/postfix/main.cf",), (("postfix", "check"),))


def test_two_faults_that_stop_postfix_are_mended_together() -> None:
    found = judge(main_cf, config("message_size_limit = 1 # x", "soft_bounce = true"), STOPPED, None)
    assert len(found) == 2
    together = found[0].fixes[0]
    assert together.id == "services.main-cf/mend-all"
    assert together == found[1].fixes[0]
    assert together.commands == (
        ("postconf", "-e", "message_size_limit=1"),
        ("postconf", "-e", "soft_bounce=yes"),
        ("systemctl", "restart", "postfix"),
    )


def test_what_no_rule_knows_is_told_in_postfix_s_words() -> None:
    said = "postmap: fatal: file /etc/postfix/main.cf: parameter mail_owner: unknown user name value: nosuch"
    found = judge(main_cf, config("mail_owner = nosuch", fatal=(said,)), STOPPED, None)
    assert [each.status for each in found] == [Status.CRITICAL]
    assert "unknown user name value: nosuch" in found[0].title


def test_a_fault_of_master_cf_is_not_blamed_on_main_cf() -> None:
    master = recorded("master.cf", "debian12") + "this is junk\n"
    made = config(master=master, fatal=("postconf: fatal: file /etc/postfix/master.cf: line 138: bad field count",))
    assert [each.status for each in judge(main_cf, made, STOPPED, None)] == [Status.OK]
    assert [each.status for each in judge(master_cf, made, STOPPED, SERVER)] == [Status.CRITICAL]


def test_files_that_cannot_be_read_are_unknown() -> None:
    gap = Gap(GapReason.DENIED, "/etc/postfix/main.cf: Permission denied", "needs root")
    assert judge(main_cf, config(gaps=(gap,)), None, None)[0].status is Status.UNKNOWN


ANSWERS = {
    command("postconf", "-dx"): printed(recorded("postconf-dx.txt", "debian12")),
    command("postconf", "-n"): printed("", "postconf: warning: /etc/postfix/main.cf: unused parameter: foo=bar\n" * 2),
    command("postconf", "-m"): printed("hash\nbtree\n"),
    CANARY: printed("maildiag\n"),
    ReadFile("/etc/postfix/main.cf"): file("foo = bar\n"),
    ReadFile("/etc/postfix/master.cf"): file(recorded("master.cf", "debian12")),
    Interfaces(): (Interface("lo", True, ("127.0.0.1",), 65536),),
}


def test_the_configuration_is_gathered_from_the_files_and_what_postfix_says() -> None:
    found = gather(
        postfix_config, ANSWERS, postfix=Postfix(installed=True, settings={"myhostname": "mail.example.test"})
    )
    assert isinstance(found, PostfixConfig)
    assert found.said == ("postconf: warning: /etc/postfix/main.cf: unused parameter: foo=bar",)
    assert (found.fatal, found.get("myhostname"), found.addresses) == (
        (),
        "mail.example.test",
        frozenset({"127.0.0.1"}),
    )


def test_a_file_that_postconf_refuses_is_judged_from_its_text() -> None:
    refused = "postconf: fatal: /etc/postfix/main.cf, line 1: missing '=' after attribute name: \"this is wrong\""
    answers = ANSWERS | {
        command("postconf", "-n"): printed(stderr=refused + "\n", status=1),
        ReadFile("/etc/postfix/main.cf"): file("this is wrong\n"),
    }
    found = gather(postfix_config, answers, postfix=Gap(GapReason.FAILED, "postconf printed no settings"))
    assert isinstance(found, PostfixConfig)
    assert found.fatal == (refused,)
    assert [each.subject for each in judge(main_cf, found, None, None)] == ["main.cf"]


def test_a_master_cf_that_stops_even_postconf_is_judged_from_its_text() -> None:
    refused = "postconf: fatal: file /etc/postfix/master.cf: line 143: bad field count\n"
    answers = ANSWERS | {
        command("postconf", "-dx"): printed(stderr=refused, status=1),
        ReadFile("/etc/postfix/master.cf"): file(recorded("master.cf", "debian12") + "this is junk\n"),
    }
    found = gather(postfix_config, answers, postfix=Gap(GapReason.FAILED, f"postconf printed no settings: {refused}"))
    assert isinstance(found, PostfixConfig)
    assert "master.cf:this" in [each.subject for each in judge(master_cf, found, STOPPED, SERVER)]


def test_a_host_without_postfix_has_no_configuration() -> None:
    found = gather(postfix_config, {}, postfix=Postfix(installed=False))
    assert isinstance(found, Gap)
    assert found.reason is GapReason.ABSENT


def test_a_parameter_that_postfix_refuses_is_named_with_its_line_and_set_back() -> None:
    said = "postmap: fatal: file /etc/postfix/main.cf: parameter default_privs: user root has privileged user ID"
    found = config("default_privs = root", fatal=(said,))
    (verdict,) = [each for each in judge(main_cf, found, None, None) if each.status.failing]
    assert verdict.subject == "main.cf:default_privs"
    assert verdict.fixes[0].commands[0] == ("postconf", "-X", "default_privs")
    assert verdict.fixes[0].automatic


def test_a_main_cf_that_is_gone_is_critical_and_its_copy_is_named() -> None:
    gone = Gap(GapReason.ABSENT, "/etc/postfix/main.cf: no such file")
    (verdict,) = judge(main_cf, config(gaps=(gone,), files=("main.cf.old", "main.cf.proto")), None, None)
    assert verdict.status is Status.CRITICAL
    assert "main.cf.old" in verdict.detail
    assert "main.cf.proto" not in verdict.detail


def test_a_directory_that_only_root_may_enter_is_opened() -> None:
    closed = info("/etc/postfix", kind=FileKind.DIRECTORY, mode=0o700)
    (verdict,) = [each for each in judge(main_cf, config(closed=(closed,)), None, None) if each.status.failing]
    assert verdict.fixes[0].commands == (("chmod", "755", "/etc/postfix"),)
    assert verdict.fixes[0].undo == (("chmod", "700", "/etc/postfix"),)


# Recorded from Postfix 3.10.13, whose port 25 a client came to without the load balancer.
WITHOUT_PROXY = "2026-11-27T15:36:39.717151+00:00 mail postfix/smtpd[350]: warning: haproxy read: timeout error\n"


@pytest.mark.parametrize(("lines", "status"), [(WITHOUT_PROXY, Status.WARNING), ("", Status.NOTICE)])
def test_the_proxy_protocol_is_a_fault_only_where_clients_come_without_it(lines: str, status: Status) -> None:
    made = config("smtpd_upstream_proxy_protocol = haproxy")
    found = judge(main_cf, made, None, log(lines, "", datetime(2026, 11, 27, 15, 37, tzinfo=UTC)))
    assert [each.status for each in found if each.subject.endswith("proxy_protocol")] == [status]
