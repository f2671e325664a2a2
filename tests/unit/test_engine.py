"""Runs against a host that misbehaves: each ends as an honest finding, in bounded time."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any, TypeVar

import pytest

from maildiag import engine
from maildiag.asking import Ask
from maildiag.events import CheckFinished, FactFinished, RunFinished, RunStarted
from maildiag.facts import host as host_facts
from maildiag.facts.dovecot import Dovecot
from maildiag.hosts.local import LocalHost
from maildiag.model import (
    Evidence,
    Fix,
    Gap,
    GapReason,
    HostInfo,
    HostRole,
    Reading,
    Role,
    Status,
    Step,
    Verdict,
    critical,
    ok,
)
from maildiag.probes import Command, DnsAnswer, DnsLookup, DnsStatus, Probe, ReadFile, command
from maildiag.registry import CLIENT, BrokenPlugin, Check, Gatherer, Registry, begins, check, gatherer
from maildiag.report import Report
from maildiag.settings import Acknowledgement, Settings
from maildiag.testing import TableHost, file, gather, printed
from maildiag.typed import lines
from tests.support import HOSTILE, NOW

A = TypeVar("A")


@dataclass(frozen=True)
class Said:
    """What the one program of these tests printed."""

    text: str


@gatherer
def said(ask: Ask) -> Said:
    return Said(ask(command("hostname", timeout=0.5)).stdout.strip())


@check("dns.said", step=Step.DNS, asks="What does it say?")
def speaks(said: Said) -> Iterator[Verdict]:
    yield ok(said.text) if said.text == "fine" else critical(said.text)


QUESTION = command("hostname", "-f")


@dataclass(frozen=True)
class Late:
    """A fact whose question does not depend on its need."""


@begins(QUESTION)
def late(ask: Ask, said: Said) -> Late:
    return Late()


@check("dns.late", step=Step.DNS, asks="Was it asked?")
def belated(late: Late) -> Iterator[Verdict]:
    yield ok("yes")


def registry(*functions: Any) -> Registry:
    """These checks and gatherers, and a role that needs no Postfix."""
    found = Registry()
    for each in (said, role, info, *functions):
        mark = each.maildiag
        if isinstance(mark, Check):
            found.checks[mark.id] = mark
        elif isinstance(mark, Gatherer):
            found.gatherers[mark.fact] = mark
    return found


@gatherer
def role(ask: Ask) -> HostRole:
    return HostRole(Role.MAIL_SERVER, "a test")


@gatherer
def info(ask: Ask) -> HostInfo:
    return HostInfo(name="mail", role="mail-server", role_reason="", os="", postfix="", dovecot="", firewall="",
                    log_source="", privileged=True, source=ask.source)  # fmt: skip


def run(host: Any, *functions: Any, settings: Settings | None = None) -> Report:
    return engine.report(host, registry(*functions), settings or Settings())


def one(report: Report) -> tuple[Status, GapReason | None]:
    (found,) = report.findings
    return found.status, found.gap.reason if found.gap else None


def program(folder: Path, script: str) -> LocalHost:
    """This machine with one program, `hostname`, that does what the script says."""
    path = folder / "hostname"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return LocalHost(programs={"hostname"}, path=f"{folder}:/usr/bin:/bin")


def test_a_program_that_answers_is_judged(tmp_path: Path) -> None:
    assert one(run(program(tmp_path, "echo fine"), speaks)) == (Status.OK, None)


def test_a_secret_that_the_host_tells_is_in_no_finding(tmp_path: Path) -> None:
    (found,) = run(
        program(tmp_path, "echo 'Binding failed: uris=ldap://cn=admin:hunter2@ldap.example.test/'"), speaks
    ).findings
    assert found.title == "Binding failed: uris=ldap://cn=admin:(removed)@ldap.example.test/"


@check("services.disk", step=Step.SERVICES, asks="Is there room?", explained_by=())
def room() -> Iterator[Verdict]:
    yield critical("/tmp is full", subject="/tmp")


def test_a_program_that_is_killed_on_a_host_without_room_is_explained_by_that(tmp_path: Path) -> None:
    report = run(program(tmp_path, "kill -ABRT $$"), speaks, room)
    (cause,) = report.diagnosis.causes
    assert (cause.finding.id, cause.explains) == ("services.disk", ("dns.said",))
    assert not run(program(tmp_path, "kill -ABRT $$"), speaks).diagnosis.causes


def test_a_hung_program_is_unknown_within_its_limit(tmp_path: Path) -> None:
    began = time.monotonic()
    assert one(run(program(tmp_path, "sleep 600"), speaks)) == (Status.UNKNOWN, GapReason.TIMEOUT)
    assert time.monotonic() - began < 200


def test_a_missing_program_is_unknown_and_not_broken(tmp_path: Path) -> None:
    assert one(run(LocalHost(programs={"hostname"}, path=str(tmp_path)), speaks)) == (Status.UNKNOWN, GapReason.ABSENT)


def test_a_program_that_is_no_program_is_unknown(tmp_path: Path) -> None:
    program(tmp_path, "echo fine")
    (tmp_path / "hostname").chmod(0o644)
    assert one(run(LocalHost(programs={"hostname"}, path=str(tmp_path)), speaks)) == (Status.UNKNOWN, GapReason.ABSENT)


def test_a_crashing_program_is_unknown_whatever_it_printed_before(tmp_path: Path) -> None:
    gap = program(tmp_path, "echo fine; kill -SEGV $$").ask(command("hostname"))
    assert isinstance(gap, Gap)
    assert (gap.reason, gap.detail) == (GapReason.FAILED, "hostname was killed by SIGSEGV")


def test_a_talkative_program_is_ended_and_half_of_its_words_are_no_answer(tmp_path: Path) -> None:
    began = time.monotonic()
    gap = program(tmp_path, "exec yes fine").ask(Command(("hostname",), timeout=120))
    assert isinstance(gap, Gap)
    assert (gap.reason, gap.detail) == (GapReason.FAILED, "hostname printed more than 8192 KB")
    assert time.monotonic() - began < 100


def test_a_talkative_program_is_cut_where_its_beginning_is_of_use(tmp_path: Path) -> None:
    reading = program(tmp_path, "exec yes fine").ask(Command(("hostname",), timeout=120, most=1000))
    assert isinstance(reading, Reading)
    assert reading.value.truncated
    assert len(reading.value.stdout) == 1000


def test_a_program_outside_the_list_is_never_run(tmp_path: Path) -> None:
    answer = program(tmp_path, "echo fine").ask(command("rm", "-rf", "/nonexistent"))
    assert isinstance(answer, Gap)
    assert "not in the list" in answer.detail


def test_a_dead_name_server_says_nothing_of_the_name() -> None:
    reading = LocalHost().ask(DnsLookup("example.test", "MX", server="127.0.0.253", timeout=1.0))
    assert isinstance(reading, Reading)
    assert not reading.value.knows
    assert reading.value.status in (DnsStatus.TIMEOUT, DnsStatus.UNREACHABLE)


def test_files_that_cannot_be_read_are_gaps_with_their_reason(tmp_path: Path) -> None:
    import os

    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    asked = {str(fifo): GapReason.FAILED, str(tmp_path): GapReason.FAILED, "/nonexistent": GapReason.ABSENT}
    for path, reason in asked.items():
        answer = LocalHost().ask(ReadFile(path))
        assert isinstance(answer, Gap)
        assert answer.reason is reason


class Stuck:
    """A host that never answers, whatever its limits say."""

    source = "stuck"

    def ask(self, probe: Probe[A]) -> Reading[A] | Gap:
        threading.Event().wait()
        raise AssertionError

    def close(self) -> None:
        """Nothing to end."""


def test_the_run_ends_at_its_deadline_whatever_hangs() -> None:
    began = time.monotonic()
    report = run(Stuck(), speaks, settings=Settings(timeout=0.4))
    assert one(report) == (Status.UNKNOWN, GapReason.TIMEOUT)
    assert time.monotonic() - began < 20


def test_a_cancelled_run_waits_for_nothing_and_is_not_complete() -> None:
    cancelled = threading.Event()
    events = engine.run(Stuck(), registry(speaks), Settings(), cancelled=cancelled)
    assert isinstance(next(events), RunStarted)
    cancelled.set()
    began = time.monotonic()
    last = list(events)[-1]
    assert isinstance(last, RunFinished)
    assert not last.report.complete
    assert time.monotonic() - began < 20


@dataclass(frozen=True)
class Again:
    """The same program, asked by another gatherer."""

    text: str


@gatherer
def again(ask: Ask) -> Again:
    return Again(ask(command("hostname", timeout=0.5)).stdout)


@check("dns.again", step=Step.DNS, asks="And again?")
def repeats(again: Again) -> Iterator[Verdict]:
    yield ok(again.text)


def test_a_probe_is_asked_once_however_many_ask() -> None:
    host = TableHost({command("hostname", timeout=0.5): printed("fine\n")})
    assert run(host, speaks, again, repeats).status is Status.OK
    assert len(host.asked) == 1


class Patient(TableHost):
    """Answers nothing else before it was asked `QUESTION`."""

    def __init__(self) -> None:
        super().__init__({})
        self.begun = threading.Event()

    def ask(self, probe: Probe[A]) -> Reading[A] | Gap:
        if probe == QUESTION:
            self.begun.set()
        self.begun.wait(5)
        return super().ask(probe)


def test_what_a_gatherer_asks_in_any_case_does_not_wait_for_its_needs() -> None:
    host = Patient()
    report = engine.report(host, registry(late, belated), Settings())
    assert host.begun.is_set()
    assert [each.status for each in report.findings] == [Status.UNKNOWN]


@dataclass(frozen=True)
class Slowest:
    """A fact that waits for servers, and needs another before it can ask them."""


@begins(ahead=True)
def slowest(ask: Ask, said: Said) -> Slowest:
    return Slowest()


@check("dns.slowest", step=Step.DNS, asks="Did the servers answer?")
def served(slowest: Slowest) -> Iterator[Verdict]:
    yield ok("yes")


@dataclass(frozen=True)
class Other:
    """A fact that nothing waits for."""


@gatherer
def other(ask: Ask) -> Other:
    ask(QUESTION)
    return Other()


@check("dns.other", step=Step.DNS, asks="And the other?")
def others(other: Other) -> Iterator[Verdict]:
    yield ok("yes")


class Watched(TableHost):
    """Answers what the slowest fact needs after so many seconds, or as soon as `QUESTION` was asked."""

    def __init__(self, seconds: float) -> None:
        super().__init__({command("hostname", timeout=0.5): printed("fine\n"), QUESTION: printed("mail\n")})
        self._seconds = seconds
        self._asked = threading.Event()
        self.asked_before_the_answer = False

    def ask(self, probe: Probe[A]) -> Reading[A] | Gap:
        if probe == QUESTION:
            self._asked.set()
        else:
            self.asked_before_the_answer = self._asked.wait(self._seconds)
        return super().ask(probe)


@pytest.mark.parametrize(("seconds", "before"), [(0.05, False), (20.0, True)])
def test_all_else_waits_for_what_the_slowest_need_but_not_for_long(seconds: float, before: bool) -> None:
    host = Watched(seconds)
    report = engine.report(host, registry(said, slowest, other, others, served), Settings())
    assert host.asked_before_the_answer is before
    assert {each.status for each in report.findings} <= {Status.OK, Status.UNKNOWN}
    assert {each.check: each.status for each in report.findings}["dns.other"] is Status.OK


def test_a_check_that_raises_is_unknown_and_named_and_the_others_run() -> None:
    @check("dns.crash", step=Step.DNS, asks="Does it crash?")
    def crash() -> Iterator[Verdict]:
        raise ZeroDivisionError("ours")
        yield

    host = TableHost({command("hostname", timeout=0.5): printed("fine\n")})
    report = run(host, speaks, crash)
    crashed = report.finding("dns.crash")
    assert crashed is not None
    assert crashed.status is Status.UNKNOWN
    assert "ZeroDivisionError" in crashed.detail
    assert report.finding("dns.said") is not None


def test_a_check_that_says_nothing_is_a_bug_and_told_as_one() -> None:
    @check("dns.silent", step=Step.DNS, asks="Anything?")
    def silent() -> Iterator[Verdict]:
        yield from ()

    found = run(TableHost({}), silent).finding("dns.silent")
    assert found is not None
    assert found.status is Status.UNKNOWN
    assert "said nothing" in found.detail


def test_a_check_of_the_other_role_is_skipped_with_the_reason() -> None:
    @check("dns.client", step=Step.DNS, asks="A client?", roles=CLIENT)
    def client() -> Iterator[Verdict]:
        yield ok("yes")

    found = run(TableHost({}), client).finding("dns.client")
    assert found is not None
    assert (found.status, found.title) == (Status.SKIPPED, "Does not apply: role is mail-server")


def test_what_strangers_wrote_reaches_no_finding_unescaped() -> None:
    @check("dns.hostile", step=Step.DNS, asks="Hostile?")
    def talk() -> Iterator[Verdict]:
        for number, text in enumerate(HOSTILE):
            fix = Fix(id="a.b/c", title=text, commands=(("echo", text),), why=text, ask=text)
            data: Mapping[str, Any] = {"a": [text], "b": {text: text}}
            yield critical(
                text, detail=text, subject=f"{number} {text}", evidence=(Evidence(text, text),), fixes=(fix,), data=data
            )

    report = run(TableHost({}), talk)
    for found in report.findings:
        fix = found.fixes[0]
        shown = [
            found.title,
            found.detail,
            found.subject,
            fix.title,
            fix.why,
            fix.ask,
            *lines(fix.commands),
            str(found.data),
        ]
        for text in [*shown, report.diagnosis.headline, found.evidence[0].text, found.evidence[0].source]:
            assert not set(text.replace("\n", "")) & {
                *map(chr, range(32)),
                *map(chr, range(127, 160)),
                "\u202e",
                "\udcff",
            }


def test_an_acknowledged_finding_is_shown_and_changes_no_exit_status() -> None:
    known = Acknowledgement("dns.said", "known", date(2999, 1, 1))
    report = run(
        TableHost({command("hostname", timeout=0.5): printed("bad\n")}),
        speaks,
        settings=Settings(acknowledgements=(known,)),
    )
    assert report.findings[0].acknowledged == "known (until 2999-01-01)"
    assert report.status is Status.OK
    expired = Acknowledgement("dns.said", "known", date(2020, 1, 1))
    report = run(
        TableHost({command("hostname", timeout=0.5): printed("bad\n")}),
        speaks,
        settings=Settings(acknowledgements=(expired,)),
    )
    assert report.status is Status.CRITICAL


def test_a_plug_in_that_could_not_be_loaded_is_one_finding() -> None:
    found = registry(speaks)
    found.broken.append(BrokenPlugin("theirs", "SyntaxError: no"))
    report = engine.report(TableHost({command("hostname", timeout=0.5): printed("fine\n")}), found, Settings())
    assert report.status is Status.UNKNOWN
    assert report.findings[0].key == "services.plugin@theirs"


def test_every_fact_and_check_is_told_as_it_ends() -> None:
    host = TableHost({command("hostname", timeout=0.5): printed("fine\n")})
    events = list(engine.run(host, registry(speaks), Settings()))
    assert isinstance(events[0], RunStarted)
    assert {each.name for each in events if isinstance(each, FactFinished)} >= {"Said", "HostRole"}
    assert [each.check.id for each in events if isinstance(each, CheckFinished)] == ["dns.said"]
    assert isinstance(events[-1], RunFinished)


def test_the_role_is_read_from_the_configuration() -> None:
    assert host_facts.decide_role(None, None).role is Role.MAIL_SERVER


@pytest.mark.parametrize(
    ("main_cf", "expected"),
    [
        ("relayhost = [10.0.1.10]:25\ninet_interfaces = loopback-only\nmydestination =\n", Role.RELAY_CLIENT),
        ("inet_interfaces = all\nmydestination = example.test\n", Role.MAIL_SERVER),
        ("", Role.MAIL_SERVER),
    ],
)
def test_where_postconf_stops_main_cf_s_text_tells_the_role(main_cf: str, expected: Role) -> None:
    stopped = Gap(GapReason.FAILED, "postconf printed no settings")
    answers: dict[Probe[Any], Any] = {ReadFile("/etc/postfix/main.cf"): file(main_cf)} if main_cf else {}
    found = gather(host_facts.role, answers, settings=Settings(), postfix=stopped, dovecot=Dovecot(True, "2.4.1"))
    assert isinstance(found, HostRole)
    assert found.role is expected


def test_a_reading_carries_the_time_of_the_answer() -> None:
    reading = TableHost({command("hostname"): printed("fine")}).ask(command("hostname"))
    assert isinstance(reading, Reading)
    assert reading.at == NOW


ASKED, PATIENTLY = (DnsLookup("mail.example.test", "A", "10.0.1.53", tries=tries) for tries in (2, 1))
ANSWERED = DnsAnswer(DnsStatus.ANSWER, ("10.0.1.10",))


@dataclass(frozen=True)
class Looked:
    """A fact that needs both answers of one source."""


@gatherer
def looked(ask: Ask) -> Looked:
    ask.all([ASKED, PATIENTLY])
    return Looked()


@check("dns.looked", step=Step.DNS, asks="What was read, and when?")
def tells(looked: Looked) -> Iterator[Verdict]:
    yield ok("both answered", evidence=(Evidence(ASKED.source, "10.0.1.10"), Evidence("hostname", "of another fact")))


class TwoTimes(TableHost):
    """The patient question is answered a second later than the other by the host's clock, whichever ends first."""

    def __init__(self, last: Probe[Any]) -> None:
        super().__init__({ASKED: ANSWERED, PATIENTLY: ANSWERED, command("hostname", timeout=0.5): printed("fine")})
        self._last, self._first_is_there = last, threading.Event()

    def ask(self, probe: Probe[A]) -> Reading[A] | Gap:
        if probe == self._last:
            assert self._first_is_there.wait(10)
        found = super().ask(probe)
        if probe in (ASKED, PATIENTLY):
            self._first_is_there.set()
        return replace(found, at=NOW + timedelta(seconds=probe == PATIENTLY)) if isinstance(found, Reading) else found


@pytest.mark.parametrize("last", [ASKED, PATIENTLY], ids=["asked", "patiently"])
def test_where_two_questions_have_one_source_its_time_is_that_of_the_later_answer(last: Probe[Any]) -> None:
    report = run(TwoTimes(last), looked, tells, speaks)
    found = report.finding("dns.looked")
    assert found is not None
    assert [each.at for each in found.evidence] == [NOW + timedelta(seconds=1), None]


def test_what_a_needed_fact_read_has_its_time_too() -> None:
    @check("dns.late", step=Step.DNS, asks="Was it asked?")
    def belated(late: Late) -> Iterator[Verdict]:
        yield ok("yes", evidence=(Evidence("hostname", "fine"),))

    report = run(TableHost({command("hostname", timeout=0.5): printed("fine")}), late, belated)
    assert report.findings[0].evidence[0].at == NOW
