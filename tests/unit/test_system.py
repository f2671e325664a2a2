"""Disks, clock, memory, ports, and the programs that mail depends on."""

from __future__ import annotations

import os
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from maildiag.facts.clock import Clock, parse_timedatectl
from maildiag.facts.clock import clock as gather_clock
from maildiag.facts.disk import Disks, Place, folders, inner_mounts, mail_stores
from maildiag.facts.dovecot import Dovecot
from maildiag.facts.local_time import LocalTime
from maildiag.facts.mounts import mounts_in
from maildiag.facts.open_ports import OpenPorts
from maildiag.facts.postfix import Postfix
from maildiag.facts.processes import ProcessTable
from maildiag.facts.queue import Queue
from maildiag.facts.services import Daemon, Services, Unit
from maildiag.facts.sockets import Owner
from maildiag.facts.tls import CertificateFile, CertificateFiles, Certified, Configured
from maildiag.hosts import system
from maildiag.hosts.system import processes
from maildiag.model import Gap, GapReason, HostRole, Role, Status, Verdict
from maildiag.probes import FileSystem, Identity, Listener, Process, Processes
from maildiag.queue.entries import Entry
from maildiag.queue.grouping import group
from maildiag.settings import Settings
from maildiag.testing import gather, info, judge
from maildiag_checks._current import is_current
from maildiag_checks.clock import clock
from maildiag_checks.system import backend, disk, memory, port_taken
from tests.unit.recorded import dovecot, log, log_of, master, process, services

NOW = datetime(2026, 11, 23, 6, 0, tzinfo=UTC)
TIME = LocalTime(NOW, "UTC")
SERVER = HostRole(Role.MAIL_SERVER, "test")
POSTFIX = Postfix(installed=True, settings={"message_size_limit": "10240000", "queue_minfree": "0"})
GB = 10**9
FINE = FileSystem("/", "ext4", False, 100 * GB, 50 * GB, 1_000_000, 900_000)
RUNNING = services("debian12-healthy", master(), dovecot())


def room(system: FileSystem, use: str = "spool", postfix: Postfix = POSTFIX) -> Verdict:
    (verdict,) = judge(disk, Disks((Place("/var/spool/postfix", use, system),)), postfix, Settings())
    return verdict


@pytest.mark.parametrize(
    ("system", "use", "status", "words"),
    [
        (FINE, "spool", Status.OK, "has room"),
        (replace(FINE, available=0), "spool", Status.CRITICAL, "is full"),
        (replace(FINE, available=0), "log", Status.WARNING, "is full"),
        (replace(FINE, inodes_free=0), "store", Status.CRITICAL, "no free inode"),
        (replace(FINE, read_only=True), "spool", Status.CRITICAL, "read-only"),
        (replace(FINE, available=15_000_000), "spool", Status.CRITICAL, "Postfix refuses mail"),
        (replace(FINE, available=1 * GB), "store", Status.WARNING, "nearly full"),
        (replace(FINE, size=50_000 * GB, available=2000 * GB), "store", Status.OK, "has room"),
        (replace(FINE, inodes=0, inodes_free=0), "spool", Status.OK, "has room"),
    ],
)
def test_room_is_judged_by_what_the_file_system_is_for(
    system: FileSystem, use: str, status: Status, words: str
) -> None:
    verdict = room(system, use)
    assert (verdict.status, words in verdict.title) == (status, True), verdict.title


def test_a_message_size_beyond_the_disk_stops_mail_with_gigabytes_free() -> None:
    verdict = room(FINE, "spool", Postfix(installed=True, settings={"message_size_limit": str(40 * GB)}))
    assert verdict.status is Status.CRITICAL
    assert "insists on 60.0 GB" in verdict.title


def test_the_mail_store_is_found_in_both_configurations() -> None:
    home = Postfix(installed=True, settings={"home_mailbox": "Maildir/", "mydestination": "x"})
    assert [*mail_stores(home, None)] == ["/home"]
    virtual = Dovecot(installed=True, text="mail_location = maildir:/var/vmail/%d/%n\n")
    assert [*mail_stores(None, virtual)] == ["/var/vmail"]
    assert [*mail_stores(None, Dovecot(installed=True, text="mail_path = ~/Maildir\n"))] == ["/home"]


