"""Whether Postfix's master runs, since when, and when it last read its configuration."""

from __future__ import annotations

from datetime import datetime

from maildiag.asking import Ask
from maildiag.facts.postfix import Postfix
from maildiag.model import Gap
from maildiag.probes import FileInfo, FileText, Listener, Listeners, Process, Processes, ReadFile, Stat
from maildiag.records import dataclass
from maildiag.registry import gatherer


@dataclass(frozen=True, slots=True)
class PostfixProcess:
    """`known` is false where the processes could not be seen; `systemd`: the host is run by systemd.

    `loaded` is when master last read its files: a reload ends qmgr and starts it anew, so qmgr's start tells (master(8)). `listeners` are the sockets that master holds and its
    daemons share, as far as they may be seen.
    """

    known: bool
    systemd: bool
    master: Process | None = None
    loaded: datetime | None = None
    listeners: tuple[Listener, ...] = ()

    @property
    def running(self) -> bool:
        """True where a master was seen."""
        return self.master is not None

    @property
    def reload(self) -> tuple[str, ...]:
        """The command that makes a changed configuration count."""
        return ("postfix", "reload") if self.running or not self.known else self.restart

    @property
    def restart(self) -> tuple[str, ...]:
        """The command that starts Postfix whether it runs or not. Debian's unit is a shell that `start` passes over."""
        if self.systemd:
            return ("systemctl", "restart", "postfix")
        return ("postfix", "start")

    @property
    def restarts(self) -> tuple[tuple[str, ...], ...]:
        """The commands for what a reload does not do (inet_interfaces): stop, and start."""
        if self.systemd or not self.running:
            return (self.restart,)
        return (("postfix", "stop"), ("postfix", "start"))


@gatherer
def postfix_process(ask: Ask, postfix: Postfix | None) -> PostfixProcess:
    """Look for master(8) and its queue manager among the processes; of several instances for the default one's."""
    systemd = isinstance(ask.maybe(Stat("/run/systemd/system")), FileInfo)
    processes = ask.maybe(Processes())
    if isinstance(processes, Gap):
        return PostfixProcess(False, systemd)
    sockets = ask.maybe(Listeners())
    pid = _pid(ask, postfix) if postfix and postfix.others else 0
    return find_master(processes, systemd, () if isinstance(sockets, Gap) else sockets, pid)


def _pid(ask: Ask, postfix: Postfix) -> int:
    """What the default instance's master wrote into its pid file (master(8)); 0 where it may not be seen."""
    file = ask.maybe(ReadFile(f"{postfix.get('queue_directory', '/var/spool/postfix')}/pid/master.pid"))
    text = file.text.strip() if isinstance(file, FileText) else ""
    return int(text) if text.isdigit() else 0


def find_master(
    processes: tuple[Process, ...], systemd: bool, sockets: tuple[Listener, ...] = (), pid: int = 0
) -> PostfixProcess:
    """The process `master` of that `pid`, else the newest one, whose program lies in a Postfix directory; and its qmgr's start."""
    masters = [each for each in processes if each.name == "master" and "postfix" in " ".join(each.command[:1])]
    masters = [each for each in masters if each.state != "zombie"]
    if not masters:
        return PostfixProcess(True, systemd)
    master = max(masters, key=lambda each: (each.pid == pid, each.started))
    queue = [each.started for each in processes if each.parent == master.pid and each.name == "qmgr"]
    family = {master.pid, *(each.pid for each in processes if each.parent == master.pid)}
    own = tuple(each for each in sockets if each.pid in family)
    return PostfixProcess(True, systemd, master, max(queue, default=master.started), own)
