"""The incident record in Markdown: what was seen, when, the cause, what to do, and what proves the cure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from maildiag.model import Cause, Evidence, Finding, Fix
from maildiag.render.deeds import Deed
from maildiag.render.sections import (
    acknowledged,
    group_line,
    host_rows,
    moment,
    notices,
    symptoms,
    unknown_groups,
)
from maildiag.report import Report, StepResult
from maildiag.typed import commands

# What CommonMark, tables, and the links and mentions of GitHub and GitLab read as markup anywhere, and at the start of a line.
_SPECIAL = re.compile(r"([\\`*\[\]#|~<>&@$]|:(?=//)|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])|(?<=www)\.)", re.IGNORECASE)
_AT_START = re.compile(r"^(\d*)([-+=.)])(?=[\s=-]|$)")


def markdown(report: Report, done: Sequence[Deed] = ()) -> str:
    """CommonMark with tables as GitHub and GitLab have them; what the host said can neither mark up nor link.

    `done` is what fixes did on that host lately.
    """
    return "\n".join([*_head(report), *_causes(report), *_rest(report), *_record(report, done)]) + "\n"


def escape(text: str) -> str:
    """Text as text: what Markdown or HTML could read as markup is escaped, and the rest reads well unrendered too."""
    return _AT_START.sub(r"\1\\\2", _SPECIAL.sub(r"\\\1", text.replace("\n", " ").lstrip()))


def fenced(lines: Iterable[str], language: str = "text") -> str:
    """A code block whose fence is longer than any run of backticks within."""
    body = "\n".join(lines)
    longest = max((len(run) for run in re.findall("`+", body)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{body}\n{fence}"


def _head(report: Report) -> Iterator[str]:
    yield f"# Mail incident on {escape(report.host.name or 'an unnamed host')}: {report.status}"
    yield ""
    yield f"**{escape(report.diagnosis.headline)}**"
    yield ""
    if not report.complete:
        yield "The run was ended before every question was answered.\n"
    yield from _table(("", ""), host_rows(report))


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield f"|{'---|' * len(head)}"
    for row in rows:
        yield f"| {' | '.join(escape(each) for each in row)} |"
    yield ""


def _causes(report: Report) -> Iterator[str]:
    for number, cause in enumerate(report.diagnosis.causes, 1):
        yield f"## Cause {number}: {escape(cause.finding.title)}"
        yield ""
        yield from _cause(cause, report)


def _cause(cause: Cause, report: Report) -> Iterator[str]:
    finding = cause.finding
    yield f"{finding.status}, {finding.confidence}: {escape(finding.key)}"
    yield ""
    if finding.detail:
        yield "  \n".join(escape(line) for line in finding.detail.split("\n"))
        yield ""
    yield from _evidence(finding.evidence)
    for fix in finding.fixes:
        yield from _fix(fix)
    explained = symptoms(cause, report)
    if explained:
        yield "It explains:"
        yield ""
        yield from _bullets(explained)


def _evidence(evidence: Iterable[Evidence]) -> Iterator[str]:
    for each in evidence:
        at = f", {moment(each.at)}" if each.at else ""
        yield f"Seen in {escape(each.source)}{at}:"
        yield ""
        yield fenced(each.text.split("\n"))
        yield ""


def _fix(fix: Fix) -> Iterator[str]:
    yield f"Cure: {escape(fix.title)} (risk {fix.risk}{', as root' if fix.needs_root else ''})"
    yield ""
    if fix.why:
        yield escape(fix.why)
        yield ""
    if fix.commands:
        yield fenced(commands(fix), "sh")
        yield ""
    if fix.ask:
        yield fenced(fix.ask.split("\n"))
        yield ""
    if fix.verify:
        checks = " ".join(f"--check {each}" for each in fix.verify)
        yield "What proves the cure:"
        yield ""
        yield fenced([f"maildiag run {checks}"], "sh")
        yield ""


def _bullets(findings: Iterable[Finding]) -> Iterator[str]:
    for each in findings:
        said = f"; {escape(each.acknowledged)}" if each.acknowledged else ""
        yield f"- {each.status}: {escape(each.title)} ({escape(each.key)}){said}"
    yield ""


def _rest(report: Report) -> Iterator[str]:
    yield "## The seven steps"
    yield ""
    yield from _table(("Step", "Question", "State", "Findings"), [_step(each) for each in report.steps])
    groups = unknown_groups(report)
    if groups:
        yield "## Not known"
        yield ""
        for group in groups:
            yield f"- {escape(group_line(group))}: {escape(', '.join(dict.fromkeys(each.id for each in group.findings)))}"
        yield ""
    for title, found in (("Worth knowing", notices(report)), ("Acknowledged", acknowledged(report))):
        if found:
            yield f"## {title}"
            yield ""
            yield from _bullets(found)


def _step(result: StepResult) -> tuple[str, ...]:
    return f"{result.step.number} {result.step}", result.question, str(result.status), str(len(result.findings))


def _record(report: Report, done: Sequence[Deed]) -> Iterator[str]:
    yield "## What was done"
    yield ""
    for each in done:
        yield f"- {moment(each.at)}: {escape(each.title)}, for {escape(each.finding)}: {escape(each.end)} (`maildiag undo {each.id}`)"
    if done:
        yield ""
    if report.diagnosis.causes:
        yield "maildiag run changes nothing. Fill in as you go:"
        yield ""
        for number, cause in enumerate(report.diagnosis.causes, 1):
            yield f"- [ ] cause {number}: {escape(cause.finding.title)}; done by, at:"
        yield "- [ ] proven: `maildiag run` ends with exit status 0, at:"
    elif done:
        yield f"Proven: at {moment(report.seen)} nothing fails that was judged."
    else:
        yield "Nothing had to be done."
