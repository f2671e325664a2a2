"""Faults of main.cf's text: lines that are no entry, swallowed and lost lines, comments behind values, duplicates."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator
from dataclasses import replace

from maildiag.lint.context import Context, words
from maildiag.lint.lines import Logical, Physical
from maildiag.lint.main_cf import Entry, Malformed
from maildiag.lint.problem import (
    CommentLine,
    Edit,
    Problem,
    Repair,
    ReplaceLine,
    SetParameter,
    emptied,
)
from maildiag.lint.values import Form, complaint, form_of, has_comment, without_comment
from maildiag.model import Confidence, Status

_ASSIGNMENT = re.compile(r"\s+([A-Za-z0-9_-]+)\s*=\s*(.*)")
_FREE_TEXT = re.compile(
    r".*(_banner|expansion_filter|_reply|_footer|cipherlist|_reason|_command|_characters|_header|_delimiter)|mail_name"
)
_LISTS = re.compile(
    r"mydestination|mynetworks|.*_domains|.*_networks|.*_exceptions|.*_hosts|.*_list|.*_exclusions|.*_users"
)
_NEXTHOPS = re.compile(r"relayhost|.*_relay|.*_transport|content_filter|.*_relayhost")
_RESTART = ("inet_interfaces", "inet_protocols")


def syntax_problems(context: Context) -> Iterator[Problem]:
    """Every fault of the text itself, in the order of the file."""
    if not (context.main.entries or context.main.malformed or context.main.strays):
        yield emptied(
            context.main.path,
            "main.cf sets nothing: Postfix works by its defaults alone, and smtpd, which may not relay for everybody, does not start",
            "no line with a parameter",
        )
    for each in context.main.malformed:
        yield _malformed(context, each)
    for stray in context.main.strays:
        yield _stray(context, stray)
    for entry in context.main.entries:
        yield from _swallowed(context, entry)
        yield from _comment(context, entry)
    yield from _duplicates(context)


def is_restriction_list(name: str) -> bool:
    """True for the parameters that hold smtpd(8) access restrictions."""
    return re.fullmatch(r"smtpd_\w+_restrictions", name) is not None


def _malformed(context: Context, found: Malformed) -> Problem:
    """Postfix refuses the whole file over one such line, so every program of Postfix fails."""
    line = found.logical.lines[0]
    repairs = tuple(_mend(context, found))
    return Problem(
        kind="malformed",
        subject="main.cf",
        status=Status.CRITICAL,
        title=f'main.cf line {line.number}: "{line.text.strip()}" has no "=", Postfix refuses the whole file',
        detail=f"{found.why}: no Postfix program starts until the line is mended."
        + (f" {repairs[0].why}" if repairs else ""),
        place=found.logical.at(context.main.path),
        repairs=repairs,
    )


def _mend(context: Context, found: Malformed) -> Iterator[Repair]:
    path, line = context.main.path, found.logical.lines[0]
    text = line.text.strip()
    match = re.match(r"([A-Za-z0-9_]+)\s*[:\s]\s*(.*)", text)
    if match and match[1] in context.defaults:
        fixed = f"{match[1]} = {match[2]}"
        yield Repair(
            f'write line {line.number} as "{fixed}"',
            (ReplaceLine(path, line.number, fixed),),
            certain=True,
            why=f'The line names the parameter {match[1]}, only the "=" is missing.',
        )
        return
    before = _entry_before(context, line.number)
    if before is not None and _continues(before, text):
        edits: list[Edit] = [ReplaceLine(path, each.number, f"    {each.text.strip()}") for each in found.logical.lines]
        yield Repair(
            f"indent line {line.number}, so that it continues {before.name}",
            tuple(edits),
            certain=True,
            why=f"It lost the indentation that makes it a continuation of {before.name} (line {before.line}).",
        )
        return
    lines = tuple(CommentLine(path, each.number) for each in found.logical.lines)
    yield Repair(
        f"comment line {line.number} out",
        lines,
        why="It is neither an entry nor the continuation of one; comments start with #.",
    )


def _entry_before(context: Context, number: int) -> Entry | None:
    return next((each for each in reversed(context.main.entries) if each.logical.last < number), None)


def _continues(before: Entry, text: str) -> bool:
    """Whether a line looks like the next words of the list before it."""
    listed = is_restriction_list(before.name) or _LISTS.fullmatch(before.name) or before.name.endswith("_maps")
    if not listed:
        return False
    if before.value.endswith(",") or not before.value:
        return True
    if is_restriction_list(before.name):
        return re.match(r"(permit|reject|check_|defer|warn_if_reject)", text) is not None
    if before.name == "mynetworks":
        return re.match(r"[\[\d]", text) is not None
    if before.name.endswith("_maps"):
        return re.match(r"[a-z]+:", text) is not None
    return len(text.split()) == 1 and re.fullmatch(r"[\w.$,-]+", text) is not None


def _stray(context: Context, stray: Logical) -> Problem:
    line = stray.lines[0]
    match = _ASSIGNMENT.match(line.text)
    repairs: tuple[Repair, ...] = ()
    if match:
        repairs = (
            Repair(
                f"take the indentation of line {line.number} away",
                (ReplaceLine(context.main.path, line.number, line.text.strip()),),
                certain=match[1] in context.defaults,
            ),
        )
    return Problem(
        kind="stray-line",
        subject=match[1] if match else "main.cf",
        status=Status.WARNING,
        title=f'main.cf line {line.number} begins with a blank and continues nothing, Postfix ignores "{line.text.strip()}"',
        place=stray.at(context.main.path),
        repairs=repairs,
    )


def _swallowed(context: Context, entry: Entry) -> Iterator[Problem]:
    """A parameter behind a blank: it becomes a part of the value before it, and both settings are lost."""
    for line in entry.logical.lines[1:]:
        match = _ASSIGNMENT.fullmatch(line.text)
        if not match or not _is_parameter(context, match[1]):
            continue
        path = context.main.path
        yield Problem(
            kind="swallowed-line",
            subject=match[1],
            status=Status.CRITICAL,
            title=f"main.cf line {line.number} begins with a blank: {match[1]} is swallowed into the value of {entry.name}",
            detail=f'A line that begins with white space continues the line before it. {entry.name} now reads "{entry.value}"'
            f" and {match[1]} is not set here at all.",
            place=replace(context.main.place(entry), line=line.number, last=line.number),
            repairs=(
                Repair(
                    f"take the indentation of line {line.number} away",
                    (ReplaceLine(path, line.number, line.text.strip()),),
                    certain=True,
                    restart=bool({entry.name, match[1]} & set(_RESTART)),
                ),
            ),
        )


def _is_parameter(context: Context, name: str) -> bool:
    if name in context.defaults:
        return True
    return bool(len(name) > 6 and difflib.get_close_matches(name, context.defaults, 1, 0.92))


def _comment(context: Context, entry: Entry) -> Iterator[Problem]:
    """A comment behind a value: Postfix has no such thing, the # and all behind it belong to the value."""
    if not has_comment(entry.value) or _FREE_TEXT.fullmatch(entry.name) or "{" in entry.value.split("#")[0]:
        return
    if context.main.entry(entry.name) is not entry:
        return
    meant = " ".join(part for part in (without_comment(_body(line)) for line in _value_lines(entry)) if part)
    form = form_of(entry.name, context.defaults.get(entry.name, ""))
    status, effect = _effect(context, entry, form)
    guilty = next((line for line in _value_lines(entry) if has_comment(_body(line))), entry.logical.lines[0])
    certain = not complaint(entry.name, form, meant) if form is not Form.TEXT and "$" not in meant else True
    yield Problem(
        kind="comment-behind-value",
        subject=entry.name,
        status=status,
        title=f"main.cf line {guilty.number}: the comment behind {entry.name} is a part of its value",
        detail=f'Postfix knows no comments behind a value; {entry.name} now is "{entry.value}". {effect}',
        place=replace(context.main.place(entry), line=guilty.number),
        repairs=(
            Repair(
                f"set {entry.name} to {meant!r} without the comment"
                if meant
                else f"set {entry.name} empty, without the comment",
                (SetParameter(entry.name, meant),),
                certain=certain,
                restart=entry.name in _RESTART,
            ),
        ),
    )


