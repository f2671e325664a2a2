"""Blocks of log text handed to the counting of each program, by the quickest way that is still exact."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from operator import itemgetter

from maildiag.logs import count_dovecot, count_postfix
from maildiag.logs.lines import MONTHS, family_of
from maildiag.logs.tally import SAMPLES, Tally

Handler = Callable[[Tally, list[str], int, str], None]

# How many characters of "host program[pid]: text" tell the program: "postfix/cleanup[" is the longest common one.
_KEY_BEYOND_HOST = 17
_MAX_KEYS = 100_000
_STAMP = re.compile(
    r"(?:<\d{1,3}>1? ?)?(?:[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d|\d{4}-\d\d-\d\d[T ][\d:.,]+(?:Z|[+-]\d\d:?\d\d)?) "
)
_TAG = re.compile(r"(?P<host>\S+) (?P<program>[^\s:\[]+)(?:\[\d*\])?(?=: |:$)")
_KEY = re.compile(r"(?P<host>\S+) (?P<program>[^\s:\[]+)(?:\[|: )")

_POSTFIX_HANDLERS: dict[str, Handler] = {
    "smtpd": count_postfix.smtpd,
    "postscreen": count_postfix.smtpd,
    "qmgr": count_postfix.queue_manager,
    "nqmgr": count_postfix.queue_manager,
    "oqmgr": count_postfix.queue_manager,
    "cleanup": count_postfix.cleanup,
    "pickup": count_postfix.pickup,
    "master": count_postfix.master,
    "anvil": count_postfix.other,
    **dict.fromkeys(
        ("smtp", "lmtp", "local", "virtual", "pipe", "error", "discard", "bounce"), count_postfix.deliveries
    ),
}


def handler_of(program: str) -> tuple[Handler, str]:
    """Return what counts the lines of a program, and the name it is counted under."""
    match family_of(program):
        case "postfix":
            daemon = program.rsplit("/", 1)[-1]
            return _POSTFIX_HANDLERS.get(daemon, count_postfix.other), daemon
        case "dovecot":
            return count_dovecot.dovecot, "dovecot"
    return ignored, program


def ignored(tally: Tally, lines: list[str], start: int, name: str) -> None:
    """Count lines of programs that are not mail's, and look no further."""
    tally.totals["lines of other programs"] += len(lines)


class _Buckets(dict[str, Callable[[str], None]]):
    """From the beginning of a line (host, program) to `append` of the list for lines of that host and program.

    A key that is too short to tell the program, or whose host was not yet seen behind a whole timestamp, leads to
    `unsure`; many keys may lead to one list.
    """

    def __init__(self) -> None:
        super().__init__()
        self.lists: dict[tuple[str, str], list[str]] = {}
        self.hosts: set[str] = set()
        self.unsure: list[str] = []

    def __missing__(self, key: str) -> Callable[[str], None]:
        match = _KEY.match(key)
        sure = match is not None and match["host"] in self.hosts
        append = self.list_of(match["host"], match["program"]).append if match and sure else self.unsure.append
        self[key] = append
        return append

    def list_of(self, host: str, program: str) -> list[str]:
        if host not in self.hosts:
            self.hosts.add(host)
            self.clear()  # keys with this host may now lead somewhere
        return self.lists.setdefault((host, program), [])


