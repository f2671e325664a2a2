"""Draws with ASCII alone, for terminals that do not speak UTF-8: each character becomes one of the same width."""

from __future__ import annotations

from functools import lru_cache

from rich.cells import cell_len
from rich.segment import Segment
from textual.color import Color
from textual.filter import LineFilter

_LOOKS = {
    "…": "~",
    "·": ".",
    "–": "-",
    "—": "-",
    "“": '"',
    "”": '"',
    "‘": "'",
    "’": "'",
    "→": ">",
    "←": "<",
    "↑": "^",
    "↓": "v",
}
_BARS = "─━╌╍═╴╶╸╺▔▁▂▃"
_POSTS = "│┃╎╏║╵╷╹╻▏▕▎▐▌▍▋▊"


class Ascii(LineFilter):
    """The last thing that happens to a line before it is drawn: borders, scroll bars, and what strangers wrote."""

    def apply(self, segments: list[Segment], background: Color) -> list[Segment]:
        """The same line, as wide, in ASCII."""
        return [Segment(ascii_only(text), style, control) for text, style, control in segments]


@lru_cache(maxsize=4096)
def ascii_only(text: str) -> str:
    """The text with every other character told by one that looks like it, or by `?`."""
    return text if text.isascii() else "".join(map(_ascii, text))


def _ascii(letter: str) -> str:
    if letter.isascii():
        return letter
    if letter in _LOOKS:
        return _LOOKS[letter]
    if letter in _BARS:
        return "-"
    if letter in _POSTS:
        return "|"
    if "\u2500" <= letter <= "\u257f":
        return "+"
    if "\u2580" <= letter <= "\u259f":
        return "#"
    return "?" * cell_len(letter)
