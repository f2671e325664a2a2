"""The one-letter %variables of Dovecot 2.3 and what 2.4 calls them.

Source: "Upgrading Dovecot CE from 2.3 to 2.4", Variable expansion; 2.4 takes `%u` for plain text.
"""

from __future__ import annotations

import re

_LETTERS = {
    "u": "user",
    "n": "user | username",
    "d": "user | domain",
    "h": "home",
    "l": "local_ip",
    "r": "remote_ip",
    "s": "protocol",
    "m": "mechanism",
    "p": "client_pid",
    "a": "local_port",
    "b": "remote_port",
    "c": "secured",
    "w": "password",
}
_LONG = {
    "auth_domain": "auth_user | domain",
    "auth_username": "auth_user | username",
    "domain": "user | domain",
    "lip": "local_ip",
    "lport": "local_port",
    "mech": "mechanism",
    "orig_domain": "original_user | domain",
    "orig_user": "original_user",
    "orig_username": "original_user | username",
    "rip": "remote_ip",
    "rport": "remote_port",
    "service": "protocol",
    "username": "user | username",
}
_MODIFIERS = {"L": "lower", "U": "upper", "M": "md5 | hexlify"}
_SHORT = re.compile(r"%(?P<modifiers>[LUM]*)(?P<letter>[undhlrsmpabcw])(?![A-Za-z{])")
_NAMED = re.compile(r"%(?P<modifiers>[LUM]*)\{(?P<name>[a-z_]+)\}")


def leftovers(value: str) -> tuple[str, ...]:
    """The one-letter variables of 2.3 in a value: `%u`, `%Ln`. `%%` is a percent sign."""
    return tuple(match[0] for match in _SHORT.finditer(value.replace("%%", "\0\0")))


def modern(value: str) -> str:
    """The value with its 2.3 variables as 2.4 writes them."""
    kept = value.replace("%%", "\0")
    kept = _SHORT.sub(lambda match: _written(_LETTERS[match["letter"]], match["modifiers"]), kept)
    kept = _NAMED.sub(lambda match: _written(_LONG.get(match["name"], match["name"]), match["modifiers"]), kept)
    return kept.replace("\0", "%%")


def _written(variable: str, modifiers: str) -> str:
    return "%{" + " | ".join([variable, *(_MODIFIERS[each] for each in modifiers)]) + "}"
