"""What the log's problems become: current or over, known or not, crashes with their last words."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from maildiag.facts.local_time import LocalTime
from maildiag.facts.log_sources import LogFile, LogSources
from maildiag.facts.mail_log import MailLog
from maildiag.facts.postfix import Postfix
from maildiag.facts.smtp import OwnDialogues, Talk
from maildiag.facts.sockets import Owner, Port
from maildiag.logs.classify import SENTENCES
from maildiag.logs.reasons import MEANINGS
from maildiag.model import Gap, GapReason, Status, Verdict
from maildiag.probes import Connect, Dialogue, Exchange, FileKind, Protocol, Transcript
from maildiag.registry import builtin
from maildiag.settings import Settings
from maildiag.testing import info, judge
from maildiag_checks import _owners
from maildiag_checks.log_source import source
from maildiag_checks.logs import crashes, delivery_rate, problems, unclassified, unparsed
from tests.unit.recorded import dovecot, log, log_of, master, services

NOW = datetime(2026, 11, 23, 6, 0, tzinfo=UTC)
TIME = LocalTime(NOW, "UTC")
RUNNING = services(
    "debian12-healthy", master(started=NOW - timedelta(hours=3)), dovecot(started=NOW - timedelta(hours=3))
)
SOCKET = (
    "postfix/smtpd[9]: warning: SASL: Connect to Dovecot auth socket 'private/auth' failed: No such file or directory"
)
STARTED = "postfix/master[1]: daemon started -- version 3.7.11, configuration /etc/postfix"
SENT = "postfix/smtp[1]: A1B2C3D4E5: to=<a@b.test>, relay=x[10.0.0.1]:25, delay=0.1, dsn=2.0.0, status=sent (250 ok)"
DEFERRED = (
    "postfix/smtp[1]: A1B2C3D4E5: to=<a@b.test>, relay=none, delay=1, delays=0/0/1/0, dsn=4.3.0, status=deferred (odd)"
)
ID = "A1B2C3D4E5"
ODD = "postfix/smtpd[9]: warning: the moon is in the wrong phase"


def read(*lines: tuple[float, str]) -> MailLog:
    return log("".join(f"{(NOW - timedelta(minutes=ago)).isoformat()} mail {text}\n" for ago, text in lines), "", NOW)


def failing(verdicts: list[Verdict]) -> list[Verdict]:
    return [each for each in verdicts if each.status.failing]


def test_a_current_problem_points_at_the_check_that_owns_it() -> None:
    (verdict,) = judge(problems, read((5, SOCKET)), TIME, RUNNING, None)
    assert verdict.status is Status.CRITICAL
    assert verdict.subject == "sasl.socket-missing"
    assert verdict.explained_by == ("authentication.sasl-socket", "services.dovecot")
    assert verdict.evidence[0].text.endswith(SOCKET)


def test_a_problem_before_the_last_start_is_over() -> None:
    assert not failing(judge(problems, read((5, SOCKET), (1, STARTED)), TIME, RUNNING, None))


def test_a_problem_before_a_start_that_the_log_lacks_is_over() -> None:
    later = services("debian12-healthy", master(started=NOW - timedelta(minutes=2)))
    assert not failing(judge(problems, read((5, SOCKET)), TIME, later, None))


def test_a_log_that_knows_nothing_of_the_running_postfix_is_silent() -> None:
    since = services("debian12-healthy", master(started=NOW - timedelta(minutes=30)))
    (silent,) = failing(judge(source, read((120, SENT)), None, since))
    assert silent.status is Status.WARNING
    assert "goes nowhere" in silent.title
    assert not failing(judge(source, read((120, SENT), (30, STARTED)), None, since))
    assert not failing(judge(source, read((120, SENT)), None, None))


def test_a_host_where_nobody_takes_what_is_logged_is_silent() -> None:
    none = LogSources((), (), "/var/log/journal", Gap(GapReason.ABSENT, "no such file"))
    plain, own = Postfix(installed=True), Postfix(installed=True, settings={"maillog_file": "/dev/stdout"})
    (silent,) = failing(judge(source, read((5, STARTED)), none, RUNNING, plain))
    assert silent.subject == "/dev/log"
    assert not failing(judge(source, read((5, STARTED)), none, RUNNING, own))
    closed = replace(none, socket=Gap(GapReason.DENIED, "denied"))
    assert not failing(judge(source, read((5, STARTED)), closed, RUNNING, plain))


def test_what_postfix_says_of_dovecot_is_over_once_dovecot_was_started_again() -> None:
    hours, minute = NOW - timedelta(hours=3), NOW - timedelta(minutes=1)
    again = services("debian12-healthy", master(started=hours), dovecot(started=minute))
    assert not failing(judge(problems, read((5, SOCKET)), TIME, again, None))
    assert failing(judge(problems, read((0.5, SOCKET)), TIME, again, None))
    other = "postfix/smtpd[9]: fatal: open database /etc/postfix/access.db: No such file or directory"
    assert failing(judge(problems, read((5, other)), TIME, again, None))


def test_a_problem_followed_by_an_hour_of_deliveries_is_over() -> None:
    assert not failing(judge(problems, read((120, SOCKET), (1, SENT)), TIME, RUNNING, None))
    assert failing(judge(problems, read((30, SOCKET), (1, SENT)), TIME, RUNNING, None))


def test_a_unit_that_failed_and_runs_again_is_over() -> None:
    assert not failing(judge(problems, log_of("debian12-killed"), TIME, RUNNING, None))


def test_a_boot_a_reload_and_a_stop_are_no_problems() -> None:
    for release in ("debian12", "debian13"):
        for state in ("healthy", "stopped"):
            found = log_of(f"{release}-{state}")
            assert not failing(judge(problems, found, TIME, None, None)), f"{release}-{state}"
            assert not failing(judge(crashes, found, TIME, None, None)), f"{release}-{state}"
            assert not failing(judge(unclassified, found, TIME, None, None, None))


def test_wrong_passwords_and_scanners_are_no_problems_of_the_log() -> None:
    noise = (
        "postfix/smtpd[9]: warning: unknown[203.0.113.9]: SASL LOGIN authentication failed: (reason unavailable), sasl_username=x",
        "postfix/smtpd[9]: warning: hostname scan.test does not resolve to address 203.0.113.9",
        "postfix/smtpd[9]: warning: non-SMTP command from unknown[203.0.113.9]: GET / HTTP/1.1",
    )
    assert not failing(judge(problems, read(*((5, each) for each in noise)), TIME, RUNNING, None))


def test_a_throttled_process_is_critical_and_shows_its_last_words() -> None:
    found = read(
        (5, "postfix/master[1]: fatal: master_spawn: exec /usr/lib/postfix/sbin/smtpd: Permission denied"),
        (5, "postfix/master[1]: warning: process /usr/lib/postfix/sbin/smtpd pid 447 exit status 1"),
        (5, "postfix/master[1]: warning: /usr/lib/postfix/sbin/smtpd: bad command startup -- throttling"),
    )
    (verdict,) = judge(crashes, found, TIME, RUNNING, None)
    assert verdict.status is Status.CRITICAL
    assert verdict.subject == "smtpd"
    assert "Permission denied" in verdict.title


# Recorded on Debian 12: Dovecot was stopped, smtpd died with it, Dovecot was started again, and mail came.
THROTTLED = (
    (
        9.1,
        "postfix/smtpd[403]: warning: SASL: Connect to Dovecot auth socket 'private/auth' failed: Connection refused",
    ),
    (9.1, "postfix/smtpd[403]: fatal: no SASL authentication mechanisms"),
    (9, "postfix/master[388]: warning: process /usr/lib/postfix/sbin/smtpd pid 403 exit status 1"),
    (9, "postfix/master[388]: warning: /usr/lib/postfix/sbin/smtpd: bad command startup -- throttling"),
)
AT_WORK = (
    "smtpd[525]: disconnect from app01.example.test[10.0.1.20] ehlo=2 starttls=1 mail=1 rcpt=1 data=1 quit=1 commands=7"
)


def test_a_throttled_process_that_works_again_is_over() -> None:
    port25, port587 = f"postfix/{AT_WORK}", f"postfix/submission/{AT_WORK}"
    cases = {
        ((8, port25),): Status.NOTICE,
        ((8, port587),): Status.CRITICAL,
        ((10, port25),): Status.CRITICAL,
        ((10, port25), (8, port587)): Status.CRITICAL,
        ((8, port25), (7.1, THROTTLED[1][1])): Status.CRITICAL,
        ((10, port587), (8, port25), (7, port587)): Status.NOTICE,
    }
    for work, status in cases.items():
        found = read(*sorted((*THROTTLED, *work), key=lambda each: -each[0]))
        assert [each.status for each in judge(crashes, found, TIME, RUNNING, None)] == [status], work


@pytest.mark.parametrize(
    ("banner", "program", "status"),
    [(True, "smtpd", Status.NOTICE), (False, "smtpd", Status.CRITICAL), (True, "postscreen", Status.CRITICAL)],
)
def test_a_throttled_smtpd_that_greets_is_over(banner: bool, program: str, status: Status) -> None:
    hello = Exchange("banner", "", "220 mail.example.test ESMTP Postfix", "220", 0.01)
    port = Port(Owner.POSTFIX, "smtp", 25, (), f"smtp inet n - y - - {program}", Protocol.SMTP)
    transcript = Transcript(Connect.CONNECTED, "127.0.0.1", (hello,) if banner else ())
    own = OwnDialogues((Talk(port, "127.0.0.1", Dialogue(Protocol.SMTP, "127.0.0.1", 25), transcript, True),))
    assert [each.status for each in judge(crashes, read(*THROTTLED), TIME, RUNNING, None, own)] == [status]


def test_an_smtpd_that_died_of_a_dovecot_that_is_back_is_started_without_the_wait() -> None:
    back, still = (
        services(
            "debian12-healthy", master(started=NOW - timedelta(hours=3)), dovecot(started=NOW - timedelta(minutes=ago))
        )
        for ago in (8.5, 180)
    )
    (held,) = judge(crashes, read(*THROTTLED), TIME, back, None)
    assert held.status is Status.CRITICAL
    assert held.title.endswith("what it died of is over, and master(8) starts it again within a minute")
    assert [each.id for each in held.fixes] == ["logs.crashes/restart-postfix"]
    again = (*THROTTLED, *((ago - 1, line) for ago, line in THROTTLED[2:]))
    for lines, running in ((THROTTLED, still), (again, back), (THROTTLED[2:], back)):
        (verdict,) = judge(crashes, read(*lines), TIME, running, None)
        assert (verdict.status, verdict.fixes) == (Status.CRITICAL, ()), lines


def test_a_crash_is_a_warning_and_its_process_is_named() -> None:
    line = "postfix/master[389]: warning: process /usr/lib/postfix/sbin/qmgr pid 391 killed by signal 11"
    (verdict,) = judge(crashes, read((5, line)), TIME, RUNNING, None)
    assert (verdict.status, verdict.subject) == (Status.WARNING, "qmgr")


def test_an_unknown_warning_is_a_notice_while_mail_flows_and_a_possible_cause_while_it_fails() -> None:
    (calm,) = judge(unclassified, read((5, ODD), (1, SENT)), TIME, RUNNING, None, None)
    assert calm.status is Status.NOTICE
    (suspect,) = judge(unclassified, read((5, ODD), (1, DEFERRED)), TIME, RUNNING, None, None)
    assert suspect.status is Status.WARNING
    assert suspect.confidence == "possible"


def test_lines_that_cannot_be_read_are_counted() -> None:
    (verdict,) = judge(unparsed, log("what is this\nno idea\n", "", NOW))
    assert verdict.status is Status.NOTICE
    assert verdict.data["count"] == 2


def test_a_log_that_may_not_be_read_is_unknown() -> None:
    denied = Gap(GapReason.DENIED, "/var/log/mail.log may not be read", "needs root or group adm")
    assert judge(source, denied, None, None)[0].status is Status.UNKNOWN


def test_no_delivery_hangs_beneath_what_became_of_the_mail_and_the_relay_that_is_down() -> None:
    edges = delivery_rate.maildiag.explained_by  # type: ignore[attr-defined]
    assert {"queue.deferred", "queue.lost", "connectivity.relayhost"} <= set(edges)


def test_no_delivery_at_all_is_critical_and_a_mixed_day_fine() -> None:
    assert judge(delivery_rate, read(*((n, DEFERRED) for n in range(5))), Settings())[0].status is Status.CRITICAL
    assert judge(delivery_rate, read((2, DEFERRED), (1, SENT)), Settings())[0].status is Status.OK
    assert judge(delivery_rate, read((1, STARTED)), Settings())[0].status is Status.SKIPPED


GREY = DEFERRED.replace(
    "(odd)",
    "(host mx.b.test[192.0.2.1] said: 450 4.2.0 <a@b.test>: Recipient address rejected: Greylisted (in reply to RCPT TO command))",
)


def test_a_quiet_host_whose_only_message_is_for_one_slow_server_is_no_outage() -> None:
    once = read(*((n, GREY) for n in range(5)))
    direct = Postfix(installed=True, settings={"myhostname": "mail.example.test"})
    relayed = Postfix(installed=True, settings={"myhostname": "mail.example.test", "relayhost": "[mx.b.test]"})
    assert judge(delivery_rate, once, Settings(), direct)[0].status is Status.NOTICE
    assert judge(delivery_rate, once, Settings(), relayed)[0].status is Status.CRITICAL
    more = [(1, GREY.replace("mx.b.test", f"mx.{n}.test").replace(ID, f"4bXyZ1T{n}")) for n in "cde"]
    assert (
        judge(delivery_rate, read(*((n, GREY) for n in range(5)), *more), Settings(), direct)[0].status
        is Status.CRITICAL
    )


def test_two_messages_tried_again_and_again_are_no_outage_of_a_quiet_host() -> None:
    other = read(*((n, GREY) for n in range(5)), (1, GREY.replace("mx.b.test", "mx.c.test").replace(ID, "4bXyZ1T0")))
    direct = Postfix(installed=True, settings={"myhostname": "mail.example.test"})
    assert judge(delivery_rate, other, Settings(), direct)[0].status is Status.NOTICE


def test_few_messages_that_are_tried_all_day_are_no_drop() -> None:
    tried, sent = [(n, DEFERRED) for n in range(1, 40)], [(n, SENT) for n in (1, 2)]
    assert judge(delivery_rate, read(*tried, *sent), Settings())[0].status is Status.OK
    many = [(n, DEFERRED.replace(ID, f"4bXyZ1T{n:02}")) for n in range(1, 40)]
    assert judge(delivery_rate, read(*many, *sent), Settings())[0].status is Status.WARNING


def test_every_owner_is_a_check_that_exists() -> None:
    assert sorted(_owners.known_ids() - set(builtin().checks)) == []


def test_every_meaning_and_reason_has_an_owner_or_is_known_to_have_none() -> None:
    nobody = {
        "other", "client.protocol", "client.rate-limit", "journal.rate-limit", "log.rate-limit", "smtp.server-features",
        "network.no-host", "kernel.conntrack", "kernel.files", "kernel.hung", "kernel.syn-flood",
    }  # fmt: skip
    ownerless = {each for each in SENTENCES if not _owners.of_meaning(each)}
    assert ownerless <= nobody, sorted(ownerless - nobody)
    assert {each for each in MEANINGS if not _owners.of_reason(each)} <= {"other", "greylisted", "sender.rejected"}


def test_a_log_file_that_is_something_else_is_silent() -> None:
    place = LogFile("/var/log/mail.log", "mail in /etc/rsyslog.conf", info("/x", kind=FileKind.DIRECTORY), "rsyslog")
    (verdict, *_) = judge(source, read((5, SENT)), LogSources((place,), (), "/var/log/journal"), RUNNING)
    assert verdict.status is Status.WARNING
    assert "it is a directory" in verdict.detail
    assert not verdict.fixes


def test_what_the_master_counts_before_it_starts_belongs_to_the_start() -> None:
    """Recorded on Debian 12 with LimitNOFILE=64."""
    limit = (
        "dovecot: master: Warning: fd limit (ulimit -n) is lower than required under max. load (64 < 1000),"
        " because of default_client_limit"
    )
    started = "dovecot: master: Dovecot v2.3.19.1 (9b53102964) starting up for imap, lmtp, pop3 (core dumps disabled)"
    (group,) = read((2, limit), (1.99, started)).summary.of("dovecot.fd-limit")
    assert not group.over
