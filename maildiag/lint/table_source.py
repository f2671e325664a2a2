"""Faults in the text of a lookup table: entries without a value, aliases without a colon, comments, duplicates.

Source: postmap(1), aliases(5), access(5), virtual(5).
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from maildiag.lint.lines import Logical, logical_lines
from maildiag.records import dataclass


@dataclass(frozen=True, slots=True)
class BadLine:
    """A line of a table that does not do what it says: its number, its text, why, and what happens to it."""

    number: int
    text: str
    why: str
    skipped: bool


def bad_lines(text: str, aliases: bool, value_is_list: bool = False) -> tuple[BadLine, ...]:
    """The faulty lines of a source; `aliases`: `name: value` as aliases(5), else `key value` as postmap(1).

    `value_is_list`: values are addresses (virtual(5), aliases(5)), where a comment behind one becomes a recipient.
    """
    found: list[BadLine] = []
    keys: dict[str, int] = {}
    for logical in logical_lines(text):
        entry = _alias(logical) if aliases else _entry(logical)
        if isinstance(entry, BadLine):
            found.append(entry)
            continue
        key, value = entry
        if key.lower() in keys:
            why = f"the key {key} is there already, in line {keys[key.lower()]}; this one is ignored"
            found.append(BadLine(logical.first, logical.text.strip(), why, True))
        keys.setdefault(key.lower(), logical.first)
        found += _comment(logical, value, value_is_list)
    return tuple(found)


def _entry(logical: Logical) -> tuple[str, str] | BadLine:
    if logical.stray:
        return BadLine(logical.first, logical.text.strip(), "it begins with a blank and continues nothing", True)
    match = re.match(r'("(?:[^"\\]|\\.)*"\S*|\S+)\s*(.*)', logical.text, re.DOTALL)
    key, value = (match[1], match[2].strip()) if match else (logical.text.strip(), "")
    if not value:
        return BadLine(logical.first, logical.text.strip(), "it has a key without a value, and is left out", True)
    return key, value


def _alias(logical: Logical) -> tuple[str, str] | BadLine:
    if logical.stray:
        return BadLine(logical.first, logical.text.strip(), "it begins with a blank and continues nothing", True)
    key, colon, value = logical.text.partition(":")
    if logical.text.startswith('"'):
        match = re.match(r'("(?:[^"\\]|\\.)*")\s*(:?)(.*)', logical.text, re.DOTALL)
        key, colon, value = (match[1], match[2], match[3]) if match else (logical.text, "", "")
    if not colon or not value.strip():
        return BadLine(logical.first, logical.text.strip(), "it has no `name: value`, and is left out", True)
    return key.strip(), value.strip()


def _comment(logical: Logical, value: str, value_is_list: bool) -> Iterator[BadLine]:
    if value_is_list and re.search(r"\s#", value):
        why = "the comment behind the value is a part of it: its words become recipients"
        yield BadLine(logical.first, logical.text.strip(), why, False)
