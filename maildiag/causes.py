"""Explains findings by findings: walks from each failure to the deepest failing one, ranks these causes, says it in a sentence."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from maildiag.model import Cause, Confidence, Diagnosis, Finding, Status
from maildiag.text import plural
from maildiag.typed import lines

_SURE = {Confidence.CERTAIN: 0, Confidence.LIKELY: 1, Confidence.POSSIBLE: 2}


def diagnose(findings: Sequence[Finding]) -> Diagnosis:
    """Rank the causes and hang every other failing or unknown finding beneath the one that explains it.

    Nothing is lost by a wrong edge: a finding whose explanation leads nowhere is a cause itself.
    """
    failing = _by_id(each for each in findings if each.status.failing and not each.acknowledged)
    parents = {each.key: _parents(each, failing) for each in findings if each.status.failing or each.gap}
    parents = _without_circles({key: found for key, found in parents.items() if found})
    roots = [each for group in failing.values() for each in group if each.key not in parents]
    causes = sorted((Cause(each, _beneath(each.key, parents)) for each in roots), key=_rank)
    return Diagnosis(_headline(causes, findings), tuple(causes), parents)


def _by_id(findings: Iterable[Finding]) -> dict[str, list[Finding]]:
    found: dict[str, list[Finding]] = {}
    for each in findings:
        found.setdefault(each.id, []).append(each)
        if each.check != each.id:
            found.setdefault(each.check, []).append(each)
    return {key: list({each.key: each for each in group}.values()) for key, group in found.items()}


def _parents(finding: Finding, failing: Mapping[str, list[Finding]]) -> tuple[str, ...]:
    """The keys of the nearest failing findings among those that could explain this one."""
    for edge in finding.explained_by:
        name, _, subject = edge.partition("@")
        found = tuple(
            each.key
            for each in failing.get(name, ())
            if each.key != finding.key and (not subject or each.subject == subject)
        )
        if found:
            return found
    return ()


def _without_circles(parents: dict[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
    """Narrowed edges of findings can close a circle that the graph of the checks does not have; the later one gives way."""
    kept: dict[str, tuple[str, ...]] = {}
    for key, found in parents.items():
        open_ends = tuple(each for each in found if not _reaches(each, key, kept))
        if open_ends:
            kept[key] = open_ends
    return kept


def _reaches(start: str, goal: str, parents: Mapping[str, tuple[str, ...]]) -> bool:
    waiting, seen = [start], set()
    while waiting:
        key = waiting.pop()
        if key == goal:
            return True
        if key not in seen:
            seen.add(key)
            waiting.extend(parents.get(key, ()))
    return False


def _beneath(root: str, parents: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
    return tuple(key for key in parents if _reaches(key, root, parents))


def _rank(cause: Cause) -> tuple[int, int, int, int, str]:
    finding = cause.finding
    return (
        -finding.status.weight,
        _SURE[finding.confidence],
        -len(cause.explains),
        finding.step.number,
        finding.key,
    )


def _headline(causes: Sequence[Cause], findings: Sequence[Finding]) -> str:
    if not causes:
        return _nothing_wrong(findings)
    first = causes[0].finding
    sentence = first.title.rstrip(".")
    if causes[0].explains:
        sentence += f", which explains {plural(len(causes[0].explains), 'other finding')}"
    if first.fixes:
        shown = lines(first.fixes[0].commands)
        sentence += f"; cure: {first.fixes[0].title}" + (f" ({' && '.join(shown)})" if 0 < len(shown) <= 2 else "")
    if len(causes) > 1:
        sentence += f"; then {plural(len(causes) - 1, 'more cause')}"
    return sentence + "."


def _nothing_wrong(findings: Sequence[Finding]) -> str:
    unknowns = sum(each.status is Status.UNKNOWN for each in findings)
    fine = sum(each.status is Status.OK for each in findings)
    if unknowns:
        return f"Nothing wrong was found, but {plural(unknowns, 'question')} could not be answered."
    return f"Nothing is wrong: {plural(fine, 'finding')} fine."
