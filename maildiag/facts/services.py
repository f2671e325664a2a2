"""The service manager's view of mail services and of what they depend on, and the daemons' own processes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import field, replace
from datetime import UTC, datetime, tzinfo
from typing import Literal

from maildiag.asking import Ask
from maildiag.facts.local_time import LocalTime
from maildiag.facts.processes import ProcessTable
from maildiag.model import Gap, GapReason, Missing
from maildiag.probes import Command, CommandResult, FileInfo, Process, Stat, command
from maildiag.records import dataclass
from maildiag.registry import begins
from maildiag.settings import Settings

Argv = tuple[str, ...]
Verb = Literal["start", "stop", "restart", "reload", "enable", "disable", "unmask", "mask", "reset-failed"]

MAIL_UNITS = ("postfix.service", "postfix@-.service", "dovecot.service", "dovecot.socket")
OTHER_MTAS = (
    "exim4.service",
    "exim.service",
    "sendmail.service",
    "opensmtpd.service",
    "nullmailer.service",
    "courier-mta.service",
)
_OTHER_NAMES = (
    "rsyslog syslog-ng systemd-journald firewalld ufw nftables fail2ban mariadb mysql mysqld postgresql redis redis-server"
    " redis-sentinel valkey slapd memcached opendkim opendmarc rspamd amavis amavisd postgrey spamd spamassassin"
    " clamav-daemon clamav-milter clamd@amavisd milter-greylist postsrsd postfix-mta-sts-resolver policyd-rate-limit"
    " saslauthd systemd-resolved unbound named bind9 dnsmasq chrony chronyd ntp ntpd ntpsec systemd-timesyncd docker"
)
OTHER_UNITS = tuple(f"{name}.service" for name in _OTHER_NAMES.split())
BOOTED = Stat("/run/systemd/system")  # sd_booted(3)
PROPERTIES = (
    "Id,Names,LoadState,ActiveState,SubState,Result,MainPID,UnitFileState,UnitFilePreset,ExecMainCode,ExecMainStatus,"
    "ActiveEnterTimestamp,InactiveEnterTimestamp,StateChangeTimestamp,NRestarts,FragmentPath,Type,ConditionResult,LoadError"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """A systemd unit as `systemctl show` tells it; the words are systemd's own (systemctl(1), org.freedesktop.systemd1(5)).

    `exit_code` is CLD_EXITED (1), CLD_KILLED (2), CLD_DUMPED (3) or 0; `exit_status` the status or signal that goes
    with it. Times are None where the unit was never in that state.
    """

    name: str
    names: tuple[str, ...] = ()
    load: str = "loaded"
    active: str = "inactive"
    sub: str = "dead"
    result: str = "success"
    main_pid: int = 0
    file_state: str = ""
    exit_code: int = 0
    exit_status: int = 0
    active_since: datetime | None = None
    inactive_since: datetime | None = None
    restarts: int = 0
    file: str = ""
    type: str = ""
    load_error: str = ""

    @property
    def exists(self) -> bool:
        """True where there is a unit file, masked ones included."""
        return self.load != "not-found"

    @property
    def running(self) -> bool:
        """True for a unit that does something now; `active (exited)` of a oneshot wrapper is none."""
        return self.active in ("active", "reloading") and self.sub != "exited"

    @property
    def masked(self) -> bool:
        """True where `systemctl mask` forbids any start."""
        return self.load == "masked" or self.file_state in ("masked", "masked-runtime")

    @property
    def starts_at_boot(self) -> bool:
        """True unless the unit file is plainly disabled or masked: generated, static, indirect and alias units are started
        by others.
        """
        return self.file_state not in ("disabled", "masked", "masked-runtime", "bad")


@dataclass(frozen=True, slots=True)
class Daemon:
    """Postfix or Dovecot as a service: the unit that really runs it, the one people type, and its main process.

    `unit` is None without systemd; `process` is None where it does not run or could not be seen.
    """

    name: str
    unit: Unit | None = None
    front: Unit | None = None
    process: Process | None = None
    seen: bool = True

    @property
    def running(self) -> bool | None:
        """True or False; None where neither the service manager nor the process table could be asked."""
        if self.process is not None or (self.unit is not None and self.unit.running):
            return True
        return False if self.seen or self.unit is not None else None

    @property
    def started(self) -> datetime | None:
        """When the running daemon was started (UTC)."""
        if self.process is not None:
            return self.process.started
        return self.unit.active_since if self.unit is not None and self.unit.running else None

    @property
    def outside(self) -> bool:
        """True where the daemon runs, but not as its unit: it was started by hand (`postfix start`)."""
        return self.process is not None and self.unit is not None and not self.unit.running


@dataclass(frozen=True, slots=True)
class Services:
    """All units asked for by name, and the two daemons; `systemd` is False on hosts that were not booted with it.

    `gap` tells why a service manager that is there told nothing.
    """

    systemd: bool
    postfix: Daemon
    dovecot: Daemon
    units: Mapping[str, Unit] = field(default_factory=dict)
    gap: Gap | None = None

    def unit(self, *names: str) -> Unit | None:
        """The first of these units (`.service` may be left out) that has a unit file."""
        for name in names:
            found = self.units.get(name if "." in name else f"{name}.service")
            if found is not None and found.exists:
                return found
        return None

    def daemon(self, name: str) -> Daemon:
        """`postfix` or `dovecot`."""
        return self.dovecot if name == "dovecot" else self.postfix

    def unit_name(self, name: str) -> str:
        """The name that `systemctl` takes for the running daemon: `postfix@-.service` on Debian 12, else as people type it."""
        found = self.daemon(name).unit if name in ("postfix", "dovecot") else self.unit(name)
        return name if found is None else short(found.name)

    def start(self, name: str) -> Argv:
        """What starts it. On Debian 12 `systemctl start postfix` does nothing while the wrapper unit is active."""
        front = self.daemon(name).front if name in ("postfix", "dovecot") else None
        if self.systemd and front is not None and front.active != "active":
            return ("systemctl", "start", short(front.name))
        return self._argv("start", name)

    def stop(self, name: str) -> Argv:
        """What stops it."""
        return self._argv("stop", name)

    def restart(self, name: str) -> Argv:
        """What stops it and starts it again."""
        return self._argv("restart", name)

    def reload(self, name: str) -> Argv:
        """What makes it read its configuration again without dropping connections."""
        return self._argv("reload", name)

    def _argv(self, verb: Verb, name: str) -> Argv:
        if self.systemd:
            return ("systemctl", verb, self.unit_name(name))
        if name == "postfix" and verb in ("start", "stop", "reload"):
            return ("postfix", verb)
        return ("service", name, verb)


def short(unit: str) -> str:
    """The unit's name as people type it: without `.service`, but with it for an instance, where it reads better."""
    return unit if "@" in unit else unit.removesuffix(".service")


