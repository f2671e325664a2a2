"""Services that Postfix needs and master.cf lacks: lost, commented out, or the whole file empty."""

from __future__ import annotations

from collections.abc import Iterator

from maildiag.lint.context import Context
from maildiag.lint.lines import Logical, Place
from maildiag.lint.master_cf import Commented
from maildiag.lint.problem import Problem, Repair, ReplaceLine, SetService, emptied
from maildiag.lint.services import Needed, needed_services
from maildiag.model import Status


def missing(context: Context, server: bool) -> Iterator[Problem]:
    """Each service that this Postfix cannot do without, with its line as it is shipped. Source: master(5)."""
    if not context.master.services:
        if not context.master.bad:
            yield emptied(
                context.master.path,
                "master.cf has no service at all: Postfix runs and does nothing",
                "no line of a service",
            )
        return
    for needed in needed_services(context, server):
        if not _present(context, needed):
            yield _absent(context, needed)


def _present(context: Context, needed: Needed) -> bool:
    if needed.name == "smtp" and needed.type == "inet":
        names = [each.name.rpartition(":")[2] for each in context.master.services if each.type == "inet"]
        return bool({"smtp", "25"} & set(names))
    if needed.type == "unix":
        return any(each.name == needed.name for each in context.master.services if each.type in ("unix", "fifo"))
    return context.master.service(needed.name, needed.type) is not None


def _absent(context: Context, needed: Needed) -> Problem:
    commented = next((each for each in context.master.commented if _is_entry_of(each, needed)), None)
    submits = needed.type == "inet" and any(each.type == "inet" for each in context.master.running("smtpd"))
    status = Status.WARNING if submits else needed.status
    if commented:
        first = commented.lines[0]
        edits = (ReplaceLine(context.master.path, first.number, first.text.lstrip("#")),)
        repair = Repair(f"take the # of line {first.number} away", edits, certain=status is Status.CRITICAL)
    else:
        entry = (SetService(needed.name, needed.type, needed.entry),)
        repair = Repair(f"add {needed.name}/{needed.type} as Postfix ships it", entry, certain=needed.type != "inet")
    place = (
        Logical(commented.lines[:1]).at(context.master.path)
        if commented
        else Place(context.master.path, text=f"no line {needed.name} {needed.type} …")
    )
    return Problem(
        kind="missing-service",
        subject=f"{needed.name}/{needed.type}",
        status=status,
        title=f"master.cf has no service {needed.name}/{needed.type}"
        + (f": line {place.line} is commented out" if commented else ""),
        detail=f"{needed.name} {needed.purpose}."
        + (" That is right where the host takes mail from logins alone, on its other ports." if submits else ""),
        place=place,
        repairs=(repair,),
    )


def _is_entry_of(commented: Commented, needed: Needed) -> bool:
    """The same service, run by the same program: postscreen stands commented out beside smtpd in the shipped file."""
    same = (commented.name, commented.type) == (needed.name, needed.type)
    return same and commented.lines[0].text.split()[-1:] == needed.entry.split()[7:8]
