"""A recorded host: answers the questions that were asked when it was recorded, and has no way to act."""

from __future__ import annotations

import gzip
import json
import os
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any, TypeVar

from maildiag import __version__
from maildiag.codec import decode, encode
from maildiag.hosts import Host
from maildiag.model import Gap, GapReason, Reading
from maildiag.probes import Probe
from maildiag.records import dataclass

A = TypeVar("A")
SCHEMA = "maildiag.bundle/1"
EVIDENCE = ("evidence.jsonl", "evidence.jsonl.gz")


class BundleError(ValueError):
    """The file is no bundle that this version can read; the message says why."""


@dataclass(frozen=True, slots=True)
class Header:
    """Who recorded the bundle, and when (UTC)."""

    version: str
    recorded: datetime


class BundleHost:
    """A host as it was when it was recorded."""

    def __init__(self, path: Path) -> None:
        """Read the bundle (a file, gzipped or not, or a directory with `evidence.jsonl` or `evidence.jsonl.gz`).

        Raises BundleError, or OSError where the file cannot be read.
        """
        self.source = f"bundle:{path.name}"
        with _open(path) as file:
            lines = _lines(file)
            self.header = _header(next(lines, None), path)
            self._answers = dict(_answer(line) for line in lines)

    def ask(self, probe: Probe[A]) -> Reading[A] | Gap:
        """The recorded answer; a question that nobody asked then is a gap, never a guess."""
        missing = Gap(GapReason.NOT_RECORDED, f"{probe.source}: not in this recording", "record the host again")
        return self._answers.get(_key(probe), missing)

    def close(self) -> None:
        """Nothing is under way."""


class Recorder:
    """Asks another host and keeps every question with its answer."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self.source = host.source
        self.kept: dict[Probe[Any], Reading[Any] | Gap] = {}

    def ask(self, probe: Probe[A]) -> Reading[A] | Gap:
        """The other host's answer."""
        answer = self._host.ask(probe)
        self.kept[probe] = answer
        return answer

    def close(self) -> None:
        """Close the other host."""
        self._host.close()


def write(path: Path, kept: dict[Probe[Any], Reading[Any] | Gap], recorded: datetime | None = None) -> None:
    """Write a bundle, gzipped where the name ends in .gz, readable by its owner only; it appears whole or not at all."""
    header = {"schema": SCHEMA, "version": __version__, "recorded": (recorded or datetime.now(UTC)).isoformat()}
    lines = sorted(json.dumps({"ask": encode(probe), "got": encode(got)}) for probe, got in kept.items())
    data = "".join(f"{line}\n" for line in (json.dumps(header), *lines)).encode("ascii")
    number, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(number, "wb") as file:
            file.write(gzip.compress(data, mtime=0) if path.suffix == ".gz" else data)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def read(path: Path) -> dict[Probe[Any], Reading[Any] | Gap]:
    """Every question of a bundle of this version with its answer. Raises BundleError, or OSError."""
    with _open(path) as file:
        lines = _lines(file)
        _header(next(lines, None), path)
        try:
            return {decode(line["ask"]): decode(line["got"]) for line in lines}
        except (KeyError, TypeError, ValueError) as error:
            raise BundleError(f"{path} was recorded by another version: {error}") from error


def _open(path: Path) -> IO[str]:
    found = [path / name for name in EVIDENCE if (path / name).is_file()] if path.is_dir() else [path]
    if not found:
        raise BundleError(f"{path} holds no {EVIDENCE[0]}")
    file = found[0]
    with file.open("rb") as raw:
        packed = raw.read(2) == b"\x1f\x8b"
    return gzip.open(file, "rt", encoding="utf-8") if packed else file.open(encoding="utf-8")


def _lines(file: IO[str]) -> Iterator[dict[str, Any]]:
    try:
        for line in file:
            value = json.loads(line)
            if not isinstance(value, dict):
                raise BundleError("a line is no JSON object")
            yield value
    except (json.JSONDecodeError, UnicodeDecodeError, EOFError, gzip.BadGzipFile) as error:
        raise BundleError(f"not a maildiag bundle: {error}") from error


def _header(line: dict[str, Any] | None, path: Path) -> Header:
    if line is None or line.get("schema") != SCHEMA:
        raise BundleError(f"{path} is no maildiag bundle (its first line does not say {SCHEMA})")
    try:
        return Header(str(line["version"]), datetime.fromisoformat(line["recorded"]))
    except (KeyError, TypeError, ValueError) as error:
        raise BundleError(f"{path} does not say when it was recorded, and by which version") from error


def _answer(line: dict[str, Any]) -> tuple[str, Reading[Any] | Gap]:
    try:
        got = decode(line["got"])
    except (KeyError, TypeError, ValueError) as error:
        got = Gap(GapReason.NOT_RECORDED, f"recorded by another version: {error}", "record the host again")
    return json.dumps(line.get("ask"), sort_keys=True), got


def _key(probe: Probe[Any]) -> str:
    return json.dumps(encode(probe), sort_keys=True)
