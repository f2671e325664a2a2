"""`maildiag logs`: what it prints, where, and with which exit status."""

from __future__ import annotations

import argparse
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from benchmarks.generate import lines
from maildiag.cli import logs as command
from maildiag.cli.errors import UsageError
from maildiag.logs.times import BadTimeError, moment

NOW = datetime(2026, 11, 23, 5, 0, tzinfo=UTC)


def arguments(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    return parser.parse_args([*words, "--no-cache"])


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "mail.log"
    path.write_text("".join(lines("traffic", 2000, seed=1)))
    return path


def test_text_has_totals_and_no_escapes_when_piped(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(arguments(str(log))) == 0
    text = capsys.readouterr().out
    assert "messages received" in text
    assert "\x1b" not in text


def test_json_is_one_document(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(arguments(str(log), "--json")) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["schema"] == "maildiag.logs/1"
    assert document["lines"] == 2000


def test_how_many_more_clients_were_refused_is_told_whatever_the_length_of_the_tables(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "mail.log"
    path.write_text(
        "".join(
            f"Nov 16 10:06:00 mail postfix/smtpd[21]: NOQUEUE: reject: RCPT from unknown[192.0.2.{number}]: 554 5.7.1 "
            "<x@far.test>: Relay access denied; from=<a@example.test> to=<x@far.test> proto=ESMTP helo=<app01>\n"
            for number in range(1, 31)
        )
    )
    assert command.main(arguments(str(path), "--top", "5")) == 0
    assert "192.0.2.1 (1), 192.0.2.10 (1), 192.0.2.11 (1), 27 more\n" in capsys.readouterr().out
    command.main(arguments(str(path), "--top", "5", "--json"))
    (refusal,) = json.loads(capsys.readouterr().out)["refusals"]
    assert (len(refusal["at"]), refusal["places"]) == (5, 30)


def test_no_line_of_the_report_ends_in_blanks(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(arguments(str(log))) == 0
    assert [line for line in capsys.readouterr().out.splitlines() if line != line.rstrip()] == []


def test_an_unreadable_file_is_told_and_the_others_are_read(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(arguments(str(log), "/nonexistent/mail.log")) == 0
    assert capsys.readouterr().err == "maildiag logs: /nonexistent/mail.log: No such file or directory\n"


def test_nothing_readable_is_exit_1_and_no_output(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(arguments("/nonexistent/mail.log")) == 1
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("words", [("--since", "whenever"), ("--top", "-1"), ("--until", "25:99")])
def test_bad_usage_is_told(words: tuple[str, ...]) -> None:
    with pytest.raises(UsageError):
        command.main(arguments(*words))


def test_connection_times_are_told_when_asked_for(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(arguments(str(log), "--smtpd-stats")) == 0
    assert "SMTP connections by client" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("6h", NOW - timedelta(hours=6)),
        ("2d", NOW - timedelta(days=2)),
        ("4:30", NOW.replace(hour=4, minute=30)),
        ("today", NOW.replace(hour=0)),
        ("yesterday", datetime(2026, 11, 22, tzinfo=UTC)),
        ("2026-11-22 10:00", datetime(2026, 11, 22, 10, tzinfo=UTC)),
        ("2026-11-22T10:00:00Z", datetime(2026, 11, 22, 10, tzinfo=UTC)),
    ],
)
def test_moments_are_read_as_people_type_them(text: str, expected: datetime) -> None:
    assert moment(text, NOW) == expected


@pytest.mark.parametrize("text", ["", "soon", "99:99", "2026-13-01", "1y"])
def test_what_is_no_moment_is_refused(text: str) -> None:
    with pytest.raises(BadTimeError):
        moment(text, NOW)
