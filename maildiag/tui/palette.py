"""Our colours: four themes of our own, and how each tone is said in whatever theme is on."""

from __future__ import annotations

from functools import lru_cache

from rich.style import Style
from textual.theme import Theme

from maildiag.tui.rows import Tone

CURSOR = "cursor"

_DARK = {
    Tone.DIM: "#929ca8", Tone.STRONG: "bold", Tone.TITLE: "bold #86b6de", Tone.CODE: "#9fd0c8", Tone.GOOD: "#8fc58f",
    Tone.NOTE: "#8fb5e8", Tone.WARN: "bold #ebbb5c", Tone.BAD: "bold #ff8a80", Tone.ASK: "bold #cfa3e8",
}  # fmt: skip
_LIGHT = {
    Tone.DIM: "#5a636d", Tone.STRONG: "bold", Tone.TITLE: "bold #1f5f94", Tone.CODE: "#0f5f5a", Tone.GOOD: "#1e6b2e",
    Tone.NOTE: "#1f56a3", Tone.WARN: "bold #7d4b00", Tone.BAD: "bold #b3161b", Tone.ASK: "bold #7a2d94",
}  # fmt: skip
# Blue and orange stay apart for people who cannot tell red from green (Okabe and Ito, "Color Universal Design").
_BLUE_ORANGE = _DARK | {Tone.GOOD: "#79b8ff", Tone.NOTE: "#a9c7ec", Tone.WARN: "#ffd08a", Tone.BAD: "bold #ff9a3d"}
_BLUE_ORANGE_LIGHT = _LIGHT | {
    Tone.GOOD: "#0b5cad",
    Tone.NOTE: "#3d5c80",
    Tone.WARN: "#7a5200",
    Tone.BAD: "bold #a13a00",
}
_ANSI = {
    Tone.DIM: "dim", Tone.STRONG: "bold", Tone.TITLE: "bold", Tone.CODE: "", Tone.GOOD: "green",
    Tone.NOTE: "", Tone.WARN: "bold yellow", Tone.BAD: "bold red", Tone.ASK: "bold magenta",
}  # fmt: skip


def _dark(name: str) -> Theme:
    return Theme(
        name=name, dark=True, background="#11151a", surface="#11151a", panel="#1b2733", foreground="#d7dce2",
        primary="#5f8fb8", secondary="#7fb2d9", accent="#d8a657", success="#8fc58f", warning="#ebbb5c", error="#ff8a80",
        variables={CURSOR: "#213246", "footer-key-foreground": "#d8a657"},
    )  # fmt: skip


def _light(name: str) -> Theme:
    return Theme(
        name=name, dark=False, background="#fbfaf7", surface="#fbfaf7", panel="#e4e9ee", foreground="#23282e",
        primary="#1f5f94", secondary="#1f5f94", accent="#7d4b00", success="#1e6b2e", warning="#7d4b00", error="#b3161b",
        variables={CURSOR: "#d7e3f0", "footer-key-foreground": "#7d4b00"},
    )  # fmt: skip


THEMES: dict[str, tuple[Theme, dict[Tone, str]]] = {
    "maildiag-dark": (_dark("maildiag-dark"), _DARK),
    "maildiag-light": (_light("maildiag-light"), _LIGHT),
    "maildiag-blue-orange": (_dark("maildiag-blue-orange"), _BLUE_ORANGE),
    "maildiag-blue-orange-light": (_light("maildiag-blue-orange-light"), _BLUE_ORANGE_LIGHT),
}


def tone(tone: Tone, theme: str, dark: bool = True) -> str:
    """How a tone is said, in the words of Rich and Textual alike; empty for plain text."""
    if theme.startswith("ansi"):
        return _ANSI.get(tone, "")
    fallback = _DARK if dark else _LIGHT
    return (THEMES[theme][1] if theme in THEMES else fallback).get(tone, "")


@lru_cache(maxsize=256)
def style(said: Tone, theme: str, dark: bool = True) -> Style:
    """The same as a Rich style."""
    return Style.parse(tone(said, theme, dark))


def cursor(theme: str) -> str:
    """The background of the row under the cursor; empty where it is shown in reverse video."""
    return str(THEMES[theme][0].variables[CURSOR]) if theme in THEMES else ""
