"""Patterns of tables are looked for only in texts that have a word which they cannot do without."""

from __future__ import annotations

import re

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from maildiag.logs import classify, reasons
from maildiag.logs.patterns import needed, search

PATTERNS = sorted(
    {row.pattern for table in classify._TABLES.values() for row in table} | {pattern for _, pattern, _ in reasons._ROWS}
)


@pytest.mark.parametrize(
    ("pattern", "words"),
    [
        (r"quota exceeded|over ?quota", ("quota exceeded", "quota")),
        (r"5\.7\.2[6-9]|rate[ -]?limit", ("5.7.2", "limit")),
        (r"x(?:y(a|b)|z)?long word\b", ("long word",)),
        (r"words?|(?P<a>other)+ end", ("word", " end")),
        (r"\(in reply to [^)|]+\)", ("(in reply to ",)),
        (r"abc{0,3}d|efg*", ()),  # "ab" and "ef" are too short to be worth the look
        (r"(?:one|other)", ()),
    ],
)
def test_the_words_are_those_outside_groups_that_nothing_makes_optional(pattern: str, words: tuple[str, ...]) -> None:
    assert needed(pattern) == words


def test_most_patterns_of_the_tables_have_such_words() -> None:
    assert sum(bool(needed(pattern)) for pattern in PATTERNS) > len(PATTERNS) * 0.8


@settings(max_examples=300, suppress_health_check=list(HealthCheck), deadline=None)
@given(st.data())
def test_no_text_that_a_pattern_matches_is_passed_over(data: st.DataObject) -> None:
    pattern = data.draw(st.sampled_from(PATTERNS))
    text = data.draw(st.from_regex(pattern))
    found = search(pattern, text)
    assert found is not None
    assert found.span() == re.search(pattern, text).span()  # type: ignore[union-attr]  # it was made from the pattern
