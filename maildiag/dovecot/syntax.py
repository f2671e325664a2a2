"""One Dovecot configuration file as statements with their lines, read as tolerantly as its mistakes require."""

from __future__ import annotations

import re
from collections.abc import Iterator

from maildiag.records import dataclass


@dataclass(frozen=True, slots=True)
class Place:
    """A line of a file; `file` is empty for what a program printed, `line` is 0 where only the file is known."""

    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}" if self.line else self.file


@dataclass(frozen=True, slots=True)
class Assign:
    """`name = value`, or `name += value`; `raw` is the line as it stands in the file."""

    place: Place
    name: str
    value: str
    raw: str


@dataclass(frozen=True, slots=True)
class Open:
    """`kind name {`, with the column where it begins."""

    place: Place
    kind: str
    name: str
    column: int
    raw: str


@dataclass(frozen=True, slots=True)
class Close:
    """`}`, with its column."""

    place: Place
    column: int


@dataclass(frozen=True, slots=True)
class Include:
    """`!include pattern`; `required` is false for `!include_try`."""

    place: Place
    pattern: str
    required: bool
    raw: str


@dataclass(frozen=True, slots=True)
class Junk:
    """A line that is none of the above: Dovecot stops at it with "Expecting '{'"."""

    place: Place
    raw: str


Statement = Assign | Open | Close | Include | Junk

_ASSIGN = re.compile(r"(?P<name>[^\s={}]+)\s*\+?=\s*(?P<value>.*)$")
_OPEN = re.compile(r"(?P<kind>[^\s={}]+)(?:\s+(?P<name>\"[^\"]*\"|[^{]*?))?\s*\{\s*(?P<rest>.*)$")
_INCLUDE = re.compile(r"!include(?P<try>_try)?\s+(?P<pattern>\S.*)$")


def parse(text: str, file: str = "") -> Iterator[Statement]:
    """The statements of a configuration file, or of what doveconf(1) prints.

    Follows config_parse_line() of Dovecot: `#` at the start or behind white space begins a comment unless quoted, a
    backslash at the end of a line continues it.
    """
    for number, raw, line in _lines(text):
        yield from _statements(Place(file, number), raw, line)


def _lines(text: str) -> Iterator[tuple[int, str, str]]:
    """(number of the first line, that line as it stands, the joined line without comment) of all that say something."""
    held, first, raw = "", 0, ""
    for number, each in enumerate(text.splitlines(), 1):
        if not held:
            first, raw = number, each
        body = _without_comment(each)
        if body.endswith("\\") and not each.lstrip().startswith("#"):
            held += body[:-1].rstrip() + " "
            continue
        line, held = held + (body.lstrip() if held else body), ""
        if line.strip():
            yield first, raw, line
    if held.strip():
        yield first, raw, held


def _without_comment(line: str) -> str:
    quote = ""
    for at, letter in enumerate(line):
        if quote:
            if letter == quote and line[at - 1] != "\\":
                quote = ""
        elif letter in "\"'" and (at == 0 or line[at - 1] in " \t="):
            quote = letter
        elif letter == "#" and (at == 0 or line[at - 1] in " \t"):
            return line[:at].rstrip()
    return line.rstrip()


def _statements(place: Place, raw: str, line: str) -> Iterator[Statement]:
    body = line.strip()
    column = len(line) - len(line.lstrip())
    if body.startswith("}"):
        yield Close(place, column)
        if body[1:].strip():
            yield from _statements(place, raw, body[1:])
    elif match := _INCLUDE.match(body):
        yield Include(place, _unquoted(match["pattern"]), not match["try"], raw)
    elif match := _ASSIGN.match(body):
        yield Assign(place, match["name"], _unquoted(match["value"]), raw)
    elif match := _OPEN.match(body):
        yield Open(place, match["kind"], _unquoted(match["name"] or ""), column, raw)
        if match["rest"]:
            yield from _statements(place, raw, match["rest"])
    else:
        yield Junk(place, raw)


def _unquoted(value: str) -> str:
    value = value.strip()
    if len(value) > 1 and value[0] in "\"'" and value[-1] == value[0]:
        return value[1:-1].replace('\\"', '"').replace("\\\\", "\\")
    return value
