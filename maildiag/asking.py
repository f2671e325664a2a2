"""Asks the host: every probe once and bounded, every fact gathered once and side by side."""

from __future__ import annotations

import queue
import threading
import time
import traceback
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from dataclasses import field
from datetime import datetime
from typing import Any, TypeVar

from maildiag.events import FactFinished, FactStarted
from maildiag.hosts import Host
from maildiag.model import Gap, GapReason, Missing, Reading
from maildiag.probes import Probe
from maildiag.records import dataclass
from maildiag.registry import Gatherer, Registry, Want
from maildiag.report import Timing
from maildiag.settings import Settings
from maildiag.text import safe
from maildiag.workers import Workers

A = TypeVar("A")
_SIDE_BY_SIDE = 32
_GRACE_S = 1.0


class Ask:
    """What a gatherer asks the host through: each probe once in a run, however many ask.

    `read_at` says when each source was read for it. Several probes may have one source (a name asked over UDP, then over
    TCP): what is shown of it was there by the last of them.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self.read_at: dict[str, datetime] = {}

    @property
    def source(self) -> str:
        """Where the answers come from: `local`, `ssh:NAME` or `bundle:FILE`."""
        return self._session.host.source

    def __call__(self, probe: Probe[A]) -> A:
        """The answer. Raises Missing where there is none; let it pass unless you can do without."""
        answer = self.maybe(probe)
        if isinstance(answer, Gap):
            raise Missing(answer)
        return answer

    def maybe(self, probe: Probe[A]) -> A | Gap:
        """The answer, or the gap."""
        reading = self.reading(probe)
        return reading if isinstance(reading, Gap) else reading.value

    def reading(self, probe: Probe[A]) -> Reading[A] | Gap:
        """The answer with its time and duration, or the gap."""
        answer = self._session.wait(probe, self._session.start(probe))
        if isinstance(answer, Reading):
            self.read_at[probe.source] = max(answer.at, self.read_at.get(probe.source, answer.at))
        return answer

    def begin(self, probe: Probe[Any]) -> None:
        """Start asking what will be wanted later, so that it is under way beside what is asked meanwhile."""
        self._session.start(probe)

    def all(self, probes: Sequence[Probe[A]]) -> list[A | Gap]:
        """The answers to all of them, asked side by side, in their order."""
        for probe in probes:
            self._session.start(probe)
        return [self.maybe(probe) for probe in probes]


@dataclass
class Session:
    """One run against one host: the probes asked, the facts gathered, the events on their way."""

    host: Host
    registry: Registry
    settings: Settings
    deadline: float
    news: queue.SimpleQueue[object] = field(default_factory=queue.SimpleQueue)
    timings: list[Timing] = field(default_factory=list)
    _read_at: dict[type, dict[str, datetime]] = field(default_factory=dict)
    _probes: dict[Probe[Any], Future[Any]] = field(default_factory=dict)
    _facts: dict[type, Future[Any]] = field(default_factory=dict)
    _values: dict[type, Any] = field(default_factory=dict)
    _lock: threading.RLock = field(default_factory=threading.RLock)
    _slots: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(_SIDE_BY_SIDE))
    _workers: Workers = field(default_factory=Workers)

    def start(self, probe: Probe[A]) -> Future[Reading[A] | Gap]:
        """Ask the probe beside all others, once."""
        with self._lock:
            if probe not in self._probes:
                self._probes[probe] = self._workers.start(lambda: self._ask(probe))
            return self._probes[probe]

    def _ask(self, probe: Probe[A]) -> Reading[A] | Gap:
        with self._slots:
            begun = time.monotonic()
            answer = self.host.ask(probe)
        answered = isinstance(answer, Reading)
        with self._lock:
            self.timings.append(Timing(safe(probe.source), time.monotonic() - begun, answered))
        return answer

    def wait(self, probe: Probe[A], answer: Future[Reading[A] | Gap]) -> Reading[A] | Gap:
        """The probe's answer; a gap where it stays away longer than its own limit and the run's deadline allow."""
        left = self.deadline - time.monotonic()
        try:
            return answer.result(max(0.0, min(left, probe.limit_s * 2 + _GRACE_S)))
        except TimeoutError:
            return Gap(GapReason.TIMEOUT, f"{probe.source} gave no answer in time")

    def fact(self, wanted: type) -> Future[Any]:
        """The fact's future; gathered beside all others, once."""
        with self._lock:
            if wanted not in self._facts:
                self._facts[wanted] = self._begin(wanted)
            return self._facts[wanted]

    def _begin(self, wanted: type) -> Future[Any]:
        if wanted is Settings:
            return _done(self.settings)
        found = self.registry.gatherers.get(wanted)
        if found is None:
            return _done(Gap(GapReason.FAILED, f"no gatherer for {wanted.__name__}"))
        self.news.put(FactStarted(found.name))
        begun = time.monotonic()
        for probe in found.begins(self.settings):
            self.start(probe)
        future = self._workers.start(lambda: self._gather(found))
        future.add_done_callback(lambda done: self._tell(found, begun, done))
        return future

    def _tell(self, found: Gatherer, begun: float, done: Future[Any]) -> None:
        self.news.put(FactFinished(found.name, time.monotonic() - begun, not isinstance(done.result(), Gap)))

    def _gather(self, found: Gatherer) -> Any:
        for need in found.needs:
            self.fact(need.fact)
        given: dict[str, Any] = {}
        for need in found.needs:
            value = self.value(need.fact)
            if isinstance(value, Gap) and need.want is Want.REQUIRED:
                return value
            given[need.name] = None if isinstance(value, Gap) and need.want is Want.OR_NONE else value
        ask = Ask(self)
        self._read_at[found.fact] = ask.read_at
        try:
            return found.gather(ask, **given)
        except Missing as missing:
            return missing.gap
        except Exception as error:  # noqa: BLE001 (a bug of ours or of a plug-in: told as such, and the run goes on)
            return Gap(GapReason.FAILED, f"the gatherer of {found.name} crashed: {crash(error)}", "report this bug")

    def value(self, wanted: type) -> Any:
        """The fact or its gap; waits until the deadline."""
        if wanted in self._values:
            return self._values[wanted]
        try:
            value = self.fact(wanted).result(max(0.0, self.deadline - time.monotonic()))
        except TimeoutError:
            return Gap(GapReason.TIMEOUT, f"{wanted.__name__}: the run's time was up")
        self._values[wanted] = value
        return value

    def read_at(self, source: str, facts: Iterable[type]) -> datetime | None:
        """When a source was read for these facts, or for what they needed; None where it was not read for them."""
        every = {one for fact in facts for one in (fact, *self.registry.needed(fact))}
        times = [told[source] for fact in every if source in (told := self._read_at.get(fact, {}))]
        return max(times, default=None)

    def known(self, wanted: type) -> Any:
        """The fact where it is there by now, or a gap; waits for nothing."""
        with self._lock:
            future = self._facts.get(wanted)
        if future is None or not future.done():
            return Gap(GapReason.TIMEOUT, f"{wanted.__name__}: the run was ended")
        return future.result()


def crash(error: Exception) -> str:
    """An exception in a line: what, and where it was raised."""
    last = traceback.extract_tb(error.__traceback__)[-1:]
    where = f" at {last[0].name}:{last[0].lineno}" if last else ""
    return f"{type(error).__name__}: {error}{where}"


def _done(value: Any) -> Future[Any]:
    future: Future[Any] = Future()
    future.set_result(value)
    return future


def gather_alone(function: Callable[..., Any], host: Host, facts: dict[str, Any]) -> Any:
    """Run one gatherer outside a run, with the facts it needs given by parameter name; its gap where it has one."""
    session = Session(host, Registry(), Settings(), time.monotonic() + 60.0)
    try:
        return function(Ask(session), **facts)
    except Missing as missing:
        return missing.gap
