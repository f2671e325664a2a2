"""The hosts as rows, and what differs between two of them."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from maildiag.model import Status, Step
from maildiag.report import Report, worst
from maildiag.text import safe
from maildiag.tui.board import Board
from maildiag.tui.fleet import Fleet, Known, Visit
from maildiag.tui.rows import STATUS_WORDS, Part, Row, Tone, caption, row, word
from maildiag.tui.views import fitted


def hosts(fleet: Fleet, marked: Collection[str], width: int) -> list[Row]:
    """One row for each host: where one is, how it is reached, how it was seen the last time, step by step where there is room."""
    return [_host(key, known, visit, fleet, marked, width) for key, known, visit in fleet.each()]


def key_of(row_key: str) -> str:
    """The host's key of a row's key."""
    return row_key.removeprefix("host:")


def _host(key: str, known: Known, visit: Visit | None, fleet: Fleet, marked: Collection[str], width: int) -> Row:
    report = _report(visit)
    sign = Part("*" if key in marked else "." if key == fleet.here else " ", Tone.WARN)
    name = safe(report.host.name if report and not key else known.name) or "this one"
    via = "ssh+sudo" if known.sudo else "ssh" if known.ssh else "here"
    parts: list[Part | str] = [sign, Part(f"{fitted(name, 20):<20} ", Tone.STRONG), Part(f"{via:<9}", Tone.DIM)]
    if key in fleet.looking or (visit is not None and report is None):
        answered, total = visit.board.progress if visit else (0, 0)
        return row(f"host:{key}", *parts, Part(f"looking … {f'{answered}/{total}' if total else ''}", Tone.DIM))
    if report is None:
        return row(f"host:{key}", *parts, Part("not looked at yet", Tone.DIM))
    parts += [word(report.status), f" {report.started:%H:%M}Z  "]
    if width >= 120:
        parts += [each for step in Step for each in _step(report, step)]
    return row(f"host:{key}", *parts, f" {safe(report.diagnosis.headline)}")


def _report(visit: Visit | None) -> Report | None:
    return visit.board.report or visit.board.before if visit else None


def _step(report: Report, step: Step) -> Iterator[Part | str]:
    mine = [each.status for each in report.findings if each.step is step and not each.acknowledged]
    yield Part(f"{step.number} ", Tone.DIM)
    yield word(worst(mine)) if mine else Part("-   ", Tone.DIM)
    yield " "


def compared(one: Board, other: Board, width: int) -> list[Row]:
    """What differs between two hosts: the programs, then every answer of which one host's is worse."""
    a, b = one.report or one.before, other.report or other.before
    if a is None or b is None:
        return [row("none", Part(" One of the two was not looked at yet: enter goes there.", Tone.DIM))]
    return list(_compared(a, b, width))


def _compared(a: Report, b: Report, width: int) -> Iterator[Row]:
    room = max(8, (width - 14) // 2)
    names = safe(a.host.name), safe(b.host.name)
    yield row("names", Part(f" {'':<10}{fitted(names[0], room):<{room}} {fitted(names[1], room)}", Tone.STRONG))
    for fact in ("role", "os", "postfix", "dovecot", "firewall", "log_source"):
        left, right = safe(str(getattr(a.host, fact))), safe(str(getattr(b.host, fact)))
        if left != right:
            line = f"{fitted(left or '-', room):<{room}} {fitted(right or '-', room)}"
            yield row(f"fact:{fact}", Part(f" {fact:<10}", Tone.DIM), line)
    yield caption(f"answers that differ: {names[0]}, {names[1]}")
    rows = list(_answers(a, b))
    yield from rows or [row("same", Part(" None: whatever is wrong is wrong on both.", Tone.DIM))]


def _answers(a: Report, b: Report) -> Iterator[Row]:
    """By check and not by subject: addresses and unit names differ from host to host."""
    left, right = _worst_of(a), _worst_of(b)
    for name in dict.fromkeys([*left, *right]):
        one, other = left.get(name), right.get(name)
        telling = [each for each in (one, other) if each is not None and each[0].weight >= Status.NOTICE.weight]
        if telling and (one is None or other is None or one[0] is not other[0]):
            title = max(telling, key=lambda each: each[0].weight)[1]
            yield row(f"answer:{name}", " ", _word(one), " ", _word(other), f" {safe(name)}: ", Part(title, Tone.DIM))


def _worst_of(report: Report) -> dict[str, tuple[Status, str]]:
    found: dict[str, tuple[Status, str]] = {}
    for each in sorted(report.findings, key=lambda each: each.step.number):
        if each.id not in found or each.status.weight > found[each.id][0].weight:
            found[each.id] = (each.status, each.title)
    return found


def _word(answer: tuple[Status, str] | None) -> Part:
    return word(answer[0]) if answer else Part(f"{'-':<{len(STATUS_WORDS[Status.WARNING])}}", Tone.DIM)
