"""Which messages a finding's evidence names, and what the log says of one."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator

from maildiag.logs.trace import QUEUE_ID
from maildiag.model import Finding
from maildiag.tui.rows import Row, Tone, lines, row

_NAMED = re.compile(r"(?:^|[\]\s])(?P<id>[0-9A-Za-z]{5,30})[*!]?(?=: |\s)", re.MULTILINE)


def queue_ids(finding: Finding) -> list[str]:
    """The queue ids in the order in which the evidence shows them, each once."""
    found = (match["id"] for each in finding.evidence for match in _NAMED.finditer(each.text))
    return list(
        dict.fromkeys(each for each in found if QUEUE_ID.fullmatch(each) and not each.isalpha() and not each.isdigit())
    )


def trace_rows(key: str, source: str, _: threading.Event) -> Iterator[list[Row]]:
    """The trace as rows, all at once, for the process beside the screen; what keeps the log from being read is told in words."""
    from maildiag.logs.source import SourceError, default_source, source_of
    from maildiag.logs.times import local_now
    from maildiag.logs.trace import trace
    from maildiag.logs.trace_text import as_text

    try:
        found = trace(key, [source_of(source) if source.startswith("/") else default_source()], local_now())
    except (SourceError, OSError, EOFError) as error:
        yield list(lines("error", f"the log cannot be read: {error}", Tone.WARN))
        return
    if not found.messages and not found.others:
        yield [row("none", " the log says nothing of it")]
        return
    yield [each for number, line in enumerate(as_text(found)) for each in lines(f"trace:{number}", line, _tone(line))]


def _tone(line: str) -> Tone:
    if "bounced" in line or "expired" in line or "reject" in line:
        return Tone.BAD
    return Tone.WARN if "deferred" in line or "warning" in line else Tone.PLAIN
