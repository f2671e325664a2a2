"""The report for people: the headline, the ranked causes with their cure, the seven steps, what is unknown, notices."""

from __future__ import annotations

import io
from collections.abc import Iterable

from rich.console import Console
from rich.text import Text

from maildiag.model import Cause, Confidence, Finding, Fix, Risk, Status
from maildiag.render import Look
from maildiag.render.sections import acknowledged, group_line, moment, notices, symptoms, unknown_groups
from maildiag.report import Report, StepResult
from maildiag.text import plural
from maildiag.typed import commands

_STYLES = {
    Status.OK: "green",
    Status.NOTICE: "cyan",
    Status.WARNING: "bold yellow",
    Status.CRITICAL: "bold red",
    Status.UNKNOWN: "magenta",
    Status.SKIPPED: "dim",
}
_WORDS = {status: status.value.upper() if status.failing else status.value for status in Status}
_EVIDENCE_LINES = 6


def text(report: Report, look: Look) -> str:
    """The report in `look.width` columns. Without colour it holds no escape sequence; commands are never wrapped."""
    page = _Page(look)
    _head(page, report)
    _headline(page, report)
    for number, cause in enumerate(report.diagnosis.causes, 1):
        _cause(page, number, cause, report)
    _steps(page, report)
    _unknowns(page, report)
    _listed(page, "Worth knowing", notices(report), look)
    _acknowledged(page, report)
    if look.everything:
        _listed(page, "Every finding", report.findings, look)
    if look.timings:
        _timings(page, report)
    _next(page, report)
    return page.text()


class _Page:
    """Collects lines; what it is given is data and never parsed for markup."""

    def __init__(self, look: Look) -> None:
        self._width = max(40, look.width)
        self._file = io.StringIO()
        self._console = Console(
            file=self._file,
            width=self._width,
            force_terminal=look.colour,
            color_system="standard" if look.colour else None,
            no_color=not look.colour,
            markup=False,
            highlight=False,
            emoji=False,
            legacy_windows=False,
            _environ={},
        )

    def gap(self) -> None:
        self._file.write("\n")

    def put(self, *parts: str | tuple[str, str], indent: int = 0, hang: int = 0) -> None:
        """Styled parts, wrapped; the second and later lines begin `hang` columns further in."""
        line = Text.assemble(*parts)
        first, *rest = line.wrap(self._console, self._width - indent, overflow="fold") if not hang else (line,)
        if hang:
            first, rest = self._hanging(line, indent, hang)
        self._emit(indent, first)
        for each in rest:
            self._emit(indent + hang, each)

    def _hanging(self, line: Text, indent: int, hang: int) -> tuple[Text, list[Text]]:
        head, tail = line[:hang], line[hang:]
        wrapped = tail.wrap(self._console, self._width - indent - hang, overflow="fold")
        first = Text.assemble(head, wrapped[0]) if wrapped else head
        return first, list(wrapped[1:])

    def verbatim(self, line: str, indent: int, style: str = "") -> None:
        """A line that is meant to be copied: never wrapped, never cut."""
        self._emit(indent, Text(line, style))

    def _emit(self, indent: int, line: Text) -> None:
        line.rstrip()
        self._console.print(Text(" " * indent) + line if line else Text(), soft_wrap=True)

    def text(self) -> str:
        return self._file.getvalue()


def _head(page: _Page, report: Report) -> None:
    host = report.host
    page.put((host.name or "this host", "bold"), f"  {host.role or 'role unknown'}", f" ({host.role_reason})")
    versions = [host.os, _named("Postfix", host.postfix), _named("Dovecot", host.dovecot), _firewall(host.firewall)]
    known = ", ".join(each for each in [*versions, _named("log", host.log_source)] if each)
    if known:
        page.put(known)
    who = "" if host.privileged else ", not as root"
    source = "" if host.source == "local" else f", {host.source}"
    when = moment(report.seen)
    page.put((f"maildiag {report.version}, {when}, {report.duration_s:.1f} s{who}{source}", "dim"))


def _firewall(name: str) -> str:
    return "no firewall" if name == "none" else name


def _named(name: str, value: str) -> str:
    return f"{name} {value}" if value else ""


def _headline(page: _Page, report: Report) -> None:
    page.gap()
    if not report.complete:
        page.put(("INCOMPLETE", "bold magenta"), "  The run was ended before every question was answered.", hang=12)
    word = _WORDS[report.status]
    page.put((word, _STYLES[report.status]), "  ", (report.diagnosis.headline, "bold"), hang=len(word) + 2)


