"""The states of the units that a fix touches, before and after, so that an undo leaves them as they were."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from maildiag.model import Gap
from maildiag.probes import command
from maildiag.repair import actions
from maildiag.repair.actions import Argv
from maildiag.repair.hand import Hand
from maildiag.repair.journal import UnitWas

_RUNNING = frozenset({"active", "activating", "reloading"})
_BEHIND = {"postfix": ("postfix@-",)}  # Debian 12's postfix.service is an empty shell around postfix@-.service


def states(hand: Hand, commands: Sequence[Argv]) -> tuple[UnitWas, ...]:
    """What systemd says of each unit that the commands are about; empty where there is no systemd."""
    found = (state(hand, unit) for unit in _names(commands))
    return tuple(each for each in found if each is not None)


def state(hand: Hand, unit: str) -> UnitWas | None:
    """The unit as it is now; None where systemd does not know it."""
    asked = command("systemctl", "show", unit, "--property=LoadState,ActiveState,UnitFileState")
    answer = hand.ask(asked)
    if isinstance(answer, Gap) or answer.status != 0:
        return None
    told = dict(line.split("=", 1) for line in answer.stdout.splitlines() if "=" in line)
    if told.get("LoadState") not in ("loaded", "masked"):
        return None
    return UnitWas(unit, told.get("ActiveState", ""), told.get("UnitFileState", ""))


def way_back(was: UnitWas, now: UnitWas) -> Iterator[Argv]:
    """The commands that bring the unit back to its state; none where it is in it."""
    if was.enabled != now.enabled:
        yield from _enabled_again(was, now)
    if was.active in _RUNNING and now.active not in _RUNNING:
        yield ("systemctl", "start", was.unit)
    if was.active not in _RUNNING and now.active in _RUNNING:
        yield ("systemctl", "stop", was.unit)


def _enabled_again(was: UnitWas, now: UnitWas) -> Iterator[Argv]:
    if now.enabled == "masked":
        yield ("systemctl", "unmask", was.unit)
    match was.enabled:
        case "masked":
            yield ("systemctl", "mask", was.unit)
        case "enabled":
            yield ("systemctl", "enable", was.unit)
        case "disabled":
            yield ("systemctl", "disable", was.unit)


def _names(commands: Sequence[Argv]) -> list[str]:
    named = [unit.removesuffix(".service") for argv in commands for unit in actions.units(argv)]
    return list(dict.fromkeys(each for unit in named for each in (unit, *_BEHIND.get(unit, ()))))
