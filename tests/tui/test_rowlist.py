"""The list of rows by itself: what is drawn, and that no more is drawn than has changed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from textual.app import App, ComposeResult
from textual.pilot import Pilot
from textual.strip import Strip

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
