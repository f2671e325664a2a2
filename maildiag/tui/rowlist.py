"""A list of rows that draws only what is seen, so that a million rows are as quick as ten."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest
from typing import ClassVar, Protocol, runtime_checkable

from rich.segment import Segment
from rich.style import Style
from textual.binding import Binding, BindingType
from textual.events import Blur, Click, Focus, Resize
from textual.geometry import Region, Size
from textual.message import Message
from textual.reactive import reactive, var
from textual.scroll_view import ScrollView
from textual.strip import Strip

from maildiag.records import dataclass
from maildiag.text import safe
from maildiag.tui import folding, palette
from maildiag.tui.rows import Row, Tone

_REVERSE = Style(reverse=True)
_AT_CURSOR = Style(bold=True)


@runtime_checkable
class Placed(Protocol):
    """Rows of which so many are drawn one by one that they have to know their places themselves."""

    def place(self, key: str) -> int | None:
        """The number of the row with this key."""
        ...


@dataclass(frozen=True, slots=True)
class Seen:
    """The rows that are in sight, from the number `first` on, each asked for once however often it is drawn."""

    first: int = 0
    rows: Sequence[Row] = ()

    @property
    def end(self) -> int:
        """The number after the last."""
        return self.first + len(self.rows)

    def moved(self, every: Sequence[Row], first: int, end: int) -> Seen:
        """What is in sight after scrolling; only what has come into sight is asked for."""
        kept, left = max(first, self.first), min(end, self.end)
        if (first, end) == (self.first, self.end):
            return self
        if kept >= left:
            return Seen(first, every[first:end])
        old = self.rows[kept - self.first : left - self.first]
        return Seen(first, [*every[first:kept], *old, *every[left:end]])


@dataclass(frozen=True, slots=True)
class Look:
    """What all lines of a list are drawn in."""

    base: Style
    theme: str
    dark: bool = True

    def said(self, tone: Tone) -> Style:
        """How a tone is drawn."""
        return self.base + palette.style(tone, self.theme, self.dark)


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

    cursor = var(0)
    virtual_size = reactive(Size(0, 0), repaint=False)  # Textual's own lays the whole screen out anew for every row

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
        self._seen = Seen()
        self._laid: tuple[Seen, int, list[tuple[int, Row]]] = (self._seen, 0, [])
        self._look = Look(Style(), "")
        self._folds = False

    @property
    def marked(self) -> bool:
        """True where there is a cursor."""
        return self._marked

    @property
    def rows(self) -> Sequence[Row]:
        """What the list shows."""
        return self._rows

    @property
    def folds(self) -> bool:
        """True where a row that is too long for a line goes on on the next."""
        return self._folds

    def fold(self, on: bool) -> None:
        """Fold long rows, or cut them; the cursor keeps its row, and stays in sight."""
        self._folds, self._offset = on, 0
        self._see_cursor()
        self.refresh()

    @property
    def current(self) -> Row | None:
        """The row under the cursor."""
        return self._rows[self.cursor] if 0 <= self.cursor < len(self._rows) else None

    def around(self, most: int) -> Sequence[Row]:
        """At most so many rows, those about the cursor."""
        first = max(0, min(self.cursor - most // 2, len(self._rows) - most))
        return self._rows[first : first + most]

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
        key, before = self.current.key if self.current else "", self._in_sight()
        self._rows = rows
        self._seen = Seen()
        self.virtual_size = Size(self.size.width, len(rows))
        place = self._place(key)
        if place != self.cursor:
            self.cursor = place
        if not self._steered:
            self._see_cursor()
        self._redraw(before, self._in_sight())

    def _in_sight(self) -> Seen:
        """The rows that are seen now; of a list that grows, as many as there were when it was shown."""
        first = round(self.scroll_y)
        self._seen = self._seen.moved(self._rows, first, min(first + self.size.height, self.virtual_size.height))
        return self._seen

    @property
    def _lines(self) -> list[tuple[int, Row]]:
        """What stands on each line: the number of a row in sight, and the row or a part of it."""
        seen, width = self._in_sight(), self._text_width
        if self._laid[0] is not seen or self._laid[1] != width:
            self._laid = (seen, width, folding.laid(seen.rows, width, self.size.height))
        return self._laid[2]

    @property
    def _text_width(self) -> int:
        return self.scrollable_content_region.width - self._marked

    def _redraw(self, before: Seen, now: Seen) -> None:
        """Draw the lines that say something else than before; a list that was scrolled is drawn anew anyway."""
        if self._folds and before != now:
            self.refresh()
            return
        lines = zip_longest(before.rows, now.rows) if before.first == now.first else ()
        changed = [Region(0, y, self.size.width, 1) for y, (old, new) in enumerate(lines) if old != new]
        if changed:
            self.refresh(*changed)

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

    def watch_cursor(self, old: int, new: int) -> None:
        """Keep the cursor in sight and tell who listens."""
        if self._marked:
            self._redraw_row(old)
            self._scroll_to_cursor()
            self._redraw_row(new)
        if self.current:
            self.post_message(self.Moved(self, self.current))

    def watch_virtual_size(self, _: Size, size: Size) -> None:
        """Let the scroll bar know; it comes and goes with a layout, the rest of the screen keeps its place."""
        height = self.container_size.height
        if not height:
            return
        self.show_vertical_scrollbar = size.height > height
        if self.show_vertical_scrollbar:
            self.vertical_scrollbar.window_virtual_size = size.height
            self.vertical_scrollbar.window_size = height
        self.scroll_y = self.validate_scroll_y(self.scroll_y)

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        """Move the scroll bar where that is seen, by an eighth of a cell, and draw the lines anew."""
        if self.show_vertical_scrollbar:
            seen = max(1.0, len(self._rows) / max(1, 8 * self.size.height))
            self.vertical_scrollbar.position = round(new_value / seen) * seen
        if round(old_value) != round(new_value):
            self.refresh(self.size.region)

    def on_resize(self, _: Resize) -> None:
        self.virtual_size = Size(self.size.width, len(self._rows))
        self._see_cursor()

    def _see_cursor(self) -> None:
        """Scroll to the cursor, and not at all where it is in sight from the beginning."""
        if self._marked:
            top = 0 if self.cursor < self.size.height else self.scroll_offset.y
            self.scroll_to(y=top, animate=False, immediate=True)
            self._scroll_to_cursor()

    def _scroll_to_cursor(self) -> None:
        if self._folds:
            first = self._top_for(self.cursor)
            y = min(self.cursor, max(first, round(self.scroll_y)))
            self.scroll_to(y=y, animate=False, force=True, immediate=True)
        else:
            self.scroll_to_region(Region(0, self.cursor, 1, 1), animate=False, force=True)

    def _top_for(self, number: int) -> int:
        """The row that must stand at the top, at the earliest, for this one to be seen whole."""
        before = max(0, number + 1 - self.size.height)
        return before + folding.top(self._rows[before : number + 1], self._text_width, self.size.height)

    @property
    def max_scroll_y(self) -> int:
        """How far one can scroll: until the last row is seen whole."""
        return self._top_for(len(self._rows) - 1) if self._folds and len(self._rows) else super().max_scroll_y

    def _redraw_row(self, number: int) -> None:
        if self._folds:
            self.refresh()
        else:
            self.refresh_line(number)

    def on_focus(self, _: Focus) -> None:
        self._redraw_row(self.cursor)

    def on_blur(self, _: Blur) -> None:
        self._redraw_row(self.cursor)

    def render_lines(self, crop: Region) -> list[Strip]:
        """The lines that are seen; what they have in common is asked for once."""
        self._look = Look(self.rich_style, self.app.theme, self.app.current_theme.dark)
        return super().render_lines(crop)

    def render_line(self, y: int) -> Strip:
        """The line `y` of the visible part."""
        width, look, seen = self.scrollable_content_region.width, self._look, self._in_sight()
        lines = self._lines if self._folds else seen.rows
        if y >= len(lines):
            return Strip.blank(width, look.base)
        number, row = self._lines[y] if self._folds else (y, seen.rows[y])
        chosen = self._marked and seen.first + number == self.cursor
        segments = [Segment(">" if chosen else " ", look.base)] if self._marked else []
        segments += [Segment(safe(part.text), look.said(part.tone)) for part in row.parts]
        strip = Strip(segments)
        if strip.cell_length > width and not self._offset and not row.rule:
            strip = Strip([*strip.crop(0, width - 1), Segment("…", look.base)])
        if strip.cell_length > width or self._offset:
            strip = strip.crop(self._offset, self._offset + width)
        strip = strip.extend_cell_length(width, look.base)
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
        seen = 1 + self._lines[-1][0] if self._folds and self._lines else self.size.height
        self.action_move(by * max(1, seen - 1))

    def action_edge(self, to: int) -> None:
        """First or last row."""
        self.action_move(to * len(self._rows))

    def action_sideways(self, by: int) -> None:
        """Show what is cut off at the right."""
        self._offset = 0 if self._folds else max(0, self._offset + by)
        self.refresh()

    def action_choose(self) -> None:
        """Open the row under the cursor."""
        if self.current:
            self.post_message(self.Chosen(self, self.current))

    def on_click(self, event: Click) -> None:
        number = event.y + round(self.scroll_y)
        if self._folds:
            number = self._in_sight().first + self._lines[event.y][0] if event.y < len(self._lines) else -1
        if not 0 <= number < len(self._rows):
            return
        if self._marked and number != self.cursor:
            self._steered = True
            self.cursor = number
        elif self._marked:
            self.action_choose()
