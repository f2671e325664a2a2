"""Reads what earlier runs on this machine measured."""

from __future__ import annotations

from maildiag.model import Gap, GapReason, Missing
from maildiag.probes import EarlierRun, EarlierRuns, Indicator


def earlier_runs(probe: EarlierRuns) -> tuple[EarlierRun, ...]:
    """The runs that were kept. Raises Missing for a history that cannot be read."""
    from maildiag import history

    try:
        kept = history.runs(most=probe.most)
    except history.HistoryError as error:
        raise Missing(Gap(GapReason.FAILED, str(error))) from error
    return tuple(
        EarlierRun(each.started, tuple(Indicator(name, value) for name, value in each.indicators.items()))
        for each in kept
    )
