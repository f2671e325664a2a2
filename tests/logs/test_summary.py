"""What a window of lines says: groups, windows, starts, counts."""

from __future__ import annotations

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from maildiag.logs.lines import parse_line
from maildiag.logs.summary import LogSummary, summarise

NOW = datetime(2026, 11, 23, 5, 0, tzinfo=UTC)
MISSING = "mail postfix/smtpd[9]: warning: SASL: Connect to Dovecot auth socket 'private/auth' failed: No such file or directory"
STARTED = "mail postfix/master[1]: daemon started -- version 3.7.11, configuration /etc/postfix"


def summary(*lines: str, since: datetime | None = None) -> LogSummary:
    return summarise(lines, NOW, since)


def test_trouble_before_the_last_start_is_over() -> None:
    found = summary(f"Nov 22 10:00:00 {MISSING}", f"Nov 22 10:00:01 {MISSING}", f"Nov 22 10:05:00 {STARTED}")
    (group,) = found.groups
    assert (group.meaning, group.count, group.over) == ("sasl.socket-missing", 2, True)


def test_trouble_after_the_last_start_is_now() -> None:
    found = summary(f"Nov 22 10:00:00 {MISSING}", f"Nov 22 10:05:00 {STARTED}", f"Nov 22 10:06:00 {MISSING}")
    (group,) = found.groups
    assert (group.count, group.since_start, group.over) == (2, 1, False)


def test_a_start_before_the_window_is_still_known() -> None:
    found = summary(f"Nov 22 10:00:00 {STARTED}", since=datetime(2026, 11, 22, 11, tzinfo=UTC))
    start = found.last_start("postfix")
    assert start is not None
    assert start.version == "3.7.11"
    assert (found.lines, found.skipped) == (0, 1)


def test_a_start_of_dovecot_does_not_end_trouble_of_postfix() -> None:
    dovecot = "Nov 22 10:05:00 mail dovecot: master: Dovecot v2.3.19.1 (9b53102964) starting up for imap, lmtp, pop3 (core dumps disabled)"
    found = summary(f"Nov 22 10:00:00 {MISSING}", dovecot)
    assert not found.groups[0].over
    start = found.last_start("dovecot")
    assert start is not None
    assert start.version == "2.3.19.1"


def test_the_year_of_a_classic_timestamp_rolls_over() -> None:
    line = parse_line(f"Dec 31 23:59:59 {STARTED}", datetime(2026, 1, 1, 0, 5, tzinfo=UTC))
    assert line is not None
    assert line.when == datetime(2025, 12, 31, 23, 59, 59, tzinfo=UTC)


def test_iso_and_journal_timestamps_are_read() -> None:
    for stamp in ("2026-11-22T10:06:08.123456+00:00", "2026-11-22T10:06:08+0000", "2026-11-22T10:06:08Z"):
        line = parse_line(f"{stamp} {STARTED}", NOW)
        assert line is not None
        assert line.when is not None
        assert line.when.replace(microsecond=0) == datetime(2026, 11, 22, 10, 6, 8, tzinfo=UTC)


def test_any_syslog_name_of_postfix_is_postfix() -> None:
    for name, daemon in (("postfix/submission/smtpd", "smtpd"), ("postfix-out/smtp", "smtp"), ("mx1/qmgr", "qmgr")):
        line = parse_line(f"Nov 22 10:00:00 mail {name}[1]: x", NOW)
        assert line is not None
        assert (line.family, line.daemon) == ("postfix", daemon)


