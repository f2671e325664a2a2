"""Keys of the user's own, from `[tui.keys]`: what cannot be is told, for Textual takes a key it does not know for one never pressed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from textual.keys import KEY_NAME_REPLACEMENTS, Keys, key_to_character

from maildiag.nearest import hint

_KNOWN = frozenset(each.value for each in Keys) | frozenset(KEY_NAME_REPLACEMENTS.values()) | {"space"}


def known(key: str) -> bool:
    """True for a key that Textual can tell: a printable character, by itself or by its name, or one of its own names."""
    return key in _KNOWN or (len(key) == 1 and key.isprintable()) or (key_to_character(key) or "\n").isprintable()


def usable(wanted: Mapping[str, str]) -> dict[str, str]:
    """The entries of which every key is known."""
    return {name: keys for name, keys in wanted.items() if all(map(known, _keys(keys)))}


def problems(wanted: Mapping[str, str], ids: Iterable[str]) -> Iterator[str]:
    """What is wrong with the wishes: an action that there is not, a key that there is not."""
    there = sorted(ids)
    for name, keys in wanted.items():
        if name not in there:
            yield f"[tui.keys]: there is no action {name!r}{hint(name, there)}"
        for each in _keys(keys):
            if not known(each):
                yield f"[tui.keys] {name}: there is no key {each!r}{hint(each, _KNOWN)}"


def _keys(keys: str) -> list[str]:
    return [each.strip() for each in keys.split(",")]
