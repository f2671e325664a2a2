"""Can Postfix open the lookup tables that its settings name, and do they hold what their sources say?"""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

from maildiag import edits
from maildiag.access import READ, SEARCH, let_group
from maildiag.dialogue_text import means
from maildiag.facts.mail_log import MailLog
from maildiag.facts.postfix_config import PostfixConfig
from maildiag.facts.tables import Table, Tables
from maildiag.lint.table_source import BadLine, bad_lines
from maildiag.lint.table_values import BadValue, bad_values
from maildiag.lint.tables import BUILT, REMOTE, TEXTS
from maildiag.logs.summary import Group
from maildiag.model import (
    Evidence,
    Fix,
    Gap,
    GapReason,
    Risk,
    Status,
    Step,
    Verdict,
    critical,
    is_absent,
    is_unseen,
    notice,
    ok,
    skipped,
    unknown,
    warning,
)
from maildiag.probes import CommandResult, Connect, Connection, FileInfo, FileText, Identity
from maildiag.registry import check
from maildiag.text import plural

TABLES = "services.lookup-tables"
_SLACK = timedelta(seconds=1)
_ADDRESS_LISTS = ("virtual_alias_maps", "alias_maps", "alias_database")
_LOCAL = ("alias_maps", "alias_database")


@check(TABLES, step=Step.SERVICES, asks="Can Postfix open its lookup tables, and are they up to date?",
       explained_by=("services.main-cf", "services.disk"))  # fmt: skip
def lookup_tables(
    tables: Tables, postfix_config: PostfixConfig, identity: Identity | None, log: MailLog | None = None
) -> Iterator[Verdict]:
    """A table that cannot be opened makes Postfix answer 451 Temporary lookup failure to all that needs it."""
    root = identity is None or identity.privileged
    judged = [(table, list(_judge(table, postfix_config, root, log))) for table in tables.tables]
    for table, verdicts in judged:
        yield from (_as_postscreen_takes_it(table, each) for each in verdicts)
    fine = [table for table, verdicts in judged if not any(each.status is not Status.OK for each in verdicts)]
    if not tables.tables:
        yield skipped("No setting names a lookup table with a file or a server")
    elif not any(each.status.failing or each.status is Status.UNKNOWN for _, verdicts in judged for each in verdicts):
        shown = "\n".join(f"{table.name} ({', '.join(table.users)})" for table in fine)
        yield ok(f"{plural(len(fine), 'lookup table')} can be opened, each as its source says",
                 evidence=(Evidence("postmap -q", shown),))  # fmt: skip


def _judge(table: Table, config: PostfixConfig, root: bool, log: MailLog | None) -> Iterator[Verdict]:
    if _unused(table, config):
        return
    if table.reached is not None and not _answers(table):
        yield _dead_server(table, config)
    elif _hangs(table):
        yield _silent_server(table, config)
    elif table.use.server is not None:
        yield from ()
    elif is_unseen(table.source) or is_unseen(table.built):
        yield unknown(
            f"{table.name}: could not be looked at", subject=table.name, detail=f"{table.source}, {table.built}"
        )
    elif table.use.type in BUILT and is_absent(table.built):
        yield _not_built(table, config) if isinstance(table.source, FileInfo) else _no_file(table, config)
    elif table.use.type not in BUILT and is_absent(table.source):
        yield _no_file(table, config)
    elif table.closed:
        yield _unreadable(table, config)
    elif not root and "Permission denied" in _refused(table):
        yield unknown(
            f"{table.name}: only root may open it", subject=table.name, detail=f"{_refused(table)} (needs root)"
        )
    elif group := _named_only(table, log):
        yield _names_alone(table, group)
    elif isinstance(table.query, Gap):
        yield unknown(f"{table.name}: could not be asked", subject=table.name, detail=str(table.query))
    elif _refused(table):
        yield _does_not_open(table)
    elif _says_nothing(table):
        yield unknown(f"{table.name}: could not be asked", subject=table.name,
                      detail="postmap -q ended well and printed nothing: of a key that is not there it ends with 1")  # fmt: skip
    else:
        yield from _contents(table, config)


def _named_only(table: Table, log: MailLog | None) -> Group | None:
    """What smtpd said since it was started of a value in it that is no certificate."""
    found = log.summary.of("map.not-base64") if log else ()
    return next((each for each in found if not each.over and each.fields.get("map", "").startswith(table.name)), None)


def _names_alone(table: Table, group: Group) -> Verdict:
    """tls_server_sni_maps, postconf(5): the table holds the certificates and keys themselves, in BASE64."""
    return critical(
        f"{table.name} was built without -F: it holds the names of files where smtpd wants what is in them",
        subject=table.name,
        detail="Every TLS handshake in which the client gives a name of this table fails.",
        evidence=(Evidence("log", group.samples[-1], group.last),),
        fixes=(_build(table, "build"),),
    )


