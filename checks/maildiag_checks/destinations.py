"""Step 4, from the tables: does the mail of people go to their own mailboxes, and is any of it thrown away?"""

from __future__ import annotations

from collections.abc import Iterator

from maildiag import edits
from maildiag.facts.accounts import Accounts
from maildiag.facts.destinations import Course, Destinations, destinations, sent_away
from maildiag.facts.domains import Domains
from maildiag.facts.forwards import Forwards
from maildiag.facts.mail_users import MailUsers
from maildiag.facts.mailboxes import Mailboxes
from maildiag.facts.postfix_config import PostfixConfig
from maildiag.facts.postfix_process import PostfixProcess
from maildiag.facts.table_entries import Entry, UnreadableError
from maildiag.facts.tables import Tables
from maildiag.lint.cure import CHECKED
from maildiag.lint.sinks import transport_of
from maildiag.lint.tables import BUILT
from maildiag.model import (
    Evidence,
    Fix,
    HostRole,
    Risk,
    Role,
    Status,
    Step,
    Verdict,
    critical,
    is_absent,
    ok,
    skipped,
    unknown,
    warning,
)
from maildiag.registry import check
from maildiag.text import plural
from maildiag_checks._main_cf import setting, shown

ID = "connectivity.destination"
_STORES = {"mailbox_command": "", "mailbox_transport": "", "local_transport": "local:$myhostname"}


@check(
    ID,
    step=Step.CONNECTIVITY,
    asks="Does the mail of people go to their own mailboxes?",
    explained_by=("services.main-cf", "services.master-cf", "services.lookup-tables", "connectivity.domains"),
)
def destination(
    config: PostfixConfig,
    domains: Domains,
    tables: Tables,
    users: MailUsers | None,
    accounts: Accounts | None,
    mailboxes: Mailboxes | None,
    role: HostRole | None,
    process: PostfixProcess | None,
    forwards: Forwards | None = None,
) -> Iterator[Verdict]:
    """What an entry for everybody takes, or discard(8) and /dev/null swallow, is logged as status=sent.

    An entry for one person alone that leads to somebody else is a forwarding, and none of our business.
    Sources: virtual(5), transport(5), aliases(5), discard(8).
    """
    if config.fatal or not config.settings:
        yield skipped("Postfix refuses its configuration; see services.main-cf")
        return
    server = role is None or role.role is Role.MAIL_SERVER
    try:
        found = destinations(config, domains, tables, users if server else None, accounts if server else None, forwards)
    except UnreadableError as closed:
        yield _not_read(closed)
        return
    people = [each for each in found.courses if _has_mailbox(each, mailboxes)]
    judged = [
        *_outside(found, config, tables),
        *_thrown(found, people, config, tables, mailboxes, process),
        *_taken(found, people, tables),
        *_returned(people),
        *_sent_away(people, config, tables, mailboxes),
    ]
    yield from judged
    if any(each.status.failing for each in judged):
        return
    if people:
        shown_ = "\n".join(f"{each.address}: {_ends(each)}" for each in people[:5])
        yield ok(f"The mail of {plural(len(people), 'person', 'people')} goes where it is addressed to",
                 evidence=(Evidence("postmap -q", shown_),))  # fmt: skip
    elif not judged:
        yield skipped("Nobody's mail is delivered here, and what leaves is not thrown away")


def _not_read(closed: UnreadableError) -> Verdict:
    if closed.gap is not None and not is_absent(closed.gap):
        return unknown(f"{closed.table} could not be read", detail=str(closed.gap))
    return skipped(
        f"What {closed.table} says of people's addresses is not read",
        detail="Data bases and servers are asked for no address.",
    )


def _has_mailbox(course: Course, mailboxes: Mailboxes | None) -> bool:
    """An account that never got a mailbox is an administrator's or a program's."""
    box = next((each for each in mailboxes.boxes if each.user == course.user), None) if mailboxes else None
    return box is None or box.exists


def _in_use(course: Course, mailboxes: Mailboxes | None) -> bool:
    box = next((each for each in mailboxes.boxes if each.user == course.user), None) if mailboxes else None
    return box is None or not box.inbox or box.seen > 0


def _ends(course: Course) -> str:
    return ", ".join(each.place for each in course.ends) or "nowhere"


