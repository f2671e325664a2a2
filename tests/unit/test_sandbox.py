"""What systemd keeps daemons away from, by the settings of their units."""

from __future__ import annotations

import pytest

from maildiag.facts.fences import PROPERTIES, UNITS, Fence, Fences, Place, fences
from maildiag.facts.mailboxes import Delivery, Mailbox, Mailboxes
from maildiag.facts.postfix import Postfix
from maildiag.model import Status, Verdict
from maildiag.probes import ReadFile, command
from maildiag.testing import file, gather, judge, printed
from maildiag_checks.sandbox import sandbox
from tests.unit.test_dovecot_checks import config

DROP_IN = "/etc/systemd/system/dovecot.service.d/hard.conf"
BOX = Mailbox("alice", "alice", "alice", "/home/alice", "/home/alice/Maildir", "/home/alice/Maildir")
BOXES = Mailboxes(Delivery("home_mailbox", "Maildir/"), (BOX,))
POSTFIX = Postfix(True, "3.7", {"queue_directory": "/var/spool/postfix", "data_directory": "/var/lib/postfix"})


def fence(unit: str = "dovecot.service", **values: str) -> Fence:
    return Fence(unit, {"LoadState": "loaded", "ActiveState": "active", "Type": "notify", **values})


def test_what_debian_ships_keeps_nobody_away() -> None:
    shipped = fence(ProtectHome="no", ProtectSystem="full", PrivateNetwork="no", ConditionResult="yes")
    (told,) = judge(sandbox, Fences((shipped,)), POSTFIX, BOXES)
    assert told.status is Status.OK


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"ProtectHome": "yes"}, "from seeing /home/alice/Maildir"),
        ({"ProtectHome": "read-only"}, "from writing to /home/alice/Maildir"),
        ({"ProtectSystem": "strict"}, "from writing to /home/alice/Maildir"),
        ({"ReadOnlyPaths": "/srv /home"}, "from writing to /home/alice/Maildir"),
        ({"InaccessiblePaths": "-/home"}, "from seeing /home/alice/Maildir"),
        ({"PrivateNetwork": "yes"}, "without a network"),
        ({"IPAddressDeny": "::/0 0.0.0.0/0"}, "without a network"),
    ],
)
def test_each_setting_that_closes_a_mailbox_or_the_network_is_told(values: dict[str, str], words: str) -> None:
    (told,) = judge(sandbox, Fences((fence(**values),)), POSTFIX, BOXES)
    assert told.status is Status.CRITICAL
    assert words in told.title
    assert told.subject == "dovecot"


@pytest.mark.parametrize(
    "values",
    [
        {"ProtectSystem": "strict", "ReadWritePaths": "/home /var/spool/postfix"},
        {"IPAddressDeny": "::/0 0.0.0.0/0", "IPAddressAllow": "10.0.1.0/24 127.0.0.0/8"},
        {"ProtectHome": "read-only", "ReadWritePaths": "/home"},
    ],
)
def test_a_sandbox_with_the_needed_places_open_is_fine(values: dict[str, str]) -> None:
    (told,) = judge(sandbox, Fences((fence(**values),)), POSTFIX, BOXES)
    assert told.status is Status.OK


@pytest.mark.parametrize(("made", "status"), [("", Status.CRITICAL), ("dovecot", Status.OK)])
def test_a_locked_place_to_run_in_is_told_of_dovecot(made: str, status: Status) -> None:
    runs_in = config("base_dir = /run/dovecot\n")
    strict = fence(ProtectSystem="strict", RuntimeDirectory=made, ReadWritePaths="/home", ActiveState="failed")
    (told,) = judge(sandbox, Fences((strict,)), POSTFIX, None, runs_in)
    assert told.status is status
    assert status is Status.OK or "Dovecot from writing to /run/dovecot" in told.title


def test_a_locked_spool_is_told_of_postfix() -> None:
    (told,) = judge(sandbox, Fences((fence("postfix@-.service", ProtectSystem="strict"),)), POSTFIX, None)
    assert "Postfix from writing to /var/spool/postfix" in told.title


def test_a_template_beside_the_real_unit_is_not_judged() -> None:
    idle = fence("postfix@-.service", ActiveState="inactive", PrivateNetwork="yes")
    (told,) = judge(sandbox, Fences((idle, fence("postfix.service", PrivateNetwork="no"))), POSTFIX, None)
    assert told.status is Status.OK


def test_a_condition_that_does_not_hold_is_why_nothing_starts() -> None:
    values = {"ActiveState": "inactive", "ConditionResult": "no", "ConditionTimestamp": "Wed 2026-11-25 03:00:00 UTC"}
    (told,) = judge(sandbox, Fences((fence(**values),)), POSTFIX, BOXES)
    assert told.subject == "dovecot condition"
    never = {**values, "ConditionTimestamp": ""}
    (told,) = judge(sandbox, Fences((fence(**never),)), POSTFIX, BOXES)
    assert told.status is Status.OK


