"""Lookup tables in settings: which tables the parameters name, their types and their files. Source: DATABASE_README."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from maildiag.lint.context import Context, words
from maildiag.lint.restrictions import LISTS
from maildiag.records import dataclass

BUILT = {
    "hash": (".db",),
    "btree": (".db",),
    "dbm": (".dir", ".pag"),
    "sdbm": (".dir", ".pag"),
    "lmdb": (".lmdb",),
    "cdb": (".cdb",),
}
"""Types that postmap builds from a source, and the suffixes of what it builds."""
TEXTS = frozenset({"texthash", "regexp", "pcre", "cidr"})
"""Types that programs read as text when they start."""
REMOTE = frozenset({"mysql", "pgsql", "ldap", "sqlite", "mongodb", "memcache"})
"""Types whose file tells where the data is."""
WRAPPERS = frozenset({"proxy", "unionmap", "pipemap", "randmap", "maps"})
NO_FILE = frozenset(
    {
        "static",
        "inline",
        "environ",
        "unix",
        "nis",
        "tcp",
        "socketmap",
        "internal",
        "fail",
        "debug",
        "nisplus",
        "netinfo",
    }
)
_TYPES = frozenset({*BUILT, *TEXTS, *REMOTE, *WRAPPERS, *NO_FILE})
_TABLE = re.compile(r"!?([a-z][a-z0-9_]*):(.*)", re.DOTALL)
_CACHES = re.compile(r".*_cache_(database|map)|.*_session_cache_database|address_verify_map|postscreen_cache_map")
_NO_TABLES = re.compile(
    r"proxy_(read|write)_maps|tls_random_source|.*_socket_name|.*_transport|relayhost|.*_relay|content_filter|smtpd_milters|non_smtpd_milters|.*_milters|.*_path|import_environment|default_rbl_reply"
)
_MAPS_ONLY = re.compile(
    r"(?!transport_).*_(maps|checks)|alias_database|alias_maps|transport_maps|(header|body|mime|nested)_?.*_checks"
)


@dataclass(frozen=True, slots=True)
class TableUse:
    """A table as a parameter names it: `type:path` without wrappers such as `proxy:`, and who names it.

    `service` is the master.cf service whose `-o` names it, "" for main.cf. `local` tables are opened by local(8).
    """

    type: str
    path: str
    parameter: str
    service: str = ""
    wrapped: bool = False

    @property
    def name(self) -> str:
        """`hash:/etc/postfix/virtual`."""
        return f"{self.type}:{self.path}"

    @property
    def built(self) -> tuple[str, ...]:
        """The files that postmap builds, empty for types that are read as they are."""
        return tuple(self.path + suffix for suffix in BUILT.get(self.type, ()))

    @property
    def server(self) -> tuple[str, int] | None:
        """Host and port (or path and 0) of the server that a tcp_table(5) or a socketmap_table(5) asks, None for others."""
        if self.type == "tcp":
            return _inet(self.path)
        kind, _, place = self.path.rpartition(":")[0].partition(":") if self.type == "socketmap" else ("", "", "")
        return server_at(f"{kind}:{place}")

    @property
    def has_file(self) -> bool:
        """True where `path` is a file of this host."""
        return self.path.startswith("/") and (self.type in BUILT or self.type in TEXTS or self.type in REMOTE)


def server_at(text: str) -> tuple[str, int] | None:
    """`inet:host:port` as host and port, `unix:path` as path and 0; None for what is neither."""
    kind, _, place = text.partition(":")
    if kind == "unix" and place:
        return place, 0
    return _inet(place) if kind == "inet" else None


def _inet(text: str) -> tuple[str, int] | None:
    host, _, port = text.rpartition(":")
    return (host.strip("[]") or "localhost", int(port)) if port.isdigit() else None


def tables_in(value: str) -> Iterator[tuple[str, str, bool]]:
    """Every `type:path` in a value, wrappers taken apart: (type, path, wrapped)."""
    for word in words(value):
        yield from _unwrap(word, False)


def _unwrap(word: str, wrapped: bool) -> Iterator[tuple[str, str, bool]]:
    match = _TABLE.fullmatch(word)
    if match is None or match[2].startswith("//"):  # ldap://host in x_server_host (ldap_table(5)) is no table
        return
    kind, rest = match.groups()
    if kind == "proxy":
        yield from _unwrap(rest, True)
    elif kind in WRAPPERS and rest.startswith("{"):
        for inner in words(rest.strip().removeprefix("{").removesuffix("}").replace(",", " ")):
            yield from _unwrap(inner.strip("{}"), wrapped)
    elif rest.startswith(("/", "{")) or kind in _TYPES:
        yield kind, rest, wrapped


def table_uses(context: Context) -> tuple[TableUse, ...]:
    """All tables that main.cf and the `-o` options of master.cf name, caches that Postfix writes itself left out."""
    found: dict[tuple[str, str], TableUse] = {}
    names = [*(context.settings or context.defaults), *context.main.names]
    for name in dict.fromkeys(names):
        if may_name_tables(name):
            _note(found, name, context.value(name), "")
    for service in context.master.services:
        for override in service.overrides:
            if may_name_tables(override.name):
                _note(found, override.name, override.value, service.key)
    return tuple(found.values())


def may_name_tables(name: str) -> bool:
    """False for caches that Postfix builds itself, and for settings whose words only look like tables."""
    return not (_CACHES.fullmatch(name) or _NO_TABLES.fullmatch(name))


def is_map_list(name: str) -> bool:
    """True for parameters that take nothing but tables: a word without `type:` makes their program stop."""
    return _MAPS_ONLY.fullmatch(name) is not None and name not in LISTS


def _note(found: dict[tuple[str, str], TableUse], name: str, value: str, service: str) -> None:
    if ":" not in value:
        return
    for kind, path, wrapped in tables_in(value):
        found.setdefault((kind, path), TableUse(kind, path, name, service, wrapped))


def users_of(context: Context, table: TableUse) -> tuple[str, ...]:
    """The parameters that name the table, those set in main.cf first."""
    names = [name for name in (context.settings or context.defaults) if may_name_tables(name)]
    using = [name for name in names if table.path in context.value(name)]
    own: Iterable[str] = [name for name in using if name in context.main.names]
    return tuple(own) or tuple(using) or (table.parameter,)
