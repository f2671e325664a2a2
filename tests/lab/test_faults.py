"""maildiag on the whole catalogue: hosts that are really broken, both releases side by side."""

from __future__ import annotations

import os
import warnings
import zlib
from collections.abc import Iterator, Sequence
from concurrent.futures import Future

import pytest

from tests.lab.campaign import Campaign
from tests.lab.fault_runner import Result
from tests.lab.faults import Fault, catalogue
from tests.lab.images import RELEASES

pytestmark = [pytest.mark.lab, pytest.mark.filterwarnings("default::tests.lab.test_faults.LabWarning")]

# The cures take longer than the diagnoses, so each fault is cured on one of the two releases, in turn, and diagnosed on both:
# MAILDIAG_LAB_FIX=all cures on both, and MAILDIAG_LAB_FIX=0 leaves the cures out.
_FIX = os.environ.get("MAILDIAG_LAB_FIX", "1")
_LIMIT = 300.0

_ALL = [(release, fault) for release in RELEASES for fault in catalogue() if release in fault.releases]
_IDS = [f"{release}-{fault.name}" for release, fault in _ALL]
_TEST = "test_maildiag_is_right_about"


def _cured_here(release: str, fault: Fault) -> bool:
    """True where the cure of this fault is tried on this release."""
    if _FIX in ("0", "all") or len(fault.releases) == 1:
        return _FIX != "0"
    return zlib.crc32(fault.name.encode()) % len(RELEASES) == list(RELEASES).index(release)


class LabWarning(UserWarning):
    """Something in the lab that a person should look at."""


class Results:
    """The results as they come; the test of a fault waits for its own."""

    def __init__(self, chosen: Sequence[tuple[str, Fault]]) -> None:
        self._results: dict[tuple[str, str], Future[Result]] = {
            (release, fault.name): Future() for release, fault in chosen
        }
        self.campaign = Campaign(chosen, self._keep, fix=_cured_here, prove=True)

    def _keep(self, result: Result) -> None:
        self._results[result.release, result.fault.name].set_result(result)

    def of(self, release: str, fault: Fault) -> Result:
        """What came of `fault`; waits for it. Raises what ended a lab, if that came first."""
        waited = self._results[release, fault.name]
        for _ in range(int(_LIMIT) * (1 + len(self._results))):
            try:
                return waited.result(timeout=1.0)
            except TimeoutError:
                if self.campaign.problem is not None:
                    raise self.campaign.problem from None
        raise AssertionError(f"{fault.name} on {release} did not end")


@pytest.fixture(scope="module")
def results(request: pytest.FixtureRequest, lab_possible: None) -> Iterator[Results]:
    """One campaign over just those faults that this session selected."""
    selected = {item.name for item in request.session.items if item.path == request.path}
    chosen = [each for each, name in zip(_ALL, _IDS, strict=True) if f"{_TEST}[{name}]" in selected]
    running = Results(chosen)
    yield running
    running.campaign.stop()


@pytest.mark.parametrize(("release", "fault"), _ALL, ids=_IDS)
def test_maildiag_is_right_about(results: Results, release: str, fault: Fault) -> None:
    result = results.of(release, fault)
    if result.at_first:
        warnings.warn(
            LabWarning(f"{fault.name} on {release} was right only at the second try: {result.at_first}"), stacklevel=1
        )
    if result.complaints and fault.open:
        pytest.xfail(f"open: {fault.open}")
    assert not result.complaints, "\n".join([fault.title, *result.complaints])