def test_a_condition_of_the_shipped_unit_hangs_beneath_a_missing_main_cf() -> None:
    values = {"ActiveState": "inactive", "ConditionResult": "no", "ConditionTimestamp": "Wed 2026-11-25 04:40:50 UTC"}
    (told,) = judge(sandbox, Fences((fence("postfix.service", **values),)), None, None)
    assert told.explained_by == ("services.main-cf@main.cf",)
    (told,) = judge(sandbox, Fences((fence("postfix.service", PrivateNetwork="yes"),)), None, None)
    assert told.explained_by == ()


def test_the_drop_in_s_line_is_shown_and_can_be_taken_out() -> None:
    shown = f"Id=dovecot.service\nLoadState=loaded\nActiveState=active\nType=notify\nProtectHome=yes\nDropInPaths={DROP_IN}\n"
    answers = {
        command("systemctl", "show", "--no-pager", f"--property={PROPERTIES}", *UNITS): printed(shown),
        ReadFile(DROP_IN): file("[Service]\nProtectHome=yes\n"),
    }
    found = gather(fences, answers)
    assert isinstance(found, Fences)
    (told,) = judge(sandbox, found, POSTFIX, BOXES)
    assert told.evidence[-1].text == "2: ProtectHome=yes"
    assert told.fixes[0].commands[0] == ("sed", "-i", "--follow-symlinks", "2s/^/#/", DROP_IN)
    assert not told.fixes[0].automatic


COMMANDS = """\
Type=forking
ExecStartPre={ path=/usr/lib/postfix/configure-instance.sh ; argv[]=/usr/lib/postfix/configure-instance.sh - ; ignore_errors=no ; start_time=[Sat 2026-11-28 04:10:38 UTC] ; stop_time=[Sat 2026-11-28 04:10:39 UTC] ; pid=647 ; code=exited ; status=0 }
ExecStartPre={ path=/bin/false ; argv[]=/bin/false ; ignore_errors=no ; start_time=[Sat 2026-11-28 04:10:39 UTC] ; stop_time=[Sat 2026-11-28 04:10:39 UTC] ; pid=702 ; code=exited ; status=1 }
ExecStart={ path=/usr/sbin/postmulti ; argv[]=/usr/sbin/postmulti -i - -p start ; ignore_errors=no ; start_time=[n/a] ; stop_time=[n/a] ; pid=0 ; code=(null) ; status=0/0 }
ProtectHome=no
Id=postfix@-.service
LoadState=loaded
ActiveState=failed
DropInPaths=/etc/systemd/system/postfix@-.service.d/x.conf
ConditionResult=yes
"""


def commanded(line: str, shown: str = COMMANDS) -> list[Verdict]:
    answers = {
        command("systemctl", "show", "--no-pager", f"--property={PROPERTIES}", *UNITS): printed(shown),
        ReadFile("/etc/systemd/system/postfix@-.service.d/x.conf"): file(f"[Service]\n{line}\n"),
    }
    found = gather(fences, answers)
    assert isinstance(found, Fences)
    return judge(sandbox, found, None, None)


def test_a_command_that_somebody_added_and_that_fails_is_the_cause() -> None:
    (told,) = commanded("ExecStartPre=/bin/false")
    assert (told.status, told.subject) == (Status.CRITICAL, "postfix command")
    assert "ends with exit status 1: ExecStartPre=/bin/false" in told.title
    assert told.fixes[0].commands[0][-1] == "/etc/systemd/system/postfix@-.service.d/x.conf"


def test_a_command_that_failed_once_or_may_fail_or_is_not_of_the_drop_in_is_none() -> None:
    assert commanded("ExecStartPre=/bin/true")[0].status is Status.OK
    assert commanded("ExecStartPre=/bin/false", COMMANDS.replace("=failed", "=active"))[0].status is Status.OK
    ignored = COMMANDS.replace("argv[]=/bin/false ; ignore_errors=no", "argv[]=/bin/false ; ignore_errors=yes")
    assert commanded("ExecStartPre=-/bin/false", ignored)[0].status is Status.OK


def hardened(*lines: str) -> Verdict:
    places: dict[str, tuple[Place, ...]] = {}
    for number, line in enumerate(lines, 2):
        name = line.partition("=")[0]
        places[name] = (*places.get(name, ()), Place(DROP_IN, number, line))
    values = {"LoadState": "loaded", "ActiveState": "active", "Type": "notify"}
    told, *_ = judge(sandbox, Fences((Fence("dovecot.service", values, places),)), POSTFIX, BOXES)
    return told


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("User=dovecot", "must start as root"),
        ("CapabilityBoundingSet=CAP_NET_BIND_SERVICE CAP_KILL", "it lacks CAP_CHOWN, CAP_DAC_OVERRIDE, CAP_SETGID"),
        ("CapabilityBoundingSet=~CAP_SETUID CAP_SYS_ADMIN", "it lacks CAP_SETUID"),
        ("RestrictAddressFamilies=AF_INET AF_INET6", "no socket of AF_UNIX"),
        ("PrivateUsers=yes", "cannot become the user"),
        ("LimitNOFILE=64", "64 open files are too few"),
        ("TasksMax=6", "6 processes are too few"),
    ],
)
def test_a_right_that_a_line_takes_away_is_told_with_its_place(line: str, words: str) -> None:
    told = hardened(line)
    assert told.status.failing
    assert words in told.title
    assert f"{DROP_IN}:2" in told.detail
    assert told.fixes[0].commands[0][-1] == DROP_IN


