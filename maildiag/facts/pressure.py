"""How long processes waited for the processor, the disk and memory, as the kernel counts it."""

from __future__ import annotations

import re

from maildiag.asking import Ask
from maildiag.model import Gap, GapReason, Missing
from maildiag.probes import FileText, ReadFile
from maildiag.records import dataclass
from maildiag.registry import gatherer

RESOURCES = ("cpu", "io", "memory")
_LINE = re.compile(r"^(some|full) .*\bavg300=([\d.]+)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Waiting:
    """Percent of the last five minutes in which some process waited, and in which all of them did."""

    some: float
    full: float


@dataclass(frozen=True, slots=True)
class Pressure:
    """By resource: `cpu`, `io` (disk) and `memory`. `texts` is what the kernel told."""

    waiting: dict[str, Waiting]
    texts: dict[str, str]


@gatherer
def pressure(ask: Ask) -> Pressure:
    """Read /proc/pressure. Source: proc(5), the kernel's Documentation/accounting/psi.rst. Missing where it is not measured."""
    answers = ask.all([ReadFile(f"/proc/pressure/{name}") for name in RESOURCES])
    texts = {name: each.text for name, each in zip(RESOURCES, answers, strict=True) if isinstance(each, FileText)}
    waiting = {name: found for name, text in texts.items() if (found := parse_pressure(text))}
    if not waiting:
        raise Missing(Gap(GapReason.ABSENT, "this kernel does not measure pressure (PSI)", "boot with psi=1"))
    return Pressure(waiting, texts)


def parse_pressure(text: str) -> Waiting | None:
    """The five minutes' averages; None where the text holds none. Older kernels have no line `full` for the processor."""
    found = {match[1]: float(match[2]) for match in _LINE.finditer(text)}
    return Waiting(found["some"], found.get("full", 0.0)) if "some" in found else None
