"""Where the lab keeps what it builds: one directory, keyed by recipe, safe for several processes."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

_FORGOTTEN_AFTER_S = 14 * 24 * 3600


def lab_dir() -> Path:
    """The directory of all caches and running instances: `$MAILDIAG_LAB_DIR`, or /var/tmp/maildiag-lab."""
    return Path(os.environ.get("MAILDIAG_LAB_DIR", "/var/tmp/maildiag-lab"))


def digest(*parts: str) -> str:
    """A short key that changes whenever one of the parts changes."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:12]


@contextmanager
def locked(name: str) -> Iterator[None]:
    """Hold the lock `name` against other processes and threads; the kernel drops it when its holder dies."""
    path = lab_dir() / "locks" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def cached(name: str, build: Callable[[Path], None]) -> Path:
    """The directory `cache/NAME`, built first where it is missing; `name` ends in the key of its recipe.

    `build` fills an empty directory. It is renamed into place only when it is complete, so a build that dies leaves nothing
    that looks finished. Whatever `build` raises passes through.
    """
    target = lab_dir() / "cache" / name
    with locked(name):
        if not target.exists():
            _forget_unused(target.parent)
            part = target.with_name(f"{name}.part")
            shutil.rmtree(part, ignore_errors=True)
            part.mkdir(parents=True)
            part.chmod(0o755)
            build(part)
            part.rename(target)
        os.utime(target)
    return target


def _forget_unused(cache: Path) -> None:
    """By age and not by number: a lab that runs still needs the layers that it booted from."""
    for entry in cache.glob("*"):
        if time.time() - entry.stat().st_mtime > _FORGOTTEN_AFTER_S:
            shutil.rmtree(entry, ignore_errors=True)
