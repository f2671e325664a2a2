"""The catalogue of faults is well-formed, and its judge tells right from wrong; no host is needed for that."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.lab.errors import LabError
from tests.lab.fault_judge import judge, parsed, still_blamed
from tests.lab.faults import ChangeDns, Fault, Login, Run, SendMail, catalogue, load

_FILE = """
title = "Postfix is stopped"
host = "mail"
break = ["systemctl stop postfix", {dns = "fail", how = "servfail", zone = "partner.test"}]
symptom = [{mail = "app01"}, {login = "alice", password = "wrong"}, {run = "true", on = "app01"}]
first = ["services.postfix"]
not_blamed = ["dns.*"]
path = "deliver-app"
"""

_POSTFIX = {
    "id": "services.postfix",
    "subject": "postfix@-.service",
    "status": "critical",
    "title": "Postfix is stopped",
}
_DNS = {"id": "dns.resolver", "subject": "10.0.1.53", "status": "critical", "title": "The name server does not answer"}


def written(directory: Path, text: str) -> Path:
    path = directory / "services" / "stopped.toml"
    path.parent.mkdir(parents=True)
    path.write_text(text)
    return path


def fault(**values: object) -> Fault:
    return Fault(**{"name": "a/b", "title": "", "host": "mail", "breaks": (), "first": ("services.postfix",), **values})  # type: ignore[arg-type]


def report(*causes: dict[str, str], status: str = "critical", findings: tuple[dict[str, str], ...] = ()) -> str:
    return json.dumps({"status": status, "diagnosis": {"headline": "", "causes": causes}, "findings": findings})


def test_every_fault_of_the_catalogue_loads() -> None:
    names = [each.name for each in catalogue()]
    assert len(names) == len(set(names)) > 0


def test_every_fault_says_whom_not_to_blame_or_what_path_it_breaks() -> None:
    assert [each.name for each in catalogue() if each.path == "none" and not each.not_blamed and each.first] == []


def test_a_file_becomes_a_fault(tmp_path: Path) -> None:
    loaded = load(written(tmp_path, _FILE), tmp_path)
    assert loaded.name == "services/stopped"
    assert loaded.breaks == (Run("systemctl stop postfix"), ChangeDns("fail", how="servfail", zone="partner.test"))
    assert loaded.symptom == (SendMail("app01"), Login("alice", password="wrong"), Run("true", on="app01"))
    assert (loaded.first, loaded.not_blamed, loaded.runs_on) == (("services.postfix",), ("dns.*",), "mail")
    assert loaded.releases == ("debian12", "debian13")


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ('symptoms = ["true"]', "no key 'symptoms'; did you mean 'symptom'"),
        ('path = "imap"', "path = 'imap' is none of deliver-app"),
        ('host = "mali"', "host = 'mali' is none of mail"),
        ("curable = 1", "curable = 1 is not a bool"),
        ('symptom = [{dns = "fail", how = "slow"}]', "how = 'slow' is none of servfail"),
        ('symptom = [{dns = "fail", zoen = "x"}]', "no key 'zoen'; did you mean 'zone'"),
        ("symptom = [{wait = 3}]", "has none of run, dns"),
        ('symptom = "true"', "symptom is a list of steps"),
        ('releases = ["debian11"]', "releases = 'debian11' is none of"),
        ("title = ", "Invalid value"),
    ],
)
def test_a_mistake_in_a_file_is_named_with_the_file(tmp_path: Path, wrong: str, said: str) -> None:
    key = wrong.partition(" ")[0]
    kept = [line for line in _FILE.splitlines() if not line.startswith(f"{key} ")]
    with pytest.raises(LabError) as caught:
        load(written(tmp_path, "\n".join([*kept, wrong])), tmp_path)
    assert "services/stopped.toml: " in str(caught.value)
    assert said in str(caught.value)


def test_a_fault_without_its_first_cause_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LabError, match="first missing"):
        load(written(tmp_path, 'title = "x"\nhost = "mail"\nbreak = []\n'), tmp_path)


def test_the_expected_first_cause_is_right() -> None:
    assert judge(parsed(report(_POSTFIX, _DNS)), fault()) == []
    assert judge(parsed(report(_POSTFIX)), fault(first=("dns.*", "services.*"), subject="postfix*")) == []


def test_a_wrong_first_cause_is_told_with_the_place_of_the_right_one() -> None:
    complaints = judge(parsed(report(_DNS, _POSTFIX)), fault())
    assert complaints == [
        "blames dns.resolver (10.0.1.53) first: The name server does not answer; expected services.postfix, it comes 2."
    ]


def test_the_right_check_about_the_wrong_subject_is_wrong() -> None:
    assert "it is not among the causes" in judge(parsed(report(_POSTFIX)), fault(subject="dovecot.service"))[0]


def test_silence_is_wrong_where_something_is_broken() -> None:
    assert judge(parsed(report()), fault()) == ["blames nothing; expected services.postfix"]


def test_any_cause_is_wrong_where_nothing_is() -> None:
    assert judge(parsed(report(status="notice")), fault(first=())) == []
    assert judge(parsed(report(_DNS, status="critical")), fault(first=())) == [
        "is critical where nothing is wrong",
        "blames dns.resolver (10.0.1.53) where nothing is wrong: The name server does not answer",
    ]


def test_an_excluded_cause_is_wrong_in_any_place() -> None:
    assert judge(parsed(report(_POSTFIX, _DNS)), fault(not_blamed=("dns.*",))) == [
        "blames dns.resolver (10.0.1.53): The name server does not answer"
    ]


def test_a_check_that_crashed_is_wrong() -> None:
    crashed = {
        "id": "queue.backlog",
        "status": "unknown",
        "title": "failed; this is a bug of maildiag",
        "detail": "KeyError: 'x'",
    }
    assert judge(parsed(report(_POSTFIX, findings=(crashed,))), fault()) == ["crashed: queue.backlog: KeyError: 'x'"]


def test_a_cause_that_is_there_after_the_fix_is_told() -> None:
    assert still_blamed(parsed(report(_DNS)), fault()) == []
    assert "still blames services.postfix" in still_blamed(parsed(report(_DNS, _POSTFIX)), fault())[0]


@pytest.mark.parametrize(
    "text", ["", "maildiag: error", "{}", '{"status": "ok", "diagnosis": {"causes": [{}]}, "findings": []}']
)
def test_what_is_no_report_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parsed(text)
