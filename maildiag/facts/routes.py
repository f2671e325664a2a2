"""The host's interfaces, addresses and routes: ip(8)."""

from __future__ import annotations

import ipaddress
import json
from typing import Any

from maildiag.asking import Ask
from maildiag.model import Gap, GapReason, Missing
from maildiag.probes import CommandResult, command
from maildiag.records import dataclass
from maildiag.registry import gatherer

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True, slots=True)
class Route:
    """One route of the main table: destination ("default" or a prefix), gateway, interface, kind ("unicast", "blackhole", …)."""

    destination: str
    gateway: str
    device: str
    kind: str
    down: bool = False

    def covers(self, address: str) -> bool:
        """True where the route leads to the address."""
        if self.destination == "default":
            return True
        try:
            return ipaddress.ip_address(address) in ipaddress.ip_network(self.destination, strict=False)
        except ValueError:
            return False

    @property
    def prefix(self) -> int:
        """The length of the destination's prefix; 0 for the default route."""
        return 0 if self.destination == "default" else int((self.destination + "/32").split("/")[1])

    def __str__(self) -> str:
        words = [self.kind if self.kind != "unicast" else "", self.destination]
        words += ["via", self.gateway] if self.gateway else []
        words += ["dev", self.device] if self.device else []
        return " ".join(word for word in words if word)


@dataclass(frozen=True, slots=True)
class Link:
    """An interface with its prefixes ("10.0.1.10/24") and whether it is up."""

    name: str
    up: bool
    mtu: int
    prefixes: tuple[str, ...]
    loopback: bool = False

    @property
    def networks(self) -> tuple[Network, ...]:
        """The networks that the interface is in."""
        return tuple(ipaddress.ip_network(each, strict=False) for each in self.prefixes)


@dataclass(frozen=True, slots=True)
class Routes:
    """The IPv4 routes of the main table and the interfaces with their prefixes."""

    routes: tuple[Route, ...]
    links: tuple[Link, ...]

    def towards(self, address: str) -> Route | None:
        """The route that the kernel takes to an IPv4 address: the longest matching prefix of what is up."""
        found = [each for each in self.routes if each.covers(address) and not each.down]
        return max(found, key=lambda each: each.prefix, default=None)

    @property
    def networks(self) -> tuple[Network, ...]:
        """The networks that the host is in, loopback left out."""
        return tuple(net for link in self.links if link.up and not link.loopback for net in link.networks)

    def link_of(self, address: str) -> Link | None:
        """The interface that has this address."""
        return next((each for each in self.links if any(one.split("/")[0] == address for one in each.prefixes)), None)


@gatherer
def routes(ask: Ask) -> Routes:
    """Ask ip(8) for the routes and the addresses."""
    told, links = ask.all([command("ip", "-j", "-4", "route"), command("ip", "-j", "addr")])
    if isinstance(told, Gap):
        raise Missing(told)
    if isinstance(links, Gap):
        raise Missing(links)
    found = parse_links(links)
    if not any(each.loopback for each in found):
        raise Missing(Gap(GapReason.FAILED, "ip addr told of no loopback interface: that is not all"))
    return Routes(parse_routes(told), found)


def parse_routes(told: CommandResult) -> tuple[Route, ...]:
    """`ip -j route`. Raises Missing for output that is no JSON."""
    return tuple(
        Route(
            str(each.get("dst", "")),
            str(each.get("gateway", "")),
            str(each.get("dev", "")),
            str(each.get("type", "unicast")),
            bool({"linkdown", "dead"} & set(each.get("flags", []))),
        )
        for each in decoded(told)
    )


def parse_links(told: CommandResult) -> tuple[Link, ...]:
    """`ip -j addr`. Raises Missing for output that is no JSON."""
    return tuple(
        Link(
            str(each.get("ifname", "")),
            "UP" in each.get("flags", []),
            int(each.get("mtu", 0)),
            tuple(f"{one['local']}/{one['prefixlen']}" for one in each.get("addr_info", []) if "local" in one),
            "LOOPBACK" in each.get("flags", []),
        )
        for each in decoded(told)
        if each
    )


def decoded(told: CommandResult) -> list[dict[str, Any]]:
    """The objects that `ip -j` prints. Raises Missing for output that is no JSON."""
    try:
        found = json.loads(told.stdout or "[]")
    except json.JSONDecodeError as error:
        raise Missing(Gap(GapReason.FAILED, f"ip printed no JSON: {error}")) from error
    return [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []
