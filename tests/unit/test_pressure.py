"""What is said of processes that wait, from what kernels print."""

from __future__ import annotations

import pytest

from maildiag.facts.pressure import Pressure, Waiting, parse_pressure
from maildiag.facts.pressure import pressure as gather_pressure
from maildiag.model import Gap, GapReason, Status
from maildiag.probes import ReadFile
from maildiag.testing import file, gather, judge
from maildiag_checks.pressure import pressure

# Recorded on a machine whose tests ran on both of its processors. The figures of WORSE and STUCK are made up, in the same form.
CALM = "some avg10=0.00 avg60=0.16 avg300=0.64 total=60519364\nfull avg10=0.00 avg60=0.04 avg300=0.15 total=10941894\n"
BUSY = "some avg10=59.17 avg60=78.27 avg300=76.48 total=5037237933\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=0\n"
WORSE = "some avg10=99.17 avg60=98.27 avg300=96.48 total=9037237933\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=0\n"
STUCK = "some avg10=71.20 avg60=66.05 avg300=73.02 total=3300176223\nfull avg10=63.51 avg60=57.33 avg300=52.10 total=2400962961\n"
OLD = CALM.splitlines()[0]


def test_the_five_minutes_are_read() -> None:
    assert parse_pressure(STUCK) == Waiting(73.02, 52.10)
    assert parse_pressure(OLD) == Waiting(0.64, 0.0)
    assert parse_pressure("") is None


def told(**texts: str) -> dict[str, Status]:
    found = gather(gather_pressure, {ReadFile(f"/proc/pressure/{name}"): file(text) for name, text in texts.items()})
    return {each.subject: each.status for each in judge(pressure, found)}


def test_a_machine_at_rest_is_fine() -> None:
    assert told(cpu=OLD, io=CALM, memory=CALM) == {"": Status.OK}
    assert told(cpu=BUSY, io=CALM, memory=CALM) == {"": Status.OK}


@pytest.mark.parametrize(("name", "text"), [("cpu", WORSE), ("io", STUCK), ("memory", STUCK)])
def test_a_busy_machine_is_a_notice_for_what_is_waited_for(name: str, text: str) -> None:
    assert told(**{"cpu": OLD, "io": CALM, "memory": CALM, name: text}) == {name: Status.NOTICE}


def test_all_processes_wait_for_the_processor_only_within_a_limit_of_their_own() -> None:
    assert told(cpu=STUCK, io=CALM, memory=CALM) == {"": Status.OK}


def test_a_kernel_that_does_not_measure_is_skipped() -> None:
    assert isinstance(gather(gather_pressure, {}), Gap)
    assert [each.status for each in judge(pressure, Gap(GapReason.ABSENT, "not measured"))] == [Status.SKIPPED]
    assert [each.status for each in judge(pressure, Pressure({"io": Waiting(0, 0)}, {"io": CALM}))] == [Status.OK]
