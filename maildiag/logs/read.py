"""Logs read into one tally: in order, in parallel where that helps, and only what is new where that is known."""

from __future__ import annotations

import gc
import os
import threading
from collections.abc import Iterable, Sequence
from datetime import datetime
from functools import partial
from itertools import pairwise
from pathlib import Path

from maildiag.logs import state
from maildiag.logs.scan import Scanner
from maildiag.logs.source import Source, SourceError, blocks, in_order, opened
from maildiag.logs.tally import Tally
from maildiag.logs.window import Window, offset_since
from maildiag.logs.worker import Worker
from maildiag.records import dataclass

# Below this a second process costs more than it saves.
PARALLEL_FROM = 8 << 20
REMEMBER_FROM = 1 << 20


@dataclass(frozen=True, slots=True)
class Options:
    """How to read: the window, processes (0: one per core), connection times, and whether to remember counts."""

    now: datetime
    since: datetime | None = None
    until: datetime | None = None
    jobs: int = 0
    sessions: bool = False
    remember: bool = False

    def window(self) -> Window:
        return Window(self.now, self.since, self.until)


def read_logs(sources: Iterable[Source], options: Options) -> tuple[Tally, list[str]]:
    """Return the counts of all sources in order of time, and one line for each that could not be read to its end."""
    tally: Tally | None = None
    errors, enabled = [], gc.isenabled()
    gc.disable()  # millions of short-lived strings and no cycles: the collector would only cost time
    try:
        for source in in_order(list(sources), options.now):
            try:
                part = _read(source, options)
                if tally is None:
                    tally = part
                else:
                    tally.merge(part)
            except SourceError as error:
                errors.append(str(error))
            except (OSError, EOFError) as error:
                errors.append(f"{source.name}: {getattr(error, 'strerror', None) or error}")
    finally:
        if enabled:
            gc.enable()
    return tally or _new(options), errors


def _new(options: Options) -> Tally:
    tally = Tally()
    if options.sessions:
        tally.scratch["count sessions"] = True
    return tally


def _read(source: Source, options: Options) -> Tally:
    if not source.plain or source.path is None:
        with opened(source) as stream:
            return _scan(blocks(stream), options)
    path = Path(source.path)
    size = path.stat().st_size
    if options.window().everything and options.remember and not options.sessions and size >= REMEMBER_FROM:
        return _read_new(path, size, options)
    return _read_range(path, offset_since(path, options.window()), size, options)


def _read_new(path: Path, size: int, options: Options) -> Tally:
    """Count what is new since the last run, and remember all that was counted."""
    remembered = state.load(path)
    end = _whole_lines(path, size)
    offset = remembered.offset if remembered else 0
    tally = _read_range(path, offset, end, options)
    if remembered:
        remembered.tally.merge(tally)
        tally = remembered.tally
    if end > offset:
        state.save(path, tally, end)
    return tally


def _whole_lines(path: Path, size: int) -> int:
    """Return where the last whole line ends: a line that is being written is left for the next run."""
    with path.open("rb") as file:
        file.seek(max(size - 65536, 0))
        tail = file.read(min(size, 65536))
    cut = tail.rfind(b"\n") + 1
    return size - len(tail) + cut if cut else size


def _read_range(path: Path, begin: int, end: int, options: Options) -> Tally:
    jobs = options.jobs or len(os.sched_getaffinity(0))
    if jobs < 2 or end - begin < PARALLEL_FROM or threading.active_count() > 1:
        return _scan_range(path, begin, end, options)
    return _in_parallel(path, _cuts(path, begin, end, jobs), options)


def _cuts(path: Path, begin: int, end: int, parts: int) -> list[int]:
    """Return offsets of line starts that divide the range into about equal parts."""
    cuts = [begin]
    with path.open("rb") as file:
        for part in range(1, parts):
            file.seek(begin + (end - begin) * part // parts)
            file.readline()
            if cuts[-1] < file.tell() < end:
                cuts.append(file.tell())
    return [*cuts, end]


def _in_parallel(path: Path, cuts: Sequence[int], options: Options) -> Tally:
    """Count the first part here and each other part in a process of its own; merge in order."""
    workers = [Worker(partial(_scan_range, path, begin, end, options)) for begin, end in pairwise(cuts[1:])]
    try:
        tally = _scan_range(path, cuts[0], cuts[1], options)
        for worker in workers:
            tally.merge(worker.result())
    finally:
        for worker in workers:
            worker.end()
    return tally


def _scan_range(path: Path, begin: int, end: int, options: Options) -> Tally:
    with opened(Source(str(path), str(path)), begin) as stream:
        return _scan(blocks(stream, end - begin), options)


def _scan(texts: Iterable[bytes], options: Options) -> Tally:
    tally, window = _new(options), options.window()
    scanner = Scanner(tally, None if window.everything else window.keep)
    for text in texts:
        tally.bytes_read += len(text)
        scanner.feed(text.decode("latin-1"))
    scanner.end()
    tally.outside_window = window.outside
    return tally
