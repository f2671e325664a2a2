"""Fixes of every kind on the little world, for the tests that kill them."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path

from maildiag.edits import insert_after
from maildiag.model import Fix
from tests.repair.workbench import World, existing, fix, world

Scene = tuple[World, Fix]


def _edit(root: Path) -> Scene:
    """The plain one: an edit and a reload."""
    chosen = fix(root)
    return _in(root, chosen)


def _many(root: Path) -> Scene:
    """Links, new directories, modes, a removed socket, a tree under chmod -R, a file that is made, and the edit last."""
    commands = (
        ("mkdir", "-p", str(root / "new" / "deep")),
        ("cp", str(root / "link.cf"), str(root / "new" / "deep" / "copy")),
        ("chmod", "600", str(root / "real.cf")),
        insert_after(str(root / "link.cf"), 1, "added"),
        ("chmod", "-R", "750", str(root / "store")),
        ("rm", str(root / "stale.sock")),
        ("ln", "-sfn", "elsewhere", str(root / "pointer")),
        ("mv", str(root / "old.cf"), str(root / "old.cf.disabled")),
        *fix(root).commands,
    )
    return _in(root, fix(root, commands=commands))


SCENES: dict[str, Callable[[Path], Scene]] = {"edit": _edit, "many": _many}


def _in(root: Path, chosen: Fix) -> Scene:
    return (existing(root, chosen) if (root / "service.cf").exists() else _fresh(root, chosen)), chosen


def _fresh(root: Path, chosen: Fix) -> World:
    (root / "real.cf").write_text("one\ntwo\n")
    (root / "real.cf").chmod(0o644)
    (root / "link.cf").symlink_to("real.cf")
    (root / "pointer").symlink_to("somewhere")
    (root / "old.cf").write_bytes(b"\xff\x00old\n")
    (root / "store" / "cur").mkdir(parents=True)
    (root / "store" / "cur" / "mail").write_text("mail\n")
    (root / "store" / "cur" / "mail").chmod(0o604)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(root / "stale.sock"))
    for number, name in enumerate(("real.cf", "old.cf", "store/cur/mail")):
        os.utime(root / name, ns=(10**18 + number, 10**18 + number))
        if os.geteuid() == 0:
            os.chown(root / name, 1000 + number, 2000 + number)
    return world(root, chosen)
