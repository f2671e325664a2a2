"""Healthy hosts on which a program misbehaves, or much is hidden: unknown in bounded time, never broken; and no trace of a run."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.lab.hosts import Host
from tests.lab.lab import Lab

pytestmark = pytest.mark.lab

MISBEHAVIOUR = {
    "hangs": "#!/bin/sh\nexec sleep 1000\n",
    "crashes": "#!/bin/sh\nkill -SEGV $$\n",
    "floods": "#!/bin/sh\nhead -c 50000000 /dev/zero | tr '\\0' x\n",
    "prints nonsense": "#!/bin/sh\nhead -c 20000 /dev/urandom\n",
}
PROGRAMS = ("doveadm", "doveconf", "dovecot", "getent", "iptables-save", "journalctl", "nft", "openssl", "postconf", "postmap",
            "postqueue", "systemctl", "timedatectl")  # fmt: skip
RUN = ["/usr/local/bin/maildiag", "run", "--json", "--no-history"]
SLOWEST = 21.0  # postqueue(1) may take 20 s: a long queue
COMPLAINT = re.compile(r"warning|error|fatal|panic|lost connection|auth failed", re.I)


def report(host: Host, *before: str, user: str | None = None) -> dict[str, Any]:
    """What a run says."""
    told: dict[str, Any] = json.loads(host.run([*before, *RUN], user=user, check=False, timeout=120).stdout)
    return told


def wrong(told: dict[str, Any]) -> list[str]:
    """What a healthy host must not be told: faults, and bugs of maildiag's own."""
    return [
        f"{each['status']} {each['id']}: {each['title']} ({each['detail'][:200]})"
        for each in told["findings"]
        if each["status"] in ("warning", "critical")
        or "report this bug" in each["detail"]
        or "a bug of" in each["title"]
    ]


@contextmanager
def instead_of(host: Host, program: str, script: str | None) -> Iterator[None]:
    """Put the script in the program's place, or nothing."""
    path = host.run(["sh", "-c", f"command -v {program}"]).stdout.strip()
    host.sh(f"mv {path} {path}.real")
    try:
        if script is not None:
            host.write(path, script)
            host.sh(f"chown --reference={path}.real {path}; chmod --reference={path}.real {path}")
        yield
    finally:
        host.sh(f"mv -f {path}.real {path}")


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_program_that_misbehaves_is_no_fault_of_mail(lab: Lab, program: str) -> None:
    """Each program in two ways on one release and in the other two on the other: both in all four is minutes more."""
    ways = list(MISBEHAVIOUR.items())
    turn = (PROGRAMS.index(program) + (lab.release.name == "debian13")) % 2
    for how, script in ways[turn::2]:
        with instead_of(lab.mail, program, script):
            told = report(lab.mail)
        assert wrong(told) == [], how
        assert told["duration_s"] < SLOWEST + 10, how


def test_a_program_that_is_missing_is_no_fault_of_mail_but_that_of_postfix_itself(lab: Lab) -> None:
    for program in PROGRAMS:
        with instead_of(lab.mail, program, None):
            found = wrong(report(lab.mail))
        assert found == [] or (program == "postqueue" and "does not exist" in found[0]), program


def test_processes_that_are_hidden_are_not_taken_for_ended(breakable_lab: Lab) -> None:
    hidden = ("unshare", "-m", "sh", "-c", 'mount -o remount,hidepid=2 /proc; exec runuser -u nobody -- "$@"', "sh")
    assert wrong(report(breakable_lab.mail, *hidden)) == []


@pytest.mark.parametrize("user", [None, "nobody"])
@pytest.mark.parametrize("name", ["mail", "app01"])
def test_a_run_leaves_no_complaint_in_any_log(lab: Lab, name: str, user: str | None) -> None:
    host: Host = getattr(lab, name)
    report(host, user=user)
    begun = host.run(["date", "+%s.%N"]).stdout.strip()
    first = report(host, user=user)
    host.run(["journalctl", "--sync"])
    lines = host.run(["journalctl", "--quiet", "--no-pager", f"--since=@{begun}"]).stdout.splitlines()
    assert [line for line in lines if COMPLAINT.search(line)] == []
    statuses = [
        {each["id"] + each["subject"]: each["status"] for each in told["findings"]}
        for told in (first, report(host, user=user))
    ]
    assert statuses[0] == statuses[1]
