"""Several edits of Dovecot's files as commands that hold together: from the last line to the first, so no number shifts."""

from __future__ import annotations

from collections.abc import Iterable

from maildiag.dovecot.syntax import Place
from maildiag.edits import Argv, comment_line, insert_after, replace_line
from maildiag.records import dataclass


@dataclass(frozen=True, slots=True)
class Edit:
    """Put `lines` in the place of one line; no lines: comment it out."""

    place: Place
    lines: tuple[str, ...] = ()

    def argvs(self) -> tuple[Argv, ...]:
        """The commands, in order."""
        file, line = self.place.file, self.place.line
        if not self.lines:
            return (comment_line(file, line),)
        more = tuple(insert_after(file, line, each or "#") for each in reversed(self.lines[1:]))
        return (replace_line(file, line, self.lines[0]), *more)


def commands(edits: Iterable[Edit]) -> tuple[Argv, ...]:
    """The commands of all the edits; of several for one line the first holds."""
    first: dict[Place, Edit] = {}
    for each in edits:
        first.setdefault(each.place, each)
    ordered = sorted(first.values(), key=lambda each: (each.place.file, -each.place.line))
    return tuple(argv for each in ordered for argv in each.argvs())


def files(edits: Iterable[Edit]) -> tuple[str, ...]:
    """The files that the edits touch, each once."""
    return tuple(dict.fromkeys(each.place.file for each in edits))
