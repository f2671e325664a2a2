"""The journey of a test message, told by recorded log lines."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pytest

from maildiag.probing import journey
from maildiag.probing.follow import Follower
from maildiag.probing.journey import Outcome, Route, travel
from maildiag.probing.message import TestMessage, make
from maildiag.probing.submit import Submitted
from maildiag.probing.tail import FileTail

NOW = datetime(2026, 11, 23, 5, 0, tzinfo=UTC)
CLEANUP = "2026-11-23T04:59:58.100000+00:00 mail postfix/cleanup[12]: 4bXyZ1T2: message-id=<maildiag-cafe@example.test>"
SENT = (
    "2026-11-23T04:59:58.300000+00:00 mail postfix/local[14]: 4bXyZ1T2: to=<alice@example.test>, relay=local, delay=0.2,"
    " delays=0.1/0/0/0.1, dsn=2.0.0, status=sent (delivered to maildir)"
)
BOUNCED = SENT.replace(
    "dsn=2.0.0, status=sent (delivered to maildir)", 'dsn=5.1.1, status=bounced (unknown user: "alice")'
)
TO_FILTER = SENT.replace("relay=local", "relay=127.0.0.1[127.0.0.1]:10024").replace(
    "(delivered to maildir)", "(250 2.0.0 Ok: queued as 4bXyAAAA)"
)


def message() -> TestMessage:
    return make("alice@example.test", "alice@example.test", NOW, token="cafe")


@dataclass
class Lines:
    """A log that gets these lines, one batch a look."""

    batches: list[list[str]]

    def lines(self) -> list[str]:
        return self.batches.pop(0) if self.batches else []


@dataclass
class Box:
    """A mailbox that holds, or does not hold, what was sent."""

    held: set[str] = field(default_factory=set)

    def find(self, message_id: str) -> bool:
        return message_id in self.held

    def remove(self, message_id: str) -> bool:
        self.held.discard(message_id)
        return True


def follow(lines: Iterable[str]) -> Follower:
    follower = Follower("<maildiag-cafe@example.test>")
    follower.feed(lines, NOW)
    return follower


def test_the_message_id_leads_to_the_queue_id_and_the_delivery() -> None:
    follower = follow([CLEANUP, SENT])
    assert follower.queue_ids == {"4bXyZ1T2"}
    assert follower.finished is not None and follower.finished.status == "sent"


def test_a_hand_over_to_a_filter_on_this_host_is_not_the_end() -> None:
    follower = follow([CLEANUP, TO_FILTER])
    assert follower.finished is None
    assert follower.queue_ids == {"4bXyZ1T2", "4bXyAAAA"}


def test_another_message_with_the_same_outcome_is_not_ours() -> None:
    assert follow([CLEANUP.replace("cafe", "beef"), SENT]).finished is None


def test_a_message_that_arrives_is_seen_and_taken_out_again() -> None:
    box = Box({message().message_id})
    route = Route(lambda _: Submitted(True, "250 Ok", "4bXyZ1T2"), Lines([[CLEANUP], [SENT]]), box)
    hops = list(travel(message(), route, 5))
    assert [(hop.name, hop.outcome) for hop in hops] == [
        (name, Outcome.DONE) for name in ("submit", "queue", "deliver", "mailbox", "clean up")
    ]
    assert not box.held


def test_a_bounce_is_told_at_its_hop_with_the_line_that_says_why() -> None:
    hops = list(travel(message(), Route(lambda _: Submitted(True, ""), Lines([[CLEANUP, BOUNCED]]), Box()), 5))
    assert (hops[-1].name, hops[-1].outcome) == ("deliver", Outcome.FAILED)
    assert "unknown user" in hops[-1].detail
    assert hops[-1].evidence == (BOUNCED,)


def test_a_refused_submission_ends_the_journey() -> None:
    hops = list(travel(message(), Route(lambda _: Submitted(False, "451 4.3.0 later"), Lines([]), Box()), 5))
    assert [(hop.name, hop.outcome, hop.detail) for hop in hops] == [("submit", Outcome.FAILED, "451 4.3.0 later")]


def test_a_log_that_cannot_be_read_is_neither_good_nor_bad() -> None:
    box = Box({message().message_id})
    hops = list(travel(message(), Route(lambda _: Submitted(True, ""), None, box), 5))
    assert [(hop.name, hop.outcome) for hop in hops][1:3] == [
        ("deliver", Outcome.NOT_LOOKED),
        ("mailbox", Outcome.DONE),
    ]


@pytest.mark.parametrize("address", ["", "a b", "a\nRCPT TO:<x>", "<a>", "a,b"])
def test_an_address_that_could_smuggle_a_command_is_refused(address: str) -> None:
    with pytest.raises(ValueError, match="no address"):
        make("root@example.test", address, NOW)


def test_a_rotated_log_file_is_followed_from_its_start(tmp_path: Path) -> None:
    path = tmp_path / "mail.log"
    path.write_text("old\n")
    tail = FileTail(path)
    with path.open("a") as file:
        file.write("new\nhal")
    assert tail.lines() == ["new"]
    with path.open("a") as file:
        file.write("f\n")
    assert tail.lines() == ["half"]
    path.rename(tmp_path / "mail.log.1")
    path.write_text("after\n")
    assert tail.lines() == ["after"]


@dataclass
class ClosedBox(Box):
    """A mailbox that cannot be opened."""

    def find(self, message_id: str) -> bool:
        raise OSError("connect(/run/dovecot/auth-userdb) failed: Connection refused")


@pytest.mark.parametrize(
    ("box", "words"), [(ClosedBox(), "Connection refused"), (Box(), "delivered, and yet not in the mailbox")]
)
def test_what_the_log_calls_delivered_is_not_waited_for_to_the_end(
    box: Box, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journey, "_LASTING_S", 0.3)
    monkeypatch.setattr(journey, "_PLACED_S", 0.6)
    route = Route(lambda _: Submitted(True, "250 Ok", "4bXyZ1T2"), Lines([[CLEANUP, SENT]]), box)
    *_, last, cleaned = travel(message(), route, 60)
    assert (cleaned.name, cleaned.outcome) == ("clean up", Outcome.NOT_LOOKED)
    assert message().message_id in cleaned.detail
    assert (last.name, last.outcome) == ("mailbox", Outcome.FAILED)
    assert words in last.detail
    assert last.seconds < 10


def test_a_message_that_waits_before_the_queue_is_told_by_the_line_that_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(journey, "_LASTING_S", 0.1)
    stopped = (
        "2026-11-23T04:59:58.100000+00:00 app01 postfix/postdrop[1609]: warning: unable to look up public/pickup: "
        "No such file or directory"
    )
    hops = list(travel(message(), Route(lambda _: Submitted(True, ""), Lines([[stopped]]), None), 60))
    assert (hops[1].name, hops[1].outcome, hops[1].evidence) == ("queue", Outcome.FAILED, (stopped,))
    assert hops[1].seconds < 10
