"""Which lines of the configuration a message of Dovecot is about: by the setting's name, its value, or its service."""

from __future__ import annotations

import re
from collections.abc import Iterator

from maildiag.dovecot.tree import Setting, Tree

_WORD = re.compile(r"[\w./@%+-]*[\w/]")
_SERVICE = re.compile(r"\bservice[( ](?P<name>[\w-]+)")
_SEE = re.compile(r"\bservice (?P<service>[\w-]+) \{ (?P<name>\w+) \} setting")
_COMMON = frozenset(
    ["yes", "no", "imap", "pop3", "lmtp", "plain", "login", "auth", "mail", "root", "postfix", "dovecot"]
)
_SHORTEST = 4


def mentioned(message: str, tree: Tree) -> tuple[Setting, ...]:
    """The assignments that the message names, the surest first, each line once.

    Dovecot's processes say what they choke on (`access(/usr/lib/dovecot/imap-logn) failed`, `Unknown ssl_min_protocol
    setting`) and never where it was configured; the value or the name leads back to the line.
    """
    words = set(_WORD.findall(message))
    service = _SERVICE.search(message)
    inside = [each for each in tree.settings if service and _in_service(each, service["name"])]
    see = _SEE.search(message)
    found = [
        *(each for each in inside if see and each.name == see["name"]),
        *(each for each in inside if _by_value(each, words)),
        *_last(each for each in tree.settings if "_" in each.name and not each.name.isupper() and each.name in words),
        *(each for each in tree.settings if _by_value(each, words)),
    ]
    return tuple({each.place: each for each in reversed(found)}.values())[::-1]


def _in_service(setting: Setting, name: str) -> bool:
    return any(each.kind == "service" and each.name == name for each in setting.within)


def _last(found: Iterator[Setting]) -> list[Setting]:
    """The last assignment of a name holds."""
    return list({(each.name, each.within): each for each in found}.values())


def _by_value(setting: Setting, words: set[str]) -> bool:
    return any(_names(each, words) for each in setting.value.lstrip("<").strip().split())


def _names(value: str, words: set[str]) -> bool:
    if len(value) < _SHORTEST or value.lower() in _COMMON or value.isdigit() or value[0] in "$%":
        return False
    return value in words or value.upper() in words or any(each.endswith(f"/{value}") for each in words)