def _cause(page: _Page, number: int, cause: Cause, report: Report) -> None:
    finding = cause.finding
    page.gap()
    sure = "" if finding.confidence is Confidence.CERTAIN else f"  ({finding.confidence})"
    word = _WORDS[finding.status]
    page.put((f"{number}. ", "bold"), (word, _STYLES[finding.status]), f"  {finding.key}{sure}", hang=3)
    page.put((finding.title, "bold"), indent=3)
    if finding.detail:
        _paragraphs(page, finding.detail, indent=3)
    _evidence(page, finding)
    for fix in finding.fixes:
        _fix(page, fix)
    _symptoms(page, symptoms(cause, report))
    page.put((f"more: maildiag explain {finding.runbook}", "dim"), indent=3)


def _paragraphs(page: _Page, text: str, indent: int) -> None:
    for line in text.split("\n"):
        page.put(line, indent=indent)


def _evidence(page: _Page, finding: Finding) -> None:
    for each in finding.evidence:
        page.put((each.source, "cyan"), indent=3)
        lines = each.text.split("\n")
        for line in lines[:_EVIDENCE_LINES]:
            page.put("| ", line, indent=5, hang=2)
        if len(lines) > _EVIDENCE_LINES:
            page.put(f"| ({plural(len(lines) - _EVIDENCE_LINES, 'more line')})", indent=5)


def _fix(page: _Page, fix: Fix) -> None:
    notes = [] if fix.risk is Risk.LOW else [f"risk: {fix.risk}"]
    notes += [f"disrupts {fix.disrupts}"] if fix.disrupts else []
    noted = f" ({', '.join(notes)})" if notes else ""
    page.put(("Cure: ", "bold green"), f"{fix.title}{noted}", indent=3, hang=6)
    if fix.why:
        page.put(fix.why, indent=9)
    for line in commands(fix):
        page.verbatim(line, 9, "bold")
    for line in fix.ask.split("\n") if fix.ask else ():
        page.verbatim(f"> {line}", 9)


def _symptoms(page: _Page, found: list[Finding]) -> None:
    if found:
        page.put(f"Explains {plural(len(found), 'other finding')}:", indent=3)
    for each in found:
        page.put((f"{_WORDS[each.status]:<9}", _STYLES[each.status]), each.title, indent=5, hang=9)


def _steps(page: _Page, report: Report) -> None:
    page.gap()
    page.put(("Steps", "bold"))
    for result in report.steps:
        word = f"{_WORDS[result.status]:<9}"
        asked = f"{result.step.number}  {result.step.value:<15}"
        page.put(asked, (word, _STYLES[result.status]), f" {_counted(result)}", indent=2, hang=28)


def _counted(result: StepResult) -> str:
    if not result.findings:
        return "nothing asked"
    order = sorted(Status, key=lambda each: -each.weight)
    counts = [(sum(each.status is status for each in result.findings), status) for status in order]
    return ", ".join(f"{count} {status.value}" for count, status in counts if count)


def _unknowns(page: _Page, report: Report) -> None:
    groups = unknown_groups(report)
    if groups:
        page.gap()
        page.put(("Not known", "bold"))
    for group in groups:
        page.put(group_line(group), indent=2, hang=2)
        ids = ", ".join(dict.fromkeys(each.id for each in group.findings))
        page.put((ids, "dim"), indent=4)


def _listed(page: _Page, title: str, found: Iterable[Finding], look: Look) -> None:
    rows = list(found)
    if rows:
        page.gap()
        page.put((title, "bold"))
    for each in rows:
        page.put((f"{_WORDS[each.status]:<9}", _STYLES[each.status]), f"{each.title}  [{each.key}]", indent=2, hang=9)
        if look.everything and each.detail:
            _paragraphs(page, each.detail, indent=11)


def _acknowledged(page: _Page, report: Report) -> None:
    found = acknowledged(report)
    if found:
        page.gap()
        page.put(("Acknowledged", "bold"))
    for each in found:
        page.put(f"{each.status:<9}", f"{each.title}  [{each.key}]: {each.acknowledged}", indent=2, hang=9)


def _timings(page: _Page, report: Report) -> None:
    page.gap()
    page.put(("Slowest probes", "bold"), " (they run side by side)")
    for each in report.timings[:20]:
        page.put(f"{each.seconds:7.3f} s  ", each.source, "" if each.answered else "  (no answer)", indent=2, hang=11)


def _next(page: _Page, report: Report) -> None:
    if any(cause.finding.fixes for cause in report.diagnosis.causes) and report.host.source == "local":
        page.gap()
        page.put(("To apply the cures one by one, each verified and undoable: maildiag fix", "dim"))