def test_file_systems_that_hold_mailboxes_below_a_mail_store_are_looked_at_too() -> None:
    told = (
        "tmpfs / tmpfs rw 0 0\n/dev/b /home ext4 rw 0 0\ntmpfs /home/alice/Maildir tmpfs rw,size=64k 0 0\n"
        "/dev/c /home/backup ext4 ro 0 0\n/dev/d /home/staff ext4 rw 0 0\n/dev/e /var/vmail/big\\040one ext4 rw 0 0\n"
    )
    told_mounts = [each.path for each in mounts_in(told)]
    homes = ["/home/alice", "/home/bob", "/home/staff/eve"]
    home = inner_mounts(told_mounts, ["/home", "/var/mail"], homes, ["Maildir"])
    assert home == ["/home/alice/Maildir", "/home/staff"]
    assert inner_mounts(told_mounts, ["/var/vmail"], homes, ["Maildir"]) == ["/var/vmail/big one"]


def test_the_folder_of_mail_in_a_home_is_read_from_both_configurations() -> None:
    home = Postfix(installed=True, settings={"home_mailbox": "Mail/in/"})
    assert folders(home, Dovecot(installed=True, text="mail_path = %{home}/Maildir\n")) == ["Maildir", "Mail/in"]


def at(now: datetime = NOW, *, service: bool | None = False, synchronized: bool | None = False) -> Clock:
    return Clock(now, NOW - timedelta(days=1), service, synchronized)


def test_a_clock_that_nobody_keeps_is_no_fault() -> None:
    assert [each.status for each in judge(clock, at(), log("", "", NOW), RUNNING, None, None, None)] == [Status.OK]


def test_a_time_service_that_does_not_get_through_is_a_notice() -> None:
    assert judge(clock, at(service=True), log("", "", NOW), RUNNING, None, None, None)[0].status is Status.NOTICE


# Recorded from Dovecot 2.3.19.1, whose clock was set back by an hour.
BACKWARDS = """\
2026-11-25T03:31:14.846925+00:00 mail dovecot: master: Warning: Time moved backwards by 3586.907249 seconds, waiting for 180.000 seconds until new services are launched again.
2026-11-25T03:31:14.847149+00:00 mail dovecot: log(410): Warning: Time moved backwards by 3586.906886 seconds.
2026-11-25T03:31:14.847171+00:00 mail dovecot: config: Warning: Time moved backwards by 3586.035873 seconds.
"""


def test_what_several_programs_say_of_one_jump_is_one_cause() -> None:
    back = datetime(2026, 11, 25, 2, 31, 20, tzinfo=UTC)
    told = judge(clock, replace(at(), now=back), log(BACKWARDS, "", back), RUNNING, None, None, None)
    assert [each.explained_by for each in told] == [(), *3 * [("services.clock@log",)]]
    later = datetime(2026, 11, 25, 3, 31, 20, tzinfo=UTC)
    first, *others = judge(clock, replace(at(), now=later), log(BACKWARDS, "", later), RUNNING, None, None, None)
    assert first.explained_by == ()
    assert [each.explained_by for each in others] == 2 * [(f"services.clock@{first.subject}",)]


def test_a_clock_behind_its_own_log_is_critical() -> None:
    found = log_of("debian12-healthy")
    (verdict,) = judge(clock, at(datetime(2026, 11, 22, 6, 0, tzinfo=UTC)), found, RUNNING, None, None, None)
    assert verdict.status is Status.CRITICAL


def test_a_clock_that_was_ahead_and_is_right_again_is_no_fault_and_its_trouble_is_over() -> None:
    lines = [(-10, "ordinary"), (3 * 1440, 'warning: hash:/etc/postfix/x lookup error for "a"'), (-1, "ordinary")]
    text = "".join(
        f"{(NOW + timedelta(minutes=after)).isoformat()} mail postfix/cleanup[9]: {words}\n" for after, words in lines
    )
    again = log(text, "", NOW)
    assert judge(clock, at(), again, RUNNING, None, None, None)[0].status is Status.NOTICE
    assert not is_current(again.summary.of("map.lookup-error"), again, NOW, None)
    behind = log("".join(text.splitlines(keepends=True)[1:]), "", NOW)
    assert judge(clock, at(), behind, RUNNING, None, None, None)[0].status is Status.CRITICAL
    assert is_current(behind.summary.of("map.lookup-error"), behind, NOW, None)


def test_a_file_from_the_future_is_a_warning() -> None:
    ahead = replace(at(), witnesses=(info("/etc/passwd", modified=NOW + timedelta(days=3)),))
    assert judge(clock, ahead, None, RUNNING, None, None, None)[0].status is Status.WARNING


def test_timedatectl_is_read() -> None:
    assert parse_timedatectl("Timezone=UTC\nNTP=yes\nNTPSynchronized=no\n") == {"NTP": True, "NTPSynchronized": False}


