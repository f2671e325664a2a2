"""One finding as rows: why, the evidence, what to do, and what it hangs together with; pure functions of the board."""

from __future__ import annotations

from collections.abc import Iterator

from maildiag import typed
from maildiag.model import Finding, Fix
from maildiag.text import safe
from maildiag.tui.board import Board
from maildiag.tui.rows import Part, Row, Tone, broken, caption, row, word, wrapped
from maildiag.tui.views import Here


def finding(board: Board, one: Finding, width: int, here: Here) -> list[Row]:
    """What it is, why, what shows it, what to type; then its place in the chain of causes."""
    first, *rest = wrapped("head", one.title, width - 5, Tone.STRONG)
    found = [row("head", " ", word(one.status), *first.parts), *(row(each.key, "     ", *each.parts) for each in rest)]
    found.append(
        row("where", Part(f" {safe(one.key)}   step {one.step.number} {one.step}   {one.confidence}", Tone.DIM))
    )
    found += _because(board, one)
    if one.detail:
        found += [caption("why"), *wrapped("detail", one.detail, width)]
    if one.gap:
        found += [caption("could not look"), *wrapped("gap", str(one.gap), width, Tone.ASK)]
    found += _evidence(one, width)
    for number, fix in enumerate(one.fixes):
        found += _fix(fix, "abcdefghij"[min(number, 9)], width, here)
    found += _explains(board, one)
    if one.acknowledged:
        found += [caption("acknowledged"), *wrapped("ack", one.acknowledged, width)]
    return found


def _because(board: Board, one: Finding) -> Iterator[Row]:
    above = board.diagnosis.caused_by.get(one.key, ())
    if above:
        yield caption("caused by: cure that first")
        yield from (_related(board, key) for key in above)


def _explains(board: Board, one: Finding) -> Iterator[Row]:
    beneath = board.explained(one.key)
    if beneath:
        yield caption(f"explains {len(beneath)}")
        yield from (_related(board, key) for key in beneath)


def _related(board: Board, key: str) -> Row:
    other = board.finding(key)
    parts = (word(other.status), Part(f" {other.title}")) if other else (Part(safe(key)),)
    return row(f"finding:{key}", "  ", *parts)


def _evidence(one: Finding, width: int) -> Iterator[Row]:
    if not one.evidence:
        return
    yield caption(f"evidence {len(one.evidence)}")
    for number, each in enumerate(one.evidence, 1):
        at = f"  {each.at:%H:%M:%S}Z" if each.at else ""
        yield row(f"source:{number}", Part(f" e{number} {each.source}{at}", Tone.DIM))
        yield from broken(f"evidence:{number}", each.text, width, Tone.CODE)


def _fix(fix: Fix, letter: str, width: int, here: Here) -> Iterator[Row]:
    yield caption(f"fix {letter}: {safe(fix.title)}")
    for number, command in enumerate(typed.lines(fix.commands)):
        yield row(f"fix:{fix.id}:command:{number}", Part(f"   # {safe(command)}", Tone.CODE))
    if secret := typed.withheld(fix):
        yield from wrapped(f"fix:{fix.id}:secret", secret, width, Tone.ASK)
    for name, text in (("", fix.why), ("Disrupts: ", fix.disrupts), ("Ask: ", fix.ask)):
        if text:
            yield from wrapped(f"fix:{fix.id}:{name}", name + text, width)
    yield row(f"fix:{fix.id}:facts", Part(f" {facts(fix)}", Tone.DIM))
    if fix.commands:
        yield row(f"fix:{fix.id}:do", Part(f" {_keys(here)}", Tone.DIM))


def facts(fix: Fix) -> str:
    """Risk, way back, and how it is verified, in one line."""
    undo = "yes" if fix.undo or fix.changes else "no"
    told = [f"risk: {fix.risk}", f"undo: {undo}"]
    told += ["needs root"] if fix.needs_root else []
    told += [f"verified by: {', '.join(fix.verify)}"] if fix.verify else []
    return "   ".join(told)


def _keys(here: Here) -> str:
    if here.recorded:
        return "not applicable to a recording: y copies, p previews"
    return (
        "read-only: U unlocks, y copies, p previews"
        if here.locked
        else "a applies it after a question, y copies, p previews"
    )
