"""Step 1: are Postfix and Dovecot installed, running, and started at boot?"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

from maildiag.facts.dovecot import Dovecot, DovecotConfig
from maildiag.facts.mail_log import MailLog
from maildiag.facts.postfix import Postfix
from maildiag.facts.processes import ProcessTable
from maildiag.facts.services import Daemon, Services, Unit, short
from maildiag.model import (
    Evidence,
    Fix,
    HostRole,
    Risk,
    Role,
    Step,
    Verdict,
    critical,
    notice,
    ok,
    skipped,
    unknown,
    warning,
)
from maildiag.registry import BOTH, SERVER, check
from maildiag.text import plural
from maildiag_checks import _dovecot_start
from maildiag_checks._current import lines
from maildiag_checks._held import held
from maildiag_checks._story import Story, story
from maildiag_checks.commons import CRIPPLING

TITLES = {"postfix": "Postfix", "dovecot": "Dovecot"}
_POSTFIX_ROOTS = (
    "services.programs",
    "services.installed",
    "services.disk",
    "services.main-cf",
    "services.master-cf",
    "services.port-taken",
    "queue.directories",
    "services.memory",
    "services.sandbox",
)
_DOVECOT_ROOTS = (
    "services.programs",
    "services.installed",
    "services.disk",
    "services.dovecot-config",
    "connectivity.certificate",
    "services.port-taken",
    "services.memory",
    "services.sandbox",
    "services.clock",
)


@check("services.installed", step=Step.SERVICES, asks="Are Postfix and Dovecot installed?")
def installed(
    postfix: Postfix, dovecot: Dovecot | None, services: Services | None, role: HostRole | None
) -> Iterator[Verdict]:
    """A host without Postfix can neither take mail nor forward it; a mail server without Dovecot gives it to nobody."""
    if postfix.installed:
        evidence = (Evidence("postconf -x", f"mail_version = {postfix.version}"),)
        yield ok(f"Postfix {postfix.version} is installed", subject="postfix", evidence=evidence)
    else:
        other = services.unit("exim4", "exim", "sendmail", "opensmtpd", "nullmailer") if services else None
        detail = f"{short(other.name)} is installed instead" if other else ""
        shown = (Evidence("postconf -x", "postconf: not found"),)
        make = notice if _only_stores(postfix, dovecot) else critical
        yield make("Postfix is not installed", subject="postfix", detail=detail, evidence=shown)
    if postfix.others:
        yield notice(
            f"Postfix has {plural(len(postfix.others), 'further instance')}, and only the default one is looked at",
            subject="instances",
            detail="`postmulti -l` lists them. What is said of Postfix here is true of the default instance alone.",
            evidence=(Evidence("postconf -x", f"multi_instance_directories = {' '.join(postfix.others)}"),),
        )
    if dovecot is not None and dovecot.installed:
        yield ok(
            f"Dovecot {dovecot.version} is installed",
            subject="dovecot",
            evidence=(Evidence("dovecot --version", dovecot.version),),
        )
    elif dovecot is not None and role is not None and role.role is Role.MAIL_SERVER and postfix.installed:
        shown = (Evidence("dovecot --version", "dovecot: not found"),)
        yield notice(
            "Dovecot is not installed: nobody can read mail over IMAP or POP3 here", subject="dovecot", evidence=shown
        )


def _only_stores(postfix: Postfix, dovecot: Dovecot | None) -> bool:
    """Another host takes the mail: nothing is left of a Postfix, and Dovecot was never told to work with one."""
    return not postfix.remains and dovecot is not None and bool(dovecot.text) and "/postfix/" not in dovecot.text


@check(
    "services.postfix",
    step=Step.SERVICES,
    asks="Is Postfix running?",
    roles=BOTH,
    explained_by=_POSTFIX_ROOTS,
)
def postfix_running(
    services: Services, postfix: Postfix | None, log: MailLog | None, processes: ProcessTable | None
) -> Iterator[Verdict]:
    """Postfix's master(8) must run; Debian 12's postfix.service says `active (exited)` whatever happens to it.

    Sources: master(8), systemctl(1).
    """
    if postfix is not None and not postfix.installed:
        yield skipped("Postfix is not installed", subject="postfix")
        return
    yield held(services, services.postfix, TITLES["postfix"], processes) or _running(
        services, services.postfix, log, _POSTFIX_ROOTS
    )


@check(
    "services.dovecot",
    step=Step.SERVICES,
    asks="Is Dovecot running?",
    roles=SERVER,
    explained_by=_DOVECOT_ROOTS,
)
def dovecot_running(
    services: Services,
    dovecot: Dovecot | None,
    log: MailLog | None,
    config: DovecotConfig | None,
    processes: ProcessTable | None,
) -> Iterator[Verdict]:
    """Without Dovecot nobody reads mail, and where Postfix asks it for passwords, nobody sends any. Source: dovecot(1)."""
    if dovecot is not None and not dovecot.installed:
        yield skipped("Dovecot is not installed", subject="dovecot")
        return
    stale = _dovecot_start.stale_pid_file(services, processes, log)
    yield (
        stale
        or held(services, services.dovecot, TITLES["dovecot"], processes)
        or _running(services, services.dovecot, log, _DOVECOT_ROOTS, config)
    )


def _running(
    services: Services,
    daemon: Daemon,
    log: MailLog | None,
    roots: tuple[str, ...],
    config: DovecotConfig | None = None,
) -> Verdict:
    title = TITLES[daemon.name]
    match daemon.running:
        case None:
            return unknown(
                f"Could not tell whether {title} runs",
                subject=daemon.name,
                detail="needs systemctl or the process table",
            )
        case True:
            return _up(daemon, title)
        case False:
            return _down(services, daemon, log, roots, config)


def _up(daemon: Daemon, title: str) -> Verdict:
    since = f" since {daemon.started:%Y-%m-%d %H:%M} UTC" if daemon.started else ""
    shown = _shown(daemon)
    if daemon.outside and daemon.process is not None:
        unit = short(daemon.unit.name) if daemon.unit else daemon.name
        return notice(
            f"{title} runs{since}, but was started by hand and not as {unit}",
            detail=f"systemd does not watch it, and `systemctl restart {unit}` will find it already running",
            subject=daemon.name,
            evidence=shown,
        )
    restarts = daemon.unit.restarts if daemon.unit else 0
    told = f"; systemd restarted it {restarts} times since it was started by a person or at boot" if restarts else ""
    return ok(f"{title} is running{since}{told}", subject=daemon.name, evidence=shown, data={"restarts": restarts})


def _shown(daemon: Daemon) -> tuple[Evidence, ...]:
    shown = []
    for unit in (daemon.unit, daemon.front):
        if unit is not None:
            shown.append(Evidence(f"systemctl show {short(unit.name)}", _state(unit)))
    if daemon.process is not None:
        words = " ".join(daemon.process.command) or daemon.process.name
        shown.append(Evidence("processes", f"pid {daemon.process.pid}: {words}"))
    elif daemon.seen:
        shown.append(
            Evidence(
                "processes",
                f"no {'master' if daemon.name == 'postfix' else 'dovecot'} process of {TITLES[daemon.name]}",
            )
        )
    return tuple(shown)


def _state(unit: Unit) -> str:
    words = f"LoadState={unit.load} ActiveState={unit.active} SubState={unit.sub} Result={unit.result}"
    if unit.exit_code:
        words += f" ExecMainCode={unit.exit_code} ExecMainStatus={unit.exit_status}"
    if unit.inactive_since and not unit.running:
        words += f" InactiveEnterTimestamp={unit.inactive_since:%Y-%m-%d %H:%M:%S} UTC"
    return f"{words} UnitFileState={unit.file_state}"


def _down(
    services: Services,
    daemon: Daemon,
    log: MailLog | None,
    roots: tuple[str, ...],
    config: DovecotConfig | None,
) -> Verdict:
    unit, title = daemon.unit, TITLES[daemon.name]
    told = story(log.summary if log else None, daemon.name, unit.inactive_since if unit else None)
    masked = _masked(daemon)
    if masked is not None:
        return critical(
            f"{title} is not running, and {short(masked.name)} is masked: nothing can start it",
            detail="somebody forbade its start with `systemctl mask`",
            subject=daemon.name,
            evidence=_shown(daemon),
            fixes=(_unmask(services, daemon, masked),),
            explained_by=(),
            data={"state": "masked"},
        )
    if unit is not None and _told_to_stop(unit, told):
        when = unit.inactive_since or told.stopped
        return critical(
            f"{title} is stopped: {_who_stopped(unit, when)}",
            subject=daemon.name,
            evidence=_shown(daemon),
            fixes=(_start(services, daemon),),
            explained_by=tuple(f"services.sandbox@{daemon.name} {each}" for each in ("condition", "required")),
            data={"state": "stopped"},
        )
    blamed = _dovecot_start.blamed(config, told)
    where = f"{blamed[0].place}: " if blamed else ""
    return critical(
        f"{title} is not running: {where}{_why(unit, told)}",
        detail=_hint(unit, told, title),
        subject=daemon.name,
        evidence=(
            *(lines(told.complaints, log) if log else ()),
            *(Evidence(each.place.file, f"{each.place.line}: {each.raw}") for each in blamed),
            *_shown(daemon),
        ),
        fixes=(_dovecot_start.correct(blamed[0]),) if blamed else (_start(services, daemon),),
        explained_by=tuple(
            dict.fromkeys((*told.owners(roots), "services.programs", *_by_its_unit(daemon), *CRIPPLING))
        ),
        data={"state": unit.result if unit else "down"},
    )


def _by_its_unit(daemon: Daemon) -> tuple[str, ...]:
    """What its unit does to a daemon that then dies, with words of its own or without any."""
    return tuple(
        f"services.sandbox@{daemon.name} {each}"
        for each in ("command", "required", "LimitNOFILE", "TasksMax", "LimitNPROC")
    )


def _masked(daemon: Daemon) -> Unit | None:
    return next((each for each in (daemon.unit, daemon.front) if each is not None and each.masked), None)


def _told_to_stop(unit: Unit, told: Story) -> bool:
    """systemd calls a clean end `inactive` with the result `success`; a daemon that complained went for another reason."""
    return unit.active == "inactive" and unit.result == "success" and told.first is None


def _who_stopped(unit: Unit, when: datetime | None) -> str:
    disabled = "" if unit.starts_at_boot else ", and it is disabled"
    if when is None:
        return f"it was not started since the host booted{disabled}"
    return f"it was told to stop at {when.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC{disabled}"


def _why(unit: Unit | None, told: Story) -> str:
    if told.first is not None:
        return told.first.samples[-1].partition(": ")[2] or told.first.key
    if unit is None:
        return "there is no such process"
    match unit.result:
        case "signal" | "core-dump":
            if not unit.exit_status:
                return "its start command was killed by a signal"
            return f"its main process was killed by signal {unit.exit_status}"
        case "oom-kill":
            return "it was killed because memory ran out"
        case "exit-code" if unit.exit_code:
            return f"it ended with exit status {unit.exit_status}" + _meaning(unit)
        case "exit-code" if any(each.meaning == "start.not-running" for each in told.complaints):
            return "its processes vanished (killed), and the stop command found nothing to stop"
        case "exit-code":
            return "its start or stop command failed"
        case "start-limit-hit":
            return "it failed too often in a row and systemd gave up"
        case "timeout":
            return "it did not start in time"
        case "success":
            return "its process is gone"
        case other:
            return f"systemd says {other}"


def _meaning(unit: Unit) -> str:
    """What the number says. Sources: Dovecot's failures.h (FATAL_*), systemd.exec(5)."""
    meanings = dict(_SYSTEMD_EXITS)
    if unit.name.startswith("dovecot"):
        meanings.update(_DOVECOT_EXITS)
    return f" ({meanings[unit.exit_status]})" if unit.exit_status in meanings else ""


