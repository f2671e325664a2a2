"""What a linter found: a problem at a line, how bad it is, and the edit that cures it."""

from __future__ import annotations

from maildiag.lint.lines import Place
from maildiag.model import Confidence, Status
from maildiag.records import dataclass


@dataclass(frozen=True, slots=True)
class SetParameter:
    """`postconf -e name=value`."""

    name: str
    value: str


@dataclass(frozen=True, slots=True)
class DropParameter:
    """`postconf -X name`: remove the parameter from main.cf, so that its default counts."""

    name: str


@dataclass(frozen=True, slots=True)
class RenameParameter:
    """`postconf -X old` and `postconf -e new=value`."""

    old: str
    new: str
    value: str


@dataclass(frozen=True, slots=True)
class ReplaceLine:
    """Put `text` in the place of line `number` of `path`."""

    path: str
    number: int
    text: str


@dataclass(frozen=True, slots=True)
class RemoveLine:
    """Delete line `number` of `path`."""

    path: str
    number: int


@dataclass(frozen=True, slots=True)
class CommentLine:
    """Put `#` before line `number` of `path`."""

    path: str
    number: int


@dataclass(frozen=True, slots=True)
class InsertLine:
    """Insert `text` behind line `number` of `path`."""

    path: str
    number: int
    text: str


@dataclass(frozen=True, slots=True)
class SetService:
    """`postconf -M name/type="entry"`: put a master.cf service in place (`entry` is its whole line)."""

    name: str
    type: str
    entry: str


@dataclass(frozen=True, slots=True)
class SetField:
    """`postconf -F name/type/field=value`: change one field of a master.cf service."""

    name: str
    type: str
    field: str
    value: str


@dataclass(frozen=True, slots=True)
class SetOverride:
    """`postconf -P name/type/parameter=value`: set a `-o` option of a master.cf service."""

    name: str
    type: str
    parameter: str
    value: str


@dataclass(frozen=True, slots=True)
class DropOverride:
    """`postconf -PX name/type/parameter`: remove a `-o` option of a master.cf service."""

    name: str
    type: str
    parameter: str


Edit = (
    SetParameter
    | DropParameter
    | RenameParameter
    | ReplaceLine
    | RemoveLine
    | CommentLine
    | InsertLine
    | SetService
    | SetField
    | SetOverride
    | DropOverride
)


@dataclass(frozen=True, slots=True)
class Repair:
    """Edits that cure a problem, in words and as data.

    `certain`: the result is what the author meant, beyond doubt. `restart`: a reload is not enough (inet_interfaces and
    the other parameters that master(8) reads only at its start).
    """

    title: str
    edits: tuple[Edit, ...]
    certain: bool = False
    restart: bool = False
    why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """A fault in a configuration file.

    `kind` is a stable word for tests and data; `subject` names the parameter or service; `place` is where it stands.
    """

    kind: str
    subject: str
    status: Status
    title: str
    place: Place
    detail: str = ""
    repairs: tuple[Repair, ...] = ()
    confidence: Confidence = Confidence.CERTAIN


def emptied(path: str, title: str, text: str) -> Problem:
    """A file of Postfix's that was cut short while the disk was full, or overwritten; `text` says what it lacks."""
    name = path.rpartition("/")[2]
    return Problem(
        kind="empty",
        subject=name,
        status=Status.CRITICAL,
        title=title,
        detail=f"Restore it from a backup, or from the distribution: /usr/share/postfix/{name}.dist on Debian, `rpm -V postfix` and "
        "the package on Red Hat.",
        place=Place(path, text=text),
    )
