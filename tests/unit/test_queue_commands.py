"""Selecting queued messages and keeping copies of them."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maildiag.queue.acting import Action, Ids, applies
from maildiag.queue.entries import Entry, Recipient
from maildiag.queue.grouping import group
from maildiag.queue.saving import split
from maildiag.queue.selecting import BadSelectionError, Selection, seconds, size
from maildiag.queue.showing import as_document, as_text
from tests.support import maildiag

NOW = 1_795_411_800
ENTRY = Entry(
    "deferred", "641801C6", NOW - 7200, 2600, "bob@example.test", (Recipient("Joe@Partner.test", "connect to x[192.0.2.1]:25: Connection refused"),)
)  # fmt: skip


@pytest.mark.parametrize(
    "selection",
    [
        Selection(),
        Selection(reason="connect.refused"),
        Selection(reason="connect.*"),
        Selection(reason="connection REFUSED"),
        Selection(to="partner.test"),
        Selection(to="joe@partner.test"),
        Selection(to="*@partner.*"),
        Selection(sender="bob@example.test"),
        Selection(sender="example.test"),
        Selection(older=3600, newer=7201),
        Selection(larger=2600, smaller=2601),
        Selection(queue="deferred"),
        Selection(ids=frozenset({"641801C6"})),
    ],
)
def test_a_message_fits_what_names_it(selection: Selection) -> None:
    assert selection.fits(ENTRY, NOW)


def test_an_address_literal_is_a_domain_and_no_glob() -> None:
    entry = Entry("deferred", "F868130F25", NOW, 260, "bob@example.test", (Recipient("alice2@[192.0.2.2]"),))
    assert Selection(to="[192.0.2.2]").fits(entry, NOW)
    assert Selection(to="alice2@[192.0.2.2]").fits(entry, NOW)
    assert not Selection(to="[192.0.2.1]").fits(entry, NOW)


@pytest.mark.parametrize(
    "selection",
    [
        Selection(reason="dns.*"),
        Selection(reason="none"),
        Selection(to="example.test"),
        Selection(sender="<>"),
        Selection(older=7201),
        Selection(smaller=2600),
        Selection(queue="hold"),
        Selection(ids=frozenset({"X"})),
        Selection(to="partner.test", sender="alice@example.test"),
    ],
)
def test_a_message_does_not_fit_what_names_another(selection: Selection) -> None:
    assert not selection.fits(ENTRY, NOW)


def test_ages_and_sizes_are_read_or_refused() -> None:
    assert (seconds("90s"), seconds("2d"), size("10M"), size("500")) == (90, 172800, 10_000_000, 500)
    for read in (seconds, size):
        with pytest.raises(BadSelectionError):
            read("soon")


def test_releasing_is_for_what_is_held() -> None:
    assert not applies(Action.RELEASE, ENTRY)
    assert applies(Action.HOLD, ENTRY)


@given(st.lists(st.text("ABCDEF0123456789", min_size=6, max_size=10)))
def test_ids_are_kept_in_order(names: list[str]) -> None:
    with Ids() as ids:
        for each in names:
            ids.add(each)
        assert [*ids] == names
        assert ids.count == len(names)


def test_copies_are_told_apart_although_a_message_quotes_postcat() -> None:
    one = b"*** ENVELOPE RECORDS deferred/6/641801C6 ***\nbody\n*** ENVELOPE RECORDS deferred/X/ABCDEF ***\nmore\n"
    two = b"*** ENVELOPE RECORDS hold/6BE821C9 ***\nx\n"
    assert split(one + two, ["641801C6", "6BE821C9"]) == {"641801C6": one, "6BE821C9": two}


def test_a_message_that_is_gone_has_no_copy() -> None:
    two = b"*** ENVELOPE RECORDS hold/6BE821C9 ***\nx\n"
    assert split(two, ["641801C6", "6BE821C9"]) == {"6BE821C9": two}


def test_the_text_shows_reason_destination_and_age_and_no_escape() -> None:
    hostile = Entry("hold", "A1", NOW, 5, "", (Recipient("x@y.test", "\x1b]0;evil\x07 refused"),))
    for by in ("reason", "destination", "sender", "age", "queue"):
        text = "\n".join(as_text(group([ENTRY, hostile], NOW), NOW, by, 20))
        assert "\x1b" not in text
        assert "2 messages (1 deferred, 1 hold)" in text


def test_the_document_counts_every_message_once() -> None:
    told = as_document(group([ENTRY, ENTRY], NOW), NOW)
    assert told["schema"] == "maildiag.queue/1"
    assert (
        told["messages"]
        == sum(each["messages"] for each in told["reasons"])
        == sum(each["messages"] for each in told["ages"])
        == 2
    )


@pytest.mark.parametrize(
    "arguments", [["delete"], ["hold", "--older", "soon"], ["show", "--top", "-1"], ["hold", "--queue", "nowhere"]]
)
def test_an_action_without_a_selection_and_bad_values_are_usage_errors(arguments: list[str]) -> None:
    ran = maildiag("queue", *arguments)
    assert ran.status == 64
    assert ran.out == ""


def test_a_host_without_postqueue_says_so(tmp_path: Path) -> None:
    ran = maildiag("queue", PATH=str(tmp_path))
    assert (ran.status, ran.out) == (1, "")
    assert "postqueue is not installed" in ran.err
