"""The list of rows by itself: what is drawn, and that no more is drawn than has changed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from rich.cells import cell_len
from textual.app import App, ComposeResult
from textual.pilot import Pilot
from textual.strip import Strip

from maildiag.tui import folding
from maildiag.tui.rowlist import RowList
from maildiag.tui.rows import Row, row


class Counting(RowList):
    """Knows which lines were drawn."""

    def __init__(self) -> None:
        super().__init__(id="lines")
        self.drawn: list[int] = []

    def render_line(self, y: int) -> Strip:
        self.drawn.append(y)
        return super().render_line(y)


class Shows(App[None]):
    def compose(self) -> ComposeResult:
        yield Counting()


def some(count: int, word: str = "row") -> list[Row]:
    return [row(str(number), f" {word} {number}") for number in range(count)]


def seen(app: Shows) -> list[str]:
    return [strip.text.rstrip() for strip in app.screen._compositor.render_strips()]


def shown(scenario: Callable[[Shows, Counting, Pilot[Any]], Awaitable[None]]) -> None:
    async def run() -> None:
        app = Shows()
        async with app.run_test(size=(30, 10)) as pilot:
            await scenario(app, app.query_one(Counting), pilot)

    asyncio.run(run())


def test_a_move_within_sight_draws_the_two_lines_of_the_cursor() -> None:
    async def scenario(app: Shows, rows: Counting, pilot: Pilot[Any]) -> None:
        rows.show(some(8))
        rows.focus()
        await pilot.pause()
        rows.drawn.clear()
        await pilot.press("down")
        assert set(rows.drawn) == {0, 1}
        assert seen(app)[:3] == ["  row 0", "> row 1", "  row 2"]

    shown(scenario)


def test_only_rows_that_say_something_else_are_drawn_anew() -> None:
    async def scenario(app: Shows, rows: Counting, pilot: Pilot[Any]) -> None:
        rows.show(some(8))
        await pilot.pause()
        rows.drawn.clear()
        rows.show(some(8))
        await pilot.pause()
        assert not rows.drawn
        rows.show([*some(3), row("3", " another"), *some(8)[4:]])
        await pilot.pause()
        assert set(rows.drawn) == {3}
        assert seen(app)[3] == "  another"

    shown(scenario)


def test_rows_that_grow_where_they_are_and_that_become_fewer_are_drawn() -> None:
    async def scenario(app: Shows, rows: Counting, pilot: Pilot[Any]) -> None:
        growing = some(2)
        rows.show(growing)
        await pilot.pause()
        growing += some(4)[2:]
        rows.refresh()
        await pilot.pause()
        rows.show(growing)
        await pilot.pause()
        assert seen(app)[:5] == ["> row 0", "  row 1", "  row 2", "  row 3", ""]
        rows.show(some(1, "left"))
        await pilot.pause()
        assert seen(app)[:3] == ["> left 0", "", ""]

    shown(scenario)


def test_the_scroll_bar_comes_and_goes_with_the_rows_and_ends_where_they_end() -> None:
    async def scenario(app: Shows, rows: Counting, pilot: Pilot[Any]) -> None:
        rows.show(some(100_000))
        rows.focus()
        await pilot.pause()
        assert rows.show_vertical_scrollbar
        await pilot.press("end")
        assert seen(app)[-1].startswith("> row 99999")
        assert abs(rows.vertical_scrollbar.position - (100_000 - 10)) < 100_000 / 80
        rows.show(some(5))
        await pilot.pause()
        assert not rows.show_vertical_scrollbar
        assert seen(app)[4].startswith("> row 4")

    shown(scenario)


LONG = "word " * 20


def long(count: int) -> list[Row]:
    return [row(str(number), f"{number}: {LONG}the end of {number}") for number in range(count)]


def standing(app: Shows) -> list[str]:
    """The numbers of the rows that begin on the screen."""
    return [line[1:].partition(":")[0] for line in seen(app) if ":" in line]


def said(app: Shows) -> str:
    """All that is on the screen, in one line."""
    return " ".join(" ".join(seen(app)).replace(">", " ").split())


def test_folded_rows_are_whole_and_the_cursor_goes_from_row_to_row() -> None:
    async def scenario(app: Shows, rows: Counting, pilot: Pilot[Any]) -> None:
        rows.show(long(100))
        rows.focus()
        rows.fold(True)
        await pilot.pause()
        assert seen(app)[0].startswith(">0: word") and "the end of 0" in said(app)
        assert standing(app) == ["0", "1"]
        await pilot.press("down", "down", "down")
        assert rows.cursor == 3
        assert standing(app)[-1] == "3" and said(app).endswith("the end of 3")
        await pilot.press("up")
        assert standing(app)[-1] == "3", "what is in sight stays where it is"

    shown(scenario)


def test_the_last_of_the_folded_rows_is_seen_to_its_end_and_pages_leave_no_row_out() -> None:
    async def scenario(app: Shows, rows: Counting, pilot: Pilot[Any]) -> None:
        rows.show(long(1000))
        rows.focus()
        rows.fold(True)
        await pilot.press("end")
        assert rows.cursor == 999
        assert said(app).endswith("the end of 999")
        seen_rows = set(standing(app))
        for _ in range(20):
            await pilot.press("pageup")
            seen_rows |= set(standing(app))
        assert {str(number) for number in range(rows.cursor, 1000)} <= seen_rows
        rows.scroll_to(y=10_000, animate=False, force=True)
        await pilot.pause()
        assert said(app).endswith("the end of 999")

    shown(scenario)


@pytest.mark.parametrize(("down", "up"), [("pagedown", "pageup"), ("ctrl+d", "ctrl+u")])
def test_a_page_down_and_a_page_up_lead_back(down: str, up: str) -> None:
    async def scenario(app: Shows, rows: Counting, pilot: Pilot[Any]) -> None:
        rows.show(long(100))
        rows.focus()
        await pilot.press(down)
        assert rows.cursor > 1
        await pilot.press(up)
        assert rows.cursor == 0

    shown(scenario)


def test_a_click_finds_the_row_whose_line_it_is_and_unfolding_keeps_the_cursor() -> None:
    async def scenario(app: Shows, rows: Counting, pilot: Pilot[Any]) -> None:
        rows.show(long(100))
        rows.focus()
        rows.fold(True)
        await pilot.pause()
        await pilot.click(rows, offset=(3, 6))
        assert rows.cursor == 1
        await pilot.press("right")
        rows.fold(False)
        await pilot.pause()
        assert rows.cursor == 1
        assert seen(app)[:2] == ["  0: word word word word word"[1:].ljust(28)[:28] + "…", seen(app)[1]]

    shown(scenario)


def test_only_the_folded_rows_in_sight_are_asked_for() -> None:
    class Counted(list[Row]):
        asked = 0

        def __getitem__(self, place: Any) -> Any:
            found = super().__getitem__(place)
            type(self).asked += len(found) if isinstance(place, slice) else 1
            return found

    async def scenario(app: Shows, rows: Counting, pilot: Pilot[Any]) -> None:
        rows.show(Counted(long(100_000)))
        rows.focus()
        rows.fold(True)
        await pilot.press("end", "pageup", "pageup")
        assert rows.cursor > 99_990
        assert Counted.asked < 1000

    shown(scenario)


def test_folded_text_keeps_every_letter_and_wide_ones_fit() -> None:
    for text in ("x" * 300, LONG, "全角文字" * 40, "a"):
        parts = folding.folded(row("k", text), 40)
        assert (
            "".join(each.text.removeprefix("    ") if place else each.text for place, each in enumerate(parts)) == text
        )
        assert all(cell_len(each.text) <= 40 for each in parts)
    assert folding.folded(row("k", " " * 18 + "x" * 30), 40)[0].text == "    " + "x" * 30
