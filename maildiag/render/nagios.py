"""One line with performance data and the exit statuses of the Nagios plug-in guidelines."""

from __future__ import annotations

from maildiag.indicators import indicators
from maildiag.model import Status
from maildiag.report import Report, exit_status

_WORDS = ("OK", "WARNING", "CRITICAL", "UNKNOWN")
_MOST = 400


def nagios(report: Report, fail_on: Status = Status.WARNING) -> str:
    """`MAILDIAG STATUS - headline | performance data`; the word says what the exit status does."""
    word = _WORDS[exit_status(report.status, fail_on) if report.complete else 3]
    said = report.diagnosis.headline if report.complete else f"the run was cut; so far: {report.diagnosis.headline}"
    return f"MAILDIAG {word} - {_line(said)} | {_performance(report)}\n"


def error_line(message: str) -> str:
    """What a monitoring system is told when maildiag itself could not do its work."""
    return f"MAILDIAG UNKNOWN - {_line(message)}"


def _line(text: str) -> str:
    """One line without the bar that begins the performance data."""
    one = " ".join(text.replace("|", "/").split())
    return one if len(one) <= _MOST else one[: _MOST - 3] + "..."


def _performance(report: Report) -> str:
    counts = [f"{status.value}={count};;;0" for status, count in report.counts.items()]
    measured = [f"{name}={_number(value)};;;0" for name, value in indicators(report).items()]
    return " ".join([*counts, *measured, f"duration={report.duration_s:.3f}s;;;0"])


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else f"{value:.3f}"
