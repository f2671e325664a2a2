"""What is said of the clock by which a certificate is out of its time."""

from __future__ import annotations

from maildiag.facts.clock import Clock


def by_this_clock(clock: Clock | None) -> str:
    """Whose word that is: "" where a time service keeps the clock, else a sentence. A clock that is wrong since the boot, on a
    host that asks nobody for the time, leaves no trace on it.
    """
    if clock is None or clock.synchronized:
        return ""
    return (
        f"This host's clock says {clock.now:%Y-%m-%d %H:%M} UTC, and no time service tells that it is right: compare `date -u` "
        "with another clock first."
    )
