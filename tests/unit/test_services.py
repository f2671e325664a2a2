"""Postfix and Dovecot as services: from what systemd, the processes and the log said on real hosts to the finding."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from maildiag.asking import gather_alone
from maildiag.facts import postfix as facts_of_postfix
from maildiag.facts import postfix_config, tables
from maildiag.facts.dovecot import Dovecot
from maildiag.facts.postfix import Postfix
from maildiag.facts.processes import ProcessTable
from maildiag.facts.services import MAIL_UNITS, OTHER_MTAS, OTHER_UNITS, Services, build, parse_show, parse_time
from maildiag.facts.services import services as services_gatherer
from maildiag.model import Gap, GapReason, HostRole, Role, Status, Verdict
from maildiag.probes import Command, CommandResult, Probe, Stat, command
from maildiag.settings import Settings
from maildiag.testing import TableHost, diagnose, info, judge, printed
from maildiag_checks import postfix_tables
from maildiag_checks.services import dovecot_running, enabled, installed, postfix_running
from tests.unit.recorded import DATA, dovecot, log_of, master, process, services

POSTFIX = Postfix(installed=True, version="3.7.11")
DOVECOT = Dovecot(installed=True, version="2.3.19.1")
SERVER = HostRole(Role.MAIL_SERVER, "test")
RELEASES = ["debian12", "debian13"]


def of_postfix(name: str, found: Services | None = None) -> Verdict:
    (verdict,) = judge(postfix_running, found or services(name), POSTFIX, log_of(name), None)
    return verdict


def of_dovecot(name: str, found: Services | None = None) -> Verdict:
    (verdict,) = judge(dovecot_running, found or services(name), DOVECOT, log_of(name), None, None)
    return verdict


@pytest.mark.parametrize("release", RELEASES)
def test_running_daemons_are_fine(release: str) -> None:
    found = services(f"{release}-healthy", master(), dovecot())
    assert of_postfix(f"{release}-healthy", found).status is Status.OK
    assert of_dovecot(f"{release}-healthy", found).status is Status.OK


def test_the_wrapper_of_debian_12_is_not_taken_for_postfix() -> None:
    found = services("debian12-killed")
    assert found.unit("postfix") is not None
    assert found.unit("postfix") is found.postfix.front
    assert found.postfix.unit is not None
    assert found.postfix.unit.name == "postfix@-.service"
    assert found.postfix.running is False


@pytest.mark.parametrize("release", RELEASES)
def test_a_stop_by_an_administrator_is_a_cause_of_its_own(release: str) -> None:
    for verdict in (of_postfix(f"{release}-stopped"), of_dovecot(f"{release}-stopped")):
        assert verdict.status is Status.CRITICAL
        assert "it was told to stop at 2026-11-23 05:20" in verdict.title
        # only a condition of its unit that does not hold, and a unit that it requires and is gone, look the same to systemd
        edges = tuple(f"services.sandbox@{verdict.subject} {each}" for each in ("condition", "required"))
        assert verdict.explained_by == edges
        assert verdict.fixes[0].automatic


@pytest.mark.parametrize("release", RELEASES)
def test_a_mask_is_named_and_not_taken_away_without_asking(release: str) -> None:
    verdict = of_postfix(f"{release}-masked")
    assert "masked" in verdict.title
    assert verdict.fixes[0].commands[0] == ("systemctl", "unmask", "postfix")
    assert not verdict.fixes[0].automatic


@pytest.mark.parametrize("release", RELEASES)
def test_the_last_fatal_line_tells_why_and_whose_business_it_is(release: str) -> None:
    verdict = of_postfix(f"{release}-badnumber")
    assert "bad numerical configuration: message_size_limit = 10240000 # 10MB" in verdict.title
    assert verdict.explained_by is not None
    assert verdict.explained_by[0] == "services.main-cf"
    assert verdict.evidence[0].text.endswith("message_size_limit = 10240000 # 10MB")


@pytest.mark.parametrize("release", RELEASES)
def test_the_start_limit_does_not_hide_the_first_failure(release: str) -> None:
    verdict = of_dovecot(f"{release}-startlimit")
    assert "Unknown setting: foo_bar" in verdict.title
    assert "the first failure is the cause" in verdict.detail
    assert verdict.explained_by is not None
    assert "services.dovecot-config" in verdict.explained_by


def test_a_daemon_that_did_not_start_hangs_beneath_what_cripples_every_account() -> None:
    edges = of_postfix("debian12-killed").explained_by or ()
    assert "services.common-files@/dev/null" in edges
    assert "services.common-files@/tmp" not in edges


def test_a_killed_master_is_told_although_debian_12_does_not_see_the_signal() -> None:
    assert "vanished (killed)" in of_postfix("debian12-killed").title
    assert "killed by signal 9" in of_postfix("debian13-killed").title
    assert "killed by signal 9" in of_dovecot("debian12-killed").title


def test_a_taken_port_explains_that_postfix_is_down() -> None:
    verdict = of_postfix("debian13-porttaken")
    assert "Address already in use" in verdict.title
    assert verdict.explained_by is not None
    assert verdict.explained_by[0] == "services.port-taken"


def test_start_commands_are_those_that_work_on_the_release() -> None:
    assert services("debian12-killed").start("postfix") == ("systemctl", "start", "postfix@-.service")
    assert services("debian12-stopped").start("postfix") == ("systemctl", "start", "postfix")
    assert services("debian13-killed").start("postfix") == ("systemctl", "start", "postfix")
    assert services("debian12-healthy").reload("postfix") == ("systemctl", "reload", "postfix@-.service")
    assert services("debian13-healthy").restart("dovecot") == ("systemctl", "restart", "dovecot")


def test_without_systemd_the_processes_tell() -> None:
    found = build({}, ProcessTable((master(),)))
    assert not found.systemd
    assert found.postfix.running
    assert found.dovecot.running is False
    assert found.reload("postfix") == ("postfix", "reload")
    assert found.restart("dovecot") == ("service", "dovecot", "restart")


def test_without_systemd_and_processes_nothing_is_claimed() -> None:
    (verdict,) = judge(postfix_running, build({}, None), POSTFIX, None, None)
    assert verdict.status is Status.UNKNOWN


def test_a_daemon_started_by_hand_is_a_notice() -> None:
    verdict = of_postfix("debian12-stopped", services("debian12-stopped", master()))
    assert verdict.status is Status.NOTICE
    assert "started by hand" in verdict.title


@pytest.mark.parametrize("release", RELEASES)
def test_stock_units_start_at_boot(release: str) -> None:
    found = services(f"{release}-healthy", master(), dovecot())
    verdicts = judge(enabled, found, POSTFIX, DOVECOT, SERVER)
    assert [each.status for each in verdicts] == [Status.OK, Status.OK]


@pytest.mark.parametrize("release", RELEASES)
def test_a_disabled_unit_is_a_warning_that_hangs_beneath_a_daemon_that_is_down(release: str) -> None:
    verdicts = {each.subject: each for each in judge(enabled, services(f"{release}-masked"), POSTFIX, DOVECOT, SERVER)}
    assert verdicts["dovecot"].status is Status.WARNING
    assert verdicts["dovecot"].fixes[0].commands == (("systemctl", "enable", "dovecot"),)
    assert verdicts["postfix"].explained_by == ("services.postfix",)


def test_a_relay_client_is_not_asked_for_dovecot() -> None:
    client = HostRole(Role.RELAY_CLIENT, "test")
    verdicts = judge(enabled, services("debian12-masked"), POSTFIX, DOVECOT, client)
    assert [each.subject for each in verdicts] == ["postfix"]


def test_a_mail_server_without_postfix_is_critical_and_without_dovecot_a_notice() -> None:
    without = judge(installed, Postfix(installed=False), DOVECOT, None, SERVER)
    assert without[0].status is Status.CRITICAL
    assert judge(installed, POSTFIX, Dovecot(installed=False), None, SERVER)[1].status is Status.NOTICE


def test_a_host_that_only_stores_mail_needs_no_postfix() -> None:
    alone = replace(
        DOVECOT, text="protocols = imap pop3 lmtp\nservice lmtp {\n  inet_listener lmtp {\n    port = 24\n  }\n}\n"
    )
    assert judge(installed, Postfix(installed=False), alone, None, SERVER)[0].status is Status.NOTICE
    assert judge(installed, Postfix(installed=False, remains=True), alone, None, SERVER)[0].status is Status.CRITICAL
    told = replace(alone, text=alone.text + "unix_listener /var/spool/postfix/private/auth {\n")
    assert judge(installed, Postfix(installed=False), told, None, SERVER)[0].status is Status.CRITICAL


def test_what_is_not_installed_is_not_called_down() -> None:
    (verdict,) = judge(postfix_running, services("debian12-stopped"), Postfix(installed=False), None, None)
    assert verdict.status is Status.SKIPPED


def test_unit_times_are_read_in_the_zone_of_the_host() -> None:
    assert parse_time("Mon 2026-11-23 05:12:33 UTC", UTC) == datetime(2026, 11, 23, 5, 12, 33, tzinfo=UTC)
    assert parse_time("", UTC) is None
    assert parse_time("n/a", UTC) is None


def test_a_unit_that_does_not_exist_is_told_from_one_that_is_stopped() -> None:
    units = parse_show((DATA / "debian12-healthy.show").read_text(), UTC)
    assert not units["exim4.service"].exists
    assert units["rsyslog.service"].running


def test_only_units_with_a_file_are_asked_for_and_those_of_mail_in_any_case() -> None:
    listing = "postfix.service enabled enabled\nclamd@.service disabled enabled\nrsyslog.service enabled enabled\n"
    probes = unit_questions(printed(listing))
    assert probes[-1].argv[4:] == (*MAIL_UNITS, "extra.service", "rsyslog.service", "clamd@amavisd.service")


def test_every_unit_is_asked_for_where_the_unit_files_cannot_be_listed() -> None:
    for answer in (printed(status=1), Gap(GapReason.FAILED, "killed by SIGSEGV")):
        assert {*OTHER_MTAS, *OTHER_UNITS} < set(unit_questions(answer)[-1].argv)


def test_a_service_manager_that_gave_no_answer_in_time_is_not_asked_again() -> None:
    assert len(unit_questions(Gap(GapReason.TIMEOUT, "timed out"))) == 1


def test_a_service_manager_that_tells_nothing_is_not_taken_for_a_host_without_one() -> None:
    found = without_units({Stat("/run/systemd/system"): info("/run/systemd/system")})
    assert found.systemd
    assert found.gap is not None
    (verdict,) = judge(enabled, found, POSTFIX, DOVECOT, SERVER)
    assert verdict.status is Status.UNKNOWN


def test_a_host_without_systemd_is_judged_by_its_processes() -> None:
    found = without_units({})
    assert not found.systemd
    assert found.gap is None
    assert found.postfix.running
    (verdict,) = judge(enabled, found, POSTFIX, DOVECOT, SERVER)
    assert verdict.status is Status.SKIPPED


def without_units(answers: Mapping[Probe[Any], Any]) -> Services:
    """The services of a host where Postfix runs and systemctl tells nothing."""
    facts = {"settings": Settings(), "time": None, "processes": ProcessTable((master(),))}
    found = gather_alone(services_gatherer, TableHost(answers), facts)
    assert isinstance(found, Services)
    return found


def unit_questions(listing: CommandResult | Gap) -> list[Command]:
    """What systemctl is asked where this is what it says of the unit files."""
    settings = Settings(services=("extra",))
    (question,) = services_gatherer.maildiag.begins(settings)  # type: ignore[attr-defined]
    host = TableHost({question: listing})
    gather_alone(services_gatherer, host, {"settings": settings, "time": None, "processes": ProcessTable(())})
    return [each for each in host.asked if isinstance(each, Command)]


def test_what_asks_of_postfix_is_skipped_where_there_is_none() -> None:
    absent = Gap(GapReason.ABSENT, "postconf is not installed")
    answers: dict[Probe[Any], Any] = {command("postconf", "-x"): absent, command("postconf", "-n"): absent}
    (told,) = diagnose(answers, facts_of_postfix, postfix_config, tables, postfix_tables).findings
    assert (told.status, told.title) == (Status.SKIPPED, "Postfix is not installed")


@pytest.mark.parametrize(
    ("state", "status", "automatic"),
    [("sleeping", Status.OK, []), ("stopped", Status.CRITICAL, [True]), ("tracing-stop", Status.CRITICAL, [])],
)
def test_a_process_that_is_held_is_no_running_daemon(state: str, status: Status, automatic: list[bool]) -> None:
    """psutil's words for T and t of proc_pid_stat(5); the manager of the queue is a child of master(8)."""
    queue_manager = replace(process("qmgr", 390, master().started, "qmgr"), parent=387, state=state)
    stranger = replace(process("less", 500, master().started, "less"), state="stopped")
    found = services("debian12-healthy", master())
    (told,) = judge(postfix_running, found, POSTFIX, None, ProcessTable((master(), queue_manager, stranger)))
    assert told.status is status
    assert [each.automatic for each in told.fixes] == automatic
    if status is Status.CRITICAL:
        assert told.title.endswith(": qmgr")
        assert (told.subject, told.evidence[0].text) == ("postfix", f"pid 390: qmgr, {state}")
