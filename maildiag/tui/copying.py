"""What of a finding can be copied, each under its name."""

from __future__ import annotations

from maildiag.model import Finding
from maildiag.records import dataclass
from maildiag.text import safe
from maildiag.typed import commands


@dataclass(frozen=True, slots=True)
class Choice:
    """A text for the clipboard, and what it is."""

    name: str
    text: str


def choices(finding: Finding, whole: str) -> list[Choice]:
    """The commands of each fix, the evidence, the title with its reason, and the `whole` screen."""
    found = [
        Choice(f"the commands of fix {letter}: {safe(fix.title)}", "\n".join(commands(fix)))
        for letter, fix in zip("abcdefghij", finding.fixes, strict=False)
        if fix.commands
    ]
    found += [Choice(f"the text to send: {safe(fix.title)}", fix.ask) for fix in finding.fixes if fix.ask]
    if finding.evidence:
        shown = "\n".join(f"{each.source}\n{each.text}" for each in finding.evidence)
        found.append(Choice("the evidence", shown))
    found.append(Choice("the title and the reason", f"{finding.title}\n{finding.detail}".strip()))
    found.append(Choice("the whole finding as text", whole))
    return [Choice(each.name, _clean(each.text)) for each in found]


def _clean(text: str) -> str:
    return "\n".join(safe(line) for line in text.split("\n"))
