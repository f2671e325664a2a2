"""The walk as rows: one step of the documented workflow, and what the evidence proposes next."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from maildiag import workflow
from maildiag.model import Finding, Status, Step
from maildiag.tui.board import Board
from maildiag.tui.rows import Part, Row, Tone, caption, row, word, wrapped


def walk(board: Board, step: Step, width: int, notes: Sequence[str]) -> list[Row]:
    """One step: the question and why it is asked, what was seen that is not fine, what it means, what was looked at."""
    mine = sorted((each for each in board.findings if each.step is step), key=lambda each: -each.status.weight)
    fine = [each for each in mine if each.status.weight < Status.NOTICE.weight]
    state = board.step(step)
    found = [row("question", Part(f" {step.number}  {workflow.QUESTIONS[step]}", Tone.STRONG))]
    found += wrapped("why", workflow.REASONS[step], width, Tone.DIM)
    found.append(caption(f"seen ({state.answered} of {state.total} checks)" if board.running else "seen"))
    found += [_seen(each) for each in mine if each not in fine] or [row("nothing", " Nothing that is not fine.")]
    found.append(caption("means"))
    found += _meaning(board, mine, width)
    if notes:
        found.append(caption("notes"))
        found += (each for n, note in enumerate(notes) for each in wrapped(f"note:{n}", f"# {note}", width))
    found.append(caption(f"looked at, slowest answer {state.took_s:.1f} s"))
    sources = dict.fromkeys(each.source for one in mine for each in one.evidence)
    found += wrapped("looked", ", ".join(sources) or "nothing yet", width, Tone.CODE)
    if fine:
        found += [caption(f"fine {len(fine)}"), *map(_seen, fine)]
    return found


def _seen(each: Finding) -> Row:
    return row(f"finding:{each.key}", " ", word(each.status), f" {each.title}")


def worst(board: Board, step: Step) -> str:
    """The key of the row to act on: the step's first cause, or else its worst finding."""
    causes = [each.finding for each in board.diagnosis.causes if each.finding.step is step]
    failing = [each for each in board.findings if each.step is step and each.status.failing]
    first = next(iter([*causes, *failing]), None)
    return f"finding:{first.key}" if first else ""


def _meaning(board: Board, mine: Sequence[Finding], width: int) -> Iterator[Row]:
    causes = {each.finding.key: each for each in board.diagnosis.causes}
    roots = [causes[each.key] for each in mine if each.key in causes]
    for cause in roots:
        text = f"{cause.finding.title}: a cause" + (
            f" of {len(cause.explains)} other findings" if cause.explains else ""
        )
        yield from wrapped(f"means:{cause.finding.key}", text, width, Tone.STRONG)
    for each in mine:
        for key in board.diagnosis.caused_by.get(each.key, ()):
            yield from wrapped(f"means:{each.key}:{key}", f"{each.title}: because of {key}", width)
    if not any(each.status.failing for each in mine):
        unknown = sum(each.status is Status.UNKNOWN for each in mine)
        yield row("means", f" Nothing wrong here{f', but {unknown} answers are missing' if unknown else ''}.")


def proposal(board: Board, step: Step) -> str:
    """What to do next, in one line."""
    if board.running and not board.diagnosis.causes:
        return "still looking   ]: the next step in order"
    causes = board.diagnosis.causes
    proposed = next_step(board, step)
    if causes and causes[0].finding.step is step:
        return "the first cause lies here: enter shows its evidence and cure"
    if causes and proposed:
        return f"n: the evidence points to step {proposed.number}, {proposed}"
    if proposed:
        return f"nothing failing: ] goes on to step {proposed.number}, {proposed}"
    return "nothing failing, and this was the last step: P sends a test message"


def next_step(board: Board, step: Step) -> Step | None:
    """The step that the evidence points to: where the first cause lies, or else the next in order."""
    after = [each for each in Step if each.number > step.number]
    first = board.diagnosis.causes[0].finding.step if board.diagnosis.causes else None
    if first is not None and first is not step:
        return first
    return after[0] if after else None
