"""Every form of the report, read by the form's own parser; what strangers wrote stays text in all of them."""

from __future__ import annotations

import io
import json
import re
from dataclasses import replace
from datetime import UTC, datetime
from html.parser import HTMLParser
from xml.etree import ElementTree

import pytest
from markdown_it import MarkdownIt
from prometheus_client.parser import text_string_to_metric_families

from maildiag.document import document
from maildiag.events import RunFinished
from maildiag.model import Fix, Status
from maildiag.render import Format, Look, render
from maildiag.render.jsonl import write_event
from maildiag.render.markdown import escape
from maildiag.report import Report
from maildiag.schema import published, schema, validate
from maildiag.text import safe
from tests.support import HOSTILE, ROOT, finding, hostile, outage, report

WHOLE = [each for each in Format if each is not Format.JSONL]
REPORTS = {"outage": outage(), "hostile": hostile(), "empty": report([]), "cut": report([], complete=False)}


def shown(form: Format, of: Report) -> str:
    return render(of, form, Look())


@pytest.mark.parametrize("form", WHOLE)
@pytest.mark.parametrize("name", REPORTS)
def test_every_form_ends_in_a_newline_and_can_be_written_as_utf_8(form: Format, name: str) -> None:
    said = shown(form, REPORTS[name])
    assert said.endswith("\n")
    said.encode("utf-8", "backslashreplace")


def test_the_document_is_valid_for_each_report() -> None:
    for each in REPORTS.values():
        validate(json.loads(shown(Format.JSON, each)))


def test_the_published_schema_is_fresh() -> None:
    assert (ROOT / "docs" / "report.schema.json").read_text() == published()


def test_the_schema_refuses_what_the_contract_forbids() -> None:
    import jsonschema

    told = document(outage())
    for field in schema()["$defs"]["ReportDocument"]["required"]:
        with pytest.raises(jsonschema.ValidationError):
            validate({name: value for name, value in told.items() if name != field})
    with pytest.raises(jsonschema.ValidationError):
        validate(told | {"status": "fine"})


