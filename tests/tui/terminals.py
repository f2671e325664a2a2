"""Terminals to run a program in: one inside a private tmux server, and a bare one with every byte that is written to it."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import shlex
import signal
import struct
import subprocess
import sys
import termios
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).parents[2]
PLAY = [sys.executable, "-m", "tests.tui.play"]


def environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES", "TMUX", "NO_COLOR")}
    kept["SHELL"] = "/bin/sh"  # tmux starts everything with it, and that of accounts like nobody's starts nothing
    return kept | {"PYTHONPATH": f"{ROOT}:{ROOT / 'checks'}", "TERM": "xterm-256color", "LC_ALL": "C.UTF-8"}


class Tmux:
    """A terminal of its own in a private tmux server."""

    def __init__(self, directory: Path, argv: Sequence[str] = PLAY, width: int = 80, height: int = 24) -> None:
        self._name = f"t{uuid.uuid4().hex[:8]}"
        self._status = directory / "status"
        command = (
            f"cd {shlex.quote(str(ROOT))}; {shlex.join(argv)}; echo $? > {shlex.quote(str(self._status))}; exec cat"
        )
        self._tmux("-f", "/dev/null", "new-session", "-d", "-x", str(width), "-y", str(height), command)

    def _tmux(self, *arguments: str) -> str:
        argv = ["tmux", "-L", self._name, *arguments]
        return subprocess.run(argv, capture_output=True, text=True, env=environment(), check=True).stdout

    def screen(self) -> str:
        return self._tmux("capture-pane", "-p")

    def keys(self, *keys: str) -> None:
        self._tmux("send-keys", *keys)

    def option(self, name: str, value: str) -> None:
        """Set an option of the server: `set-clipboard on` takes what a program copies by OSC 52 (tmux(1))."""
        self._tmux("set-option", "-s", name, value)

    def buffer(self) -> str:
        """What tmux would paste."""
        return self._tmux("show-buffer")

    def resize(self, width: int, height: int) -> None:
        self._tmux("resize-window", "-x", str(width), "-y", str(height))

    def wait(self, text: str, limit_s: float = 60) -> str:
        end = time.monotonic() + limit_s
        while time.monotonic() < end:
            shown = self.screen()
            if text in shown:
                return shown
            time.sleep(0.02)
        raise AssertionError(f"{text!r} is not on the screen:\n{self.screen()}")

    def wait_while(self, text: str, limit_s: float = 60) -> None:
        end = time.monotonic() + limit_s
        while text in self.screen():
            assert time.monotonic() < end, f"{text!r} is still on the screen:\n{self.screen()}"
            time.sleep(0.02)

    def status(self, limit_s: float = 60) -> str:
        end = time.monotonic() + limit_s
        while time.monotonic() < end:
            with contextlib.suppress(FileNotFoundError):
                if text := self._status.read_text().strip():
                    return text
            time.sleep(0.02)
        raise AssertionError(f"it did not end:\n{self.screen()}")

    def close(self) -> None:
        self._tmux("kill-server")


class Raw:
    """The application on a bare pseudo-terminal, with every byte that it writes."""

    def __init__(self, *words: str, ignore_hang_up: bool = False, where: Mapping[str, str] | None = None) -> None:
        self.pid, self.master = pty.fork()
        if self.pid == 0:
            os.chdir(ROOT)
            if ignore_hang_up:
                signal.signal(signal.SIGHUP, signal.SIG_IGN)
            os.execve(PLAY[0], [*PLAY, *words], environment() | dict(where or {}))
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        self.bytes = b""

    def read_until(self, text: bytes, limit_s: float = 60) -> None:
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

    @property
    def alive(self) -> bool:
        """True while the process has not ended."""
        return os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None

    def wait(self, done: Callable[[], bool], limit_s: float = 60) -> None:
        """Wait for something outside, and read on meanwhile: a program whose output nobody reads stands still."""
        end = time.monotonic() + limit_s
        while not done():
            assert time.monotonic() < end, self.bytes[-2000:]
            self.drain(0.05)

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
