"""Faults of main.cf's parameters: unknown names, values of the wrong form, words not allowed, undefined `$names`."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator

from maildiag.lint import networks
from maildiag.lint.context import Context, words
from maildiag.lint.main_cf import Entry
from maildiag.lint.problem import DropParameter, Problem, RenameParameter, Repair, SetParameter
from maildiag.lint.values import WORDS, Form, complaint, form_of, has_comment, meant, wrong_words
from maildiag.model import Confidence, Status

_UNUSED = re.compile(r"(\S+): unused parameter: ([^=\s]+)=(.*)")
_UNDEFINED = re.compile(r"(\S+): undefined parameter: (\S+)")
_NOT_EMPTY = (
    "myhostname",
    "mydomain",
    "mail_owner",
    "queue_directory",
    "daemon_directory",
    "inet_interfaces",
    "myorigin",
)
_NOT_RUNNING = {"postscreen_": "postscreen", "tlsproxy_": "tlsproxy", "dnsblog_": "dnsblog"}


def parameter_problems(context: Context) -> Iterator[Problem]:
    """Every fault of the parameters themselves."""
    yield from _unused(context)
    yield from _undefined(context)
    for entry in context.main.entries:
        if context.main.entry(entry.name) is entry:
            yield from _value(context, entry)


def _value(context: Context, entry: Entry) -> Iterator[Problem]:
    if has_comment(entry.value):
        return  # told as such by maildiag.lint.syntax
    if _unclosed(entry.value):
        yield _open_brace(context, entry)
        return
    value = context.settings.get(entry.name, entry.value)
    if not value and entry.name in _NOT_EMPTY:
        yield _empty(context, entry)
    if "$" not in value:
        yield from _form(context, entry, value)
        yield from _words(context, entry, value)
    if entry.name in networks.PARAMETERS:
        yield from _networks(context, entry)
    if entry.name in ("myhostname", "mydomain"):
        yield from _hostname(context, entry, value)


def _form(context: Context, entry: Entry, value: str) -> Iterator[Problem]:
    form = form_of(entry.name, context.defaults.get(entry.name, ""))
    said = complaint(entry.name, form, value)
    if not said:
        return
    better = meant(form, value)
    default = context.defaults.get(entry.name, "")
    repair = (
        Repair(f"set {entry.name} to {better}", (SetParameter(entry.name, better),), certain=form is not Form.NUMBER)
        if better and not complaint(entry.name, form, better)
        else Repair(
            f"set {entry.name} back to its default, {default}",
            (DropParameter(entry.name),),
            why=f"What {value!r} was meant to be cannot be told; {entry.name} takes {_takes(form)}.",
        )
    )
    unused = _daemon_not_used(context, entry.name)
    outside = (form is Form.NUMBER and value.isdigit()) or said.startswith("panic: ")
    what = "out of its range" if outside else f"no {form.value}"
    yield Problem(
        kind="wrong-form",
        subject=entry.name,
        status=Status.WARNING if unused else Status.CRITICAL,
        title=f"main.cf line {entry.line}: {entry.name} = {value or '(empty)'} is {what}"
        + ("" if unused else ", and Postfix's programs stop over it"),
        detail=f"{entry.name} takes {_takes(form)}. Each program that reads it stops with: {said}" + unused,
        place=context.main.place(entry),
        repairs=(repair,),
    )


def _takes(form: Form) -> str:
    match form:
        case Form.BOOLEAN:
            return "yes or no"
        case Form.NUMBER:
            return "a plain number"
        case Form.TIME:
            return "a number with one of the units s, m, h, d, w (as in 5d)"
        case Form.TEXT:
            return "text"


def _daemon_not_used(context: Context, name: str) -> str:
    for prefix, daemon in _NOT_RUNNING.items():
        if name.startswith(prefix) and not context.master.running(daemon):
            return f" No service of master.cf runs {daemon}, so nothing reads it now."
    return ""


def _words(context: Context, entry: Entry, value: str) -> Iterator[Problem]:
    wrong = wrong_words(entry.name, value)
    if not wrong:
        return
    allowed = [word for word in WORDS[entry.name] if word]
    near = [difflib.get_close_matches(word.lower(), allowed, 1, 0.6) for word in wrong]
    repairs: tuple[Repair, ...] = ()
    if all(near):
        better = value
        for word, found in zip(wrong, near, strict=True):
            better = better.replace(word, found[0]) if word else found[0]
        repairs = (Repair(f"set {entry.name} to {better}", (SetParameter(entry.name, better),)),)
    else:
        default = context.defaults.get(entry.name, "")
        told = f"set {entry.name} back to its default, {default or 'empty'}"
        repairs = (Repair(told, (DropParameter(entry.name),)),)
    client = entry.name.startswith(("smtp_tls", "lmtp_tls"))
    yield Problem(
        kind="wrong-word",
        subject=entry.name,
        status=Status.CRITICAL,
        title=f"main.cf line {entry.line}: {entry.name} takes no {' or '.join(repr(word) for word in wrong)}",
        detail=f"{entry.name} takes {', '.join(allowed)}. "
        + ("Postfix's SMTP client cannot deliver with it." if client else "The programs that read it stop."),
        place=context.main.place(entry),
        repairs=tuple(_restarting(each, entry.name) for each in repairs),
    )


def _restarting(repair: Repair, name: str) -> Repair:
    restart = name in ("inet_protocols", "inet_interfaces")
    return Repair(repair.title, repair.edits, repair.certain, restart, repair.why)


def _empty(context: Context, entry: Entry) -> Problem:
    return Problem(
        kind="empty",
        subject=entry.name,
        status=Status.CRITICAL,
        title=f"main.cf line {entry.line}: {entry.name} is empty, and Postfix does not start without it",
        detail=f"Postfix says: fatal: bad string length 0 < 1: {entry.name} =",
        place=context.main.place(entry),
        repairs=(
            Repair(
                f"take the empty {entry.name} out, so that its default counts ({context.defaults.get(entry.name, '')})",
                (DropParameter(entry.name),),
                certain=entry.name != "inet_interfaces",
                restart=entry.name == "inet_interfaces",
            ),
        ),
    )


def _networks(context: Context, entry: Entry) -> Iterator[Problem]:
    bad = [found for word in words(entry.value) if (found := networks.bad_pattern(word))]
    if not bad:
        return
    better = entry.value
    for found in bad:
        better = better.replace(found.pattern, found.meant) if found.meant else better
    fatal = any(found.fatal for found in bad)
    clear = all(found.meant for found in bad)
    yield Problem(
        kind="bad-network",
        subject=entry.name,
        status=Status.CRITICAL if fatal else Status.WARNING,
        title=f"main.cf line {entry.line}: {entry.name} has a pattern that Postfix cannot use: {bad[0].pattern}",
        detail="; ".join(f"{found.pattern}: {found.why}" for found in bad)
        + (
            ". smtpd answers 451 Temporary lookup failure to every client that no pattern before it matches."
            if fatal
            else "."
        ),
        place=context.main.place(entry),
        repairs=(
            (Repair(f"set {entry.name} to {better}", (SetParameter(entry.name, better),), certain=_same_reach(bad)),)
            if clear
            else ()
        ),
    )


def _same_reach(bad: list[networks.BadPattern]) -> bool:
    """Only what reaches nothing new may be done without a question: who may relay is the administrator's decision."""
    return all(networks.network(each.meant) == networks.network("127.0.0.0/8") for each in bad)


