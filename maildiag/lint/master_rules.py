"""Faults of master.cf: bad entries, unknown daemons, options that cannot work."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator
from dataclasses import replace

from maildiag.lint import restrictions
from maildiag.lint.context import Context, words
from maildiag.lint.lines import Logical, Physical
from maildiag.lint.master_cf import TYPES, BadEntry, Service
from maildiag.lint.missing_services import missing
from maildiag.lint.problem import (
    CommentLine,
    DropOverride,
    Edit,
    Problem,
    Repair,
    ReplaceLine,
    SetField,
    SetOverride,
)
from maildiag.lint.programs import DAEMONS
from maildiag.lint.references import TRANSPORTS, class_names
from maildiag.lint.values import Form, complaint, form_of, meant, wrong_words
from maildiag.model import Confidence, Status

_ROOT_DAEMONS = ("local", "pipe", "virtual", "spawn")
_NO_CHROOT = ("local", "pipe", "virtual", "spawn")
# Daemons that refuse to run beside a second one (mail_server(3), MAIL_SERVER_SOLITARY).
_SOLITARY = frozenset({"qmgr", "oqmgr", "nqmgr", "tlsmgr", "anvil", "scache", "verify", "postscreen", "postlogd"})
_PUBLIC = frozenset({"pickup", "cleanup", "qmgr", "flush", "showq"})
_PRIVATE = frozenset(
    {
        "rewrite", "bounce", "defer", "trace", "verify", "proxymap", "proxywrite", "smtp", "relay", "error", "retry", "discard",
        "local", "virtual", "lmtp", "anvil", "scache", "tlsmgr", "tlsproxy", "dnsblog",
    }
)  # fmt: skip
_FIELDS = {
    "private": r"[yn-]",
    "unprivileged": r"[yn-]",
    "chroot": r"[yn-]",
    "wakeup": r"-|\d+\??",
    "limit": r"-|\d+",
}
_UNDEFINED = re.compile(r"(\S+): undefined parameter: (\S+)")
_UNUSED = re.compile(r"(\S+): unused parameter: ([^=\s]+)=(.*)")
# The names in the shipped master.cf's submission entries that nobody has to define; the lists may be empty.
_SHIPPED = re.compile(r"mua_(client|helo|sender)_restrictions")


def master_problems(context: Context, server: bool = True) -> Iterator[Problem]:
    """Every fault of master.cf; `server`: the host is to take mail from the network."""
    for bad in context.master.bad:
        yield _bad_entry(context, bad)
    for stray in context.master.strays:
        yield _text_problem(
            context, "stray-line", Status.WARNING, stray.lines[0], "continues nothing; Postfix ignores it"
        )
    for service in context.master.services:
        yield from _fields(context, service)
        yield from _daemon(context, service)
        yield from _arguments(context, service)
        yield from _overrides(context, service)
        if service in context.master.external and service.used(context.main.entries):
            yield from _external(context, service)
    yield from _duplicates(context)
    yield from missing(context, server)
    yield from _said(context)


def _bad_entry(context: Context, bad: BadEntry) -> Problem:
    line = bad.logical.lines[0]
    text = line.text.strip()
    repairs: tuple[Repair, ...] = ()
    if text.startswith(("-o", "flags=", "user=", "argv=")):
        edits: list[Edit] = [ReplaceLine(context.master.path, line.number, f"  {text}")]
        repairs = (
            Repair(f"indent line {line.number}: it is an option of the service above", tuple(edits), certain=True),
        )
    else:
        lines = tuple(CommentLine(context.master.path, each.number) for each in bad.logical.lines)
        repairs = (Repair(f"comment line {line.number} out", lines),)
    why = (
        "has fewer than the eight fields of a service"
        if bad.why == "field_count"
        else f"has no valid service type ({', '.join(TYPES)})"
    )
    return Problem(
        kind="bad-entry",
        subject=text.split()[0],
        status=Status.CRITICAL,
        title=f'master.cf line {line.number}: "{text}" {why}; Postfix does not start',
        detail="master(8) reads the whole file before it starts anything, and stops at this line.",
        place=bad.logical.at(context.master.path),
        repairs=repairs,
    )


def _text_problem(context: Context, kind: str, status: Status, line: Physical, what: str) -> Problem:
    return Problem(
        kind=kind,
        subject="master.cf",
        status=status,
        title=f'master.cf line {line.number}: "{line.text.strip()}" {what}',
        place=Logical((line,)).at(context.master.path),
    )


def _problem(
    context: Context,
    service: Service,
    kind: str,
    status: Status,
    title: str,
    detail: str = "",
    repairs: tuple[Repair, ...] = (),
    line: int = 0,
    confidence: Confidence = Confidence.CERTAIN,
    about: str = "",
) -> Problem:
    return Problem(
        kind=kind,
        subject=f"{service.key}/{about}" if about else service.key,
        status=status,
        title=f"master.cf line {line or service.line}: {title}",
        detail=detail,
        place=replace(service.logical.at(context.master.path), line=line or service.line),
        repairs=repairs,
        confidence=confidence,
    )


def _fields(context: Context, service: Service) -> Iterator[Problem]:
    values = (service.private, service.unprivileged, service.chroot, service.wakeup, service.limit)
    for (field, form), value in zip(_FIELDS.items(), values, strict=True):
        if re.fullmatch(form, value):
            continue
        name = {"limit": "process_limit"}.get(field, field)
        repair = Repair(
            f"set the field back to -, its default: {name}", (SetField(service.name, service.type, name, "-"),)
        )
        yield _problem(
            context, service, "bad-field", Status.CRITICAL,
            f'{service.key} has "{value}" in the field {field}; Postfix does not start',
            f"master(8) stops at this entry: the field takes {_takes(field)}.",
            (repair,),
        )  # fmt: skip
    if service.command in _ROOT_DAEMONS and service.unprivileged in ("y", "-"):
        yield _problem(
            context, service, "unprivileged", Status.CRITICAL,
            f"{service.key} runs {service.command} without privileges, and it cannot deliver so",
            f"{service.command}(8) must start with root's privileges: the field unpriv must be n.",
            (Repair("set the field unpriv to n", (SetField(service.name, service.type, "unprivileged", "n"),), certain=True),),
        )  # fmt: skip
    if service.chroot == "y" and (service.command in _NO_CHROOT or _opens_files_for_others(context, service)):
        yield _problem(
            context, service, "chroot", Status.CRITICAL,
            f"{service.key} runs {service.command} in the queue directory (chroot y), where it cannot work",
            f"{service.command}(8) needs the whole file system: mailboxes, programs, tables.",
            (Repair("set the field chroot to n", (SetField(service.name, service.type, "chroot", "n"),), certain=True),),
        )  # fmt: skip
    if service.limit != "1" and re.fullmatch(_FIELDS["limit"], service.limit) and service.command in _SOLITARY:
        yield _problem(
            context, service, "process-limit", Status.CRITICAL,
            f"{service.key} must run one process only, and may run {_many(service.limit)}",
            f"{service.command} stops: fatal: service {service.name} requires a process limit of 1.",
            (Repair("set maxproc to 1", (SetField(service.name, service.type, "process_limit", "1"),), certain=True),),
        )  # fmt: skip
    yield from _socket_place(context, service)


def _opens_files_for_others(context: Context, service: Service) -> bool:
    """proxymap(8) is there so that daemons in the chroot may use tables outside of it."""
    names = [each.name for each in context.main.entries]
    return service.command == "proxymap" and any(
        re.match(r"proxy:\w+:/", word) for name in names for word in context.words(name)
    )


def _many(limit: str) -> str:
    return {"-": "as many as default_process_limit says", "0": "any number"}.get(limit, limit)


def _socket_place(context: Context, service: Service) -> Iterator[Problem]:
    """Programs look for a service in public/ or in private/, wherever master.cf puts it (mail_proto(3))."""
    public = service.name in _PUBLIC
    known = public or service.name in _PRIVATE
    if not known or service.type not in ("unix", "fifo") or service.private not in ("y", "n", "-"):
        return
    if (service.private == "n") == public:
        return
    here, there = ("private", "public") if public else ("public", "private")
    yield _problem(
        context, service, "private", Status.CRITICAL,
        f"{service.key} has its socket in {here}/, and Postfix's programs look for it in {there}/",
        f"They say: connect to {there}/{service.name}: No such file or directory.",
        (Repair(f"set the field private to {'n' if public else '-'}",
                (SetField(service.name, service.type, "private", "n" if public else "-"),), certain=True, restart=True),),
    )  # fmt: skip


def _takes(field: str) -> str:
    return {"wakeup": "seconds, with ? behind, or -", "limit": "a number or -"}.get(field, "y, n or -")


def _daemon(context: Context, service: Service) -> Iterator[Problem]:
    if not context.daemons or service.command in context.daemons | DAEMONS or service.command.startswith("/"):
        return
    near = difflib.get_close_matches(service.command, context.daemons, 1, 0.7)
    repairs: tuple[Repair, ...] = ()
    if near:
        told = f"run {near[0]}"
        repairs = (
            Repair(told, (SetField(service.name, service.type, "command", " ".join((near[0], *service.arguments))),)),
        )
    yield _problem(
        context, service, "unknown-daemon", Status.CRITICAL,
        f"{service.key} runs {service.command}, which is no program of Postfix" + (f"; {near[0]} was meant?" if near else ""),
        f"There is no {service.command} in {context.value('daemon_directory')}.",
        repairs,
    )  # fmt: skip


def _arguments(context: Context, service: Service) -> Iterator[Problem]:
    """Words that are no option: blanks around `=`, an `-o` without a value, a comment behind an option."""
    if service.command in ("pipe", "spawn"):
        return
    position = 0
    arguments = service.arguments
    while position < len(arguments):
        word = arguments[position]
        if word == "-o":
            option = arguments[position + 1] if position + 1 < len(arguments) else ""
            if "=" not in option.strip("{}"):
                yield _broken_option(context, service, position, option)
                return
            position += 2
            continue
        if word.startswith(("-", "{")):
            position += 1
            continue
        yield _loose_word(context, service, position)
        return


def _line_with(service: Service, word: str) -> Physical:
    return next((line for line in service.logical.lines if word and word in line.text), service.logical.lines[0])


def _broken_option(context: Context, service: Service, position: int, option: str) -> Problem:
    arguments = service.arguments
    line = _line_with(service, option)
    repairs: tuple[Repair, ...] = ()
    match = re.fullmatch(r"(\s*)-o\s+([\w]+)\s*=\s*(.*?)(\s+#.*)?", line.text)
    if match and position + 2 < len(arguments) and arguments[position + 2].startswith("="):
        value = match[3].strip()
        fixed = f"{match[2]}={value}" if not re.search(r"\s", value) else f"{{ {match[2]} = {value} }}"
        repairs = (
            Repair(
                f"write it without blanks: -o {fixed}",
                (ReplaceLine(context.master.path, line.number, f"  -o {fixed}"),),
                certain=True,
            ),
        )
    return _problem(
        context, service, "option-blanks", Status.CRITICAL,
        f'the option "{line.text.strip()}" of {service.key} has no name=value without blanks; {service.command} does not start',
        "An option is -o name=value without blanks, or -o { name = value } (Postfix 3.0 and later).",
        repairs, line.number,
    )  # fmt: skip


def _loose_word(context: Context, service: Service, position: int) -> Problem:
    word = service.arguments[position]
    line = _line_with(service, f" {word}")
    comment = word.startswith("#")
    before = line.text.partition(" #")[0].rstrip() if comment else ""
    repairs: tuple[Repair, ...] = ()
    if before.strip():
        repairs = (
            Repair("take the comment away", (ReplaceLine(context.master.path, line.number, before),), certain=True),
        )
    elif match := re.fullmatch(r"\s+-o\s+(\w+)=(.+\s.+)", line.text):
        fixed = f"  -o {{ {match[1]} = {match[2].strip()} }}"
        joined = re.sub(r"[,\s]+", ",", match[2].strip())
        comma = f"  -o {match[1]}={joined}"
        repairs = (
            Repair("join the value with commas", (ReplaceLine(context.master.path, line.number, comma),), certain=True),
            Repair("put the option in braces", (ReplaceLine(context.master.path, line.number, fixed),)),
        )
    return _problem(
        context, service, "loose-word", Status.CRITICAL,
        f'"{word}" in the options of {service.key} belongs to no option; {service.command} does not start',
        "There are no comments behind an option, and no blanks in a value without braces (master(5)).",
        repairs, line.number,
    )  # fmt: skip


def _overrides(context: Context, service: Service) -> Iterator[Problem]:
    for each in service.overrides:
        value = each.value
        form = form_of(each.name, context.defaults.get(each.name, ""))
        said = complaint(each.name, form, value) if "$" not in value else ""
        wrong = wrong_words(each.name, value) if "$" not in value else ()
        if said or wrong:
            yield _wrong_override(context, service, each.name, value, each.line, form, said)
        if each.name in restrictions.LISTS and "$" not in value:
            yield from _restriction_override(context, service, each.name, value, each.line)
        if (
            each.name in TRANSPORTS
            and value
            and value.partition(":")[0] not in context.master.transports
            and "$" not in value
        ):
            yield _problem(
                context, service, "unknown-transport", Status.CRITICAL,
                f'{service.key} sets {each.name} to "{value}", a transport that master.cf does not have',
                "", (Repair("take the option out", (DropOverride(service.name, service.type, each.name),)),), each.line, about=each.name,
            )  # fmt: skip


def _wrong_override(
    context: Context, service: Service, name: str, value: str, line: int, form: Form, said: str
) -> Problem:
    better = meant(form, value) if said else ""
    edit: Edit = (
        SetOverride(service.name, service.type, name, better)
        if better
        else DropOverride(service.name, service.type, name)
    )
    told = f"set it to {better}" if better else "take the option out: main.cf's value counts then"
    return _problem(
        context, service, "wrong-override", Status.CRITICAL,
        f"{service.key} sets {name} to {value or '(empty)'}, which it cannot be; {service.command} does not start",
        f"It says: {said}" if said else "",
        (Repair(told, (edit,), certain=bool(better) and form is not Form.NUMBER),), line, about=name,
    )  # fmt: skip


def _restriction_override(context: Context, service: Service, name: str, value: str, line: int) -> Iterator[Problem]:
    for each in restrictions.unknown(restrictions.parse(words(value)), class_names(context)):
        near = difflib.get_close_matches(each.name, restrictions.NAMES, 1, 0.8)
        repairs: tuple[Repair, ...] = ()
        if near:
            better = value.replace(each.name, near[0])
            repairs = (Repair(f"write {near[0]}", (SetOverride(service.name, service.type, name, better),)),)
        yield _problem(
            context, service, "unknown-restriction", Status.CRITICAL,
            f'{service.key} names "{each.name}" in {name}, which is no restriction' + (f"; {near[0]} was meant?" if near else ""),
            "smtpd answers 451 4.3.5 Server configuration error to each client that gets that far.",
            repairs, line, about=name,
        )  # fmt: skip


def _external(context: Context, service: Service) -> Iterator[Problem]:
    """A program that pipe(8) or spawn(8) cannot start, for want of the program or of its account."""
    account, program = service.account, service.program
    if account in context.strangers:
        yield _problem(
            context, service, "unknown-account", Status.CRITICAL,
            f"{service.key} is to run as {account}, an account that does not exist",
            f"{service.command}(8) stops: fatal: get_service_attr: unknown username: {account}. What goes through it waits. "
            f"Create the account, or write one that is there.",
            about="user",
        )  # fmt: skip
    if program in context.absent:
        there = context.moved.get(program, "")
        yield _problem(
            context, service, "missing-program", Status.CRITICAL,
            f"{service.key} starts {program}, which does not exist" + (f"; {there} does" if there else ""),
            f"{service.command}(8) says: fatal: execvp {program}: No such file or directory. Install the program, or take out of "
            "main.cf what uses the service.",
            _other_place(context, service, program, there),
            about="argv",
        )  # fmt: skip


def _other_place(context: Context, service: Service, program: str, there: str) -> tuple[Repair, ...]:
    """The line with `argv=` leads to where the program stands."""
    line = next((each for each in service.logical.lines if f"argv={program}" in each.text), None)
    if not there or line is None:
        return ()
    text = line.text.replace(f"argv={program}", f"argv={there}", 1)
    return (
        Repair(
            f"name the place where it is: {there}", (ReplaceLine(context.master.path, line.number, text),), certain=True
        ),
    )


def _duplicates(context: Context) -> Iterator[Problem]:
    seen: dict[str, Service] = {}
    for service in context.master.services:
        first = seen.setdefault(_listening(service), service)
        if first is not service:
            same = first.logical.text.split() == service.logical.text.split()
            lines = tuple(CommentLine(context.master.path, each.number) for each in service.logical.lines)
            yield _problem(
                context, service, "duplicate-service", Status.WARNING,
                f"{service.key} is there twice (lines {first.line} and {service.line})",
                "master(8) warns of a duplicate entry; one of the two has no effect.",
                (Repair(f"comment line {service.line} out", lines, certain=same),),
            )  # fmt: skip


_PORTS = {"smtp": "25", "submission": "587", "submissions": "465", "smtps": "465"}


def _listening(service: Service) -> str:
    if service.type != "inet":
        return service.key
    host, _, port = service.name.rpartition(":")
    return f"{host}:{_PORTS.get(port, port)}/inet"


def _said(context: Context) -> Iterator[Problem]:
    """What postconf says of the options: names that nothing knows, `$names` that nothing defines."""
    for line in dict.fromkeys(context.warnings):
        match = _UNDEFINED.search(line) or _UNUSED.search(line)
        if match and match[1].endswith("master.cf"):
            unused = "unused" in line
            for service, name in _users(context, match[2], unused):
                yield _undefined(context, service, name, match[2], unused, line)


def _users(context: Context, name: str, unused: bool) -> Iterator[tuple[Service, str]]:
    for service in context.master.services:
        for each in service.overrides:
            if (unused and each.name == name) or (
                not unused and re.search(rf"\$[({{]?{re.escape(name)}\b", each.value)
            ):
                yield service, each.name


def _undefined(context: Context, service: Service, option: str, name: str, unused: bool, said: str) -> Problem:
    line = next((each.line for each in service.overrides if each.name == option), service.line)
    drop = (
        Repair("take the option out: main.cf's value counts then", (DropOverride(service.name, service.type, option),)),
    )
    if unused:
        near = difflib.get_close_matches(name, context.defaults, 1, 0.85)
        title = f"{service.key} sets {name}, which Postfix does not know" + (f"; {near[0]} was meant?" if near else "")
        return _problem(
            context, service, "unknown-parameter", Status.WARNING, title, said, drop, line, Confidence.LIKELY, option
        )
    opens = option in ("smtpd_relay_restrictions", "smtpd_recipient_restrictions")
    meant = difflib.get_close_matches(name, context.main.names, 1, 0.8)
    harmless = bool(_SHIPPED.fullmatch(name)) and not meant
    return _problem(
        context, service, "undefined-name", Status.NOTICE if harmless else Status.WARNING,
        f"{service.key} sets {option} to ${name}, which is defined nowhere and expands to nothing",
        f"{said}." + (" The list is empty for this service." if opens else ""),
        drop, line, Confidence.LIKELY, option,
    )  # fmt: skip