def _of_postscreen(table: Table) -> bool:
    return all(name.startswith("postscreen_") for name in table.users)


def _as_postscreen_takes_it(table: Table, verdict: Verdict) -> Verdict:
    """postscreen(8) logs `table lookup error -- ignoring the remainder of this access list`, and lets mail flow."""
    mild = verdict.status is Status.CRITICAL and _of_postscreen(table)
    return replace(verdict, status=Status.WARNING) if mild else verdict


def _says_nothing(table: Table) -> bool:
    told = table.query
    return isinstance(told, CommandResult) and not told.status and not told.text.strip()


def _answers(table: Table) -> bool:
    return isinstance(table.reached, Connection) and table.reached.outcome is Connect.CONNECTED


def _dead_server(table: Table, config: PostfixConfig) -> Verdict:
    """Postfix tells of it only as of a table that is not available: the server is what has to be started."""
    told = table.reached
    if not isinstance(told, Connection) or told.outcome is Connect.DENIED:
        why = str(told) if isinstance(told, Gap) else "needs root"
        return unknown(f"{table.name}: its server could not be tried", subject=table.name, detail=why)
    return critical(
        f"The server of {table.name} does not answer at {table.server}: {told.outcome}",
        subject=table.name,
        detail=f"{means(told.outcome).capitalize()}. {_uses(table)}. {_effect(table)}",
        data={"table": table.name, "server": table.server, "outcome": told.outcome.value, "users": list(table.users)},
        evidence=(_named(table, config), Evidence(f"connect {table.server}", told.error or str(told.outcome))),
        explained_by=("services.backend", "firewall.outbound", "firewall.inbound", "services.main-cf"),
    )


def _hangs(table: Table) -> bool:
    """A query that a server was to answer, and that postmap(1) waits for as long as we let it."""
    by_server = table.use.server is not None or table.use.type in REMOTE - {"sqlite"}
    return by_server and isinstance(table.query, Gap) and table.query.reason is GapReason.TIMEOUT


def _silent_server(table: Table, config: PostfixConfig) -> Verdict:
    at = f" at {table.server}" if table.server else ""
    return critical(
        f"The server of {table.name}{at} takes connections, and does not answer",
        subject=table.name,
        detail=f"It hangs, or what it asks itself does not answer. {_uses(table)}. {_effect(table)}",
        data={"table": table.name, "server": table.server, "outcome": "silent", "users": list(table.users)},
        evidence=(_named(table, config), Evidence(f"postmap -q {table.name}", str(table.query))),
        explained_by=("services.backend", "services.main-cf"),
    )


def _unused(table: Table, config: PostfixConfig) -> bool:
    """Alias tables are of no use to a host that delivers to no local user."""
    return all(name in _LOCAL for name in table.users) and not config.get("mydestination").strip()


def _uses(table: Table) -> str:
    return f"{', '.join(table.users)} {'names' if len(table.users) == 1 else 'name'} it"


def _effect(table: Table) -> str:
    if _of_postscreen(table):
        return "postscreen(8) passes over it: clients that it lets in or shuts out are judged like all others."
    if set(table.users) <= set(_LOCAL):
        return "Mail to local users waits: alias database unavailable."
    if any(name.endswith("_checks") for name in table.users):
        return "cleanup(8) takes no message while it is missing."
    if any("password" in name for name in table.users):
        return "The SMTP client cannot log in to the relay, and its mail waits."
    return "Postfix answers 451 Temporary lookup failure to all mail that needs it."


def _not_built(table: Table, config: PostfixConfig) -> Verdict:
    built = table.use.built[0]
    alias_database_only = table.users == ("alias_database",)
    others = [f for f in (f"{table.use.path}.db", f"{table.use.path}.lmdb", f"{table.use.path}.cdb") if f != built]
    return (notice if alias_database_only else critical)(
        f"{table.name} was never built: {built} is missing",
        subject=table.name,
        detail=f"{_uses(table)}; Postfix opens {built}, not the source. {_effect(table)}",
        data={"table": table.name, "missing": built, "users": list(table.users), "others": list(others)},
        evidence=(Evidence(f"stat {built}", "No such file or directory"), _named(table, config)),
        fixes=(_build(table, "build"),),
    )


_RELOAD = ("postfix", "reload")


def _build(table: Table, verb: str) -> Fix:
    built = table.use.built[0] if table.use.built else ""
    return Fix(
        id=f"{TABLES}/{verb}-{_slug(table)}",
        title=f"Build {built or table.name} from its source",
        commands=(table.builder, _RELOAD),
        automatic=isinstance(table.source, FileInfo),
        risk=Risk.LOW,
        undo=(),
        verify=(f"{TABLES}@{table.name}",),
        changes=tuple(table.use.built),
        why="A daemon that could not open it does not try again by itself.",
    )


