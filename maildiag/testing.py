"""What authors test their checks and gatherers with: a host that answers from a table, and a judge of one check."""

from __future__ import annotations

import types
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, TypeVar

from maildiag.engine import report
from maildiag.model import Gap, GapReason, Reading, Verdict
from maildiag.probes import CommandResult, FileInfo, FileKind, FileText, Probe, ReadFile
from maildiag.registry import Registry
from maildiag.report import Report
from maildiag.settings import Settings

A = TypeVar("A")
NOW = datetime(2026, 11, 23, 3, 12, tzinfo=UTC)


class TableHost:
    """A host that answers the probes of a table; every other question is a gap (`not-recorded`)."""

    source = "test"

    def __init__(self, answers: Mapping[Probe[Any], Any]) -> None:
        """`answers` maps a probe to its value, or to a `Gap`."""
        self._answers = dict(answers)
        self.asked: list[Probe[Any]] = []

    def ask(self, probe: Probe[A]) -> Reading[A] | Gap:
        """The value from the table, read at `NOW`."""
        self.asked.append(probe)
        value = self._answers.get(probe, Gap(GapReason.NOT_RECORDED, f"{probe.source}: not in the table"))
        return value if isinstance(value, Gap) else Reading(value, NOW, 0.001)

    def close(self) -> None:
        """Nothing to end."""


def printed(stdout: str = "", stderr: str = "", status: int = 0) -> CommandResult:
    """What a program printed."""
    return CommandResult(status, stdout, stderr)


def file(text: str, modified: datetime = NOW) -> FileText:
    """A file's text."""
    return FileText(text, len(text), modified)


def info(
    path: str,
    mode: int = 0o644,
    owner: str = "root",
    group: str = "root",
    kind: FileKind = FileKind.FILE,
    size: int = 1,
    modified: datetime = NOW,
) -> FileInfo:
    """A path as stat(2) would tell it."""
    return FileInfo(path, kind, mode, owner, group, size, modified)


def gather(function: Callable[..., A], answers: Mapping[Probe[Any], Any], **facts: Any) -> A | Gap:
    """Run one gatherer against a table of answers with the given facts, or return its gap."""
    from maildiag.asking import gather_alone

    result: A | Gap = gather_alone(function, TableHost(answers), facts)
    return result


def judge(check: Callable[..., Iterable[Verdict]], *facts: Any, **named: Any) -> list[Verdict]:
    """What a check says of these facts."""
    return list(check(*facts, **named))


def diagnose(answers: Mapping[Probe[Any], Any], *modules: types.ModuleType, settings: Settings | None = None) -> Report:
    """A whole run of the given modules' checks against a table of answers."""
    registry = Registry()
    for module in modules:
        registry.add(module)
    return report(TableHost(answers), registry, settings or Settings())


__all__ = ["NOW", "ReadFile", "TableHost", "diagnose", "file", "gather", "info", "judge", "printed"]
