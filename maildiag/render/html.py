"""The report as one self-contained page that prints well: no script, nothing loaded from elsewhere."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from html import escape

from maildiag.model import Cause, Evidence, Finding, Fix, Status
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

_STYLE = """
:root { color-scheme: light dark; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.4rem; } h2 { font-size: 1.15rem; margin-top: 2rem; } h3 { font-size: 1rem; margin-bottom: .2rem; }
pre { background: color-mix(in srgb, currentColor 8%, transparent); padding: .6rem .8rem; overflow-x: auto;
  white-space: pre-wrap; overflow-wrap: anywhere; margin: .3rem 0 1rem; }
pre.cure { border-left: 4px solid #2a7; }
table { border-collapse: collapse; } td, th { text-align: left; padding: .2rem 1rem .2rem 0; vertical-align: top; }
.status { font-weight: bold; } .critical { color: #c22; } .warning { color: #a60; } .ok { color: #2a7; }
.quiet { opacity: .75; font-size: .9rem; } p, li, td { overflow-wrap: anywhere; }
@media print { body { max-width: none; margin: 0; font-size: 11pt; } h2, h3, .quiet { break-after: avoid; }
  h2 + p, pre, li, tr { break-inside: avoid; } }
""".strip()


def html(report: Report) -> str:
    """The page; every piece of text is escaped, and its policy forbids scripts and outside resources."""
    title = escape(f"{report.host.name or 'host'}: {report.status}")
    body = "\n".join([*_head(report), *_causes(report), *_steps(report), *_rest(report)])
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>maildiag: {title}</title>
<style>
{_STYLE}
</style>
</head>
<body>
{body}
</body>
</html>
"""


def _status(status: Status) -> str:
    return f'<span class="status {status}">{status}</span>'


def _head(report: Report) -> Iterator[str]:
    yield f"<h1>{_status(report.status)} {escape(report.diagnosis.headline)}</h1>"
    if not report.complete:
        yield "<p>The run was ended before every question was answered.</p>"
    yield "<table>"
    for name, value in host_rows(report):
        yield f"<tr><th>{escape(name)}</th><td>{escape(value)}</td></tr>"
    yield "</table>"


def _causes(report: Report) -> Iterator[str]:
    for number, cause in enumerate(report.diagnosis.causes, 1):
        yield "<section>"
        yield f"<h2>{number}. {escape(cause.finding.title)}</h2>"
        yield from _cause(cause, report)
        yield "</section>"


def _cause(cause: Cause, report: Report) -> Iterator[str]:
    finding = cause.finding
    yield f"<p>{_status(finding.status)}, {finding.confidence}: <code>{escape(finding.key)}</code></p>"
    if finding.detail:
        yield f"<p>{escape(finding.detail).replace(chr(10), '<br>')}</p>"
    yield from (_evidence(each) for each in finding.evidence)
    for fix in finding.fixes:
        yield from _fix(fix)
    explained = symptoms(cause, report)
    if explained:
        yield "<h3>It explains</h3>"
        yield from _bullets(explained)


def _evidence(each: Evidence) -> str:
    at = f", {moment(each.at)}" if each.at else ""
    return f'<div class="quiet">{escape(each.source)}{at}</div>\n<pre>{escape(each.text)}</pre>'


def _fix(fix: Fix) -> Iterator[str]:
    yield f"<h3>Cure: {escape(fix.title)}</h3>"
    if fix.why:
        yield f"<p>{escape(fix.why)}</p>"
    notes = [
        f"risk {fix.risk}",
        "as root" if fix.needs_root else "",
        f"disrupts {fix.disrupts}" if fix.disrupts else "",
    ]
    yield f'<div class="quiet">{escape(", ".join(each for each in notes if each))}</div>'
    if fix.commands:
        yield f'<pre class="cure">{escape(chr(10).join(commands(fix)))}</pre>'
    if fix.ask:
        yield f"<pre>{escape(fix.ask)}</pre>"


def _bullets(findings: Iterable[Finding]) -> Iterator[str]:
    yield "<ul>"
    for each in findings:
        said = f" ({escape(each.acknowledged)})" if each.acknowledged else ""
        yield f"<li>{_status(each.status)} {escape(each.title)} <code>{escape(each.key)}</code>{said}</li>"
    yield "</ul>"


def _steps(report: Report) -> Iterator[str]:
    yield "<section>\n<h2>The seven steps</h2>\n<table>"
    for result in report.steps:
        yield f"<tr>{''.join(f'<td>{cell}</td>' for cell in _step(result))}</tr>"
    yield "</table>\n</section>"


def _step(result: StepResult) -> tuple[str, ...]:
    count = f"{len(result.findings)} findings" if result.findings else "nothing asked"
    return str(result.step.number), result.step.value, _status(result.status), escape(result.question), count


def _rest(report: Report) -> Iterator[str]:
    groups = unknown_groups(report)
    if groups:
        yield "<section>\n<h2>Not known</h2>\n<ul>"
        for group in groups:
            ids = ", ".join(dict.fromkeys(each.id for each in group.findings))
            yield f'<li>{escape(group_line(group))} <span class="quiet">{escape(ids)}</span></li>'
        yield "</ul>\n</section>"
    for title, found in (("Worth knowing", notices(report)), ("Acknowledged", acknowledged(report))):
        if found:
            yield f"<section>\n<h2>{title}</h2>"
            yield from _bullets(found)
            yield "</section>"
