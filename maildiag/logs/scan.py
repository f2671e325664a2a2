"""Blocks of log text handed to the counting of each program, by the quickest way that is still exact."""

from __future__ import annotations

import re
from collections.abc import Callable
from operator import attrgetter

from maildiag.logs import count_deliveries, count_dovecot, count_problems, count_queue, count_refusals, count_smtpd
from maildiag.logs.forms import as_syslog
from maildiag.logs.lines import MONTHS, family_of
from maildiag.logs.places import sort_out
from maildiag.logs.tally import SAMPLES, Tally
from maildiag.records import dataclass

Handler = Callable[[Tally, list[str], int, str], None]

# How many characters of " program[pid]: text" tell the program: "dovecot: imap-login:" is the longest common one. What
# needs more ("postfix/submission/smtpd[") gets a second, longer look.
_KEY_BEYOND_HOST = (21, 34)
_MAX_KEYS = 100_000
LONGEST = 2 << 20
_STAMP = re.compile(r"(?:[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d|\d{4}-\d\d-\d\d[T ][\d:.,]+(?:Z|[+-]\d\d:?\d\d)?) ")
_TAG = re.compile(r"(?P<host>\S+) (?P<program>[^\s:\[]+)(?:\[\d*\])?(?=: |:$)")
_KEY = re.compile(
    r"(?P<host>\S+) (?P<program>dovecot)(?:\[\d*\])?: (?P<service>[a-z0-9-]*)[^a-z0-9-]|(?P<host2>\S+) (?P<program2>(?!dovecot[:\[])[^\s:\[]+)(?:\[|: )"
)
_SERVICE = re.compile(r"[a-z0-9-]*")

_POSTFIX_HANDLERS: dict[str, Handler] = {
    "smtpd": count_smtpd.smtpd,
    "postscreen": count_smtpd.smtpd,
    "qmgr": count_queue.queue_manager,
    "nqmgr": count_queue.queue_manager,
    "oqmgr": count_queue.queue_manager,
    "cleanup": count_refusals.cleanup,
    "pickup": count_queue.pickup,
    "master": count_problems.master,
    "anvil": count_problems.other,
    **dict.fromkeys(
        ("smtp", "lmtp", "local", "virtual", "pipe", "error", "discard", "bounce"), count_deliveries.deliveries
    ),
}


def handler_of(program: str) -> tuple[Handler, str]:
    """Return what counts the lines of a program, and the name it is counted under."""
    match family_of(program):
        case "postfix":
            daemon = program.rsplit("/", 1)[-1]
            return _POSTFIX_HANDLERS.get(daemon, count_problems.other), daemon
        case "dovecot":
            service = program.partition(" ")[2]
            return (count_dovecot.login if service.endswith("-login") else count_dovecot.dovecot), service
    return ignored, program


def ignored(tally: Tally, lines: list[str], start: int, name: str) -> None:
    """Count lines of programs that are not mail's, and look no further."""
    tally.totals["lines of other programs"] += len(lines)


@dataclass(slots=True)
class _Lines:
    """The lines of one program on one host, and what counts them; `life` is the place of the program in a message's life."""

    host: str
    handler: Handler
    name: str
    life: int
    lines: list[str]


class _Buckets(dict[str, Callable[[str], None]]):
    """From the beginning of a line (host, program) to `append` of the list for lines of that host and program.

    A key that is too short to tell the program, or whose host was not yet seen behind a whole timestamp, leads to
    `unsure`; many keys may lead to one list.
    """

    def __init__(self) -> None:
        super().__init__()
        self.lists: dict[tuple[str, str], _Lines] = {}
        self.hosts: set[str] = set()
        self.unsure: list[str] = []

    def __missing__(self, key: str) -> Callable[[str], None]:
        append = self.unsure.append
        if match := _KEY.match(key):
            host, program = match["host"] or match["host2"], match["program2"] or f"dovecot {match['service']}"
            if host in self.hosts:
                append = self.list_of(host, program).append
        self[key] = append
        return append

    def learn(self, host: str) -> None:
        """Trust keys with this host from now on."""
        if host not in self.hosts:
            self.hosts.add(host)
            self.clear()

    def list_of(self, host: str, program: str) -> list[str]:
        found = self.lists.get((host, program))
        if found is None:
            handler, name = handler_of(program)
            found = self.lists[host, program] = _Lines(host, handler, name, _life(program), [])
        return found.lines


