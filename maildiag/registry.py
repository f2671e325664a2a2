"""Finds the checks and the gatherers: built-in, installed plug-ins, drop-in files; one broken plug-in is news, not the end."""

from __future__ import annotations

import fnmatch
import importlib
import importlib.util
import inspect
import os
import pkgutil
import stat
import types
import typing
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import field
from enum import StrEnum
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, TypeVar

from maildiag.model import Gap, Role, Step, Verdict
from maildiag.probes import Probe
from maildiag.records import dataclass
from maildiag.settings import Settings

ENTRY_POINTS = "maildiag.checks"
DROP_INS = Path("/etc/maildiag/checks.d")
BOTH = frozenset(Role)
SERVER = frozenset({Role.MAIL_SERVER})
CLIENT = frozenset({Role.RELAY_CLIENT})
PLUGIN = "services.plugin"  # the id of the finding on a plug-in that could not be loaded

SEEDED: frozenset[type] = frozenset({Settings})
"""The facts that nobody gathers: the run is given them."""

Judge = Callable[..., Iterable[Verdict]]
Begins = Callable[[Settings], Iterable[Probe[Any]]]
J = TypeVar("J", bound=Judge)
G = TypeVar("G", bound=Callable[..., Any])


class Want(StrEnum):
    """How a check or gatherer takes a fact that could not be had."""

    REQUIRED = "required"
    OR_NONE = "or none"
    OR_GAP = "or gap"


@dataclass(frozen=True, slots=True)
class Need:
    """A fact that a check or a gatherer asks for by a parameter's type: `X`, `X | None` or `X | Gap`."""

    name: str
    fact: type
    want: Want


@dataclass(frozen=True, slots=True)
class Check:
    """One question, asked of facts; `explained_by` lists the checks whose failure would explain its own, nearest first."""

    id: str
    step: Step
    asks: str
    roles: frozenset[Role]
    explained_by: tuple[str, ...]
    needs: tuple[Need, ...]
    judge: Judge
    module: str


@dataclass(frozen=True, slots=True)
class Gatherer:
    """A function that asks the host for one fact; its parameters after `ask` are the facts that it needs itself.

    `begins` are the questions that it will ask whatever its needs turn out to be: they are under way meanwhile. `ahead` tells
    that it waits for servers, and so is among the slowest of a run: what it needs is asked before all else.
    """

    fact: type
    needs: tuple[Need, ...]
    gather: Callable[..., Any]
    begins: Begins
    ahead: bool = False

    @property
    def name(self) -> str:
        """The fact's name, as progress and timings show it."""
        return self.fact.__name__


@dataclass(frozen=True, slots=True)
class BrokenPlugin:
    """A plug-in that could not be loaded, and why."""

    name: str
    why: str


@dataclass(slots=True)
class Registry:
    """All checks by id and all gatherers by the type of their fact."""

    checks: dict[str, Check] = field(default_factory=dict)
    gatherers: dict[type, Gatherer] = field(default_factory=dict)
    broken: list[BrokenPlugin] = field(default_factory=list)

    def add(self, module: types.ModuleType) -> None:
        """Take every check and gatherer that the module defines. Raises ValueError where an id or a fact is taken."""
        for value in vars(module).values():
            found = getattr(value, "maildiag", None)
            if getattr(value, "__module__", "") != module.__name__:
                continue
            if isinstance(found, Check):
                self._add_check(found)
            elif isinstance(found, Gatherer):
                self._add_gatherer(found)

    def _add_check(self, found: Check) -> None:
        if found.id in self.checks:
            raise ValueError(f"the check id {found.id} is taken by {self.checks[found.id].module}")
        self.checks[found.id] = found

    def _add_gatherer(self, found: Gatherer) -> None:
        if found.fact in self.gatherers:
            raise ValueError(f"two gatherers for {found.name}")
        self.gatherers[found.fact] = found

    def needed(self, fact: type) -> set[type]:
        """The facts that have to be there before this one can, near and far."""
        found: set[type] = set()
        ahead = [fact]
        while ahead:
            gatherer = self.gatherers.get(ahead.pop())
            near = {need.fact for need in gatherer.needs} - found if gatherer else set[type]()
            found |= near
            ahead += near
        return found

    def select(self, steps: Sequence[Step] = (), patterns: Sequence[str] = ()) -> list[Check]:
        """The checks of these steps whose id matches one of these globs, in the order of the workflow."""
        chosen = [
            each
            for each in self.checks.values()
            if (not steps or each.step in steps)
            and (not patterns or any(fnmatch.fnmatchcase(each.id, pattern) for pattern in patterns))
        ]
        return sorted(chosen, key=lambda each: each.step.number)

    def problems(self) -> list[str]:
        """What is wrong with the graph: unknown ids in `explained_by`, circles, facts that nobody gathers."""
        return [*self._unknown_ids(), *self._circles(), *self._ungathered()]

    def _unknown_ids(self) -> Iterator[str]:
        for each in self.checks.values():
            for edge in each.explained_by:
                if edge not in self.checks:
                    yield f"{each.id} is explained by {edge}, which does not exist"

    def _circles(self) -> Iterator[str]:
        done: set[str] = set()

        def walk(name: str, path: tuple[str, ...]) -> Iterator[str]:
            if name in path:
                yield "circle: " + " <- ".join((*path[path.index(name) :], name))
            elif name not in done and name in self.checks:
                for edge in self.checks[name].explained_by:
                    yield from walk(edge, (*path, name))
                done.add(name)

        for name in self.checks:
            yield from walk(name, ())

    def _ungathered(self) -> Iterator[str]:
        needs = {each.id: each.needs for each in self.checks.values()}
        needs |= {each.name: each.needs for each in self.gatherers.values()}
        for owner, wanted in needs.items():
            for need in wanted:
                if need.fact not in self.gatherers and need.fact not in SEEDED:
                    yield f"nobody gathers {need.fact.__name__}, which {owner} needs"


