"""Diffs of a file's lines; of a file that not everybody may read no more than what changes."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator

from maildiag.secrets import is_public

_REST = " (not shown)"
_KEY = re.compile(r"\s*\[?[\w.@*+-]+\]?(?::\d+)?(?=\s)")


def unified(path: str, before: list[str], after: list[str], context: int = 3) -> list[str]:
    """The lines of a unified diff, with `context` lines around each change."""
    return list(difflib.unified_diff(before, after, path, path, n=context, lineterm=""))


def closed(path: str, before: list[str], after: list[str]) -> list[str]:
    """The same of a file that not everybody may read: nothing around a change, and of tables and logins only what differs.

    What stays of a line of these may be a password; main.cf and master.cf name theirs, so that they can be cut.
    """
    found = unified(path, before, after, context=0)
    if not found or is_public(path):
        return found
    return [*found[:2], *(line for hunk in _hunks(found[2:]) for line in _differences(hunk))]


def _hunks(lines: list[str]) -> Iterator[list[str]]:
    """The lines of a diff, divided before each `@@`."""
    starts = [number for number, line in enumerate(lines) if line.startswith("@@")]
    for start, end in zip(starts, [*starts[1:], len(lines)], strict=True):
        yield lines[start:end]


def _differences(hunk: list[str]) -> Iterator[str]:
    head, *rest = hunk
    old, new = ([line[1:] for line in rest if line[:1] == sign] for sign in "-+")
    if len(old) == len(new):
        shown = [_differing(*pair) for pair in zip(old, new, strict=True)]
    else:
        shown = [(_REST, _REST)] * max(len(old), len(new))
    yield head
    yield from (f"-{before}" for before, _ in shown[: len(old)])
    yield from (f"+{after}" for _, after in shown[: len(new)])


def _differing(old: str, new: str) -> tuple[str, str]:
    """What differs of two lines; a first word that differs, the key of a table, is shown whole."""
    start = _alike(old, new)
    if start < max(_first_word(old), _first_word(new)):
        end = _from_a_blank(old, _alike(old[::-1], new[::-1]))
        return _part(old, 0, end), _part(new, 0, end)
    end = _alike(old[start:][::-1], new[start:][::-1])
    return _part(old, start, end), _part(new, start, end)


def _alike(one: str, other: str) -> int:
    """How many characters two texts begin with alike."""
    differs = (number for number, pair in enumerate(zip(one, other, strict=False)) if pair[0] != pair[1])
    return next(differs, min(len(one), len(other)))


def _first_word(line: str) -> int:
    """Where the first word of the line ends, where it is the key of a table; else 0."""
    found = _KEY.match(line)
    return found.end() if found else 0


def _from_a_blank(line: str, end: int) -> int:
    """`end` unchanged characters, fewer where they would begin within a word."""
    blank = re.search(r"\s", line[len(line) - end :])
    return end - blank.start() if blank else 0


def _part(line: str, start: int, end: int) -> str:
    return f"{_REST if start else ''}{line[start : len(line) - end]}{_REST if end else ''}"
