"""The report as JUnit XML: a step is a test suite, a finding a test case, so that CI systems show it."""

from __future__ import annotations

import re
from xml.etree import ElementTree

from maildiag.model import Finding, Status
from maildiag.report import Report, StepResult
from maildiag.typed import commands

_FORBIDDEN = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def junit(report: Report) -> str:
    """Failures are warnings and criticals, errors are what could not be told; acknowledged findings count as skipped."""
    suites = ElementTree.Element("testsuites", {"name": "maildiag"} | _totals(report.findings, report.duration_s))
    del suites.attrib["skipped"]  # the schema of Jenkins's xUnit plugin (junit-10.xsd) has it for a suite alone
    for step in report.steps:
        if step.findings:
            suites.append(_suite(step, report))
    ElementTree.indent(suites)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(suites, "unicode") + "\n"


def _totals(findings: tuple[Finding, ...], seconds: float) -> dict[str, str]:
    kinds = [_kind(each) for each in findings]
    counts = {name: str(kinds.count(kind)) for name, kind in _COUNTED.items()}
    return {"tests": str(len(kinds)), **counts, "time": f"{seconds:.3f}"}


_COUNTED = {"failures": "failure", "errors": "error", "skipped": "skipped"}


def _kind(finding: Finding) -> str:
    if finding.acknowledged or finding.status is Status.SKIPPED:
        return "skipped"
    if finding.status.failing:
        return "failure"
    return "error" if finding.status is Status.UNKNOWN else ""


def _suite(step: StepResult, report: Report) -> ElementTree.Element:
    seconds = sum(each.duration_ms for each in step.findings) / 1000
    attributes = {"name": step.step.value, "timestamp": report.started.strftime("%Y-%m-%dT%H:%M:%S")}
    suite = ElementTree.Element("testsuite", attributes | _totals(step.findings, seconds))
    suite.set("hostname", _clean(report.host.name))
    for finding in step.findings:
        suite.append(_case(finding))
    return suite


def _case(finding: Finding) -> ElementTree.Element:
    attributes = {"classname": f"maildiag.{finding.step}", "name": _clean(finding.key)}
    case = ElementTree.Element("testcase", attributes | {"time": f"{finding.duration_ms / 1000:.3f}"})
    kind = _kind(finding)
    if kind:
        what = finding.acknowledged or finding.title
        told = ElementTree.SubElement(case, kind, {"message": _clean(what)})
        if kind != "skipped":
            told.set("type", f"{finding.status}: {finding.check}")
            told.text = _clean(_story(finding))
    return case


def _story(finding: Finding) -> str:
    evidence = [f"{each.source}\n{each.text}" for each in finding.evidence]
    cures = ["\n".join(["cure: " + fix.title, *commands(fix)]) for fix in finding.fixes]
    return "\n\n".join(each for each in (finding.title, finding.detail, *evidence, *cures) if each)


def _clean(text: str) -> str:
    """XML 1.0 forbids most control characters, escaped or not (section 2.2)."""
    return _FORBIDDEN.sub(lambda match: f"\\x{ord(match[0]):02x}", text)
