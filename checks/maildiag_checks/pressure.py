"""Step 1, below the daemons: do processes wait for the processor, the disk or memory?"""

from __future__ import annotations

from collections.abc import Iterator

from maildiag.facts.pressure import Pressure, Waiting
from maildiag.model import Evidence, Gap, Step, Verdict, notice, ok, skipped
from maildiag.registry import check

_NAMES = {"cpu": "the processor", "io": "the disk", "memory": "memory"}
# Percent of five minutes: hardly ever one that need not wait, and a machine that half the time stands still.
_SOME, _FULL = 90.0, 40.0


@check(
    "services.pressure",
    step=Step.SERVICES,
    asks="Do processes wait for the processor, the disk or memory?",
    explained_by=(),
)
def pressure(found: Pressure | Gap) -> Iterator[Verdict]:
    """A busy machine makes mail slow before it makes it fail; other checks tell what fails. Source: proc(5), psi."""
    if isinstance(found, Gap):
        yield skipped("How long processes wait is not known", detail=str(found))
        return
    busy = [name for name, each in found.waiting.items() if _is_busy(name, each)]
    for name in busy:
        each = found.waiting[name]
        share = (
            f"{each.full:.0f} % of the last five minutes all"
            if each.full >= _FULL
            else f"{each.some:.0f} % of the last five minutes some"
        )
        yield notice(
            f"Processes wait for {_NAMES[name]}: in {share} of them did",
            detail="Mail is slower than it could be: `top`, `iostat -x 5` and `vmstat 5` tell by what.",
            subject=name,
            evidence=(Evidence(f"/proc/pressure/{name}", found.texts[name].strip()),),
            data={"some_percent": each.some, "full_percent": each.full},
        )
    if not busy:
        told = ", ".join(f"{_NAMES[name]} {each.some:.0f} %" for name, each in found.waiting.items())
        shown = tuple(Evidence(f"/proc/pressure/{name}", text.strip()) for name, text in found.texts.items())
        yield ok(f"Processes seldom wait (of five minutes: {told})", evidence=shown)


def _is_busy(name: str, each: Waiting) -> bool:
    """On the processor all wait only where a limit of a control group holds them back."""
    return each.some >= _SOME or (name != "cpu" and each.full >= _FULL)
