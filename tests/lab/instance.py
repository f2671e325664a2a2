"""One running lab as the machine sees it: an id, a directory, a control group, and a keeper that ends it with its owner."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import IO

from tests.lab import control_groups
from tests.lab.errors import LabError
from tests.lab.process import wait_for
from tests.lab.store import lab_dir

_CHECKOUT = Path(__file__).resolve().parents[2]

_INOTIFY_INSTANCES = 4096


@dataclass(frozen=True, slots=True)
class State:
    """What another process must know to look into a running lab: the pids in whose namespaces its hosts live."""

    release: str = ""
    owner: int = 0
    purpose: str = "test"
    checkout: str = ""
    leaders: Mapping[str, int] = field(default_factory=dict)


class Instance:
    """The processes and files of one lab; all of them end with `destroy`, or with the process that made it."""

    def __init__(self, release: str, *, purpose: str = "test") -> None:
        _allow_many_hosts()
        self._lock = threading.Lock()
        self.id = secrets.token_hex(3)
        self.directory = instances_dir() / self.id
        self.directory.mkdir(parents=True)
        self._state = State(release, os.getpid(), purpose, str(_CHECKOUT))
        self._save()
        self._started: list[subprocess.Popen[bytes]] = []
        self._keeper = subprocess.Popen(
            [sys.executable, "-m", "tests.lab.keeper", self.id],
            cwd=_CHECKOUT,
            stdin=subprocess.PIPE,
            start_new_session=True,
        )

    def group(self, name: str) -> str:
        """The control group of the part `name` of this lab."""
        return f"{group_of(self.id)}/{name}"

    def spawn(self, name: str, argv: Sequence[str]) -> subprocess.Popen[bytes]:
        """Start `argv` in the background in the control group `name`; what it prints goes to NAME.console."""
        with self.console(name).open("ab") as console:
            process = _popen(control_groups.inside(self.group(name), argv), console)
        with self._lock:
            self._started.append(process)
        return process

    def console(self, name: str) -> Path:
        """The file with everything that the part `name` has printed."""
        return self.directory / f"{name}.console"

    def end(self, name: str) -> None:
        """End the part `name` and everything that it started."""
        control_groups.kill(self.group(name))
        self._reap()

    def set_leader(self, host: str, pid: int) -> None:
        """Make the pid of `host`'s init known to other processes."""
        with self._lock:
            self._state = replace(self._state, leaders={**self._state.leaders, host: pid})
            self._save()

    def destroy(self) -> None:
        """End all processes of this lab and remove its files. Safe to call again."""
        destroy(self.id)
        self._reap()
        if self._keeper.stdin is not None:
            self._keeper.stdin.close()
        self._keeper.wait(30)

    def _reap(self) -> None:
        with self._lock:
            self._started = [process for process in self._started if process.poll() is None]

    def _save(self) -> None:
        path = self.directory / "state.json"
        part = path.with_suffix(".part")
        part.write_text(json.dumps(asdict(self._state)))
        part.replace(path)


def _allow_many_hosts() -> None:
    """A host watches some twenty files through inotify, and a Debian machine allows 128 to all of root's programs together."""
    limit = Path("/proc/sys/fs/inotify/max_user_instances")
    with contextlib.suppress(OSError):
        if int(limit.read_text()) < _INOTIFY_INSTANCES:
            limit.write_text(str(_INOTIFY_INSTANCES))


def _popen(argv: Sequence[str], console: IO[bytes]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        list(argv), stdin=subprocess.DEVNULL, stdout=console, stderr=console, start_new_session=True
    )


def instances_dir() -> Path:
    """Where each running lab has a directory of its own."""
    return lab_dir() / "instances"


def group_of(instance: str) -> str:
    """The control group that holds every process of the lab `instance`."""
    return f"maildiag-lab/{instance}"


def running() -> dict[str, State]:
    """All labs with a state file, by id; also those whose owner was killed, until `destroy` has seen to them."""
    found = {}
    for path in sorted(instances_dir().glob("*/state.json"), key=lambda path: path.stat().st_mtime):
        found[path.parent.name] = _state_of(path)
    return found


def _state_of(path: Path) -> State:
    """What the file says, as far as we understand it: a lab of another checkout may be of another version."""
    fields = json.loads(path.read_text())
    return State(**{name: fields[name] for name in State.__slots__ if name in fields})


def endable() -> dict[str, State]:
    """The labs that a person may end without looking: those that `up` of this checkout booted, and those without an owner.

    Not the labs of programs that still run, even from this checkout: somebody else's tests may be using them.
    """
    return {instance: state for instance, state in running().items() if _is_mine(state) or _is_orphan(state)}


def _is_mine(state: State) -> bool:
    return state.purpose == "up" and state.checkout == str(_CHECKOUT)


def _is_orphan(state: State) -> bool:
    return not Path(f"/proc/{state.owner}").exists()


def the_running(release: str | None = None) -> tuple[str, State]:
    """The newest lab that `up` of this checkout booted (of `release`, if given); raises LabError where there is none."""
    for instance, state in reversed(running().items()):
        if state.leaders and _is_mine(state) and release in (None, state.release):
            return instance, state
    raise LabError(f"no lab is up{f' with {release}' if release else ''}; start one with: python -m tests.lab up")


def destroy(instance: str) -> None:
    """End every process of the lab `instance` and remove its directory; fine if it is gone already."""
    control_groups.kill(group_of(instance))
    directory = instances_dir() / instance
    wait_for(f"{directory} to be removed", lambda: _removed(directory), timeout=10)


def _removed(directory: Path) -> bool:
    shutil.rmtree(directory, ignore_errors=True)
    return not directory.exists()
