"""Which messages a finding's evidence names."""

from __future__ import annotations

import re

from maildiag.logs.trace import QUEUE_ID
from maildiag.model import Finding

_NAMED = re.compile(r"(?:^|[\]\s])(?P<id>[0-9A-Za-z]{5,30})[*!]?(?=: |\s)", re.MULTILINE)


def queue_ids(finding: Finding) -> list[str]:
    """The queue ids in the order in which the evidence shows them, each once."""
    found = (match["id"] for each in finding.evidence for match in _NAMED.finditer(each.text))
    return list(
        dict.fromkeys(each for each in found if QUEUE_ID.fullmatch(each) and not each.isalpha() and not each.isdigit())
    )
