"""Dovecot's configuration as Dovecot reads it (doveconf(1)) and as it stands in the files, with file and line."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterator
from dataclasses import field
from datetime import datetime
from functools import cached_property
from pathlib import PurePosixPath

from maildiag.asking import Ask
from maildiag.dovecot.refusal import Refusal, parse_refusal
from maildiag.dovecot.syntax import Include, Place, parse
from maildiag.dovecot.tree import Builder, Section, Setting, Tree, tree_of
from maildiag.model import Gap, GapReason, Missing
from maildiag.probes import Command, CommandResult, ListDirectory, ReadFile, command
from maildiag.records import dataclass
from maildiag.registry import begins

MAIN = "/etc/dovecot/dovecot.conf"
_NOT_DEFAULT = command("doveconf", "-n")
_STRICT = Command(("doveconf", "-x", "-n"), discard_stdout=True)
_EVERY = command("doveconf", "-a")
_HEAD = re.compile(r"# (\d[\w.-]*) \(")  # "# 2.3.19.1 (9b53102964): /etc/dovecot/dovecot.conf"
_ASIDE = re.compile(
    r"(?:\.(?:dpkg-(?:dist|new|old|bak)|rpm(?:new|save|orig)|ucf-(?:dist|old)|bak|old|orig|save|disabled)|~)$"
)
_DEPTH = 8
_FILES = 200
SECRETS = (
    r"(?im)^(\s*(?:[\w/.-]*[_/])?(?:password|passwd|dnpass|secret|api_key|hash_nonce|private_key)\s*=\s*)(?!<)\S.*$"
    r"|(?<![\w#])(?:password|passwd|dnpass)=[^\s;,]+"
)


@dataclass(frozen=True, slots=True)
class Dovecot:
    """Dovecot as configured; `text` is what `doveconf -n` printed (it hides passwords), `error` what it refused."""

    installed: bool
    version: str = ""
    text: str = ""
    error: str = ""

    @property
    def generation(self) -> tuple[int, int]:
        """(2, 3), (2, 4), … or (0, 0) where the version could not be told."""
        parts = self.version.split(".")
        return (
            (int(parts[0]), int(parts[1])) if len(parts) > 1 and parts[0].isdigit() and parts[1].isdigit() else (0, 0)
        )

    @property
    def modern(self) -> bool:
        """True for 2.4 and later, whose settings have other names."""
        return self.generation >= (2, 4)


NOT_INSTALLED = Dovecot(installed=False)


@dataclass(frozen=True)
class DovecotConfig:
    """The settings of Dovecot.

    `source` is what the files say, with places; `effective` every setting as Dovecot takes it (`doveconf -a`), or the
    source where Dovecot refuses to read it. `refusal` is the first thing that it refuses, `unreadable` what keeps us
    from telling, `absent` the required includes that match nothing, `known` the names that this version knows (asked
    only where there is a refusal), `changed` when the newest of `files` was changed. `aside` are files beside those that are
    read, which would be read without what was put behind their name, and in whose place there is none.
    """

    version: str
    source: Tree
    effective: Tree
    refusal: Refusal | None = None
    unreadable: tuple[Gap, ...] = ()
    absent: tuple[Include, ...] = ()
    known: frozenset[str] = frozenset()
    files: tuple[str, ...] = ()
    changed: datetime | None = None
    newest: str = ""
    aside: tuple[str, ...] = ()
    lines: dict[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def modern(self) -> bool:
        """True for 2.4 and later."""
        return Dovecot(True, self.version).modern

    def value(self, name: str, default: str = "") -> str:
        """The effective value of a setting at top level."""
        return self.effective.value(name, default=default)

    def yes(self, name: str) -> bool:
        """True where the setting is `yes`."""
        return self.value(name).lower() in ("yes", "y", "1")

    def words(self, name: str) -> tuple[str, ...]:
        """The words of a list; for 2.4 also the names set to `yes` in a section of that name."""
        boxed = [each.name for each in self.effective.settings if _in(each, name) and each.value == "yes"]
        return tuple(boxed) or tuple(re.split(r"[\s,]+", self.value(name).strip())) if self.value(name) or boxed else ()

    def where(self, name: str) -> Place | None:
        """Where in the files the setting gets its value, None where it has its default."""
        found = None
        for each in self.source.named(name):
            found = each.place
        return found

    @cached_property
    def protocols(self) -> tuple[str, ...]:
        """The protocols that are switched on."""
        return tuple(each for each in self.words("protocols") if each != "none")

    def databases(self, kind: str) -> tuple[Database, ...]:
        """The `passdb` or `userdb` sections in their order, however the version writes them."""
        return tuple(_database(self.effective, each) for each in self.effective.of_kind(kind))

    def source_line(self, place: Place) -> str:
        """The line at that place as it stands in the file, or ""."""
        lines = self.lines.get(place.file, ())
        return lines[place.line - 1] if 0 < place.line <= len(lines) else ""


@dataclass(frozen=True, slots=True)
class Database:
    """A passdb or userdb: its driver, 2.3's `args`, its settings by their full 2.4 name, and its place."""

    kind: str
    driver: str
    args: str
    settings: tuple[Setting, ...]
    place: Place

    def get(self, *names: str) -> str:
        """The value of the first of these settings that is set here, or ""."""
        for each in reversed(self.settings):
            if each.name in names or each.full_name in names:
                return each.value
        return ""

    @property
    def masters(self) -> bool:
        """True where its users are master users, who log in as others."""
        return self.get("master", "passdb_master") == "yes"

    @property
    def denies(self) -> bool:
        """True where its users are those who may not log in."""
        return self.get("deny", "passdb_deny") == "yes"

    @property
    def knows_users(self) -> bool:
        """True where ordinary users may be found in it: not of prefetch, which looks nobody up."""
        return not self.masters and not self.denies and self.driver != "prefetch"


