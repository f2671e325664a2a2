"""Programs are run as promised: fixed environment, no input, a terminal where asked, and nothing survives its limit."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from maildiag.hosts.commands import Running
from maildiag.hosts.local import LocalHost
from maildiag.model import Gap, GapReason, Reading
from maildiag.probes import Command, CommandResult, command
from maildiag.secrets import WITHHELD, without_secrets


def shell(folder: Path, script: str) -> LocalHost:
    path = folder / "hostname"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return LocalHost(programs={"hostname"}, path=f"{folder}:/usr/bin:/bin")


def result(host: LocalHost, probe: Command | None = None) -> CommandResult:
    reading = host.ask(probe or command("hostname"))
    assert isinstance(reading, Reading), reading
    return reading.value


def alive(pid: int) -> bool:
    """False for what has ended, a zombie that nobody has waited for included."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_the_whole_group_is_killed_at_the_limit(tmp_path: Path) -> None:
    host = shell(tmp_path, f"sleep 600 & echo $! >{tmp_path}/child; wait")
    answer = host.ask(command("hostname", timeout=0.3))
    assert isinstance(answer, Gap)
    assert answer.reason is GapReason.TIMEOUT
    assert gone_soon(int((tmp_path / "child").read_text()))


def gone_soon(pid: int) -> bool:
    end = time.monotonic() + 20
    while alive(pid) and time.monotonic() < end:
        os.sched_yield()
    return not alive(pid)


def test_a_child_that_keeps_the_output_open_cannot_hang_the_question(tmp_path: Path) -> None:
    began = time.monotonic()
    host = shell(tmp_path, f"setsid sleep 600 & echo $! >{tmp_path}/child; echo said")
    host.ask(command("hostname", timeout=0.5))
    assert time.monotonic() - began < 20
    os.kill(int((tmp_path / "child").read_text()), 9)


def test_closing_the_host_kills_what_runs(tmp_path: Path) -> None:
    import threading

    host = shell(tmp_path, f"echo $$ >{tmp_path}/me.part; mv {tmp_path}/me.part {tmp_path}/me; exec sleep 600")
    answers: list[object] = []
    thread = threading.Thread(target=lambda: answers.append(host.ask(command("hostname", timeout=60))))
    thread.start()
    while not (tmp_path / "me").exists():
        os.sched_yield()
    host.close()
    thread.join(20)
    assert not thread.is_alive()
    assert gone_soon(int((tmp_path / "me").read_text()))
    after = host.ask(command("hostname"))
    assert isinstance(after, Gap)


def test_a_program_that_starts_while_the_host_closes_is_killed_as_well() -> None:
    running = Running()
    running.kill()
    process = subprocess.Popen(["sleep", "600"], start_new_session=True)
    running.add(process.pid)
    assert process.wait(20) == -signal.SIGKILL


def test_the_environment_is_fixed_and_there_is_no_input(tmp_path: Path) -> None:
    said = result(shell(tmp_path, 'cat; echo "$LC_ALL|$HOME|$(pwd)|${MAILDIAG_TEST-none}"'))
    assert said.stdout == "C|/|/|none\n"


def test_input_is_given_where_a_probe_has_some(tmp_path: Path) -> None:
    assert result(shell(tmp_path, "cat"), command("hostname", stdin="one\ntwo\n")).stdout == "one\ntwo\n"


def test_a_program_that_reads_no_input_does_not_block(tmp_path: Path) -> None:
    assert result(shell(tmp_path, "echo done"), command("hostname", stdin="x" * 1_000_000)).stdout == "done\n"


def test_standard_error_is_a_terminal_where_asked(tmp_path: Path) -> None:
    host = shell(tmp_path, "test -t 2 && echo terminal; echo told >&2; exit 3")
    told = result(host, command("hostname", tty=True))
    assert (told.stdout, told.stderr, told.status) == ("terminal\n", "told\n", 3)
    assert result(host).stdout == ""


def test_bytes_that_are_no_utf_8_survive(tmp_path: Path) -> None:
    said = result(shell(tmp_path, r"printf 'caf\351\n'")).stdout
    assert said.encode("utf-8", "surrogateescape") == b"caf\xe9\n"


@pytest.mark.parametrize("table", ["hash:/etc/postfix/sasl_passwd", "texthash:/etc/postfix/relay_auth"])
def test_what_a_lookup_table_answers_is_withheld(table: str) -> None:
    probe = command("postmap", "-q", "[relay.example.test]:587", table)
    assert without_secrets(probe, CommandResult(0, "user:secret\n", "")).stdout == f"{WITHHELD}\n"
    assert without_secrets(probe, CommandResult(1, "", "")).stdout == ""
    assert without_secrets(command("postconf", "-n"), CommandResult(0, "a = b\n", "")).stdout == "a = b\n"