def _always(settings: Settings) -> Argv:
    """The units whose absence says something."""
    return (*MAIL_UNITS, *(name if "." in name else f"{name}.service" for name in settings.services))


def _wanted(settings: Settings) -> Argv:
    return tuple(dict.fromkeys((*_always(settings), *OTHER_MTAS, *OTHER_UNITS)))


def _files(settings: Settings) -> Command:
    names = dict.fromkeys(_file(each) for each in _wanted(settings))
    return command("systemctl", "list-unit-files", "--no-legend", "--no-pager", *names)


def _file(unit: str) -> str:
    """The unit file of an instance is that of its template (systemd.unit(5))."""
    return re.sub(r"@.+(?=\.)", "@", unit)


def installed(ask: Ask, settings: Settings) -> Argv:
    """The units of mail, and of the others that matter to it those whose files are there; all where that is not known."""
    listed = ask.maybe(_files(settings))
    if isinstance(listed, CommandResult) and not listed.status:
        return _there(listed, settings)
    return _wanted(settings)


def _there(listed: CommandResult, settings: Settings) -> Argv:
    files = {line.split()[0] for line in listed.stdout.splitlines() if line.strip()}
    always = _always(settings)
    return tuple(each for each in _wanted(settings) if each in always or _file(each) in files)


