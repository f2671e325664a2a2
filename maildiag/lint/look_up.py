"""Look-ups in the text of a table, as postmap(1) -q would answer: by key, or by the first pattern that fits.

Source: DATABASE_README, aliases(5), regexp_table(5), pcre_table(5).
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from maildiag.lint.context import words
from maildiag.lint.lines import Logical, Physical, logical_lines
from maildiag.records import dataclass

PATTERNS = frozenset({"regexp", "pcre"})
_RULE = re.compile(
    r"(?P<not>!?)(?P<mark>[^\w\s!\\])(?P<pattern>(?:\\.|(?!(?P=mark)).)*)(?P=mark)(?P<flags>[a-zA-Z]*)\s*(?P<value>.*)",
    re.S,
)
_KEY = re.compile(r'^("(?:[^"\\\n]|\\.)*"[^\s]*|[^\s#"]\S*)(?=\s)', re.M)
_KEYED = re.compile(r'(?:"(?:[^"\\]|\\.)*"\S*|\S+)\s+(.*\S)', re.S)
_ALIAS_KEY = re.compile(r'^("(?:[^"\\\n]|\\.)*"|[^:\s#"]+)[ \t]*:', re.M)
_ALIAS = re.compile(r'(?:"(?:[^"\\]|\\.)*"|[^:\s]+)\s*:\s*(.*\S)', re.S)
_LONGEST = 65536  # of an entry with its continuations
_CONDITION = re.compile(r"if\s+(?P<rule>.*)", re.S | re.I)
_CLASSES = {"alpha": "a-zA-Z", "digit": "0-9", "alnum": "a-zA-Z0-9", "lower": "a-z", "upper": "A-Z", "space": r"\s", "blank": " \t",
            "xdigit": "0-9a-fA-F", "punct": r"!-/:-@\[-`{-~"}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Row:
    """What a table says of a key, and the line of its source that says so (None where it has none)."""

    value: str
    line: Logical | None = None


@dataclass(frozen=True, slots=True)
class _Rule:
    """A pattern with its value; `opens` an if, without a pattern the endif."""

    pattern: re.Pattern[str] | None
    negated: bool
    row: Row
    opens: bool = False


class Table:
    """The rows of one table. A large one is indexed by its keys; its rows are parsed when they are looked for."""

    def __init__(self, kind: str, text: str, aliases: bool = False) -> None:
        """`kind` is the table's type, `aliases` true for the form of aliases(5). Raises ValueError for a pattern that is none."""
        self.by_pattern = kind in PATTERNS
        self._rules = list(_rules(text)) if self.by_pattern else []
        self._text, self._row = text, _ALIAS if aliases else _KEYED
        self._places: dict[str, int] = {}
        for match in () if self.by_pattern else (_ALIAS_KEY if aliases else _KEY).finditer(text):
            self._places.setdefault(match[1].replace('"', "").lower(), match.start())

    def find(self, key: str) -> Row | None:
        """The row for this key; letters count as small ones, as Postfix takes them."""
        if self.by_pattern:
            return self._fitting(key)
        place = self._places.get(key.lower())
        return None if place is None else self._at(place)

    def _at(self, place: int) -> Row | None:
        before = self._text.count("\n", 0, place)
        logical = next(logical_lines(self._text[place : place + _LONGEST]))
        match = self._row.match(logical.text)
        lines = tuple(Physical(each.number + before, each.text) for each in logical.lines)
        return Row(match[1], Logical(lines)) if match else None

    def _fitting(self, key: str) -> Row | None:
        closed = 0
        for rule in self._rules:
            if rule.pattern is None:
                closed -= closed > 0
            elif closed:
                closed += rule.opens
            else:
                match = rule.pattern.search(key)
                fits = bool(match) is not rule.negated
                if rule.opens:
                    closed = int(not fits)
                elif fits:
                    return Row(_filled(rule.row.value, match), rule.row.line)
        return None


def _filled(value: str, match: re.Match[str] | None) -> str:
    """`$1`, `${1}` and `$(1)` are what the brackets of the pattern fit; `$$` is a dollar."""

    def part(found: re.Match[str]) -> str:
        number = found[1] or found[2] or found[3]
        return "$" if number is None else (match[int(number)] or "") if match and int(number) <= match.re.groups else ""

    return re.sub(r"\$(?:\$|(\d+)|\{(\d+)\}|\((\d+)\))", part, value)


def _rules(text: str) -> Iterator[_Rule]:
    for logical in logical_lines(text):
        body = logical.text.strip()
        if body.lower() == "endif":
            yield _Rule(None, False, Row("", logical))
            continue
        condition = _CONDITION.fullmatch(body)
        match = _RULE.fullmatch(condition["rule"] if condition else body)
        if match is None:
            continue
        try:
            pattern = re.compile(_in_python(match["pattern"]), _flags(match["flags"]))
        except re.error as wrong:
            raise ValueError(f"line {logical.first}: {wrong}") from wrong
        yield _Rule(pattern, bool(match["not"]), Row(match["value"].strip(), logical), condition is not None)


def _in_python(pattern: str) -> str:
    return re.sub(r"\[:(\w+):\]", lambda found: _CLASSES.get(found[1], found[0]), pattern)


def _flags(letters: str) -> re.RegexFlag:
    """Upper and lower case are one unless `i` says otherwise; dots fit newlines too."""
    found = re.DOTALL if "s" not in letters else re.RegexFlag(0)
    found |= re.RegexFlag(0) if letters.count("i") % 2 else re.IGNORECASE
    return found | (re.MULTILINE if "m" in letters else re.RegexFlag(0))


def inline_rules(text: str) -> Iterator[str]:
    """The rules of `regexp:{ { /pattern/ value }, { … } }`, each as a line of a file of them (regexp_table(5), since Postfix 3.7)."""
    for rule in words(text.strip().removeprefix("{").removesuffix("}")):
        yield rule.removeprefix("{").removesuffix("}").strip()


def inline(text: str) -> Iterator[tuple[str, Row]]:
    """The rows of `inline:{ key=value, { key = text with blanks } }` (DATABASE_README)."""
    inner = text.strip().removeprefix("{").removesuffix("}")
    for match in re.finditer(r"\{\s*([^={}\s]+)\s*=\s*([^{}]*?)\s*\}|([^={}\s,]+)=([^\s,{}]*)", inner):
        yield (match[1] or match[3]).lower(), Row(match[2] if match[1] else match[4])