def _outside(found: Destinations, config: PostfixConfig, tables: Tables) -> Iterator[Verdict]:
    """What throws away mail for other hosts; default_transport itself is judged by connectivity.restrictions."""
    course = found.outside
    if (
        course is None
        or not course.lost
        or any(each.lost and _subject(each) == _subject(course) for each in found.courses)
    ):
        return
    if course.entries:
        last = course.entries[-1]
        why, subject, evidence, fixes = _told(last), last.table, _evidence(last), _without(last, tables)
    else:
        service = config.master.service(transport_of(config.get("default_transport")), "unix")
        if service is None or service.name == "discard":
            return
        why, subject, fixes = f"master.cf line {service.line} runs {service.command} as {service.name}", service.key, ()
        evidence = (Evidence(f"{config.master.path}:{service.line}", service.logical.text.strip()),)
    yield critical(
        f"Mail for other domains is thrown away: {why}",
        detail="Postfix logs status=sent, and tells nobody.",
        subject=subject,
        evidence=evidence,
        fixes=fixes,
    )


def _thrown(
    found: Destinations,
    people: list[Course],
    config: PostfixConfig,
    tables: Tables,
    mailboxes: Mailboxes | None,
    process: PostfixProcess | None,
) -> Iterator[Verdict]:
    lost = [each for each in people if each.lost]
    grouped: dict[str, list[Course]] = {}
    for each in lost:
        grouped.setdefault(_subject(each), []).append(each)
    for subject, courses in grouped.items():
        first = courses[0]
        last = first.entries[-1] if _by_table(first) else None
        meant = last is not None and not found.shared(first)
        everybody = not meant and len(courses) == len(people)
        used = not meant or any(_in_use(each, mailboxes) for each in courses)
        whose = f"Mail for {_whose(courses)}" if not _for_all(first, found) else "All mail"
        yield Verdict(
            status=Status.CRITICAL if everybody else Status.WARNING if used else Status.NOTICE,
            title=f"{whose} is thrown away without a word: " + (_told(last) if last else first.ends[0].thrown),
            detail="Postfix logs status=sent; neither the sender nor the recipient learns of it, and no copy is kept.",
            subject=subject,
            data={"addresses": [each.address for each in courses]},
            evidence=_evidence(last) if last else shown(config, subject),
            fixes=_without(last, tables) if last else _store(subject, config, process),
        )


def _for_all(course: Course, found: Destinations) -> bool:
    return found.outside is not None and found.outside.lost and _subject(found.outside) == _subject(course)


def _by_table(course: Course) -> bool:
    return any(course.ends[0].thrown.endswith(f" in {each.table}") for each in course.entries)


def _subject(course: Course) -> str:
    return course.entries[-1].table if _by_table(course) else course.ends[0].thrown.partition(" =")[0]


def _taken(found: Destinations, people: list[Course], tables: Tables) -> Iterator[Verdict]:
    """An entry that fits every address of a domain, and people who have none of their own before it."""
    grouped: dict[Entry, list[Course]] = {}
    for each in people:
        if each.entries and not each.own and not each.lost and found.shared(each):
            grouped.setdefault(each.entries[0], []).append(each)
    for entry, courses in _once_by_table(grouped):
        yield Verdict(
            status=Status.WARNING,
            title=f"Mail for {_whose(courses)} goes to {_ends(courses[0])}: {_told(entry)} takes every address that has"
            " no entry of its own",
            detail=f"Tables come before mailboxes: who has an account is not asked. Give each person a line of their own in {entry.table},"
            f" such as {courses[0].address} {courses[0].address}, or take the line for all out.",
            subject=entry.table,
            data={"addresses": [each.address for each in courses], "key": entry.key, "value": entry.value},
            evidence=_evidence(entry),
            fixes=_without(entry, tables),
        )