def test_deliveries_rejects_and_logins_are_counted() -> None:
    found = summary(
        "Nov 22 10:00:00 mail postfix/smtp[5]: 4D4A3180CE2: to=<a@b.test>, relay=none, delay=30, delays=0.01/0/30/0, dsn=4.4.1, status=deferred (connect to b.test[192.0.2.9]:25: Connection refused)",
        "Nov 22 10:00:02 mail postfix/local[5]: 4D4A3180CE3: to=<a@v.test>, relay=local, delay=0.1, delays=0.01/0/0/0.09, dsn=2.0.0, status=sent (delivered to maildir)",
        "Nov 22 10:00:03 mail postfix/smtpd[5]: NOQUEUE: reject: RCPT from app[10.0.1.20]: 454 4.7.1 <x@y.test>: Relay access denied; from=<a@v.test> to=<x@y.test> proto=ESMTP helo=<app>",
        "Nov 22 10:00:04 mail postfix/qmgr[5]: 4D4A3180CE2: from=<a@v.test>, status=expired, returned to sender",
        "Nov 22 10:00:05 mail postfix/submission/smtpd[5]: 4D4A3180CE4: client=c[10.0.1.9], sasl_method=PLAIN, sasl_username=bob@v.test",
        "Nov 22 10:00:06 mail dovecot: imap-login: Disconnected: Aborted login by logging out (auth failed, 2 attempts in 4 secs): user=<bob>, method=PLAIN, rip=192.0.2.7, lip=10.0.1.10, session=<x>",
    )
    assert found.statuses == {"deferred": 1, "sent": 1, "rejected": 1, "expired": 1}
    assert {(g.status, g.reason.meaning) for g in found.reasons} >= {
        ("deferred", "connect.refused"),
        ("rejected", "relay.denied"),
    }
    assert next(g for g in found.reasons if g.status == "rejected").clients == {"10.0.1.20": 1}
    assert found.auth_failures_by_user == {"bob": 2}
    assert found.auth_failures_by_address == {"192.0.2.7": 2}
    assert found.sasl_messages == {"bob@v.test": 1}
    assert found.last_success == datetime(2026, 11, 22, 10, 0, 2, tzinfo=UTC)


HEADS = st.sampled_from(
    ["Nov 22 10:00:00 mail ", "2026-11-22T10:00:00.1Z mail ", "Feb 30 10:00:00 h ", "2026-13-45T99:00:00Z h ", ""]
)
BODIES = st.sampled_from(
    [
        "postfix/smtpd[1]: warning: ",
        "dovecot: auth: Error: ",
        "kernel: ",
        "postfix/smtp[9]: A1B2C3: to=<",
        "dovecot[1]: imap(",
        "systemd[1]: ",
    ]
)


@given(st.lists(st.tuples(HEADS, BODIES, st.text(alphabet=st.characters(exclude_characters="\n")))))
def test_no_line_is_lost(parts: list[tuple[str, str, str]]) -> None:
    lines = ["".join(part) for part in parts]
    found = summarise(lines, NOW)
    assert found.lines + found.unparsed == len(lines)
    assert sum(g.count for g in found.groups) <= found.lines


# Recorded: Debian 12, header_checks `/^Subject:/ DISCARD`, a sender's `DISCARD spam`; Debian 13, body_checks.
DISCARDED = """\
2026-11-25T04:31:14.037996+00:00 mail postfix/cleanup[417]: AD8C3199: discard: header Subject: x from local; from=<alice@example.test> to=<alice@example.test>
2026-11-25T04:31:14.362149+00:00 mail postfix/smtpd[415]: NOQUEUE: discard: RCPT from app01.example.test[10.0.1.20]: <bob@example.test>: Sender address spam; from=<bob@example.test> to=<alice@example.test> proto=ESMTP helo=<app01.example.test>
2026-11-25T04:31:14.419639+00:00 mail postfix/cleanup[417]: 5F43119C: discard: header Subject: x from app01.example.test[10.0.1.20]; from=<carol@example.test> to=<alice@example.test> proto=ESMTP helo=<app01.example.test>
2026-11-25T03:22:53.464466+00:00 mail postfix/cleanup[238]: 6EDD84D: discard: body hello from app01.example.test[10.0.1.20]; from=<alice@example.test> to=<alice@example.test> proto=ESMTP helo=<app01.example.test>: newsletter
"""


def test_what_threw_a_message_away_is_told_by_its_rule_and_not_by_the_message() -> None:
    found = summarise(DISCARDED.splitlines(), datetime(2026, 11, 25, 5, 0, tzinfo=UTC))
    told = {each.reason.text: (each.count, dict(each.clients)) for each in found.reasons if each.status == "discarded"}
    assert told == {
        "header": (2, {"": 1, "10.0.1.20": 1}),
        "RCPT: <address>: Sender address spam": (1, {"10.0.1.20": 1}),
        "body: newsletter": (1, {"10.0.1.20": 1}),
    }
