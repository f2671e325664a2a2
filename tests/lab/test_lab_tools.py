"""The probe, the queue and a diagnosis over SSH on real hosts."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.lab.lab import Lab
from tests.lab.process import wait_for

pytestmark = pytest.mark.lab
FROM = ["sendmail", "-f", "alice@example.test"]


@pytest.fixture
def lab(release: str, lab_possible: None) -> Iterator[Lab]:
    with Lab(release, maildiag=True) as booted:
        yield booted


@pytest.mark.parametrize("release", ["debian12", "debian13"])
def test_a_probe_is_seen_in_the_mailbox_and_taken_out_again(lab: Lab) -> None:
    done = lab.mail.maildiag("probe", "--to", "alice", "--wait", "30", "--json")
    hops = json.loads(done.stdout)["hops"]
    assert [(each["name"], each["outcome"]) for each in hops] == [
        (name, "done") for name in ("submit", "queue", "deliver", "mailbox", "clean up")
    ]
    assert done.returncode == 0
    relayed = lab.app01.maildiag("probe", "--to", "alice@example.test", "--wait", "30", "--json")
    outcomes = {each["name"]: each["outcome"] for each in json.loads(relayed.stdout)["hops"]}
    assert outcomes == {"submit": "done", "queue": "done", "deliver": "done", "mailbox": "not_looked"}
    assert relayed.returncode == 3


@pytest.mark.parametrize("release", ["debian12", "debian13"])
def test_the_queue_is_grouped_and_a_host_is_diagnosed_over_ssh(lab: Lab) -> None:
    lab.partner.tempfail()
    for _ in range(3):
        lab.mail.run([*FROM, "joe@partner.test"], input="Subject: x\n\nx\n")

    def deferred() -> bool:
        return lab.mail.run(["postqueue", "-j"]).stdout.count('"deferred"') == 3

    wait_for("three deferred messages", deferred, timeout=30)
    told = lab.mail.maildiag("queue", "--json")
    assert told.returncode == 0
    assert '"maildiag.queue/1"' in told.stdout
    held = lab.mail.maildiag("queue", "hold", "--to", "partner.test", "--yes")
    assert held.returncode == 0, held.stderr
    assert lab.mail.run(["postqueue", "-j"]).stdout.count('"hold"') == 3
    over_ssh = lab.app01.maildiag("run", "--host", "10.0.1.10", "--json")
    document = json.loads(over_ssh.stdout)
    assert document["host"]["name"] == "mail"
    assert document["host"]["source"] == "ssh:10.0.1.10"
