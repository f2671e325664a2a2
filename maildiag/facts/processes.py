"""The running processes, and which of them are mail daemons."""

from __future__ import annotations

from maildiag.asking import Ask
from maildiag.probes import Process, Processes
from maildiag.records import dataclass
from maildiag.registry import gatherer


@dataclass(frozen=True, slots=True)
class ProcessTable:
    """Every process that could be seen."""

    processes: tuple[Process, ...]

    def by_pid(self, pid: int) -> Process | None:
        """The process with this id."""
        return next((each for each in self.processes if each.pid == pid), None)

    def named(self, *names: str) -> tuple[Process, ...]:
        """The processes with one of these names, zombies left out."""
        return tuple(each for each in self.processes if each.name in names and each.state != "zombie")

    def postfix_masters(self) -> tuple[Process, ...]:
        """The processes that are Postfix's master(8); salt and others have a program of that name too."""
        return tuple(each for each in self.named("master") if any("postfix" in word for word in each.command[:1]))

    def dovecot_masters(self) -> tuple[Process, ...]:
        """The processes that are Dovecot's master: `dovecot` itself, not its children, and not a question to the program."""
        found = tuple(each for each in self.named("dovecot") if not asks_only(each))
        pids = {each.pid for each in found}
        return tuple(each for each in found if each.parent not in pids)


def asks_only(process: Process) -> bool:
    """True for `dovecot --version` and its like, which maildiag itself runs at the same moment: no daemon. Source: dovecot(1)."""
    return any(word.startswith("--") for word in process.command[1:])


@gatherer
def process_table(ask: Ask) -> ProcessTable:
    """Ask for the running processes."""
    return ProcessTable(ask(Processes()))
