"""Where the mail log is and what is read of it: silent files, rotation, files and journal put together by time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maildiag.facts.log_sources import LogSources, dovecot_logs, rsyslog_drops, rsyslog_targets
from maildiag.facts.mail_log import MailLog, _lacks, _Text, interleave, line_time, not_a_tool, shown_by
from maildiag.lint.lines import Place
from maildiag.model import Status
from maildiag.testing import judge
from maildiag_checks.log_source import source
from tests.unit.recorded import dovecot, log, log_of, master, services

NOW = datetime(2026, 11, 23, 6, 0, tzinfo=UTC)
SENT = "postfix/smtp[1]: A1B2C3D4E5: to=<a@b.test>, relay=x[10.0.0.1]:25, delay=0.1, dsn=2.0.0, status=sent (250 ok)"


def stamped(seconds: float, text: str) -> str:
    return f"{(NOW - timedelta(hours=1) + timedelta(seconds=seconds)).isoformat()} mail {text}"


@given(st.lists(st.integers(0, 3000)), st.lists(st.integers(0, 3000)))
def test_putting_together_keeps_every_line_and_the_order_of_time(one: list[int], two: list[int]) -> None:
    many, few = [stamped(n, "a[1]: x") for n in sorted(one)], [stamped(n, "b[2]: y") for n in sorted(two)]
    merged = interleave(many, few, NOW)
    assert sorted(merged) == sorted([*many, *few])
    times = [line_time(each, NOW) for each in merged]
    assert times == sorted(times)


def test_few_lines_are_placed_among_very_many() -> None:
    many = [stamped(n, "a[1]: x") for n in range(1000)]
    merged = interleave(many, [stamped(500, "b[2]: y")], NOW)
    assert merged[501].endswith("b[2]: y")
    assert len(merged) == 1001


def test_a_file_that_is_written_to_is_fine() -> None:
    found = log_of("debian12-healthy")
    assert found.source == "/var/log/mail.log"
    assert found.stale == ()
    verdicts = judge(source, found, None, services("debian12-healthy", master(), dovecot()))
    assert [each.status for each in verdicts] == [Status.OK]


def test_a_file_that_lacks_what_the_journal_has_is_silent_and_the_journal_is_judged() -> None:
    later = stamped(1800, SENT)
    found = log(stamped(0, SENT) + "\n", later + "\n", NOW, latest=later + "\n")
    assert found.source == "journal"
    assert found.stale == ("/var/log/mail.log",)
    assert found.summary.statuses == {"sent": 1}
    verdicts = judge(source, found, None, services("debian12-healthy", master()))
    assert verdicts[0].status is Status.WARNING
    assert verdicts[0].fixes[0].commands == (("systemctl", "restart", "rsyslog"),)


def test_a_second_between_file_and_journal_is_no_silence() -> None:
    found = log(stamped(0, SENT) + "\n", "", NOW, latest=stamped(1, SENT) + "\n")
    assert found.stale == ()


def classic(when: datetime) -> str:
    """The line in rsyslog's traditional format, which names no zone."""
    return f"{when:%b %d %H:%M:%S} mail {SENT}\n"


@pytest.mark.parametrize(("zone", "offset"), [("Asia/Tokyo", 9), ("America/New_York", -5), ("Asia/Kolkata", 5.5)])
def test_lines_of_daemons_that_keep_the_old_time_zone_are_read_as_they_were_meant(zone: str, offset: float) -> None:
    there = NOW.astimezone(ZoneInfo(zone))
    wrote = NOW - timedelta(minutes=2)
    found = log(classic(wrote), "", there, stamped(3480, SENT), wrote)
    assert found.offset == timedelta(hours=offset)
    assert found.stale == ()
    assert found.summary.last == wrote
    told = judge(source, found, None, services("debian12-healthy", master()))
    assert told[0].subject == "zone"
    assert f"{abs(offset):g} hours {'behind' if offset > 0 else 'ahead of'}" in told[0].title


def test_old_lines_of_a_silent_file_are_no_other_time_zone() -> None:
    stopped = NOW - timedelta(hours=3)
    assert log(classic(stopped), "", NOW, stamped(3480, SENT), stopped).offset == timedelta(0)
    assert log(classic(NOW), "", NOW, stamped(3600, SENT), NOW).offset == timedelta(0)


def test_rsyslog_s_own_rules_tell_where_mail_goes() -> None:
    text = "#mail.* /var/log/old\nauth,authpriv.*\t\t/var/log/auth.log\nmail.*\t\t\t\t-/var/log/mail.log\nmail.err /var/log/mail.err\n*.*;mail.none -/var/log/syslog\n"
    assert rsyslog_targets(text) == ("/var/log/mail.log",)
    assert rsyslog_targets("mail.*                                                  -/var/log/maillog\n") == (
        "/var/log/maillog",
    )


def test_dovecot_s_own_files_are_found_in_its_configuration() -> None:
    text = "log_path = /var/log/dovecot.log\ninfo_log_path = /var/log/dovecot-info.log\ndebug_log_path = /dev/null\n"
    assert dovecot_logs(text) == (("log_path", "/var/log/dovecot.log"), ("info_log_path", "/var/log/dovecot-info.log"))
    assert dovecot_logs("log_path = syslog\n") == ()


def test_what_a_tool_said_to_whoever_ran_it_is_not_judged() -> None:
    line = "2026-11-23T05:28:34.741889+00:00 mail postfix/postqueue[497]: fatal: Queue report unavailable - mail system is down"
    assert not not_a_tool(line)
    assert not_a_tool("2026-11-23T05:28:34.741889+00:00 mail postfix/postfix-script[497]: fatal: something")


