"""Processes of a daemon that are there and do nothing: stopped by a signal, or held by a debugger."""

from __future__ import annotations

from collections.abc import Iterator

from maildiag.facts.processes import ProcessTable
from maildiag.facts.services import Daemon, Services, Unit, short
from maildiag.model import Evidence, Fix, Verdict, critical
from maildiag.probes import Process
from maildiag.text import plural

_STOPPED, _TRACED = "stopped", "tracing-stop"


def held(services: Services, daemon: Daemon, title: str, table: ProcessTable | None) -> Verdict | None:
    """What is held of Postfix or Dovecot, which run: the main process or any that it started.

    Sources: proc_pid_status(5), signal(7). A client is still connected to, by the kernel, and then waits for as long as it has patience.
    """
    if table is None or daemon.process is None:
        return None
    unit = services.unit_name(daemon.name) if services.systemd and daemon.unit and not daemon.outside else ""
    return _verdict(f"services.{daemon.name}", daemon.name, title, unit, list(_family(daemon.process, table)))


def held_unit(unit: Unit, title: str, table: ProcessTable | None) -> Verdict | None:
    """The same of another service that mail depends on."""
    main = table.by_pid(unit.main_pid) if table is not None and unit.running else None
    if table is None or main is None:
        return None
    return _verdict("services.backend", short(unit.name), title, short(unit.name), list(_family(main, table)))


def _verdict(check: str, subject: str, title: str, unit: str, processes: list[Process]) -> Verdict | None:
    found = [each for each in processes if each.state in (_STOPPED, _TRACED)]
    if not found:
        return None
    names = ", ".join(dict.fromkeys(each.name for each in found))
    traced = all(each.state == _TRACED for each in found)
    how = "held by a debugger" if traced else "stopped by a signal (SIGSTOP, or ctrl+z)"
    verb = "is" if len(found) == 1 else "are"
    return critical(
        f"{title} runs, but {plural(len(found), 'process', 'processes')} of it {verb} {how}: {names}",
        detail="Who wants something of them waits, and is told nothing.",
        subject=subject,
        evidence=tuple(Evidence("processes", f"pid {each.pid}: {each.name}, {each.state}") for each in found[:5]),
        fixes=() if traced else (_let_go_on(f"{check}@{subject}", unit, found),),
        explained_by=(),
        data={"state": "held"},
    )


def _family(first: Process, table: ProcessTable) -> Iterator[Process]:
    """A process and all that descend from it."""
    yield first
    for each in table.processes:
        if each.parent == first.pid and each.pid != first.pid:
            yield from _family(each, table)


def _let_go_on(finding: str, unit: str, found: list[Process]) -> Fix:
    check = finding.partition("@")[0]
    title = "Let the processes go on (SIGCONT)"
    if not unit:
        ask = f"kill -CONT {' '.join(str(each.pid) for each in found)}"
        return Fix(id=f"{check}/continue", title=title, verify=(finding,), ask=ask)
    return Fix(
        id=f"{check}/continue",
        title=title,
        commands=(("systemctl", "kill", "--signal=CONT", unit),),
        automatic=True,
        verify=(finding,),
        why="Those that are not stopped take no notice of the signal.",
    )
