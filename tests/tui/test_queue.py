"""The queue screen: groups, messages of any number, and no way to act without leave."""

from __future__ import annotations

import time
from typing import Any

from textual.pilot import Pilot
from textual.widgets import Input

from maildiag.queue.entries import Entry, Recipient
from maildiag.tui.app import MaildiagApp
from maildiag.tui.queueview import By, MessageRows, Queued, group_rows, shown, summary
from maildiag.tui.rowlist import RowList
from maildiag.tui.screens.queue import QueueScreen
from tests.tui.conftest import play, screen_text, until

NOW = 1_795_400_000
TIMED_OUT = "connect to mx.partner.test[10.0.1.30]:25: Connection timed out"
REFUSED = "connect to mx.partner.test[10.0.1.30]:25: Connection refused"


def entry(number: int, reason: str = TIMED_OUT, age: int = 60, sender: str = "alice@example.test") -> Entry:
    return Entry("deferred", f"4A{number:08X}", NOW - age, 1234, sender, (Recipient("joe@partner.test", reason),))


async def arranged(app: MaildiagApp, pilot: Pilot[Any], words: str) -> None:
    await until(app, pilot, lambda: words in screen_text(app))


def queued() -> Queued:
    return Queued((*(entry(n) for n in range(3)), entry(9, REFUSED, 90_000, "")), NOW)


def test_the_queue_is_grouped_by_reason_destination_sender_and_age() -> None:
    assert [len(found.entries) for found in queued().groups(By.REASON).values()] == [3, 1]
    assert list(queued().groups(By.DESTINATION)) == ["partner.test"]
    assert list(queued().groups(By.SENDER)) == ["alice@example.test", "<> (bounces)"]
    assert list(queued().groups(By.AGE)) == ["under 1 hour", "older"]


def test_a_group_row_tells_how_many_which_share_and_how_old() -> None:
    first, second = group_rows(queued().groups(By.REASON), 4, NOW)
    assert first.text.split()[:4] == ["3", "75%", "60", "s"]
    assert "refused" in second.text


def test_the_summary_tells_an_empty_queue_from_one_that_cannot_be_read() -> None:
    assert summary(shown(Queued((), NOW), By.REASON, "")).text.strip() == "The queue is empty."
    refused = Queued((), NOW, "User app(1001) is not allowed to view the mail queue")
    assert "not allowed" in summary(shown(refused, By.REASON, "")).text


def test_a_filter_looks_at_id_sender_recipients_and_reasons() -> None:
    assert len(shown(queued(), By.REASON, "REFUSED").queued.entries) == 1
    assert len(shown(queued(), By.REASON, "alice").queued.entries) == 3
    assert shown(queued(), By.REASON, "nobody").groups == {}


def test_a_hundred_thousand_messages_are_grouped_and_drawn_without_making_a_row_for_each() -> None:
    many = Queued(tuple(entry(n) for n in range(100_000)), NOW)
    (found,) = many.groups(By.REASON).values()
    rows = MessageRows(found, {"4A00000001"}, NOW)
    assert rows.place("message:4A0000C350") == 50_000
    assert rows.place("message:gone") is None
    assert len(rows) == 100_000
    assert rows[1].text.startswith("* 4A00000001")
    assert rows[99_999].key == "message:4A0001869F"


def test_a_recorded_host_has_no_queue_to_read_and_none_to_act_on(app: MaildiagApp) -> None:
    async def scenario(pilot: Pilot[Any]) -> None:
        await pilot.press("U", "Q")
        await arranged(app, pilot, "read on the host itself")
        screen = app.screen
        assert isinstance(screen, QueueScreen)
        await pilot.press("a")
        assert not screen.query_one("#answer", Input).display
        assert screen.refusal() == "only on the host itself"

    play(app, scenario)


def test_marking_and_regrouping_work_on_what_is_shown(app: MaildiagApp) -> None:
    async def scenario(pilot: Pilot[Any]) -> None:
        await pilot.press("Q")
        await arranged(app, pilot, "read on the host itself")
        screen = app.screen
        assert isinstance(screen, QueueScreen)
        screen.show(Queued(queued().entries, int(time.time())))
        await arranged(app, pilot, "4 messages")
        assert any("Connection timed out" in line for line in screen_text(app).splitlines()[-4:])
        await pilot.press("space")
        assert "3 messages marked" in screen_text(app)
        await pilot.press("enter", "space")
        await pilot.pause()
        assert "2 messages marked" in screen_text(app)
        await pilot.press("right_square_bracket")
        assert screen.by is By.DESTINATION
        await arranged(app, pilot, "partner.test")
        assert len(screen.query_one("#messages", RowList).rows) == 4

    play(app, scenario)