def test_a_process_killed_for_memory_is_named() -> None:
    line = f"{(NOW - timedelta(minutes=5)).isoformat()} mail kernel: Out of memory: Killed process 1234 (imap) total-vm:1kB\n"
    (verdict,) = judge(memory, log("", line, NOW), RUNNING, TIME)
    assert (verdict.status, verdict.subject) == (Status.WARNING, "imap")
    assert judge(memory, log("", "", NOW), RUNNING, TIME)[0].status is Status.OK


def listener(port: int, program: str) -> OpenPorts:
    return OpenPorts((Listener("tcp", "0.0.0.0", port, 77, program),))


def taken(found: Services, ports: OpenPorts, name: str = "") -> list[Verdict]:
    recorded = log_of(name) if name else None
    time = LocalTime(recorded.summary.last, "UTC") if recorded and recorded.summary.last else TIME
    return judge(port_taken, found, ports, recorded, time, POSTFIX, SERVER)


def test_the_program_that_holds_the_port_is_named_with_the_line_that_says_so() -> None:
    (verdict,) = taken(services("debian13-porttaken"), listener(25, "python3"), "debian13-porttaken")
    assert verdict.status is Status.CRITICAL
    assert (verdict.subject, verdict.data["program"]) == ("25", "python3")
    assert verdict.evidence[0].text.endswith("fatal: bind 0.0.0.0 port 25: Address already in use")


def test_another_mail_server_makes_way_by_its_own_unit() -> None:
    found = services("debian12-stopped")
    units = {**found.units, "exim4.service": Unit(name="exim4.service", active="active", sub="running")}
    (verdict,) = taken(replace(found, units=units), listener(25, "exim4"))
    assert verdict.fixes[0].commands[0] == ("systemctl", "disable", "--now", "exim4")
    assert not verdict.fixes[0].automatic


def test_a_port_that_is_free_by_now_needs_only_a_start() -> None:
    (verdict,) = taken(services("debian13-porttaken"), OpenPorts(()), "debian13-porttaken")
    assert verdict.fixes[0].automatic
    assert verdict.fixes[0].commands[-1] == ("systemctl", "start", "postfix")


def test_postfix_s_and_dovecot_s_own_listeners_are_fine() -> None:
    own = OpenPorts((*listener(25, "smtpd").listeners, *listener(143, "imap-login").listeners))
    assert [each.status for each in taken(RUNNING, own)] == [Status.OK]


def with_unit(name: str, **more: str | int) -> Services:
    unit = Unit(name=f"{name}.service", **more)  # type: ignore[arg-type]
    return replace(RUNNING, units={**RUNNING.units, f"{name}.service": unit})


def test_a_database_that_tables_need_and_that_is_down_is_critical() -> None:
    uses = Postfix(
        installed=True,
        settings={"virtual_alias_maps": "mysql:/etc/postfix/a.cf"},
        explicit=frozenset({"virtual_alias_maps"}),
    )
    verdicts = judge(
        backend,
        with_unit("mariadb", active="failed", result="exit-code", file_state="enabled"),
        uses,
        None,
        None,
        TIME,
        None,
    )
    assert verdicts[0].status is Status.CRITICAL
    assert verdicts[0].fixes[0].commands[-1] == ("systemctl", "start", "mariadb")


SASLDB = Postfix(installed=True, settings={"smtpd_sasl_type": "cyrus"}, explicit=frozenset({"smtpd_sasl_type"}))


def test_a_disabled_program_that_nothing_misses_may_be_another_way_or_another_host_s() -> None:
    disabled = with_unit("saslauthd", active="inactive", file_state="disabled")
    assert judge(backend, disabled, SASLDB, None, None, TIME, None)[0].status is Status.NOTICE


def test_a_disabled_program_that_the_log_misses_is_critical() -> None:
    line = (
        "2026-11-23T05:59:00+00:00 mail postfix/smtpd[7]: warning: unknown[192.0.2.7]: "
        "SASL PLAIN authentication failed: generic failure"
    )
    disabled = with_unit("saslauthd", active="inactive", file_state="disabled")
    verdicts = judge(backend, disabled, SASLDB, None, log("", line, NOW), TIME, None)
    assert verdicts[0].status is Status.CRITICAL
    assert verdicts[0].fixes[0].commands[-1] == ("systemctl", "start", "saslauthd")


def test_a_database_that_mail_does_not_use_is_not_asked_for() -> None:
    verdicts = judge(
        backend, with_unit("mariadb", active="failed", file_state="enabled"), POSTFIX, None, None, TIME, None
    )
    assert [each.subject for each in verdicts] == ["rsyslog"]