class Page(HTMLParser):
    """The elements and the text of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.names: set[str] = set()
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.names |= {name for name, _ in attrs}

    def handle_data(self, data: str) -> None:
        self.text += data


def test_html_is_one_page_without_scripts_links_or_outside_resources() -> None:
    for each in REPORTS.values():
        page = Page()
        page.feed(shown(Format.HTML, each))
        assert not page.tags & {"script", "img", "a", "link", "iframe", "object"}
        assert not {name for name in page.names if name.startswith("on")} | page.names & {"href", "src"}
    page = Page()
    page.feed(shown(Format.HTML, hostile()))
    assert "<script>alert(1)</script>" in page.text


def test_markdown_shows_hostile_text_as_text() -> None:
    tokens = MarkdownIt("commonmark").enable("table").parse(shown(Format.MARKDOWN, hostile()))
    inline = [child for token in tokens for child in token.children or ()]
    kinds = {token.type for token in [*tokens, *inline]}
    assert not kinds & {"html_block", "html_inline", "link_open", "image", "em_open"}
    assert {token.content for token in inline if token.type == "code_inline"} <= {"maildiag run"}
    headings = [
        token.content for token, before in zip(tokens[1:], tokens, strict=False) if before.type == "heading_open"
    ]
    assert "heading" not in headings
    fences = [token.content for token in tokens if token.type == "fence"]
    assert any("``` fence ~~~" in each for each in fences)


def test_markdown_reads_well_as_plain_text() -> None:
    for each in (
        "Dovecot is stopped: it ended at 2026-11-23 05:56:34 UTC (exit status 89).",
        "/var/log/mail.log, postfix_config",
        "2026-11-23",
        "3.7.11",
    ):
        assert escape(each) == each


@pytest.mark.parametrize(
    "text",
    ["- item", "+ item", "1. item", "2) item", "===", "---", "# head", "    code", "_a_ *b* __c__ `d` ~~e~~", "[x](y)",
     "<b>", "&amp;", "![i](j)", "[r]: z", "> quote", "back\\slash"],
)  # fmt: skip
def test_markdown_gives_every_text_back_as_it_was(text: str) -> None:
    tokens = MarkdownIt("gfm-like", {"linkify": False}).parse(f"before  \n{escape(text)}")
    assert [token.type for token in tokens] == ["paragraph_open", "inline", "paragraph_close"]
    kinds = {child.type for child in tokens[1].children or ()}
    assert kinds <= {"text", "text_special", "hardbreak"}
    said = "".join(child.content for child in tokens[1].children or ())
    assert said == f"before{text.lstrip()}"


def test_the_incident_record_tells_cause_cure_and_proof() -> None:
    said = shown(Format.MARKDOWN, outage())
    for words in ("Postfix is stopped", "systemctl start postfix@-.service", "What proves the cure", "What was done"):
        assert words in said


def test_junit_counts_agree_with_its_cases() -> None:
    for each in REPORTS.values():
        suites = ElementTree.fromstring(shown(Format.JUNIT, each))
        for suite in suites:
            for name, kind in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
                assert int(suite.attrib[name]) == len(suite.findall(f".//{kind}"))
        assert int(suites.attrib["tests"]) == len(suites.findall(".//testcase")) == len(each.findings)
    failure = ElementTree.fromstring(shown(Format.JUNIT, outage())).find(".//failure")
    assert failure is not None
    assert failure.attrib["message"] == "Postfix is stopped"


# What the schema of Jenkins's xUnit plugin (junit-10.xsd, MIT) lets each element have; GitLab and pytest agree with it.
_JUNIT = {
    "testsuites": {"name", "time", "tests", "failures", "errors"},
    "testsuite": {"name", "tests", "failures", "errors", "group", "time", "skipped", "timestamp", "hostname", "id", "package",
                  "file", "log", "url"},
    "testcase": {"name", "time", "classname", "group"},
    "failure": {"type", "message"}, "error": {"type", "message"}, "skipped": {"type", "message"},
}  # fmt: skip


def test_junit_has_only_what_the_strictest_reader_knows() -> None:
    for each in REPORTS.values():
        for element in ElementTree.fromstring(shown(Format.JUNIT, each)).iter():
            assert set(element.attrib) <= _JUNIT[element.tag]
            assert re.fullmatch(r"\d*(\.\d*)?", element.get("time", ""))


def test_a_consumer_of_junit_reads_what_was_written() -> None:
    junitparser = pytest.importorskip("junitparser")
    for each in REPORTS.values():
        read = junitparser.JUnitXml.fromstring(shown(Format.JUNIT, each).encode())
        cases = [case for suite in read for case in suite]
        assert len(cases) == len(each.findings)
        assert sum(case.is_failure for case in cases) == read.failures
        assert sum(case.is_skipped for case in cases) == sum(suite.skipped for suite in read)
        assert sum(case.is_error for case in cases) == read.errors
    (stopped,) = [
        case
        for suite in junitparser.JUnitXml.fromstring(shown(Format.JUNIT, outage()).encode())
        for case in suite
        if case.name.startswith("services.postfix")
    ]
    assert stopped.classname == "maildiag.services"
    assert [result.message for result in stopped.result] == ["Postfix is stopped"]


def test_what_is_acknowledged_is_told_with_its_reason_and_date_by_markdown_and_html() -> None:
    of = report([finding("dns.ptr", Status.WARNING, acknowledged="the provider is asked (until 2026-12-31)")])
    for form in (Format.MARKDOWN, Format.HTML, Format.TEXT):
        assert "the provider is asked (until 2026-12-31)" in " ".join(shown(form, of).split())


def test_a_recorded_host_was_seen_when_it_was_recorded() -> None:
    of = outage()
    of = replace(of, host=replace(of.host, seen=datetime(2020, 2, 29, 1, 2, 3, tzinfo=UTC)))
    for form in (Format.MARKDOWN, Format.HTML, Format.TEXT):
        assert "2020-02-29 01:02:03 UTC" in shown(form, of)
    assert json.loads(shown(Format.JSON, of))["host"]["seen"] == "2020-02-29T01:02:03+00:00"


def test_nagios_is_one_line_with_performance_data() -> None:
    for each in REPORTS.values():
        said = shown(Format.NAGIOS, each)
        assert said.count("\n") == 1
        assert said.count("|") == 1
        text, _, data = said.strip().partition(" | ")
        assert re.fullmatch(r"MAILDIAG (OK|WARNING|CRITICAL|UNKNOWN) - .+", text)
        assert all(re.fullmatch(r"\w+=[\d.]+s?;\d*;\d*;0", field) for field in data.split())
    assert shown(Format.NAGIOS, REPORTS["cut"]).startswith("MAILDIAG UNKNOWN - the run was cut")


def test_the_word_of_nagios_is_that_of_the_exit_status() -> None:
    degraded = report([finding("queue.backlog", Status.WARNING)])
    assert render(degraded, Format.NAGIOS, Look()).startswith("MAILDIAG WARNING - ")
    assert render(degraded, Format.NAGIOS, Look(fail_on=Status.CRITICAL)).startswith("MAILDIAG OK - ")
    noted = report([finding("queue.backlog", Status.NOTICE)])
    assert render(noted, Format.NAGIOS, Look(fail_on=Status.NOTICE)).startswith("MAILDIAG WARNING - ")


def test_nagios_tells_the_queue_with_its_indicator() -> None:
    of = report([finding("queue.backlog", Status.WARNING, data={"messages": 1284})])
    assert " queue_messages=1284;;;0" in shown(Format.NAGIOS, of)


def test_prometheus_s_own_parser_reads_the_page() -> None:
    for each in REPORTS.values():
        families = {family.name: family for family in text_string_to_metric_families(shown(Format.PROMETHEUS, each))}
        assert families["maildiag_run_complete"].samples[0].value == float(each.complete)
        assert all(family.documentation and family.type == "gauge" for family in families.values())
    labels = {label for family in families.values() for sample in family.samples for label in sample.labels}
    assert labels <= {"step", "status", "check", "version", "role", "postfix", "dovecot"}


def test_a_finding_s_text_is_never_a_label() -> None:
    assert not any(text[:10] in shown(Format.PROMETHEUS, hostile()) for text in HOSTILE)


def test_jsonl_is_flushed_line_by_line() -> None:
    out = io.StringIO()
    write_event(RunFinished(outage()), out, 2)
    assert json.loads(out.getvalue())["exit_status"] == 2


@pytest.mark.parametrize("width", [40, 80, 120])
def test_text_keeps_its_width_but_for_commands(width: int) -> None:
    said = render(outage(), Format.TEXT, Look(width=width))
    long = [line for line in said.splitlines() if len(line) > width]
    assert all(line.strip() in {"systemctl start postfix@-.service", "postqueue -f"} for line in long)
    assert all(line == line.rstrip() for line in said.splitlines())


def test_text_tells_the_headline_first_then_causes_symptoms_steps_and_what_needs_root() -> None:
    said = " ".join(shown(Format.TEXT, outage()).split())
    order = [
        "Postfix is stopped, which explains 2 other findings",
        "1. CRITICAL  services.postfix",
        "ActiveState=inactive",
        "Cure: Start Postfix",
        "systemctl start postfix@-.service",
        "Explains 2 other findings",
        "Steps",
        "2 questions need root",
        "Worth knowing",
        "Acknowledged",
    ]
    place = 0
    for words in order:
        place = said.index(" ".join(words.split()), place)


def test_text_shows_hostile_words_as_they_are_and_parses_no_markup() -> None:
    said = shown(Format.TEXT, report([finding("dns.mx", Status.CRITICAL, safe(HOSTILE[1]))]))
    assert HOSTILE[1] in said
    coloured = render(report([finding("dns.mx", Status.CRITICAL, safe(HOSTILE[2]))]), Format.TEXT, Look(colour=True))
    assert HOSTILE[2] in coloured
    assert "\x1b]8" not in coloured


def test_a_command_is_never_wrapped() -> None:
    command = ("postconf", "-e", "smtpd_recipient_restrictions=" + ",".join(["permit_mynetworks"] * 9))
    fix = Fix(id="a/b", title="Mend it", commands=(command,))
    said = render(report([finding("dns.mx", Status.CRITICAL, fixes=(fix,))]), Format.TEXT, Look(width=40))
    assert " ".join(command) in said


@pytest.mark.parametrize("form", WHOLE)
def test_a_secret_in_a_command_is_in_no_report(form: Format) -> None:
    setting = "smtp_sasl_password_maps=static:alice:hunter2"
    fix = Fix(
        id="a/b", title="Mend it", commands=(("postconf", "-e", setting),), undo=(("echo", setting),), automatic=True
    )
    of = report([finding("services.main-cf", Status.CRITICAL, fixes=(fix,))])
    assert "hunter2" not in shown(form, of)
    (told,) = document(of)["fixes"]
    assert told["commands"] == [["postconf", "-e", "smtp_sasl_password_maps=static:(removed)"]]
    assert not told["automatic"]


def test_a_command_without_a_secret_is_whole_and_stays_automatic() -> None:
    of = outage()
    assert [each["commands"] for each in document(of)["fixes"]] == [
        [list(argv) for argv in fix.commands] for fix in of.fixes
    ]
    assert [each["automatic"] for each in document(of)["fixes"]] == [fix.automatic for fix in of.fixes]
