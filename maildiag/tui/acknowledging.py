"""The lines for config.toml that acknowledge a finding; maildiag never writes its own configuration."""

from __future__ import annotations

import json
from datetime import date, timedelta

from maildiag.model import Finding
from maildiag.text import safe

FOR = timedelta(days=30)


def snippet(finding: Finding, reason: str, today: date) -> str:
    """An `[[acknowledgements]]` table for this finding and subject that expires after 30 days."""
    subject = [f"subject = {_quoted(finding.subject)}"] if finding.subject else []
    lines = ["[[acknowledgements]]", f"id = {_quoted(finding.id)}", *subject]
    return "\n".join([*lines, f"reason = {_quoted(reason)}", f"expires = {today + FOR}", ""])


def _quoted(text: str) -> str:
    return json.dumps(safe(text), ensure_ascii=False)
