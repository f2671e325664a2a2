"""Step 1, below the daemons: does the clock tell the right time?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

from maildiag.facts.clock import Clock
from maildiag.facts.mail_log import MailLog
from maildiag.facts.queue import Queue
from maildiag.facts.relay import Relay
from maildiag.facts.services import Services, short
from maildiag.facts.tls import CertificateFiles
from maildiag.model import Evidence, Step, Verdict, critical, notice, ok, warning
from maildiag.probes import CommandResult
from maildiag.registry import check
from maildiag.text import lasting, plural
from maildiag_checks._current import is_current, origin


@check("services.clock", step=Step.SERVICES, asks="Does the clock tell the right time?", explained_by=())
def clock(
    clock: Clock,
    log: MailLog | None,
    services: Services | None,
    queue: Queue | None,
    certificates: CertificateFiles | None,
    relay: Relay | None,
) -> Iterator[Verdict]:
    """A wrong clock breaks certificates, retries and the order of logs; Dovecot ends itself when time goes backwards.

    Sources: timedatectl(1), Dovecot's "Time moved backwards", proc_pid_stat(5).
    """
    found = [*_set_while_running(clock, certificates, relay), *_impossible(clock, log), *_dated_ahead(clock, queue)]
    found += _jumps(clock, log, services)
    found = _beneath_the_first(found)
    yield from found
    if clock.service and clock.synchronized is False and clock.now - clock.booted > timedelta(minutes=15):
        shown = (Evidence("timedatectl show", "NTP=yes NTPSynchronized=no"),)
        yield notice(
            "The time service runs, but the clock is not synchronised", subject="synchronisation", evidence=shown
        )
    if not found:
        state = {
            True: "synchronised",
            False: "not synchronised (nothing on this host keeps it, or not yet)",
            None: "not told",
        }
        shown = (Evidence("uname, clock", f"{clock.now:%Y-%m-%d %H:%M:%S} UTC; {state[clock.synchronized]}"),)
        yield ok("The clock is plausible", evidence=shown)


def _set_while_running(clock: Clock, certificates: CertificateFiles | None, relay: Relay | None) -> Iterator[Verdict]:
    """A clock that was moved by more than a day is wrong where certificates fail by it alone; else it may have been put right."""
    if clock.synchronized or abs(clock.moved) < timedelta(days=1) or clock.recorded is None:
        return
    failing = [*_by_this_clock_alone(clock, certificates), *_unverified(relay)]
    way = "ahead of" if clock.moved > timedelta(0) else "behind"
    told = f"The clock says {clock.now:%Y-%m-%d %H:%M} UTC: it is {plural(abs(clock.moved).days, 'day')} {way} the one by which {short(clock.unit)} was started"
    age = clock.now - clock.recorded - clock.moved
    yield (critical if failing else notice)(
        told,
        detail=f"Certificates fail by this clock: {', '.join(failing)}."
        if failing
        else "It was set since then; no time service tells which one is right.",
        subject="moved",
        evidence=(
            Evidence(f"systemctl show {clock.unit}", f"ActiveEnterTimestamp: {clock.recorded:%Y-%m-%d %H:%M:%S} UTC"),
            Evidence("processes", f"the kernel counts {lasting(int(age.total_seconds()))} since then"),
            Evidence("uname, clock", f"{clock.now:%Y-%m-%d %H:%M:%S} UTC"),
        ),
        explained_by=(),
        data={"moved_s": int(clock.moved.total_seconds())},
    )


def _by_this_clock_alone(clock: Clock, certificates: CertificateFiles | None) -> Iterator[str]:
    """Certificates that are out of their time now, and would be within it by the clock of the start."""
    then = clock.now - clock.moved
    for file in certificates.files if certificates else ():
        each = file.certified
        if each and each.not_before <= then < each.not_after and not each.not_before <= clock.now < each.not_after:
            yield file.configured.path


def _unverified(relay: Relay | None) -> Iterator[str]:
    for talk in relay.talks if relay and relay.hop else ():
        told = talk.verified.text if isinstance(talk.verified, CommandResult) else ""
        if "certificate has expired" in told or "certificate is not yet valid" in told:
            yield f"that of the relay {talk.address}"


def _dated_ahead(clock: Clock, queue: Queue | None) -> Iterator[Verdict]:
    """qmgr(8) leaves a queue file alone until the time that the file bears."""
    if queue is None or not queue.grouped.ahead:
        return
    last = clock.now + timedelta(seconds=queue.grouped.newest - queue.now)
    count = queue.grouped.ahead
    yield warning(
        f"{plural(count, 'queued message')} {'is' if count == 1 else 'are'} dated in the future, up to {last:%Y-%m-%d %H:%M} UTC",
        detail="The clock was ahead when they were queued, or is behind now. Where it is right now: the queue manager tries "
        "them only when their time comes; a flush of the queue tries them at once.",
        subject="queue",
        evidence=(
            Evidence(queue.command, f"arrival_time {queue.grouped.newest}"),
            Evidence("uname, clock", f"{clock.now:%Y-%m-%d %H:%M:%S} UTC"),
        ),
        explained_by=(),
        data={"messages": count},
    )


def _beneath_the_first(found: list[Verdict]) -> list[Verdict]:
    """Several programs tell of one jump, and a clock that was set back of its own."""
    failing = [each for each in found if each.status.failing]
    edges = (f"services.clock@{failing[0].subject}",) if failing else ()
    return [
        each if each in failing[:1] or not each.status.failing else replace(each, explained_by=edges) for each in found
    ]


def _impossible(clock: Clock, log: MailLog | None) -> Iterator[Verdict]:
    last = log.summary.last if log is not None else None
    ahead = [each for each in clock.witnesses if each.modified > clock.now + timedelta(hours=24)]
    if log is not None and last is not None and log.summary.was_ahead(clock.now):
        yield notice(
            f"The mail log has lines of up to {last:%Y-%m-%d %H:%M} UTC: the clock was ahead, and was put right again",
            subject="log",
            evidence=(Evidence(log.source, f"leapt by {lasting(int(log.summary.leap.total_seconds()))}, and back"),),
        )
    elif last is not None and last > clock.now + timedelta(minutes=10):
        yield critical(
            f"The clock says {clock.now:%Y-%m-%d %H:%M} UTC, but the mail log already has lines of {last:%Y-%m-%d %H:%M} UTC",
            detail="the clock was set back, or another zone was set",
            subject="log",
            evidence=(Evidence(log.source if log else "", f"latest line: {last:%Y-%m-%d %H:%M:%S %z}"),),
            explained_by=(),
        )
    elif ahead:
        one = max(ahead, key=lambda each: each.modified)
        yield warning(
            f"The clock says {clock.now:%Y-%m-%d %H:%M} UTC, but {one.path} was changed at {one.modified:%Y-%m-%d %H:%M} UTC",
            detail="the clock is behind, or was ahead when the file was written",
            subject="files",
            evidence=(Evidence(f"stat {one.path}", f"modified {one.modified:%Y-%m-%d %H:%M:%S} UTC"),),
            explained_by=(),
        )


def _jumps(clock: Clock, log: MailLog | None, services: Services | None) -> Iterator[Verdict]:
    if log is None:
        return
    for each in log.summary.of("dovecot.clock", "clock.jump"):
        current = is_current([each], log, clock.now, services)
        make = warning if current else notice
        seconds = each.fields.get("seconds", "")
        yield make(
            f"The clock jumped{f' by {seconds} seconds' if seconds else ''}" + ("" if current else "; this looks over"),
            subject=f"{each.meaning} {each.key[:60]}",
            evidence=(Evidence(origin(each, log), each.samples[-1], each.last),),
            explained_by=(),
        )
