"""Copies text where it really arrives: tmux first, then the terminal; and always into a file that is named."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

from maildiag.text import safe

_MOST_OSC52 = 74_994


def copy(text: str, write_osc52: Callable[[str], None], state: Path) -> str:
    """Copy `text` and say in words where it went. Raises ValueError for what would do something where it is pasted."""
    if any(safe(line, len(line)) != line for line in text.split("\n")):
        raise ValueError("there are control characters in what should be copied")
    kept = state / "clip" / "last.txt"
    where = _tmux(text) or _terminal(text, write_osc52)
    try:
        kept.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        kept.write_text(text, encoding="utf-8")
        also = f"; also in {kept}"
    except OSError as error:
        also = f"; not kept in a file ({error.strerror})"
    return f"copied {len(text.splitlines())} lines {where}{also}"


def _tmux(text: str) -> str:
    if shutil.which("tmux") is None:
        return ""
    if os.environ.get("TMUX"):
        argv = ["tmux", "load-buffer", "-w", "-"]
    elif os.environ.get("SUDO_UID") and os.environ.get("TERM", "").startswith(("tmux", "screen")):
        argv = ["tmux", "-S", f"/tmp/tmux-{int(os.environ['SUDO_UID'])}/default", "load-buffer", "-w", "-"]
    else:
        return ""
    try:
        done = subprocess.run(argv, input=text.encode(), timeout=2, capture_output=True, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return "via tmux" if done.returncode == 0 else ""


def _terminal(text: str, write_osc52: Callable[[str], None]) -> str:
    if len(text.encode("utf-8")) > _MOST_OSC52:
        return "into the file only: too long for the terminal's clipboard"
    write_osc52(text)
    return "via the terminal (OSC 52), if it allows that"
