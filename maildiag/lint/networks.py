"""Network patterns as Postfix reads them in mynetworks and its kin: cidr_match(3), match_list(3)."""

from __future__ import annotations

import ipaddress
import re

from maildiag.records import dataclass

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

PARAMETERS = ("mynetworks", "smtpd_sasl_exceptions_networks", "smtpd_client_event_limit_exceptions", "debug_peer_list")
"""The parameters that hold network patterns; a bad one makes smtpd answer 451 to everybody."""


@dataclass(frozen=True, slots=True)
class BadPattern:
    """A pattern that Postfix cannot use, what it says of it, and what was meant ("" where that is not plain)."""

    pattern: str
    why: str
    meant: str = ""
    fatal: bool = True


def network(pattern: str) -> Network | None:
    """The network that a pattern names, or None for a host name, a table, a file, or nonsense."""
    plain = _plain(pattern)
    try:
        return ipaddress.ip_network(plain, strict=False)
    except ValueError:
        return None


def _plain(pattern: str) -> str:
    match = re.fullmatch(r"!?\[([^\]]*)\](.*)", pattern)
    return f"{match[1]}{match[2]}" if match else pattern.removeprefix("!")


def bad_pattern(pattern: str) -> BadPattern | None:
    """What is wrong with a pattern of a network list, or None."""
    if pattern.startswith(("/", "!/")) or re.match(r"!?[a-z0-9_]+:[/{]", pattern) or "$" in pattern:
        return None
    plain = _plain(pattern)
    bang = "!" if pattern.startswith("!") else ""
    if "/" in plain:
        return _bad_cidr(pattern, plain, bang)
    if re.fullmatch(r"[\d.]+", plain) and _address(plain) is None:
        return BadPattern(pattern, "it is no complete address, and matches nothing", _complete(plain), fatal=False)
    if ":" in plain and "[" not in pattern and _address(plain) is not None:
        return BadPattern(pattern, "IPv6 addresses stand in [ ]", f"{bang}[{plain}]")
    return None


def _bad_cidr(pattern: str, plain: str, bang: str) -> BadPattern | None:
    address, _, mask = plain.partition("/")
    if ":" in address and "[" not in pattern:
        return BadPattern(pattern, "IPv6 networks are written [address]/length", f"{bang}[{address}]/{mask}")
    if not mask.isdigit():
        return BadPattern(pattern, f'bad mask value in "{plain}"', _prefix(plain))
    found = network(pattern)
    if found is None:
        return BadPattern(pattern, f'bad address or mask length in "{plain}"', "")
    if _address(address) != found.network_address:
        meant = f"{bang}[{found.network_address}]/{mask}" if found.version == 6 else f"{bang}{found}"
        return BadPattern(
            pattern, f'non-null host address bits in "{plain}", perhaps you should use "{meant}" instead', meant
        )
    return None


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


def _prefix(plain: str) -> str:
    try:
        return str(ipaddress.ip_network(plain, strict=False))
    except ValueError:
        return ""


def _complete(plain: str) -> str:
    parts = [part for part in plain.split(".") if part]
    if not 1 <= len(parts) <= 3 or any(int(part) > 255 for part in parts):
        return ""
    return ".".join([*parts, *["0"] * (4 - len(parts))]) + f"/{8 * len(parts)}"
