"""What a path was before a fix: content, owner, mode, times, attributes, link target, or that it was not there; and back again."""

from __future__ import annotations

import base64
import contextlib
import errno
import hashlib
import os
import stat
from enum import StrEnum
from pathlib import Path

from maildiag.records import dataclass

MOST_BYTES = 64 * 1024 * 1024
MOST_PATHS = 50_000


class CannotSave(Exception):  # noqa: N818 (a reason to refuse, not a bug)
    """The path cannot be saved, so that nothing may change it; the message says why."""


class CannotRestore(Exception):  # noqa: N818 (told to the administrator)
    """The path could not be put back as it was; the message says why and what stands there now."""


class Kind(StrEnum):
    """What stood at a path."""

    ABSENT = "absent"
    FILE = "file"
    DIRECTORY = "directory"
    LINK = "link"
    SPECIAL = "special"


class Extent(StrEnum):
    """How much of a path is saved: all of it, or its owner, mode and attributes alone (mail stores under `chown -R`)."""

    WHOLE = "whole"
    PERMISSIONS = "permissions"


@dataclass(frozen=True, slots=True, kw_only=True)
class Saved:
    """A path as it was. `copy` names the saved content in the transaction's directory; attributes are base64."""

    path: str
    kind: Kind
    extent: Extent = Extent.WHOLE
    mode: int = 0
    uid: int = 0
    gid: int = 0
    mtime_ns: int = 0
    attributes: tuple[tuple[str, str], ...] = ()
    link_to: str = ""
    copy: str = ""
    sha256: str = ""


def capture(path: str, into: Path, copy: str, extent: Extent = Extent.WHOLE) -> Saved:
    """Save `path` (not following a link at its end); content goes to `into/copy`, written through to the disk.

    Raises CannotSave.
    """
    try:
        found = os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return Saved(path=path, kind=Kind.ABSENT)
    except OSError as error:
        raise CannotSave(f"{path}: {error.strerror}") from error
    kind = _kind(found.st_mode)
    try:
        return Saved(
            path=path,
            kind=kind,
            extent=extent,
            mode=found.st_mode if kind is Kind.SPECIAL else stat.S_IMODE(found.st_mode),
            uid=found.st_uid,
            gid=found.st_gid,
            mtime_ns=found.st_mtime_ns,
            attributes=_attributes(path),
            link_to=str(Path(path).readlink()) if kind is Kind.LINK else "",
            copy=copy if kind is Kind.FILE and extent is Extent.WHOLE else "",
            sha256=_copy(path, into / copy, found.st_size) if kind is Kind.FILE and extent is Extent.WHOLE else "",
        )
    except OSError as error:
        raise CannotSave(f"{path}: {error.strerror}") from error


def matches(saved: Saved) -> bool:
    """True where the path is still, or again, as it was saved."""
    try:
        found = os.lstat(saved.path)
    except (FileNotFoundError, NotADirectoryError):
        return saved.kind is Kind.ABSENT or saved.extent is Extent.PERMISSIONS
    if saved.kind is not _kind(found.st_mode):
        return saved.extent is Extent.PERMISSIONS
    return _same_permissions(saved, found) and _same_content(saved, found)


def restore(saved: Saved, copies: Path) -> bool:
    """Put the path back as it was; True where something had to be done. Safe to repeat after being killed anywhere.

    Raises CannotRestore.
    """
    if matches(saved):
        return False
    try:
        match saved.kind:
            case Kind.ABSENT:
                _remove(saved.path)
            case _ if saved.extent is Extent.PERMISSIONS:
                _permissions(saved)
            case Kind.FILE:
                _restore_file(saved, copies)
            case Kind.LINK:
                _restore_link(saved)
            case Kind.DIRECTORY:
                _restore_directory(saved)
            case Kind.SPECIAL:
                _restore_special(saved)
    except OSError as error:
        raise CannotRestore(f"{saved.path}: {error.strerror or error}") from error
    return True


def keep_permissions(saved: Saved) -> None:
    """Give an edited file back its owner, mode and attributes (and thereby its SELinux context); the content stays."""
    with contextlib.suppress(OSError):
        found = os.lstat(saved.path)
        if saved.kind is Kind.FILE and stat.S_ISREG(found.st_mode) and not _same_permissions(saved, found):
            _permissions(saved)


def digest(path: str) -> str:
    """What stands at the path now, as a short text to compare with: kind, mode, owner, content or link target."""
    try:
        found = os.lstat(path)
        match _kind(found.st_mode):
            case Kind.FILE:
                content = _sha256(path)
            case Kind.LINK:
                content = str(Path(path).readlink())
            case _:
                content = ""
    except FileNotFoundError:
        return Kind.ABSENT
    except OSError as error:
        return f"unreadable: {error.strerror}"
    return f"{_kind(found.st_mode)}:{found.st_mode:o}:{found.st_uid}:{found.st_gid}:{content}"


def _kind(mode: int) -> Kind:
    if stat.S_ISREG(mode):
        return Kind.FILE
    if stat.S_ISDIR(mode):
        return Kind.DIRECTORY
    return Kind.LINK if stat.S_ISLNK(mode) else Kind.SPECIAL


