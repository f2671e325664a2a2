"""The report in its forms, a module each; every one is a pure function of the report."""

from __future__ import annotations

from enum import StrEnum

from maildiag.model import Status
from maildiag.records import dataclass
from maildiag.render.deeds import Deed
from maildiag.report import Report


class Format(StrEnum):
    """The values of `--format`."""

    TEXT = "text"
    JSON = "json"
    JSONL = "jsonl"
    MARKDOWN = "markdown"
    HTML = "html"
    JUNIT = "junit"
    NAGIOS = "nagios"
    PROMETHEUS = "prometheus"


@dataclass(frozen=True, slots=True)
class Look:
    """How a report is set: columns, colours, what it tells beyond the diagnosis, and the mildest status that counts."""

    width: int = 80
    colour: bool = False
    timings: bool = False
    everything: bool = False
    done: tuple[Deed, ...] = ()
    fail_on: Status = Status.WARNING


def render(report: Report, form: Format, look: Look) -> str:
    """The whole report in one of the forms, ending in a newline. `jsonl` is a stream: see `maildiag.render.jsonl`."""
    match form:
        case Format.TEXT:
            from maildiag.render.text import text

            return text(report, look)
        case Format.JSON:
            from maildiag.render.json import json_text

            return json_text(report)
        case Format.MARKDOWN:
            from maildiag.render.markdown import markdown

            return markdown(report, look.done)
        case Format.HTML:
            from maildiag.render.html import html

            return html(report)
        case Format.JUNIT:
            from maildiag.render.junit import junit

            return junit(report)
        case Format.NAGIOS:
            from maildiag.render.nagios import nagios

            return nagios(report, look.fail_on)
        case Format.PROMETHEUS:
            from maildiag.render.prometheus import prometheus

            return prometheus(report)
        case Format.JSONL:
            raise ValueError("jsonl is written while the run goes on")