def check(
    id: str,
    *,
    step: Step,
    asks: str,
    roles: frozenset[Role] = BOTH,
    explained_by: tuple[str, ...] = (),
) -> Callable[[J], J]:
    """Make a function a check: its parameters, by type, are the facts it needs; it yields verdicts and does no I/O.

    A parameter `X` makes the check unknown where X could not be had; `X | None` and `X | Gap` judge without it.
    """

    def mark(judge: J) -> J:
        needs = tuple(_needs(judge))
        judge.maildiag = Check(id, step, asks, roles, explained_by, needs, judge, judge.__module__)  # type: ignore[attr-defined]
        return judge

    return mark


def gatherer(function: G) -> G:
    """Make a function the gatherer of the fact that is its return type; its first parameter is `ask`."""
    return begins()(function)


def begins(*probes: Probe[Any], given: Begins = lambda _: (), ahead: bool = False) -> Callable[[G], G]:
    """A gatherer that asks these probes (and those that the settings name) in any case: they begin before its needs are met.

    With `ahead` it begins before others, and they wait for what it needs.
    """

    def mark(function: G) -> G:
        fact = typing.get_type_hints(function)["return"]
        needs = tuple(need for need in _needs(function) if need.name != "ask")
        found = Gatherer(fact, needs, function, lambda settings: (*probes, *given(settings)), ahead)
        function.maildiag = found  # type: ignore[attr-defined]
        return function

    return mark


def _needs(function: Callable[..., Any]) -> Iterator[Need]:
    hints = typing.get_type_hints(function)
    for name in inspect.signature(function).parameters:
        yield _need(name, hints[name])


def _need(name: str, hint: Any) -> Need:
    if not isinstance(hint, types.UnionType) and typing.get_origin(hint) is not typing.Union:
        return Need(name, hint, Want.REQUIRED)
    facts = [each for each in typing.get_args(hint) if each not in (type(None), Gap)]
    if len(facts) != 1:
        raise TypeError(f"{name}: {hint} is neither X, X | None nor X | Gap")
    return Need(name, facts[0], Want.OR_GAP if Gap in typing.get_args(hint) else Want.OR_NONE)


def builtin() -> Registry:
    """The facts and the checks that maildiag brings itself; what is wrong with them is raised, not collected."""
    registry = Registry()
    for package in ("maildiag.facts", "maildiag_checks"):
        for name in _modules(package):
            registry.add(importlib.import_module(name))
    return registry


def load(drop_ins: Path = DROP_INS) -> Registry:
    """Everything: built-in, entry points of the group `maildiag.checks`, and `*.py` files in `drop_ins`."""
    registry = builtin()
    for entry in entry_points(group=ENTRY_POINTS):
        _attempt(registry, entry.name, entry.load)
    for path in sorted(drop_ins.glob("*.py")) if drop_ins.is_dir() else ():
        _attempt(registry, str(path), lambda path=path: _drop_in(path))  # type: ignore[misc]
    return registry


def _modules(package: str) -> list[str]:
    found = importlib.import_module(package)
    return sorted(f"{package}.{each.name}" for each in pkgutil.iter_modules(found.__path__) if each.name[0] != "_")


def _attempt(registry: Registry, name: str, load_module: Callable[[], Any]) -> None:
    try:
        module = load_module()
        before = dict(registry.checks), dict(registry.gatherers)
        try:
            known = registry.problems()
            registry.add(module)
            wrong = [each for each in registry.problems() if each not in known]
            if wrong:
                raise ValueError("; ".join(wrong))
        except (ValueError, TypeError):
            registry.checks, registry.gatherers = before
            raise
    except (Exception, SystemExit) as error:  # noqa: BLE001 (a plug-in may raise anything; it becomes one finding)
        registry.broken.append(BrokenPlugin(name, f"{type(error).__name__}: {error}"))


def _drop_in(path: Path) -> types.ModuleType:
    if os.geteuid() == 0:
        _refuse_what_others_can_change(path)
    spec = importlib.util.spec_from_file_location(f"maildiag_drop_in_{path.stem}", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _refuse_what_others_can_change(path: Path) -> None:
    """Root runs nothing that another could put in its place: neither the file nor a directory above may be theirs.

    In a directory with the sticky bit others can write, but not replace what is root's. Raises PermissionError.
    """
    real = path.resolve()
    for each in dict.fromkeys((path, *path.absolute().parents, real, *real.parents)):
        info = each.stat()
        open_to_others = info.st_mode & 0o022 and not (stat.S_ISDIR(info.st_mode) and info.st_mode & stat.S_ISVTX)
        if info.st_uid != 0 or open_to_others:
            raise PermissionError(f"{each} must be owned by root and not writable by others")