def _sent_away(
    people: list[Course], config: PostfixConfig, tables: Tables, mailboxes: Mailboxes | None
) -> Iterator[Verdict]:
    """DISCARD and REDIRECT of an access table. A REDIRECT of one address is meant; one of a domain takes everybody's mail."""
    grouped: dict[str, list[tuple[Course, Entry]]] = {}
    for course, entry in sent_away(config, tables, people):
        meant = entry.key == course.address
        if not meant or (entry.value.upper().startswith("DISCARD") and _in_use(course, mailboxes)):
            grouped.setdefault(entry.table, []).append((course, entry))
    for table, pairs in grouped.items():
        courses, entry = list(dict.fromkeys(course for course, _ in pairs)), pairs[0][1]
        discards = entry.value.upper().startswith("DISCARD")
        everybody = len(courses) == len(people) and discards
        yield Verdict(
            status=Status.CRITICAL if everybody else Status.WARNING,
            title=f"Mail for {_whose(courses)} that comes by SMTP {'is thrown away' if discards else f'goes to {entry.value.split()[-1]}'}: {_told(entry)}",
            detail=f"{entry.parameter} asks the table. The sender is told that it was taken, and the recipient nothing.",
            subject=table,
            data={"addresses": [each.address for each in courses]},
            evidence=_evidence(entry),
            fixes=_without(entry, tables),
            explained_by=(f"connectivity.restrictions@{table}",),
        )


def _returned(people: list[Course]) -> Iterator[Verdict]:
    """A .forward that leads to a name that nobody has, or in a circle: each sender gets their message back."""
    for each in people:
        dead = next((end for end in each.ends if end.fails), None)
        entry = next((one for one in reversed(each.entries) if one.parameter == "forward_path"), None)
        if dead is None or entry is None:
            continue
        what = (
            f"{dead.place} has neither account nor alias"
            if dead.fails == "unknown user"
            else f"from there it comes back to {dead.place}"
        )
        yield warning(
            f"Mail for {each.address} is returned to its sender: {_told(entry)}, and {what}",
            detail=f"local(8) says: {dead.fails}."
            + (" A copy comes to the mailbox all the same." if each.own else " Nothing comes to the mailbox."),
            subject=each.address,
            evidence=_evidence(entry),
        )


def _once_by_table(grouped: dict[Entry, list[Course]]) -> Iterator[tuple[Entry, list[Course]]]:
    """The entries of a table together, with the key that most people share for all of them."""
    by_table: dict[str, list[tuple[Entry, list[Course]]]] = {}
    for entry, courses in grouped.items():
        by_table.setdefault(entry.table, []).append((entry, courses))
    for pairs in by_table.values():
        most = max(pairs, key=lambda pair: len(pair[1]))
        yield most[0], [course for _, courses in pairs for course in courses]


def _whose(courses: list[Course]) -> str:
    rest = len(courses) - 1
    return courses[0].address + (f" and {plural(rest, 'other person', 'other people')}" if rest else "")


def _told(entry: Entry) -> str:
    if entry.line is None:
        return f"{entry.key} {entry.value} ({entry.table})"
    return f"{entry.line.text.strip()} ({_path(entry)} line {entry.line.first})"


def _path(entry: Entry) -> str:
    return entry.table.partition(":")[2] or entry.table


def _evidence(entry: Entry) -> tuple[Evidence, ...]:
    named = Evidence("postconf -x", f"{entry.parameter} names {entry.table}")
    if entry.line is None:
        return (named,)
    return (Evidence(f"{_path(entry)}:{entry.line.first}", entry.line.text.strip()), named)


def _without(entry: Entry, tables: Tables) -> tuple[Fix, ...]:
    table = next((each for each in tables.tables if each.name == entry.table), None)
    line = entry.line
    if table is None or line is None:
        return ()
    rebuild = (table.builder,) if table.use.type in BUILT else ()
    return (
        Fix(
            id=f"{ID}/comment-out",
            title=f"Comment line {line.first} of {table.use.path} out",
            commands=(edits.comment_line(table.use.path, line.first), *rebuild, ("postfix", "reload")),
            risk=Risk.MEDIUM,
            verify=(f"{ID}@{entry.table}",),
            changes=(table.use.path, *table.use.built),
            undo=(("postfix", "reload"),),
            guards=CHECKED,
            why="Mail for addresses that nobody has is refused then.",
        ),
    )


def _store(name: str, config: PostfixConfig, process: PostfixProcess | None) -> tuple[Fix, ...]:
    value = _STORES.get(name)
    if value is None:
        return ()
    return (
        setting(ID, "store", f"Set {name} to its default{f', {value}' if value else ': empty'}", config, process,
                (name, value), automatic=True, why="What it says now stores nothing."),
    )  # fmt: skip
