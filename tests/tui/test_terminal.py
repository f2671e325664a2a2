"""In a real terminal: keys through tmux, and the very bytes that reach a pseudo-terminal."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import re
import shlex
import shutil
import signal
import struct
import subprocess
import sys
import termios
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PLAY = [sys.executable, "-m", "tests.tui.play"]


def environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES", "TMUX", "NO_COLOR")}
    return kept | {"PYTHONPATH": f"{ROOT}:{ROOT / 'checks'}", "TERM": "xterm-256color", "LC_ALL": "C.UTF-8"}


class Tmux:
    """A terminal of its own in a private tmux server."""

    def __init__(self, directory: Path, width: int = 80, height: int = 24) -> None:
        self._name = f"t{uuid.uuid4().hex[:8]}"
        self._status = directory / "status"
        command = (
            f"cd {shlex.quote(str(ROOT))}; {shlex.join(PLAY)}; echo $? > {shlex.quote(str(self._status))}; exec cat"
        )
        self._tmux("-f", "/dev/null", "new-session", "-d", "-x", str(width), "-y", str(height), command)

    def _tmux(self, *arguments: str) -> str:
        argv = ["tmux", "-L", self._name, *arguments]
        return subprocess.run(argv, capture_output=True, text=True, env=environment(), check=True).stdout

    def screen(self) -> str:
        return self._tmux("capture-pane", "-p")

    def keys(self, *keys: str) -> None:
        self._tmux("send-keys", *keys)

    def resize(self, width: int, height: int) -> None:
        self._tmux("resize-window", "-x", str(width), "-y", str(height))

    def wait(self, text: str, limit_s: float = 15) -> str:
        end = time.monotonic() + limit_s
        while time.monotonic() < end:
            shown = self.screen()
            if text in shown:
                return shown
            time.sleep(0.02)
        raise AssertionError(f"{text!r} is not on the screen:\n{self.screen()}")

    def status(self, limit_s: float = 10) -> str:
        end = time.monotonic() + limit_s
        while time.monotonic() < end:
            with contextlib.suppress(FileNotFoundError):
                if text := self._status.read_text().strip():
                    return text
            time.sleep(0.02)
        raise AssertionError(f"it did not end:\n{self.screen()}")

    def close(self) -> None:
        self._tmux("kill-server")


@pytest.fixture
def tmux(tmp_path: Path) -> Iterator[Tmux]:
    if shutil.which("tmux") is None:
        if os.environ.get("CI"):
            pytest.fail("tmux is not installed, and this test may not be skipped here")
        pytest.skip("tmux is not installed")
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


def test_read_only_shows_the_plan_and_refuses_to_apply(tmux: Tmux) -> None:
    tmux.wait("2 CRIT")
    tmux.keys("Enter")
    tmux.wait("FIX A")
    tmux.keys("a")
    tmux.wait("COMMANDS, IN THIS ORDER")
    tmux.wait("cannot be applied")
    tmux.keys("C-q")
    assert tmux.status() == "2"


class Raw:
    """The application on a bare pseudo-terminal, with every byte that it writes."""

    def __init__(self, ignore_hang_up: bool = False) -> None:
        self.pid, self.master = pty.fork()
        if self.pid == 0:
            os.chdir(ROOT)
            if ignore_hang_up:
                signal.signal(signal.SIGHUP, signal.SIG_IGN)
            os.execve(PLAY[0], PLAY, environment())
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        self.bytes = b""

    def read_until(self, text: bytes, limit_s: float = 15) -> None:
        end = time.monotonic() + limit_s
        os.set_blocking(self.master, False)
        while text not in self.bytes and time.monotonic() < end:
            with contextlib.suppress(BlockingIOError, OSError):
                self.bytes += os.read(self.master, 65536)
            time.sleep(0.01)
        assert text in self.bytes, self.bytes[-2000:]

    def drain(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            with contextlib.suppress(BlockingIOError, OSError):
                self.bytes += os.read(self.master, 65536)
            time.sleep(0.01)

    def end(self, limit_s: float) -> int:
        """The exit status as the shell tells it; the process is killed where it does not end in time."""
        end = time.monotonic() + limit_s
        while time.monotonic() < end:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                return os.waitstatus_to_exitcode(status)
            with contextlib.suppress(BlockingIOError, OSError):
                self.bytes += os.read(self.master, 65536)
            time.sleep(0.02)
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        raise AssertionError(f"still running after {limit_s} s")


def test_no_escape_of_a_stranger_reaches_the_terminal() -> None:
    raw = Raw()
    raw.read_until(b"CRIT")
    os.write(raw.master, b"\r")
    raw.drain(1.0)
    os.write(raw.master, b"\x11")
    raw.end(5)
    assert b"\x1b]52" not in raw.bytes
    assert b"\x1b]8" not in raw.bytes
    assert b"\xc2\x9b" not in raw.bytes
    assert "\u202e".encode() not in raw.bytes
    assert re.search(rb"\\x1b\]52", raw.bytes), "the hostile text is shown, spelled out"


def test_a_termination_gives_the_terminal_back() -> None:
    raw = Raw()
    raw.read_until(b"CRIT")
    os.kill(raw.pid, signal.SIGTERM)
    assert raw.end(5) == 143
    assert b"\x1b[?1049l" in raw.bytes


def test_a_vanished_terminal_leaves_no_process_behind() -> None:
    raw = Raw(ignore_hang_up=True)
    raw.read_until(b"CRIT")
    os.close(raw.master)
    assert raw.end(6) == 129
