"""Rows and lines as the screens show them: text in parts, each with the tone it is said in; nothing here is markup."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import StrEnum

from maildiag.model import Status
from maildiag.records import dataclass
from maildiag.text import safe

_AROUND = 2  # the marks of the cursor and of the scroll bar


class Tone(StrEnum):
    """How a part is said; a tone never carries meaning that the words do not."""

    PLAIN = "plain"
    DIM = "dim"
    STRONG = "strong"
    TITLE = "title"
    CODE = "code"
    GOOD = "good"
    NOTE = "note"
    WARN = "warn"
    BAD = "bad"
    ASK = "ask"


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of a row in one tone."""

    text: str
    tone: Tone = Tone.PLAIN


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a list; `key` names what it stands for and survives a refresh."""

    key: str
    parts: tuple[Part, ...]

    @property
    def text(self) -> str:
        """The row as plain text."""
        return "".join(part.text for part in self.parts)

    @property
    def rule(self) -> bool:
        """True for a heading, whose rule ends where the screen does."""
        return self.key.startswith("caption:")


STATUS_WORDS: dict[Status, str] = {
    Status.OK: "ok",
    Status.NOTICE: "note",
    Status.WARNING: "WARN",
    Status.CRITICAL: "CRIT",
    Status.UNKNOWN: "????",
    Status.SKIPPED: "skip",
}
STATUS_TONES: dict[Status, Tone] = {
    Status.OK: Tone.GOOD,
    Status.NOTICE: Tone.NOTE,
    Status.WARNING: Tone.WARN,
    Status.CRITICAL: Tone.BAD,
    Status.UNKNOWN: Tone.ASK,
    Status.SKIPPED: Tone.DIM,
}


def word(status: Status) -> Part:
    """The status as a word of four columns, in its tone."""
    return Part(f"{STATUS_WORDS[status]:<4}", STATUS_TONES[status])


def row(key: str, *parts: Part | str) -> Row:
    """A row of parts; plain strings are plain parts."""
    return Row(key, tuple(part if isinstance(part, Part) else Part(part) for part in parts))


def caption(text: str, width: int = 400) -> Row:
    """A heading with a rule behind it."""
    return row(
        f"caption:{text}", Part("── ", Tone.DIM), Part(text.upper(), Tone.TITLE), Part(" " + "─" * width, Tone.DIM)
    )


def lines(key: str, text: str, tone: Tone = Tone.PLAIN, indent: str = " ") -> Iterable[Row]:
    """Untrusted text of several lines as rows, made safe."""
    for number, line in enumerate(text.split("\n")):
        yield row(f"{key}:{number}", indent, Part(safe(line), tone))


def wrapped(key: str, text: str, width: int, tone: Tone = Tone.PLAIN, indent: str = " ") -> Iterable[Row]:
    """Prose wrapped to `width` columns, as rows."""
    import textwrap

    number, room = 0, max(20, width - len(indent) - _AROUND)
    for paragraph in text.split("\n"):
        for line in textwrap.wrap(safe(paragraph), room, break_on_hyphens=False) or [""]:
            yield row(f"{key}:{number}", indent, Part(line, tone))
            number += 1


def broken(key: str, text: str, width: int, tone: Tone = Tone.PLAIN, indent: str = "   ") -> Iterable[Row]:
    """Untrusted text of several lines, each broken at `width` columns and not a letter of it lost."""
    import textwrap

    room = max(20, width - len(indent) - _AROUND)
    for number, line in enumerate(text.split("\n")):
        parts = textwrap.wrap(safe(line), room - 2, break_on_hyphens=False, drop_whitespace=False) or [""]
        for place, part in enumerate(parts):
            yield row(
                f"{key}:{number}" if not place else f"{key}:{number}+{place}",
                indent,
                "  " if place else "",
                Part(part, tone),
            )


def plain(rows: Sequence[Row]) -> str:
    """Rows as text, for export, copying, and the screen reader."""
    return "\n".join(each.text.rstrip("─").rstrip() for each in rows)
