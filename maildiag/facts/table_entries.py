"""Entries of the lookup tables that a parameter names, found in their sources."""

from __future__ import annotations

from dataclasses import field

from maildiag.facts.postfix_config import PostfixConfig
from maildiag.facts.tables import Tables
from maildiag.lint.lines import Logical
from maildiag.lint.look_up import PATTERNS, Row, Table, inline, inline_rules
from maildiag.lint.tables import BUILT, tables_in
from maildiag.model import Gap
from maildiag.probes import FileText
from maildiag.records import dataclass


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry of a table: the parameter that names the table, the table, the key that fits, what it says, and its line."""

    parameter: str
    table: str
    key: str
    value: str
    line: Logical | None = None


class UnreadableError(Exception):
    """A table whose entries cannot be read: which, and the gap where it may be closed (None: its type is never read)."""

    def __init__(self, table: str, gap: Gap | None) -> None:
        super().__init__(table)
        self.table, self.gap = table, gap


@dataclass(slots=True)
class Entries:
    """The tables of this host, each parsed when it is first looked into."""

    config: PostfixConfig
    tables: Tables
    parsed: dict[tuple[str, str], Table] = field(default_factory=dict)

    def find(self, parameter: str, whole: str, *parts: str) -> Entry | None:
        """The entry of the first of these keys that any table of the parameter has. Raises UnreadableError.

        Tables of patterns are asked for the whole key only (regexp_table(5)).
        """
        return self.find_in(parameter, self.config.get(parameter), whole, *parts)

    def find_in(self, parameter: str, value: str, whole: str, *parts: str) -> Entry | None:
        """The same in the tables that `value` names; `parameter` is whose value it is."""
        tables = list(tables_in(value))
        for key in (whole, *parts):
            for kind, path, _ in tables:
                row = self._row(kind, path, key) if key == whole or kind not in PATTERNS else None
                if row is not None:
                    return Entry(parameter, f"{kind}:{path}", key, row.value, row.line)
        return None

    def _row(self, kind: str, path: str, key: str) -> Row | None:
        if kind == "static":
            return Row(path)
        if kind == "inline":
            return dict(inline(path)).get(key.lower())
        if kind == "cidr":
            return None
        if (kind, path) not in self.parsed:
            self.parsed[kind, path] = self._read(kind, path)
        return self.parsed[kind, path].find(key)

    def _read(self, kind: str, path: str) -> Table:
        name = f"{kind}:{path}"
        if kind in PATTERNS and path.startswith("{"):
            return _table(kind, "\n".join(inline_rules(path)), name)
        table = next((each for each in self.tables.tables if (each.use.type, each.use.path) == (kind, path)), None)
        if table is None or kind not in {*BUILT, *PATTERNS, "texthash"}:
            raise UnreadableError(name, None)
        if not isinstance(table.text, FileText):
            raise UnreadableError(name, table.text)
        aliases = "postalias" in table.builder[0] or "newaliases" in table.builder[0]
        return _table(kind, table.text.text, name, aliases=aliases)


def _table(kind: str, text: str, name: str, *, aliases: bool = False) -> Table:
    try:
        return Table(kind, text, aliases)
    except ValueError as wrong:
        raise UnreadableError(f"{name} ({wrong})", None) from wrong
