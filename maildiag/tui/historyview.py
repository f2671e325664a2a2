"""Earlier runs, changes of the host, and what differs between two runs, as rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime

from maildiag.history import PastRun, amount, change, picture, trends
from maildiag.model import Status
from maildiag.records import dataclass
from maildiag.repair.journal import Transaction
from maildiag.text import plural, safe
from maildiag.tui import repairsview
from maildiag.tui.rows import STATUS_TONES, STATUS_WORDS, Part, Row, Tone, caption, row, word, wrapped

_LATELY = 40  # points of a trend


@dataclass(frozen=True, slots=True)
class Past:
    """What is kept: the runs of this host and the changes made to it, both newest first; `trouble` says why not all.

    Of a recording and of a host `elsewhere` none are.
    """

    runs: Sequence[PastRun] = ()
    deeds: Sequence[Transaction] = ()
    trouble: str = ""
    elsewhere: bool = False

    def run(self, key: str) -> PastRun | None:
        """The run of a row."""
        return next((each for each in self.runs if key_of(each) == key), None)

    def before(self, run: PastRun) -> PastRun | None:
        """The run before that one."""
        older = [each for each in self.runs if each.started < run.started]
        return older[0] if older else None


def key_of(run: PastRun) -> str:
    """The key of a run's row."""
    return f"run:{run.started.isoformat()}"


def timeline(past: Past, marked: str) -> list[Row]:
    """Runs and changes in one order, newest first, each beneath its day."""
    if past.trouble:
        return [row("trouble", Part(f" {safe(past.trouble)}", Tone.WARN))]
    if not past.runs and not past.deeds:
        yet = "yet: runs of this host are, by maildiag run and by this screen."
        return [
            row(
                "none",
                Part(f" No run is kept {'of a recording or another host.' if past.elsewhere else yet}", Tone.DIM),
            )
        ]
    both: list[tuple[datetime, Row]] = [(each.started, _run(each, past, marked)) for each in past.runs]
    both += [(each.began.at, repairsview.deed(each)) for each in past.deeds]
    return [each for _, each in sorted(both, key=lambda each: each[0], reverse=True)]


def _run(each: PastRun, past: Past, marked: str) -> Row:
    key, before = key_of(each), past.before(each)
    mark = Part("*" if key == marked else " ", Tone.WARN)
    failing = [Status(status) for status in each.findings.values()]
    counts = f"{failing.count(Status.CRITICAL)}C {failing.count(Status.WARNING)}W"
    came = change(before, each).came if before else {}
    new = sum(Status(status).failing for status in came.values())
    parts: list[Part | str] = [
        mark,
        Part(f"{each.started:%b %d %H:%MZ}  ", Tone.DIM),
        word(Status(each.status)),
        f" {counts:<7}",
    ]
    parts += [Part(f" {new} new  ", Tone.WARN)] if new else []
    return row(key, *parts, f" {safe(each.headline)}")


def trend(past: Past, width: int) -> list[Row]:
    """One line for each number that people watch, oldest to newest."""
    room = max(8, min(_LATELY, width - 46))
    return [
        row(
            f"trend:{name}",
            Part(f" {name:<18} ", Tone.DIM),
            picture(values[-room:]),
            f"  {amount(name, values[0])} -> {amount(name, values[-1])}",
        )
        for name, values in trends(past.runs).items()
    ]


def differences(older: PastRun | None, newer: PastRun, width: int) -> list[Row]:
    """What the newer run says that the older did not."""
    if older is None:
        return [row("first", Part(" This is the oldest run that is kept.", Tone.DIM))]
    found = change(older, newer)
    rows = [caption(f"{older.started:%b %d %H:%M}Z -> {newer.started:%b %d %H:%M}Z")]
    rows += [_difference("+", status, key) for key, status in found.came.items()]
    rows += [
        _difference("~", after, f"{key}  (was {STATUS_WORDS[Status(was)]})")
        for key, (was, after) in found.turned.items()
    ]
    rows += [row(f"gone:{key}", Part(" - gone ", Tone.GOOD), safe(key)) for key in found.went]
    moved = [name for name, value in newer.indicators.items() if older.indicators.get(name, value) != value]
    rows += [
        row(
            f"moved:{name}",
            f"   {name} {amount(name, older.indicators[name])} -> {amount(name, newer.indicators[name])}",
        )
        for name in moved
    ]
    return rows if len(rows) > 1 else [*rows, row("same", Part(" Nothing differs.", Tone.DIM))]


def _difference(sign: str, status: str, key: str) -> Row:
    return row(f"{sign}{key}", f" {sign} ", word(Status(status)), f" {safe(key)}")


def whole(run: PastRun, width: int) -> Iterator[Row]:
    """All that is kept of one run."""
    yield row("when", Part(f" {run.started:%Y-%m-%d %H:%M:%S}Z  {safe(run.host)}", Tone.DIM))
    yield from wrapped("headline", run.headline, width, STATUS_TONES[Status(run.status)])
    yield caption(plural(len(run.findings), "answer") + " not fine")
    yield from (row(key, " ", word(Status(status)), f" {safe(key)}") for key, status in run.findings.items())
    yield caption("numbers")
    yield from (row(f"number:{name}", f" {name:<18} {value:g}") for name, value in run.indicators.items())
