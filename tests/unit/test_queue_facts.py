"""The queue: what postqueue printed on real hosts as values, and grouped."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.mailqueue import entries
from maildiag.facts.local_time import LocalTime
from maildiag.facts.postfix import Postfix
from maildiag.facts.queue import MOST_BYTES, Queue, parse_seconds, queue
from maildiag.facts.spool import Spool
from maildiag.facts.spool import spool as gather_spool
from maildiag.model import Gap, GapReason
from maildiag.probes import Command, CommandResult, FileInfo, Probe, Stat
from maildiag.queue.entries import Entry, Recipient, read_json, read_text
from maildiag.queue.grouping import MOST_GROUPS, group
from maildiag.testing import gather, info

DATA = Path(__file__).parents[1] / "data" / "queue"
NOW = datetime(2026, 11, 23, 6, 0, tzinfo=UTC)
ASKED = Command(("postqueue", "-j"), timeout=20.0, most=MOST_BYTES)


def asked(result: CommandResult) -> Queue | Gap:
    return gather(queue, {ASKED: result}, postfix=None, time=LocalTime(NOW, "UTC"))


@pytest.mark.parametrize("release", ["debian12", "debian13"])
def test_both_forms_of_the_queue_tell_the_same(release: str) -> None:
    told = [*read_json((DATA / f"{release}.jsonl").read_text().splitlines())]
    text = [*read_text((DATA / f"{release}.txt").read_text().splitlines(), NOW)]
    assert told == text
    assert {each.queue for each in text} == {"deferred", "hold"}


def test_the_queue_is_grouped_by_reason_with_destinations() -> None:
    grouped = group(read_json((DATA / "debian12.jsonl").read_text().splitlines()), int(NOW.timestamp()))
    (only,) = grouped.groups
    assert grouped.total == 6
    assert grouped.queues == {"deferred": 5, "hold": 1}
    assert only.reason.meaning == "lookup.temporary"
    assert only.text == "address resolver failure"
    assert only.destinations["refused.test"] == 3
    assert grouped.held == ("6BE821C9",)


def test_a_line_that_is_no_entry_is_counted() -> None:
    assert group(read_json(['{"queue_name": "deferred"', "[]", "null"]), 0).unread == 3


@given(st.text())
def test_no_line_makes_the_readers_fail(text: str) -> None:
    list(read_json(text.splitlines()))
    list(read_text(text.splitlines(), NOW))


def test_groups_have_a_cap_and_every_message_is_counted() -> None:
    def entry(number: int) -> Entry:
        words = "".join(chr(97 + int(digit)) for digit in str(number))
        return Entry(
            "deferred", f"{number:X}", 0, 1, f"u{number}@a.test", (Recipient(f"x@{words}.test", f"odd thing {words}"),)
        )

    grouped = group((entry(number) for number in range(3 * MOST_GROUPS)), 0)
    assert len(grouped.groups) <= MOST_GROUPS + 1
    assert sum(each.messages for each in grouped.groups) == grouped.total == 3 * MOST_GROUPS


def test_a_message_without_a_reason_is_a_group_of_its_own() -> None:
    grouped = group([Entry("deferred", "A", 0, 1, "", (Recipient("a@b.test"),))], 0)
    assert grouped.groups[0].reason.meaning == "none"


def test_the_queue_that_may_not_be_seen_is_unknown() -> None:
    words = "postqueue: fatal: User app(1001) is not allowed to view the mail queue\n"
    found = asked(CommandResult(69, "", words))
    assert isinstance(found, Gap)
    assert found.reason is GapReason.DENIED


def test_a_stopped_postfix_hides_the_queue_from_others_than_root() -> None:
    words = "postqueue: fatal: Queue report unavailable - mail system is down (Connect to the Postfix showq service: Connection refused)\n"
    found = asked(CommandResult(69, "", words))
    assert isinstance(found, Gap)
    assert "mail system is down" in found.detail


def test_root_reads_the_queue_of_a_stopped_postfix() -> None:
    words = "postqueue: warning: Mail system is down -- accessing queue directly (Connect to the Postfix showq service: Connection refused)\n"
    found = asked(CommandResult(0, (DATA / "debian12.jsonl").read_text(), words))
    assert isinstance(found, Queue)
    assert found.direct
    assert found.total == 6


def test_a_broken_configuration_is_a_gap_with_postqueue_s_words() -> None:
    found = asked(CommandResult(69, "", "postqueue: fatal: bad numerical configuration: message_size_limit = 1 # x\n"))
    assert isinstance(found, Gap)
    assert "bad numerical configuration" in found.detail


def test_a_queue_too_long_to_read_whole_says_so() -> None:
    text = (DATA / "debian12.jsonl").read_text()
    found = asked(CommandResult(-9, text[: len(text) - 20], "", truncated=True))
    assert isinstance(found, Queue)
    assert not found.complete
    assert found.total == 5
    assert found.grouped.unread == 0


def test_lifetimes_are_read_as_postfix_does() -> None:
    assert parse_seconds("5d", 0) == 432000
    assert parse_seconds("2", 0) == 172800
    assert parse_seconds("4h", 0) == 14400
    assert parse_seconds("soon", 7) == 7


def fields(value: object) -> object:
    """The shape of a JSON value: its keys and the types of what they hold."""
    if isinstance(value, dict):
        return {key: fields(item) for key, item in value.items()}
    return [fields(value[0])] if isinstance(value, list) else type(value)


def test_generated_entries_have_the_fields_of_recorded_ones() -> None:
    recorded = json.loads((DATA / "debian12.jsonl").read_text().splitlines()[0])
    generated = [json.loads(line) for line in entries(200)]
    assert fields(recorded) in [fields(entry) for entry in generated]


def test_the_links_of_sendmail_are_followed_and_a_circle_of_them_ends() -> None:
    def link(path: str, to: str) -> FileInfo:
        return replace(info(path), link_to=to)

    def links(**answers: str) -> tuple[str, ...]:
        table: dict[Probe[Any], Any] = {
            Stat(f"/usr/sbin/{name}"): link(f"/usr/sbin/{name}", to) for name, to in answers.items()
        }
        found = gather(gather_spool, table, postfix=Postfix(installed=True))
        assert isinstance(found, Spool)
        return found.sendmail

    assert links() == ("/usr/sbin/sendmail",)
    assert links(sendmail="../bin/msmtp") == ("/usr/sbin/sendmail", "/usr/bin/msmtp")
    assert len(links(sendmail="sendmail")) == 6
