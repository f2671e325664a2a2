"""The .forward files of people, by which local(8) sends their mail on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from maildiag.asking import Ask
from maildiag.facts.accounts import Accounts
from maildiag.facts.postfix import Postfix
from maildiag.probes import FileText, ReadFile
from maildiag.registry import gatherer

_MOST = 50
_BYTES = 4096


@dataclass(frozen=True, slots=True)
class Forwards:
    """By account the path of its .forward and its text; `known` are the names of all accounts (empty: not known)."""

    files: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    known: frozenset[str] = frozenset()


@gatherer
def forwards(ask: Ask, accounts: Accounts, postfix: Postfix) -> Forwards:
    """Read the files of people where forward_path, as it is by default, leads to them (local(8)); others' mail is theirs alone."""
    known = frozenset(each.name.lower() for each in accounts.all)
    if "$home/.forward" not in postfix.get("forward_path") or not postfix.get("local_transport").startswith("local"):
        return Forwards(known=known)
    people = accounts.people[:_MOST]
    answers = ask.all([ReadFile(f"{each.home}/.forward", _BYTES) for each in people])
    found = {
        who.name.lower(): (f"{who.home}/.forward", got.text)
        for who, got in zip(people, answers, strict=True)
        if isinstance(got, FileText)
    }
    return Forwards(found, known)
