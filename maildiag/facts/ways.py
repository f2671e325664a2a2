"""The ways that the kernel takes to the relay: its answer to `ip route get`, policy rules included, and the neighbour on it."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from maildiag.asking import Ask
from maildiag.facts.relay import Relay
from maildiag.facts.routes import decoded
from maildiag.model import Gap, Missing
from maildiag.probes import Command, CommandResult, command
from maildiag.records import dataclass
from maildiag.registry import gatherer

_KERNELS_OWN = ("local", "main", "default")


@dataclass(frozen=True, slots=True)
class PolicyRule:
    """A rule of ip-rule(8) that is not one of the kernel's own three: its priority, selector and action as `ip rule` takes them."""

    priority: int
    selector: tuple[str, ...]
    action: str
    family: str = "-4"

    @property
    def nowhere(self) -> bool:
        """True where the rule refuses what it selects."""
        return self.action in ("blackhole", "unreachable", "prohibit")

    @property
    def destination(self) -> str:
        """What the rule selects by `to`; empty where it looks at other things alone."""
        return next((two for one, two in zip(self.selector, self.selector[1:], strict=False) if one == "to"), "")

    def selects(self, address: str) -> bool:
        """True where the address is among the destinations of the rule."""
        if (":" in address) != (self.family == "-6"):
            return False
        wanted = self.destination
        return not wanted or ipaddress.ip_address(address) in ipaddress.ip_network(wanted, strict=False)

    def __str__(self) -> str:
        return f"{self.priority}: {' '.join((*self.selector, self.action))}"


@dataclass(frozen=True, slots=True)
class Neighbour:
    """Who answers for the next address on the wire: ip-neighbour(8). `state` is REACHABLE, STALE, FAILED, PERMANENT, …"""

    address: str
    device: str
    state: str
    hardware: str = ""

    @property
    def silent(self) -> bool:
        """True where nobody answers for the address."""
        return self.state in ("FAILED", "INCOMPLETE")


@dataclass(frozen=True, slots=True)
class Way:
    """How a packet to one address leaves: through a gateway (or none), by a device, from a source. `error` where it cannot."""

    address: str
    gateway: str = ""
    device: str = ""
    source: str = ""
    table: str = ""
    error: str = ""
    neighbour: Neighbour | None = None

    @property
    def next(self) -> str:
        """The address that must answer on the wire."""
        return self.gateway or self.address


@dataclass(frozen=True, slots=True)
class Ways:
    """The way to each of the relay's addresses, and the policy rules that may bend it."""

    ways: tuple[Way, ...] = ()
    rules: tuple[PolicyRule, ...] = ()

    def to(self, address: str) -> Way | None:
        """The way to that address."""
        return next((each for each in self.ways if each.address == address), None)


@gatherer
def ways(ask: Ask, relay: Relay) -> Ways:
    """Ask ip(8) how a connection to each address of the relay leaves; after the dialogues, so that neighbours are known."""
    if relay.hop is None or not relay.addresses:
        return Ways()
    port, addresses = relay.hop.port, relay.addresses[:4]
    families = tuple(dict.fromkeys(family_of(each) for each in addresses))
    told = ask.all(
        [*(route_get(each, port) for each in addresses), *(command("ip", "-j", each, "rule") for each in families)]
    )
    if all(isinstance(each, Gap) for each in told):
        raise Missing(next(each for each in told if isinstance(each, Gap)))
    found = [parse_way(*each) for each in zip(addresses, told, strict=False)]
    rules = [
        rule
        for family, each in zip(families, told[len(addresses) :], strict=True)
        for rule in parse_rules(each, family)
    ]
    return Ways(_with_neighbours(ask, [each for each in found if each is not None]), tuple(rules))


def family_of(address: str) -> str:
    """The option of ip(8) for an address's family."""
    return "-6" if ":" in address else "-4"


def route_get(address: str, port: int) -> Command:
    """The kernel's own look-up, with what policy rules may select by."""
    return command("ip", "-j", "route", "get", address, "ipproto", "tcp", "dport", str(port))


def parse_way(address: str, told: CommandResult | Gap) -> Way | None:
    """`ip -j route get`; None where ip did not answer or does not know the options (before 4.19)."""
    if isinstance(told, Gap):
        return None
    error = next((line for line in told.stderr.splitlines() if line.startswith("RTNETLINK answers: ")), "")
    if told.status:
        return Way(address, error=error.removeprefix("RTNETLINK answers: ")) if error else None
    one = next(iter(decoded(told)), None)
    if one is None:
        return None
    gateway = one.get("gateway") or one.get("via", {}).get("host", "")
    return Way(
        address,
        str(gateway),
        str(one.get("dev", "")),
        str(one.get("prefsrc", "")),
        str(one.get("table", "main")),
    )


def parse_rules(told: CommandResult | Gap, family: str = "-4") -> list[PolicyRule]:
    """`ip -j rule` without the rules that every kernel has."""
    if isinstance(told, Gap) or told.status:
        return []
    return [_rule(each, family) for each in decoded(told) if not _own(each)]


def _own(each: dict[str, Any]) -> bool:
    return each.get("src") == "all" and each.get("table") in _KERNELS_OWN and not {"dst", "fwmark", "iif"} & set(each)


def _rule(each: dict[str, Any], family: str) -> PolicyRule:
    words: list[str] = []
    for key, name in (("src", "from"), ("dst", "to")):
        if key in each:
            length = each.get(f"{key}len")
            words += [name, f"{each[key]}/{length}" if length is not None else str(each[key])]
    for key in ("fwmark", "iif", "oif", "ipproto", "sport", "dport", "uidrange"):
        if key in each:
            words += [key, str(each[key])]
    action = str(each["action"]) if "action" in each else f"lookup {each.get('table', '?')}"
    return PolicyRule(int(each.get("priority", 0)), tuple(words), action, family)


def _with_neighbours(ask: Ask, found: Sequence[Way]) -> tuple[Way, ...]:
    wanted = [each for each in found if each.device not in ("", "lo")]
    told = ask.all([command("ip", "-j", "neigh", "show", each.next, "dev", each.device) for each in wanted])
    known = {way.address: parse_neighbour(each, way.device) for way, each in zip(wanted, told, strict=True)}
    return tuple(replace(each, neighbour=known.get(each.address)) for each in found)


def parse_neighbour(told: CommandResult | Gap, device: str) -> Neighbour | None:
    """The entry of `ip -j neigh show ADDRESS dev DEVICE`, or None where there is none."""
    if isinstance(told, Gap) or told.status:
        return None
    for each in decoded(told):
        states = [str(one) for one in each.get("state", [])]
        return Neighbour(str(each.get("dst", "")), device, states[0] if states else "", str(each.get("lladdr", "")))
    return None
