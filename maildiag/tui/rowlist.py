"""A list of rows that draws only what is seen, so that a million rows are as quick as ten."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol, runtime_checkable

from rich.segment import Segment
from rich.style import Style
from textual.binding import Binding, BindingType
from textual.events import Click, Resize
from textual.geometry import Region, Size
from textual.message import Message
from textual.reactive import reactive
from textual.scroll_view import ScrollView
from textual.strip import Strip

from maildiag.text import safe
from maildiag.tui import palette
from maildiag.tui.rows import Row

_REVERSE = Style(reverse=True)
_AT_CURSOR = Style(bold=True)


@runtime_checkable
class Placed(Protocol):
    """Rows of which so many are drawn one by one that they have to know their places themselves."""

    def place(self, key: str) -> int | None:
        """The number of the row with this key."""
        ...


class RowList(ScrollView, can_focus=True):
    """Rows with a cursor that is marked by `>` as well as by reverse video."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("down,j", "move(1)", "Down", show=False, id="list.down"),
        Binding("up,k", "move(-1)", "Up", show=False, id="list.up"),
        Binding("pagedown,ctrl+d", "page(1)", "Page down", show=False, id="list.page-down"),
        Binding("pageup,ctrl+u", "page(-1)", "Page up", show=False, id="list.page-up"),
        Binding("home,g", "edge(-1)", "Top", show=False, id="list.top"),
        Binding("end,G", "edge(1)", "Bottom", show=False, id="list.bottom"),
        Binding("left,h", "sideways(-8)", "Left", show=False, id="list.left"),
        Binding("right,l", "sideways(8)", "Right", show=False, id="list.right"),
        Binding("enter", "choose", "Open", show=False, id="list.choose"),
    ]
    DEFAULT_CSS = "RowList { height: 1fr; scrollbar-size-vertical: 1; scrollbar-size-horizontal: 0; }"

    cursor = reactive(0)

    @dataclass
    class Moved(Message):
        """The cursor stands on another row."""

        rows: RowList
        row: Row

        @property
        def control(self) -> RowList:
            """The list, for `@on` selectors."""
            return self.rows

    @dataclass
    class Chosen(Message):
        """Enter, or a click on the row under the cursor."""

        rows: RowList
        row: Row

        @property
        def control(self) -> RowList:
            """The list, for `@on` selectors."""
            return self.rows

    def __init__(self, *, id: str | None = None, marked: bool = True) -> None:
        """`marked` draws the cursor; a text to read has none and scrolls instead."""
        super().__init__(id=id)
        self._rows: Sequence[Row] = ()
        self._every: Sequence[Row] = ()
        self._words = ""
        self._steered = False
        self._first = ""
        self._offset = 0
        self._marked = marked

    @property
    def marked(self) -> bool:
        """True where there is a cursor."""
        return self._marked

    @property
    def rows(self) -> Sequence[Row]:
        """What the list shows."""
        return self._rows

    @property
    def current(self) -> Row | None:
        """The row under the cursor."""
        return self._rows[self.cursor] if 0 <= self.cursor < len(self._rows) else None

    def show(self, rows: Sequence[Row], first: str = "") -> None:
        """Show other rows; the cursor stays with the row of the same key, or else at its place.

        Until somebody moves it, it stays on the row with the key `first`, or at the top, where the first cause appears.
        """
        self._every, self._first = rows, first
        words = self._words.lower()
        self._draw([each for each in rows if words in each.text.lower()] if words else rows)

    def narrow(self, words: str) -> None:
        """Show only the rows that contain `words`, whatever the case; all of them for an empty text."""
        self._words = words
        self.show(self._every, self._first)

    def _draw(self, rows: Sequence[Row]) -> None:
        key = self.current.key if self.current else ""
        self._rows = rows
        self.virtual_size = Size(self.size.width, len(rows))
        place = self._place(key)
        if place != self.cursor:
            self.cursor = place
        if not self._steered:
            self._see_cursor()
        self.refresh()

    def _place(self, key: str) -> int:
        if not self._steered:
            return next((n for n, each in enumerate(self._rows) if each.key == self._first), 0) if self._first else 0
        if isinstance(self._rows, Placed):
            found = self._rows.place(key)
            return found if found is not None else max(0, min(self.cursor, len(self._rows) - 1))
        near = range(max(0, self.cursor - 2000), min(len(self._rows), self.cursor + 2000))
        found = next((number for number in near if self._rows[number].key == key), None)
        return found if found is not None else max(0, min(self.cursor, len(self._rows) - 1))

    def let_go(self) -> None:
        """Forget that somebody moved the cursor: what is shown next is something else."""
        self._steered = False

    def steer(self, number: int) -> None:
        """Put the cursor on a row, as if somebody had moved it there."""
        self._steered = True
        self.cursor = max(0, min(number, len(self._rows) - 1))

    def watch_cursor(self, _: int, new: int) -> None:
        """Keep the cursor in sight and tell who listens."""
        if self._marked:
            self.scroll_to_region(Region(0, new, 1, 1), animate=False, force=True)
        self.refresh()
        if self.current:
            self.post_message(self.Moved(self, self.current))

    def on_resize(self, _: Resize) -> None:
        self.virtual_size = Size(self.size.width, len(self._rows))
        self._see_cursor()

    def _see_cursor(self) -> None:
        """Scroll to the cursor, and not at all where it is in sight from the beginning."""
        if self._marked:
            top = 0 if self.cursor < self.size.height else self.scroll_offset.y
            self.scroll_to(y=top, animate=False, immediate=True)
            self.scroll_to_region(Region(0, self.cursor, 1, 1), animate=False, force=True)

    def render_line(self, y: int) -> Strip:
        """The line `y` of the visible part."""
        number = y + round(self.scroll_y)
        width = self.scrollable_content_region.width
        base = self.rich_style
        if not 0 <= number < len(self._rows):
            return Strip.blank(width, base)
        chosen = self._marked and number == self.cursor
        segments = [Segment(">" if chosen else " ", base)] if self._marked else []
        theme, dark = self.app.theme, self.app.current_theme.dark
        parts = self._rows[number].parts
        segments += [Segment(safe(part.text), base + palette.style(part.tone, theme, dark)) for part in parts]
        strip = Strip(segments)
        if strip.cell_length > width and not self._offset and not self._rows[number].rule:
            strip = Strip([*strip.crop(0, width - 1), Segment("…", base)])
        strip = strip.crop(self._offset, self._offset + width).extend_cell_length(width, base)
        return self._under_cursor(strip) if chosen and self.has_focus else strip

    def _under_cursor(self, strip: Strip) -> Strip:
        """A calm bar where there are colours, reverse video where there are few or none."""
        colour = "" if self.app.no_color else palette.cursor(self.app.theme)
        if not colour:
            return strip.apply_style(_REVERSE)
        bar = Style(bgcolor=colour)
        return Strip([Segment(text, (style or Style()) + bar + _AT_CURSOR) for text, style, _ in strip])

    def action_move(self, by: int) -> None:
        """Move the cursor, or scroll a text."""
        if self._marked:
            self._steered = True
            self.cursor = max(0, min(len(self._rows) - 1, self.cursor + by))
        else:
            self.scroll_to(y=self.scroll_y + by, animate=False)

    def action_page(self, by: int) -> None:
        """Move by a page."""
        self.action_move(by * max(1, self.size.height - 1))

    def action_edge(self, to: int) -> None:
        """First or last row."""
        self.action_move(to * len(self._rows))

    def action_sideways(self, by: int) -> None:
        """Show what is cut off at the right."""
        self._offset = max(0, self._offset + by)
        self.refresh()

    def action_choose(self) -> None:
        """Open the row under the cursor."""
        if self.current:
            self.post_message(self.Chosen(self, self.current))

    def on_click(self, event: Click) -> None:
        number = event.y + round(self.scroll_y)
        if not 0 <= number < len(self._rows):
            return
        if self._marked and number != self.cursor:
            self._steered = True
            self.cursor = number
        elif self._marked:
            self.action_choose()
