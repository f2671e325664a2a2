"""Files and directories to read or look at, and the file systems that hold them."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from maildiag.probes.probe import Probe
from maildiag.records import dataclass


@dataclass(frozen=True, slots=True)
class FileText:
    """A file's text (undecodable bytes as surrogate escapes), its whole size in bytes and its time of change."""

    text: str
    size: int
    modified: datetime
    truncated: bool = False


@dataclass(frozen=True, slots=True)
class ReadFile(Probe[FileText]):
    """Read a text file: the first `most` bytes, or with `tail` the last `most` bytes from a whole line on.

    What the regular expression `hide` matches (behind its first group, where it has one that took part) is replaced by
    `(hidden)` before the text leaves the host, so that no secret gets into a reading.
    """

    path: str
    most: int = 4 * 1024 * 1024
    tail: bool = False
    timeout: float = 5.0
    hide: str = ""

    @property
    def source(self) -> str:
        return self.path

    @property
    def limit_s(self) -> float:
        return self.timeout


class FileKind(StrEnum):
    FILE = "file"
    DIRECTORY = "directory"
    SOCKET = "socket"
    FIFO = "fifo"
    DEVICE = "device"


class AclTag(StrEnum):
    """Whom an entry of an access ACL is about; the owner's and everybody's entries are the mode bits themselves."""

    USER = "user"
    OWNING_GROUP = "owning-group"
    GROUP = "group"
    MASK = "mask"


@dataclass(frozen=True, slots=True)
class AclEntry:
    """One entry of a POSIX access ACL (acl(5)): the bits 4 read, 2 write, 1 search; a name for users and groups."""

    tag: AclTag
    bits: int
    name: str = ""


@dataclass(frozen=True, slots=True)
class FileInfo:
    """stat(2) of a path, links followed: owner and group by name (by number where there is none), mode bits as 0o755.

    `acl` is empty where the file has no access ACL; where it has one, the group bits of `mode` are the ACL's mask.
    """

    path: str
    kind: FileKind
    mode: int
    owner: str
    group: str
    size: int
    modified: datetime
    link_to: str = ""
    acl: tuple[AclEntry, ...] = ()


@dataclass(frozen=True, slots=True)
class Stat(Probe[FileInfo]):
    """Look at a path without opening it; a `Gap` with the reason `absent` when there is none."""

    path: str
    timeout: float = 3.0

    @property
    def source(self) -> str:
        return f"stat {self.path}"

    @property
    def limit_s(self) -> float:
        return self.timeout


@dataclass(frozen=True, slots=True)
class Directory:
    """The entries of a directory, sorted by name; `truncated` when there were more than asked for."""

    entries: tuple[FileInfo, ...]
    truncated: bool = False


@dataclass(frozen=True, slots=True)
class ListDirectory(Probe[Directory]):
    """List a directory with a stat of each entry; at most `most` of them."""

    path: str
    most: int = 2000
    timeout: float = 5.0

    @property
    def source(self) -> str:
        return f"ls {self.path}"

    @property
    def limit_s(self) -> float:
        return self.timeout


@dataclass(frozen=True, slots=True)
class FileSystem:
    """The file system that holds a path: sizes in bytes, inodes, mount point and whether it is mounted read-only."""

    mount: str
    kind: str
    read_only: bool
    size: int
    available: int
    inodes: int
    inodes_free: int


@dataclass(frozen=True, slots=True)
class DiskSpace(Probe[FileSystem]):
    """Ask for the file system that holds a path."""

    path: str
    timeout: float = 3.0

    @property
    def source(self) -> str:
        return f"df {self.path}"

    @property
    def limit_s(self) -> float:
        return self.timeout