def _hostname(context: Context, entry: Entry, value: str) -> Iterator[Problem]:
    if not value or "$" in value:
        return
    if re.search(r"[^A-Za-z0-9._:\[\]-]", value) or re.search(r"\.\.|^[.-]|-$", value):
        yield Problem(
            kind="bad-hostname",
            subject=entry.name,
            status=Status.CRITICAL,
            title=f"main.cf line {entry.line}: {entry.name} = {value} is no host name, and Postfix does not start",
            detail=f"Postfix says: fatal: parameter {entry.name}: bad parameter value: {value}",
            place=context.main.place(entry),
            repairs=(
                Repair(
                    f"take {entry.name} out, so that its default counts ({context.defaults.get(entry.name, '')})",
                    (DropParameter(entry.name),),
                    why=f"Better: postconf -e {entry.name}=<the host's full name>.",
                ),
            ),
        )


def _unused(context: Context) -> Iterator[Problem]:
    """Names that Postfix does not know and that nothing refers to (postconf says `unused parameter`)."""
    for line in dict.fromkeys(context.warnings):
        match = _UNUSED.search(line)
        if match and match[1].endswith("main.cf"):
            yield _unknown_name(context, match[2], line)


def _unknown_name(context: Context, name: str, said: str) -> Problem:
    entry = context.main.entry(name)
    near = [each for each in difflib.get_close_matches(name, context.defaults, 1, 0.82) if not _longer(name, each)]
    repairs: tuple[Repair, ...] = ()
    if near and entry is not None and context.main.entry(near[0]) is None:
        form = form_of(near[0], context.defaults[near[0]])
        fits = not complaint(near[0], form, entry.value)
        rename = Repair(
            f"rename {name} (line {entry.line}) to {near[0]}",
            (RenameParameter(name, near[0], entry.value),),
            why="The nearest name that Postfix knows.",
        )
        repairs = (rename,) if fits else ()
    title = f"{_at(context, entry)}Postfix knows no parameter {name}, so it has no effect"
    return Problem(
        kind="unknown-parameter",
        subject=name,
        status=Status.WARNING if near else Status.NOTICE,
        title=title + (f"; {near[0]} was meant?" if near else ""),
        detail=f"{said}. " + (f"{near[0]} keeps its default, {_default(context, near[0])}." if repairs else ""),
        place=context.main.place(entry, otherwise=said),
        repairs=repairs,
        confidence=Confidence.LIKELY,
    )


