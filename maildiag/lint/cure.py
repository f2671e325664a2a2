"""Makes a repair of a linter a fix: the commands to type, what they touch, and how it becomes effective."""

from __future__ import annotations

import re
from dataclasses import replace

from maildiag import edits
from maildiag.facts.postfix_process import PostfixProcess
from maildiag.lint.main_cf import MainCf
from maildiag.lint.master_cf import MasterCf
from maildiag.lint.problem import (
    CommentLine,
    DropOverride,
    DropParameter,
    Edit,
    InsertLine,
    Problem,
    RemoveLine,
    RenameParameter,
    Repair,
    ReplaceLine,
    SetField,
    SetOverride,
    SetParameter,
    SetService,
)
from maildiag.model import Evidence, Fix, JsonValue, Risk, Status, Verdict

Argv = tuple[str, ...]
CHECKED: tuple[Argv, ...] = (("postfix", "check"),)


def command_for(edit: Edit) -> tuple[Argv, ...]:
    """The commands that carry an edit out, in their order."""
    match edit:
        case SetParameter(name, value):
            return (("postconf", "-e", f"{name}={value}"),)
        case DropParameter(name):
            return (("postconf", "-X", name),)
        case RenameParameter(old, new, value):
            return (("postconf", "-X", old), ("postconf", "-e", f"{new}={value}"))
        case ReplaceLine(path, number, text):
            return (edits.replace_line(path, number, text),)
        case RemoveLine(path, number):
            return (edits.delete_line(path, number),)
        case CommentLine(path, number):
            return (edits.comment_line(path, number),)
        case InsertLine(path, number, text):
            return (edits.insert_after(path, number, text),)
        case SetService(name, type, entry):
            return (("postconf", "-M", f"{name}/{type}={entry}"),)
        case SetField(name, type, field, value):
            return (("postconf", "-F", f"{name}/{type}/{field}={value}"),)
        case SetOverride(name, type, parameter, value):
            return (("postconf", "-P", f"{name}/{type}/{parameter}={value}"),)
        case DropOverride(name, type, parameter):
            return (("postconf", "-PX", f"{name}/{type}/{parameter}"),)


def changed_by(edit: Edit, main: MainCf, master: MasterCf) -> str:
    """The file that an edit touches."""
    match edit:
        case SetParameter() | DropParameter() | RenameParameter():
            return main.path
        case SetService() | SetField() | SetOverride() | DropOverride():
            return master.path
        case ReplaceLine(path, _, _) | InsertLine(path, _, _):
            return path
        case RemoveLine(path, _) | CommentLine(path, _):
            return path


def fix_for(
    check: str,
    subject: str,
    repair: Repair,
    main: MainCf,
    master: MasterCf,
    process: PostfixProcess | None,
    number: int = 0,
    broken: bool = False,
) -> Fix:
    """The fix that a repair makes for a finding of `check` about `subject`.

    Where something is `broken`, a daemon may have died of it: master(8) starts none of those again for a minute, and a
    reload does not end that, so Postfix restarts.
    """
    steps = tuple(argv for edit in _backwards(repair.edits) for argv in command_for(edit))
    process = process or PostfixProcess(False, False)
    restart = repair.restart or broken
    effect: tuple[Argv, ...] = process.restarts if restart else (process.reload,)
    verb = re.sub(r"[^a-z0-9]+", "-", f"mend {subject} {number or ''}".lower()).strip("-")
    return Fix(
        id=f"{check}/{verb}",
        title=repair.title[:1].upper() + repair.title[1:],
        commands=(*steps, *effect),
        risk=Risk.LOW if repair.certain else Risk.MEDIUM,
        automatic=repair.certain,
        undo=effect,
        verify=(f"{check}@{subject}",),
        why=repair.why,
        changes=tuple(dict.fromkeys(changed_by(edit, main, master) for edit in repair.edits)),
        guards=CHECKED,
        disrupts="Postfix restarts: connections under way are cut" if restart and process.running else "",
    )


def fix_for_all(
    check: str,
    problems: tuple[Problem, ...],
    main: MainCf,
    master: MasterCf,
    process: PostfixProcess | None,
) -> Fix | None:
    """One fix for several faults that each keep Postfix from starting: mended one by one, none would pass the guard."""
    fatal = [each for each in problems if each.status is Status.CRITICAL and each.repairs]
    if len(fatal) < 2:
        return None
    repairs = [each.repairs[0] for each in fatal]
    together = Repair(
        f"Mend all {len(fatal)} faults that stop Postfix: " + "; ".join(each.title for each in repairs),
        tuple(edit for each in repairs for edit in each.edits),
        certain=all(each.certain for each in repairs),
        restart=True,
        why="Each alone would leave a configuration that Postfix refuses.",
    )
    return replace(fix_for(check, "all", together, main, master, process), verify=(check,))


def _backwards(edits: tuple[Edit, ...]) -> tuple[Edit, ...]:
    """Edits by line number first, from the bottom up, so that no edit moves the lines of another."""
    by_line = [each for each in edits if isinstance(each, ReplaceLine | RemoveLine | CommentLine | InsertLine)]
    others = [each for each in edits if not isinstance(each, ReplaceLine | RemoveLine | CommentLine | InsertLine)]
    return (*sorted(by_line, key=lambda each: -each.number), *others)


def verdict_for(
    check: str, problem: Problem, main: MainCf, master: MasterCf, process: PostfixProcess | None
) -> Verdict:
    """A problem as a verdict: its lines as evidence, its repairs as fixes, the file in the subject."""
    name = problem.place.path.rpartition("/")[2]
    subject = problem.subject if problem.subject == name else f"{name}:{problem.subject}"
    data: dict[str, JsonValue] = {"kind": problem.kind, "file": problem.place.path, "line": problem.place.line}
    fixes = tuple(
        fix_for(check, subject, repair, main, master, process, number, broken=problem.status is Status.CRITICAL)
        for number, repair in enumerate(problem.repairs)
    )
    shown = (Evidence(str(problem.place), problem.place.text),) if problem.place.text else ()
    return Verdict(
        status=problem.status,
        title=problem.title,
        detail=problem.detail,
        subject=subject,
        data=data,
        evidence=shown,
        fixes=fixes if problem.status is not Status.OK else (),
        confidence=problem.confidence,
    )
