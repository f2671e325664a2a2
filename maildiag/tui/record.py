"""The incident record: the report in Markdown, with the notes of the walk and what was done from the screens."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from maildiag.model import Step
from maildiag.records import dataclass
from maildiag.render.markdown import escape, markdown
from maildiag.report import Report


@dataclass(frozen=True, slots=True)
class Note:
    """Something that was typed at a step of the walk, or done from a screen (without a step), with its time (UTC)."""

    at: datetime
    text: str
    step: Step | None = None


def incident(report: Report, notes: Sequence[Note]) -> str:
    """The record as Markdown, ending in a newline."""
    if not notes:
        return markdown(report)
    told = [
        f"- {each.at:%H:%M:%S}Z{f' step {each.step.number}' if each.step else ''}: {escape(each.text)}"
        for each in notes
    ]
    return markdown(report).rstrip("\n") + "\n\n## What was noted and done\n\n" + "\n".join(told) + "\n"


def keep(directory: Path, report: Report, notes: Sequence[Note]) -> Path:
    """Write the record below `directory`, readable by its owner only, and tell where. Raises OSError."""
    folder = directory / "incidents"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = folder / f"{report.started:%Y%m%dT%H%M%SZ}.md"
    path.touch(mode=0o600)
    path.write_text(incident(report, notes), encoding="utf-8", errors="backslashreplace")
    return path
