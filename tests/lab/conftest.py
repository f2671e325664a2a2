"""The labs as fixtures. Where no lab can be, a test skips and says why; in CI that is a failure."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.lab.hosts import why_unavailable
from tests.lab.images import RELEASES
from tests.lab.lab import Lab


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The campaign of faults comes last: what is left of CI's time is its own."""
    items.sort(key=lambda item: item.path.name == "test_faults.py")


@pytest.fixture(scope="session")
def lab_possible() -> None:
    """Skips where the lab cannot be; fails instead with `CI` or `MAILDIAG_LAB=require` in the environment."""
    reason = why_unavailable()
    if reason and (os.environ.get("CI") or os.environ.get("MAILDIAG_LAB") == "require"):
        pytest.fail(f"{reason}, and here it may not be skipped", pytrace=False)
    if reason:
        pytest.skip(reason)


@pytest.fixture(scope="session", params=RELEASES)
def lab(request: pytest.FixtureRequest, lab_possible: None) -> Iterator[Lab]:
    """A healthy lab with maildiag installed, of each release in turn; for tests that leave it healthy."""
    with Lab(request.param, maildiag=True) as running:
        yield running


@pytest.fixture
def breakable_lab(lab: Lab) -> Iterator[Lab]:
    """The same, for tests that break something: everything is reset afterwards."""
    yield lab
    lab.reset()


@pytest.fixture
def lab_in_bad_company(lab: Lab) -> Iterator[Lab]:
    """The same, for tests that only make DNS or the partner fail: the hosts stay as they are."""
    yield lab
    lab.dns.reset()
    lab.partner.reset()
