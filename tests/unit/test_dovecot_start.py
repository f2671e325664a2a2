"""Why Dovecot does not start: its recorded last words, the processes and the files in, a cure out."""

from __future__ import annotations

from datetime import UTC, datetime

from maildiag.dovecot.syntax import parse
from maildiag.dovecot.tree import build
from maildiag.facts.dovecot import Dovecot, DovecotConfig
from maildiag.facts.dovecot_daemon import find_master
from maildiag.facts.processes import ProcessTable
from maildiag.model import Verdict
from maildiag.probes import Process
from maildiag.testing import judge
from maildiag_checks.services import dovecot_running
from tests.unit.recorded import dovecot, log, process, services

NOW = datetime(2026, 11, 25, 2, 50, tzinfo=UTC)
FILE = "/etc/dovecot/conf.d/10-master.conf"
WRONG_PROGRAM = (
    "2026-11-25T02:48:02.100000+00:00 mail dovecot: master: Fatal: service(imap-login)"
    " access(/usr/lib/dovecot/imap-logn) failed: No such file or directory\n"
)
ALREADY = (
    "2026-11-25T02:49:02.100000+00:00 mail dovecot: master: Fatal: Dovecot is already running with PID 42"
    " (read from /run/dovecot/master.pid)\n"
)


def said(line: str, text: str = "", *processes: Process) -> Verdict:
    source = build(parse(text, FILE))
    config = DovecotConfig("2.3.19.1", source, source)
    found = services("debian12-stopped", *processes)
    table = ProcessTable(processes)
    (verdict,) = judge(dovecot_running, found, Dovecot(True, "2.3.19.1"), log(line, "", NOW), config, table)
    return verdict


def test_a_program_that_does_not_exist_is_led_back_to_its_line_and_taken_out() -> None:
    verdict = said(WRONG_PROGRAM, "service imap-login {\n  executable = imap-logn\n}\n")
    assert f"{FILE}:2: " in verdict.title
    (fix,) = verdict.fixes
    assert fix.automatic
    assert fix.commands[0][:2] == ("sed", "-i")


def test_a_pid_file_whose_number_another_program_has_got_is_moved_aside() -> None:
    verdict = said(ALREADY, "", process("cron", 42, NOW, "/usr/sbin/cron -f"))
    assert "that is cron" in verdict.title
    assert verdict.fixes[0].commands[0] == ("mv", "/run/dovecot/master.pid", "/run/dovecot/master.pid.stale")


def test_the_question_for_the_version_is_no_running_dovecot() -> None:
    question = process("dovecot", 99, NOW, "dovecot --version")
    assert not find_master((question,)).running
    assert ProcessTable((question,)).dovecot_masters() == ()
    assert find_master((question, dovecot())).pid == dovecot().pid
