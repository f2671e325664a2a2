"""Values that rules compare with: single ones, ranges, prefixes, and names with a wildcard."""

from __future__ import annotations

import ipaddress
import re
from functools import lru_cache

UNKNOWN = "?"
_PERIODS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_CALM_S = 60


@lru_cache(maxsize=4096)
def contains(value: str, pattern: str) -> bool | None:
    """Whether `value` is what `pattern` stands for: itself, `a-b`, `address/length`, `eth*`; None for what is not known."""
    if pattern == UNKNOWN or value == UNKNOWN:
        return None
    if pattern in ("*", value):
        return True
    if pattern.endswith(("*", "+")) and not pattern[:1].isdigit():
        return value.startswith(pattern[:-1])
    if value.isdigit():
        return _number(int(value), pattern)
    try:
        address = ipaddress.ip_address(value)
    except ValueError:
        return False
    return _address(address, pattern)


def _number(value: int, pattern: str) -> bool | None:
    found = re.fullmatch(r"(\d*)([-:]?)(\d*)", pattern)
    if found is None:
        return False
    if not found[2]:
        return int(found[1] or -1) == value
    return int(found[1] or 0) <= value <= int(found[3] or 65535)


def _address(value: ipaddress.IPv4Address | ipaddress.IPv6Address, pattern: str) -> bool | None:
    low, dash, high = pattern.partition("-")
    try:
        if dash:
            first, last = ipaddress.ip_address(low), ipaddress.ip_address(high)
            return first.version == value.version and int(first) <= int(value) <= int(last)
        network = ipaddress.ip_network(pattern, strict=False)
    except ValueError:
        return None
    return network.version == value.version and value in network


def spares_the_calm(rate: int, period: str) -> bool:
    """Whether a limit of `rate` events in each `period` (`second`, `min`, `day`) is never reached by a client that connects
    once a minute; those that ask for less keep mail out as a plain rule does (iptables-extensions(8) limit, nft(8) LIMIT).
    """
    return rate * _CALM_S >= _PERIODS.get(period[:1], 1)
