"""`maildiag history`: earlier runs, the indicators over time, and what changed since it last worked."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from maildiag.cli.errors import OutputError

if TYPE_CHECKING:
    from maildiag.history import PastRun


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `history`."""
    parser.add_argument("-n", "--number", type=int, default=20, metavar="N", help="how many runs (default: 20)")
    parser.add_argument("--json", action="store_true", help="as one JSON array, newest first")


def main(args: argparse.Namespace) -> int:
    """Show the newest runs; the exit status is 0, also where there is none yet."""
    from maildiag import history

    try:
        past = history.runs(most=max(1, args.number))
    except history.HistoryError as error:
        raise OutputError(str(error)) from error
    if args.json:
        print(json.dumps([_document(each) for each in past], indent=2))
        return 0
    if not past:
        print(f"no run is kept yet in {history.place()}; maildiag run keeps each")
        return 0
    _runs(past)
    _trends(past)
    _changes(past)
    return 0


def _document(run: PastRun) -> dict[str, Any]:
    return {
        "started": run.started.isoformat(),
        "host": run.host,
        "status": run.status,
        "headline": run.headline,
        "findings": dict(run.findings),
        "indicators": dict(run.indicators),
    }


def _runs(past: Sequence[PastRun]) -> None:
    from maildiag.cli.terminal import terminal_width
    from maildiag.text import hung

    for each in past:
        line = f"{each.started:%Y-%m-%d %H:%M}  {each.status:<9} {each.headline}"
        print(hung(line, terminal_width(), 28))


def _trends(past: Sequence[PastRun]) -> None:
    """One line for each indicator, oldest first: a picture, then the first, the lowest, the highest and the last value."""
    from maildiag.history import amount, picture, trends

    found = trends(past)
    if found:
        print("\nIndicators, oldest to newest:")
    for name, values in found.items():
        first, last, low, high = (amount(name, each) for each in (values[0], values[-1], min(values), max(values)))
        print(f"  {name:<18} {picture(values)}  {first} -> {last} (from {low} to {high})")


def _changes(past: Sequence[PastRun]) -> None:
    from maildiag.history import change, last_good

    good = last_good(past)
    if good is None or good is past[0]:
        return
    found = change(good, past[0])
    print(f"\nSince it last worked ({good.started:%Y-%m-%d %H:%M} UTC):")
    for key, status in found.came.items():
        print(f"  new      {status:<9} {key}")
    for key, (before, after) in found.turned.items():
        print(f"  changed  {after:<9} {key} (was {before})")
    for key, status in found.went.items():
        print(f"  gone     {status:<9} {key}")
