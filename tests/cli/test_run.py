"""`maildiag run` as users and scripts meet it: real processes, with and without a terminal."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from maildiag.schema import validate
from tests.support import environment, maildiag, on_terminal, plug_in, recorded

SLOW = """
import time
from dataclasses import dataclass
from maildiag.asking import Ask
from maildiag.model import Step, ok
from maildiag.registry import check, gatherer

@dataclass(frozen=True)
class Never:
    pass

@gatherer
def never(ask: Ask) -> Never:
    print("waiting", flush=True)
    time.sleep(600)

@check("queue.never", step=Step.QUEUE, asks="Is it over?")
def over(never: Never):
    yield ok("over")
"""


@pytest.fixture
def broken(tmp_path: Path) -> Path:
    return recorded(tmp_path / "broken.jsonl", installed=False)


@pytest.fixture
def fine(tmp_path: Path) -> Path:
    return recorded(tmp_path / "fine.jsonl.gz")


def test_the_exit_status_is_that_of_the_worst_finding(fine: Path, broken: Path) -> None:
    assert maildiag("run", "--check", "services.installed", "--bundle", fine).status == 0
    assert maildiag("run", "--check", "services.installed", "--bundle", broken).status == 2


def test_json_is_one_valid_document_and_nothing_else_is_printed(broken: Path) -> None:
    ran = maildiag("run", "--json", "--bundle", broken)
    document = json.loads(ran.out)
    validate(document)
    assert ran.err == ""
    assert document["status"] == "critical"
    assert document["complete"] is True


def test_text_without_a_terminal_has_no_escapes_and_fits_80_columns(broken: Path) -> None:
    ran = maildiag("run", "--bundle", broken)
    assert "\x1b" not in ran.out + ran.err
    assert ran.err == ""
    assert max(map(len, ran.out.splitlines())) <= 80
    assert "CRITICAL" in ran.out


def test_a_terminal_gets_colours_and_progress_and_no_color_takes_them_away(broken: Path) -> None:
    assert "\x1b[1;31m" in on_terminal("run", "--bundle", broken).out
    without = on_terminal("run", "--bundle", broken, NO_COLOR="1").out
    assert "\x1b[1;31m" not in without
    assert "\x1b[1;31m" in maildiag("run", "--bundle", broken, "--color", "always").out
    assert "\x1b" not in on_terminal("run", "--bundle", broken, "--plain").out


def test_progress_is_gone_when_the_report_is_printed(broken: Path) -> None:
    said = on_terminal("run", "--bundle", broken, NO_COLOR="1").out
    assert "\r\x1b[K" in said
    assert said.rpartition("\x1b[K")[2].lstrip().startswith("mail")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--step", "ques"], "did you mean queue?"),
        (["--role", "mailserver"], "did you mean mail-server?"),
        (["--format", "jsn"], "did you mean json?"),
        (["--check", "services.instaled"], "did you mean services.installed?"),
        (["--check", "services.installed", "--step", "dns"], "no check is both"),
        (["--fail-on", "ok"], "notice, warning, critical"),
        (["--timeout", "0"], "number of seconds"),
        (["--jso"], "did you mean --json?"),
        (["--json", "--format", "html"], "exclude each other"),
        (["--bundle", "/nonexistent"], "No such file"),
        (["--bundle", "/etc/hostname"], "bundle"),
        (["-o", "/nonexistent/report"], "cannot write"),
        (["-o", "/"], "it is a directory"),
        (["--config", "/nonexistent.toml"], "no such file"),
    ],
)
def test_bad_usage_is_one_line_that_names_the_nearest_and_exit_64(arguments: list[str], words: str) -> None:
    ran = maildiag("run", *arguments)
    assert ran.status == 64
    assert words in ran.err
    assert ran.err.count("\n") == 1
    assert ran.out == ""
    monitored = maildiag("run", *arguments, "--format", "nagios")
    assert monitored.status == 3
    assert monitored.out.startswith("MAILDIAG UNKNOWN - ")
    assert monitored.out.count("\n") == 1
    assert monitored.err == ""


@pytest.mark.parametrize("asked", ["--help", "-h", "--version"])
def test_a_monitoring_system_that_asks_for_a_page_gets_a_line_and_exit_3(asked: str) -> None:
    for arguments in (["run", "--format", "nagios", asked], [asked, "run", "--format=nagios"]):
        ran = maildiag(*arguments)
        assert (ran.status, ran.err, ran.out.count("\n")) == (3, "", 1)
        assert ran.out.startswith("MAILDIAG UNKNOWN - maildiag")
        plain = maildiag(*(each for each in arguments if "nagios" not in each and "--format" not in each))
        assert (plain.status, plain.err) == (0, "")


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("queue --olde 3", "maildiag queue: '--olde' is not understood, did you mean --older?"),
        ("queue --top x --olde=3", "maildiag queue: '--olde=3' is not understood, did you mean --older?"),
        ("trace --sinse 2d", "maildiag trace: '--sinse' is not understood, did you mean --since?"),
        ("trace --sinse", "maildiag trace: '--sinse' is not understood, did you mean --since?"),
        ("logs -q /dev/null", "maildiag logs: '-q' is not understood"),
        ("explain --al", "maildiag explain: '--al' is not understood"),
        ("fix --confrim x", "maildiag fix: '--confrim' is not understood, did you mean --confirm?"),
        ("probe --too x", "maildiag probe: '--too' is not understood, did you mean --to?"),
        ("debug-peer --levl 3", "maildiag debug-peer: '--levl' is not understood, did you mean --level?"),
        ("--asci run", "maildiag: '--asci' is not understood, did you mean --ascii?"),
        ("--hots mail run", "maildiag: '--hots' is not understood"),
    ],
)
def test_of_a_misspelt_option_its_name_is_told_not_what_its_value_was_taken_for(line: str, words: str) -> None:
    ran = maildiag(*line.split())
    assert (ran.status, ran.out) == (64, "")
    assert ran.err.startswith(words)
    assert ran.err.count("\n") == 1


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("queue --top x", "invalid int value: 'x'"),
        ("queue --top -5", "--top may not be negative"),
        ("queue 3", "invalid choice: '3'"),
        ("queue 3 -- --olde", "invalid choice: '3'"),
        ("bundle -o/dev/null --timeout 0", "number of seconds"),
        ("--allow-fix=3 run --json", "ignored explicit argument '3'"),
        ("run --format=jsn", "did you mean json?"),
    ],
)
def test_where_every_option_is_known_the_complaint_is_of_what_is_wrong(line: str, words: str) -> None:
    ran = maildiag(*line.split())
    assert ran.status == 64
    assert words in ran.err


def test_a_mistyped_command_is_answered_with_the_nearest() -> None:
    ran = maildiag("rum")
    assert (ran.status, ran.out) == (64, "")
    assert "did you mean run?" in ran.err


def test_what_is_like_nothing_gets_no_suggestion() -> None:
    assert "did you mean" not in maildiag("xyzzy").err
    assert "did you mean" not in maildiag("run", "--step", "xyzzy").err


def test_without_terminal_or_command_a_short_help_is_on_stderr() -> None:
    ran = maildiag()
    assert (ran.status, ran.out) == (64, "")
    assert "maildiag run" in ran.err


def test_output_appears_whole_or_not_at_all(broken: Path, tmp_path: Path) -> None:
    target = tmp_path / "out" / "report.json"
    target.parent.mkdir()
    target.write_text("old")
    target.chmod(0o640)
    ran = maildiag("run", "--json", "--bundle", broken, "-o", target)
    assert (ran.status, ran.out) == (2, "")
    validate(json.loads(target.read_text()))
    assert target.stat().st_mode & 0o777 == 0o640
    assert maildiag("run", "--check", "nosuch.check", "-o", target).status == 64
    validate(json.loads(target.read_text()))
    assert [each.name for each in target.parent.iterdir()] == ["report.json"]


def test_a_full_device_is_told_and_is_no_success(broken: Path) -> None:
    with Path("/dev/full").open("w") as full:
        argv = [sys.executable, "-m", "maildiag", "run", "--bundle", str(broken)]
        done = subprocess.run(argv, stdout=full, stderr=subprocess.PIPE, text=True, env=environment(), check=False)
    assert done.returncode == 70
    assert "No space left on device" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_reader_that_goes_away_is_no_error(broken: Path) -> None:
    argv = f"{sys.executable} -m maildiag run --bundle {broken} | head -1"
    done = subprocess.run(["sh", "-c", argv], capture_output=True, text=True, env=environment(), check=False)
    assert done.stdout.count("\n") == 1
    assert done.stderr == ""


def test_closed_streams_do_no_harm(broken: Path) -> None:
    for closed in ("<&-", "2>&-", "<&- 2>&-"):
        argv = f"{sys.executable} -m maildiag run --json --bundle {broken} {closed}"
        done = subprocess.run(["sh", "-c", argv], capture_output=True, text=True, env=environment(), check=False)
        assert done.returncode == 2
        assert json.loads(done.stdout)["status"] == "critical"
    argv = f"{sys.executable} -m maildiag run --bundle {broken} >&-"
    done = subprocess.run(["sh", "-c", argv], capture_output=True, text=True, env=environment(), check=False)
    assert done.returncode == 70
    assert "standard output is closed" in done.stderr


@pytest.mark.parametrize(
    "locale", [{"LC_ALL": "C"}, {"PYTHONIOENCODING": "latin-1"}, {"PYTHONUTF8": "0", "LC_ALL": "POSIX"}]
)
def test_any_locale_gets_its_report(broken: Path, locale: dict[str, str]) -> None:
    assert maildiag("run", "--bundle", broken, **locale).status == 2


def test_fail_on_critical_lets_the_unknown_pass(tmp_path: Path) -> None:
    folder = plug_in(tmp_path, "raise OSError('no')")
    fine = recorded(tmp_path / "fine.jsonl")
    arguments = ("run", "--bundle", fine, "--check", "services.installed")
    assert maildiag(*arguments, before=str(folder)).status == 3
    assert maildiag(*arguments, "--fail-on", "critical", before=str(folder)).status == 0


def test_an_internal_error_is_one_line_with_a_hint(broken: Path, tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text("import maildiag.engine\nmaildiag.engine.run = None\n")
    ran = maildiag("run", "--bundle", broken, before=str(tmp_path))
    assert ran.status == 70
    assert "internal error" in ran.err
    assert "MAILDIAG_DEBUG" in ran.err
    assert ran.err.count("\n") == 1
    assert "Traceback" in maildiag("run", "--bundle", broken, before=str(tmp_path), MAILDIAG_DEBUG="1").err
    monitored = maildiag("run", "--bundle", broken, "--format", "nagios", before=str(tmp_path))
    assert (monitored.status, monitored.err) == (3, "")
    assert monitored.out.startswith("MAILDIAG UNKNOWN - ")


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_run_reports_what_it_has(tmp_path: Path, number: signal.Signals, status: int) -> None:
    folder = plug_in(tmp_path, SLOW)
    out = tmp_path / "report.json"
    argv = [sys.executable, "-m", "maildiag", "run", "--json", "--no-history", "-o", str(out)]
    before = signal.signal(
        number, signal.default_int_handler
    )  # a shell's background job has SIGINT ignored, and passes it on
    process = subprocess.Popen(argv, stdout=subprocess.PIPE, env=environment(before=str(folder)))
    signal.signal(number, before)
    assert process.stdout is not None
    with process.stdout:
        assert process.stdout.readline() == b"waiting\n"
        os.kill(process.pid, number)
        assert process.wait(30) == status
    document = json.loads(out.read_text())
    validate(document)
    assert document["complete"] is False


def test_the_deadline_makes_the_slow_question_unknown(tmp_path: Path) -> None:
    folder = plug_in(tmp_path, SLOW.replace('print("waiting", flush=True)', ""))
    ran = maildiag("run", "--json", "--check", "queue.never", "--timeout", "0.5", before=str(folder))
    found = json.loads(ran.out)["findings"][0]
    assert (ran.status, found["status"], found["gap"]) == (3, "unknown", "timeout")


def test_jsonl_tells_the_run_from_start_to_end(broken: Path) -> None:
    ran = maildiag("run", "--format", "jsonl", "--bundle", broken)
    lines = [json.loads(line) for line in ran.out.splitlines()]
    assert lines[0]["event"] == "run_start"
    assert lines[-1]["event"] == "run_end"
    assert lines[-1]["exit_status"] == ran.status == 2
    validate(lines[-1]["report"])
    assert any(each["event"] == "finding" and each["finding"]["id"] == "services.installed" for each in lines)


def test_a_plug_in_that_raises_is_one_finding_and_the_run_goes_on(tmp_path: Path) -> None:
    folder = plug_in(tmp_path, "raise RuntimeError('half written')")
    fine = recorded(tmp_path / "fine.jsonl")
    document = json.loads(maildiag("run", "--json", "--bundle", fine, before=str(folder)).out)
    told = {each["id"]: each for each in document["findings"]}
    assert told["services.plugin"]["status"] == "unknown"
    assert "half written" in told["services.plugin"]["detail"]
    assert told["services.installed"]["status"] == "ok"
