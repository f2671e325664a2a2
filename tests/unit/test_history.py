"""The history of runs: what is kept, what changed, and that a broken file or a full disk stops nothing."""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from maildiag import history
from maildiag.cli.run import _remember as keep
from maildiag.model import Status
from tests.support import NOW, finding, outage, recorded, report
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


def test_a_place_that_cannot_be_written_is_told_and_stops_nothing() -> None:
    assert "history" in history.remember(outage(), Path("/proc/nowhere/history.sqlite"))
    assert history.remember(outage(), Path("/dev/full")) != ""


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
