"""Where a host or an address that mail fails with comes from: the line of a table or of main.cf that names it."""

from __future__ import annotations

import re
from collections.abc import Iterator

from maildiag.facts.postfix_config import PostfixConfig
from maildiag.facts.tables import Tables
from maildiag.lint.lines import logical_lines
from maildiag.model import Evidence
from maildiag.probes import FileText
from maildiag.records import dataclass

# What names these is judged by checks of its own, or is no destination at all.
_NOT_ORIGINS = re.compile(
    r"relayhost|my(hostname|domain|origin|destination|networks)|inet_interfaces|proxy_interfaces|.*_networks|.*_domains|.*_restrictions"
)


@dataclass(frozen=True, slots=True)
class Origin:
    """A line that names it: `/etc/postfix/transport line 1`, and its text."""

    path: str
    number: int
    text: str

    @property
    def told(self) -> str:
        """As a title says it."""
        return f"{self.path} line {self.number}"

    @property
    def evidence(self) -> Evidence:
        """The line with its place."""
        return Evidence(f"{self.path}:{self.number}", self.text)


def origins(config: PostfixConfig | None, tables: Tables | None, *names: str) -> tuple[Origin, ...]:
    """The lines whose values name one of these hosts or addresses, tables first."""
    wanted = [name for name in dict.fromkeys(names) if len(name) > 3 and not name.startswith("127.")]
    if not wanted:
        return ()
    pattern = re.compile(
        rf"(?<![\w.@-])(?:{'|'.join(re.escape(name) for name in wanted)})(?![\w.-]*\w@|[\w-])", re.IGNORECASE
    )
    return (*_in_tables(tables, pattern), *_in_main(config, pattern))


def _in_tables(tables: Tables | None, pattern: re.Pattern[str]) -> Iterator[Origin]:
    for table in tables.tables if tables else ():
        if not isinstance(table.text, FileText):
            continue
        for logical in logical_lines(table.text.text):
            value = re.split(r"[\s:]", logical.text.strip(), maxsplit=1)[1:]
            if value and pattern.search(value[0]):
                yield Origin(table.use.path, logical.first, logical.text.strip())


def _in_main(config: PostfixConfig | None, pattern: re.Pattern[str]) -> Iterator[Origin]:
    for entry in config.main.entries if config else ():
        if pattern.search(entry.value) and not _NOT_ORIGINS.fullmatch(entry.name):
            yield Origin("main.cf", entry.line, f"{entry.name} = {entry.value}")


def is_own(config: PostfixConfig | None, domain: str) -> bool:
    """True for a domain that is delivered on this host, or that this host belongs to."""
    if config is None:
        return False
    own = (*config.context.words("mydestination"), config.get("mydomain"), config.get("myorigin"))
    return domain.lower() in {name.lower() for name in own}
