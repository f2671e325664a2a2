"""A copy of both configurations in one archive for its owner only: secrets included, which is the point of a backup."""

from __future__ import annotations

import io
import os
import tarfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from maildiag.records import dataclass

MANIFEST = "maildiag-backup.txt"


@dataclass(frozen=True, slots=True)
class Backup:
    """What an archive holds; `missed` could not be read, with the reason."""

    file: Path
    paths: tuple[str, ...]
    missed: tuple[str, ...]


def places(
    postfix: str = "/etc/postfix", dovecot: str = "/etc/dovecot", aliases: Sequence[str] = ("/etc/aliases",)
) -> tuple[Path, ...]:
    """What belongs to a mail host's configuration and is there."""
    wanted = [postfix, dovecot, *aliases, "/etc/mailname", "/etc/hosts", "/etc/resolv.conf", "/etc/default/postfix"]
    return tuple(Path(each) for each in dict.fromkeys(wanted) if os.path.lexists(each))


def write(file: Path, what: Sequence[Path], host: str = "") -> Backup:
    """Write the archive (gzip), mode 600, whole or not at all; owners, modes, times and links are kept.

    Raises OSError; an existing file is replaced.
    """
    beside = file.with_name(f".{file.name}.part")
    beside.unlink(missing_ok=True)
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    kept: list[str] = []
    missed: list[str] = []
    try:
        with os.fdopen(descriptor, "wb") as raw:
            with tarfile.open(fileobj=raw, mode="w:gz", format=tarfile.PAX_FORMAT) as archive:
                for path in (each for root in what for each in _all(root)):
                    _add(archive, path, kept, missed)
                _manifest(archive, kept, host)
            raw.flush()
            os.fsync(raw.fileno())
        beside.replace(file)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
    return Backup(file, tuple(kept), tuple(missed))


def _all(root: Path) -> Iterator[Path]:
    yield root
    if root.is_dir() and not root.is_symlink():
        yield from sorted(root.rglob("*"))


def _add(archive: tarfile.TarFile, path: Path, kept: list[str], missed: list[str]) -> None:
    try:
        archive.add(path, arcname=str(path).lstrip("/"), recursive=False)
    except OSError as error:
        missed.append(f"{path}: {error.strerror}")
    else:
        kept.append(str(path))


def _manifest(archive: tarfile.TarFile, kept: Sequence[str], host: str) -> None:
    text = f"Mail configuration of {host or 'this host'}; restore a file with: tar -xpzf ARCHIVE -C / PATH\n"
    data = (text + "\n".join(kept) + "\n").encode("utf-8", "surrogateescape")
    info = tarfile.TarInfo(MANIFEST)
    info.size, info.mode, info.mtime = len(data), 0o600, int(time.time())
    archive.addfile(info, io.BytesIO(data))
