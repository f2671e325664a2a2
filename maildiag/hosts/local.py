"""This machine: every kind of probe has one function that answers it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Container
from datetime import UTC, datetime
from typing import Any, TypeVar

from maildiag.hosts import commands, dialogues, files, names, past, system
from maildiag.model import Gap, GapReason, Missing, Reading
from maildiag.probes import (
    Command,
    Dialogue,
    DiskSpace,
    DnsLookup,
    EarlierRuns,
    Interfaces,
    ListDirectory,
    Listeners,
    Probe,
    Processes,
    ReadFile,
    Stat,
    TryConnect,
    WhoAmI,
)
from maildiag.programs import PATH, PROGRAMS
from maildiag.secrets import holds, without_secrets

A = TypeVar("A")

_ANSWERS: dict[type[Probe[Any]], Callable[[Any], Any]] = {
    ReadFile: files.read,
    Stat: files.stat,
    ListDirectory: files.list_directory,
    DiskSpace: files.disk_space,
    WhoAmI: system.identity,
    Listeners: system.listeners,
    Processes: system.processes,
    Interfaces: system.interfaces,
    DnsLookup: names.lookup,
    Dialogue: dialogues.hold,
    TryConnect: dialogues.try_connect,
    EarlierRuns: past.earlier_runs,
}


class LocalHost:
    """The machine that maildiag runs on; reads it, and changes nothing."""

    source = "local"

    def __init__(self, programs: Container[str] = frozenset(PROGRAMS), path: str = PATH) -> None:
        """`programs` may be run, and are found in `path`."""
        self._programs, self._path = programs, path
        self._running = commands.Running()
        self._closed = threading.Event()

    def ask(self, probe: Probe[A]) -> Reading[A] | Gap:
        """Answer `probe`, or say why not; see `maildiag.hosts.Host.ask`."""
        if self._closed.is_set():
            return Gap(GapReason.TIMEOUT, "the run was ended before this was asked")
        started = time.monotonic()
        try:
            value = self._answer(probe)
        except Missing as missing:
            return missing.gap
        except PermissionError as error:
            return Gap(GapReason.DENIED, f"{probe.source}: {error.strerror or error}", "needs root")
        except (FileNotFoundError, NotADirectoryError):
            return Gap(GapReason.ABSENT, f"{probe.source}: no such file")
        except TimeoutError:
            return Gap(GapReason.TIMEOUT, f"{probe.source}: timed out after {probe.limit_s:g} s")
        except (OSError, ValueError, UnicodeError) as error:
            return Gap(GapReason.FAILED, f"{probe.source}: {error}")
        return Reading(value, datetime.now(UTC), time.monotonic() - started)

    def close(self) -> None:
        """Kill the programs that are still running and refuse further questions."""
        self._closed.set()
        self._running.kill()

    def _answer(self, probe: Probe[A]) -> A:
        if isinstance(probe, Command):
            return without_secrets(probe, commands.run(probe, self._running, self._programs, self._path))  # type: ignore[return-value]
        if isinstance(probe, ReadFile) and (what := holds(probe.path)):
            raise Missing(Gap(GapReason.FAILED, f"{probe.path} holds {what} and is never read"))
        answer: A = _ANSWERS[type(probe)](probe)
        return answer