def test_a_stopped_logger_is_a_warning() -> None:
    verdicts = judge(backend, with_unit("rsyslog", file_state="enabled"), POSTFIX, None, None, TIME, None)
    assert verdicts[0].status is Status.WARNING


def moved(days: int, synchronized: bool | None = False) -> Clock:
    return replace(
        at(NOW + timedelta(days=days), synchronized=synchronized),
        moved=timedelta(days=days),
        unit="postfix.service",
        recorded=NOW - timedelta(minutes=3),
    )


def expiring(when: datetime) -> CertificateFiles:
    leaf = Certified("CN=mail", "CN=ca", "1", NOW - timedelta(days=30), when, ("mail",), "key", False)
    missing = Gap(GapReason.ABSENT, "not asked")
    return CertificateFiles(
        (
            CertificateFile(
                Configured(Owner.POSTFIX, "smtpd_tls_cert_file", "/c.pem", ""), missing, missing, leaf, None, None, None
            ),
        )
    )


def test_a_clock_set_ahead_by_which_alone_a_certificate_has_expired_is_the_cause() -> None:
    (verdict,) = judge(clock, moved(400), None, RUNNING, None, expiring(NOW + timedelta(days=60)), None)
    assert (verdict.status, verdict.subject) == (Status.CRITICAL, "moved")
    assert "400 days ahead" in verdict.title
    assert "/c.pem" in verdict.detail


def test_a_clock_that_was_set_may_have_been_put_right() -> None:
    long_ago = expiring(NOW - timedelta(days=1))
    assert [each.status for each in judge(clock, moved(400), None, RUNNING, None, long_ago, None)] == [Status.NOTICE]
    assert [each.status for each in judge(clock, moved(400, True), None, RUNNING, None, long_ago, None)] == [Status.OK]


@pytest.mark.parametrize("main_pid", [7, 0])
def test_how_far_the_clock_was_moved_is_told_by_the_age_of_a_process(main_pid: int) -> None:
    started, later = NOW - timedelta(minutes=5), NOW + timedelta(days=30)
    master = Process(7, 1, "master", "root", ("/usr/lib/postfix/sbin/master",), started, 0, "sleeping")
    youngest = Process(9, 1, "python3", "root", ("python3",), NOW, 0, "running")
    unit = Unit(name="postfix.service", active="active", sub="running", main_pid=main_pid, active_since=started)
    services = Services(True, Daemon("postfix", unit, None, master), Daemon("dovecot"))
    identity = Identity("mail", "Linux", later, started, True)
    found = gather(
        gather_clock, {}, identity=identity, postfix=None, services=services, processes=ProcessTable((master, youngest))
    )
    assert isinstance(found, Clock)
    assert (found.moved, found.unit) == (timedelta(days=30), "postfix.service")


def test_mail_from_the_future_is_told_of_the_clock() -> None:
    entry = Entry("A1", "deferred", int(NOW.timestamp()) + 3 * 86400, 500, "a@example.test", ())
    found = Queue(group([entry], int(NOW.timestamp())), int(NOW.timestamp()))
    (verdict,) = judge(clock, at(), None, RUNNING, found, None, None)
    assert (verdict.status, verdict.subject) == (Status.WARNING, "queue")


def test_a_process_of_a_container_is_none_of_this_host(monkeypatch: pytest.MonkeyPatch) -> None:
    own = os.getpid()
    assert any(each.pid == own for each in processes(Processes()))
    names = {"self": "pid:[1]", own: "pid:[2]"}
    monkeypatch.setattr(system, "_namespace", lambda pid: names.get(pid, "pid:[1]"))
    assert not any(each.pid == own for each in processes(Processes()))
    monkeypatch.setattr(system, "_namespace", lambda pid: "" if pid == own else "pid:[1]")
    assert any(each.pid == own for each in processes(Processes()))


def test_a_journal_that_is_stopped_holds_up_everybody_who_logs() -> None:
    journal = replace(process("systemd-journal", 44, NOW, "/usr/lib/systemd/systemd-journald"), state="stopped")
    found = with_unit("systemd-journald", active="active", sub="running", main_pid=44, file_state="static")
    told = judge(backend, found, POSTFIX, None, None, TIME, ProcessTable((journal,)))
    (stuck,) = [each for each in told if each.subject == "systemd-journald"]
    assert stuck.status is Status.CRITICAL
    assert stuck.fixes[0].commands == (("systemctl", "kill", "--signal=CONT", "systemd-journald"),)
    going = judge(backend, found, POSTFIX, None, None, TIME, ProcessTable((replace(journal, state="sleeping"),)))
    assert not any(each.status.failing for each in going)
