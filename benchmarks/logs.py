"""How long maildiag takes for logs, beside pflogsumm and grep in the same run: `python benchmarks/logs.py`.

Every command is run in turn, `--runs` times after one run that is not counted, and the medians of processor time (user and
system, children included) are compared: the clock would also tell what else the machine does. Exits 1 if a ratio is above
its limit. See README.md.
"""

from __future__ import annotations

import argparse
import gzip
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
# What the installed program `maildiag` does, of this tree; and Python keeps what it compiled, as where it is installed.
MAILDIAG = (sys.executable, "-c", "import sys; from maildiag.__main__ import main; sys.exit(main())")
COMPILED = tempfile.TemporaryDirectory(prefix="maildiag-bench-")
ENVIRONMENT = {
    **{name: value for name, value in os.environ.items() if not name.startswith("PYTHON")},
    "PYTHONPATH": f"{ROOT}:{ROOT / 'checks'}",
    "PYTHONPYCACHEPREFIX": COMPILED.name,
    "XDG_STATE_HOME": COMPILED.name,
    "LC_ALL": "C",
}


@dataclass(frozen=True, slots=True)
class Case:
    """One comparison: our command, the other's, the ratio that must not be exceeded, and what is compared.

    Several processes save time by the clock and no processor time.
    """

    name: str
    ours: tuple[str, ...]
    other: tuple[str, ...]
    limit: float
    by_clock: bool = False


@dataclass(frozen=True, slots=True)
class Spent:
    """Seconds of a run by the clock, and of processors (user and system, children included)."""

    wall: float
    cpu: float


def run(command: Sequence[str]) -> Spent:
    """Return what a command takes; raises if it fails. Its output is read: grep stops early if it goes to /dev/null."""
    begin, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, check=True, stdout=subprocess.PIPE, env=ENVIRONMENT, cwd=ROOT)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return Spent(time.perf_counter() - begin, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


def generated(directory: Path, scenario: str, lines: int, seed: int, *options: str) -> Path:
    """Return the path of a generated log, made if it is not there."""
    path = directory / f"{scenario}-{lines}-{seed}{''.join(options)}.log"
    if not path.exists():
        generator = str(ROOT / "benchmarks" / "generate.py")
        command = [sys.executable, generator, scenario, str(lines), str(path), "--seed", str(seed), *options]
        subprocess.run(command, check=True)
    return path


def packed(path: Path) -> Path:
    """Return the log compressed with gzip."""
    target = path.with_suffix(".log.gz")
    if not target.exists():
        with path.open("rb") as plain, gzip.open(target, "wb", compresslevel=6) as compressed:
            shutil.copyfileobj(plain, compressed, 1 << 20)
    return target


def queue_id(path: Path) -> str:
    """Return the queue id of a message in the middle of the log."""
    with path.open("rb") as file:
        file.seek(path.stat().st_size // 2)
        lines = (line.decode("latin-1") for line in file)
        return next(line.split(": ")[1] for line in lines if ", nrcpt=" in line)


def cases(traffic: Path, storm: Path, iso: Path) -> list[Case]:
    report = (*MAILDIAG, "logs", "--no-cache")
    gz = packed(traffic)
    key = queue_id(traffic)
    return [
        Case("traffic, one process, of pflogsumm", (*report, "--jobs", "1", str(traffic)), ("pflogsumm", str(traffic)), 0.20),
        Case("traffic, two processes, of pflogsumm", (*report, "--jobs", "2", str(traffic)), ("pflogsumm", str(traffic)), 0.15, by_clock=True),
        Case("storm, one process, of pflogsumm", (*report, "--jobs", "1", str(storm)), ("pflogsumm", str(storm)), 0.35),
        Case("storm, two processes, of pflogsumm", (*report, "--jobs", "2", str(storm)), ("pflogsumm", str(storm)), 0.35, by_clock=True),
        Case("ISO timestamps, one process, of pflogsumm", (*report, "--jobs", "1", str(iso)), ("pflogsumm", str(iso)), 0.20),
        Case("repeated run, of pflogsumm", (*MAILDIAG, "logs", str(traffic)), ("pflogsumm", str(traffic)), 0.20),
        Case("gzip, of zcat | pflogsumm", (*report, str(gz)), ("sh", "-c", f"zcat '{gz}' | pflogsumm"), 0.30),
        Case("trace of a queue id, of grep -c", (*MAILDIAG, "trace", key, "--log", str(traffic)), ("grep", "-c", key, str(traffic)), 2.0),
        Case("traffic, two processes, of grep -c (the floor)", (*report, "--jobs", "2", str(traffic)), ("grep", "-c", "status=", str(traffic)), 99.0),
    ]  # fmt: skip


def measure(case: Case, runs: int) -> bool:
    """Print the medians and the ratio of a case; true if it is within its limit."""
    run(case.ours)
    times = [(run(case.ours), run(case.other)) for _ in range(runs)]
    ours, other = statistics.median(t[0].cpu for t in times), statistics.median(t[1].cpu for t in times)
    wall = statistics.median(t[0].wall for t in times) / statistics.median(t[1].wall for t in times)
    ratio = wall if case.by_clock else ours / other
    verdict = "ok" if ratio <= case.limit else "TOO SLOW"
    print(
        f"{case.name:<48} {ours:7.3f} s {other:7.3f} s  ratio {ours / other:5.3f} (by the clock {wall:5.3f})  "
        f"limit {case.limit:.2f}{' by the clock' if case.by_clock else ''}  {verdict}",
        flush=True,
    )
    return ratio <= case.limit


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lines", type=int, default=1_000_000)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--dir", type=Path, default=Path("/tmp/maildiag-bench"), help="where the generated logs are kept"
    )
    parser.add_argument("--only", default="", help="only cases whose name begins so")
    args = parser.parse_args()
    if shutil.which("pflogsumm") is None:
        print("pflogsumm is not installed (apt install pflogsumm)", file=sys.stderr)
        return 2
    args.dir.mkdir(parents=True, exist_ok=True)
    traffic, storm = (generated(args.dir, scenario, args.lines, args.seed) for scenario in ("traffic", "storm"))
    iso = generated(args.dir, "traffic", args.lines, args.seed, "--iso")
    chosen = [case for case in cases(traffic, storm, iso) if case.name.startswith(args.only)]
    within = [measure(case, args.runs) for case in chosen]
    return 0 if all(within) else 1


if __name__ == "__main__":
    sys.exit(main())
