"""How long maildiag takes to start, as a ratio to `python -c pass` on the same machine (medians)."""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parent.parent
CASES = {
    "python -c pass": ["-c", "pass"],
    "maildiag --version": ["-m", "maildiag", "--version"],
    "maildiag run --help": ["-m", "maildiag", "run", "--help"],
    "maildiag checks": ["-m", "maildiag", "checks"],
}


def seconds(arguments: list[str]) -> float:
    """One start, from the outside."""
    environment = os.environ | {"PYTHONPATH": f"{ROOT}:{ROOT / 'checks'}"}
    began = time.perf_counter()
    subprocess.run([sys.executable, *arguments], stdout=subprocess.DEVNULL, env=environment, check=True)
    return time.perf_counter() - began


def main() -> None:
    """Measure every case in turn, so that a busy machine disturbs all alike."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    rounds = parser.parse_args().rounds
    for arguments in CASES.values():
        seconds(arguments)
    taken = [{name: seconds(arguments) for name, arguments in CASES.items()} for _ in range(rounds)]
    base = statistics.median(each["python -c pass"] for each in taken)
    for name in CASES:
        median = statistics.median(each[name] for each in taken)
        print(f"{name:<24}{median * 1000:8.1f} ms{median / base:8.1f} x")


if __name__ == "__main__":
    main()
