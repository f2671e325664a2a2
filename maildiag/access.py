"""May an account use a file? Judged by owner and mode (path_resolution(7)), since root's own attempts tell nothing."""

from __future__ import annotations

from collections.abc import Collection

from maildiag.probes import FileInfo

READ, WRITE, SEARCH = 4, 2, 1


def allows(info: FileInfo, wanted: int, user: str, groups: Collection[str]) -> bool:
    """True where mode and owner give `user` (in `groups`) all the bits of `wanted`; ACLs are not looked at."""
    if user == "root":
        return wanted != SEARCH or bool(info.mode & 0o111)
    shift = 6 if info.owner == user else 3 if info.group in groups else 0
    return (info.mode >> shift) & wanted == wanted


def shown(info: FileInfo) -> str:
    """`0600 dovecot:root /path`, as a report tells it."""
    return f"{info.mode:04o} {info.owner}:{info.group} {info.path}"
