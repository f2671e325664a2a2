"""In a real terminal: keys through tmux, and the very bytes that reach a pseudo-terminal."""

from __future__ import annotations

import os
import re
import shutil
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.tui import strange
from tests.tui.terminals import PLAY, Raw, Tmux


@pytest.fixture
def need_tmux() -> None:
    if shutil.which("tmux") is None:
        if os.environ.get("CI"):
            pytest.fail("tmux is not installed, and this test may not be skipped here")
        pytest.skip("tmux is not installed")


@pytest.fixture
def tmux(need_tmux: None, tmp_path: Path) -> Iterator[Tmux]:
    terminal = Tmux(tmp_path)
    try:
        yield terminal
    finally:
        terminal.close()


def test_start_walk_open_a_finding_resize_and_quit(tmux: Tmux) -> None:
    tmux.wait("2 CRIT")
    tmux.keys("Enter")
    tmux.wait("# systemctl start postfix")
    tmux.keys("q")
    tmux.wait("WORKFLOW")
    tmux.keys("W")
    tmux.wait("Are Postfix and Dovecot running?")
    tmux.keys("]")
    tmux.wait("step 2 of 7")
    tmux.resize(40, 12)
    tmux.wait("Are messages stuck?")
    tmux.resize(160, 50)
    tmux.wait("step 2 of 7")
    tmux.keys("q")
    tmux.wait("WORKFLOW")
    tmux.keys("q")
    assert tmux.status() == "2"


def test_the_demonstration_shows_its_diagnosis_and_its_log_and_ends(need_tmux: None, tmp_path: Path) -> None:
    tmux = Tmux(tmp_path, [sys.executable, "-P", "-m", "maildiag", "demo", "dovecot-down"])
    try:
        tmux.wait("Mail or logins fail")
        tmux.wait("CAUSES 1")
        tmux.keys("L")
        tmux.wait("lines   f follow")
        tmux.keys("q")
        tmux.wait("WORKFLOW")
        tmux.keys("q")
        assert tmux.status() == "0"
    finally:
        tmux.close()


def test_control_c_twice_quits_and_once_does_not(tmux: Tmux) -> None:
    tmux.wait("2 CRIT")
    tmux.keys("C-c")
    tmux.wait("ctrl+c once more quits")
    tmux.wait_while("ctrl+c once more quits")
    tmux.keys("C-c")
    tmux.wait("ctrl+c once more quits")
    tmux.keys("C-c")
    assert tmux.status() == "2"


def test_it_is_suspended_and_goes_on(need_tmux: None, tmp_path: Path) -> None:
    tmux = Tmux(tmp_path, ["sh", "-mc", f"{sys.executable} -m tests.tui.play; echo suspended; fg >/dev/null; exit $?"])
    try:
        tmux.wait("2 CRIT")
        tmux.keys("C-z")
        tmux.wait("2 CRIT")
        tmux.keys("Enter")
        tmux.wait("# systemctl start postfix")
        tmux.keys("C-q")
        assert tmux.status() == "2"
    finally:
        tmux.close()


def test_exported_sizes_do_not_freeze_the_screen(need_tmux: None, tmp_path: Path) -> None:
    tmux = Tmux(tmp_path, ["env", "COLUMNS=80", "LINES=24", *PLAY])
    try:
        tmux.wait("2 CRIT")
        tmux.resize(160, 50)
        tmux.wait("ANSWERS OF STEP")
        tmux.resize(40, 12)
        tmux.wait_while("ANSWERS OF STEP")
        tmux.wait("Postfix is stopped")
        tmux.keys("C-q")
        assert tmux.status() == "2"
    finally:
        tmux.close()


@pytest.mark.parametrize("stream", ["< /dev/null", "> /dev/null", "2> /dev/null"])
def test_a_stream_that_is_no_terminal_is_told_at_once(stream: str, need_tmux: None, tmp_path: Path) -> None:
    tmux = Tmux(tmp_path, ["sh", "-c", f"{sys.executable} -m maildiag {stream}"])
    try:
        assert tmux.status() == "64"
    finally:
        tmux.close()


def test_read_only_shows_the_plan_and_refuses_to_apply(tmux: Tmux) -> None:
    tmux.wait("2 CRIT")
    tmux.keys("Enter")
    tmux.wait("FIX A")
    tmux.keys("a")
    tmux.wait("COMMANDS, IN THIS ORDER")
    tmux.wait("cannot be applied")
    tmux.keys("C-q")
    assert tmux.status() == "2"


@pytest.mark.parametrize(
    ("where", "told"),
    [([], "via tmux"), (["-u", "TMUX"], "via the terminal")],
    ids=["load-buffer", "OSC 52"],
)
def test_what_is_copied_can_be_pasted(where: list[str], told: str, need_tmux: None, tmp_path: Path) -> None:
    tmux = Tmux(tmp_path, ["env", *where, f"XDG_STATE_HOME={tmp_path}", *PLAY])
    try:
        tmux.option("set-clipboard", "on")
        tmux.wait("2 CRIT")
        tmux.keys("Enter")
        tmux.wait("FIX A")
        tmux.keys("y")
        tmux.wait("the commands of fix a")
        tmux.keys("Enter")
        tmux.wait(told)
        assert tmux.buffer() == "systemctl start postfix"
        assert (tmp_path / "maildiag/clip/last.txt").read_text() == "systemctl start postfix"
        tmux.keys("C-q")
        assert tmux.status() == "2"
    finally:
        tmux.close()


