"""What a class of log problem is, and the tables of the known ones put together."""

from __future__ import annotations

from typing import Literal

from maildiag.records import dataclass

Severity = Literal["notice", "warning", "critical"]


@dataclass(frozen=True, slots=True)
class ProblemClass:
    """One known wording: `pattern` is searched in the text behind the level word, its named groups are what it captures."""

    id: str
    severity: Severity
    pattern: str
    sentence: str


def critical(id_: str, pattern: str, sentence: str) -> ProblemClass:
    """Return a class of problems by which mail or logins fail now."""
    return ProblemClass(id_, "critical", pattern, sentence)


def warning(id_: str, pattern: str, sentence: str) -> ProblemClass:
    """Return a class of problems by which service is degraded, unsafe or about to break."""
    return ProblemClass(id_, "warning", pattern, sentence)


def notice(id_: str, pattern: str, sentence: str) -> ProblemClass:
    """Return a class of lines that are logged as warnings and mean no trouble of this host."""
    return ProblemClass(id_, "notice", pattern, sentence)