def _longer(name: str, known: str) -> bool:
    """A whole word more is no slip of the pen, but left over from another Postfix: virtual_mailbox_limit_maps of a patched one."""
    return name.startswith(f"{known}_")


def _default(context: Context, name: str) -> str:
    return context.settings.get(name, context.defaults[name]) or "(empty)"


def _at(context: Context, entry: Entry | None) -> str:
    return f"main.cf line {entry.line}: " if entry else ""


def _undefined(context: Context) -> Iterator[Problem]:
    """`$names` that nothing defines: they expand to nothing."""
    for line in dict.fromkeys(context.warnings):
        match = _UNDEFINED.search(line)
        if not match or not match[1].endswith("main.cf"):
            continue
        name = match[2]
        users = [each for each in context.main.entries if re.search(rf"\$[({{]?{re.escape(name)}\b", each.value)]
        if users and all(_only_asked_for(name, each.value) for each in users):
            continue
        near = difflib.get_close_matches(name, [*context.defaults, *context.main.names], 1, 0.8)
        entry = users[-1] if users else None
        repairs: tuple[Repair, ...] = ()
        if near and entry:
            better = re.sub(rf"(\$[({{]?){re.escape(name)}\b", lambda found: found[1] + near[0], entry.value)  # noqa: B023
            repairs = (Repair(f"write ${near[0]} in {entry.name}", (SetParameter(entry.name, better),)),)
        yield Problem(
            kind="undefined-name",
            subject=entry.name if entry else name,
            status=Status.WARNING,
            title=f"{_at(context, entry)}${name} is defined nowhere and expands to nothing"
            + (f"; ${near[0]} was meant?" if near else ""),
            detail=line,
            place=context.main.place(entry, otherwise=line),
            repairs=repairs,
            confidence=Confidence.LIKELY,
        )


def _only_asked_for(name: str, value: str) -> bool:
    """`${name?value}` and `${name:value}` ask whether a name is set; that it is not is one of the answers (postconf(5))."""
    return not re.search(rf"\$(?:{re.escape(name)}\b|[({{]{re.escape(name)}[)}}])", value)


def _unclosed(value: str) -> bool:
    """True where a `${` or `$(` is never closed: Postfix then reads nothing at all (macro processing error)."""
    return any(
        value.count(f"${opening}") and value.count(opening) > value.count(closing)
        for opening, closing in (("{", "}"), ("(", ")"))
    )


def _open_brace(context: Context, entry: Entry) -> Problem:
    better = re.sub(r"\$\{(\w+)(?![\w}?:])", r"${\1}", entry.value)
    better = re.sub(r"\$\((\w+)(?![\w)?:])", r"$(\1)", better)
    closed = not _unclosed(better)
    return Problem(
        kind="open-brace",
        subject=entry.name,
        status=Status.CRITICAL,
        title=f"main.cf line {entry.line}: a brace of {entry.name} is never closed, and Postfix refuses the whole file",
        detail="Postfix says: fatal: macro processing error.",
        place=context.main.place(entry),
        repairs=(Repair(f"set {entry.name} to {better}", (SetParameter(entry.name, better),), certain=True),)
        if closed
        else (),
    )
