"""Logical lines of main.cf, master.cf and table sources, joined as Postfix joins them: readlline(3)."""

from __future__ import annotations

from collections.abc import Iterator

from maildiag.records import dataclass

_BLANKS = " \t\r\v\f\n"


@dataclass(frozen=True, slots=True)
class Physical:
    """A line of the file: its number from 1, and its text without the newline."""

    number: int
    text: str


@dataclass(frozen=True, slots=True)
class Place:
    """Lines of a file (`line` to `last`, from 1; 0 for what is missing from it), and what they say, numbered."""

    path: str
    line: int = 0
    last: int = 0
    text: str = ""

    def __str__(self) -> str:
        return f"{self.path}:{self.line}" if self.line else self.path


@dataclass(frozen=True, slots=True)
class Logical:
    """A logical line: the physical lines that make it up, comments and blank lines between them left out."""

    lines: tuple[Physical, ...]

    @property
    def first(self) -> int:
        """Number of the first physical line."""
        return self.lines[0].number

    @property
    def last(self) -> int:
        """Number of the last physical line."""
        return self.lines[-1].number

    @property
    def text(self) -> str:
        """The joined text, as Postfix sees it."""
        return "".join(line.text for line in self.lines)

    @property
    def stray(self) -> bool:
        """True where the line starts with white space and continues nothing: Postfix ignores it with a warning."""
        return self.lines[0].text[:1] in _BLANKS

    def at(self, path: str) -> Place:
        """Where it stands in the file `path`."""
        return Place(path, self.first, self.last, self.shown())

    def shown(self, most: int = 6) -> str:
        """The physical lines with their numbers, for evidence."""
        told = [f"{line.number}: {line.text}" for line in self.lines[:most]]
        return "\n".join([*told, "…"] if len(self.lines) > most else told)


def is_comment(text: str) -> bool:
    """True for what Postfix passes over: blank lines, and lines whose first character that is no blank is `#`."""
    return text.strip(_BLANKS)[:1] in ("", "#")


def logical_lines(text: str) -> Iterator[Logical]:
    """The logical lines of a file: a line that starts with white space continues the one before it, even across comments."""
    pending: list[Physical] = []
    for number, line in enumerate(text.split("\n"), 1):
        if is_comment(line):
            continue
        if pending and line[:1] not in _BLANKS:
            yield Logical(tuple(pending))
            pending = []
        pending.append(Physical(number, line))
    if pending:
        yield Logical(tuple(pending))
