"""What the application works on: the host, the registry, the settings, and whether it may change anything."""

from __future__ import annotations

import platform
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from maildiag.events import Event
from maildiag.hosts import Host
from maildiag.hosts.local import LocalHost
from maildiag.model import Status, Step
from maildiag.registry import Check, Registry
from maildiag.report import Report
from maildiag.settings import Settings
from maildiag.text import safe


@dataclass(slots=True)
class Session:
    """One host under diagnosis. `allow_fix` is read where things are executed, not where keys are bound."""

    host: Host
    load: Callable[[], Registry]
    settings: Settings
    allow_fix: bool = False
    ascii: bool = False
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
        """Answer all checks (or a step's), as events. A cancelled run ends early with what it has."""
        from maildiag import engine

        self.cancelled = threading.Event()
        checks: Sequence[Check] | None = self.registry.select([step]) if step else None
        return engine.run(self.host, self.registry, self.settings, checks, self.cancelled)

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
