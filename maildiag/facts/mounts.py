"""The mounted file systems and how they are mounted."""

from __future__ import annotations

import re

from maildiag.asking import Ask
from maildiag.probes import ReadFile
from maildiag.records import dataclass
from maildiag.registry import begins

# The host's mounts as init sees them: a unit with a sandbox sees its own.
MOUNTS = ReadFile("/proc/1/mounts")
_OCTAL = re.compile(r"\\(\d{3})")


@dataclass(frozen=True, slots=True)
class Mount:
    """One mount: its directory, the kind of its file system, and its options."""

    path: str
    kind: str
    options: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Mounts:
    """All of them, in the order in which they were mounted."""

    all: tuple[Mount, ...]

    def of(self, path: str) -> Mount | None:
        """The mount that a path without symbolic links lies on: the deepest, and of equal ones the last, which hides the others."""
        over = [each for each in self.all if f"{path}/".startswith(f"{each.path.rstrip('/')}/")]
        return max(reversed(over), key=lambda each: len(each.path), default=None)


@begins(MOUNTS)
def mounts(ask: Ask) -> Mounts:
    """Read proc_pid_mounts(5)."""
    return Mounts(mounts_in(ask(MOUNTS).text))


def mounts_in(text: str) -> tuple[Mount, ...]:
    """The mounts of a text as fstab(5) has it: blanks and backslashes as octal numbers."""
    lines = [line.split(" ") for line in text.splitlines()]
    return tuple(
        Mount(_OCTAL.sub(lambda found: chr(int(found[1], 8)), words[1]), words[2], tuple(words[3].split(",")))
        for words in lines
        if len(words) > 3
    )
