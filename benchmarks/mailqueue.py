"""How maildiag groups a large queue, beside postqueue itself: `python benchmarks/mailqueue.py`.

On a host with Postfix and messages in its queue, `postqueue -j` and `maildiag queue --json` are run in turn and the
medians compared (at most 2). Everywhere, a million generated entries are grouped, and the memory is measured (at most
100 MB). The entries are written as `postqueue -j` writes them; a test compares their fields with recorded ones.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

ROOT = Path(__file__).parent.parent
LIMIT_RATIO, LIMIT_MB = 2.0, 100
ENVIRONMENT = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'checks'}", "LC_ALL": "C"}
NOW = 1_795_000_000
# What delivery agents leave as `delay_reason` (wordings of the log generator, recorded from real servers).
_REASONS = (
    "connect to mx{n}.{domain}[198.51.100.{n}]:25: Connection timed out",
    "connect to mx{n}.{domain}[198.51.100.{n}]:25: Connection refused",
    "host mx{n}.{domain}[198.51.100.{n}] said: 450 4.2.0 <{to}>: Recipient address rejected: Greylisted (in reply to RCPT TO command)",
    "Host or domain name not found. Name service error for name={domain} type=MX: Host not found, try again",
    "delivery temporarily suspended: connect to mx{n}.{domain}[198.51.100.{n}]:25: No route to host",
)


def entries(count: int, seed: int = 1) -> Iterator[str]:
    """Yield lines of `postqueue -j`; no two have the same recipient."""
    pick = random.Random(seed)
    for number in range(count):
        domain, to = f"corp{pick.randrange(2000)}.example", f"user{number}"
        to = f"{to}@{domain}"
        reason = pick.choice(_REASONS).format(n=pick.randrange(1, 250), domain=domain, to=to)
        yield json.dumps(
            {
                "queue_name": "active" if number % 50 == 0 else "deferred",
                "queue_id": f"{number:05X}{0x180000 + number:06X}",
                "arrival_time": NOW - pick.randrange(5 * 86400),
                "message_size": int(pick.lognormvariate(9, 1.4)),
                "forced_expire": False,
                "sender": f"app{pick.randrange(5000)}@example.domain",
                "recipients": [{"address": to} if number % 50 == 0 else {"address": to, "delay_reason": reason}],
            }
        )


def group_generated(count: int) -> None:
    """Group generated entries in this process and print its peak memory in MB and the seconds of processor."""
    import resource

    from maildiag.queue.entries import read_json
    from maildiag.queue.grouping import group

    grouped = group(read_json(sys.stdin), NOW)
    if grouped.total != count:
        raise SystemExit(f"{grouped.total} of {count} entries were counted")
    used = resource.getrusage(resource.RUSAGE_SELF)
    print(f"{used.ru_maxrss / 1024:.0f} {used.ru_utime + used.ru_stime:.1f}")


def memory(count: int) -> bool:
    """Group `count` entries in a process of its own, fed through a pipe as by postqueue."""
    command = [sys.executable, __file__, "--group", str(count)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=ENVIRONMENT, text=True)
    assert process.stdin is not None
    process.stdin.writelines(f"{line}\n" for line in entries(count))
    said, _ = process.communicate()
    peak, seconds = said.split()
    good = process.returncode == 0 and int(peak) <= LIMIT_MB
    print(
        f"{count:,} generated entries: {peak} MB (limit {LIMIT_MB}), {seconds} s of processor  {'ok' if good else 'TOO MUCH'}"
    )
    return good


def run(command: Sequence[str]) -> float:
    """Seconds that a command takes; raises if it fails."""
    begin = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.PIPE, env=ENVIRONMENT)
    return time.perf_counter() - begin


def ratio(runs: int) -> bool:
    """Compare with postqueue on the queue of this host."""
    listed = subprocess.run(["postqueue", "-j"], check=True, capture_output=True).stdout.count(b"\n")
    ours = (sys.executable, "-m", "maildiag", "queue", "--json")
    times = [(run(("postqueue", "-j")), run(ours)) for _ in range(runs)]
    found = statistics.median(mine / its for its, mine in times)
    good = found <= LIMIT_RATIO
    its, mine = (statistics.median(pair[side] for pair in times) for side in (0, 1))
    print(
        f"{listed:,} messages: postqueue -j {its:.2f} s, maildiag queue {mine:.2f} s, ratio {found:.2f} (limit {LIMIT_RATIO})"
    )
    return good


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--entries", type=int, default=1_000_000)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--group", type=int, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.group:
        group_generated(args.group)
        return 0
    good = memory(args.entries)
    if shutil.which("postqueue"):
        good = ratio(args.runs) and good
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
