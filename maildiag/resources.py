"""Finds what is shipped beside the code: runbook pages and recorded incidents, in a wheel and in a checkout alike."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).parent
_CHECKOUT = _PACKAGE.parent
RUNBOOK = ("runbook", "docs/runbook")
INCIDENTS = ("incidents", "tests/bundles")


def runbook_pages() -> dict[str, Path]:
    """The runbook pages by check id."""
    folder = _folder(*RUNBOOK)
    return {path.stem: path for path in sorted(folder.glob("*.*.md"))} if folder else {}


def incidents() -> dict[str, Path]:
    """The recorded incidents by name: directories with `evidence.jsonl` or `evidence.jsonl.gz`."""
    folder = _folder(*INCIDENTS)
    return {path.parent.name: path for path in sorted(folder.glob("*/evidence.jsonl*"))} if folder else {}


def _folder(shipped: str, source: str) -> Path | None:
    """In an installed wheel the folder lies within the package (hatch_build.py puts it there)."""
    places = (_PACKAGE / shipped, _CHECKOUT / source)
    return next((place for place in places if place.is_dir()), None)