_DOVECOT_EXITS = {
    80: "it cannot open its log: log_path",
    81: "it cannot write its log: log_path",
    83: "it has too little memory",
    89: "it refuses its configuration, or cannot listen",
}
_SYSTEMD_EXITS = {
    200: "systemd cannot enter its WorkingDirectory",
    203: "systemd cannot execute the program of ExecStart",
    216: "the Group of the unit does not exist",
    217: "the User of the unit does not exist",
    226: "systemd cannot set up the file systems that the unit names: ReadOnlyPaths, InaccessiblePaths and their like",
}


def _hint(unit: Unit | None, told: Story, title: str) -> str:
    words = []
    if any(each.meaning == "systemd.start-limit" for each in told.complaints):
        words.append("systemd gave up after several starts in a row; the first failure is the cause, not the last")
    if told.first is None and unit is not None and unit.result == "exit-code" and unit.active == "failed":
        words.append(f"{title} wrote no reason into the log that could be read")
    return "; ".join(words)


def _start(services: Services, daemon: Daemon) -> Fix:
    name, unit = daemon.name, daemon.unit
    argv = services.start(name)
    reset = (("systemctl", "reset-failed", argv[-1]),) if unit is not None and unit.active == "failed" else ()
    return Fix(
        id=f"services.{name}/start",
        title=f"Start {TITLES[name]}",
        commands=(*reset, argv),
        automatic=True,
        undo=(services.stop(name),),
        verify=(f"services.{name}",),
        guards=(("postfix", "check"),) if name == "postfix" else (("doveconf", "-n"),),
        why="it is enabled and not running" if unit and unit.starts_at_boot else "it is not running",
    )


