"""Tables of the report sorted and cut: the most frequent first, equal ones by name, so that equal logs give equal reports."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from heapq import nlargest
from itertools import compress, repeat
from operator import le
from typing import Any, TypeVar

from maildiag.logs.rows import Counted
from maildiag.text import safe

T = TypeVar("T")


def shown(raw: str) -> str:
    """Return a piece of a log (latin-1 text of any bytes) as text that is safe to print."""
    return safe(raw if raw.isascii() else raw.encode("latin-1", "replace").decode("utf-8", "replace"))


def heaviest(names: Collection[str], weights: Collection[float], limit: int | None) -> list[str]:
    """The names of most weight, equal ones in order of name. Only those that may be among them are sorted by name."""
    return [name for _, name in sorted([(-weight, name) for name, weight in heavy(names, weights, limit)])][:limit]


def heavy(things: Collection[T], weights: Collection[float], limit: int | None) -> Iterable[tuple[T, float]]:
    """Those that may be among the `limit` of most weight, with their weights: all of the least such weight too."""
    pairs = zip(things, weights, strict=True)
    if limit is None or len(weights) <= limit:
        return pairs
    least = nlargest(limit, weights)[-1]
    return compress(pairs, map(le, repeat(least), weights))


def ranked(counter: Mapping[Any, int]) -> list[tuple[Any, int]]:
    """What was counted, the most frequent first, equal ones by name."""
    return sorted(counter.items(), key=lambda item: (-item[1], item[0]))


def counted(counter: Mapping[str, int], limit: int | None) -> tuple[Counted, ...]:
    """The most frequent as rows, those that were never counted left out."""
    names = heaviest(counter.keys(), counter.values(), limit)
    return tuple(Counted(shown(name) or "(unknown)", counter[name]) for name in names if counter[name])
