"""Runs checks against a host and yields what happens; the report is the last event."""

from __future__ import annotations

import queue
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from maildiag.asking import Session
from maildiag.causes import diagnose
from maildiag.events import CheckFinished, Event, FactFinished, FactStarted, RunFinished, RunStarted
from maildiag.hosts import Host
from maildiag.judging import broken, clean_info, judge, no_info
from maildiag.model import Finding, HostInfo, HostRole
from maildiag.registry import Check, Registry
from maildiag.report import Report
from maildiag.settings import Settings
from maildiag.text import safe

# So long, at most, all else waits for what the slowest probes need to begin: a tenth of that where nothing hangs.
_AHEAD_S = 0.5
# A probe that was answered waits for the interpreter behind every thread that computes: 5 ms each, by Python's default.
_SWITCH_S = 0.0005


def run(
    host: Host,
    registry: Registry,
    settings: Settings,
    checks: Sequence[Check] | None = None,
    cancelled: threading.Event | None = None,
) -> Iterator[Event]:
    """Answer the checks (default: all) and yield what happens; the last event carries the report.

    Never raises for anything the host does. When `cancelled` is set, the checks not yet answered are left out and the
    report says that it is not complete.
    """
    sys.setswitchinterval(_SWITCH_S)
    chosen = tuple(registry.select() if checks is None else checks)
    started, begun = datetime.now(UTC), time.monotonic()
    session = Session(host, registry, settings, begun + settings.timeout)
    yield RunStarted(safe(host.source), chosen)
    findings: list[Finding] = [broken(each.name, each.why) for each in registry.broken]
    for event in _events(session, chosen, cancelled or threading.Event()):
        if isinstance(event, CheckFinished):
            findings.extend(event.findings)
        yield event
    told = _in_order(findings, chosen)
    complete = not (cancelled and cancelled.is_set())
    info = session.value(HostInfo) if complete else session.known(HostInfo)
    yield RunFinished(
        Report(
            started=started,
            duration_s=time.monotonic() - begun,
            host=clean_info(info) if isinstance(info, HostInfo) else no_info(host),
            findings=told,
            diagnosis=diagnose(told),
            timings=tuple(sorted(session.timings, key=lambda each: -each.seconds)),
            complete=complete,
        )
    )


def report(host: Host, registry: Registry, settings: Settings, checks: Sequence[Check] | None = None) -> Report:
    """Run to the end and return the report alone."""
    for event in run(host, registry, settings, checks):
        if isinstance(event, RunFinished):
            return event.report
    raise AssertionError("a run ends with its report")


def _events(session: Session, chosen: Sequence[Check], cancelled: threading.Event) -> Iterator[Event]:
    """Start every fact, and judge each check as soon as its facts are there."""
    wanted = _wanted(session, chosen)
    first, needed = _ahead(session.registry, wanted)
    _begin(session, [fact for fact in wanted if fact in first])
    others = [fact for fact in wanted if fact not in first]
    waiting: dict[str, tuple[Check, set[type]]] = {}
    for each in chosen:
        waiting[each.id] = (each, {need.fact for need in each.needs} | {HostRole})
    alone_until = time.monotonic() + _AHEAD_S
    ready: set[type] = set()
    while waiting and not cancelled.is_set():
        if others and (needed <= ready or time.monotonic() > alone_until):
            _begin(session, others)
            others = []
        left = session.deadline - time.monotonic()
        try:
            news = session.news.get(timeout=max(0.01, min(left, _AHEAD_S / 10 if others else 0.25)))
        except queue.Empty:
            if left > 0:
                continue
            news, ready = None, set(wanted)
        if isinstance(news, FactStarted | FactFinished):
            yield news
            continue
        if isinstance(news, type):
            ready = ready | {news}
        for name in [name for name, (_, needs) in waiting.items() if needs <= ready]:
            yield judge(session, waiting.pop(name)[0])
    if not cancelled.is_set():
        session.value(HostInfo)


def _wanted(session: Session, chosen: Sequence[Check]) -> list[type]:
    """The facts to gather; those that the most others wait for begin first."""
    facts = dict.fromkeys([HostInfo, HostRole, *(need.fact for each in chosen for need in each.needs)])
    waiting: Counter[type] = Counter()
    for fact in facts:
        waiting.update(session.registry.needed(fact))
    return sorted(dict.fromkeys([*facts, *waiting]), key=lambda fact: -waiting[fact])


def _ahead(registry: Registry, wanted: Sequence[type]) -> tuple[set[type], set[type]]:
    """The facts that begin before all others, and those of them that the slowest wait for: the others begin after these."""
    slowest = {fact for fact in wanted if fact in registry.gatherers and registry.gatherers[fact].ahead}
    needed = {need for fact in slowest for need in registry.needed(fact)}
    return slowest | needed, needed


def _begin(session: Session, facts: Sequence[type]) -> None:
    for fact in facts:
        session.fact(fact).add_done_callback(lambda _, fact=fact: session.news.put(fact))  # type: ignore[misc]


def _in_order(findings: Sequence[Finding], chosen: Sequence[Check]) -> tuple[Finding, ...]:
    """In the order of the workflow, and a key once: the weightiest of those that share it."""
    place = {each.id: number for number, each in enumerate(chosen)}
    by_key: dict[str, Finding] = {}
    for each in findings:
        if each.key not in by_key or by_key[each.key].status.weight < each.status.weight:
            by_key[each.key] = each
    return tuple(sorted(by_key.values(), key=lambda each: (each.step.number, place.get(each.check, -1), each.subject)))
