"""Progress on standard error: on a terminal one line rewritten in place; otherwise nothing, unless plain text is asked for."""

from __future__ import annotations

import os
import sys
import threading
import time
from types import TracebackType
from typing import Self

from maildiag.events import CheckFinished, Event, FactFinished, FactStarted, RunFinished, RunStarted

_EVERY_S = 0.1
_PLAIN_EVERY_S = 30.0


class Progress:
    """Follows the events of a run; says how far it is and what it waits for longest."""

    def __init__(self, plain: bool = False, verbose: bool = False) -> None:
        """`plain` appends lines in place of rewriting one; `verbose` tells every check that is answered."""
        terminal = sys.stderr.isatty() and os.environ.get("TERM", "dumb") != "dumb"
        self._rewrites = terminal and not plain and not verbose
        self._verbose = verbose
        self._plain = plain
        self._began = time.monotonic()
        self._asked = 0
        self._answered = 0
        self._waiting: dict[str, float] = {}
        self._ended = threading.Event()
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        if self._rewrites:
            self._write("\rmaildiag: looking …"[: self._width()])
        if self._rewrites or self._plain:
            threading.Thread(target=self._tick, daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._ended.set()
        if self._rewrites:
            with self._lock:
                self._write("\r\x1b[K")

    def follow(self, event: Event) -> None:
        """Take note of one event."""
        match event:
            case RunStarted(_, checks):
                self._asked = len(checks)
            case FactStarted(name):
                self._waiting[name] = time.monotonic()
            case FactFinished(name):
                self._waiting.pop(name, None)
            case CheckFinished(check, findings):
                self._answered += 1
                if self._verbose:
                    worst = max(findings, key=lambda each: each.status.weight)
                    self._write(f"{worst.status.value:<9}{check.id}\n")
            case RunFinished():
                self._ended.set()

    def line(self) -> str:
        """`12/61 answered, 1.4 s, waiting for Firewall`."""
        waiting = sorted(self._waiting.items(), key=lambda each: each[1])
        slowest = f", waiting for {waiting[0][0]}" if waiting else ""
        return f"maildiag: {self._answered}/{self._asked} answered, {time.monotonic() - self._began:.1f} s{slowest}"

    def _tick(self) -> None:
        while not self._ended.wait(_EVERY_S if self._rewrites else _PLAIN_EVERY_S):
            with self._lock:
                if self._ended.is_set():
                    return
                if self._rewrites:
                    self._write("\r\x1b[K" + self.line()[: self._width()])
                else:
                    self._write("still working: " + self.line() + "\n")

    def _width(self) -> int:
        try:
            return max(10, os.get_terminal_size(sys.stderr.fileno()).columns - 1)
        except OSError:
            return 79

    def _write(self, text: str) -> None:
        try:
            sys.stderr.write(text)
            sys.stderr.flush()
        except (OSError, ValueError):
            self._ended.set()
