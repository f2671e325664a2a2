"""Which line of an access table decides over a client or an address. Source: access(5), regexp_table(5), cidr_table(5)."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator

from maildiag.lint.lines import Logical, logical_lines
from maildiag.records import dataclass

_REGEXP = re.compile(r"(!?)/((?:[^/\\]|\\.)*)/([a-zA-Z]*)\s+(.*)", re.DOTALL)
_REFUSES = re.compile(r"(reject|defer\w*|discard|hold|[45]\d\d)\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Decision:
    """The line that decides: its number, its text, and the action it takes."""

    number: int
    text: str
    action: str

    @property
    def refuses(self) -> bool:
        """True where the action turns mail away or holds it back."""
        return _REFUSES.match(self.action) is not None


def decision(text: str, kind: str, keys: tuple[str, ...]) -> Decision | None:
    """The line of a table of the type `kind` that decides for the first of `keys` that it has."""
    if kind in ("regexp", "pcre", "cidr"):
        matches = _in_cidr if kind == "cidr" else _in_pattern
        return next((found for line in logical_lines(text) if (found := matches(line, keys))), None)
    lines: dict[str, Decision] = {}
    for logical in logical_lines(text):
        parts = logical.text.strip().split(None, 1)
        if len(parts) == 2 and not logical.stray:
            lines.setdefault(parts[0].lower(), _decision(logical, parts[1]))
    return next((lines[key.lower()] for key in keys if key.lower() in lines), None)


def _decision(logical: Logical, action: str) -> Decision:
    return Decision(logical.first, logical.text.strip(), action.strip())


def _in_pattern(logical: Logical, keys: tuple[str, ...]) -> Decision | None:
    match = _REGEXP.fullmatch(logical.text.strip())
    if match is None:
        return None
    try:
        pattern = re.compile(match[2], 0 if "i" in match[3] else re.IGNORECASE)
    except re.error:
        return None  # POSIX writes some patterns differently
    found = any(pattern.search(key) for key in keys[:1])
    return _decision(logical, match[4]) if found != bool(match[1]) else None


def _in_cidr(logical: Logical, keys: tuple[str, ...]) -> Decision | None:
    parts = logical.text.strip().split(None, 1)
    if len(parts) != 2:
        return None
    try:
        network = ipaddress.ip_network(parts[0].lstrip("!").replace("[", "").replace("]", ""), strict=False)
    except ValueError:
        return None
    inside = any(each in network for each in _addresses(keys) if each.version == network.version)
    return _decision(logical, parts[1]) if inside != parts[0].startswith("!") else None


def _addresses(keys: tuple[str, ...]) -> Iterator[ipaddress.IPv4Address | ipaddress.IPv6Address]:
    for key in keys:
        try:
            yield ipaddress.ip_address(key)
        except ValueError:
            continue


def client_keys(name: str, address: str) -> tuple[str, ...]:
    """What check_client_access looks up: the name and its parent domains, the address and its networks."""
    octets = address.split(".") if ":" not in address else address.split(":")
    dot = "." if ":" not in address else ":"
    networks = tuple(dot.join(octets[:count]) for count in range(len(octets), 0, -1))
    return (*_domains(name), *networks)


def address_keys(address: str) -> tuple[str, ...]:
    """What check_sender_access and check_recipient_access look up: the address, its domain and the parents, `user@`."""
    user, _, domain = address.rpartition("@")
    return (address, *_domains(domain), f"{user}@")


def _domains(name: str) -> tuple[str, ...]:
    parts = name.split(".")
    parents = [".".join(parts[start:]) for start in range(1, len(parts))]
    return (name, *(each for parent in parents for each in (parent, f".{parent}")))
