"""Recorded incidents, replayed: the cause is the one that was made, and nothing else has changed unseen."""

from __future__ import annotations

import gzip
import json

import pytest

from maildiag import engine, registry
from maildiag.document import document
from maildiag.hosts.bundle import BundleHost
from maildiag.render import Format, Look, render
from maildiag.schema import validate
from maildiag.settings import Settings
from tests.lab.fault_judge import judge, parsed
from tests.lab.faults import Fault
from tests.lab.record import EVIDENCE, expected, incidents, place
from tests.support import maildiag

INCIDENTS = incidents()


@pytest.fixture(params=INCIDENTS, ids=lambda fault: place(fault).name)
def incident(request: pytest.FixtureRequest) -> Fault:
    fault: Fault = request.param
    return fault


def test_there_are_a_healthy_host_of_each_role_and_several_incidents() -> None:
    names = {place(each).name for each in INCIDENTS}
    assert {"healthy-mail-server", "healthy-relay-client"} <= names
    assert len(names) >= 6


def test_the_cause_is_the_one_that_was_made(incident: Fault) -> None:
    report = engine.report(BundleHost(place(incident)), registry.builtin(), Settings())
    told = document(report)
    validate(told)
    assert judge(parsed(json.dumps(told)), incident) == []
    assert not [each for each in report.findings if "bug of maildiag" in each.title]
    if not incident.first:
        assert not report.status.failing, report.diagnosis.headline


def test_what_is_said_of_it_has_not_changed_unseen(incident: Fault) -> None:
    kept = json.loads((place(incident) / "expected.json").read_text(encoding="utf-8"))
    now = expected(place(incident))
    assert now["causes"] == kept["causes"]
    assert now["counts"] == kept["counts"], _differences(kept["findings"], now["findings"])
    assert now["findings"] == kept["findings"]


def _differences(before: object, after: object) -> str:
    assert isinstance(before, list)
    assert isinstance(after, list)
    gone, came = [each for each in before if each not in after], [each for each in after if each not in before]
    return f"gone: {gone}; new: {came} (python -m tests.lab.record --expect-only writes it down)"


def test_no_secret_is_in_a_recording(incident: Fault) -> None:
    text = gzip.decompress((place(incident) / EVIDENCE).read_bytes()).decode()
    for word in ("alice-Secret-1", "bob-Secret-2", "PRIVATE KEY-----\\n"):
        assert word not in text


@pytest.mark.parametrize("form", [each for each in Format if each is not Format.JSONL])
def test_every_form_can_tell_it(incident: Fault, form: Format) -> None:
    report = engine.report(BundleHost(place(incident)), registry.builtin(), Settings())
    assert render(report, form, Look())


def test_the_demo_shows_each_incident(incident: Fault) -> None:
    ran = maildiag("demo", place(incident).name, "--text")
    assert ran.status == 0
    assert incident.title in ran.err
    assert maildiag("demo", "--list").out.count(incident.title) == 1