@begins(given=lambda settings: (_files(settings),))
def services(ask: Ask, settings: Settings, time: LocalTime | None, processes: ProcessTable | None) -> Services:
    """Ask systemctl for the units that matter to mail and are there; without systemd the processes alone tell.

    Where it does not list the unit files, all are asked for: showing one that does not exist costs as much as any other.
    """
    names, listed = installed(ask, settings), ask.maybe(_files(settings))
    silent = isinstance(listed, Gap) and listed.reason is GapReason.TIMEOUT
    told = (
        listed if silent else ask.maybe(command("systemctl", "show", "--no-pager", f"--property={PROPERTIES}", *names))
    )
    units = (
        parse_show(told.stdout, time.tz if time else UTC) if isinstance(told, CommandResult) and not told.status else {}
    )
    gap = (
        told
        if isinstance(told, Gap)
        else Gap(GapReason.FAILED, f"systemctl told of no unit: {told.stderr[:200].strip()}")
    )
    if not units and processes is None:
        raise Missing(gap)
    booted = bool(units) or isinstance(ask.maybe(BOOTED), FileInfo)
    return replace(build(units, processes), systemd=booted, gap=gap if booted and not units else None)


def build(units: Mapping[str, Unit], processes: ProcessTable | None) -> Services:
    """Put the units and the processes together; no units: a host without systemd."""
    table = processes or ProcessTable(())
    seen = processes is not None
    front = units.get("postfix.service")
    instance = units.get("postfix@-.service")
    real = _postfix_unit(front, instance)
    dovecot = units.get("dovecot.service")
    return Services(
        systemd=bool(units),
        postfix=Daemon(
            "postfix",
            real if real is None or real.exists else None,
            front if front is not None and front is not real and front.exists else None,
            _main(real, table, table.postfix_masters()),
            seen,
        ),
        dovecot=Daemon(
            "dovecot",
            dovecot if dovecot is not None and dovecot.exists else None,
            None,
            _main(dovecot, table, table.dovecot_masters()),
            seen,
        ),
        units=units,
    )


def _postfix_unit(front: Unit | None, instance: Unit | None) -> Unit | None:
    """Debian up to 12: postfix.service is a oneshot wrapper around instances of postfix@.service; elsewhere it is real.

    A masked front unit tells no type; then the instance counts where it has a unit file.
    """
    if front is None or instance is None or not instance.exists:
        return front
    if front.masked:
        return instance if instance.file_state.startswith("enabled") or instance.active_since else front
    return instance if front.type == "oneshot" or not front.exists else front


def _main(unit: Unit | None, table: ProcessTable, candidates: tuple[Process, ...]) -> Process | None:
    """The unit's main process; else the oldest candidate (a daemon started by hand)."""
    if unit is not None and unit.main_pid:
        found = table.by_pid(unit.main_pid)
        if found is not None:
            return found
    return min(candidates, key=lambda each: each.started, default=None)


def parse_show(text: str, zone: tzinfo) -> dict[str, Unit]:
    """`systemctl show` of several units, by every name of each; times are in `zone`, the host's."""
    found: dict[str, Unit] = {}
    for block in re.split(r"\n\s*\n", text):
        values = dict(line.split("=", 1) for line in block.splitlines() if "=" in line)
        if "Id" in values:
            unit = _unit(values, zone)
            for name in (unit.name, *unit.names):
                if name not in found or not found[name].exists:
                    found[name] = unit
    return found


def _unit(values: Mapping[str, str], zone: tzinfo) -> Unit:
    return Unit(
        name=values["Id"],
        names=tuple(values.get("Names", "").split()),
        load=values.get("LoadState", ""),
        active=values.get("ActiveState", ""),
        sub=values.get("SubState", ""),
        result=values.get("Result", ""),
        main_pid=_number(values.get("MainPID", "")),
        file_state=values.get("UnitFileState", ""),
        exit_code=_number(values.get("ExecMainCode", "")),
        exit_status=_number(values.get("ExecMainStatus", "")),
        active_since=parse_time(values.get("ActiveEnterTimestamp", ""), zone),
        inactive_since=parse_time(values.get("InactiveEnterTimestamp", ""), zone),
        restarts=_number(values.get("NRestarts", "")),
        file=values.get("FragmentPath", ""),
        type=values.get("Type", ""),
        load_error=values.get("LoadError", ""),
    )


def _number(text: str) -> int:
    return int(text) if text.isdigit() else 0


def parse_time(text: str, zone: tzinfo) -> datetime | None:
    """`Mon 2026-11-23 05:12:33 CET` as UTC; the abbreviation is not unique, so the host's zone counts. None for `n/a`."""
    words = text.split()
    if len(words) < 3:
        return None
    try:
        plain = datetime.fromisoformat(f"{words[1]} {words[2]}")
    except ValueError:
        return None
    return plain.replace(tzinfo=UTC if words[-1] == "UTC" else zone).astimezone(UTC)
