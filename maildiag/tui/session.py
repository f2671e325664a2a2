"""What the application works on: the host, the registry, the settings, and whether it may change anything."""

from __future__ import annotations

import contextlib
import platform
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import field
from typing import Any, TypeVar

from maildiag.events import Event
from maildiag.hosts import Host
from maildiag.hosts.local import LocalHost
from maildiag.model import Status, Step
from maildiag.records import dataclass
from maildiag.registry import Check, Registry
from maildiag.report import Report
from maildiag.settings import Settings
from maildiag.text import safe
from maildiag.tui import diagnosing
from maildiag.tui.beside import Beside
from maildiag.tui.diagnosing import Way

T = TypeVar("T")
_LONGER_S = 30.0  # what a run may take beyond its own limit until its process is taken for dead


@dataclass(slots=True)
class Session:
    """One host under diagnosis. `allow_fix` is read where things are executed, not where keys are bound.

    Where there is a process `beside` the screen's, and a `way` for it to the host, what computes is done there.
    """

    host: Host
    load: Callable[[], Registry]
    settings: Settings
    allow_fix: bool = False
    ascii: bool = False
    beside: Beside | None = None
    way: Way | None = None
    cancelled: threading.Event = field(default_factory=threading.Event)
    _loaded: Registry | None = None
    _loading: threading.Lock = field(default_factory=threading.Lock)

    @property
    def registry(self) -> Registry:
        """The checks, loaded when they are first asked for: the screen does not wait for them."""
        with self._loading:
            if self._loaded is None:
                self._loaded = self.load()
            return self._loaded

    @property
    def name(self) -> str:
        """What this host may be called until a run has told its name."""
        kind, _, rest = self.host.source.partition(":")
        return safe(platform.node() if kind == "local" else rest if kind == "ssh" else "")

    @property
    def recorded(self) -> bool:
        """True for a recording: nothing can be changed there."""
        return self.host.source.startswith("bundle:")

    @property
    def changeable(self) -> bool:
        """True for this machine: only here can anything be changed."""
        return isinstance(self.host, LocalHost)

    @property
    def local(self) -> bool:
        """True for this machine: its files may be opened as they are."""
        return not self.host.source.startswith(("bundle:", "ssh:"))

    def run(self, step: Step | None = None) -> Iterator[Event]:
        """Answer all checks (or a step's), as events. A cancelled run ends early with what it has. Raises Broken, ValueError."""
        cancelled = self.cancelled = threading.Event()
        if self.beside is not None and self.way is not None:
            given, limit_s = (self.way, self.load, self.settings, step), self.settings.timeout + _LONGER_S
            with contextlib.suppress(OSError):  # a machine that starts no process any more is still diagnosed
                return self.beside.each(diagnosing.run, *given, cancelled=cancelled, limit_s=limit_s)
        from maildiag import engine

        checks: Sequence[Check] | None = self.registry.select([step]) if step else None
        return engine.run(self.host, self.registry, self.settings, checks, cancelled)

    def compute(
        self, task: Callable[..., Iterator[T]], *given: Any, cancelled: threading.Event | None = None
    ) -> Iterator[T]:
        """What `task(*given, cancelled)` yields, computed in the other process where there is one; for a worker thread."""
        stop = cancelled or threading.Event()
        if self.beside is not None:
            with contextlib.suppress(OSError):
                return self.beside.each(task, *given, cancelled=stop)
        return task(*given, stop)

    def earlier(self, host: str) -> Mapping[str, Status] | None:
        """What the last run of this machine that is kept did not find fine, by finding key; None where none is. Raises HistoryError."""
        from maildiag import history

        kept = history.runs(host=host, most=1) if isinstance(self.host, LocalHost) else []
        return {key: Status(status) for key, status in kept[0].findings.items()} if kept else None

    def remember(self, report: Report) -> str:
        """Keep a whole run of this machine for the history; why it could not be kept, or an empty string."""
        from maildiag import history

        return history.remember(report) if isinstance(self.host, LocalHost) and report.complete else ""

    def cancel(self) -> None:
        """End the run that is under way."""
        self.cancelled.set()
