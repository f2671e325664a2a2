"""What the running Postfix has read, against what lies on disk."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from maildiag.facts.postfix import Postfix
from maildiag.facts.postfix_process import PostfixProcess, find_master, postfix_process
from maildiag.model import Gap, GapReason, Status, Verdict
from maildiag.probes import Listener, Listeners, Process, Processes, ReadFile
from maildiag.testing import NOW, file, gather, judge
from maildiag_checks.postfix_loaded import compatibility, unloaded_changes
from tests.unit.postfix_files import config

START = NOW - timedelta(hours=2)


def process(name: str, pid: int, parent: int, started: datetime, program: str = "") -> Process:
    return Process(pid, parent, name, "root", (program or name,), started, 0, "sleeping")


MASTER = process("master", 100, 1, START, "/usr/lib/postfix/sbin/master")
QMGR = process("qmgr", 102, 100, NOW - timedelta(hours=1))


def running(*addresses: str) -> PostfixProcess:
    sockets = tuple(Listener("tcp", address, 25, 100, "master") for address in addresses)
    return find_master((MASTER, QMGR), True, sockets)


def said(found: PostfixProcess, *lines: str, **changes: object) -> list[Verdict]:
    made = config(*lines, main_changed=START, master_changed=START, **changes)  # type: ignore[arg-type]
    return judge(unloaded_changes, made, found)


def test_the_start_of_qmgr_tells_of_the_last_reload() -> None:
    assert running().loaded == QMGR.started


def test_sockets_that_smtpd_shares_with_master_are_postfix_s() -> None:
    smtpd = process("smtpd", 103, 100, NOW)
    found = find_master((MASTER, QMGR, smtpd), True, (Listener("tcp", "0.0.0.0", 25, 103, "smtpd"),))
    assert len(found.listeners) == 1


def test_of_several_instances_the_default_one_is_told_by_its_pid_file() -> None:
    other = process("master", 200, 1, NOW, "/usr/lib/postfix/sbin/master")
    processes = (MASTER, QMGR, other, process("qmgr", 202, 200, NOW))
    listening = (Listener("tcp", "127.0.0.1", 25, 100, "master"), Listener("tcp", "10.0.1.10", 25, 200, "master"))
    server = Postfix(
        True, "3.7", {"queue_directory": "/var/spool/postfix", "multi_instance_directories": "/etc/postfix-out"}
    )
    pid_file = ReadFile("/var/spool/postfix/pid/master.pid")
    answers = {Processes(): processes, Listeners(): listening, pid_file: file("             100\n")}
    found = gather(postfix_process, answers, postfix=server)
    assert isinstance(found, PostfixProcess)
    assert (found.master, found.loaded, found.listeners) == (MASTER, QMGR.started, listening[:1])
    unseen = gather(postfix_process, {**answers, pid_file: Gap(GapReason.DENIED, "denied")}, postfix=server)
    assert isinstance(unseen, PostfixProcess)
    assert unseen.master == other


def test_a_master_of_something_else_is_not_postfix() -> None:
    assert not find_master((process("master", 7, 1, START, "/usr/lib/other/master"),), True).running


def test_files_that_were_read_since_their_change_are_fine() -> None:
    assert [each.status for each in said(running("0.0.0.0"))] == [Status.OK]


@pytest.mark.parametrize("name", ["main", "master"])
def test_a_change_after_the_last_reload_is_a_warning(name: str) -> None:
    found = judge(unloaded_changes, config(**{f"{name}_changed": NOW}), running())  # type: ignore[arg-type]
    assert [(each.status, each.subject) for each in found] == [(Status.WARNING, f"{name}.cf")]
    assert found[0].fixes[0].commands == (("postfix", "reload"),)


def test_interfaces_that_a_reload_did_not_open_need_a_restart() -> None:
    found = said(running("127.0.0.1"), "inet_interfaces = all")
    assert [(each.status, each.subject) for each in found] == [(Status.CRITICAL, "inet_interfaces")]
    assert found[0].fixes[0].commands == (("systemctl", "restart", "postfix"),)


def test_interfaces_that_a_reload_did_not_close_are_a_warning() -> None:
    found = said(running("0.0.0.0"), "inet_interfaces = loopback-only")
    assert [each.status for each in found] == [Status.WARNING]


@pytest.mark.parametrize(
    ("value", "bound"),
    [
        ("all", ("0.0.0.0", "::")),
        ("loopback-only", ("127.0.0.1", "::1")),
        ("127.0.0.1, 10.0.1.10", ("127.0.0.1", "10.0.1.10")),
    ],
)
def test_interfaces_that_agree_are_fine(value: str, bound: tuple[str, ...]) -> None:
    assert [each.status for each in said(running(*bound), f"inet_interfaces = {value}")] == [Status.OK]


def test_a_postfix_that_does_not_run_is_skipped_and_an_unseen_one_unknown() -> None:
    assert said(PostfixProcess(True, True))[0].status is Status.SKIPPED
    assert said(PostfixProcess(False, True))[0].status is Status.UNKNOWN


def test_a_parameter_on_its_way_out_is_a_notice() -> None:
    line = (
        'postconf: warning: /etc/postfix/main.cf: support for parameter "smtpd_use_tls" will be removed; '
        'instead, specify "smtpd_tls_security_level"'
    )
    found = judge(compatibility, config(said=(line,)))
    assert [(each.status, each.subject) for each in found] == [(Status.NOTICE, "main.cf:smtpd_use_tls")]


def test_a_level_above_the_program_s_version_is_a_notice() -> None:
    assert judge(compatibility, config("compatibility_level = 99"))[0].status is Status.NOTICE
    assert judge(compatibility, config())[0].status is Status.OK


def test_a_master_whose_program_was_replaced_is_told_and_no_fault() -> None:
    old = find_master((replace(MASTER, replaced=True), QMGR), True)
    (verdict,) = said(old)
    assert (verdict.status, verdict.subject) == (Status.NOTICE, "program")
    assert verdict.fixes[0].commands == (("systemctl", "restart", "postfix"),)
