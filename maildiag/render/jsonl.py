"""The run as it happens, one JSON object a line; a reader that sees no `run_end` knows that the run was cut."""

from __future__ import annotations

import json
from typing import Any, TextIO

from maildiag.document import document, finding_document
from maildiag.events import CheckFinished, Event, FactFinished, FactStarted, RunFinished, RunStarted
from maildiag.report import SCHEMA


def write_event(event: Event, out: TextIO, status: int = 0) -> None:
    """Write the lines of one event and flush them. `status` is the exit status that `run_end` tells."""
    for line in _lines(event, status):
        out.write(json.dumps(line) + "\n")
    out.flush()


def _lines(event: Event, status: int) -> list[dict[str, Any]]:
    match event:
        case RunStarted(source, checks):
            return [{"event": "run_start", "schema": SCHEMA, "source": source, "checks": [each.id for each in checks]}]
        case FactStarted(name):
            return [{"event": "fact_start", "fact": name}]
        case FactFinished(name, seconds, known):
            return [{"event": "fact_end", "fact": name, "seconds": round(seconds, 4), "known": known}]
        case CheckFinished(check, findings):
            told = [{"event": "finding", "finding": finding_document(each)} for each in findings]
            return [*told, {"event": "check_end", "check": check.id, "findings": len(findings)}]
        case RunFinished(report):
            return [{"event": "run_end", "exit_status": status, "report": document(report)}]
