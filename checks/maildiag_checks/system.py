"""Step 1, below the daemons: ports, disks, memory, and the programs that mail depends on."""

from __future__ import annotations

import re
from collections.abc import Iterator

from maildiag.facts.disk import Disks, Place
from maildiag.facts.dovecot import Dovecot
from maildiag.facts.local_time import LocalTime
from maildiag.facts.mail_log import MailLog
from maildiag.facts.open_ports import OpenPorts
from maildiag.facts.postfix import Postfix
from maildiag.facts.processes import ProcessTable
from maildiag.facts.services import OTHER_MTAS, Daemon, Services, Unit, short
from maildiag.logs.summary import Group
from maildiag.model import (
    Evidence,
    Fix,
    HostRole,
    Risk,
    Role,
    Status,
    Step,
    Verdict,
    critical,
    notice,
    ok,
    skipped,
    unknown,
    warning,
)
from maildiag.probes import FileSystem, Listener
from maildiag.records import dataclass
from maildiag.registry import check
from maildiag.settings import Settings
from maildiag.text import plural
from maildiag_checks._current import is_current, origin
from maildiag_checks._held import held_unit

_POSTFIX_PROGRAMS = frozenset({"master", "smtpd", "postscreen"})
_DOVECOT_PROGRAMS = frozenset({"dovecot", "imap-login", "pop3-login", "submission-login", "managesieve-login"})
_MAILBOX_PORTS = (143, 993, 110, 995)


@check(
    "services.port-taken",
    step=Step.SERVICES,
    asks="Does another program hold a port of Postfix or Dovecot?",
    explained_by=(),
)
def port_taken(
    services: Services,
    ports: OpenPorts | None,
    log: MailLog | None,
    time: LocalTime | None,
    postfix: Postfix | None,
    role: HostRole | None,
) -> Iterator[Verdict]:
    """A daemon whose port is taken does not start: another mail server, a container, or a second copy of itself.

    Sources: master(8), bind(2) EADDRINUSE.
    """
    found: dict[int, Verdict] = {}
    for port, group in _complaints(services, log, time):
        found[port] = _taken(port, group.family, services, ports, log, group)
    for port, daemon in _expected(services, postfix, role):
        strangers = _strangers(ports, port, daemon.name)
        if port not in found and daemon.running is False and strangers:
            found[port] = _taken(port, daemon.name, services, ports, log, None)
    yield from found.values()
    if not found:
        if ports is None and log is None:
            yield unknown("Neither the listening sockets nor the log could be read")
        else:
            yield ok(
                "No other program holds a port of mail",
                evidence=(Evidence("listening sockets", "no foreign listener"),),
            )


def _complaints(services: Services, log: MailLog | None, time: LocalTime | None) -> Iterator[tuple[int, Group]]:
    if log is None or time is None:
        return
    for each in log.summary.of("start.port-taken", "dovecot.port-taken"):
        if each.fields.get("port", "").isdigit() and is_current([each], log, time.now, services):
            yield int(each.fields["port"]), each


def _expected(services: Services, postfix: Postfix | None, role: HostRole | None) -> Iterator[tuple[int, Daemon]]:
    if postfix is None or postfix.installed:
        yield 25, services.postfix
    if services.dovecot.unit is not None and (role is None or role.role is Role.MAIL_SERVER):
        for port in _MAILBOX_PORTS:
            yield port, services.dovecot


def _strangers(ports: OpenPorts | None, port: int, daemon: str) -> tuple[Listener, ...]:
    own = _POSTFIX_PROGRAMS if daemon == "postfix" else _DOVECOT_PROGRAMS
    return tuple(each for each in ports.on(port) if each.program not in own) if ports is not None else ()


def _taken(
    port: int, daemon: str, services: Services, ports: OpenPorts | None, log: MailLog | None, group: Group | None
) -> Verdict:
    holders = _strangers(ports, port, daemon)
    name = next((each.program for each in holders if each.program), "")
    by = f"by {name} (pid {holders[0].pid})" if name else "by another program"
    shown = [
        Evidence("listening sockets", f"{each.address}:{each.port} {each.program or '?'} (pid {each.pid})")
        for each in holders
    ]
    if group is not None and log is not None:
        shown.insert(0, Evidence(origin(group, log), group.samples[-1], group.last))
    title = {"postfix": "Postfix", "dovecot": "Dovecot"}[daemon]
    return critical(
        f"Port {port} of {title} is taken {by}" + ("" if holders else ", which is gone by now"),
        detail="" if name or not holders else "run as root to see which program it is",
        subject=str(port),
        evidence=tuple(shown),
        fixes=tuple(_give_way(port, daemon, name, services, bool(holders))),
        explained_by=(),
        data={"port": port, "program": name},
    )


