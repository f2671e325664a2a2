"""A small world to repair: a configuration file, a check that judges it, a program that loads it, all real."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from maildiag.asking import Ask
from maildiag.edits import replace_line
from maildiag.hosts.local import LocalHost
from maildiag.model import Evidence, Fix, Gap, GapReason, Step, Verdict, critical, ok, unknown
from maildiag.probes import ReadFile
from maildiag.registry import Check, Gatherer, Registry, check, gatherer
from maildiag.repair.actions import ACTIONS, GUARDS, Action
from maildiag.repair.applying import Workshop
from maildiag.repair.hand import Hand
from maildiag.repair.judging import Bench, Cure
from maildiag.repair.store import Store
from maildiag.report import Report
from maildiag.settings import Settings

GOOD = "# relay\nhost = relay.example.test\nport = 25\n"
BAD = "# relay\nhost = relay.example.test # ours\nport = 25\n"

_LOADER = """#!/bin/sh
# reload DIRECTORY: what the program serves from now on is what its configuration says
case "$1" in reload) ;; *) exit 2 ;; esac
if grep -q '^broken' "$2/service.cf"; then echo "service.cf: broken" >&2; exit 1; fi
cp "$2/service.cf" "$2/loaded"
"""
_GUARD = """#!/bin/sh
if grep -q '^broken' "$2/service.cf"; then echo "service.cf: broken" >&2; exit 1; fi
"""


@dataclass(frozen=True, slots=True)
class Config:
    """What the file says, and what the program has loaded."""

    text: str
    loaded: str


@dataclass(frozen=True, slots=True)
class World:
    """The directory with the configuration, and what repairs it."""

    root: Path
    shop: Workshop

    @property
    def file(self) -> Path:
        return self.root / "service.cf"

    @property
    def loaded(self) -> Path:
        return self.root / "loaded"

    @property
    def reload(self) -> tuple[str, ...]:
        return str(self.root / "service"), "reload", str(self.root)

    @property
    def guard(self) -> tuple[str, ...]:
        return str(self.root / "guard"), "check", str(self.root)

    def report(self) -> Report:
        return self.shop.bench.look_at_all()

    def cure(self, fix: Fix, key: str = "services.relay") -> Cure:
        """The finding as it is now, with this fix offered by it."""
        found = self.report().finding(key)
        assert found is not None
        return Cure(found, fix)


def world(root: Path, *fixes: Fix, patience_s: float = 0.5) -> World:
    """Make it in `root`; `fixes` are what the check offers."""
    for name, text in (("service", _LOADER), ("guard", _GUARD)):
        (root / name).write_text(text)
        (root / name).chmod(0o755)
    (root / "service.cf").write_text(BAD)
    (root / "loaded").write_text(BAD)
    return existing(root, *fixes, patience_s=patience_s)


def existing(root: Path, *fixes: Fix, patience_s: float = 0.5) -> World:
    """What repairs the world that is in `root` already."""
    host = LocalHost()
    hand = Hand(
        host,
        {**ACTIONS, str(root / "service"): Action("reloads", frozenset({"reload"}), frozenset({"reload"}))},
        {**GUARDS, str(root / "guard"): Action("checks")},
        limit_s=10,
    )
    bench = Bench(host, registry(root, *fixes), Settings())
    shop = Workshop(hand=hand, bench=bench, store=Store(root / "state"), patience_s=patience_s, settle_s=0.01)
    return World(root, shop)


def fix(root: Path, **more: object) -> Fix:
    """The right fix, or with `more` one that is wrong somewhere."""
    given: dict[str, object] = {
        "id": "services.relay/value",
        "title": "Take the comment off the value",
        "commands": (
            replace_line(str(root / "service.cf"), 2, "host = relay.example.test"),
            (str(root / "service"), "reload", str(root)),
        ),
        "changes": (str(root / "service.cf"),),
        "guards": ((str(root / "guard"), "check", str(root)),),
        "needs_root": False,
        "automatic": True,
        **more,
    }
    return Fix(**given)  # type: ignore[arg-type]


def registry(root: Path, *fixes: Fix) -> Registry:
    """Two checks of the little world."""

    @gatherer
    def config(ask: Ask) -> Config:
        """Ask for both files."""
        loaded = ask.maybe(ReadFile(str(root / "loaded")))
        return Config(ask(ReadFile(str(root / "service.cf"))).text, "" if isinstance(loaded, Gap) else loaded.text)

    @check("services.relay", step=Step.SERVICES, asks="Is the host's value free of a comment?")
    def relay(config: Config) -> Iterator[Verdict]:
        """A comment behind a value becomes part of it."""
        value = next((line for line in config.text.splitlines() if line.startswith("host")), "")
        if "unreadable" in value:
            yield unknown("The value cannot be judged")
        elif "#" in value:
            yield critical("A comment is part of the value", evidence=(Evidence("service.cf", value),), fixes=fixes)
        else:
            yield ok("The value is free of comments")

    @check("services.loaded", step=Step.SERVICES, asks="Does the service still serve its port?")
    def loaded(config: Config) -> Iterator[Verdict]:
        """The port must stay."""
        if "port = 25" in config.loaded:
            yield ok("Port 25 is served")
        else:
            yield critical("Port 25 is not served")

    found = Registry()
    for each in (relay, loaded):
        marked = each.maildiag  # type: ignore[attr-defined]
        assert isinstance(marked, Check)
        found.checks[marked.id] = marked
    gathers = config.maildiag  # type: ignore[attr-defined]
    assert isinstance(gathers, Gatherer)
    found.gatherers[gathers.fact] = gathers
    return found


__all__ = ["BAD", "GOOD", "Gap", "GapReason", "World", "existing", "fix", "world"]
