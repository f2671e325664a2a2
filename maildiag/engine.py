"""Runs checks against a host: every fact gathered once and side by side, every question bounded, every end an honest finding."""

from __future__ import annotations

import queue
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, TypeVar

from maildiag.causes import diagnose
from maildiag.events import CheckFinished, Event, FactFinished, FactStarted, RunFinished, RunStarted
from maildiag.hosts import Host
from maildiag.model import (
    Confidence,
    Evidence,
    Finding,
    Fix,
    Gap,
    GapReason,
    HostInfo,
    HostRole,
    JsonValue,
    Missing,
    Reading,
    Status,
    Step,
    Verdict,
)
from maildiag.probes import Probe
from maildiag.registry import Check, Gatherer, Registry, Want
from maildiag.report import Report, Timing
from maildiag.settings import Settings
from maildiag.text import safe, safe_lines

A = TypeVar("A")
_SIDE_BY_SIDE = 32
_GRACE_S = 1.0


class Ask:
    """What a gatherer asks the host through: each probe once in a run, however many ask."""

    def __init__(self, session: _Session) -> None:
        self._session = session

    @property
    def source(self) -> str:
        """Where the answers come from: `local`, `ssh:NAME` or `bundle:FILE`."""
        return self._session.host.source

    def __call__(self, probe: Probe[A]) -> A:
        """The answer. Raises Missing where there is none; let it pass unless you can do without."""
        answer = self.maybe(probe)
        if isinstance(answer, Gap):
            raise Missing(answer)
        return answer

    def maybe(self, probe: Probe[A]) -> A | Gap:
        """The answer, or the gap."""
        reading = self.reading(probe)
        return reading if isinstance(reading, Gap) else reading.value

    def reading(self, probe: Probe[A]) -> Reading[A] | Gap:
        """The answer with its time and duration, or the gap."""
        return self._session.wait(probe, self._session.start(probe))

    def begin(self, probe: Probe[Any]) -> None:
        """Start asking what will be wanted later, so that it is under way beside what is asked meanwhile."""
        self._session.start(probe)

    def all(self, probes: Sequence[Probe[A]]) -> list[A | Gap]:
        """The answers to all of them, asked side by side, in their order."""
        for probe in probes:
            self._session.start(probe)
        return [self.maybe(probe) for probe in probes]


@dataclass
class _Session:
    """One run against one host: the probes asked, the facts gathered, the events on their way."""

    host: Host
    registry: Registry
    settings: Settings
    deadline: float
    news: queue.SimpleQueue[object] = field(default_factory=queue.SimpleQueue)
    timings: list[Timing] = field(default_factory=list)
    read_at: dict[str, datetime] = field(default_factory=dict)
    _probes: dict[Probe[Any], Future[Any]] = field(default_factory=dict)
    _facts: dict[type, Future[Any]] = field(default_factory=dict)
    _lock: threading.RLock = field(default_factory=threading.RLock)
    _slots: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(_SIDE_BY_SIDE))

    def start(self, probe: Probe[A]) -> Future[Reading[A] | Gap]:
        """Ask the probe in a thread of its own, once."""
        with self._lock:
            if probe not in self._probes:
                self._probes[probe] = _spawn(lambda: self._ask(probe))
            return self._probes[probe]

    def _ask(self, probe: Probe[A]) -> Reading[A] | Gap:
        with self._slots:
            begun = time.monotonic()
            answer = self.host.ask(probe)
        answered = isinstance(answer, Reading)
        with self._lock:
            self.timings.append(Timing(safe(probe.source), time.monotonic() - begun, answered))
            if isinstance(answer, Reading):
                self.read_at[probe.source] = answer.at
        return answer

    def wait(self, probe: Probe[A], answer: Future[Reading[A] | Gap]) -> Reading[A] | Gap:
        """The probe's answer; a gap where it stays away longer than its own limit and the run's deadline allow."""
        left = self.deadline - time.monotonic()
        try:
            return answer.result(max(0.0, min(left, probe.limit_s * 2 + _GRACE_S)))
        except TimeoutError:
            return Gap(GapReason.TIMEOUT, f"{probe.source} gave no answer in time")

    def fact(self, wanted: type) -> Future[Any]:
        """The fact's future; gathered in a thread of its own, once."""
        with self._lock:
            if wanted not in self._facts:
                self._facts[wanted] = self._begin(wanted)
            return self._facts[wanted]

    def _begin(self, wanted: type) -> Future[Any]:
        if wanted is Settings:
            return _done(self.settings)
        found = self.registry.gatherers.get(wanted)
        if found is None:
            return _done(Gap(GapReason.FAILED, f"no gatherer for {wanted.__name__}"))
        self.news.put(FactStarted(found.name))
        begun = time.monotonic()
        future = _spawn(lambda: self._gather(found))
        future.add_done_callback(lambda done: self._tell(found, begun, done))
        return future

    def _tell(self, found: Gatherer, begun: float, done: Future[Any]) -> None:
        self.news.put(FactFinished(found.name, time.monotonic() - begun, not isinstance(done.result(), Gap)))

    def _gather(self, found: Gatherer) -> Any:
        for need in found.needs:
            self.fact(need.fact)
        given: dict[str, Any] = {}
        for need in found.needs:
            value = self.value(need.fact)
            if isinstance(value, Gap) and need.want is Want.REQUIRED:
                return value
            given[need.name] = None if isinstance(value, Gap) and need.want is Want.OR_NONE else value
        try:
            return found.gather(Ask(self), **given)
        except Missing as missing:
            return missing.gap
        except Exception as error:  # noqa: BLE001 (a bug of ours or of a plug-in: told as such, and the run goes on)
            return Gap(GapReason.FAILED, f"the gatherer of {found.name} crashed: {_crash(error)}", "report this bug")

    def value(self, wanted: type) -> Any:
        """The fact or its gap; waits until the deadline."""
        try:
            return self.fact(wanted).result(max(0.0, self.deadline - time.monotonic()))
        except TimeoutError:
            return Gap(GapReason.TIMEOUT, f"{wanted.__name__}: the run's time was up")

    def known(self, wanted: type) -> Any:
        """The fact where it is there by now, or a gap; waits for nothing."""
        with self._lock:
            future = self._facts.get(wanted)
        if future is None or not future.done():
            return Gap(GapReason.TIMEOUT, f"{wanted.__name__}: the run was ended")
        return future.result()


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
    chosen = tuple(registry.select() if checks is None else checks)
    started, begun = datetime.now(UTC), time.monotonic()
    session = _Session(host, registry, settings, begun + settings.timeout)
    yield RunStarted(safe(host.source), chosen)
    findings: list[Finding] = [_broken(each.name, each.why) for each in registry.broken]
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
            host=_clean_info(info) if isinstance(info, HostInfo) else _no_info(host),
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