class Scanner:
    """Feeds blocks of whole lines to a tally. Text is latin-1, so that any byte is a character and none is lost."""

    def __init__(self, tally: Tally, keep: Callable[[list[str], int], list[str]] | None = None) -> None:
        self.tally = tally
        self._keep = keep
        self._buckets: dict[tuple[int, int], _Buckets] = {}
        self._order = list(_POSTFIX_HANDLERS)

    def feed(self, text: str) -> None:
        """Count a block that ends at the end of a line."""
        lines = text.split("\n")
        if lines[-1] == "":
            lines.pop()
        self._layout(lines, None)
        self.tally.shrink()

    def _layout(self, lines: list[str], start: int | None) -> None:
        """Count lines, supposing that all timestamps are as long as the first one that can be read."""
        if start is None:
            start = next((match.end() for match in map(_STAMP.match, lines) if match), 0)
        if not start:
            self._unparsed(lines)
            return
        if self._keep is not None:
            lines = self._keep(lines, start)
            if not lines:
                return
        self._count(lines, start)

    def _count(self, lines: list[str], start: int) -> None:
        host_end = max(lines[0].find(" ", start), start + 1)
        end = host_end + _KEY_BEYOND_HOST
        buckets = self._buckets.setdefault((start, end), _Buckets())
        if len(buckets) > _MAX_KEYS or len(buckets.lists) > 2000:
            buckets = self._buckets[start, end] = _Buckets()
        for line in lines:
            buckets[line[start:end]](line)
        others = self._resolve(buckets, start) if buckets.unsure else {}
        self._dispatch(buckets, start)
        for other, rest in others.items():
            self._layout_again(rest, other)

    def _resolve(self, buckets: _Buckets, start: int) -> dict[int, list[str]]:
        """Sort the lines whose key was too short by their whole tag; return those with timestamps of other lengths."""
        others: dict[int, list[str]] = {}
        for line in buckets.unsure:
            tag = _TAG.match(line, start)
            if tag and _looks_like_stamp(line, start):
                buckets.list_of(tag["host"], tag["program"]).append(line)
            else:
                stamp = _STAMP.match(line)
                others.setdefault(stamp.end() if stamp else 0, []).append(line)
        buckets.unsure.clear()
        return others

    def _layout_again(self, lines: list[str], start: int) -> None:
        """Count lines whose timestamps were found to be `start` long (0: none was found)."""
        tagged = [line for line in lines if start and _TAG.match(line, start)]
        self._unparsed(
            [line for line in lines if not (start and _TAG.match(line, start))] if len(tagged) < len(lines) else []
        )
        if self._keep is not None and tagged:
            tagged = self._keep(tagged, start)
        buckets = _Buckets()
        for line in tagged:
            tag = _TAG.match(line, start)
            if tag:
                buckets.list_of(tag["host"], tag["program"]).append(line)
        self._dispatch(buckets, start)

    def _dispatch(self, buckets: _Buckets, start: int) -> None:
        """Count every list; what submits before what is queued, delivered and removed, as in the life of a message."""
        full = [(name, lines) for name, lines in buckets.lists.items() if lines]
        removals: list[str] = []
        for (host, program), lines in sorted(full, key=_by_life):
            handler, name = handler_of(program)
            self.tally.hosts[host] += len(lines)
            self.tally.lines += len(lines)
            if handler is count_postfix.queue_manager:
                removals += count_postfix.queued(self.tally, lines, start)
            else:
                handler(self.tally, lines, start, name)
            self._stamps(lines, start)
            lines.clear()
        count_postfix.removed(self.tally, removals, start)

    def _stamps(self, lines: list[str], start: int) -> None:
        first, last = lines[0][: start - 1], lines[-1][: start - 1]
        tally = self.tally
        if not tally.first_stamp or _earlier(first, tally.first_stamp):
            tally.first_stamp = first
        if not tally.last_stamp or _earlier(tally.last_stamp, last):
            tally.last_stamp = last

    def _unparsed(self, lines: list[str]) -> None:
        lines = [line for line in lines if line.strip() and not line.startswith("-- ")]  # journalctl's own remarks
        self.tally.unparsed += len(lines)
        self.tally.lines += len(lines)
        room = SAMPLES - len(self.tally.unparsed_samples)
        self.tally.unparsed_samples.extend(line[:500] for line in lines[: max(room, 0)])


_LIFE = {"smtpd": 0, "postscreen": 0, "pickup": 0, "cleanup": 1, "qmgr": 2, "nqmgr": 2, "oqmgr": 2}


def _by_life(item: tuple[tuple[str, str], list[str]]) -> int:
    return _LIFE.get(item[0][1].rsplit("/", 1)[-1], 3)


def _looks_like_stamp(line: str, start: int) -> bool:
    match = _STAMP.match(line)
    return match is not None and match.end() == start


def _earlier(one: str, other: str) -> bool:
    """Whether a timestamp lies before another within one block (a year change is sorted out in the report)."""
    if one[:1].isdigit() or other[:1].isdigit():
        return one < other
    month, other_month = MONTHS.get(one[:3], 0), MONTHS.get(other[:3], 0)
    if month != other_month:
        return (month < other_month) == (abs(month - other_month) < 7)
    return one[4:] < other[4:]


def count_hours(counter: Counter[str], lines: list[str], start: int) -> None:
    """Count lines by day and hour: the timestamp up to the hour."""
    counter.update(map(itemgetter(slice(0, 13 if start > 17 else 9)), lines))
