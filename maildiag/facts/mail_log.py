"""What the mail log says in the window that is judged: files and journal put together, oldest line first."""

from __future__ import annotations

import heapq
import re
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from functools import partial
from itertools import takewhile
from operator import itemgetter

from maildiag.asking import Ask
from maildiag.facts.journal import JournalWindow
from maildiag.facts.local_time import LocalTime
from maildiag.facts.log_sources import LogFile, LogSources
from maildiag.facts.processes import ProcessTable
from maildiag.logs.lines import parse_line
from maildiag.logs.summary import LogSummary, summarise
from maildiag.model import Gap, GapReason, Missing
from maildiag.probes import CommandResult, FileText, ReadFile, command
from maildiag.records import dataclass
from maildiag.registry import begins

MOST_BYTES = 6 * 1024 * 1024
_LATE = timedelta(seconds=60)
_QUARTER, _FURTHEST = timedelta(minutes=15), timedelta(hours=26)  # zones differ by quarters of an hour, from -12 to +14
_ZONED = re.compile(r"\d{4}-\d\d-\d\d")
LATEST = command("journalctl", "--quiet", "--no-pager", "--lines=1", "--output=short-iso-precise", "SYSLOG_FACILITY=2")
RECENT = command(
    "journalctl",
    "--quiet",
    "--no-pager",
    "--lines=200",
    "--priority=info",
    "--output=short-iso-precise",
    "SYSLOG_FACILITY=2",
)
_MOMENT = timedelta(seconds=3)  # a logger writes what it got at once, or never
_SETTLED = timedelta(seconds=3)
_ENOUGH = 3
_FILE_TAIL = 3000
_SAID = re.compile(r"(postfix[\w./-]*)\[\d+\]: .{1,300}")
_OLDEST = datetime.min.replace(tzinfo=UTC)
JOURNAL = "journal"
_TOOL = re.compile(r"\bpost(?:queue|map|alias|conf|cat)\[\d+\]: ")


@dataclass(frozen=True, slots=True)
class ReadSource:
    """One source that was read, or could not be: its name, lines in the window, its latest line's time."""

    name: str
    lines: int = 0
    last: datetime | None = None
    cut: bool = False
    gap: Gap | None = None


@dataclass(frozen=True, slots=True)
class MailLog:
    """The window of the mail log from `since` on; `source` names where mail itself is logged.

    `complete` is False where the window was cut. `stale` are log files that lack what the journal has; then the journal
    was read instead. `shown_by` is the command that shows the same lines to a person. `offset` is how far lines without a
    zone are behind the host's own: they are written by daemons that began before its time zone was changed. `lacking` are
    the programs of Postfix whose lines the journal has and a stale file has not.
    """

    source: str
    since: datetime
    summary: LogSummary
    sources: tuple[ReadSource, ...]
    complete: bool = True
    shown_by: str = ""
    stale: tuple[str, ...] = ()
    offset: timedelta = timedelta(0)
    lacking: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Text:
    """The raw lines of one source; `moved` where the rotated file goes on being written to instead of this one; `written`
    when the file was changed last.
    """

    name: str
    lines: Sequence[str]
    cut: bool = False
    moved: bool = False
    written: datetime | None = None


@begins(LATEST, RECENT)
def mail_log(
    ask: Ask, time: LocalTime, places: LogSources, window: JournalWindow, processes: ProcessTable | None
) -> MailLog:
    """Read the tail of the mail log's files, and of the journal what no file holds: systemd's and the kernel's lines.

    Raises Missing where nothing may be read.
    """
    since = window.since
    read = [_file(ask, each, since) for each in places.files()]
    texts = [each for each in read if isinstance(each, _Text)]
    main = _main_texts(texts, places)
    newest, recent = ask.maybe(LATEST), ask.maybe(RECENT)
    latest = _latest_in_journal(newest, time.now) if main else None
    offset = max((_offset(each, latest, time.now) for each in main), key=abs, default=timedelta(0))
    time = replace(time, now=time.now.astimezone(timezone((time.now.utcoffset() or timedelta(0)) - offset)))
    said = recent.stdout.splitlines() if isinstance(recent, CommandResult) else []
    lacking = {
        each.name: programs
        for each in _of_postfix(texts, places)
        if (programs := _lacks(each, said, time.now, _began(processes)))
    }
    stale = tuple(
        each.name
        for each in _of_postfix(texts, places)
        if each.name in lacking or (each.lines and latest is not None and _behind(each, latest, time.now))
    )
    by_mail = [each for each in main if each.name not in stale]
    journal = _journal(newest if _timed_out(newest) else ask.maybe(window.query(mail=not by_mail)))
    if not texts and isinstance(journal, Gap):
        raise Missing(_why_not(places, journal))
    source = by_mail[0].name if by_mail or isinstance(journal, Gap) else JOURNAL
    found = _together(time, since, [each for each in texts if each.name not in stale], journal, read, source, stale)
    return replace(found, offset=offset, lacking=tuple(dict.fromkeys(one for each in lacking.values() for one in each)))


