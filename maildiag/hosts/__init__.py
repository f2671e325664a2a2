"""The only door to the outside: a host answers probes with readings, or with the gap that says why not."""

from __future__ import annotations

from typing import Protocol, TypeVar

from maildiag.model import Gap, Reading
from maildiag.probes import Probe

A = TypeVar("A")


class Host(Protocol):
    """This machine, one reached over SSH, or one recorded in a bundle."""

    @property
    def source(self) -> str:
        """`local`, `ssh:NAME` or `bundle:FILE`."""
        ...

    def ask(self, probe: Probe[A]) -> Reading[A] | Gap:
        """Answer one probe within its own limit; never raises for anything the host does. Safe in many threads."""
        ...

    def close(self) -> None:
        """Stop whatever is still under way; later questions are answered with a gap."""
        ...
