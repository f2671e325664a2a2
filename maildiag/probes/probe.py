"""What every question has in common: the type of its answer, its source and its time limit."""

from __future__ import annotations

from typing import Generic, TypeVar

A = TypeVar("A", covariant=True)


class Probe(Generic[A]):
    """A question whose answer has the type `A`. Equal probes are asked once in a run."""

    __slots__ = ()

    @property
    def source(self) -> str:
        """What a report names as the origin of the answer."""
        raise NotImplementedError

    @property
    def limit_s(self) -> float:
        """Seconds after which the question counts as unanswered."""
        raise NotImplementedError
