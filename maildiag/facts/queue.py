"""Postfix's mail queue: what postqueue(1) tells of it, grouped, and what lies in the directories that it does not list."""

from __future__ import annotations

import re
from datetime import datetime

from maildiag.asking import Ask
from maildiag.facts.local_time import LocalTime
from maildiag.facts.postfix import WITHOUT, Postfix
from maildiag.model import Gap, GapReason, Missing
from maildiag.probes import Command, CommandResult, Directory, FileInfo, FileKind, ListDirectory
from maildiag.queue.entries import read_json, read_text
from maildiag.queue.grouping import Grouped, group
from maildiag.records import dataclass
from maildiag.registry import begins, gatherer

MOST_BYTES = 24 * 1024 * 1024
_LISTING = Command(("postqueue", "-j"), timeout=20.0, most=MOST_BYTES)
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}


@dataclass(frozen=True, slots=True)
class Queue:
    """The queue as grouped; `complete` is False where it was too long to be read whole, `direct` True where Postfix is
    down and its files were read instead. `lifetime` and `bounce_lifetime` in seconds (maximal_queue_lifetime and
    bounce_queue_lifetime).
    """

    grouped: Grouped
    now: int
    command: str = "postqueue -j"
    complete: bool = True
    direct: bool = False
    lifetime: int = 5 * 86400
    bounce_lifetime: int = 5 * 86400

    @property
    def total(self) -> int:
        """Messages in all queues that postqueue lists."""
        return self.grouped.total


@dataclass(frozen=True, slots=True)
class Maildrop:
    """Messages in the maildrop directory that pickup(8) has not taken, and since when; files that are still being written
    (not executable, postdrop(1)) are left out. `corrupt` are files that Postfix has set aside as damaged.
    """

    path: str
    waiting: tuple[FileInfo, ...]
    corrupt: tuple[FileInfo, ...]
    now: datetime
    more: bool = False


@begins(_LISTING)
def queue(ask: Ask, postfix: Postfix | None, time: LocalTime) -> Queue:
    """Ask `postqueue -j`; on Postfix before 3.1 `postqueue -p`. Raises Missing where it refuses to tell."""
    if postfix is not None and not postfix.installed:
        raise Missing(WITHOUT)
    told = ask(_LISTING)
    now = int(time.now.timestamp())
    lifetime = _lifetime(postfix, "maximal_queue_lifetime")
    bounces = _lifetime(postfix, "bounce_queue_lifetime")
    if told.status and re.search(r"invalid option|usage:|illegal option", told.stderr):
        text = ask(Command(("postqueue", "-p"), timeout=20.0, most=MOST_BYTES))
        _refused(text)
        entries = read_text(text.stdout.splitlines(), time.now)
        return Queue(group(entries, now), now, "postqueue -p", not text.truncated, _direct(text), lifetime, bounces)
    _refused(told)
    lines = told.stdout.splitlines()
    if told.truncated and lines:
        lines.pop()
    if told.stdout.strip() and next(read_json(lines[:1]), None) is None:
        raise Missing(Gap(GapReason.FAILED, "postqueue -j printed something else than the queue"))
    return Queue(
        group(read_json(lines), now), now, "postqueue -j", not told.truncated, _direct(told), lifetime, bounces
    )


def _direct(told: CommandResult) -> bool:
    return "accessing queue directly" in told.stderr


def _refused(told: CommandResult) -> None:
    """postqueue(1): exit status 69 where the queue may not be seen or Postfix is down and we are not root."""
    if told.status == 0 or told.truncated:
        return
    words = (
        re.sub(r"^postqueue: (?:fatal|error): ", "", told.stderr.strip().splitlines()[0]) if told.stderr.strip() else ""
    )
    if "not allowed to view" in words or "mail system is down" in words:
        raise Missing(Gap(GapReason.DENIED, f"postqueue: {words}", "needs root"))
    raise Missing(Gap(GapReason.FAILED, f"postqueue failed with status {told.status}: {words}"))


def _lifetime(postfix: Postfix | None, name: str) -> int:
    return parse_seconds(postfix.get(name, "5d") if postfix is not None else "5d", 5 * 86400)


def parse_seconds(text: str, otherwise: int) -> int:
    """A time value of main.cf (`5d`, `300s`, a bare number in days as the lifetimes have it) in seconds (postconf(5))."""
    match = re.fullmatch(r"\s*(\d+)\s*([smhdw]?)\s*", text)
    return int(match[1]) * _UNITS[match[2] or "d"] if match else otherwise


@gatherer
def maildrop(ask: Ask, postfix: Postfix, time: LocalTime) -> Maildrop:
    """List maildrop and corrupt. Raises Missing without root: both are closed to others."""
    if not postfix.installed:
        raise Missing(WITHOUT)
    root = postfix.get("queue_directory", "/var/spool/postfix")
    waiting, corrupt = ask.all([ListDirectory(f"{root}/maildrop"), ListDirectory(f"{root}/corrupt")])
    if isinstance(waiting, Gap):
        raise Missing(waiting)
    files = [each for each in waiting.entries if each.kind is FileKind.FILE and each.mode & 0o100]
    damaged = [each for each in corrupt.entries if each.kind is FileKind.FILE] if isinstance(corrupt, Directory) else []
    return Maildrop(f"{root}/maildrop", tuple(files), tuple(damaged), time.now, waiting.truncated)