def _events(session: _Session, chosen: Sequence[Check], cancelled: threading.Event) -> Iterator[Event]:
    """Start every fact, and judge each check as soon as its facts are there."""
    wanted = {HostInfo, HostRole} | {need.fact for each in chosen for need in each.needs}
    waiting: dict[str, tuple[Check, set[type]]] = {}
    for each in chosen:
        waiting[each.id] = (each, {need.fact for need in each.needs} | {HostRole})
    for fact in wanted:
        session.fact(fact).add_done_callback(lambda _, fact=fact: session.news.put(fact))  # type: ignore[misc]
    ready: set[type] = set()
    while waiting and not cancelled.is_set():
        left = session.deadline - time.monotonic()
        try:
            news = session.news.get(timeout=max(0.01, min(left, 0.25)))
        except queue.Empty:
            if left > 0:
                continue
            news, ready = None, wanted
        if isinstance(news, FactStarted | FactFinished):
            yield news
            continue
        if isinstance(news, type):
            ready = ready | {news}
        for name in [name for name, (_, needs) in waiting.items() if needs <= ready]:
            yield _judge(session, waiting.pop(name)[0])
    if not cancelled.is_set():
        session.value(HostInfo)


def _judge(session: _Session, check: Check) -> CheckFinished:
    begun = time.monotonic()
    verdicts = list(_verdicts(session, check))
    took = round((time.monotonic() - begun) * 1000)
    return CheckFinished(check, tuple(_finding(session, check, each, gap, took) for each, gap in verdicts))


def _verdicts(session: _Session, check: Check) -> Iterator[tuple[Verdict, Gap | None]]:
    role = session.value(HostRole)
    if isinstance(role, HostRole) and role.role not in check.roles:
        yield Verdict(status=Status.SKIPPED, title=f"Does not apply: role is {role.role}"), None
        return
    given: dict[str, Any] = {}
    gaps: list[Gap] = []
    for need in check.needs:
        value = session.value(need.fact)
        if isinstance(value, Gap) and need.want is Want.REQUIRED:
            gaps.append(value)
        given[need.name] = None if isinstance(value, Gap) and need.want is Want.OR_NONE else value
    if gaps:
        yield _not_told(check, gaps[0]), gaps[0]
        return
    try:
        said = list(check.judge(**given))
    except Exception as error:  # noqa: BLE001 (a bug of ours or of a plug-in, never the host's fault)
        yield _crashed(check, error), Gap(GapReason.FAILED, "the check crashed")
        return
    if not said:
        yield _crashed(check, ValueError("the check said nothing")), Gap(GapReason.FAILED, "the check said nothing")
    for verdict in said:
        yield verdict, None


def _not_told(check: Check, gap: Gap) -> Verdict:
    return Verdict(status=Status.UNKNOWN, title=f"Could not tell: {check.asks}", detail=str(gap))


def _crashed(check: Check, error: Exception) -> Verdict:
    return Verdict(
        status=Status.UNKNOWN,
        title=f"The check {check.id} of {check.module} failed; this is a bug of maildiag or of the plug-in",
        detail=_crash(error),
    )


def _crash(error: Exception) -> str:
    last = traceback.extract_tb(error.__traceback__)[-1:]
    where = f" at {last[0].name}:{last[0].lineno}" if last else ""
    return f"{type(error).__name__}: {error}{where}"


