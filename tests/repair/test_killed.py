"""SIGKILL at every step of a fix, and of its undo: an undo afterwards leaves every file as it was."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from maildiag.repair import events, lock
from maildiag.repair.journal import State
from maildiag.repair.undo import undo
from tests.repair.scenes import SCENES
from tests.repair.workbench import World

ROOT = Path(__file__).parents[2]
Picture = dict[str, tuple[object, ...]]


def picture(root: Path) -> Picture:
    """Every path: kind and mode, owner, content or target, and for files the time of change.

    Of what the program has loaded, the content: it is the program that writes it.
    """
    found = {str(path.relative_to(root)): path for path in sorted(root.rglob("*"))}
    kept = {name: _look(path) for name, path in found.items() if not name.startswith("state")}
    return kept | {"loaded": (found["loaded"].read_text(),)}


def _look(path: Path) -> tuple[object, ...]:
    info = path.lstat()
    owner = oct(info.st_mode), info.st_uid, info.st_gid
    if stat.S_ISREG(info.st_mode):
        return (*owner, path.read_bytes(), info.st_mtime_ns)
    return (*owner, str(path.readlink())) if path.is_symlink() else owner


def kill_at(step: int, what: str, scene: str, root: Path) -> bool:
    """Let a process of its own come to that step and kill it there; False where it ended before."""
    argv = [sys.executable, "-m", "tests.repair.killed", what, scene, str(root), str(step)]
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'checks'}"}
    with subprocess.Popen(
        argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment, cwd=ROOT
    ) as process:
        assert process.stdout is not None
        seen = []
        for line in process.stdout:
            seen.append(line.strip())
            if len(seen) > step:
                process.send_signal(signal.SIGKILL)
                break
        process.stdout.close()
    assert process.returncode in (0, -signal.SIGKILL), seen
    return process.returncode == -signal.SIGKILL


def steps_of(what: str, scene: str, root: Path) -> int:
    argv = [sys.executable, "-m", "tests.repair.killed", what, scene, str(root), "-1"]
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'checks'}"}
    return len(subprocess.run(argv, capture_output=True, check=True, env=environment, cwd=ROOT).stdout.splitlines())


def undo_all(here: World) -> None:
    for each in here.shop.store.transactions():
        if each.state is not State.UNDONE:
            assert lock.wait_for_children(here.shop.store.children, 10)
            assert not [one for one in undo(each, here.shop.hand, here.shop.store) if isinstance(one, events.Done)]


@pytest.mark.parametrize("scene", SCENES)
def test_killed_at_any_step_a_fix_can_be_undone_byte_for_byte(scene: str, tmp_path: Path) -> None:
    total = _applies(scene, tmp_path / "counted")
    for step in range(total):
        root = tmp_path / str(step)
        root.mkdir()
        here, _ = SCENES[scene](root)
        before = picture(root)
        assert kill_at(step, "apply", scene, root)
        undo_all(here)
        assert picture(root) == before, f"killed at step {step}"


@pytest.mark.parametrize("scene", SCENES)
def test_an_undo_killed_at_any_step_can_be_repeated(scene: str, tmp_path: Path) -> None:
    root = tmp_path / "world"
    root.mkdir()
    here, _ = SCENES[scene](root)
    before = picture(root)
    steps_of("apply", scene, root)
    after = picture(root)
    assert after != before
    step = 0
    while kill_at(step, "undo", scene, root):
        assert here.shop.store.transactions()[0].state is State.UNDO_INTERRUPTED
        step += 1
    assert here.shop.store.transactions()[0].state is State.UNDONE
    assert picture(root) == before


def _applies(scene: str, root: Path) -> int:
    root.mkdir()
    SCENES[scene](root)
    return steps_of("apply", scene, root)