class Scanner:
    """Feeds blocks of text to a tally. Text is latin-1, so that any byte is a character and none is lost."""

    def __init__(self, tally: Tally, keep: Callable[[list[str], int], list[str]] | None = None) -> None:
        self.tally = tally
        self._keep = keep
        self._rest = ""
        self._buckets: dict[tuple[int, int], _Buckets] = {}

    def feed(self, text: str) -> None:
        """Count a block; the last line, if it is not ended, is kept for the next block.

        A line without end (a log overwritten with zeros, a core dump) is cut, so memory stays bounded.
        """
        lines = text.split("\n")
        if self._rest:
            lines[0] = self._rest + lines[0]
        self._rest = lines.pop() if len(lines) > 1 or len(lines[0]) < LONGEST else ""
        if lines:
            self._layout(lines, None)
            self.tally.shrink()

    def end(self) -> None:
        """Count the last line even if it is not ended."""
        rest, self._rest = self._rest, ""
        if rest:
            self._layout([rest], None)

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
        unsure: list[str] = lines
        for beyond in _KEY_BEYOND_HOST:
            buckets = self._bucket(start, host_end + beyond)
            end = host_end + beyond
            sort_out(unsure, slice(start, end), buckets)
            unsure, buckets.unsure[:] = list(buckets.unsure), []
            if not unsure:
                break
        others = self._resolve(buckets, unsure, start)
        self._dispatch([self._bucket(start, host_end + beyond) for beyond in _KEY_BEYOND_HOST], start)
        for other, rest in others.items():
            self._layout_again(rest, other)

    def _bucket(self, start: int, end: int) -> _Buckets:
        """The buckets for keys from `start` to `end`, emptied of keys when they are too many."""
        buckets = self._buckets.setdefault((start, end), _Buckets())
        if len(buckets) > _MAX_KEYS:
            buckets.clear()
        return buckets

    def _resolve(self, buckets: _Buckets, unsure: list[str], start: int) -> dict[int, list[str]]:
        """Sort the lines whose key was too short by their whole tag; return those with timestamps of other lengths."""
        others: dict[int, list[str]] = {}
        for line in unsure:
            tag = _TAG.match(line, start)
            if tag and _looks_like_stamp(line, start):
                self._learn(tag["host"])
                buckets.list_of(tag["host"], _program(tag, line)).append(line)
            else:
                stamp = _STAMP.match(line)
                others.setdefault(stamp.end() if stamp else 0, []).append(line)
        return others

    def _learn(self, host: str) -> None:
        for buckets in self._buckets.values():
            buckets.learn(host)

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
                buckets.list_of(tag["host"], _program(tag, line)).append(line)
        self._dispatch([buckets], start)

    def _dispatch(self, all_buckets: list[_Buckets], start: int) -> None:
        """Count every list; what submits before what is queued, delivered and removed, as in the life of a message."""
        full = [each for buckets in all_buckets for each in buckets.lists.values() if each.lines]
        removals: list[str] = []
        stamps: set[str] = set()
        for each in sorted(full, key=attrgetter("life")):
            lines = each.lines
            self.tally.hosts[each.host] += len(lines)
            self.tally.lines += len(lines)
            if each.handler is count_queue.queue_manager:
                removals += count_queue.queued(self.tally, lines, start)
            else:
                each.handler(self.tally, lines, start, each.name)
            stamps |= {lines[0][: start - 1], lines[-1][: start - 1]}
            lines.clear()
        count_queue.removed(self.tally, removals, start)
        if stamps:
            self._stamps(stamps)

    def _stamps(self, stamps: set[str]) -> None:
        """Note the first and the last of these; within a month they are in the order of their text."""
        tally = self.tally
        for stamp in stamps if len({stamp[:3] for stamp in stamps}) > 1 else {min(stamps), max(stamps)}:
            if not tally.first_stamp or _earlier(stamp, tally.first_stamp):
                tally.first_stamp = stamp
            if not tally.last_stamp or _earlier(tally.last_stamp, stamp):
                tally.last_stamp = stamp

    def _unparsed(self, lines: list[str]) -> None:
        lines = [line for line in lines if line.strip() and not line.startswith("-- ")]  # journalctl's own remarks
        if lines:
            lines = self._other_forms(lines)
        self.tally.unparsed += len(lines)
        self.tally.lines += len(lines)
        room = SAMPLES - len(self.tally.unparsed_samples)
        self.tally.unparsed_samples.extend(line[:500] for line in lines[: max(room, 0)])

    def _other_forms(self, lines: list[str]) -> list[str]:
        """Count the lines that can be written again as syslog's; return the others."""
        again: list[str] = []
        others: list[str] = []
        for line in lines:
            syslog = as_syslog(line) if line[0] in "{<" else None
            if syslog and (stamp := _STAMP.match(syslog)) and _TAG.match(syslog, stamp.end()):
                again.append(syslog)
            else:
                others.append(line)
        if again:
            self._layout(again, None)
        return others


def _program(tag: re.Match[str], line: str) -> str:
    """The program of a line; for Dovecot also its service, as the lines of a login process are counted apart."""
    if tag["program"] != "dovecot":
        return tag["program"]
    service = _SERVICE.match(line, tag.end() + 2)
    return f"dovecot {service[0] if service else ''}"


_LIFE = {"smtpd": 0, "postscreen": 0, "pickup": 0, "cleanup": 1, "qmgr": 2, "nqmgr": 2, "oqmgr": 2}


def _life(program: str) -> int:
    return _LIFE.get(program.rsplit("/", 1)[-1], 3)


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
