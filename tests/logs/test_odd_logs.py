"""Logs as hosts really leave them: turned, cut, of several hosts, with hostile text, read by a pipe that closes early."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from benchmarks.generate import lines
from maildiag.logs import read
from maildiag.logs.read import Options, read_logs
from maildiag.logs.render import as_document, as_text
from maildiag.logs.report import make_report
from maildiag.logs.rows import LogReport
from maildiag.logs.scan import Scanner
from maildiag.logs.source import source_of
from maildiag.logs.tally import Tally

NOW = datetime(2026, 11, 30, tzinfo=UTC)
ROOT = Path(__file__).parents[2]
ATTEMPT = (
    "{} mail postfix/smtp[5]: {}: to=<a@b.test>, relay=b.test[192.0.2.9]:25, delay={}, delays=0.1/0.2/0.3/0.9, "
    "dsn={}, status={}"
)


def report(*paths: Path, now: datetime = NOW, remember: bool = False) -> LogReport:
    sources = [source_of(str(path)) for path in paths]
    tally, errors = read_logs(sources, Options(now, jobs=1, remember=remember))
    return make_report(tally, now, errors=errors, top=0)


def of_text(text: str, now: datetime = NOW) -> LogReport:
    tally = Tally()
    Scanner(tally).feed(text)
    return make_report(tally, now, top=0)


def counts(one: LogReport) -> tuple[object, ...]:
    problems = [dataclasses.replace(row, sample="") for row in one.problems]
    return dict(one.totals), one.recipients, one.senders, one.days, one.reasons, one.refusals, problems, one.lines


@pytest.fixture
def remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory in which short logs are remembered, too."""
    monkeypatch.setattr(read, "REMEMBER_FROM", 100)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path


def test_a_log_that_copytruncate_emptied_is_read_anew_though_its_inode_stays(remembered: Path) -> None:
    rows, log, old = list(lines("traffic", 3000, seed=6)), remembered / "mail.log", remembered / "mail.log.1"
    log.write_text("".join(rows[:2000]))
    report(log, remember=True)
    inode = log.stat().st_ino
    old.write_bytes(log.read_bytes())
    with log.open("r+") as file:
        file.truncate(0)
        file.writelines(rows[2000:])
    assert log.stat().st_ino == inode
    assert counts(report(log, remember=True)) == counts(report(log))
    assert counts(report(old, log, remember=True)) == counts(report(old, log))


def test_a_log_that_grew_past_its_old_length_after_copytruncate_is_read_anew(remembered: Path) -> None:
    log = remembered / "mail.log"
    log.write_text("".join(lines("traffic", 500, seed=6)))
    report(log, remember=True)
    log.write_text("".join(lines("traffic", 4000, seed=8)))
    assert counts(report(log, remember=True)) == counts(report(log))


def test_rotation_between_two_runs_loses_and_doubles_nothing(remembered: Path) -> None:
    rows, log, old = list(lines("traffic", 3000, seed=6)), remembered / "mail.log", remembered / "mail.log.1"
    log.write_text("".join(rows[:1500]))
    report(log, remember=True)
    with log.open("a") as file:  # the last lines before it is turned, that no run saw
        file.writelines(rows[1500:2000])
    log.rename(old)
    log.write_text("".join(rows[2000:]))
    whole = remembered / "whole.log"
    whole.write_text("".join(rows))
    assert counts(report(old, log, remember=True)) == counts(report(whole))
    assert counts(report(old, log, remember=True)) == counts(report(whole))


def test_a_log_over_the_turn_of_the_year_has_its_days_in_order() -> None:
    text = "".join(
        ATTEMPT.format(stamp, qid, 1, "2.0.0", "sent (250 ok)") + "\n"
        for stamp, qid in (("Dec 31 23:59:58", "A1B2C3"), ("Jan  1 00:00:02", "A1B2C4"), ("Jan  2 10:00:00", "A1B2C5"))
    )
    found = of_text(text, datetime(2027, 1, 3, tzinfo=UTC))
    assert [day.label for day in found.days] == ["2026-12-31", "2027-01-01", "2027-01-02"]
    assert found.first == datetime(2026, 12, 31, 23, 59, 58, tzinfo=UTC)
    assert found.last == datetime(2027, 1, 2, 10, tzinfo=UTC)