def _began(processes: ProcessTable | None) -> datetime:
    """When the logger was surely at work, which is soon after it began: what was said before, it does not write any more."""
    started = [each.started for each in processes.named("rsyslogd", "syslog-ng")] if processes is not None else []
    return max(started) + _SETTLED if started else _OLDEST


def _lacks(text: _Text, recent: Sequence[str], now: datetime, began: datetime) -> tuple[str, ...]:
    """The programs of Postfix whose recent lines in the journal this file has not: all of the latest ones, or all that a
    program said. Single lines get lost at a rotation or by a limit.
    """
    begins = max(began, line_time(text.lines[0], now) if text.lines else text.written or _OLDEST)
    said = [
        (found, when)
        for raw in recent
        if begins < (when := line_time(raw, now)) < now - _MOMENT and (found := _SAID.search(raw))
    ]
    there: dict[str, list[str]] = {found[0]: [] for found, _ in said}
    for raw in text.lines[-_FILE_TAIL:]:
        if (same := _SAID.search(raw)) and same[0] in there:
            there[same[0]].append(raw)
    kept = [any(abs(line_time(raw, now) - when) < _MOMENT for raw in there[found[0]]) for found, when in said]
    after = list(takewhile(lambda pair: not pair[1], zip(reversed(said), reversed(kept), strict=True)))
    if len(after) >= _ENOUGH:
        return tuple(sorted({found[1] for (found, _), _ in after}))
    lines: dict[str, list[bool]] = {}
    for (found, _), seen in zip(said, kept, strict=True):
        lines.setdefault(found[1], []).append(seen)
    return tuple(sorted(name for name, all_ in lines.items() if len(all_) >= _ENOUGH and not any(all_)))


def _offset(text: _Text, latest: datetime | None, now: datetime) -> timedelta:
    """How far the file's last line seems behind the moment when it was written: nothing, or what zones differ by.

    Daemons keep the zone that they began with (tzset(3)), so that lines without a zone are off once it was changed.
    """
    if latest is None or text.written is None or abs(text.written - latest) > _LATE or _ZONED.match(text.lines[-1]):
        return timedelta(0)
    behind = text.written - line_time(text.lines[-1], now)
    whole = round(behind / _QUARTER) * _QUARTER
    return whole if _QUARTER <= abs(whole) <= _FURTHEST and abs(behind - whole) < _LATE else timedelta(0)


def _timed_out(answer: object) -> bool:
    return isinstance(answer, Gap) and answer.reason is GapReason.TIMEOUT


def _latest_in_journal(told: CommandResult | Gap, now: datetime) -> datetime | None:
    """When the journal got its latest line of the mail facility; None where it has none or is closed to us."""
    lines = told.stdout.splitlines() if isinstance(told, CommandResult) else []
    when = line_time(lines[-1], now) if lines else _OLDEST
    return None if when == _OLDEST else when


def _behind(text: _Text, latest: datetime, now: datetime) -> bool:
    """True for a file that lacks what the journal has: nobody writes to it any more."""
    return text.moved or latest - line_time(text.lines[-1], now) > _LATE


def _main_texts(texts: Sequence[_Text], places: LogSources) -> list[_Text]:
    return [each for each in _of_postfix(texts, places) if each.lines]


def _of_postfix(texts: Sequence[_Text], places: LogSources) -> list[_Text]:
    """The files in which Postfix logs: all but those that only Dovecot writes."""
    only_dovecot = {each.path for each in places.configured if each.daemon == "dovecot"}
    return [each for each in texts if each.name not in only_dovecot]