def _value_lines(entry: Entry) -> tuple[Physical, ...]:
    first, *rest = entry.logical.lines
    return (Physical(first.number, first.text.partition("=")[2]), *rest)


def _body(line: Physical) -> str:
    return line.text.strip()


def _takes_several_relays(context: Context) -> bool:
    """Since Postfix 3.5 relayhost is a list, tried in order (postconf(5))."""
    version = re.match(r"(\d+)\.(\d+)", context.value("mail_version"))
    return version is not None and (int(version[1]), int(version[2])) >= (3, 5)


def _effect(context: Context, entry: Entry, form: Form) -> tuple[Status, str]:
    said = complaint(entry.name, form, entry.value)
    if said:
        return Status.CRITICAL, f"Every Postfix program that reads it stops with: {said}"
    if entry.name == "inet_interfaces":
        word = without_comment(entry.value) or "#"
        return (
            Status.CRITICAL,
            f"Postfix does not start: fatal: config variable inet_interfaces: host not found: {word}",
        )
    if is_restriction_list(entry.name):
        return (
            Status.CRITICAL,
            'smtpd knows no restriction "#": what gets that far is answered 451 Server configuration error.',
        )
    if entry.name == "relayhost" and without_comment(entry.value) and _takes_several_relays(context):
        return (
            Status.WARNING,
            "Postfix takes every further word for another relay: mail flows through the first, and stops as soon as that "
            "one does not answer and # is tried.",
        )
    if _NEXTHOPS.fullmatch(entry.name):
        return (
            Status.CRITICAL,
            "The delivery agent takes the # for a part of the destination and stops: no such mail leaves.",
        )
    if entry.name.endswith("_maps") or entry.name == "alias_database":
        return (
            Status.CRITICAL,
            'Programs that open it stop with: fatal: open dictionary: expecting "type:name" form instead of "#"',
        )
    if _LISTS.fullmatch(entry.name):
        lost = _lost_words(entry)
        if lost:
            return Status.CRITICAL, f"Everything behind the # is left out, so these do not count: {' '.join(lost)}."
        return Status.WARNING, "Everything behind the # is left out of the list, with a warning in the log each time."
    if entry.name in ("home_mailbox", "myhostname", "mydomain", "myorigin", "inet_protocols", "mail_spool_directory"):
        return Status.CRITICAL, "The value is used as it stands, with the comment in it."
    return Status.WARNING, "The value is used as it stands, with the comment in it."


