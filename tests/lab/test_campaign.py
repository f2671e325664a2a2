"""A campaign does what must be done, then what time allows; no host is needed for that."""

from __future__ import annotations

import math
import time
from types import TracebackType
from typing import Self

import pytest

from tests.lab import campaign, test_faults
from tests.lab.campaign import Job
from tests.lab.fault_runner import Result
from tests.lab.images import release_named
from tests.lab.test_fault_catalogue import fault
from tests.lab.test_faults import Results, Task


class NoLab:
    """Stands for a lab where nothing is booted."""

    def __init__(self, release: str, **ignored: object) -> None:
        self.release = release_named(release)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass


@pytest.fixture(autouse=True)
def no_labs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(campaign, "Lab", NoLab)


def job(name: str, release: str) -> Job:
    result = Result(fault(name=name), release, (), "-", 0.0, 0.0)
    return lambda runner: result


def tasks(count: int) -> list[Task]:
    """As many faults, each on both releases."""
    return [
        Task(release, f"a/{number}", "mail", job(f"a/{number}", release), second=release == "debian13")
        for number in range(count)
        for release in ("debian12", "debian13")
    ]


def judged(chosen: list[Task]) -> tuple[list[Result | None], list[Result | None]]:
    """What came of the first turns, and of the second ones."""
    results = Results(chosen)
    every = [(task, results.of(task)) for task in chosen]
    results.campaign.stop()
    return [came for task, came in every if not task.second], [came for task, came in every if task.second]


def test_a_second_turn_that_the_time_does_not_allow_has_no_result(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(test_faults, "_UNTIL", str(time.time() - 1))
    first, second = judged(tasks(60))
    assert None not in first
    assert second == [None] * 60


@pytest.mark.parametrize(("count", "until"), [(60, str(math.inf)), (60, ""), (3, "1")])
def test_every_second_turn_comes_where_there_is_time_or_little_to_do(
    monkeypatch: pytest.MonkeyPatch, count: int, until: str
) -> None:
    monkeypatch.setattr(test_faults, "_UNTIL", until)
    first, second = judged(tasks(count))
    assert None not in first + second
    assert len(second) == count


def test_what_ends_a_lab_is_raised_by_whoever_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(runner: object) -> Result:
        raise OSError("no space")

    results = Results([Task("debian12", "a/b", "mail", broken)])
    with pytest.raises(OSError, match="no space"):
        results.of(Task("debian12", "a/b", "mail", broken))
    results.campaign.stop()


def test_each_fault_is_tried_first_on_one_release_and_healthy_hosts_on_every_one() -> None:
    seconds = [task.name for task in test_faults._TASKS if task.second]
    firsts = {task.name for task in test_faults._TASKS if not task.second}
    assert len(seconds) == len(set(seconds))
    assert set(seconds) <= firsts
    assert not any(name.startswith("healthy/") for name in seconds)
