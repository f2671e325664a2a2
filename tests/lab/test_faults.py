"""maildiag on the whole catalogue: hosts that are really broken, both releases side by side."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import Future

import pytest

from tests.lab.fault_runner import Result, Runner
from tests.lab.faults import Fault, catalogue
from tests.lab.images import RELEASES
from tests.lab.lab import Lab

pytestmark = pytest.mark.lab

# The cures take twice as long as the diagnoses: MAILDIAG_LAB_FIX=0 leaves them out.
_FIX = os.environ.get("MAILDIAG_LAB_FIX", "1") != "0"
_LIMIT = 300.0

_ALL = [(release, fault) for release in RELEASES for fault in catalogue() if release in fault.releases]
_IDS = [f"{release}-{fault.name}" for release, fault in _ALL]
_TEST = "test_maildiag_is_right_about"


class Campaign:
    """Runs the chosen faults, a thread for each release; the test of a fault waits for the result of that fault."""

    def __init__(self, chosen: Iterable[tuple[str, Fault]]) -> None:
        self._results: dict[tuple[str, str], Future[Result]] = {}
        self._stop = threading.Event()
        faults: dict[str, list[Fault]] = {}
        for release, fault in chosen:
            self._results[release, fault.name] = Future()
            faults.setdefault(release, []).append(fault)
        self._threads = [threading.Thread(target=self._run, args=work) for work in faults.items()]
        for thread in self._threads:
            thread.start()

    def result(self, release: str, fault: Fault) -> Result:
        """What came of `fault`; waits for it. Raises what ended the lab, if that came first."""
        return self._results[release, fault.name].result(timeout=_LIMIT * (1 + len(self._results)))

    def stop(self) -> None:
        """Begin no further fault, and wait for the one under way."""
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _run(self, release: str, faults: list[Fault]) -> None:
        waiting = [self._results[release, fault.name] for fault in faults]
        try:
            with Lab(release, maildiag=True) as lab:
                runner = Runner(lab, fix=_FIX, prove=True)
                for fault, result in zip(faults, waiting, strict=True):
                    if self._stop.is_set():
                        return
                    result.set_result(runner.run(fault))
        except BaseException as problem:  # noqa: BLE001 - the test that waits raises it
            for result in waiting:
                if not result.done():
                    result.set_exception(problem)


@pytest.fixture(scope="module")
def campaign(request: pytest.FixtureRequest, lab_possible: None) -> Iterator[Campaign]:
    """One campaign over just those faults that this session selected."""
    selected = {item.name for item in request.session.items if item.path == request.path}
    running = Campaign(each for each, name in zip(_ALL, _IDS, strict=True) if f"{_TEST}[{name}]" in selected)
    yield running
    running.stop()


@pytest.mark.parametrize(("release", "fault"), _ALL, ids=_IDS)
def test_maildiag_is_right_about(campaign: Campaign, release: str, fault: Fault) -> None:
    result = campaign.result(release, fault)
    assert not result.complaints, "\n".join([fault.title, *result.complaints])
