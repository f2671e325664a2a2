"""Reads files, directories and file systems of this machine."""

from __future__ import annotations

import contextlib
import grp
import os
import pwd
import re
import stat as modes
import struct
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path

from maildiag.model import Gap, GapReason, Missing
from maildiag.probes import (
    AclEntry,
    AclTag,
    Directory,
    DiskSpace,
    FileInfo,
    FileKind,
    FileSystem,
    FileText,
    ListDirectory,
    ReadFile,
    Stat,
)
from maildiag.secrets import without_keys


def read(probe: ReadFile) -> FileText:
    """The file's text; only regular files are opened, so that a FIFO or a device cannot hang the run."""
    descriptor = os.open(probe.path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    with os.fdopen(descriptor, "rb") as file:
        info = os.fstat(file.fileno())
        if not modes.S_ISREG(info.st_mode):
            raise Missing(Gap(GapReason.FAILED, f"{probe.path} is no regular file"))
        start = max(0, info.st_size - probe.most) if probe.tail else 0
        file.seek(start)
        data = file.read(probe.most)
        if probe.tail and start:
            data = data[data.find(b"\n") + 1 :]
    text = without_keys(data.decode("utf-8", "surrogateescape"))
    return FileText(
        re.sub(probe.hide, _hidden, text) if probe.hide else text,
        info.st_size,
        _time(info.st_mtime),
        truncated=start > 0 or info.st_size > probe.most,
    )


def _hidden(match: re.Match[str]) -> str:
    return f"{match[1] or ''}(hidden)" if match.re.groups else "(hidden)"


def stat(probe: Stat) -> FileInfo:
    """What lstat and stat say of the path; a dangling link is absent."""
    link = ""
    with contextlib.suppress(OSError):
        link = os.readlink(probe.path)  # noqa: PTH115
    return _info(probe.path, os.stat(probe.path), link, _acl(probe.path))  # noqa: PTH116 (the raw structure is wanted)


def list_directory(probe: ListDirectory) -> Directory:
    """The directory's entries with a stat of each; an entry that vanished meanwhile is left out."""
    entries: list[FileInfo] = []
    with os.scandir(probe.path) as found:
        for entry in found:
            if len(entries) >= probe.most:
                return Directory(_sorted(entries), truncated=True)
            with contextlib.suppress(FileNotFoundError):
                entries.append(_info(entry.path, entry.stat(follow_symlinks=False), "", _acl(entry.path, follow=False)))
    return Directory(_sorted(entries))


def disk_space(probe: DiskSpace) -> FileSystem:
    """The file system that holds the path (statvfs(3), proc(5))."""
    space = os.statvfs(probe.path)
    mount, kind, options = _mount(Path(probe.path).resolve())
    return FileSystem(
        mount,
        kind,
        "ro" in options,
        space.f_blocks * space.f_frsize,
        space.f_bavail * space.f_frsize,
        space.f_files,
        space.f_favail,
    )


def _mounts() -> str:
    """The host's mounts as init sees them: a hardened unit of systemd sees its own, of which most are read-only."""
    for process in ("1", "self"):
        with contextlib.suppress(OSError):
            return Path(f"/proc/{process}/mounts").read_text(errors="surrogateescape")
    return ""


def _mount(path: Path) -> tuple[str, str, list[str]]:
    best = ("/", "", [""])
    for line in _mounts().splitlines():
        _, mount, kind, options, *_ = line.split(" ")
        mount = mount.replace("\\040", " ")
        if path.is_relative_to(mount) and len(mount) >= len(best[0]):
            best = (mount, kind, options.split(","))
    return best


def _info(path: str, info: os.stat_result, link: str, acl: tuple[AclEntry, ...]) -> FileInfo:
    return FileInfo(
        path,
        _kind(info.st_mode),
        modes.S_IMODE(info.st_mode),
        _user(info.st_uid),
        _group(info.st_gid),
        info.st_size,
        _time(info.st_mtime),
        link,
        acl,
    )


def _acl(path: str, *, follow: bool = True) -> tuple[AclEntry, ...]:
    """The path's access ACL; none where it has none or its file system knows none."""
    with contextlib.suppress(OSError):
        return access_acl(os.getxattr(path, "system.posix_acl_access", follow_symlinks=follow))
    return ()


_TAGS = {2: AclTag.USER, 4: AclTag.OWNING_GROUP, 8: AclTag.GROUP, 16: AclTag.MASK}


def access_acl(data: bytes) -> tuple[AclEntry, ...]:
    """The entries of `system.posix_acl_access`, version 2 (linux/posix_acl_xattr.h); none of what is another version."""
    if data[:4] != struct.pack("<I", 2) or len(data) % 8 != 4:
        return ()
    raw = struct.iter_unpack("<HHI", data[4:])
    return tuple(AclEntry(_TAGS[tag], bits, _who(tag, number)) for tag, bits, number in raw if tag in _TAGS)


def _who(tag: int, number: int) -> str:
    named = {AclTag.USER: _user, AclTag.GROUP: _group}.get(_TAGS[tag])
    return named(number) if named else ""


def _kind(mode: int) -> FileKind:
    if modes.S_ISDIR(mode):
        return FileKind.DIRECTORY
    if modes.S_ISSOCK(mode):
        return FileKind.SOCKET
    if modes.S_ISFIFO(mode):
        return FileKind.FIFO
    if modes.S_ISCHR(mode) or modes.S_ISBLK(mode):
        return FileKind.DEVICE
    return FileKind.FILE


@lru_cache(maxsize=512)
def _user(number: int) -> str:
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return str(number)


@lru_cache(maxsize=512)
def _group(number: int) -> str:
    try:
        return grp.getgrgid(number).gr_name
    except KeyError:
        return str(number)


def _sorted(entries: list[FileInfo]) -> tuple[FileInfo, ...]:
    return tuple(sorted(entries, key=lambda entry: entry.path))


def _time(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
