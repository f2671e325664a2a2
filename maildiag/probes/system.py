"""The host itself: who it is, what listens, what runs, its interfaces."""

from __future__ import annotations

from datetime import datetime

from maildiag.probes.probe import Probe
from maildiag.records import dataclass


@dataclass(frozen=True, slots=True)
class Identity:
    """The host's name, kernel, time (UTC) and boot time, and whether maildiag looks at it as root."""

    hostname: str
    kernel: str
    now: datetime
    booted: datetime
    privileged: bool


@dataclass(frozen=True, slots=True)
class WhoAmI(Probe[Identity]):
    """Ask for the host's identity and clock: the only `now` that anything judges by."""

    @property
    def source(self) -> str:
        return "uname, clock"

    @property
    def limit_s(self) -> float:
        return 3.0


@dataclass(frozen=True, slots=True)
class Listener:
    """A socket that accepts: `address` as bound (`0.0.0.0`, `::`, …); pid 0 and no program where it may not be seen."""

    protocol: str
    address: str
    port: int
    pid: int
    program: str


@dataclass(frozen=True, slots=True)
class Listeners(Probe[tuple[Listener, ...]]):
    """Ask the kernel for every listening TCP socket (psutil)."""

    @property
    def source(self) -> str:
        return "listening sockets"

    @property
    def limit_s(self) -> float:
        return 5.0


@dataclass(frozen=True, slots=True)
class Process:
    """A running process; `started` in UTC, `memory` in resident bytes; `command` is whole for Postfix's and Dovecot's masters
    alone, and the program of all others. `replaced`: the program's file was removed or replaced since (proc_pid_exe(5)); told
    of the masters alone.
    """

    pid: int
    parent: int
    name: str
    user: str
    command: tuple[str, ...]
    started: datetime
    memory: int
    state: str
    replaced: bool = False


@dataclass(frozen=True, slots=True)
class Processes(Probe[tuple[Process, ...]]):
    """Ask for the running processes (psutil)."""

    @property
    def source(self) -> str:
        return "processes"

    @property
    def limit_s(self) -> float:
        return 5.0


@dataclass(frozen=True, slots=True)
class Interface:
    """A network interface with its addresses (without prefix length) and whether it is up."""

    name: str
    up: bool
    addresses: tuple[str, ...]
    mtu: int


@dataclass(frozen=True, slots=True)
class Interfaces(Probe[tuple[Interface, ...]]):
    """Ask for the network interfaces (psutil)."""

    @property
    def source(self) -> str:
        return "network interfaces"

    @property
    def limit_s(self) -> float:
        return 3.0
