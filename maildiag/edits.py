"""Edits of single lines of a configuration file as argument vectors that an administrator can read, type and undo.

GNU sed's `-i` keeps mode, owner and SELinux context of the file, and `--follow-symlinks` the link (sed(1)).
"""

from __future__ import annotations

import re

Argv = tuple[str, ...]


def replace_line(path: str, number: int, text: str) -> Argv:
    """Put `text` (one line) in place of line `number` (from 1). Raises ValueError for text of several lines."""
    return _sed(path, f"{number}s/.*/{_replacement(text)}/")


def comment_line(path: str, number: int) -> Argv:
    """Put `#` before line `number`."""
    return _sed(path, f"{number}s/^/#/")


def comment_lines(path: str, first: int, last: int) -> Argv:
    """Put `#` before the lines `first` to `last`, both included."""
    return _sed(path, f"{first},{last}s/^/#/")


def delete_line(path: str, number: int) -> Argv:
    """Remove line `number`."""
    return _sed(path, f"{number}d")


def insert_after(path: str, number: int, text: str) -> Argv:
    """Put `text` (one line) behind line `number`; it must not be empty. Raises ValueError for text of several lines."""
    return _sed(path, f"{number}s/$/\\n{_replacement(text)}/")


def append_line(path: str, text: str) -> Argv:
    """Put `text` (one line) behind the last line. Raises ValueError for text of several lines."""
    return _sed(path, f"$s/$/\\n{_replacement(text)}/")


def _sed(path: str, script: str) -> Argv:
    if not path.startswith("/"):
        raise ValueError(f"{path!r} is no absolute path")
    return ("sed", "-i", "--follow-symlinks", script, path)


def _replacement(text: str) -> str:
    if "\n" in text or "\0" in text:
        raise ValueError("an edit is one line")
    return re.sub(r"([\\/&])", r"\\\1", text)