def _unmask(services: Services, daemon: Daemon, masked: Unit) -> Fix:
    name = short(masked.name)
    return Fix(
        id=f"services.{daemon.name}/unmask",
        title=f"Allow {TITLES[daemon.name]} to start again, and start it",
        commands=(("systemctl", "unmask", name), ("systemctl", "enable", name), ("systemctl", "start", name)),
        undo=(("systemctl", "stop", name), ("systemctl", "disable", name), ("systemctl", "mask", name)),
        risk=Risk.MEDIUM,
        verify=(f"services.{daemon.name}",),
        why="a mask is set on purpose: ask who did it",
    )


@check(
    "services.enabled",
    step=Step.SERVICES,
    asks="Will Postfix and Dovecot start at the next boot?",
    roles=BOTH,
    explained_by=("services.postfix", "services.dovecot"),
)
def enabled(
    services: Services, postfix: Postfix | None, dovecot: Dovecot | None, role: HostRole | None
) -> Iterator[Verdict]:
    """A service that runs and is not enabled is gone after the next reboot. Generated, static and alias units are started
    by others. Source: systemctl(1), is-enabled.
    """
    if not services.systemd:
        yield skipped("The host was not booted with systemd")
        return
    if services.gap is not None:
        yield unknown("Could not ask the service manager", detail=str(services.gap))
        return
    wanted = [services.postfix] if postfix is None or postfix.installed else []
    if (role is None or role.role is Role.MAIL_SERVER) and (dovecot is None or dovecot.installed):
        wanted.append(services.dovecot)
    for daemon in wanted:
        unit = daemon.front or daemon.unit
        if unit is None:
            yield unknown(f"{TITLES[daemon.name]} has no systemd unit", subject=daemon.name)
        else:
            yield _enabled(services, daemon, unit)


