"""Regular expressions that are compiled when they are first needed: a command meets few of them, and all would be half its start."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache, partial


@cache
def compiled(pattern: str) -> re.Pattern[str]:
    """Return the pattern compiled, once; for rows of tables."""
    return re.compile(pattern)


def later(pattern: str, flags: int = 0) -> Callable[[], re.Pattern[str]]:
    """Return what gives the pattern, compiled at its first call; for constants of modules."""
    return cache(partial(re.compile, pattern, flags))
