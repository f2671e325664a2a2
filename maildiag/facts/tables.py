"""The lookup tables that Postfix's settings name: their files, who may read them, and whether they can be opened."""

from __future__ import annotations

import re
from dataclasses import replace

from maildiag.access import READ, SEARCH, allows
from maildiag.asking import Ask
from maildiag.facts.postfix_config import PostfixConfig
from maildiag.lint.tables import BUILT, REMOTE, TEXTS, TableUse, server_at, table_uses, users_of
from maildiag.model import Gap, GapReason
from maildiag.probes import (
    Command,
    CommandResult,
    Connect,
    Connection,
    FileInfo,
    FileText,
    Probe,
    ReadFile,
    Stat,
    TryConnect,
    command,
)
from maildiag.records import dataclass
from maildiag.registry import gatherer

_KEY = "maildiag-asks-for-nothing"
_MOST = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A table and what its files look like.

    `source` is the file that `path` names, `built` what postmap made of it (None for types without), `text` the source
    where it is small and no secret, `query` what `postmap -q` said of a key that is not there (None: not asked).
    `barrier` is the first path that `reader` may not read or pass (None where all is readable or not known). `server` is
    where the table's server is to be, `reached` how a connection to it ended (None: it has none, or none that is known).
    """

    use: TableUse
    users: tuple[str, ...]
    source: FileInfo | Gap
    built: FileInfo | Gap | None = None
    text: FileText | Gap | None = None
    query: CommandResult | Gap | None = None
    reader: str = ""
    barrier: FileInfo | None = None
    server: str = ""
    reached: Connection | Gap | None = None

    @property
    def closed(self) -> str:
        """The path of the barrier, "" where there is none."""
        return self.barrier.path if self.barrier else ""

    @property
    def name(self) -> str:
        """`hash:/etc/postfix/virtual`."""
        return self.use.name

    @property
    def builder(self) -> tuple[str, ...]:
        """The command that builds it: newaliases for what alias_database names, else postmap or postalias.

        A table of certificates by name takes the content of the files that its source names (postmap(1) -F).
        """
        if "alias_database" in self.users:
            return ("newaliases",)
        if "tls_server_sni_maps" in self.users:
            return ("postmap", "-F", self.name)
        program = "postalias" if "alias_maps" in self.users else "postmap"
        return (program, self.name)


@dataclass(frozen=True, slots=True)
class Tables:
    """All tables with a file or a server of their own that settings name."""

    tables: tuple[Table, ...]

    def named(self, name: str) -> Table | None:
        """The table of this name, `hash:/etc/postfix/virtual`."""
        return next((each for each in self.tables if each.name == name), None)


@gatherer
def tables(ask: Ask, postfix_config: PostfixConfig) -> Tables:
    """Look at the files of every table, and connect to the servers of those that have one; open those that should open with
    a query for a key that nobody has.
    """
    context = postfix_config.context
    named = table_uses(context)
    served = [use for use in named if use.server is not None]
    for use in served:
        ask.begin(_probe(use.server, postfix_config))
    uses = [use for use in named if use.has_file]
    probes: list[Probe[FileInfo]] = [Stat(path) for use in uses for path in (use.path, *use.built)]
    ask.all(probes)
    found = [_table(ask, postfix_config, use) for use in uses]
    queries = [_query(table) for table in found if _opens(table, postfix_config)]
    ask.all(queries)
    opened = [_with_query(ask, table, _opens(table, postfix_config)) for table in found]
    return Tables((*(_memcached(ask, postfix_config, each) for each in opened),
                   *(_served(ask, postfix_config, use) for use in served)))  # fmt: skip


def _probe(server: tuple[str, int] | None, config: PostfixConfig) -> TryConnect:
    """A relative path lies below the queue directory, where the daemons work."""
    host, port = server or ("", 0)
    below = not port and not host.startswith("/")
    return TryConnect(f"{config.get('queue_directory')}/{host}" if below else host, port)


def _served(ask: Ask, config: PostfixConfig, use: TableUse) -> Table:
    probe = _probe(use.server, config)
    nothing = Gap(GapReason.ABSENT, "a table with a server has no file")
    table = Table(use=use, users=users_of(config.context, use), source=nothing, server=probe.source.removeprefix("connect "),
                  reached=_reached(ask, config, probe))  # fmt: skip
    # The kernel takes a connection for a server that hangs. postmap, which works outside of any chroot, may miss a socket.
    return _with_query(ask, table, bool(probe.port) and _connected(table.reached) and not config.fatal)


def _reached(ask: Ask, config: PostfixConfig, probe: TryConnect) -> Connection | Gap:
    """A chrooted program finds an absolute path below the queue directory (master(5)): either will do."""
    answer = ask.maybe(probe)
    if probe.port or _connected(answer) or probe.host.startswith(config.get("queue_directory")):
        return answer
    below = ask.maybe(TryConnect(f"{config.get('queue_directory')}{probe.host}"))
    return below if _connected(below) else answer


def _connected(answer: Connection | Gap | None) -> bool:
    return isinstance(answer, Connection) and answer.outcome is Connect.CONNECTED


def _memcached(ask: Ask, config: PostfixConfig, table: Table) -> Table:
    """memcache_table(5) names its server in its file, `inet:localhost:11211` where it does not."""
    if table.use.type != "memcache" or not isinstance(table.text, FileText):
        return table
    named = re.findall(r"^memcache\s*=\s*(\S+)", table.text.text, re.M)
    server = server_at(named[-1] if named else "inet:localhost:11211")
    if server is None:
        return table
    probe = _probe(server, config)
    return replace(table, server=probe.source.removeprefix("connect "), reached=_reached(ask, config, probe))


def _table(ask: Ask, config: PostfixConfig, use: TableUse) -> Table:
    users = users_of(config.context, use)
    built = ask.maybe(Stat(use.built[0])) if use.built else None
    source = ask.maybe(Stat(use.path))
    reader = config.get("mail_owner") if use.wrapped else ""
    opened = built if built is not None else source
    barrier = _barrier(ask, reader, opened) if reader and isinstance(opened, FileInfo) else None
    secret = use.type in REMOTE - {"memcache"} or any("password" in name or "passwd" in name for name in users)
    small = isinstance(source, FileInfo) and source.size <= _MOST
    text = ask.maybe(ReadFile(use.path, _MOST)) if small and not secret else None
    return Table(use=use, users=users, source=source, built=built, text=text, reader=reader, barrier=barrier)


def _opens(table: Table, config: PostfixConfig) -> bool:
    """Whether a query should work; where it cannot, postmap would only add a line to the mail log."""
    if config.fatal or table.closed or (config.table_types and table.use.type not in config.table_types):
        return False
    opened = table.built if table.use.type in BUILT else table.source
    return isinstance(opened, FileInfo) and table.use.type in {*BUILT, *TEXTS, *REMOTE}


def _query(table: Table) -> Command:
    return command("postmap", "-q", _KEY, table.name, user=table.reader)


def _with_query(ask: Ask, table: Table, opens: bool) -> Table:
    return replace(table, query=ask.maybe(_query(table))) if opens else table


def _barrier(ask: Ask, account: str, file: FileInfo) -> FileInfo | None:
    """The first directory that `account` may not pass, or the file where it may not be read; None where all is open."""
    groups = _groups(ask, account)
    parts = file.path.split("/")[1:-1]
    for length in range(1, len(parts) + 1):
        path = "/" + "/".join(parts[:length])
        info = ask.maybe(Stat(path))
        if isinstance(info, FileInfo) and not allows(info, SEARCH, account, groups):
            return info
    return None if allows(file, READ, account, groups) else file


def _groups(ask: Ask, account: str) -> frozenset[str]:
    told = ask.maybe(command("id", "-Gn", account))
    return frozenset(told.stdout.split()) if isinstance(told, CommandResult) else frozenset()