def _finding(session: _Session, check: Check, verdict: Verdict, gap: Gap | None, took: int) -> Finding:
    """The verdict in its place, with all text made safe to show."""
    return Finding(
        id=verdict.id or check.id,
        check=check.id,
        step=check.step,
        subject=safe(verdict.subject, 300),
        status=verdict.status,
        title=safe(verdict.title, 300),
        detail=safe_lines(verdict.detail),
        data={safe(key): _clean(value) for key, value in verdict.data.items()},
        evidence=tuple(_evidence(session, each) for each in verdict.evidence),
        fixes=tuple(_clean_fix(each) for each in verdict.fixes),
        explained_by=check.explained_by if verdict.explained_by is None else verdict.explained_by,
        confidence=verdict.confidence,
        runbook=check.id,
        duration_ms=took,
        gap=_clean_gap(gap or (Gap(GapReason.FAILED, verdict.title) if verdict.status is Status.UNKNOWN else None)),
        acknowledged=_acknowledged(session, verdict.id or check.id, verdict.subject),
    )


def _evidence(session: _Session, each: Evidence) -> Evidence:
    at = each.at or session.read_at.get(each.source)
    return Evidence(safe(each.source, 300), safe_lines(each.text), at)


def _clean_fix(fix: Fix) -> Fix:
    """The words made safe; the commands stay what they are, and `Fix.shell` shows them safely."""
    return replace(fix, title=safe(fix.title, 300), why=safe_lines(fix.why), ask=safe_lines(fix.ask))


def _clean_gap(gap: Gap | None) -> Gap | None:
    return gap and Gap(gap.reason, safe(gap.detail), safe(gap.remedy))


def _clean(value: JsonValue) -> JsonValue:
    if isinstance(value, str):
        return safe(value)
    if isinstance(value, list | tuple):
        return [_clean(each) for each in value]
    if isinstance(value, dict):
        return {safe(str(key)): _clean(each) for key, each in value.items()}
    return value


def _clean_info(info: HostInfo) -> HostInfo:
    return HostInfo(
        name=safe(info.name),
        role=safe(info.role),
        role_reason=safe(info.role_reason),
        os=safe(info.os),
        postfix=safe(info.postfix),
        dovecot=safe(info.dovecot),
        firewall=safe(info.firewall),
        log_source=safe(info.log_source),
        privileged=info.privileged,
        source=safe(info.source),
    )


def _no_info(host: Host) -> HostInfo:
    return HostInfo(
        name="",
        role="",
        role_reason="could not be told",
        os="",
        postfix="",
        dovecot="",
        firewall="",
        log_source="",
        privileged=False,
        source=safe(host.source),
    )


def _acknowledged(session: _Session, id: str, subject: str) -> str:
    today = datetime.now(UTC).date()
    for each in session.settings.acknowledgements:
        if each.id == id and each.subject in ("", subject) and today <= each.expires:
            return f"{each.reason} (until {each.expires})"
    return ""


def _broken(name: str, why: str) -> Finding:
    return Finding(
        id="services.plugin",
        check="services.plugin",
        step=Step.SERVICES,
        subject=safe(name),
        status=Status.UNKNOWN,
        title=safe(f"The plug-in {name} could not be loaded"),
        detail=safe_lines(why),
        data={},
        evidence=(),
        fixes=(),
        explained_by=(),
        confidence=Confidence.CERTAIN,
        runbook="services.plugin",
        duration_ms=0,
        gap=Gap(GapReason.FAILED, why, f"mend or remove {name}"),
    )


def _in_order(findings: Sequence[Finding], chosen: Sequence[Check]) -> tuple[Finding, ...]:
    """In the order of the workflow, and a key once: the weightiest of those that share it."""
    place = {each.id: number for number, each in enumerate(chosen)}
    by_key: dict[str, Finding] = {}
    for each in findings:
        if each.key not in by_key or by_key[each.key].status.weight < each.status.weight:
            by_key[each.key] = each
    return tuple(sorted(by_key.values(), key=lambda each: (each.step.number, place.get(each.check, -1), each.subject)))


def _spawn(work: Callable[[], Any]) -> Future[Any]:
    """Work in a daemon thread: what hangs in the kernel can be left behind."""
    future: Future[Any] = Future()

    def call() -> None:
        try:
            future.set_result(work())
        except BaseException as error:  # noqa: BLE001 (handed to whoever waits for the result)
            future.set_exception(error)

    threading.Thread(target=call, daemon=True).start()
    return future


def _done(value: Any) -> Future[Any]:
    future: Future[Any] = Future()
    future.set_result(value)
    return future


def gather_alone(function: Callable[..., Any], host: Host, facts: dict[str, Any]) -> Any:
    """Run one gatherer outside a run, with the facts it needs given by parameter name; its gap where it has one."""
    session = _Session(host, Registry(), Settings(), time.monotonic() + 60.0)
    try:
        return function(Ask(session), **facts)
    except Missing as missing:
        return missing.gap