def _slug(table: Table) -> str:
    return "".join(char if char.isalnum() else "-" for char in table.name.lower()).strip("-")


def _named(table: Table, config: PostfixConfig) -> Evidence:
    name = table.users[0]
    entry = config.main.entry(name)
    if entry is not None:
        return Evidence(config.main.where(name), entry.logical.shown())
    return Evidence(f"postconf {name}", f"{name} = {config.get(name)}")


def _no_file(table: Table, config: PostfixConfig) -> Verdict:
    near = _near(table, config)
    detail = f"{_uses(table)}. {_effect(table)}" + (f" {near} is there: was that meant?" if near else "")
    return critical(
        f"{table.name} does not exist",
        subject=table.name,
        detail=detail,
        data={"table": table.name, "missing": table.use.path, "users": list(table.users), "near": near},
        evidence=(Evidence(f"stat {table.use.path}", "No such file or directory"), _named(table, config)),
        fixes=tuple(_replace_reference(table, config, near)),
    )


def _near(table: Table, config: PostfixConfig) -> str:
    """A file in the configuration directory whose name is nearly the one that is missing."""
    folder, _, name = table.use.path.rpartition("/")
    if folder != config.directory:
        return ""
    found = difflib.get_close_matches(name, config.files, 1, 0.75)
    return f"{folder}/{found[0]}" if found and found[0] != name else ""


def _replace_reference(table: Table, config: PostfixConfig, near: str) -> Iterator[Fix]:
    name = table.users[0]
    entry = config.main.entry(name)
    if entry is None:
        return
    if near:
        value = entry.value.replace(table.use.path, near)
        yield _edit(f"use-{_slug(table)}", f"Name the table that is there: {table.use.type}:{near}", name, value,
                    (("postmap", f"{table.use.type}:{near}"),) if table.use.built else ())  # fmt: skip
    rest = " ".join(word for word in entry.value.replace(",", " ").split() if table.use.path not in word)
    yield _edit(
        f"drop-{_slug(table)}", f"Take {table.name} out of {name}, if it is not needed any more", name, rest, ()
    )


def _edit(verb: str, title: str, name: str, value: str, before: tuple[tuple[str, ...], ...]) -> Fix:
    return Fix(
        id=f"{TABLES}/{verb}",
        title=title,
        commands=(*before, ("postconf", "-e", f"{name}={value}"), ("postfix", "reload")),
        risk=Risk.MEDIUM,
        verify=(TABLES,),
        changes=("/etc/postfix/main.cf",),
        undo=(("postfix", "reload"),),
        guards=(("postfix", "check"),),
    )


def _unreadable(table: Table, config: PostfixConfig) -> Verdict:
    group = config.get("setgid_group") and config.get("mail_owner")
    is_file = table.closed in (table.use.path, *table.use.built)
    commands = let_group(table.barrier, group, READ if is_file else SEARCH) if table.barrier else ()
    return critical(
        f"{table.reader} may not read {table.closed}, so {table.name} cannot be opened",
        subject=table.name,
        detail=f"{_uses(table)} through proxymap(8), which runs as {table.reader}. {_effect(table)}",
        data={"table": table.name, "closed": table.closed, "reader": table.reader},
        evidence=(_mode(table), _named(table, config)),
        fixes=(
            Fix(
                id=f"{TABLES}/open-{_slug(table)}",
                title=f"Let the group {group} {'read' if is_file else 'pass'} {table.closed}",
                commands=(*commands, _RELOAD),
                automatic=is_file,
                verify=(f"{TABLES}@{table.name}",),
                changes=(table.closed,),
                why="Never readable by everybody: such files hold passwords.",
            ),
        ),
    )


def _mode(table: Table) -> Evidence:
    info = table.built if isinstance(table.built, FileInfo) else table.source
    text = f"{info.owner}:{info.group} {info.mode:04o} {info.path}" if isinstance(info, FileInfo) else table.closed
    return Evidence(f"stat {table.closed}", text)


def _refused(table: Table) -> str:
    """What postmap said when it could not look the key up, or where a pattern is bad; "" where all is well."""
    if not isinstance(table.query, CommandResult):
        return ""
    told = [
        line for line in table.query.stderr.splitlines() if "warning:" in line or "fatal:" in line or "error:" in line
    ]
    own = [
        line for line in told if table.use.path in line or "fatal:" in line or "server" in line or "database" in line
    ]
    own = [line for line in own if "overriding earlier entry" not in line and "is older than source" not in line]
    return "\n".join(own)


