"""The forms of a log line besides a syslog file's: the counts are those of the same lines in the usual form."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maildiag.logs.forms import as_syslog
from maildiag.logs.lines import parse_line
from maildiag.logs.scan import Scanner
from maildiag.logs.tally import Tally

NOW = datetime(2026, 11, 30, tzinfo=UTC)
DATA = Path(__file__).parent / "data" / "forms"
FORMS = ("json", "rfc5424", "priority")


def counted(text: str) -> Tally:
    tally = Tally()
    scanner = Scanner(tally)
    scanner.feed(text)
    scanner.end()
    return tally


@pytest.mark.parametrize("form", FORMS)
def test_a_recorded_delivery_is_counted_in_every_form(form: str) -> None:
    usual = counted((DATA / "syslog.log").read_text("latin-1"))
    other = counted((DATA / f"{form}.log").read_text("latin-1"))
    assert other.unparsed == 0
    assert (other.lines, other.hosts) == (usual.lines, usual.hosts)
    assert {kind: hours.total() for kind, hours in other.hours.items()} == {
        kind: hours.total() for kind, hours in usual.hours.items()
    }
    assert usual.hours["delivered"].total() == 2
    assert (other.recipients, other.senders, other.relays) == (usual.recipients, usual.senders, usual.relays)


@pytest.mark.parametrize("form", FORMS)
def test_a_recorded_line_has_its_parts_in_every_form(form: str) -> None:
    usual = [parse_line(raw, NOW) for raw in (DATA / "syslog.log").read_text().splitlines()]
    other = [parse_line(raw, NOW) for raw in (DATA / f"{form}.log").read_text().splitlines()]
    assert usual
    assert [(line.program, line.pid, line.text) for line in other if line] == [
        (line.program, line.pid, line.text) for line in usual if line
    ]


PIECES = st.sampled_from(
    ["{", "}", '"__REALTIME_TIMESTAMP":', '"1795000000123456"', '"99999999999999999999999"', '"MESSAGE":', "[104,255]", "null", '"a\\nb"', ",",
     "<22>1 ", "<22>", "2026-11-16T10:00:01Z ", "Nov 16 10:00:01 ", "- ", "mail ", '[x y="\\"]"] ', "postfix/smtp", "[[[[[[", ": ", "é"]
)  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(st.lists(PIECES, max_size=16).map("".join))
def test_nothing_that_looks_like_another_form_makes_the_reader_fail_or_lose_count(line: str) -> None:
    as_syslog(line)
    parse_line(line, NOW)
    assert counted(line + "\n").lines == (1 if line.strip() else 0)


def test_a_journal_entry_nested_without_end_is_not_understood() -> None:
    assert as_syslog('{"MESSAGE":' + "[" * 100_000) is None
