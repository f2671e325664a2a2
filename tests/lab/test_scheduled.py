"""maildiag as a timer, a monitoring system and an ordinary user run it, on real hosts."""

from __future__ import annotations

import json
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from maildiag.schema import validate
from tests.lab.installing import CHECKOUT
from tests.lab.lab import Lab

pytestmark = pytest.mark.lab

_UNITS = CHECKOUT / "packaging" / "systemd"


def test_the_hardened_service_diagnoses_as_root_does_and_keeps_its_history(breakable_lab: Lab) -> None:
    mail = breakable_lab.mail
    for name in ("maildiag.service", "maildiag.timer"):
        mail.write(f"/etc/systemd/system/{name}", (_UNITS / name).read_text())
    mail.sh("systemctl daemon-reload && systemctl enable --now maildiag.timer")
    mail.sh("rm -f /var/lib/maildiag/history.sqlite")
    assert mail.sh("systemctl start maildiag.service || journalctl -n 80 -o cat -u maildiag.service", timeout=90) == ""
    by_hand = json.loads(mail.maildiag("run", "--json").stdout)
    validate(by_hand)
    kept = json.loads(mail.maildiag("history", "--json").stdout)
    assert [each["status"] for each in kept] == [by_hand["status"]] * 2
    assert kept[0]["findings"] == kept[1]["findings"]


def test_the_hardened_service_sees_what_root_sees_behind_every_kind_of_firewall(breakable_lab: Lab) -> None:
    unit = (
        (_UNITS / "maildiag.service")
        .read_text()
        .replace("run --plain", "run --json --no-history -o /var/lib/maildiag/unit.json")
    )
    for host in (breakable_lab.app01, breakable_lab.app02):
        host.write("/etc/systemd/system/maildiag.service", unit)
        host.sh("systemctl daemon-reload; systemctl start maildiag.service", timeout=90)
        by_unit = json.loads(host.read("/var/lib/maildiag/unit.json"))
        by_hand = json.loads(host.maildiag("run", "--json", "--no-history").stdout)
        assert by_unit["host"]["privileged"]
        assert _answers(by_unit) == _answers(by_hand)


def _answers(document: Any) -> list[tuple[str, str, str]]:
    return sorted((each["id"], each["subject"], each["status"]) for each in document["findings"])


def test_the_textfile_page_of_a_real_host_is_valid(lab: Lab) -> None:
    done = lab.mail.maildiag("run", "--format", "prometheus", "--no-history", "-o", "/root/maildiag.prom")
    assert done.stdout == ""
    families = {each.name for each in text_string_to_metric_families(lab.mail.read("/root/maildiag.prom"))}
    assert {"maildiag_status", "maildiag_queue_messages", "maildiag_mail_store_bytes"} <= families


def test_nagios_is_told_in_one_line(lab: Lab) -> None:
    done = lab.app01.maildiag("run", "--format", "nagios", "--no-history")
    assert done.stdout.startswith("MAILDIAG OK - ")
    assert (done.returncode, done.stdout.count("\n"), done.stderr) == (0, 1, "")


def test_an_ordinary_user_gets_a_diagnosis_that_says_what_needs_root(lab: Lab) -> None:
    done = lab.mail.run(["/usr/local/bin/maildiag", "run", "--json"], user="alice", check=False)
    told = json.loads(done.stdout)
    validate(told)
    assert not told["host"]["privileged"]
    assert done.returncode == 3
    assert not [each["title"] for each in told["findings"] if each["status"] in ("warning", "critical")]
    assert lab.mail.run(["test", "-e", "/home/alice/.local/state/maildiag/history.sqlite"], check=False).returncode == 0


def test_a_bundle_of_a_real_host_gives_the_same_findings(lab: Lab) -> None:
    for extra in ([], ["--pseudonymise"]):
        done = lab.mail.maildiag("bundle", "-o", "/root/mail.jsonl.gz", "--yes", *extra)
        assert done.returncode == 0
        assert "tells something else" not in done.stderr
