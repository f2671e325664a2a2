"""What Dovecot says when it refuses its configuration, with the file and line that it names."""

from __future__ import annotations

import re

from maildiag.dovecot.syntax import Place
from maildiag.records import dataclass

_FATAL = re.compile(
    r"^doveconf: (?:Fatal|Error): Error in configuration file (?P<file>[^\s:]+)(?: line (?P<line>\d+))?: (?P<text>.*)$",
    re.MULTILINE,
)
_OTHER = re.compile(r"^doveconf: (?:Fatal|Error): (?P<text>.*)$", re.MULTILINE)
_SECTION = re.compile(r"section started at (?P<file>[^\s:]+):(?P<line>\d+)")
_UNKNOWN = re.compile(r"Unknown (?P<what>setting|section name|filter): (?P<name>[^\s(]+(?: \{ \S+)*)")


@dataclass(frozen=True, slots=True)
class Refusal:
    """The first thing that Dovecot refuses: `text` without the place; line 0 where it names none."""

    text: str
    place: Place | None = None

    @property
    def denied(self) -> bool:
        """True where only the reader's own rights are short: that says nothing of the configuration."""
        return "Permission denied" in self.text

    @property
    def unknown(self) -> str:
        """The setting or section that Dovecot does not know, without the sections around it, or ""."""
        match = _UNKNOWN.search(self.text)
        return match["name"].split(" { ")[-1] if match else ""


def parse_refusal(stderr: str) -> Refusal | None:
    """The refusal in what `doveconf` printed on standard error, None where there is none. It stops at the first."""
    match = _FATAL.search(stderr)
    if match:
        return Refusal(match["text"].strip(), _place(match))
    other = _OTHER.search(stderr)
    return Refusal(other["text"].strip()) if other else None


def _place(match: re.Match[str]) -> Place:
    section = _SECTION.search(match["text"])
    if section and not match["line"]:
        return Place(section["file"], int(section["line"]))
    return Place(match["file"], int(match["line"] or 0))
