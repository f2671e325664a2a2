"""Asks the kernel of this machine for its identity, sockets, processes and interfaces."""

from __future__ import annotations

import os
import platform
import socket
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from maildiag.model import Gap, GapReason, Missing
from maildiag.probes import (
    Identity,
    Interface,
    Interfaces,
    Listener,
    Listeners,
    Process,
    Processes,
    WhoAmI,
)


def identity(_: WhoAmI) -> Identity:
    """Name, kernel, clock, boot time, and whether we are root."""
    import psutil

    return Identity(
        socket.gethostname(),
        f"{platform.system()} {platform.release()}",
        datetime.now(UTC),
        datetime.fromtimestamp(psutil.boot_time(), UTC),
        os.geteuid() == 0,
    )


def listeners(_: Listeners) -> tuple[Listener, ...]:
    """Every listening TCP socket; the process is told only where we may see it."""
    import psutil

    holders: dict[int, tuple[int, str]] = {0: (0, "")}
    found = set()
    for each in psutil.net_connections(kind="tcp"):
        if each.status == psutil.CONN_LISTEN and each.laddr:
            pid = each.pid or 0
            if pid not in holders:
                holders[pid] = _holder(pid)
            found.add(Listener("tcp", each.laddr.ip, each.laddr.port, *holders[pid]))
    return tuple(sorted(found, key=lambda one: (one.port, one.address, one.pid)))


_MASTERS = ("master", "dovecot")


def _holder(pid: int) -> tuple[int, str]:
    """The process with its program, or the master whose child it is: until it executes its own program, a child holds all
    sockets of its master, and the name that is read a moment later may be that of a daemon that never listens.
    """
    import psutil

    try:
        process = psutil.Process(pid)
        name, parent = process.name(), process.ppid()
        above = psutil.Process(parent).name() if parent > 1 else ""
    except psutil.Error:
        return pid, ""
    return (parent, above) if above in _MASTERS else (pid, name)


def processes(_: Processes) -> tuple[Process, ...]:
    """The running processes; one that ends meanwhile is left out, and so are those of containers (pid_namespaces(7)), which
    are no daemons of this host. Raises Missing where they are hidden from us.
    """
    import psutil

    found, here = [], _namespace("self")
    for each in psutil.process_iter(["ppid", "name", "username", "cmdline", "create_time", "memory_info", "status"]):
        info = each.info
        if here and _namespace(each.pid) not in ("", here):
            continue
        found.append(
            Process(
                each.pid,
                info["ppid"] or 0,
                info["name"] or "",
                info["username"] or "",
                _command(info["name"] or "", info["cmdline"] or ()),
                datetime.fromtimestamp(info["create_time"] or 0, UTC),
                info["memory_info"].rss if info["memory_info"] else 0,
                info["status"] or "",
                info["name"] in _MASTERS and _replaced(each.pid),
            )
        )
    return unhidden(tuple(found))


def _replaced(pid: int) -> bool:
    """False too where it may not be told to us."""
    try:
        return os.readlink(f"/proc/{pid}/exe").endswith(" (deleted)")  # noqa: PTH115 (a path, and a remark behind it)
    except OSError:
        return False


def _namespace(pid: int | str) -> str:
    """The name of a process's PID namespace; empty where it has ended, or may not be told to us."""
    try:
        return str(Path(f"/proc/{pid}/ns/pid").readlink())
    except OSError:
        return ""


def unhidden(found: tuple[Process, ...]) -> tuple[Process, ...]:
    """The same. Raises Missing where init is not among them: proc(5)'s `hidepid` shows a user nobody else's processes."""
    if not any(each.pid == 1 and each.name for each in found):
        raise Missing(Gap(GapReason.DENIED, "the processes of other users are hidden (hidepid)", "needs root"))
    return found


def _command(name: str, words: Sequence[str]) -> tuple[str, ...]:
    """The whole command line of Postfix's and Dovecot's masters; of others the program alone, for people put passwords there."""
    if name in _MASTERS:
        return tuple(words)
    return tuple(word.split(" ")[0] for word in words[:1])


def interfaces(_: Interfaces) -> tuple[Interface, ...]:
    """The network interfaces with their IPv4 and IPv6 addresses."""
    import psutil

    states = psutil.net_if_stats()
    return tuple(
        Interface(
            name,
            states[name].isup if name in states else False,
            tuple(one.address.split("%")[0] for one in found if one.family in (socket.AF_INET, socket.AF_INET6)),
            states[name].mtu if name in states else 0,
        )
        for name, found in sorted(psutil.net_if_addrs().items())
    )
