"""Step 3, first: is there a mail log, does anybody write to it, and can its times be trusted?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from maildiag import edits
from maildiag.facts.log_sources import SOCKET, LogSources
from maildiag.facts.mail_log import JOURNAL, MailLog
from maildiag.facts.postfix import Postfix
from maildiag.facts.services import Services
from maildiag.lint.lines import Place
from maildiag.model import (
    Confidence,
    Evidence,
    Fix,
    Gap,
    GapReason,
    Step,
    Verdict,
    notice,
    ok,
    unknown,
    warning,
)
from maildiag.registry import check
from maildiag.text import plural

# Starts are told in whole seconds, and a line may be a moment older than the process that the kernel shows.
_MOMENT = timedelta(minutes=1)


@check(
    "logs.source",
    step=Step.LOGS,
    asks="Is there a mail log, and is it written to?",
    explained_by=("services.backend", "services.disk"),
)
def source(
    log: MailLog | Gap,
    places: LogSources | None,
    services: Services | None,
    postfix: Postfix | None = None,
) -> Iterator[Verdict]:
    """A log that nobody writes to says "no errors"; that is silence, not health. Sources: rsyslogd(8), journalctl(1)."""
    if isinstance(log, Gap):
        yield _no_log(log, places)
        return
    silent = _silent(log, places, services) or _mute(log, services, postfix) or _unheard(places, services, postfix)
    if silent is not None:
        yield silent
    if log.offset:
        yield _other_zone(log, services)
    for each in places.configured if places else ():
        if each.absent and each.daemon in ("postfix", "dovecot"):
            yield notice(
                f"{each.path} ({each.why}) does not exist",
                detail="nothing was logged to it yet, or the directory is missing",
                subject=each.path,
                evidence=(Evidence(f"stat {each.path}", "no such file"),),
            )
    closed = [each for each in log.sources if each.gap is not None and each.gap.reason is not GapReason.ABSENT]
    for one in closed:
        may = "may" if one.gap is not None and one.gap.reason is GapReason.DENIED else "could"
        yield unknown(f"{one.name} {may} not be read", subject=one.name, detail=str(one.gap))
    if silent is None:
        told = "; ".join(f"{each.name}: {plural(each.lines, 'line')}" for each in log.sources if each.gap is None)
        last = f", the latest at {log.summary.last.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC" if log.summary.last else ""
        cut = "" if log.complete else "the window was cut: the log is larger than what is read in a run"
        yield ok(f"Mail is logged to {log.source}{last}", evidence=(Evidence(log.source, told),), detail=cut)


def _no_log(gap: Gap, places: LogSources | None) -> Verdict:
    if gap.reason is GapReason.DENIED or places is None:
        return unknown("The mail log may not be read", detail=str(gap))
    looked = ", ".join(each.path for each in (*places.configured, *places.usual))
    return warning(
        "No mail log was found: neither a file nor the journal",
        detail=f"looked for {looked}",
        evidence=(Evidence("stat", str(gap)),),
    )


def _silent(log: MailLog, places: LogSources | None, services: Services | None) -> Verdict | None:
    """A file lacks lines that the journal has, or rsyslog is told to write one that does not exist."""
    if services is None:
        return None
    if log.stale and places is not None and places.drops:
        return _dropped(log, places.drops, services)
    if log.stale and log.lacking:
        return _stale(
            log.stale[0], services, f"the journal has lines of {', '.join(log.lacking)} that this file has not"
        )
    if log.stale:
        return _stale(log.stale[0], services, "the journal has later lines of mail than this file")
    gone = [each for each in places.by_rsyslog() if each.absent] if places else []
    logger = services.unit("rsyslog")
    mail = log.source == JOURNAL and bool(log.summary.starts or log.summary.statuses)
    misfit = next((each for each in places.by_rsyslog() if each.misfit), None) if places else None
    if misfit is not None and logger is not None and logger.running:
        return replace(_stale(misfit.path, services, f"{misfit.why} names it, and it is {misfit.misfit}"), fixes=())
    if gone and mail and logger is not None and logger.running and _after(log, logger.active_since):
        return _stale(
            gone[0].path, services, f"{gone[0].why} names it, and it does not exist: it was removed or moved away"
        )
    return None


def _mute(log: MailLog, services: Services | None, postfix: Postfix | None) -> Verdict | None:
    """Postfix says that it starts (master(8)): a log whose latest line is older than the running Postfix is not the one it has."""
    installed = postfix is None or postfix.installed
    started = services.postfix.started if services is not None and installed else None
    last = log.summary.last
    if started is None or last is None or log.offset or last > started - _MOMENT:
        return None
    return warning(
        f"Nothing was logged since Postfix was started at {started:%Y-%m-%d %H:%M:%S} UTC: its log goes nowhere",
        detail="No program takes what is logged to /dev/log, or it writes to a place that nobody reads."
        " In a container: maillog_file = /dev/stdout (postlogd(8)).",
        subject=log.source,
        evidence=(
            Evidence(log.source, f"the latest line is of {last.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"),
            Evidence("processes", f"master of Postfix runs since {started:%Y-%m-%d %H:%M:%S} UTC"),
        ),
        explained_by=("services.backend", "services.disk", "services.clock", "services.master-cf"),
        confidence=Confidence.LIKELY,
    )


def _unheard(places: LogSources | None, services: Services | None, postfix: Postfix | None) -> Verdict | None:
    """syslog(3) writes to /dev/log and tells nobody that it is not there."""
    running = services is not None and services.postfix.running
    if places is None or not places.unheard or not running or postfix is None or not postfix.installed:
        return None
    if postfix.get("maillog_file"):
        return None
    return warning(
        "Nobody takes what Postfix logs: there is no /dev/log",
        detail="journald or another logger makes it. In a container without one: maillog_file = /dev/stdout, and the service"
        " postlog in master.cf (postlogd(8)).",
        subject=SOCKET,
        evidence=(Evidence(f"stat {SOCKET}", "No such file or directory"),),
        explained_by=("services.backend",),
    )


def _other_zone(log: MailLog, services: Services | None) -> Verdict:
    """Daemons keep the time zone that they began with. Source: tzset(3), timedatectl(1)."""
    hours = f"{abs(log.offset.total_seconds()) / 3600:g} hours {'behind' if log.offset > timedelta(0) else 'ahead of'}"
    units = [name for name in ("rsyslog", "postfix", "dovecot") if services and services.unit(name) is not None]
    fix = Fix(
        id="logs.source/restart-for-zone",
        title="Restart what logs, so that it takes the new time zone",
        commands=tuple(("systemctl", "restart", name) for name in units),
        guards=(("postfix", "check"),),
        verify=("logs.source",),
        disrupts="connections under way are cut",
    )
    return warning(
        f"The times in {log.source} are {hours} this host's clock: the time zone was changed, and the daemons not restarted",
        detail="People and fail2ban read these times as local ones, and look at the wrong hour. maildiag reads them as they were meant.",
        subject="zone",
        evidence=(Evidence(log.source, f"the last line says a time {hours} the one at which it was written"),),
        fixes=(fix,) if services is not None and services.systemd else (),
    )


def _after(log: MailLog, when: datetime | None) -> bool:
    return when is not None and log.summary.last is not None and log.summary.last > when


def _dropped(log: MailLog, drops: tuple[Place, ...], services: Services) -> Verdict:
    """The logger works as it was told to: starting it again changes nothing."""
    first = drops[0]
    comment = Fix(
        id="logs.source/keep",
        title=f"Comment the rule in line {first.line} of {first.path} out, and restart rsyslog",
        commands=(edits.comment_lines(first.path, first.line, first.last), ("systemctl", "restart", "rsyslog")),
        undo=(("systemctl", "restart", "rsyslog"),),
        changes=(first.path,),
        verify=("logs.source",),
    )
    what = f"of {', '.join(log.lacking)}" if log.lacking else "of mail"
    return warning(
        f"{first.path} line {first.line} keeps mail out of {log.stale[0]}: {first.text}",
        detail=f"The journal has lines {what} that this file has not; fail2ban, statistics and people who read it see nothing.",
        subject=log.stale[0],
        evidence=tuple(Evidence(str(each), each.text) for each in drops[:3]),
        fixes=(comment,) if services.systemd else (),
    )


def _stale(path: str, services: Services, told: str) -> Verdict:
    logger = services.unit("rsyslog", "syslog-ng")
    fixes: tuple[Fix, ...] = ()
    if logger is not None and services.systemd:
        name = logger.name.removesuffix(".service")
        fixes = (
            Fix(
                id="logs.source/restart-logger",
                title=f"Restart {name}",
                commands=(("systemctl", "restart", name),),
                automatic=True,
                verify=("logs.source",),
                why="the logger opens its files again",
            ),
        )
    return warning(
        f"{path} is silent: mail is no longer logged there",
        detail=f"{told}; fail2ban, statistics and people who read this file see nothing",
        subject=path,
        evidence=(Evidence(path, told),),
        fixes=fixes,
    )
