"""How long a run on a healthy host takes, as a ratio to its slowest probe: boots the lab, or measures this host (`--here`).

Prints the medians of `--runs` runs: the run, its slowest probe and the ratio, as the report itself tells them; then the
whole process and its processor time, children included, which tell what a busy machine adds. Exits 1 above a limit.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
MOST_RATIO = 1.3
MOST_SECONDS = 2.0

Run = Callable[[], str]


@dataclass(frozen=True, slots=True)
class Measured:
    """One run: its duration and that of its slowest probe, the whole process, seconds of processors; and what was slow."""

    run: float
    slowest: float
    process: float
    processor: float
    probe: str


def measured(run: Run) -> Measured:
    """Run once, and read the run's own timings."""
    begun, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    told = json.loads(run())
    process, after = time.perf_counter() - begun, resource.getrusage(resource.RUSAGE_CHILDREN)
    slowest = max(told["timings"], key=lambda each: each["seconds"])
    processor = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Measured(told["duration_s"], slowest["seconds"], process, processor, slowest["source"])


def median(taken: list[Measured], value: Callable[[Measured], float]) -> float:
    """The median of one figure."""
    return statistics.median(value(each) for each in taken)


def report(name: str, taken: list[Measured]) -> bool:
    """Print the medians; True where they are within the limits."""
    run, ratio = median(taken, lambda each: each.run), median(taken, lambda each: each.run / each.slowest)
    print(
        f"{name:<16} run {run:6.3f} s   slowest probe {median(taken, lambda each: each.slowest):6.3f} s   "
        f"ratio {ratio:5.2f}   process {median(taken, lambda each: each.process):6.3f} s   "
        f"processor {median(taken, lambda each: each.processor):6.3f} s   slowest: {taken[-1].probe[:60]}",
        flush=True,
    )
    return ratio <= MOST_RATIO and run <= MOST_SECONDS


def here() -> str:
    """A run on this machine."""
    argv = [sys.executable, "-m", "maildiag", "run", "--json", "--no-history"]
    return subprocess.run(argv, stdout=subprocess.PIPE, text=True, cwd=ROOT, check=False).stdout


def hosts(arguments: argparse.Namespace) -> Iterator[tuple[str, Run]]:
    """What is measured, by name."""
    if arguments.here:
        yield "this host", here
        return
    sys.path.insert(0, str(ROOT))
    from tests.lab.lab import Lab

    for release in arguments.release or ["debian12", "debian13"]:
        with Lab(release, maildiag=True, purpose="benchmark") as lab:
            for host in (lab.mail, lab.app01):
                yield f"{release} {host.name}", lambda host=host: host.maildiag("run", "--json", "--no-history").stdout  # type: ignore[misc]


def main() -> int:
    """Measure each host in turn; a first run is not counted."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--release", action="append", help="debian12 or debian13 (default: both)")
    parser.add_argument("--here", action="store_true", help="measure this machine instead of the lab")
    arguments = parser.parse_args()
    good = True
    for name, run in hosts(arguments):
        run()
        good &= report(name, [measured(run) for _ in range(arguments.runs)])
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
