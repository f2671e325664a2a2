"""`maildiag checks`: what is checked, by step."""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING, Any

from maildiag.cli.terminal import terminal_width
from maildiag.model import Step
from maildiag.text import columns

if TYPE_CHECKING:
    from maildiag.registry import Check


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `checks`."""
    parser.add_argument("--json", action="store_true", help="as one JSON array")


def main(args: argparse.Namespace) -> int:
    """List every check; plug-ins that could not be loaded are told too."""
    from maildiag import registry

    found = registry.load()
    if args.json:
        print(json.dumps([_document(each) for each in found.select()], indent=2))
        return 0
    for step in Step:
        print(f"{step.number} {step}")
        for line in columns(((each.id, each.asks) for each in found.select([step])), terminal_width(), indent=2):
            print(line)
    for broken in found.broken:
        print(f"not loaded: {broken.name}: {broken.why}")
    return 0


def _document(check: Check) -> dict[str, Any]:
    return {
        "id": check.id,
        "step": check.step,
        "asks": check.asks,
        "roles": sorted(check.roles),
        "explained_by": list(check.explained_by),
        "facts": [need.fact.__name__ for need in check.needs],
        "module": check.module,
    }