def _give_way(port: int, daemon: str, program: str, services: Services, held: bool) -> Iterator[Fix]:
    start = _start_again(services, daemon)
    if not held:
        yield Fix(
            id=f"services.port-taken/start-{daemon}",
            title=f"Start {daemon} again: the port is free now",
            commands=start,
            automatic=True,
            verify=(f"services.port-taken@{port}", f"services.{daemon}"),
        )
        return
    unit = _unit_of(program, services)
    if unit is None:
        return
    name = short(unit.name)
    yield Fix(
        id=f"services.port-taken/stop-{name}",
        title=f"Stop {name} for good and start {daemon}",
        commands=(("systemctl", "disable", "--now", name), *start),
        undo=(services.stop(daemon), ("systemctl", "enable", "--now", name)),
        risk=Risk.MEDIUM,
        verify=(f"services.port-taken@{port}", f"services.{daemon}"),
        disrupts=f"{name} and whatever uses it",
        why=f"two programs cannot listen on port {port}; mail that {name} holds stays in its own queue",
    )


def _start_again(services: Services, daemon: str) -> tuple[tuple[str, ...], ...]:
    unit = services.daemon(daemon).unit
    reset = (("systemctl", "reset-failed", short(unit.name)),) if unit is not None and unit.active == "failed" else ()
    return (*reset, services.start(daemon))


def _unit_of(program: str, services: Services) -> Unit | None:
    """The unit of another mail server that runs under this program's name."""
    for name in OTHER_MTAS:
        unit = services.units.get(name)
        if unit is not None and unit.exists and program and name.startswith(program.rstrip("0123456789")):
            return unit
    return None


@check("services.disk", step=Step.SERVICES, asks="Is there room for mail?", explained_by=())
def disk(disks: Disks, postfix: Postfix | None, settings: Settings) -> Iterator[Verdict]:
    """Postfix refuses mail when the spool has less than queue_minfree or 1.5 times message_size_limit free.

    Sources: smtpd(8), postconf(5).
    """
    by_mount: dict[str, list[Place]] = {}
    for each in disks.places:
        by_mount.setdefault(each.system.mount, []).append(each)
    needed = _needed(postfix)
    for mount, places in by_mount.items():
        yield _room(mount, places, needed, settings)