@pytest.mark.parametrize("name", ["postfix", "postfix-mx2", "postfix/submission", "mx.example.test/out"])
def test_any_syslog_name_gives_the_same_report(name: str) -> None:
    rows = list(lines("traffic", 1500, seed=3))
    renamed = [row.replace(" postfix/", f" {name}/") for row in rows]
    assert counts(of_text("".join(renamed)))[:-1] == counts(of_text("".join(rows)))[:-1]


def test_the_queue_manager_itself_may_put_a_delivery_off() -> None:
    row = ATTEMPT.format("Nov 16 10:00:00", "A1B2C3", 5, "4.3.0", "deferred (mail transport unavailable)")
    found = of_text(row.replace("postfix/smtp[5]", "postfix/qmgr[9]") + "\n")
    assert (found.totals["deferrals"], found.totals["deferred"]) == (1, 1)
    assert found.reasons[0].meaning == "transport.unavailable"


def test_optional_fields_do_not_change_what_is_counted() -> None:
    plain = ATTEMPT.format(
        "Nov 16 10:00:00",
        "A1B2C3",
        5,
        "4.7.1",
        "deferred (host b.test[192.0.2.9]:25 said: 451 4.7.1 <a@b.test>: later)",
    )
    both = plain.replace("relay=", "orig_to=<root>, relay=").replace("delay=", "conn_use=2, delay=", 1)
    assert counts(of_text(f"{plain}\n{both}\n"))[:-1] == counts(of_text(f"{plain}\n{plain}\n"))[:-1]


HOSTILE = [
    "\x1b]0;owned\x07\x1b[2J",
    "[red]markup[/red] [link=http://evil.test]x[/]",
    "<script>alert(1)</script>",
    "\x00\x00\x00",
    "\x9b31m\x85\x0b\x0c",
    "A" * 300_000,
    "status=sent (status=sent (",
    ": to=<x@y>, relay=, delay=inf, delays=nan/1/2, dsn=, status=bounced (",
]  # fmt: skip


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_text_is_counted_and_shown_harmless(text: str) -> None:
    good = "".join(lines("traffic", 300, seed=3))
    rows = [
        ATTEMPT.format("Nov 16 10:00:00", "A1B2C3", 1, "5.0.0", f"bounced (host said: {text})"),
        ATTEMPT.format("Nov 16 10:00:00", "A1B2C3", text, "2.0.0", "sent (250 ok)"),
        f"Nov 16 10:00:00 mail postfix/smtpd[5]: warning: {text}",
        f"Nov 16 10:00:00 mail postfix/smtpd[5]: NOQUEUE: reject: RCPT from x[192.0.2.1]: 554 5.7.1 {text}; from=<a@b> to=<c@d> proto=SMTP",
        f"Nov 16 10:00:00 mail postfix/cleanup[5]: A1B2C3: {text}",
        f"Nov 16 10:00:00 mail postfix/qmgr[5]: A1B2C3: from=<{text}>, size=5, nrcpt=1 (queue active)",
        f"Nov 16 10:00:00 mail dovecot: imap-login: Login: user=<{text}>, rip=192.0.2.1",
        f"{text} no log line",
    ]
    tally = Tally()
    Scanner(tally).feed(good + "\n".join(rows) + "\n")
    found = make_report(tally, NOW, top=0)
    assert found.lines == 300 + len(rows)
    shown = "\n".join(as_text(found))
    assert not any(ord(character) < 32 or 127 <= ord(character) < 160 for character in shown.replace("\n", ""))
    json.loads(json.dumps(as_document(found), allow_nan=False))
    assert max(map(len, shown.splitlines())) < 2000


@pytest.mark.parametrize("form", [(), ("--json",)], ids=["text", "json"])
def test_a_reader_that_goes_away_is_no_error(tmp_path: Path, form: tuple[str, ...]) -> None:
    path = tmp_path / "mail.log"
    path.write_text("".join(lines("traffic", 20_000, seed=3)))
    command = [sys.executable, "-m", "maildiag", "logs", "--no-cache", "--top", "0", *form, str(path)]
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'checks'}"}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment, cwd=tmp_path
    ) as process:
        assert process.stdout
        assert process.stderr
        assert process.stdout.readline()
        process.stdout.close()
        said = process.stderr.read()
    assert said == b""
    assert process.returncode in (0, 141)
