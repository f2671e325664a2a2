"""Programs that main.cf and master.cf name, and the places where distributions put programs of that name."""

from __future__ import annotations

from collections.abc import Iterator

from maildiag.lint.context import Context
from maildiag.lint.main_cf import Entry
from maildiag.lint.problem import Problem, Repair, SetParameter
from maildiag.model import Status

DAEMONS = frozenset(
    {
        "anvil", "bounce", "cleanup", "discard", "dnsblog", "error", "flush", "lmtp", "local", "master", "nqmgr", "oqmgr", "pickup",
        "pipe", "postlogd", "postscreen", "proxymap", "qmgr", "qmqpd", "scache", "showq", "smtp", "smtpd", "spawn", "tlsmgr",
        "tlsproxy", "trivial-rewrite", "verify", "virtual",
    }
)  # fmt: skip
"""The programs that Postfix brings for master.cf (postfix-files, master(5))."""
COMMANDS = ("mailbox_command",)
"""Parameters whose value is a shell command (postconf(5))."""
# Debian, the Red Hat family, and what is built from source: hier(7), and the packages of dovecot and postfix.
_PLACES = (
    "/usr/lib/dovecot", "/usr/libexec/dovecot", "/usr/bin", "/usr/sbin", "/usr/local/bin", "/usr/local/sbin", "/usr/lib/postfix",
    "/usr/lib/postfix/sbin", "/usr/libexec/postfix", "/usr/local/libexec/dovecot",
)  # fmt: skip
_NEW_NAMES = {"deliver": "dovecot-lda"}  # Dovecot 1 called it so, and 2.3 still had the link


def program_of(command: str) -> str:
    """The path of the program that a shell command starts, "" where it begins with something else than a path."""
    words = command.split()
    return words[0] if words and words[0].startswith("/") and not set(words[0]) & set("$`\"';|&<>()") else ""


def elsewhere(path: str) -> tuple[str, ...]:
    """Where else a program of that name may stand."""
    name = path.rpartition("/")[2]
    names = (name, _NEW_NAMES[name]) if name in _NEW_NAMES else (name,)
    return tuple(other for each in names for place in _PLACES if (other := f"{place}/{each}") != path)


def missing_command(context: Context, entry: Entry, value: str) -> Iterator[Problem]:
    """A command of main.cf whose program is not there: local(8) returns the mail at once (status 127, dsn 5.3.0)."""
    program = program_of(value) if entry.name in COMMANDS else ""
    if not program or program not in context.absent:
        return
    there = context.moved.get(program, "")
    better = entry.value.replace(program, there, 1)
    repairs = (
        (Repair(f"name the place where it is: {there}", (SetParameter(entry.name, better),), certain=True),)
        if there and program in entry.value
        else ()
    )
    yield Problem(
        kind="missing-program",
        subject=entry.name,
        status=Status.CRITICAL,
        title=f"main.cf line {entry.line}: {entry.name} starts {program}, which does not exist"
        + (f"; {there} does" if there else ""),
        detail="local(8) says: Command died with status 127, and returns all mail for local users to its senders.",
        place=context.main.place(entry),
        repairs=repairs,
    )