def _file(ask: Ask, file: LogFile, since: datetime) -> _Text | ReadSource:
    """The file's tail, with that of the one before it where the log was rotated within the window."""
    got = ask.maybe(ReadFile(file.path, most=MOST_BYTES, tail=True))
    if isinstance(got, Gap):
        return ReadSource(file.path, gap=got)
    lines, cut, moved = got.text.splitlines(), got.truncated, False
    if not cut:
        before = ask.maybe(ReadFile(f"{file.path}.1", most=MOST_BYTES, tail=True))
        if isinstance(before, FileText) and before.modified >= since:
            lines, cut = [*before.text.splitlines(), *lines], before.truncated
            moved = before.modified > got.modified
    return _Text(file.path, lines, cut, moved, got.modified)


def _journal(told: CommandResult | Gap) -> _Text | Gap:
    if isinstance(told, Gap):
        return told
    if told.stdout:
        return _Text(JOURNAL, told.stdout.splitlines(), told.truncated)
    words = told.stderr.strip()
    if re.search(r"insufficient permissions|not permitted|Permission denied", words):
        return Gap(
            GapReason.DENIED, "journalctl: the journal is closed to this user", "needs root or group systemd-journal"
        )
    if told.status and words:
        return Gap(GapReason.FAILED, f"journalctl: {words.splitlines()[0][:200]}")
    return _Text(JOURNAL, ())


def _why_not(places: LogSources, journal: Gap) -> Gap:
    denied = next((each for each in places.files()), None)
    if denied is not None:
        return Gap(GapReason.DENIED, f"{denied.path} may not be read", "needs root or group adm")
    return journal


def _together(
    time: LocalTime,
    since: datetime,
    texts: Sequence[_Text],
    journal: _Text | Gap,
    read: Sequence[_Text | ReadSource],
    source: str,
    stale: tuple[str, ...],
) -> MailLog:
    when = partial(line_time, now=time.now)
    parts = [*texts, *([journal] if isinstance(journal, _Text) else [])]
    lines: Sequence[str] = ()
    for each in parts:
        lines = interleave(lines, each.lines, time.now)
    told = [_told(each, when) for each in parts]
    told += [each for each in read if isinstance(each, ReadSource)]
    told += [ReadSource(JOURNAL, gap=journal)] if isinstance(journal, Gap) else []
    return MailLog(
        source=source,
        since=since,
        summary=summarise(lines, time.now, since, keep=not_a_tool),
        sources=tuple(told),
        complete=not any(each.cut and not _reaches(each, since, time.now) for each in parts),
        shown_by=shown_by(source, since),
        stale=stale,
    )


def _told(text: _Text, when: partial[datetime]) -> ReadSource:
    last = when(text.lines[-1]) if text.lines else _OLDEST
    return ReadSource(text.name, len(text.lines), None if last == _OLDEST else last, text.cut)


def _reaches(text: _Text, since: datetime, now: datetime) -> bool:
    """True where the cut lies before the window."""
    return bool(text.lines) and _OLDEST < line_time(text.lines[0], now) <= since


def not_a_tool(raw: str) -> bool:
    """False for what a tool said to whoever ran it: postqueue(1) and its like write their complaints into the mail log as
    well, and maildiag runs them.
    """
    return _TOOL.search(raw) is None


def shown_by(source: str, since: datetime) -> str:
    """The command by which a person sees the same lines."""
    if source != JOURNAL:
        return f"tail {source}"
    return f"journalctl SYSLOG_FACILITY=2 --since '{since:%Y-%m-%d %H:%M}'"


def line_time(raw: str, now: datetime) -> datetime:
    """When the line was written; the oldest time there is where it does not say."""
    line = parse_line(raw, now)
    return line.when if line is not None and line.when is not None else _OLDEST


def interleave(many: Sequence[str], few: Sequence[str], now: datetime) -> Sequence[str]:
    """Both, each in its own order, put together by time.

    Reading the time of a line costs more than anything else here, so that a short list is placed into a long one by
    bisection.
    """
    if not many or not few:
        return many or few
    if len(few) > len(many):
        many, few = few, many
    when = partial(line_time, now=now)
    if len(few) * 20 > len(many):
        return [raw for _, raw in heapq.merge(_carrying(many, now), _carrying(few, now), key=itemgetter(0))]
    merged: list[str] = []
    done = 0
    for raw in few:
        place = bisect_right(many, when(raw), lo=done, key=when)
        merged += [*many[done:place], raw]
        done = place
    return [*merged, *many[done:]]


def _carrying(lines: Iterable[str], now: datetime) -> list[tuple[datetime, str]]:
    """Each line with its time; one that has none belongs to the line before it."""
    found: list[tuple[datetime, str]] = []
    for raw in lines:
        when = line_time(raw, now)
        found.append((found[-1][0] if found and when == _OLDEST else when, raw))
    return found