def _does_not_open(table: Table) -> Verdict:
    said = _refused(table)
    remote = table.use.type in REMOTE
    partial = not remote and "fatal:" not in said and "error:" not in said
    rebuild = table.use.type in BUILT and isinstance(table.source, FileInfo)
    title = (
        f"{table.name}: the back-end behind it does not answer"
        if remote
        else f"{table.name} has lines that Postfix cannot use"
        if partial
        else f"{table.name} cannot be opened"
    )
    return (warning if partial else critical)(
        title,
        subject=table.name,
        detail=f"{_uses(table)}. {'The lines are passed over.' if partial else _effect(table)}",
        data={"table": table.name, "users": list(table.users)},
        evidence=(Evidence(f"postmap -q … {table.name}", said),),
        fixes=(_build(table, "rebuild"),) if rebuild else (),
        explained_by=("services.backend", "services.main-cf", "services.disk") if remote else None,
    )


def _contents(table: Table, config: PostfixConfig) -> Iterator[Verdict]:
    source, built = table.source, table.built
    if isinstance(source, FileInfo) and isinstance(built, FileInfo) and source.modified > built.modified + _SLACK:
        yield warning(
            f"{table.use.path} was changed after {built.path} was built: the changes do not count",
            subject=table.name,
            detail=f"{_uses(table)}; Postfix reads {built.path}, and says so only when the gap is over 100 seconds.",
            data={"table": table.name, "users": list(table.users)},
            evidence=(
                Evidence(f"stat {source.path}", f"changed {source.modified:%Y-%m-%d %H:%M:%S}"),
                Evidence(f"stat {built.path}", f"built {built.modified:%Y-%m-%d %H:%M:%S}"),
            ),
            fixes=(_build(table, "rebuild"),),
        )
        return
    if table.use.type in BUILT and is_absent(source):
        yield notice(f"The source of {table.name} is gone: it works, but cannot be built again", subject=table.name,
                     evidence=(Evidence(f"stat {table.use.path}", "No such file or directory"),))  # fmt: skip
        return
    wrong = _wrong_values(table, config)
    if wrong:
        yield _bad_values(table, wrong)
        return
    bad = _bad(table)
    if bad:
        yield _bad_lines(table, bad)


def _wrong_values(table: Table, config: PostfixConfig) -> tuple[BadValue, ...]:
    if not isinstance(table.text, FileText) or table.use.type not in {*BUILT, *TEXTS}:
        return ()
    return bad_values(table.text.text, table.use.type, table.users, config.context)


def _bad_values(table: Table, wrong: tuple[BadValue, ...]) -> Verdict:
    """A line that names what does not exist stops the mail it fits; the administrator knows what it was meant to be."""
    first = wrong[0]
    return critical(
        f"{table.use.path} line {first.number}: {first.why}",
        subject=table.name,
        detail=f"{first.effect} {_uses(table)}.",
        data={"table": table.name, "lines": [each.number for each in wrong]},
        evidence=tuple(Evidence(f"{table.use.path}:{each.number}", each.text) for each in wrong[:5]),
        fixes=(_without_line(table, first.number),),
    )


def _without_line(table: Table, number: int) -> Fix:
    rebuild = (table.builder,) if table.use.type in BUILT else ()
    return Fix(
        id=f"{TABLES}/comment-{_slug(table)}",
        title=f"Comment line {number} of {table.use.path} out",
        commands=(edits.comment_line(table.use.path, number), *rebuild, _RELOAD),
        risk=Risk.MEDIUM,
        verify=(f"{TABLES}@{table.name}",),
        changes=(table.use.path, *table.use.built),
        undo=(_RELOAD,),
        why="Better: correct what it names.",
    )


def _bad(table: Table) -> tuple[BadLine, ...]:
    if not isinstance(table.text, FileText) or table.use.type not in {*BUILT, "texthash"}:
        return ()
    aliases = set(table.users) <= set(_LOCAL)
    return bad_lines(table.text.text, aliases, any(name in _ADDRESS_LISTS for name in table.users))


def _bad_lines(table: Table, bad: tuple[BadLine, ...]) -> Verdict:
    first = bad[0]
    duplicates = all("is there already" in each.why for each in bad)
    return (notice if duplicates else warning)(
        f"{table.use.path} line {first.number}: {first.why}",
        subject=table.name,
        detail=f"{plural(len(bad), 'line')} of {table.use.path} {'does' if len(bad) == 1 else 'do'} not do what it says. {_uses(table)}.",
        data={"table": table.name, "lines": [each.number for each in bad]},
        evidence=tuple(Evidence(f"{table.use.path}:{each.number}", each.text) for each in bad[:5]),
    )