def test_the_reader_is_told_a_command_for_the_same_lines() -> None:
    assert shown_by("/var/log/maillog", NOW) == "tail /var/log/maillog"
    assert shown_by("journal", NOW) == "journalctl SYSLOG_FACILITY=2 --since '2026-11-23 06:00'"


# the lines of a lab host's journal for one message of app01, in the order in which they were said
RECENT_LINES = [
    stamped(10.26, "postfix/smtpd[387]: connect from app01.example.test[10.0.1.20]"),
    stamped(10.27, "postfix/smtpd[387]: 42C48508: client=app01.example.test[10.0.1.20]"),
    stamped(10.27, "postfix/cleanup[259]: 42C48508: message-id=<20261128044010.3289C4C7@app01.example.test>"),
    stamped(
        10.27,
        "postfix/smtpd[387]: disconnect from app01.example.test[10.0.1.20] ehlo=2 starttls=1 mail=1 rcpt=1 data=1 quit=1 commands=7",
    ),
    stamped(10.27, "postfix/qmgr[253]: 42C48508: from=<root@example.test>, size=446, nrcpt=1 (queue active)"),
    stamped(
        10.28,
        "postfix/local[265]: 42C48508: to=<alice@example.test>, relay=local, delay=0, delays=0/0/0/0, dsn=2.0.0, status=sent (delivered to maildir)",
    ),
    stamped(10.28, "postfix/qmgr[253]: 42C48508: removed"),
]


def lacking(kept: list[str], recent: list[str] = RECENT_LINES, after: float = 20) -> MailLog:
    now = NOW - timedelta(hours=1) + timedelta(seconds=after)
    return log(
        "".join(f"{each}\n" for each in kept),
        "",
        now,
        latest=recent[-1] + "\n",
        recent="".join(f"{each}\n" for each in recent),
    )


def test_a_file_that_has_all_that_the_journal_has_is_fine() -> None:
    assert lacking([stamped(0, SENT), *RECENT_LINES]).stale == ()
    assert lacking([stamped(0, SENT), *RECENT_LINES[:-1]]).stale == (), "a single line may get lost"
    assert lacking([stamped(0, SENT)], after=12).stale == (), "what was said just now may be under way"


def test_within_seconds_of_the_newest_mail_a_file_is_seen_to_lack_it() -> None:
    found = lacking([stamped(0, SENT)])
    assert (found.stale, found.source) == (("/var/log/mail.log",), "journal")
    assert found.lacking == ("postfix/cleanup", "postfix/local", "postfix/qmgr", "postfix/smtpd")


def test_a_process_says_the_same_of_each_message() -> None:
    """The file has the first message of app01 with the same `disconnect from` as the second one has."""
    second = [each.replace("42C48508", "4A31390").replace(":10.", ":50.") for each in RECENT_LINES]
    assert "postfix/smtpd" in lacking(RECENT_LINES, [*RECENT_LINES, *second], after=60).lacking


def test_a_program_whose_lines_are_kept_from_the_file_is_seen() -> None:
    kept = [each for each in RECENT_LINES if "smtpd" not in each]
    assert lacking([stamped(0, SENT), *kept]).lacking == ("postfix/smtpd",)


def test_what_was_said_before_the_file_began_is_not_missed_in_it() -> None:
    assert lacking(RECENT_LINES[-2:]).stale == ()


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("mail.*  stop\n", 1),
        ("# comment\n*.* ~\n", 2),
        (':programname, startswith, "postfix" stop\n', 1),
        ('if $programname startswith "postfix" then stop\n', 1),
        ('if $syslogfacility-text == "mail" then {\n  stop\n}\n', 1),
        ("auth.* /var/log/auth.log\n*.*;mail.none -/var/log/mail.log\n", 2),
    ],
)
def test_a_rule_of_rsyslog_that_keeps_mail_from_its_file_is_found(text: str, line: int) -> None:
    assert [each.line for each in rsyslog_drops("/etc/rsyslog.conf", text)] == [line]


@pytest.mark.parametrize(
    "text",
    [
        "mail.* -/var/log/mail.log\n& stop\n",
        'if $programname == "dovecot" then /var/log/dovecot.log\n& stop\n',
        'if $programname == "dovecot" then { action(type="omfile" file="/var/log/dovecot.log") stop }\n',
        "*.*;auth,authpriv.none;mail.none -/var/log/syslog\n",
        "*.*;mail.none ~\n",
        ':programname, isequal, "cron" stop\n',
        "# mail.* stop\n",
    ],
)
def test_a_rule_that_writes_mail_elsewhere_or_is_of_others_is_fine(text: str) -> None:
    assert list(rsyslog_drops("/etc/rsyslog.conf", text)) == []


def test_a_rule_that_drops_mail_is_the_cause_and_not_a_logger_that_hangs() -> None:
    drop = Place("/etc/rsyslog.d/10-quiet.conf", 3, 3, "mail.* stop")
    (found,) = judge(
        source,
        lacking([stamped(0, SENT)]),
        LogSources((), (), "", None, (drop,)),
        services("debian12-healthy", master()),
    )
    assert (found.status, found.title) == (
        Status.WARNING,
        "/etc/rsyslog.d/10-quiet.conf line 3 keeps mail out of /var/log/mail.log: mail.* stop",
    )


def test_what_was_said_before_the_logger_was_started_is_not_expected_in_its_file() -> None:
    began = NOW - timedelta(hours=1) + timedelta(seconds=11)
    assert _lacks(_Text("/var/log/mail.log", [stamped(0, SENT)]), RECENT_LINES, NOW, began) == ()
