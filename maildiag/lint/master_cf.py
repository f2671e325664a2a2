"""master.cf as text: its services with their lines, fields and `-o` options. Source: master(5)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Protocol

from maildiag.lint.lines import Logical, Physical, is_comment, logical_lines
from maildiag.records import dataclass

TYPES = ("inet", "unix", "fifo", "pass", "unix-dgram")


@dataclass(frozen=True, slots=True)
class Override:
    """An `-o name=value` of a service, and the line it stands on."""

    name: str
    value: str
    line: int


_OF_TRANSPORTS = re.compile(r"transports?(_maps)?$|content_filter$|_filter$")


class Named(Protocol):
    """Anything with a value that may name a service."""

    @property
    def name(self) -> str:
        """The parameter."""

    @property
    def value(self) -> str:
        """The value as Postfix takes it."""


@dataclass(frozen=True, slots=True)
class Service:
    """A service entry: the eight fields of master(5) and its `-o` options."""

    name: str
    type: str
    private: str
    unprivileged: str
    chroot: str
    wakeup: str
    limit: str
    command: str
    arguments: tuple[str, ...]
    overrides: tuple[Override, ...]
    logical: Logical

    @property
    def key(self) -> str:
        """`smtp/inet`, as postconf names it."""
        return f"{self.name}/{self.type}"

    @property
    def line(self) -> int:
        """Number of the first line."""
        return self.logical.first

    def override(self, name: str) -> str | None:
        """The value of an `-o` option, or None."""
        return next((each.value for each in reversed(self.overrides) if each.name == name), None)

    @property
    def account(self) -> str:
        """The `user=` of pipe(8) and spawn(8), "" where there is none."""
        return next((word[5:].partition(":")[0] for word in self.arguments if word.startswith("user=")), "")

    @property
    def program(self) -> str:
        """The program behind `argv=` of pipe(8) and spawn(8), "" where there is none."""
        return next((word[5:] for word in self.arguments if word.startswith("argv=")), "")

    def used(self, settings: Iterable[Named]) -> bool:
        """True where a value names the service as a transport (`name`, `name:next hop`) or by its socket (`private/name`).

        A bare `name` is a transport in settings of transports only: elsewhere it is a group, an account, a host.
        """
        name = re.escape(self.name)
        named = re.compile(rf"(^|[\s,=])({name}:|unix:private/{name}\b)")
        bare = re.compile(rf"(^|[\s,=]){name}$")
        return any(
            named.search(each.value) or (_OF_TRANSPORTS.search(each.name) and bare.search(each.value))
            for each in settings
        )

    def chrooted(self, default: bool = False) -> bool:
        """True where the daemon runs in the queue directory; `-` means `default` (no since Postfix 3.0)."""
        return self.chroot == "y" or (self.chroot == "-" and default)


@dataclass(frozen=True, slots=True)
class BadEntry:
    """A logical line that is no service entry, and what Postfix says of it; master(8) then refuses to start."""

    logical: Logical
    why: str


@dataclass(frozen=True, slots=True)
class Commented:
    """A service line that is commented out, and the lines of its options behind it."""

    name: str
    type: str
    lines: tuple[Physical, ...]


@dataclass(frozen=True, slots=True)
class MasterCf:
    """The file: services in order, lines that are none, services commented out, stray continuations."""

    path: str
    services: tuple[Service, ...]
    bad: tuple[BadEntry, ...] = ()
    commented: tuple[Commented, ...] = ()
    strays: tuple[Logical, ...] = ()

    def service(self, name: str, type: str = "") -> Service | None:
        """The service of that name (and type), or None."""
        return next((each for each in self.services if each.name == name and type in ("", each.type)), None)

    def running(self, command: str) -> tuple[Service, ...]:
        """The services whose daemon is `command`."""
        return tuple(each for each in self.services if each.command == command)

    @property
    def external(self) -> tuple[Service, ...]:
        """The services that start programs of others: pipe(8) and spawn(8)."""
        return (*self.running("pipe"), *self.running("spawn"))

    @property
    def transports(self) -> frozenset[str]:
        """Names that a transport setting may use: services of the type unix."""
        return frozenset(each.name for each in self.services if each.type == "unix")


def parse_master_cf(path: str, text: str) -> MasterCf:
    """The text of a master.cf. Never raises: what is no entry is kept as `BadEntry`."""
    services: list[Service] = []
    bad: list[BadEntry] = []
    strays: list[Logical] = []
    for logical in logical_lines(text):
        if logical.stray:
            strays.append(logical)
            continue
        fields = _split(logical.text)
        if len(fields) < 8:
            bad.append(BadEntry(logical, "field_count"))
        elif fields[1] not in TYPES:
            bad.append(BadEntry(logical, "type"))
        else:
            services.append(_service(fields, logical))
    return MasterCf(path, tuple(services), tuple(bad), tuple(_commented(text)), tuple(strays))


def _split(text: str) -> list[str]:
    """Words at blanks; `{ … }` groups stay whole (master(5), long form of options)."""
    found: list[str] = []
    depth, word = 0, ""
    for char in text:
        if char.isspace() and depth == 0:
            if word:
                found.append(word)
            word = ""
            continue
        depth += (char == "{") - (char == "}")
        word += char
    return [*found, word] if word else found


def _service(fields: list[str], logical: Logical) -> Service:
    arguments = fields[8:]
    name, kind, private, unprivileged, chroot, wakeup, limit, command = fields[:8]
    return Service(
        name=name,
        type=kind,
        private=private,
        unprivileged=unprivileged,
        chroot=chroot,
        wakeup=wakeup,
        limit=limit,
        command=command,
        arguments=tuple(arguments),
        overrides=tuple(_overrides(arguments, logical)),
        logical=logical,
    )


def _overrides(arguments: list[str], logical: Logical) -> Iterator[Override]:
    for position, word in enumerate(arguments):
        text = ""
        if word == "-o" and position + 1 < len(arguments):
            text = arguments[position + 1]
        elif word.startswith("-o") and len(word) > 2:
            text = word[2:]
        if text.startswith("{") and text.endswith("}"):
            text = text[1:-1].strip()
        name, equals, value = text.partition("=")
        if equals:
            yield Override(name.strip(), value.strip(), _line_of(name, logical))


def _line_of(name: str, logical: Logical) -> int:
    return next((line.number for line in logical.lines if f"{name}=" in line.text.replace(" ", "")), logical.first)


def _commented(text: str) -> Iterator[Commented]:
    """Service lines behind a `#`, with the indented option lines that belong to them."""
    lines = [Physical(number, line) for number, line in enumerate(text.split("\n"), 1)]
    for index, line in enumerate(lines):
        fields = line.text.lstrip("#").split()
        if line.text.startswith("#") and not line.text[1:2].isspace() and len(fields) >= 8 and fields[1] in TYPES:
            yield Commented(fields[0], fields[1], (line, *_options_behind(lines[index + 1 :])))


def _options_behind(lines: list[Physical]) -> Iterator[Physical]:
    for line in lines:
        body = line.text.lstrip("#")
        if not (is_comment(line.text) and line.text.startswith("#") and body[:1].isspace() and body.strip()):
            return
        if not body.strip().startswith(("-o", "flags=", "user=", "argv=")):
            return
        yield line
