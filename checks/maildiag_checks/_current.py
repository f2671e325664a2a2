"""Which trouble in the log is now, and which is over."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from maildiag.facts.mail_log import MailLog
from maildiag.facts.services import Services
from maildiag.facts.smtp import OwnDialogues, Talk
from maildiag.facts.sockets import Owner
from maildiag.logs.summary import Group
from maildiag.model import Evidence
from maildiag.probes import Protocol, Transcript

_UNITS = frozenset(
    {
        "systemd.failed",
        "systemd.exited",
        "systemd.start-failed",
        "systemd.start-limit",
        "systemd.stop-timeout",
        "systemd.dependency",
    }
)
# What is said while Postfix is down; true no more once it runs.
_DOWN = frozenset(
    {
        "start.not-running",
        "start.down",
        "start.failed",
        "start.already-running",
        "start.pickup-socket",
        "start.port-taken",
        "start.bind",
    }
)
# What Postfix says of Dovecot: true no more once Dovecot was started or reloaded.
_OF_DOVECOT = ("sasl.socket", "sasl.no-mechanisms", "sasl.temporary", "sasl.wrong-socket", "sasl.library")
_QUIET = timedelta(hours=1)


def origin(group: Group, log: MailLog) -> str:
    """Where the group's lines stand."""
    return "journalctl" if group.family in ("systemd", "kernel") else log.source


def lines(groups: Sequence[Group], log: MailLog, most: int = 3) -> tuple[Evidence, ...]:
    """The latest line of each of the first groups, verbatim."""
    return tuple(Evidence(origin(each, log), each.samples[-1], each.last) for each in groups[:most])


def is_current(groups: Sequence[Group], log: MailLog, now: datetime, services: Services | None) -> bool:
    """Trouble counts as over when its daemon was started or reloaded after it, or its unit runs again, or nothing of it was
    logged for an hour while mail was delivered after it, or since a clock that was ahead then is right again.
    """
    return any(_current(each, log, now, services) for each in groups)


def works_again(name: str, groups: Sequence[Group], log: MailLog, own: OwnDialogues | None) -> bool:
    """True where a program that died as it started has worked since: smtpd greets on all of its ports, or each service that
    runs the program logged ordinary work after its last death. master(8) tries again by itself, once a minute.
    """
    last = max((each.last for each in groups if each.last), default=None)
    if last is None:
        return False
    greets = [_greeted(each) for each in own.of(Protocol.SMTP) if each.port.owner is Owner.POSTFIX] if own else []
    if name == "smtpd" and greets and all(greets):
        return True
    work = [when for tag, when in log.summary.at_work.items() if tag.rpartition("/")[2] == name]
    return bool(work) and all(when is not None and when > last for when in work)


def held_back(name: str, groups: Sequence[Group], log: MailLog, services: Services | None) -> bool:
    """True where master(8) does not start smtpd again yet although what it died of is over: Dovecot, which it could not ask,
    was started or reloaded since. Up to a minute after the last death (service_throttle_time, postconf(5)).
    """
    blamed = [each for each in log.summary.groups if each.meaning.startswith(_OF_DOVECOT)]
    return name == "smtpd" and bool(blamed) and all(_dovecot_since(each, log, services) for each in (*blamed, *groups))


def _greeted(talk: Talk) -> bool:
    """postscreen(8) greets too, whatever happens to the smtpd behind it."""
    if "smtpd" not in talk.port.line.split():
        return False
    return isinstance(talk.transcript, Transcript) and talk.transcript.exchange("banner") is not None


def _current(group: Group, log: MailLog, now: datetime, services: Services | None) -> bool:
    if group.over:
        return False
    if group.last is None:
        return True
    if group.last > now and log.summary.was_ahead(now):
        return False
    if services is not None and _restarted_since(group, services):
        return False
    if group.meaning.startswith(_OF_DOVECOT) and _dovecot_since(group, log, services):
        return False
    success = log.summary.last_success
    quiet = now - group.last > _QUIET
    return not (quiet and success is not None and success > group.last)


def _restarted_since(group: Group, services: Services) -> bool:
    """True where the daemon was started after the line, or the unit that systemd complained of runs now.

    Process start times are told in whole seconds of the boot time, hence the second.
    """
    assert group.last is not None
    if group.meaning in _DOWN and services.postfix.running:
        return True
    if group.meaning in _UNITS:
        return _runs(group.fields.get("unit", "").rstrip(":"), services)
    if group.family not in ("postfix", "dovecot"):
        return False
    return _started_after(services.daemon(group.family).started, group)


def _dovecot_since(group: Group, log: MailLog, services: Services | None) -> bool:
    """True where Dovecot was started or reloaded after the line."""
    if group.last is None:
        return False
    said = log.summary.last_start("dovecot")
    started = services.dovecot.started if services is not None else None
    return _started_after(started, group) or _started_after(said.when if said else None, group)


def _started_after(started: datetime | None, group: Group) -> bool:
    assert group.last is not None
    return started is not None and started > group.last + timedelta(seconds=1)


def _runs(unit: str, services: Services) -> bool:
    daemon = next((name for name in ("postfix", "dovecot") if unit.startswith(name)), None)
    if daemon is not None:
        return bool(services.daemon(daemon).running)
    found = services.unit(unit) if unit else None
    return found is not None and found.running
