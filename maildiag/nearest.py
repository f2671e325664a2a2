"""Names the nearest known word to a mistyped one."""

from __future__ import annotations

from collections.abc import Iterable


def nearest(word: str, known: Iterable[str]) -> str:
    """The known word most like `word`, or whose part behind the dot is; an empty string where none is near."""
    import difflib

    names = {part.casefold(): each for each in known for part in (each.rpartition(".")[2], each)}
    found = difflib.get_close_matches(word.casefold(), names, n=1, cutoff=0.6)
    return names[found[0]] if found else ""


def hint(word: str, known: Iterable[str]) -> str:
    """`, did you mean queue?` behind a message, or nothing."""
    found = nearest(word, known)
    return f", did you mean {found}?" if found else ""
