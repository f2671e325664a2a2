"""A run of the engine in the process beside the screen: what it is given, what it keeps for the next run, and how its events go over."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import cache
from typing import Any, TypeVar

from maildiag.events import CheckFinished, Event, RunStarted
from maildiag.hosts import Host
from maildiag.model import Gap, GapReason, Reading, Step
from maildiag.probes import Probe
from maildiag.records import dataclass
from maildiag.registry import Check, Registry
from maildiag.settings import Settings
from maildiag.tui.beside import Beside, Broken, at_end

A = TypeVar("A")
Load = Callable[[], Registry]


@dataclass(frozen=True, slots=True)
class Way:
    """How a host is reached, as a value that another process can follow: a function of a module, and what it is given."""

    open: Callable[..., Host]
    given: tuple[Hashable, ...] = ()

    def host(self) -> Host:
        """The host. Raises what `open` raises."""
        return self.open(*self.given)


class Apart:
    """A host to which only the process beside the screen has a connection."""

    def __init__(self, source: str, way: Way, beside: Beside) -> None:
        """`source` as `maildiag.hosts.Host` has it."""
        self.source = source
        self._way, self._beside = way, beside

    def ask(self, probe: Probe[A]) -> Reading[A] | Gap:
        """Its answer; a gap where the process ends instead."""
        try:
            return next(self._beside.each(asked, self._way, probe, cancelled=threading.Event()))
        except (Broken, OSError, StopIteration) as error:
            return Gap(GapReason.FAILED, f"{self.source}: {error}")

    def close(self) -> None:
        """The connection ends with the process."""


# -- in the process beside the screen ----------------------------------------------------------------------------------

_lock = threading.Lock()
_hosts: dict[Way, Host] = {}


def loaded(load: Load, _: threading.Event) -> Iterator[None]:
    """Load the checks, so that the first run need not wait for them."""
    _registry(load)
    yield from ()


def run(way: Way, load: Load, settings: Settings, step: Step | None, cancelled: threading.Event) -> Iterator[Event]:
    """Answer all checks (or a step's), as `maildiag.engine.run` does. Raises what opening the host raises."""
    from maildiag import engine

    registry = _registry(load)
    checks: Sequence[Check] | None = registry.select([step]) if step else None
    for event in engine.run(_host(way), registry, settings, checks, cancelled):
        yield carried(event)


def asked(way: Way, probe: Probe[A], _: threading.Event) -> Iterator[Reading[A] | Gap]:
    """The host's answer to one probe."""
    yield _host(way).ask(probe)


def carried(event: Event) -> Event:
    """The event as it can go over: a check without the function that judges and the types it needs."""
    match event:
        case RunStarted(source, checks):
            return RunStarted(source, tuple(_without_function(each) for each in checks))
        case CheckFinished(check, findings):
            return CheckFinished(_without_function(check), findings)
    return event


def _without_function(check: Check) -> Check:
    return replace(check, judge=judged_beside, needs=())


def judged_beside(**_: Any) -> Iterable[Any]:
    """What a check that went over cannot do. Raises TypeError."""
    raise TypeError("this check is judged in the process beside the screen")


def _registry(load: Load) -> Registry:
    with _lock:
        return _once(load)


@cache
def _once(load: Load) -> Registry:
    return load()


def _host(way: Way) -> Host:
    """The host, opened when it is first asked, and again where its connection broke since."""
    with _lock:
        host = _hosts.get(way)
        if host is None or getattr(host, "ended", False):
            host = _hosts[way] = way.host()
            at_end(host.close)
        return host
