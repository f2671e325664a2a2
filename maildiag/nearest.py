"""Names the nearest known word to a mistyped one."""

from __future__ import annotations

from collections.abc import Iterable

_MISSPELT = 0.8


def nearest(word: str, known: Iterable[str]) -> str:
    """The known word most like `word`, or whose part behind the dot is; an empty string where none is near."""
    import difflib

    names = {part.casefold(): each for each in known for part in (each.rpartition(".")[2], each)}
    found = difflib.get_close_matches(word.casefold(), names, n=1, cutoff=0.6)
    return names[found[0]] if found else ""


def misspelt(id: str, known: Iterable[str]) -> str:
    """The known id (`step.noun`) that this one is so near to that it can only be meant; empty for a known one, and where none is."""
    import difflib

    names = list(known)
    if id in names:
        return ""
    parts = id.casefold().rpartition(".")

    def near(one: str, other: str) -> float:
        return difflib.SequenceMatcher(None, one, other, autojunk=False).ratio()

    alike = {
        each: [near(mine, theirs) for mine, theirs in zip(parts, each.rpartition("."), strict=True)] for each in names
    }
    found = [each for each, ratios in alike.items() if min(ratios) >= _MISSPELT]
    return max(found, key=lambda each: sum(alike[each]), default="")


def hint(word: str, known: Iterable[str]) -> str:
    """`, did you mean queue?` behind a message, or nothing."""
    found = nearest(word, known)
    return f", did you mean {found}?" if found else ""
