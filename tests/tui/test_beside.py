"""The process beside the screen: what it computes arrives, it ends with the screen, and its own end is told, never waited for."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot

from maildiag import registry
from maildiag.events import CheckFinished, RunFinished, RunStarted
from maildiag.hosts.bundle import BundleHost
from maildiag.hosts.ssh import SshHost
from maildiag.model import Reading, Step
from maildiag.probes import ReadFile
from maildiag.report import Report
from maildiag.resources import incidents
from maildiag.settings import Settings
from maildiag.tui.app import MaildiagApp
from maildiag.tui.beside import Beside, Broken
from maildiag.tui.diagnosing import Apart, Way, loaded
from maildiag.tui.session import Session
from tests.tui import works
from tests.tui.conftest import finished, notices, play, until

ROOT = Path(__file__).parents[2]
NEVER = threading.Event()


@pytest.fixture
def beside() -> Iterator[Beside]:
    made = Beside()
    yield made
    made.close()


def eventually(done: Callable[[], bool], limit_s: float = 30) -> None:
    end = time.monotonic() + limit_s
    while not done():
        assert time.monotonic() < end
        time.sleep(0.02)


def gone(pid: int) -> bool:
    """True where there is no such process, or what is left of it waits for its parent."""
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    return True


def test_what_is_computed_there_arrives_here_in_order_whatever_is_printed(beside: Beside) -> None:
    both = [beside.each(works.squares, most, cancelled=NEVER) for most in (100, 50)]
    assert [list(each) for each in both] == [[n * n for n in range(100)], [n * n for n in range(50)]]


def test_what_only_a_plug_in_knows_arrives_as_its_words(beside: Beside) -> None:
    told = list(beside.each(works.told_of, cancelled=NEVER))
    assert told == ["a word of its own", {"where": ["a word of its own"]}]
    assert type(told[0]) is str


def test_what_is_raised_there_is_told_here(beside: Beside) -> None:
    told = beside.each(works.fails, cancelled=NEVER)
    assert next(told) == 1
    with pytest.raises(Broken, match="LookupError: no such thing"):
        next(told)
    assert list(beside.each(works.squares, 2, cancelled=NEVER)) == [0, 1]


@pytest.mark.parametrize(
    ("work", "why"), [(works.killed, "ended with signal 9"), (works.complains, "ended with status 3: a last word")]
)
def test_a_process_that_dies_is_told_of_and_the_next_work_begins_another(
    beside: Beside, work: Callable[..., Iterator[int]], why: str
) -> None:
    other = beside.each(works.waits, cancelled=NEVER)
    next(other)
    for told in (beside.each(work, cancelled=NEVER), other):
        with pytest.raises(Broken, match=why):
            list(told)
    assert list(beside.each(works.squares, 2, cancelled=NEVER)) == [0, 1]


def test_what_hangs_is_ended_at_its_limit(beside: Beside) -> None:
    told = beside.each(works.waits, cancelled=NEVER, limit_s=1.0)
    pid = next(told)
    with pytest.raises(Broken, match="signal 9"):
        list(told)
    assert gone(pid)


def test_a_work_is_cancelled_there_and_tells_its_end(beside: Beside, tmp_path: Path) -> None:
    cancelled = threading.Event()
    told = beside.each(works.until_cancelled, str(tmp_path / "note"), cancelled=cancelled)
    assert next(told) == "waiting"
    cancelled.set()
    assert list(told) == ["cancelled"]


def test_a_work_that_nobody_listens_to_any_more_is_cancelled(beside: Beside, tmp_path: Path) -> None:
    told = beside.each(works.until_cancelled, str(tmp_path / "note"), cancelled=NEVER)
    assert next(told) == "waiting"
    del told
    eventually((tmp_path / "note").exists)


def test_closing_ends_the_process_and_what_it_runs(beside: Beside) -> None:
    told = beside.each(works.waits, cancelled=NEVER)
    pids = next(told), next(told)
    beside.close()
    eventually(lambda: all(map(gone, pids)))
    with pytest.raises(Broken):
        next(told)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_the_process_ends_with_the_screen_however_that_ends(how: signal.Signals) -> None:
    code = (
        "import threading, time; from maildiag.tui.beside import Beside; from tests.tui import works\n"
        "told = Beside().each(works.waits, cancelled=threading.Event()); print(next(told), next(told), flush=True); time.sleep(300)"
    )
    where = os.environ | {"PYTHONPATH": f"{ROOT}:{ROOT / 'checks'}"}
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, env=where) as parent:
        assert parent.stdout is not None
        pids = [int(each) for each in parent.stdout.readline().split()]
        assert not any(map(gone, pids))
        parent.send_signal(how)
    eventually(lambda: all(map(gone, pids)))


def test_nothing_is_loaded_from_the_directory_that_one_stands_in(tmp_path: Path) -> None:
    for name in ("pickle", "queue", "contextlib", "maildiag"):
        (tmp_path / f"{name}.py").write_text(f"open({str(tmp_path / 'loaded')!r}, 'w')\nraise SystemExit(9)\n")
    code = (
        f"import sys; sys.path[:0] = [{str(ROOT)!r}, {str(ROOT / 'checks')!r}]; import threading\n"
        "from maildiag.tui.beside import Beside; from tests.tui import works\n"
        "beside = Beside(); print(list(beside.each(works.squares, 3, cancelled=threading.Event()))); beside.close()"
    )
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert (done.stdout, done.stderr) == ("[0, 1, 4]\n", "")
    assert not (tmp_path / "loaded").exists()


# -- runs --------------------------------------------------------------------------------------------------------------


def recording(beside: Beside | None) -> Session:
    way = Way(BundleHost, (incidents()["dovecot-down"].parent,))
    return Session(way.host(), registry.builtin, Settings(), beside=beside, way=way)


def without_times(report: Report) -> Report:
    findings = tuple(
        replace(each, duration_ms=0, evidence=tuple(replace(one, at=None) for one in each.evidence))
        for each in report.findings
    )
    return replace(report, findings=findings, started=report.seen, duration_s=0.0, timings=(), diagnosis=None)  # type: ignore[arg-type]


def test_a_run_there_says_what_a_run_here_says(beside: Beside) -> None:
    there, here = list(recording(beside).run()), list(recording(None).run())
    assert isinstance(there[0], RunStarted) and isinstance(here[0], RunStarted)
    assert [each.id for each in there[0].checks] == [each.id for each in here[0].checks]
    assert {each.check.id for each in there if isinstance(each, CheckFinished)} == {each.id for each in here[0].checks}
    assert isinstance(there[-1], RunFinished) and isinstance(here[-1], RunFinished)
    assert without_times(there[-1].report) == without_times(here[-1].report)
    assert there[-1].report.diagnosis.headline == here[-1].report.diagnosis.headline


def test_one_step_is_run_there_too(beside: Beside) -> None:
    done = [each.check.step for each in recording(beside).run(Step.QUEUE) if isinstance(each, CheckFinished)]
    assert set(done) == {Step.QUEUE}


def test_a_cancelled_run_ends_with_what_it_has(beside: Beside) -> None:
    session = recording(beside)
    list(beside.each(loaded, registry.builtin, cancelled=NEVER))
    events = session.run()
    next(events)
    session.cancel()
    last = list(events)[-1]
    assert isinstance(last, RunFinished)


def test_where_no_process_can_be_started_the_run_is_done_here(beside: Beside, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/nonexistent/python")
    last = list(recording(beside).run())[-1]
    assert isinstance(last, RunFinished) and last.report.complete
    assert list(recording(beside).compute(works.squares, 3)) == [0, 1, 4]


def test_the_screen_tells_that_the_process_died_and_the_next_run_is_whole(beside: Beside) -> None:
    app = MaildiagApp(recording(beside))

    async def scenario(pilot: Pilot[Any]) -> None:
        pid = next(beside.each(works.waits, cancelled=NEVER))
        os.kill(pid, signal.SIGSTOP)
        await pilot.press("r")
        await until(app, pilot, lambda: not app._flow.over)
        os.kill(pid, signal.SIGKILL)
        await until(app, pilot, lambda: "the run broke off: the process beside the screen ended" in notices(app))
        await until(app, pilot, lambda: app._flow.over)
        seen = app.board.report
        await pilot.press("r")
        await until(app, pilot, lambda: app.board.report not in (None, seen))
        await finished(app, pilot)
        assert app.board.report is not None and app.board.report.complete

    play(app, scenario)


# -- another host ------------------------------------------------------------------------------------------------------


def by_script(script: str) -> SshHost:
    """What stands in for ssh(1) and starts the real `maildiag answer`."""
    return SshHost("mail.example.test", command=(script,))


@pytest.fixture
def script(tmp_path: Path) -> str:
    path = tmp_path / "ssh"
    search = os.pathsep.join([str(ROOT), str(ROOT / "checks")])
    path.write_text(
        f'#!/bin/sh\necho $$ >> {tmp_path}/pids\nPYTHONPATH="{search}" exec "{sys.executable}" -m maildiag answer\n'
    )
    path.chmod(0o755)
    return str(path)


def test_a_host_elsewhere_is_asked_over_the_one_connection_that_the_process_has(
    beside: Beside, script: str, tmp_path: Path
) -> None:
    (tmp_path / "x").write_text("löss\n")
    host = Apart("ssh:mail", Way(by_script, (script,)), beside)
    for _ in range(2):
        read = host.ask(ReadFile(str(tmp_path / "x")))
        assert isinstance(read, Reading) and read.value.text == "löss\n"
    pids = [int(each) for each in (tmp_path / "pids").read_text().split()]
    assert len(pids) == 1
    os.kill(pids[0], signal.SIGKILL)
    eventually(lambda: isinstance(host.ask(ReadFile(str(tmp_path / "x"))), Reading))
    assert len((tmp_path / "pids").read_text().split()) == 2
    beside.close()
    eventually(lambda: all(gone(int(each)) for each in (tmp_path / "pids").read_text().split()))
