"""The last line: the keys of this screen, the most useful first, as many as there is room for; `?` always."""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

from textual.content import Content
from textual.events import Click
from textual.screen import Screen
from textual.widget import Widget
from textual.widgets import Input

from maildiag.records import dataclass
from maildiag.tui.guide import Guide
from maildiag.tui.helping import named
from maildiag.tui.rowlist import RowList

_HELP = "view.help"
_UNLOCK = "view.unlock"
_LATER = ("screen.filter", "run.again", "view.")
CHANGING = frozenset({"fix.apply", "fix.ask", "queue.act"})


@dataclass(frozen=True, slots=True)
class Shown:
    """A key as the line shows it."""

    id: str
    key: str
    said: str
    words: str

    @property
    def text(self) -> str:
        """Key and words."""
        return f"{self.said} {self.words}"


class KeyLine(Widget):
    """One line; a click on a key presses it."""

    DEFAULT_CSS = "KeyLine { height: 1; dock: bottom; }"

    def on_mount(self) -> None:
        self.screen.bindings_updated_signal.subscribe(self, self._changed)

    def _changed(self, screen: Screen[object]) -> None:
        self.refresh()

    def keys(self) -> list[Shown]:
        """What fits, in the order of its worth."""
        if isinstance(self.app.focused, Input):
            return _TYPING
        found = list(self._all())
        last = [each for each in found if each.id == _HELP]
        local = [each for each in found if each.id != _HELP and not each.id.startswith(_LATER)]
        global_ = [each for each in found if each.id != _HELP and each.id.startswith(_LATER)]
        if self._locked and any(each.id in CHANGING for each in local):
            global_.sort(key=lambda each: each.id != _UNLOCK)
        return [*fitting([*local, *global_], self.size.width - sum(len(each.text) + 3 for each in last)), *last]

    def _all(self) -> Iterator[Shown]:
        if isinstance(self.app.focused, RowList) and self.app.focused.marked and self.screen_opens:
            yield Shown("list.choose", "enter", "enter", self.screen_opens)
        seen = set()
        for _, binding, _, _ in self.screen.active_bindings.values():
            if binding.show and binding.id not in seen and binding.description:
                seen.add(binding.id)
                if binding.id != _UNLOCK:
                    yield Shown(binding.id or "", binding.key, named(binding.key), binding.description)
                elif cast("Guide", self.app).session.changeable:
                    yield Shown(_UNLOCK, binding.key, named(binding.key), "Unlock" if self._locked else "Lock")

    @property
    def _locked(self) -> bool:
        return not cast("Guide", self.app).session.allow_fix

    @property
    def screen_opens(self) -> str:
        """What enter does on this screen, in a word."""
        return str(getattr(self.screen, "enters", ""))

    def render(self) -> Content:
        """The keys in the theme's colour, their words beside them; what is locked is dim."""
        parts: list[str | Content | tuple[str, str]] = [" "]
        for each in self.keys():
            dim = "dim" if self._locked and each.id in CHANGING else ""
            parts += [(each.said, f"bold $footer-key-foreground {dim}"), (f" {each.words}  ", dim)]
        return Content.assemble(*parts)

    def on_click(self, event: Click) -> None:
        place = 1
        for each in self.keys():
            if place <= event.x < place + len(each.text):
                self.app.simulate_key(each.key)
            place += len(each.text) + 2


_TYPING = [
    Shown("", "enter", "enter", "Take it"),
    Shown("", "escape", "esc", "Leave it"),
    Shown(_HELP, "f1", "f1", "Help"),
]


def fitting(keys: list[Shown], width: int) -> list[Shown]:
    """The first keys that fit into `width` columns; one that is too long lets shorter ones in."""
    found, used = [], 1
    for each in keys:
        if used + len(each.text) + 2 <= width:
            found.append(each)
            used += len(each.text) + 2
    return found
