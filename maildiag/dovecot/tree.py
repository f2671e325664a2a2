"""Dovecot's settings with the sections they stand in and the line they come from."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from maildiag.dovecot.syntax import Assign, Close, Include, Junk, Open, Place, Statement, parse
from maildiag.records import dataclass


@dataclass(frozen=True, slots=True)
class Section:
    """`kind name { … }` at a place, inside other sections (outermost first)."""

    kind: str
    name: str
    place: Place
    within: tuple[Section, ...] = ()

    @property
    def label(self) -> str:
        """`service auth`, `plugin`."""
        return f"{self.kind} {self.name}".strip()


@dataclass(frozen=True, slots=True)
class Setting:
    """One assignment."""

    name: str
    value: str
    place: Place
    within: tuple[Section, ...] = ()
    raw: str = ""

    @property
    def full_name(self) -> str:
        """The name as 2.4 knows it outside of its section: `cert_file` in `ssl_server { }` is `ssl_server_cert_file`."""
        if not self.within:
            return self.name
        kind = self.within[-1].kind
        return self.name if self.name.startswith(f"{kind}_") else f"{kind}_{self.name}"


@dataclass(frozen=True, slots=True)
class Unbalanced:
    """A brace that is missing for the section at `place`, or one too many (then `section` is None)."""

    place: Place
    section: Section | None


Path = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Tree:
    """All settings and sections in the order in which Dovecot reads them: the last assignment wins."""

    settings: tuple[Setting, ...] = ()
    sections: tuple[Section, ...] = ()
    junk: tuple[Junk, ...] = ()
    unbalanced: tuple[Unbalanced, ...] = ()
    includes: tuple[Include, ...] = ()
    split: tuple[tuple[Junk, Junk], ...] = ()

    def find(self, name: str, *path: tuple[str, str]) -> Setting | None:
        """The assignment that holds for `name` in the section that `path` leads to, as (kind, name) pairs."""
        found = None
        for each in self.settings:
            if each.name == name and _path(each.within) == path:
                found = each
        return found

    def value(self, name: str, *path: tuple[str, str], default: str = "") -> str:
        """The value of `find`, or `default` where there is none."""
        found = self.find(name, *path)
        return default if found is None else found.value

    def named(self, *names: str) -> Iterator[Setting]:
        """Every assignment that means one of these 2.4 names, at top level or abbreviated within its section."""
        for each in self.settings:
            if each.name in names or each.full_name in names:
                yield each

    def under(self, *path: tuple[str, str]) -> tuple[Section, ...]:
        """The sections directly within `path`."""
        return tuple(each for each in self.sections if _path(each.within) == path)

    def of_kind(self, kind: str) -> tuple[Section, ...]:
        """All sections of this kind, wherever they stand."""
        return tuple(each for each in self.sections if each.kind == kind)

    def inside(self, section: Section) -> tuple[Setting, ...]:
        """The settings directly within this one section."""
        return tuple(each for each in self.settings if each.within and each.within[-1] is section)


def _path(within: Iterable[Section]) -> Path:
    return tuple((each.kind, each.name) for each in within)


def tree_of(text: str) -> Tree:
    """The tree of what doveconf(1) printed."""
    return build(parse(text))


def build(statements: Iterable[Statement]) -> Tree:
    """The tree of the statements of one text."""
    builder = Builder()
    for each in statements:
        builder.take(each)
    builder.end_of_file("")
    return builder.tree()


class Builder:
    """Takes statements file by file; each file's braces are balanced on their own, as Dovecot wants them."""

    def __init__(self) -> None:
        self.settings: list[Setting] = []
        self.sections: list[Section] = []
        self.junk: list[Junk] = []
        self.unbalanced: list[Unbalanced] = []
        self.includes: list[Include] = []
        self.split: list[tuple[Junk, Junk]] = []
        self._open: list[tuple[Section, int]] = []
        self._suspects: dict[str, Section] = {}

    def tree(self) -> Tree:
        """What was taken so far."""
        return Tree(
            tuple(self.settings),
            tuple(self.sections),
            tuple(self.junk),
            tuple(self.unbalanced),
            tuple(self.includes),
            tuple(self.split),
        )

    @property
    def _within(self) -> tuple[Section, ...]:
        return tuple(section for section, _ in self._open)

    def take(self, each: Statement) -> None:
        """Add one statement at the place where the reading is."""
        match each:
            case Assign(place, name, value, raw):
                self.settings.append(Setting(name, value, place, self._within, raw))
            case Open(place, kind, name, column, _):
                section = Section(kind, name, place, self._within)
                self.sections.append(section)
                self._open.append((section, column))
            case Close():
                self._close(each)
            case Include():
                self.includes.append(each)
            case Junk(raw=raw) if raw.strip() == "{" and self.junk:
                self._brace_below(each)
            case Junk():
                self.junk.append(each)

    def _brace_below(self, brace: Junk) -> None:
        """A section whose `{` stands on the next line: Dovecot refuses that, and all that is in it is meant as if it were."""
        head = self.junk.pop()
        kind, _, name = head.raw.strip().partition(" ")
        section = Section(kind, name.strip(), head.place, self._within)
        self.split.append((head, brace))
        self.sections.append(section)
        self._open.append((section, len(head.raw) - len(head.raw.lstrip())))

    def _close(self, brace: Close) -> None:
        if not self._open or self._open[-1][0].place.file != brace.place.file:
            self.unbalanced.append(Unbalanced(brace.place, None))
            return
        section, column = self._open.pop()
        outer = [each for each, at in self._open if at == brace.column and each.place.file == brace.place.file]
        if column > brace.column and outer:
            self._suspects.setdefault(brace.place.file, section)

    def end_of_file(self, file: str) -> None:
        """What is still open in this file (every file, where it is empty) lacks its brace; indentation tells which."""
        left = [each for each, _ in self._open if not file or each.place.file == file]
        if left:
            guilty = self._suspects.get(left[-1].place.file, left[-1])
            self.unbalanced.append(Unbalanced(guilty.place, guilty))
        self._open = [(each, at) for each, at in self._open if file and each.place.file != file]
