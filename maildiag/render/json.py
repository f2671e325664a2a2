"""The report as the contract's JSON document."""

from __future__ import annotations

import json

from maildiag.document import document
from maildiag.report import Report


def json_text(report: Report) -> str:
    """One indented document, in ASCII so that no stream's encoding can harm it."""
    return json.dumps(document(report), indent=2) + "\n"