@pytest.mark.parametrize(
    "lines",
    [
        ("User=root",),
        ("CapabilityBoundingSet=~CAP_SYS_ADMIN CAP_SYS_PTRACE",),
        ("RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6",),
        ("TasksMax=6", "TasksMax=4096"),
        ("LimitNOFILE=65536:65536", "Restart=always", "Environment=TZ=UTC"),
    ],
)
def test_rights_that_suffice_are_fine(lines: tuple[str, ...]) -> None:
    assert hardened(*lines).status is Status.OK


OWN = "/etc/systemd/system/dovecot.service"
SHOWN = command("systemctl", "show", "--no-pager", f"--property={PROPERTIES}", *UNITS)


@pytest.mark.parametrize(("status", "told"), [(203, ["dovecot command"]), (89, [])])
def test_a_start_line_that_systemd_cannot_execute_is_told_and_what_the_daemon_ends_with_is_not(
    status: int, told: list[str]
) -> None:
    line = "ExecStart=/usr/local/sbin/dovecot -F"
    properties = (
        "Id=dovecot.service\nLoadState=loaded\nActiveState=failed\nType=simple\nDropInPaths=\n"
        "ExecStart={ path=/usr/local/sbin/dovecot ; argv[]=/usr/local/sbin/dovecot -F ; ignore_errors=no ; "
        "start_time=[Sat 2026-11-28 08:58:51 UTC] ; stop_time=[Sat 2026-11-28 08:58:51 UTC] ; pid=411 ; code=exited ; "
        f"status={status} }}\n"
    )
    found = gather(fences, {SHOWN: printed(properties), ReadFile(OWN): file(f"[Service]\n{line}\n")})
    assert isinstance(found, Fences)
    failing = [each for each in judge(sandbox, found, None, None) if each.status is Status.CRITICAL]
    assert [each.subject for each in failing] == told
    assert all("mv /etc/systemd/system/dovecot.service" in each.fixes[0].ask for each in failing)


@pytest.mark.parametrize(
    ("active", "load", "status"),
    [
        ("inactive", "not-found", Status.CRITICAL),
        ("active", "not-found", Status.WARNING),
        ("active", "loaded", Status.OK),
    ],
)
def test_a_required_unit_that_does_not_exist_keeps_the_daemon_down(active: str, load: str, status: Status) -> None:
    properties = f"Id=dovecot.service\nLoadState=loaded\nActiveState={active}\nType=notify\nDropInPaths={DROP_IN}\n"
    asked = command("systemctl", "show", "--no-pager", "--property=Id,LoadState", "mysql.service")
    answers = {
        SHOWN: printed(properties),
        ReadFile(DROP_IN): file("[Unit]\nRequires=mysql.service\n"),
        asked: printed(f"Id=mysql.service\nLoadState={load}\n"),
    }
    found = gather(fences, answers)
    assert isinstance(found, Fences)
    (told,) = judge(sandbox, found, None, None)
    assert told.status is status


# Recorded on Debian 13 with SystemCallFilter=~@chown @setuid.
KILLED = (
    "{ path=/usr/sbin/dovecot ; argv[]=/usr/sbin/dovecot -F ; ignore_errors=no ; start_time=[Sat 2026-11-28 13:29:46 UTC] ; "
    "stop_time=[Sat 2026-11-28 13:29:46 UTC] ; pid=534 ; code=killed ; status=31/SYS }"
)


@pytest.mark.parametrize(
    ("start", "status"), [(KILLED, Status.CRITICAL), (KILLED.replace("31/SYS", "9/KILL"), Status.OK)]
)
def test_a_filter_of_system_calls_is_named_where_the_daemon_died_of_it(start: str, status: Status) -> None:
    line = Place(DROP_IN, 2, "SystemCallFilter=~@chown @setuid")
    values = {"LoadState": "loaded", "ActiveState": "failed", "Type": "notify", "ExecStart": start}
    died = Fence("dovecot.service", values, {"SystemCallFilter": (line,)})
    (told,) = judge(sandbox, Fences((died,)), POSTFIX, BOXES)
    assert told.status is status
    assert told.status is Status.OK or told.title.endswith("SystemCallFilter=~@chown @setuid")


def test_a_configuration_that_the_daemon_alone_cannot_see_is_told() -> None:
    hidden = fence("postfix.service", InaccessiblePaths="/etc/postfix/main.cf")
    (told,) = judge(sandbox, Fences((hidden,)), POSTFIX, BOXES)
    assert told.title.startswith("systemd keeps Postfix from seeing /etc/postfix/main.cf: InaccessiblePaths")


def test_a_configuration_is_read_and_not_written() -> None:
    (told,) = judge(sandbox, Fences((fence("postfix.service", ProtectSystem="full"),)), POSTFIX, BOXES)
    assert told.status is Status.OK
