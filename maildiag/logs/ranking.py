"""Tables of the report sorted and cut: the most frequent first, equal ones by name, so that equal logs give equal reports."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from heapq import nlargest
from typing import Any

from maildiag.logs.rows import Counted
from maildiag.text import safe


def shown(raw: str) -> str:
    """Return a piece of a log (latin-1 text of any bytes) as text that is safe to print."""
    return safe(raw if raw.isascii() else raw.encode("latin-1", "replace").decode("utf-8", "replace"))


def heaviest(names: Collection[str], weights: Collection[float], limit: int | None) -> list[str]:
    """The names of most weight, equal ones in order of name. Only those that may be among them are sorted by name."""
    least = nlargest(limit, weights)[-1] if limit is not None and len(weights) > limit else None
    pairs = [(-weight, name) for name, weight in zip(names, weights, strict=True) if least is None or weight >= least]
    return [name for _, name in sorted(pairs)][:limit]


def ranked(counter: Mapping[Any, int]) -> list[tuple[Any, int]]:
    """What was counted, the most frequent first, equal ones by name."""
    return sorted(counter.items(), key=lambda item: (-item[1], item[0]))


def counted(counter: Mapping[str, int], limit: int | None) -> tuple[Counted, ...]:
    """The most frequent as rows, those that were never counted left out."""
    names = heaviest(counter.keys(), counter.values(), limit)
    return tuple(Counted(shown(name) or "(unknown)", counter[name]) for name in names if counter[name])
