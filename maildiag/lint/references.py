"""Faults of what settings refer to: restrictions, transports, table types, milters and files that do not exist."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping

from maildiag.lint import restrictions, tables
from maildiag.lint.context import Context, words
from maildiag.lint.main_cf import Entry
from maildiag.lint.problem import DropParameter, Problem, Repair, SetParameter
from maildiag.lint.programs import missing_command
from maildiag.lint.values import has_comment
from maildiag.model import Confidence, Status

TRANSPORTS = (
    "local_transport", "virtual_transport", "relay_transport", "default_transport", "mailbox_transport", "fallback_transport",
    "content_filter", "address_verify_local_transport", "address_verify_virtual_transport", "address_verify_relay_transport",
    "address_verify_default_transport", "error_service_name", "retry_service_name",
)  # fmt: skip
"""Parameters whose value is `transport` or `transport:nexthop`."""
_PACKAGES = {
    "lmdb": "postfix-lmdb", "pcre": "postfix-pcre", "mysql": "postfix-mysql", "pgsql": "postfix-pgsql", "ldap": "postfix-ldap",
    "sqlite": "postfix-sqlite", "cdb": "postfix-cdb", "mongodb": "postfix-mongodb",
}  # fmt: skip
_FILE_LISTS = (
    r"myorigin|mydestination|mynetworks|relay_domains|virtual_(alias|mailbox)_domains|.*_networks|.*_exceptions"
)
_MILTERS = ("smtpd_milters", "non_smtpd_milters")


def reference_problems(context: Context) -> Iterator[Problem]:
    """Every reference of main.cf to something that is not there."""
    for entry in context.main.entries:
        if context.main.entry(entry.name) is not entry or has_comment(entry.value):
            continue
        value = context.settings.get(entry.name, entry.value)
        if entry.name in restrictions.LISTS or entry.name in class_names(context):
            yield from _restrictions(context, entry, value)
        if entry.name in TRANSPORTS:
            yield from _transport(context, entry, value)
        if entry.name in _MILTERS:
            yield from _milters(context, entry, value)
        if tables.is_map_list(entry.name):
            yield from _not_a_table(context, entry, value)
        yield from _types(context, entry, value)
        yield from _files(context, entry, value)
        yield from missing_command(context, entry, value)


def may_be_file(name: str) -> bool:
    """True for parameters whose words may be files that hold the values: `myorigin` on Debian, and the lists of matches."""
    return re.fullmatch(_FILE_LISTS, name) is not None


def _files(context: Context, entry: Entry, value: str) -> Iterator[Problem]:
    for word in words(value) if may_be_file(entry.name) else ():
        if word.lstrip("!") not in context.absent:
            continue
        rest = ", ".join(each for each in words(entry.value) if each != word)
        better = "$mydomain" if entry.name == "myorigin" else rest
        # without a word the list would be as wrong: what the file held is known to nobody here
        repairs = (Repair(f"set {entry.name} to {better}", (SetParameter(entry.name, better),)),) if better else ()
        yield _problem(
            context, entry, "missing-file", Status.CRITICAL,
            f"main.cf line {entry.line}: {entry.name} names the file {word}, which does not exist",
            f"Postfix does not start: fatal: {word}: cannot open file." if entry.name == "myorigin"
            else "Postfix answers 451 Temporary lookup failure to all that needs the list. Put the file back, or its words into main.cf.",
            repairs,
        )  # fmt: skip


def class_names(context: Context) -> tuple[str, ...]:
    """The names of smtpd_restriction_classes."""
    return context.words("smtpd_restriction_classes")


def classes(context: Context) -> Mapping[str, tuple[restrictions.Restriction, ...]]:
    """The restriction classes with what they hold."""
    return {name: restrictions.parse(context.words(name)) for name in class_names(context)}


def _restrictions(context: Context, entry: Entry, value: str) -> Iterator[Problem]:
    parsed = restrictions.parse(words(value))
    for each in restrictions.unknown(parsed, class_names(context)):
        yield _unknown_restriction(context, entry, each.name)
    for each in restrictions.lacking_argument(parsed):
        if each.name != "sleep":
            yield _problem(
                context, entry, "restriction-argument", Status.CRITICAL,
                f"main.cf line {entry.line}: {each.name} in {entry.name} lacks its {_argument(each.name)}",
                "smtpd answers 451 Server configuration error to each client that gets that far.",
            )  # fmt: skip
    for each in parsed:
        if each.argument.startswith("/") and each.name.startswith("check_") and each.name != "check_policy_service":
            better = value.replace(each.argument, f"{_database(context)}:{each.argument}")
            yield _problem(
                context, entry, "table-type", Status.CRITICAL,
                f"main.cf line {entry.line}: {each.name} {each.argument} lacks the table's type",
                f'smtpd stops: fatal: open dictionary: expecting "type:name" form instead of "{each.argument}"',
                (Repair(f"name the type: {_database(context)}:{each.argument}", (SetParameter(entry.name, better),)),),
            )  # fmt: skip


def _argument(name: str) -> str:
    if name == "check_policy_service":
        return "service (unix:private/… or inet:host:port)"
    return "domain" if name.startswith(("reject_rbl", "reject_rhsbl", "permit_")) else "table (type:path)"


def _database(context: Context) -> str:
    return context.value("default_database_type") or "hash"


def _unknown_restriction(context: Context, entry: Entry, name: str) -> Problem:
    near = difflib.get_close_matches(name, [*restrictions.NAMES, *class_names(context)], 1, 0.8)
    repairs: tuple[Repair, ...] = ()
    if near:
        better = re.sub(rf"(?<![\w]){re.escape(name)}(?![\w])", near[0], entry.value)
        certain = len(name) > 8 and difflib.SequenceMatcher(None, name, near[0]).ratio() > 0.93 and _tightens(near[0])
        repairs = (Repair(f"write {near[0]} in {entry.name}", (SetParameter(entry.name, better),), certain=certain),)
    elif context.main.entry(name) is not None:
        told = f"{context.value('smtpd_restriction_classes')} {name}".strip()
        repairs = (Repair(f"declare the class {name}", (SetParameter("smtpd_restriction_classes", told),)),)
    return _problem(
        context, entry, "unknown-restriction", Status.CRITICAL,
        f'main.cf line {entry.line}: {entry.name} names "{name}", which is no restriction'
        + (f"; {near[0]} was meant?" if near else ""),
        f'smtpd says: warning: unknown smtpd restriction: "{name}", and answers 451 4.3.5 Server configuration error to each '
        "client that gets that far.",
        repairs,
    )  # fmt: skip


def _tightens(name: str) -> bool:
    """Correcting a `reject…` opens nothing; correcting a permit decides who may relay."""
    return name.startswith(("reject", "defer")) or name in ("permit_mynetworks", "permit_sasl_authenticated")


def _transport(context: Context, entry: Entry, value: str) -> Iterator[Problem]:
    name = value.partition(":")[0].strip()
    if not name or name in context.master.transports or "$" in name or not context.master.services:
        return
    near = difflib.get_close_matches(name, context.master.transports, 1, 0.75)
    repairs: tuple[Repair, ...] = ()
    if near:
        better = near[0] + value[len(name) :]
        repairs = (Repair(f"set {entry.name} to {better}", (SetParameter(entry.name, better),)),)
    elif entry.name == "content_filter":
        repairs = (
            Repair(
                "take content_filter out: mail then is delivered unfiltered",
                (DropParameter(entry.name),),
                why=f"Or add the service {name} to master.cf. Mail that waits already carries the filter: postsuper -r ALL afterwards.",
            ),
        )
    else:
        default = context.defaults.get(entry.name, "")
        repairs = (Repair(f"set {entry.name} back to its default, {default or 'empty'}", (DropParameter(entry.name),)),)
    yield _problem(
        context, entry, "unknown-transport", Status.CRITICAL,
        f'main.cf line {entry.line}: {entry.name} names the transport "{name}", which master.cf does not have',
        f"qmgr says: warning: connect to transport private/{name}: No such file or directory; the mail waits in the queue.",
        repairs,
    )  # fmt: skip


def _milters(context: Context, entry: Entry, value: str) -> Iterator[Problem]:
    for word in words(value):
        name = word.strip("{}").split(",")[0].strip()
        if re.match(r"(inet|inet4|inet6|unix|local):\S", name) or not name:
            continue
        inet = re.fullmatch(r"[\w.\[\]-]+:\d+", name) is not None
        better = value.replace(name, f"inet:{name}" if inet else f"unix:{name}")
        yield _problem(
            context, entry, "milter-address", Status.CRITICAL,
            f"main.cf line {entry.line}: {entry.name} has {name}, which lacks inet: or unix:",
            "smtpd says: warning: invalid transport name in Milter service, and answers 451 Server configuration problem.",
            (Repair(f"write {better}", (SetParameter(entry.name, better),), certain=inet or name.startswith("/")),),
        )  # fmt: skip


def _not_a_table(context: Context, entry: Entry, value: str) -> Iterator[Problem]:
    for word in words(value):
        if ":" in word or "$" in word or word.startswith("{"):
            continue
        kind = _database(context)
        path = word.startswith("/")
        repairs: tuple[Repair, ...] = ()
        if path:
            better = value.replace(word, f"{kind}:{word}")
            repairs = (Repair(f"name the type: {kind}:{word}", (SetParameter(entry.name, better),)),)
        yield _problem(
            context, entry, "table-type", Status.CRITICAL,
            f"main.cf line {entry.line}: {entry.name} has {word}, which lacks the table's type",
            f'The programs that open it stop: fatal: open dictionary: expecting "type:name" form instead of "{word}"',
            repairs,
        )  # fmt: skip


def _types(context: Context, entry: Entry, value: str) -> Iterator[Problem]:
    """Table types that this Postfix was not built with, or whose package is missing (postconf -m)."""
    if not context.table_types or not tables.may_name_tables(entry.name):
        return
    for kind, path, _ in tables.tables_in(value):
        if kind in context.table_types or kind in ("proxy", "maps"):
            continue
        known = kind in _PACKAGES or kind in tables.BUILT or kind in tables.TEXTS or kind in tables.REMOTE
        near = difflib.get_close_matches(kind, context.table_types, 1, 0.7)
        other = _database(context) if kind in tables.BUILT else "regexp" if kind == "pcre" else near[0] if near else ""
        repairs: tuple[Repair, ...] = ()
        if other and other in context.table_types and path.startswith("/"):
            better = value.replace(f"{kind}:{path}", f"{other}:{path}")
            repairs = (
                Repair(
                    f"use the type that is there: {other}:{path}",
                    (SetParameter(entry.name, better),),
                    why="Or install the type." if known else "",
                ),
            )
        yield _problem(
            context, entry, "unknown-table-type", Status.CRITICAL,
            f"main.cf line {entry.line}: {entry.name} uses {kind}:{path}, a table type that this Postfix does not have",
            f"Postfix says: error: unsupported dictionary type: {kind}; what needs the table is answered 451 Temporary lookup "
            f"failure. It has {', '.join(sorted(context.table_types))}."
            + (f" Debian has {kind} in the package {_PACKAGES[kind]}." if kind in _PACKAGES else ""),
            repairs,
            confidence=Confidence.CERTAIN,
        )  # fmt: skip


def _problem(
    context: Context,
    entry: Entry,
    kind: str,
    status: Status,
    title: str,
    detail: str,
    repairs: tuple[Repair, ...] = (),
    confidence: Confidence = Confidence.CERTAIN,
) -> Problem:
    return Problem(
        kind=kind,
        subject=entry.name,
        status=status,
        title=title,
        detail=detail,
        place=context.main.place(entry),
        repairs=repairs,
        confidence=confidence,
    )