def _needed(postfix: Postfix | None) -> int:
    """Bytes that Postfix insists on having free in the spool."""
    if postfix is None or not postfix.installed:
        return 0
    limit, least = (_number(postfix.get(name)) for name in ("message_size_limit", "queue_minfree"))
    return max(limit * 3 // 2, least)


def _number(text: str) -> int:
    return int(text) if text.isdigit() else 0


def _room(mount: str, places: list[Place], needed: int, settings: Settings) -> Verdict:
    system = places[0].system
    uses = {each.use for each in places}
    paths = ", ".join(each.path for each in places)
    free = system.available * 100 / system.size if system.size else 100.0
    told = f"{_size(system.available)} of {_size(system.size)} free ({free:.1f} %)"
    inodes = system.inodes and system.inodes_free * 100 / system.inodes
    told += f", {system.inodes_free:,} of {system.inodes:,} inodes free" if system.inodes else ""
    shown = (
        Evidence(
            f"df {places[0].path}",
            f"{mount} ({system.kind}{', read-only' if system.read_only else ''}): {told}; holds {paths}",
        ),
    )
    status, title = _judged(mount, uses, system, needed, settings)
    return Verdict(
        status=status,
        title=title or f"{mount} has room: {told}",
        detail="" if status in (Status.OK, Status.NOTICE) else f"it holds {paths}",
        subject=mount,
        evidence=shown,
        explained_by=(),
        data={
            "free_bytes": system.available,
            "free_percent": round(free, 1),
            "inodes_free_percent": round(float(inodes), 1),
            "needed": needed,
        },
    )


def _judged(mount: str, uses: set[str], system: FileSystem, needed: int, settings: Settings) -> tuple[Status, str]:
    spool, vital = "spool" in uses, bool(uses & {"spool", "store", "state"})
    full = Status.CRITICAL if vital else Status.WARNING
    room = _size(system.available)
    if system.read_only:
        return full, f"{mount} is mounted read-only: nothing can be written to it"
    if system.available == 0 and system.size:
        return full, f"{mount} is full"
    if system.inodes and system.inodes_free == 0:
        return full, f"{mount} has no free inode left: no file can be made, although {room} are free"
    if spool and needed and system.available <= needed:
        return Status.CRITICAL, (
            f"Postfix refuses mail: the spool on {mount} has {room} free, and it insists on {_size(needed)} "
            "(1.5 times message_size_limit, or queue_minfree)"
        )
    limit = settings.thresholds.disk_free_percent
    if system.available < system.size * limit / 100 and system.available < 2 * 1024**3:
        return Status.WARNING, f"{mount} is nearly full: {room} free"
    if system.inodes and system.inodes_free < system.inodes * limit / 200:
        return Status.WARNING, f"{mount} has few inodes left: {system.inodes_free:,} of {system.inodes:,}"
    return Status.OK, ""


def _size(count: int) -> str:
    for unit, length in (("TB", 10**12), ("GB", 10**9), ("MB", 10**6), ("kB", 1000)):
        if count >= length:
            return f"{count / length:.1f} {unit}"
    return f"{count} bytes"


# A process of Dovecot that reached the limit of its own is no sign that the host lacks memory.
_OWN_LIMITS = ("services.dovecot-limits@default_vsz_limit", "services.dovecot-limits@vsz_limit")


@check("services.memory", step=Step.SERVICES, asks="Does memory suffice?", explained_by=())
def memory(log: MailLog, services: Services | None, time: LocalTime) -> Iterator[Verdict]:
    """The kernel kills processes when memory runs out, and so does a limit of a unit. Source: proc(5), systemd.resource-control(5)."""
    found = list(log.summary.of("kernel.oom", "systemd.oom", "dovecot.out-of-memory"))
    for each in found:
        name = each.fields.get("program") or each.fields.get("unit") or each.daemon
        current = is_current([each], log, time.now, services)
        down = services is not None and any(
            one.unit is not None and one.unit.result == "oom-kill" and not one.running
            for one in (services.postfix, services.dovecot)
        )
        make = critical if down else warning if current else notice
        yield make(
            f"{name} was killed or stopped because memory ran out ({plural(each.count, 'line')})"
            + ("" if current or down else "; this looks over"),
            subject=name,
            evidence=(Evidence(origin(each, log), each.samples[-1], each.last),),
            explained_by=_OWN_LIMITS if each.meaning == "dovecot.out-of-memory" else (),
            data={"count": each.count},
        )
    if not found:
        yield ok(
            "No process was killed for want of memory",
            evidence=(Evidence(log.source, "no such line of the kernel or of systemd"),),
        )


@dataclass(frozen=True, slots=True)
class _Backend:
    """A program that mail may depend on: its units, and the words in the configuration that refer to it.

    `elsewhere` are the meanings of log lines that tell that it fails, where the words may mean the program of another host.
    """

    name: str
    units: tuple[str, ...]
    refers: re.Pattern[str]
    elsewhere: tuple[str, ...] = ()


_LOCAL = r"(?:localhost|127\.0\.0\.1|\[?::1\]?)"
_TABLES = ("map.backend-down", "map.query-failed", "map.lookup-error", "dovecot.sql", "dovecot.ldap")
_SASL = ("sasl.generic-failure", "sasl.temporary")
_BACKENDS = (
    _Backend(
        "MySQL/MariaDB",
        ("mariadb", "mysql", "mysqld"),
        re.compile(r"\bmysql:|driver = mysql|sql_driver = mysql|\bmysql "),
        _TABLES,
    ),
    _Backend(
        "PostgreSQL", ("postgresql",), re.compile(r"\bpgsql:|driver = pgsql|sql_driver = pgsql|\bpgsql "), _TABLES
    ),
    _Backend(
        "OpenLDAP", ("slapd",), re.compile(rf"\bldap:|ldap_uris? = ldapi?://(?:/|{_LOCAL})|driver = ldap"), _TABLES
    ),
    _Backend("Redis", ("redis-server", "redis", "valkey"), re.compile(r"\bredis:|driver = redis"), _TABLES),
    _Backend("memcached", ("memcached",), re.compile(r"\bmemcache:"), _TABLES),
    _Backend("OpenDKIM", ("opendkim",), re.compile(rf"inet:{_LOCAL}:(?:8891|12301)\b|\bopendkim\b")),
    _Backend("OpenDMARC", ("opendmarc",), re.compile(rf"inet:{_LOCAL}:8893\b|\bopendmarc\b")),
    _Backend("rspamd", ("rspamd",), re.compile(rf"inet:{_LOCAL}:11332\b|\brspamd\b")),
    _Backend("Amavis", ("amavis", "amavisd"), re.compile(rf"\bamavis|\[?{_LOCAL}\]?:10024\b")),
    _Backend("ClamAV milter", ("clamav-milter",), re.compile(r"clamav-milter|\bclamav/")),
    _Backend("SpamAssassin", ("spamd", "spamassassin"), re.compile(r"\bspamass|\bspamc\b")),
    _Backend("Postgrey", ("postgrey",), re.compile(rf"inet:(?:{_LOCAL}:)?10023\b|\bpostgrey\b")),
    _Backend("PostSRSd", ("postsrsd",), re.compile(rf"tcp:{_LOCAL}:1000[12]\b|\bpostsrsd\b|socketmap:.*srs")),
    _Backend("saslauthd", ("saslauthd",), re.compile(r"smtpd_sasl_type = cyrus"), _SASL),
)


@check(
    "services.backend",
    step=Step.SERVICES,
    asks="Do the programs run that mail depends on?",
    explained_by=("services.disk", "services.memory"),
)
def backend(
    services: Services,
    postfix: Postfix | None,
    dovecot: Dovecot | None,
    log: MailLog | None,
    time: LocalTime | None,
    processes: ProcessTable | None,
) -> Iterator[Verdict]:
    """A table in a database, a mail filter or a logger that is down stops mail, or stops it from being seen.

    A program that is disabled here, and may be asked on another host, counts only where the log tells that it fails.
    """
    if not services.systemd:
        yield skipped("The host was not booted with systemd")
        return
    text = _configuration(postfix, dovecot)
    used = [(each, unit) for each in _BACKENDS if each.refers.search(text) and (unit := services.unit(*each.units))]
    for each, unit in used:
        needed = not each.elsewhere or _meant_to_run(unit) or _fails(each.elsewhere, services, log, time)
        yield held_unit(unit, each.name, processes) or _backend(
            each.name, unit, services, Status.CRITICAL if needed else Status.NOTICE
        )
    loggers = [unit for unit in (services.unit("rsyslog", "syslog-ng"),) if unit is not None and _meant_to_run(unit)]
    for unit in loggers:
        yield held_unit(unit, "The logger", processes) or _backend("The logger", unit, services, Status.WARNING)
    journal = services.unit("systemd-journald")
    if journal is not None and (stuck := held_unit(journal, "The journal", processes)):
        yield stuck
    if not used and not loggers:
        yield ok(
            "Mail depends on no other service of this host",
            evidence=(Evidence("systemctl show", "none of the known ones"),),
        )


def _configuration(postfix: Postfix | None, dovecot: Dovecot | None) -> str:
    """What the two configurations say, of Postfix only what main.cf sets."""
    if postfix is None:
        lines: list[str] = []
    else:
        lines = [f"{name} = {postfix.get(name)}" for name in sorted(postfix.explicit)]
        if "smtpd_sasl_type" not in postfix.explicit and postfix.yes("smtpd_sasl_auth_enable"):
            lines.append("smtpd_sasl_type = cyrus")
    return "\n".join((*lines, dovecot.text if dovecot is not None else ""))


def _fails(meanings: tuple[str, ...], services: Services, log: MailLog | None, time: LocalTime | None) -> bool:
    """The log complains of it now."""
    if log is None or time is None:
        return False
    return any(is_current([each], log, time.now, services) for each in log.summary.of(*meanings))


def _meant_to_run(unit: Unit) -> bool:
    """Masked and disabled units that never ran are nobody's intention."""
    return (
        unit.file_state in ("enabled", "enabled-runtime", "alias", "generated", "static", "indirect")
        or unit.active == "failed"
    )


_DETAILS = {
    Status.CRITICAL: "Postfix or Dovecot is configured to use it",
    Status.WARNING: "new lines reach the journal, but not the log files",
    Status.NOTICE: "It is disabled here, and nothing complains: the configuration may mean that of another host, or another way",
}


def _backend(name: str, unit: Unit, services: Services, status: Status) -> Verdict:
    called = short(unit.name)
    state = f"ActiveState={unit.active} SubState={unit.sub} Result={unit.result} UnitFileState={unit.file_state}"
    shown = (Evidence(f"systemctl show {called}", state),)
    if unit.running or (unit.type == "oneshot" and unit.active == "active"):
        return ok(f"{name} runs ({called})", subject=called, evidence=shown)
    commands: list[tuple[str, ...]] = []
    if unit.masked:
        commands.append(("systemctl", "unmask", called))
    if unit.active == "failed":
        commands.append(("systemctl", "reset-failed", called))
    commands.append(services.start(called))
    fix = Fix(
        id=f"services.backend/start-{called}",
        title=f"Start {called}",
        commands=tuple(commands),
        undo=(services.stop(called),),
        automatic=not unit.masked,
        verify=(f"services.backend@{called}",),
    )
    why = (
        f": {unit.result}"
        if unit.active == "failed"
        else " (stopped)"
        if unit.active == "inactive"
        else f" ({unit.active})"
    )
    return Verdict(
        status=status,
        title=f"{name} is not running: {called}{why}",
        detail=_DETAILS[status],
        subject=called,
        evidence=shown,
        fixes=() if status is Status.NOTICE else (fix,),
    )
