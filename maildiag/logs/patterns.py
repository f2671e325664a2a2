"""Regular expressions that are compiled when they are first needed: a command meets few of them, and all would be half its start."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache, partial


@cache
def compiled(pattern: str) -> re.Pattern[str]:
    """Return the pattern compiled, once; for rows of tables."""
    return re.compile(pattern)


def search(pattern: str, text: str) -> re.Match[str] | None:
    """Return where the pattern is found in the text; it is compiled only if the text has a word that it cannot do without."""
    words = needed(pattern)
    if words and not any(word in text for word in words):
        return None
    return compiled(pattern).search(text)


@cache
def needed(pattern: str) -> tuple[str, ...]:
    """Return one word of each alternative of a pattern: a text without any of them does not match.

    Nothing where an alternative has no word of three characters outside its groups. Patterns have no flags of their own.
    """
    words, best, run, depth = [], "", "", 0
    for token in (*_TOKENS.findall(pattern), "|"):
        escaped = token[0] == "\\" and not token[-1].isalnum()
        if depth == 0 and (escaped or (len(token) == 1 and token not in "|()*+?.^$")):
            run += token[-1]
            continue
        best = max(best, run[:-1] if token[0] in "*+?{" else run, key=len)
        run = ""
        depth += (token[0] == "(") - (token == ")")
        if token == "|" and depth == 0:
            if len(best) < _SHORTEST:
                return ()
            words.append(best)
            best = ""
    return tuple(words)


_TOKENS = re.compile(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|\(\?(?:P<\w+>|[:=!]|<[=!])|\{[\d,]+\}|.", re.DOTALL)
_SHORTEST = 3


def later(pattern: str, flags: int = 0) -> Callable[[], re.Pattern[str]]:
    """Return what gives the pattern, compiled at its first call; for constants of modules."""
    return cache(partial(re.compile, pattern, flags))
