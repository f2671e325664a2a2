"""Copies text where it really arrives: tmux first, then the desktop one sits at, then the terminal; and always into a file that is named."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

from maildiag.text import safe

_MOST_OSC52 = 74_994


def copy(text: str, write_osc52: Callable[[str], None], state: Path) -> str:
    """Copy `text` and say in words where it went. Raises ValueError for what would do something where it is pasted."""
    if any(safe(line, len(line)) != line for line in text.split("\n")):
        raise ValueError("there are control characters in what should be copied")
    kept = state / "clip" / "last.txt"
    where = _tmux(text) or _desktop(text) or _terminal(text, write_osc52)
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
    return "via tmux" if _given(argv, text) else ""


# Which variable says that there is such a desktop, and how its clipboard is filled (wl-copy(1), xclip(1), xsel(1)).
_DESKTOPS = (
    ("WAYLAND_DISPLAY", ("wl-copy",)),
    ("DISPLAY", ("xclip", "-selection", "clipboard")),
    ("DISPLAY", ("xsel", "--clipboard", "--input")),
)


def _desktop(text: str) -> str:
    """Only on the machine one sits at: over SSH such a program fills the clipboard of a desktop that nobody looks at."""
    if os.environ.get("SSH_CONNECTION"):
        return ""
    for variable, argv in _DESKTOPS:
        if os.environ.get(variable) and shutil.which(argv[0]) and _given(argv, text):
            return f"via {argv[0]}"
    return ""


def _given(argv: Sequence[str], text: str) -> bool:
    """True where the program took the text. What goes on holding a selection must not hold our pipes: it gets none for its output."""
    try:
        done = subprocess.run(
            argv, input=text.encode(), timeout=2, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


def _terminal(text: str, write_osc52: Callable[[str], None]) -> str:
    if len(text.encode("utf-8")) > _MOST_OSC52:
        return "into the file only: too long for the terminal's clipboard"
    write_osc52(text)
    return "via the terminal (OSC 52), if it allows that"
