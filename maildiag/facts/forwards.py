"""The .forward files of people, by which local(8) sends their mail on."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import field

from maildiag.asking import Ask
from maildiag.facts.accounts import Accounts
from maildiag.facts.postfix import Postfix
from maildiag.model import Gap
from maildiag.probes import FileText, ReadFile, command
from maildiag.records import dataclass
from maildiag.registry import gatherer

_MOST = 50
_NO_SUCH_KEY = 2  # getent(1)
_NAME = re.compile(r"(?<![\w./@|-])[A-Za-z_][\w.-]*(?=[@,\s]|$)")
_BYTES = 4096


@dataclass(frozen=True, slots=True)
class Forwards:
    """By account the path of its .forward and its text; `known` are the names of all accounts, and those in the files that the system
    finds (empty: not known)."""

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
    return Forwards(found, known | _found_by_name(ask, known, found.values()))


def _found_by_name(ask: Ask, known: frozenset[str], files: Iterable[tuple[str, str]]) -> frozenset[str]:
    """The names in the files that no list of all accounts has and that the system finds, as with LDAP; or that it could not be asked for."""
    named = dict.fromkeys(
        word.lower() for _, text in files for word in _NAME.findall(text) if word.lower() not in known
    )
    wanted = list(named)[:_MOST]
    answers = ask.all([command("getent", "passwd", each) for each in wanted])
    return frozenset(
        name for name, got in zip(wanted, answers, strict=True) if isinstance(got, Gap) or got.status != _NO_SUCH_KEY
    )