def _enabled(services: Services, daemon: Daemon, unit: Unit) -> Verdict:
    name, title = short(unit.name), TITLES[daemon.name]
    shown = (Evidence(f"systemctl show {name}", f"UnitFileState={unit.file_state}"),)
    socket = services.unit(f"{daemon.name}.socket")
    if unit.starts_at_boot or (socket is not None and socket.file_state == "enabled"):
        return ok(f"{title} starts at boot ({unit.file_state or 'no unit file'})", subject=daemon.name, evidence=shown)
    if unit.masked:
        commands = (("systemctl", "unmask", name), ("systemctl", "enable", name))
        undo: tuple[tuple[str, ...], ...] = (("systemctl", "mask", name),)
    else:
        commands, undo = (("systemctl", "enable", name),), (("systemctl", "disable", name),)  # type: ignore[assignment]
    fix = Fix(
        id=f"services.enabled/enable-{daemon.name}",
        title=f"Start {title} at boot",
        commands=commands,
        undo=undo,
        automatic=not unit.masked,
        verify=("services.enabled",),
        why="it would be gone after the next reboot",
    )
    return warning(
        f"{title} does not start at boot: {name} is {unit.file_state}",
        subject=daemon.name,
        evidence=shown,
        fixes=(fix,),
        explained_by=(f"services.{daemon.name}",) if daemon.running is False else (),
    )
