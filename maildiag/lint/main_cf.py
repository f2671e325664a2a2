"""main.cf as text: its entries with their lines, and what is not even an entry. Source: postconf(5), split_nameval(3)."""

from __future__ import annotations

import re

from maildiag.lint.lines import Logical, Place, logical_lines
from maildiag.records import dataclass

_NAME = re.compile(r"\s*([^\s=]*)\s*(=?)(.*)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Entry:
    """`name = value` with the lines it stands on; the value as Postfix takes it, blanks at both ends removed."""

    name: str
    value: str
    logical: Logical

    @property
    def line(self) -> int:
        """Number of the first line."""
        return self.logical.first


@dataclass(frozen=True, slots=True)
class Malformed:
    """A logical line that is no entry, and what Postfix says of it; it refuses the whole file."""

    logical: Logical
    why: str


@dataclass(frozen=True, slots=True)
class MainCf:
    """The file: entries in their order (the last of a name counts), lines that are none, and stray continuations."""

    path: str
    entries: tuple[Entry, ...]
    malformed: tuple[Malformed, ...] = ()
    strays: tuple[Logical, ...] = ()

    def entry(self, name: str) -> Entry | None:
        """The entry of that name that counts: the last one."""
        return next((each for each in reversed(self.entries) if each.name == name), None)

    def where(self, name: str) -> str:
        """`/etc/postfix/main.cf:12` for a parameter that the file sets, the file alone for another."""
        found = self.entry(name)
        return f"{self.path}:{found.line}" if found else self.path

    def place(self, entry: Entry | None, otherwise: str = "") -> Place:
        """Where an entry stands; for one that the file does not have, the file alone with `otherwise` as its text."""
        return entry.logical.at(self.path) if entry else Place(self.path, text=otherwise)

    @property
    def names(self) -> frozenset[str]:
        """All names that the file sets."""
        return frozenset(each.name for each in self.entries)


def parse_main_cf(path: str, text: str) -> MainCf:
    """The text of a main.cf. Never raises: what is no entry is kept as `Malformed`."""
    entries: list[Entry] = []
    malformed: list[Malformed] = []
    strays: list[Logical] = []
    for logical in logical_lines(text):
        if logical.stray:
            strays.append(logical)
            continue
        match = _NAME.match(logical.text)
        assert match is not None
        name, equals, value = match.groups()
        if not name:
            malformed.append(Malformed(logical, "missing attribute name"))
        elif not equals:
            malformed.append(Malformed(logical, "missing '=' after attribute name"))
        else:
            entries.append(Entry(name, value.strip(), logical))
    return MainCf(path, tuple(entries), tuple(malformed), tuple(strays))
