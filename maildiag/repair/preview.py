"""What a fix would change in files, as a diff: the same editing commands, carried out on a scratch copy."""

from __future__ import annotations

import contextlib
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from maildiag.hosts.commands import ENVIRONMENT
from maildiag.model import Fix
from maildiag.programs import PATH
from maildiag.records import dataclass
from maildiag.redact import cut_secrets
from maildiag.repair import actions
from maildiag.repair.actions import Argv
from maildiag.repair.diffs import closed, unified
from maildiag.repair.targets import Places, targets
from maildiag.text import safe_lines

_LIMIT_S = 10.0


@dataclass(frozen=True, slots=True)
class FileDiff:
    """A unified diff of one file; safe to show, secrets cut. Of a file that not everybody may read no more is shown than what changes."""

    path: str
    text: str


@dataclass(frozen=True, slots=True)
class Unseen:
    """A command whose effect cannot be shown beforehand, and why."""

    argv: Argv
    why: str


@dataclass(frozen=True, slots=True)
class Preview:
    """The diffs of all files that the commands would edit, and the commands that no diff can show."""

    diffs: tuple[FileDiff, ...]
    unseen: tuple[Unseen, ...]


def preview(fix: Fix, places: Places | None = None) -> Preview:
    """Carry out the fix's edits on copies and compare; the host stays as it is."""
    where = places or Places()
    unseen: list[Unseen] = []
    with tempfile.TemporaryDirectory(prefix="maildiag-preview-") as scratch:
        copies = _Copies(Path(scratch), where)
        for argv in fix.commands:
            why = copies.edit(argv)
            if why:
                unseen.append(Unseen(argv, why))
        return Preview(tuple(copies.diffs()), tuple(unseen))


class _Copies:
    """Scratch copies of the files that are edited."""

    def __init__(self, scratch: Path, places: Places) -> None:
        self._scratch = scratch
        self._places = places
        self._copies: dict[str, Path] = {}

    def edit(self, argv: Argv) -> str:
        """Carry the command out on copies; why that cannot be done, or an empty string."""
        if actions.refusal(argv):
            return actions.refusal(argv)
        match argv[0]:
            case "postconf":
                return self._postconf(argv)
            case "sed":
                return self._run((*argv[:-1], str(self._copy(argv[-1]))))
        found = targets(argv, self._places)
        if found:
            return f"changes {', '.join(each.path for each in found)} in a way that a diff does not show"
        return "changes no file"

    def diffs(self) -> Iterator[FileDiff]:
        """What is different in each copy."""
        for path, copy in self._copies.items():
            before, after = _lines(Path(path)), _lines(copy)
            shown = unified(path, before, after) if _open_to_all(Path(path)) else closed(path, before, after)
            text = safe_lines(cut_secrets("\n".join(shown)), most=400)
            if text:
                yield FileDiff(path, text)

    def _postconf(self, argv: Argv) -> str:
        """postconf(1) edits the files of the directory that it is told with -c."""
        if "-c" in argv or not targets(argv, self._places):
            return "is no plain edit of main.cf or master.cf"
        directory = self._scratch / "postfix"
        directory.mkdir(exist_ok=True)
        for name in ("main.cf", "master.cf"):
            self._copies.setdefault(f"{self._places.postfix}/{name}", self._duplicate(name, directory))
        return self._run((argv[0], "-c", str(directory), *argv[1:]))

    def _duplicate(self, name: str, directory: Path) -> Path:
        copy = directory / name
        if not copy.exists():
            with contextlib.suppress(OSError):
                shutil.copyfile(Path(self._places.postfix) / name, copy)
        return copy

    def _copy(self, path: str) -> Path:
        if path not in self._copies:
            copy = self._scratch / f"{len(self._copies)}"
            with contextlib.suppress(OSError):
                shutil.copyfile(path, copy)
            self._copies[path] = copy
        return self._copies[path]

    def _run(self, argv: Sequence[str]) -> str:
        if shutil.which(argv[0], path=PATH) is None:
            return f"{argv[0]} is not installed"
        try:
            done = subprocess.run(
                argv, stdin=subprocess.DEVNULL, capture_output=True, env=ENVIRONMENT, cwd="/", timeout=_LIMIT_S
            )
        except subprocess.TimeoutExpired:
            return f"{argv[0]} did not answer within {_LIMIT_S:g} s"
        if done.returncode == 0:
            return ""
        return f"{argv[0]} fails: {done.stderr.decode('utf-8', 'replace').strip()}"


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text("utf-8", "surrogateescape").splitlines()
    except OSError:
        return []


def _open_to_all(path: Path) -> bool:
    try:
        return bool(path.stat().st_mode & stat.S_IROTH)
    except OSError:
        return False
