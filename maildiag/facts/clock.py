"""Whether the host's clock is kept, and what else on the host tells of the time."""

from __future__ import annotations

from datetime import datetime, timedelta

from maildiag.asking import Ask
from maildiag.facts.postfix import Postfix
from maildiag.facts.processes import ProcessTable
from maildiag.facts.services import Services, Unit
from maildiag.probes import CommandResult, FileInfo, Identity, Process, Stat, command
from maildiag.records import dataclass
from maildiag.registry import begins

_TIMEDATECTL = command("timedatectl", "show")
# Files that are written when software is installed or the host boots: the time cannot be before them.
WITNESSES = ("/var/lib/dpkg/status", "/var/lib/rpm/rpmdb.sqlite", "/etc/passwd", "/var/log/wtmp", "/run/systemd")


@dataclass(frozen=True, slots=True)
class Clock:
    """`service` tells whether a time service keeps the clock (None: unknown), `synchronized` whether the kernel calls it so.

    `witnesses` are files with the time of their last change. `moved` is how far the clock was set ahead (negative: back) since
    `unit` was started, `recorded` the time of that start by the clock of then.
    """

    now: datetime
    booted: datetime
    service: bool | None
    synchronized: bool | None
    witnesses: tuple[FileInfo, ...] = ()
    moved: timedelta = timedelta(0)
    unit: str = ""
    recorded: datetime | None = None


@begins(_TIMEDATECTL)
def clock(
    ask: Ask, identity: Identity, postfix: Postfix | None, services: Services | None, processes: ProcessTable | None
) -> Clock:
    """Ask timedatectl, look at the witnesses, and compare systemd's record of a start with the age of its process."""
    main_cf = f"{postfix.config_directory}/main.cf" if postfix is not None else "/etc/postfix/main.cf"
    told = ask.maybe(_TIMEDATECTL)
    looked = ask.all([Stat(path) for path in (*WITNESSES, main_cf)])
    values = parse_timedatectl(told.stdout) if isinstance(told, CommandResult) and not told.status else {}
    return Clock(
        identity.now,
        identity.booted,
        values.get("NTP"),
        values.get("NTPSynchronized"),
        tuple(each for each in looked if isinstance(each, FileInfo)),
        *_moved(identity.now, services, processes),
    )


def _moved(
    now: datetime, services: Services | None, processes: ProcessTable | None
) -> tuple[timedelta, str, datetime | None]:
    """The kernel counts a process's age in ticks, whatever the clock is set to (proc_pid_stat(5), starttime): what that age
    and the start that systemd wrote down do not add up to is how far the clock was moved.

    The age is told from the youngest process, which is one of our own: a container's boot time may not be the kernel's.
    """
    youngest = max((each.started for each in processes.processes), default=None) if processes else None
    for daemon in (services.postfix, services.dovecot) if services else ():
        process, unit = daemon.process, daemon.unit
        if youngest and process and unit and unit.active_since and _of_unit(process, unit, processes):
            began = now - (youngest - process.started)
            return began - unit.active_since, unit.name, unit.active_since
    return timedelta(0), "", None


def _of_unit(process: Process, unit: Unit, processes: ProcessTable | None) -> bool:
    """Debian's postfix@-.service tells no main process: then it is the master that there is only one of."""
    sole = processes is not None and len(processes.postfix_masters()) == 1
    return unit.running and (unit.main_pid == process.pid or (not unit.main_pid and process.name == "master" and sole))


def parse_timedatectl(text: str) -> dict[str, bool]:
    """The properties of `timedatectl show` that are yes or no."""
    pairs = (line.partition("=") for line in text.splitlines())
    return {name: value == "yes" for name, _, value in pairs if value in ("yes", "no")}
