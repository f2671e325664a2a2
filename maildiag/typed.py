"""Commands as an administrator would type them: control characters shown, not sent, and secrets cut with a mark."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Sequence

from maildiag.model import Fix
from maildiag.redact import REMOVED, cut_secrets
from maildiag.text import safe

_LINE = re.compile(r"(\d+)s/")


def typed(argv: Sequence[str]) -> str:
    """One command as a line of a shell. The mark of a secret stands outside of all quotes: a shell refuses it, runs nothing."""
    return safe(cut_secrets(" ".join(_quoted(cut_secrets(word)) for word in argv)))


def lines(commands: Iterable[Sequence[str]]) -> list[str]:
    """Several commands, a line for each."""
    return [typed(argv) for argv in commands]


def commands(fix: Fix) -> list[str]:
    """The fix's commands to read or to paste; a comment behind them tells of what was cut."""
    secret = withheld(fix)
    return [*lines(fix.commands), *([f"# {secret}"] if secret else [])]


def withheld(fix: Fix) -> str:
    """Where the secrets that are cut from the fix's commands come from, in a sentence; empty where none is cut."""
    places = dict.fromkeys(_place(argv) for argv in fix.commands if REMOVED in typed(argv))
    if not places:
        return ""
    return f"{REMOVED} is a secret, as it stands in {' and '.join(places)} now: maildiag fix writes it and does not show it"


def _quoted(word: str) -> str:
    return REMOVED.join(shlex.quote(part) if part else "" for part in word.split(REMOVED)) or "''"


def _place(argv: Sequence[str]) -> str:
    """The file that the command edits, whose text it was made of."""
    if argv[0] == "postconf":
        return "master.cf" if any(each.startswith(("-M", "-P", "-F")) for each in argv[1:]) else "main.cf"
    line = _LINE.match(argv[-2]) if argv[0] == "sed" and len(argv) > 2 else None
    return f"line {line[1]} of {safe(argv[-1])}" if line else safe(argv[-1])
