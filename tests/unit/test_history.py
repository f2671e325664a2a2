"""The history of runs: what is kept, what changed, and that a broken file or a full disk stops nothing."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from maildiag import history, state
from maildiag.asking import gather_alone
from maildiag.cli.run import _remember as keep
from maildiag.facts.disk import Disks, Place
from maildiag.facts.history import history as earlier
from maildiag.hosts.local import LocalHost
from maildiag.model import Status
from maildiag.probes import FileSystem, Identity
from maildiag.settings import Settings
from maildiag.testing import judge
from maildiag_checks.trends import mail_store
from tests.support import NOW, ROOT, finding, outage, recorded, report
from tests.support import maildiag as program


def test_a_run_is_kept_with_its_findings_and_indicators(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "history.sqlite"
    busy = finding("queue.backlog", Status.WARNING, data={"messages": 1284})
    assert history.remember(report([busy]), path) == ""
    (kept,) = history.runs(path)
    assert (kept.host, kept.status, kept.started) == ("mail.example.test", "warning", NOW)
    assert kept.findings == {"queue.backlog": "warning"}
    assert kept.indicators == {"queue_messages": 1284.0}


def test_what_changed_since_it_last_worked_is_told(tmp_path: Path) -> None:
    path = tmp_path / "history.sqlite"
    good = report([finding("dns.mx", Status.UNKNOWN), finding("dns.ptr", Status.OK)])
    history.remember(good, path)
    history.remember(replace(outage(), started=NOW + timedelta(hours=1)), path)
    after, before = history.runs(path)
    assert history.last_good([after, before]) == before
    changed = history.change(before, after)
    assert changed.came["services.postfix"] == "critical"
    assert not changed.nothing
    assert history.change(after, after).nothing


@pytest.mark.parametrize("content", [b"", b"no database", b"SQLite format 3\x00" + b"\xff" * 4096])
def test_a_broken_file_stops_no_diagnosis(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "history.sqlite"
    path.write_bytes(content)
    problem = history.remember(outage(), path)
    assert bool(problem) == bool(content)
    if content:
        with pytest.raises(history.HistoryError):
            history.runs(path)


def test_a_file_that_a_full_disk_kept_from_being_filled_holds_no_run(tmp_path: Path) -> None:
    (tmp_path / "history.sqlite").touch()
    assert history.runs(tmp_path / "history.sqlite") == []


def test_a_run_tells_that_the_history_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "history.sqlite"
    history.remember(outage(), path)
    whole = path.read_bytes()
    path.write_bytes(whole[:100] + bytes(len(whole) - 100))
    status, title = told_by_a_run(tmp_path, monkeypatch)
    assert status is Status.UNKNOWN
    assert title.startswith(f"The history of earlier runs cannot be read: {path}: ")


def told_by_a_run(directory: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Status, str]:
    """What services.mail-store says of the history that is kept in this directory."""
    monkeypatch.setenv(state.VARIABLE, str(directory))
    found = gather_alone(earlier, LocalHost(), {})
    store = Disks((Place("/home", "store", FileSystem("/home", "ext4", False, 10**12, 10**11, 0, 0)),))
    (verdict,) = judge(mail_store, store, found, Identity("mail", "Linux", NOW, NOW, privileged=True), Settings())
    return verdict.status, verdict.title


def test_a_place_that_cannot_be_written_is_told_and_stops_nothing() -> None:
    assert "history" in history.remember(outage(), Path("/proc/nowhere/history.sqlite"))
    assert history.remember(outage(), Path("/dev/full")) != ""


def test_a_file_that_may_not_grow_is_told_and_keeps_what_it_has(tmp_path: Path) -> None:
    path = tmp_path / "history.sqlite"
    assert history.remember(outage(), path) == ""
    told = of_another(
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN); resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size,) * 2)",
        path,
        "while not (problem := history.remember(outage(), path)):\n    pass\nprint(problem)",
    )
    assert told.startswith(f"{path}: ")
    assert history.runs(path)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small file system")
def test_a_disk_that_is_really_full_is_told_and_keeps_what_it_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "none", tmp_path], check=False).returncode:
        pytest.skip("this machine lets nobody mount")
    try:
        path = tmp_path / "deep" / "history.sqlite"
        while not (problem := history.remember(outage(), path)):
            pass
        assert "disk is full" in problem
        kept = len(history.runs(path, most=1000))
        assert kept
        (tmp_path / "rest").write_bytes(bytes(os.statvfs(tmp_path).f_bavail * os.statvfs(tmp_path).f_frsize))
        assert history.remember(outage(), path) != ""
        assert history.remember(outage(), tmp_path / "other" / "history.sqlite") != ""
        assert len(history.runs(path, most=1000)) == kept
        assert told_by_a_run(path.parent, monkeypatch) == (
            Status.OK,
            "The mail store is measured; a week of history will tell its growth",
        )
    finally:
        subprocess.run(["umount", tmp_path], check=True)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file to somebody else")
@pytest.mark.parametrize("mode", [0o600, 0o644])
def test_a_file_of_somebody_else_is_told(mode: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "history.sqlite"
        history.remember(outage(), path)
        path.chmod(mode)
        path.parent.chmod(0o755)
        told = of_another(
            "os.setgroups([]); os.setgid(65534); os.setuid(65534)", path, "print(history.remember(outage(), path))"
        )
        assert told.startswith(f"{path}: ")
        assert len(history.runs(path)) == 1


def of_another(before: str, path: Path, code: str) -> str:
    """What a process of its own prints, which restrains itself first."""
    imports = "import os, resource, signal, sys; from pathlib import Path; from maildiag import history; from tests.support import outage"
    lines = f"{imports}\npath = Path(sys.argv[1])\n{before}\n{code}"
    argv = [sys.executable, "-c", lines, str(path)]
    return subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=True).stdout


def test_a_file_that_another_run_holds_is_waited_for_only_briefly(tmp_path: Path) -> None:
    import sqlite3

    path = tmp_path / "history.sqlite"
    history.remember(outage(), path)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    assert "locked" in history.remember(outage(), path)
    other.close()


def test_a_replayed_host_is_not_kept(tmp_path: Path) -> None:
    bundle = recorded(tmp_path / "host.jsonl")
    program("run", "--bundle", bundle, XDG_STATE_HOME=str(tmp_path / "state"))
    assert not (tmp_path / "state").exists()


def test_the_history_is_shown_as_text_and_json() -> None:
    ran = program("history", "--json")
    assert ran.status == 0
    assert isinstance(json.loads(ran.out), list)
    assert program("history").status == 0


def test_another_host_s_run_is_not_kept_among_this_one_s() -> None:
    before = history.runs()
    keep(argparse.Namespace(no_history=False, bundle=None, host="app01", step=[], check=[]), outage())
    assert history.runs() == before
