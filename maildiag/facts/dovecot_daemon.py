"""The running Dovecot: since when it runs, and since when it has the configuration that it works with."""

from __future__ import annotations

from datetime import datetime

from maildiag.asking import Ask
from maildiag.facts.processes import asks_only
from maildiag.probes import Process, Processes
from maildiag.records import dataclass
from maildiag.registry import gatherer


@dataclass(frozen=True, slots=True)
class DovecotDaemon:
    """`loaded` is the start of the master or of the last reload, which replaces the log process."""

    running: bool
    pid: int = 0
    started: datetime | None = None
    loaded: datetime | None = None


@gatherer
def dovecot_daemon(ask: Ask) -> DovecotDaemon:
    """Look for Dovecot's master among the processes."""
    return find_master(ask(Processes()))


def find_master(processes: tuple[Process, ...]) -> DovecotDaemon:
    """The oldest process `dovecot` that no `dovecot` started, and its log process."""
    masters = [each for each in processes if each.name == "dovecot" and each.command and _is_master(each)]
    if not masters:
        return DovecotDaemon(False)
    master = min(masters, key=lambda each: each.started)
    logs = [each.started for each in processes if each.parent == master.pid and each.command[:1] == ("dovecot/log",)]
    return DovecotDaemon(True, master.pid, master.started, max([master.started, *logs]))


def _is_master(process: Process) -> bool:
    named = process.command[0].rsplit("/", 1)[-1] == "dovecot"
    return named and not process.state.startswith("zombie") and not asks_only(process)
