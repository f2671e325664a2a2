"""The help screen as rows: what this screen is for, its keys, and those that work everywhere."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from textual.binding import Binding

from maildiag.tui.rows import Part, Row, Tone, caption, row, wrapped

_NAMES = {
    "question_mark": "?", "slash": "/", "colon": ":", "number_sign": "#", "left_square_bracket": "[",
    "right_square_bracket": "]", "equals_sign": "=", "escape": "esc", "pagedown": "page down", "pageup": "page up",
    "plus": "+", "minus": "-", "at": "@",
}  # fmt: skip
_EVERYWHERE = ("view.", "run.", "step.", "screen.", "app.")
_MOVING = "list."
_WITH_IDS, _ID = 120, 24  # from how many columns on the ids for [tui.keys] are told, and how many they take


def named(key: str) -> str:
    """A key as it stands on the keyboard."""
    return _NAMES.get(key, key)


def help_rows(about: str, bindings: Iterable[tuple[object, Binding]], width: int) -> list[Row]:
    """Each action once with all its keys: those of this screen, those of every screen, those to move."""
    keys: dict[str, list[str]] = {}
    words: dict[str, str] = {}
    for node, each in bindings:
        if each.id and each.description and not each.id.startswith("step."):
            keys.setdefault(each.id, []).append(named(each.key))
            words[each.id] = told(node, each)
    keys["step."], words["step."] = ["1 to 7"], "Walk this step of the workflow."
    here = [each for each in keys if not each.startswith((*_EVERYWHERE, _MOVING))]
    found = list(wrapped("about", about, width)) if about else []
    for title, ids in (
        ("on this screen", here),
        ("on every screen", [each for each in keys if each.startswith(_EVERYWHERE)]),
        ("to move", [each for each in keys if each.startswith(_MOVING)]),
    ):
        if ids:
            found += [caption(title), *_lines(ids, keys, words, width)]
    return [*found, caption("words"), *_legend()]


def told(node: object, binding: Binding) -> str:
    """What a key does, in the words of the action's own docstring."""
    action = getattr(node, f"action_{binding.action.partition('(')[0].rpartition('.')[2]}", None)
    first = (getattr(action, "__doc__", None) or "").strip().partition("\n")[0]
    return binding.description if not first or (binding.id or "").startswith(_MOVING) else first


def _lines(ids: Iterable[str], keys: dict[str, list[str]], words: dict[str, str], width: int) -> Iterator[Row]:
    for each in ids:
        room = width - 18 if width < _WITH_IDS else width - 18 - _ID
        first, *rest = wrapped(each, words[each], room)
        parts = [Part(f"{', '.join(keys[each]):<16}", Tone.CODE), *first.parts]
        name = Part(f"{'':<{room - len(first.text)}}{each}" if width >= _WITH_IDS else "", Tone.DIM)
        yield row(each, "  ", *parts, name)
        yield from (row(more.key, " " * 18, *more.parts) for more in rest)


def _legend() -> Iterator[Row]:
    for said, tone, meaning in (
        ("CRIT", Tone.BAD, "mail or logins fail now"),
        ("WARN", Tone.WARN, "mail flows, but something is degraded, unsafe or about to break"),
        ("????", Tone.ASK, "could not be told: neither fine nor broken; the reason stands beside it"),
        ("note", Tone.NOTE, "true and worth knowing; nothing is broken"),
        ("ok", Tone.GOOD, "looked at, and fine"),
        ("skip", Tone.DIM, "does not apply here"),
        (
            "RO",
            Tone.STRONG,
            "read-only; U unlocks, and the corner shows FIX. DEMO: a recording, nothing can be changed",
        ),
    ):
        yield row(f"word:{said}", "  ", Part(f"{said:<5}", tone), meaning)