def _lost_words(entry: Entry) -> list[str]:
    """What stands on the lines behind the commented one: meant to count, and dropped with the comment."""
    lost: list[str] = []
    seen = False
    for line in _value_lines(entry):
        if seen:
            lost += words(without_comment(_body(line)))
        seen = seen or has_comment(_body(line))
    return lost


def _duplicates(context: Context) -> Iterator[Problem]:
    """The last entry of a name counts; Postfix warns of the earlier ones in each program it starts."""
    for name in dict.fromkeys(each.name for each in context.main.entries):
        entries = [each for each in context.main.entries if each.name == name]
        if len(entries) > 1:
            yield _duplicate(context, name, entries)


def _duplicate(context: Context, name: str, entries: list[Entry]) -> Problem:
    last = entries[-1]
    same = len({" ".join(words(each.value)) for each in entries}) == 1
    lines = ", ".join(str(each.line) for each in entries)
    old = [line.number for each in entries[:-1] for line in each.logical.lines]
    return Problem(
        kind="duplicate",
        subject=name,
        status=Status.NOTICE if same else Status.WARNING,
        title=f"main.cf sets {name} {len(entries)} times (lines {lines}); the last counts: {last.value or '(empty)'}",
        detail="All say the same."
        if same
        else "The earlier values have no effect, and each Postfix program warns of them.",
        place=replace(context.main.place(last), text="\n".join(each.logical.shown() for each in entries)),
        repairs=(
            Repair(
                f"comment the earlier {'entry' if len(entries) == 2 else 'entries'} of {name} out; what counts stays the same",
                tuple(CommentLine(context.main.path, number) for number in old),
                certain=same,
            ),
        ),
        confidence=Confidence.CERTAIN if same else Confidence.LIKELY,
    )