def _in(setting: Setting, kind: str) -> bool:
    return len(setting.within) == 1 and setting.within[0].kind == kind


def _database(tree: Tree, section: Section) -> Database:
    settings = tree.inside(section)
    values = {each.name: each.value for each in settings}
    driver = values.get("driver", values.get(f"{section.kind}_driver", section.name))
    return Database(section.kind, driver, values.get("args", ""), settings, section.place)


@begins(_NOT_DEFAULT)
def dovecot(ask: Ask) -> Dovecot:
    """Ask doveconf for the settings that differ from the defaults, and dovecot for its version where that has no head."""
    told = ask.maybe(_NOT_DEFAULT)
    head = _HEAD.match(told.stdout) if isinstance(told, CommandResult) else None
    if head and isinstance(told, CommandResult):
        return Dovecot(True, head[1], told.stdout, told.stderr.strip())
    version = ask.maybe(command("dovecot", "--version"))
    if isinstance(version, Gap):
        if version.reason is GapReason.ABSENT:
            return NOT_INSTALLED
        raise Missing(version)
    if isinstance(told, Gap):
        raise Missing(told)
    if not told.status:
        raise Missing(Gap(GapReason.FAILED, "doveconf -n printed no settings"))
    return Dovecot(True, version.stdout.split(" ")[0].strip(), told.stdout, told.stderr.strip())