def _copy(path: str, to: Path, size: int) -> str:
    if size > MOST_BYTES:
        raise CannotSave(f"{path}: {size} bytes are too many to save")
    data = Path(path).read_bytes()
    descriptor = os.open(to, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    return hashlib.sha256(data).hexdigest()


def _sha256(path: str) -> str:
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _attributes(path: str) -> tuple[tuple[str, str], ...]:
    """Extended attributes: SELinux context, ACLs, capabilities (xattr(7)); none where the file system has none."""
    try:
        names = os.listxattr(path, follow_symlinks=False)
    except OSError:
        return ()
    found = []
    for name in sorted(names):
        with contextlib.suppress(OSError):
            found.append((name, base64.b64encode(os.getxattr(path, name, follow_symlinks=False)).decode("ascii")))
    return tuple(found)


def _same_permissions(saved: Saved, found: os.stat_result) -> bool:
    mode = found.st_mode if saved.kind is Kind.SPECIAL else stat.S_IMODE(found.st_mode)
    same_mode = saved.kind is Kind.LINK or saved.mode == mode
    owner = (saved.uid, saved.gid) == (found.st_uid, found.st_gid)
    return same_mode and owner and saved.attributes == _attributes(saved.path)


def _same_content(saved: Saved, found: os.stat_result) -> bool:
    if saved.extent is Extent.PERMISSIONS:
        return True
    match saved.kind:
        case Kind.FILE:
            return saved.mtime_ns == found.st_mtime_ns and saved.sha256 == _sha256(saved.path)
        case Kind.LINK:
            return saved.link_to == str(Path(saved.path).readlink())
    return True


def _permissions(saved: Saved) -> None:
    """Owner first: chown(2) clears set-id bits; attributes last: chmod(2) rewrites an ACL's mask."""
    os.chown(saved.path, saved.uid, saved.gid, follow_symlinks=False)
    if saved.kind is not Kind.LINK:
        Path(saved.path).chmod(stat.S_IMODE(saved.mode))
    now = dict(_attributes(saved.path))
    for name in now.keys() - dict(saved.attributes).keys():
        os.removexattr(saved.path, name, follow_symlinks=False)
    for name, value in saved.attributes:
        if now.get(name) != value:
            os.setxattr(saved.path, name, base64.b64decode(value), follow_symlinks=False)


def _remove(path: str) -> None:
    """What the fix made goes away; a directory only when nothing but empty directories is in it, so that no mail is lost.

    A daemon makes such directories itself, as soon as there is a place for them (Postfix: `defer/A`).
    """
    if not stat.S_ISDIR(os.lstat(path).st_mode):
        Path(path).unlink()
        return
    for directory, inner, _ in os.walk(path, topdown=False):
        for each in inner:
            with contextlib.suppress(OSError):  # it is a link, a mount point, or something is in it
                Path(directory, each).rmdir()
    try:
        Path(path).rmdir()
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
        held = next((each for each in Path(path).rglob("*") if each.is_symlink() or not each.is_dir()), path)
        raise CannotRestore(f"{path}: kept, because it is not empty any more ({held})") from error


def _restore_file(saved: Saved, copies: Path) -> None:
    """Beside the file, then renamed over it: a kill leaves the old or the new one, never half of it."""
    path = Path(saved.path)
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.is_dir() and not path.is_symlink():
        path.rmdir()
    beside = path.with_name(f".{path.name}.maildiag-undo")
    data = (copies / saved.copy).read_bytes()
    if hashlib.sha256(data).hexdigest() != saved.sha256:
        raise CannotRestore(f"{saved.path}: its saved copy {copies / saved.copy} is damaged")
    _write_as(beside, data, saved)
    try:
        beside.replace(path)
    except OSError as error:
        if error.errno != errno.EBUSY:  # a file that is a mount point itself (containers) cannot be renamed over
            raise
        beside.unlink()
        _write_as(path, data, saved)
    _flush_directory(path.parent)


def _write_as(path: Path, data: bytes, saved: Saved) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW
    with os.fdopen(os.open(path, flags, 0o600), "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    _permissions(_at(saved, path))
    os.utime(path, ns=(saved.mtime_ns, saved.mtime_ns))


def _at(saved: Saved, path: Path) -> Saved:
    return Saved(
        path=str(path), kind=saved.kind, mode=saved.mode, uid=saved.uid, gid=saved.gid, attributes=saved.attributes
    )


def _restore_link(saved: Saved) -> None:
    path = Path(saved.path)
    beside = path.with_name(f".{path.name}.maildiag-undo")
    beside.unlink(missing_ok=True)
    beside.symlink_to(saved.link_to)
    os.chown(beside, saved.uid, saved.gid, follow_symlinks=False)
    beside.replace(path)
    _flush_directory(path.parent)


def _restore_directory(saved: Saved) -> None:
    path = Path(saved.path)
    if not path.is_dir():
        path.unlink(missing_ok=True)
        path.mkdir(parents=True)
    _permissions(saved)


def _restore_special(saved: Saved) -> None:
    """A socket or pipe that a fix removed: a node of the same kind; only its server can make it answer again."""
    path = Path(saved.path)
    if not path.exists():
        os.mknod(path, saved.mode)
    _permissions(saved)


def _flush_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