FORBIDDEN = [
    strange.MARKED.encode(), b"\x1b]", b"\x1b]8", b"\x1b]52", b"\x1b\\", b"\x07", b"\x00", b"\x0e",
    *(chr(code).encode() for code in (*range(0x80, 0xA0), 0x61C, 0x200B, 0x200E, 0x202A, 0x202E, 0x2028, 0x2066, 0xFEFF, 0xFFF9)),
]  # fmt: skip


@pytest.mark.parametrize("name", strange.SCREENS)
def test_nothing_that_a_stranger_wrote_reaches_the_terminal_as_a_command(name: str, tmp_path: Path) -> None:
    raw = Raw("screen", name, where={"XDG_STATE_HOME": str(tmp_path), "TMPDIR": str(tmp_path)})
    raw.read_until(rb"\x1b")
    os.write(raw.master, b"jjl\x1b[B/x\r")
    raw.drain(0.7)
    os.write(raw.master, b"\x11")
    assert raw.end(10) == 2
    # What Textual itself writes: CSI sequences, and the shape of the pointer.
    written = raw.bytes.replace(b"\x1b]22;default\x07", b"")
    assert set(re.findall(rb"\x1b(.)", written, re.DOTALL)) <= {b"["}
    for each in FORBIDDEN:
        assert each not in written, each


def test_a_termination_gives_the_terminal_back() -> None:
    raw = Raw()
    raw.read_until(b"CRIT")
    os.kill(raw.pid, signal.SIGTERM)
    assert raw.end(5) == 143
    assert b"\x1b[?1049l" in raw.bytes
    assert raw.bytes.rindex(b"\x1b[?1000l") > raw.bytes.rindex(b"\x1b[?1000h"), "the mouse is given back"


def test_a_hang_up_ends_it_at_once() -> None:
    raw = Raw()
    raw.read_until(b"CRIT")
    os.kill(raw.pid, signal.SIGHUP)
    assert raw.end(3) == 129


@pytest.mark.parametrize(("how", "status"), [("ctrl+q", 2), ("SIGTERM", 143), ("SIGHUP", 129)])
def test_what_was_noted_outlives_the_screen_however_it_ends(how: str, status: int, tmp_path: Path) -> None:
    raw = Raw(where={"XDG_STATE_HOME": str(tmp_path)})
    raw.read_until(b"CRIT")
    os.write(raw.master, b"W")
    raw.read_until(b"step 1 of 7")
    os.write(raw.master, b"#")
    raw.read_until(b"Take it")
    os.write(raw.master, b"called Bob\r")
    raw.read_until(b"# called Bob")
    if how == "ctrl+q":
        os.write(raw.master, b"\x11")
    else:
        os.kill(raw.pid, getattr(signal, how))
    assert raw.end(5) == status
    (record,) = (tmp_path / "maildiag" / "incidents").glob("*.md")
    assert "step 1: called Bob" in record.read_text()


def test_a_vanished_terminal_leaves_no_process_behind() -> None:
    raw = Raw(ignore_hang_up=True)
    raw.read_until(b"CRIT")
    os.close(raw.master)
    assert raw.end(6) == 129


@pytest.mark.parametrize(
    ("how", "status"),
    [("q", 2), ("ctrl+q", 2), ("SIGTERM", 143), ("SIGHUP", 129), ("closed", 129)],
)
def test_a_change_under_way_is_finished_before_it_ends(how: str, status: int, tmp_path: Path) -> None:
    raw = Raw("change", str(tmp_path), ignore_hang_up=how == "closed")
    raw.read_until(b"CRIT")
    file = tmp_path / "change"
    raw.wait(file.exists)
    match how:
        case "q":
            os.write(raw.master, b"q")
        case "ctrl+q":
            os.write(raw.master, b"\x11")
        case "closed":
            os.close(raw.master)
        case _:
            os.kill(raw.pid, getattr(signal, how))
    raw.drain(1.0)
    assert file.read_text() == "half"
    assert raw.alive, "it waits for the change"
    (tmp_path / "go").touch()
    assert raw.end(8) == status
    assert file.read_text() == "whole"


@pytest.mark.parametrize(
    "where",
    [{"LC_ALL": "C"}, {"LC_ALL": "en_US.ISO-8859-1"}, {"TERM": "linux"}, {"MAILDIAG_ASCII": "1"}],
    ids=str,
)
def test_a_terminal_without_utf_8_is_drawn_in_ascii(where: dict[str, str]) -> None:
    raw = Raw(where=where)
    raw.read_until(b"CRIT")
    os.write(raw.master, b"?")
    raw.read_until(b"ON THIS SCREEN")
    os.write(raw.master, b"\x11")
    raw.end(5)
    assert raw.bytes.isascii()
    assert b"-----" in raw.bytes


def test_without_colours_it_is_legible_by_its_words() -> None:
    raw = Raw(where={"NO_COLOR": "1"})
    raw.read_until(b"CRIT")
    os.write(raw.master, b"\x11")
    raw.end(5)
    # 3[0-7], 4[0-7], 9x, 10x, and 38/48;2 with three different parts would be colours
    coloured = re.findall(rb"\x1b\[[0-9;]*(?:38|48);2;(\d+);(\d+);(\d+)", raw.bytes)
    assert all(len(set(each)) == 1 for each in coloured), "only greys"
    assert not re.search(rb"\x1b\[(?:[0-9;]*;)?(?:3[1-6]|4[1-6]|9[1-6]|10[1-6])(?:;[0-9;]*)?m", raw.bytes)