@begins(_STRICT, _EVERY, ReadFile(MAIN, hide=SECRETS))
def dovecot_config(ask: Ask, dovecot: Dovecot) -> DovecotConfig:
    """Read Dovecot's files, its effective settings, and whether it would start with them.

    `doveconf -n` succeeds where a certificate is missing; only `doveconf -x -n` opens the files. What that prints on
    standard output holds their contents and is never read.
    """
    if not dovecot.installed:
        raise Missing(Gap(GapReason.ABSENT, "Dovecot is not installed"))
    reading = _Reading(ask)
    reading.read(MAIN)
    source = reading.builder.tree()
    strict, every = ask.all([_STRICT, _EVERY])
    refusal = parse_refusal(strict.stderr) if isinstance(strict, CommandResult) and strict.status else None
    gaps = [*reading.gaps, *([strict] if isinstance(strict, Gap) else [])]
    if isinstance(strict, CommandResult) and strict.status and not refusal:
        gaps.append(Gap(GapReason.FAILED, f"doveconf -x -n ended with status {strict.status} and named no mistake"))
    told = isinstance(every, CommandResult) and every.status == 0 and bool(_HEAD.match(every.stdout))
    return DovecotConfig(
        version=dovecot.version,
        source=source,
        effective=tree_of(every.stdout) if isinstance(every, CommandResult) and told else source,
        refusal=refusal,
        unreadable=tuple(gaps),
        absent=tuple(reading.absent),
        known=_known(ask) if refusal and not refusal.denied else frozenset(),
        files=tuple(reading.lines),
        changed=reading.newest[0] if reading.newest else None,
        newest=reading.newest[1] if reading.newest else "",
        aside=tuple(reading.aside),
        lines=reading.lines,
    )


def _known(ask: Ask) -> frozenset[str]:
    """Every name that this version knows: doveconf(1) lists the defaults even where the files are broken."""
    defaults = ask.maybe(command("doveconf", "-d"))
    if isinstance(defaults, Gap):
        return frozenset()
    return frozenset(each.name for each in tree_of(defaults.stdout).settings if each.name[0].isalpha())


class _Reading:
    """Reads dovecot.conf and what it includes, in the order in which Dovecot does."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask
        self.builder = Builder()
        self.gaps: list[Gap] = []
        self.absent: list[Include] = []
        self.lines: dict[str, tuple[str, ...]] = {}
        self.newest: tuple[datetime, str] | None = None
        self.aside: list[str] = []

    def read(self, path: str, depth: int = 0) -> bool:
        """Read one file; False where there is none."""
        answer = self._ask.maybe(ReadFile(path, hide=SECRETS))
        if isinstance(answer, Gap):
            if answer.reason is not GapReason.ABSENT:
                self.gaps.append(answer)
            return answer.reason is not GapReason.ABSENT
        self.lines[path] = tuple(answer.text.splitlines())
        if self.newest is None or answer.modified > self.newest[0]:
            self.newest = (answer.modified, path)
        for each in parse(answer.text, path):
            self.builder.take(each)
            if isinstance(each, Include) and depth < _DEPTH:
                self._include(each, depth)
        self.builder.end_of_file(path)
        return True

    def _include(self, include: Include, depth: int) -> None:
        pattern = str(PurePosixPath(include.place.file).parent / include.pattern)
        paths = list(self._matching(pattern))[:_FILES]
        for path in paths:
            self._ask.begin(ReadFile(path, hide=SECRETS))
        found = [self.read(path, depth + 1) for path in paths if path not in self.lines and len(self.lines) < _FILES]
        if include.required and not any(found):
            self.absent.append(include)

    def _matching(self, pattern: str) -> Iterator[str]:
        """glob(7) of the last part of a path; a pattern in a directory's name is rare enough to be left to doveconf."""
        path = PurePosixPath(pattern)
        if not re.search(r"[*?\[]", path.name):
            yield pattern
            return
        listing = self._ask.maybe(ListDirectory(str(path.parent)))
        if isinstance(listing, Gap):
            if listing.reason is not GapReason.ABSENT:
                self.gaps.append(listing)
            return
        present = {PurePosixPath(entry.path).name for entry in listing.entries}
        for entry in listing.entries:
            name = PurePosixPath(entry.path).name
            own = _ASIDE.sub("", name)
            if own != name and own not in present and fnmatch.fnmatchcase(own, path.name):
                self.aside.append(entry.path)
            if fnmatch.fnmatchcase(name, path.name) and (not name.startswith(".") or path.name.startswith(".")):
                yield entry.path
