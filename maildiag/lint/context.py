"""What a linter of Postfix's files knows besides the text: defaults, effective values, services, what postconf said."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import field
from functools import lru_cache

from maildiag.lint.main_cf import MainCf
from maildiag.lint.master_cf import MasterCf
from maildiag.records import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """`defaults` and `settings` have all `$names` expanded; `settings` is empty where postconf refuses the file.

    `warnings` is what postconf printed on standard error; `table_types` are those that `postconf -m` lists (empty: not
    known), `daemons` the programs in daemon_directory (empty: not known), `addresses` those of this host's interfaces,
    `unresolved` the names in inet_interfaces that the system cannot resolve, `absent` the files that lists name
    (`mydestination = /path`) and that are not there, or programs that services start; `strangers` the accounts that services
    are to run as and that do not exist, `moved` where programs stand that are absent from the place that is named.
    """

    main: MainCf
    master: MasterCf
    defaults: Mapping[str, str]
    settings: Mapping[str, str]
    warnings: tuple[str, ...] = ()
    table_types: frozenset[str] = frozenset()
    daemons: frozenset[str] = frozenset()
    addresses: frozenset[str] = frozenset()
    unresolved: frozenset[str] = frozenset()
    absent: frozenset[str] = frozenset()
    strangers: frozenset[str] = frozenset()
    moved: Mapping[str, str] = field(default_factory=dict)

    def value(self, name: str) -> str:
        """The effective value: postconf's, else main.cf's own text, else the default."""
        if name in self.settings:
            return self.settings[name]
        entry = self.main.entry(name)
        return entry.value if entry else self.defaults.get(name, "")

    def words(self, name: str) -> tuple[str, ...]:
        """The words of a list-valued parameter."""
        return words(self.value(name))

    def yes(self, name: str) -> bool:
        """True where the parameter is `yes`."""
        return self.value(name).strip().lower() == "yes"


_GROUP = r"\{[^{}]*(?:\{[^{}]*(?:\{[^{}]*\}[^{}]*)*\}[^{}]*)*\}"  # a list of rules, a rule, a count within its pattern
_WORD = re.compile(rf"[^\s,{{}}]*{_GROUP}[^\s,]*|[^\s,]+")


@lru_cache(1024)
def words(value: str) -> tuple[str, ...]:
    """The words of a list (separated by commas or blanks), `{…}` groups kept whole, up to a `#` at the start of a word."""
    found: list[str] = []
    for match in _WORD.finditer(value):
        if match[0].startswith("#"):
            break
        found.append(match[0])
    return tuple(found)
