"""Processes of a daemon that are there and do nothing: stopped by a signal, or held by a debugger."""

from __future__ import annotations

from collections.abc import Iterator

from maildiag.facts.processes import ProcessTable
from maildiag.facts.services import Daemon, Services
from maildiag.model import Evidence, Fix, Verdict, critical
from maildiag.probes import Process
from maildiag.text import plural

_STOPPED, _TRACED = "stopped", "tracing-stop"


def held(services: Services, daemon: Daemon, title: str, table: ProcessTable | None) -> Verdict | None:
    """What is held of a daemon that runs: its main process or any that it started. Source: proc_pid_status(5), signal(7).

    A client is still connected to, by the kernel, and then waits for as long as it has patience.
    """
    if table is None or daemon.process is None:
        return None
    found = [each for each in _family(daemon.process, table) if each.state in (_STOPPED, _TRACED)]
    if not found:
        return None
    names = ", ".join(dict.fromkeys(each.name for each in found))
    traced = all(each.state == _TRACED for each in found)
    how = "held by a debugger" if traced else "stopped by a signal (SIGSTOP, or ctrl+z)"
    verb = "is" if len(found) == 1 else "are"
    return critical(
        f"{title} runs, but {plural(len(found), 'process', 'processes')} of it {verb} {how}: {names}",
        detail="Who wants something of them waits, and is told nothing.",
        subject=daemon.name,
        evidence=tuple(Evidence("processes", f"pid {each.pid}: {each.name}, {each.state}") for each in found[:5]),
        fixes=() if traced else (_let_go_on(services, daemon, found),),
        explained_by=(),
        data={"state": "held"},
    )


def _family(first: Process, table: ProcessTable) -> Iterator[Process]:
    """A process and all that descend from it."""
    yield first
    for each in table.processes:
        if each.parent == first.pid and each.pid != first.pid:
            yield from _family(each, table)


def _let_go_on(services: Services, daemon: Daemon, found: list[Process]) -> Fix:
    title = "Let the processes go on (SIGCONT)"
    if not services.systemd or daemon.unit is None or daemon.outside:
        return Fix(
            id=f"services.{daemon.name}/continue",
            title=title,
            verify=(f"services.{daemon.name}",),
            ask=f"kill -CONT {' '.join(str(each.pid) for each in found)}",
        )
    return Fix(
        id=f"services.{daemon.name}/continue",
        title=title,
        commands=(("systemctl", "kill", "--signal=CONT", services.unit_name(daemon.name)),),
        automatic=True,
        verify=(f"services.{daemon.name}",),
        why="Those that are not stopped take no notice of the signal.",
    )
