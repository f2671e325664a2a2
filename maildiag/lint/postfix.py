"""The linter of Postfix's configuration: everything that is wrong with main.cf, and with master.cf."""

from __future__ import annotations

import re
from dataclasses import replace

from maildiag.lint.context import Context
from maildiag.lint.contradictions import contradictions
from maildiag.lint.gates import gate_problems
from maildiag.lint.master_rules import master_problems
from maildiag.lint.parameters import parameter_problems
from maildiag.lint.problem import Problem
from maildiag.lint.references import reference_problems
from maildiag.lint.service_options import service_problems
from maildiag.lint.syntax import syntax_problems


def lint_main(context: Context) -> tuple[Problem, ...]:
    """All problems of main.cf, the worst of each parameter, those that stop Postfix first."""
    found = [
        *syntax_problems(context),
        *parameter_problems(context),
        *reference_problems(context),
        *contradictions(context),
        *(each for each in gate_problems(context) if each.place.path == context.main.path),
    ]
    return _one_each(_without_aftermath(found))


def lint_master(context: Context, server: bool) -> tuple[Problem, ...]:
    """All problems of master.cf; `server`: the host is to take mail from the network."""
    gates = [each for each in gate_problems(context) if each.place.path == context.master.path]
    return _one_each([*gates, *master_problems(context, server), *service_problems(context)])


def unexplained(fatal: tuple[str, ...], problems: tuple[Problem, ...]) -> tuple[str, ...]:
    """What Postfix's programs die of and no problem names: of a file with faults, the first alone is told."""
    if any(each.status.failing and each.status.value == "critical" for each in problems):
        return ()
    return tuple(re.sub(r"^(\S+: )?fatal: ", "", line) for line in fatal)


def _without_aftermath(found: list[Problem]) -> list[Problem]:
    """A swallowed or commented value makes others look wrong: leave out what the first fault brings with it. An empty file is the one
    fault that it has.
    """
    if empty := [each for each in found if each.kind == "empty"]:
        return empty
    torn = {
        line
        for each in found
        if each.kind in ("swallowed-line", "malformed")
        for line in range(each.place.line, each.place.last + 1)
    }
    swallowers = {
        each.place.text.split("=")[0].partition(":")[2].strip() for each in found if each.kind == "swallowed-line"
    }
    kept = []
    for each in found:
        aftermath = each.kind in ("wrong-form", "wrong-word", "bad-network", "unknown-restriction", "no-such-interface")
        if aftermath and (each.subject in swallowers or each.place.line in torn):
            continue
        kept.append(each)
    return kept


def _one_each(found: list[Problem]) -> tuple[Problem, ...]:
    """One problem for a subject: the worst, with the titles of the others in its detail."""
    by_subject: dict[str, list[Problem]] = {}
    for each in found:
        by_subject.setdefault(each.subject, []).append(each)
    return tuple(_merged(group) for group in by_subject.values())


def _merged(group: list[Problem]) -> Problem:
    first, *rest = sorted(group, key=lambda each: -each.status.weight)
    if not rest:
        return first
    more = "; ".join(each.title for each in rest)
    return replace(first, detail=f"{first.detail} Also: {more}.".strip())
