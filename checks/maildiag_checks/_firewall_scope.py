"""For whom a port is open that the firewall keeps from everybody else: a rule that names networks is meant."""

from __future__ import annotations

import ipaddress
from dataclasses import replace

from maildiag.facts.routes import Network
from maildiag.firewall.rules import Outcome, Packet, Ruleset


def admitted(rules: Ruleset, packet: Packet) -> tuple[str, ...]:
    """The networks and addresses that rules name and from which the port is reached, loopback left out."""
    found: dict[str, None] = {}
    for named in rules.addresses():
        try:
            network = ipaddress.ip_network(named, strict=False)
        except ValueError:
            continue
        source = str(network[1] if network.num_addresses > 2 else network[0])
        if network.version != ipaddress.ip_address(packet.destination).version or not network.prefixlen:
            continue
        if not network.is_loopback and rules.judge(replace(packet, source=source)).outcome is Outcome.ACCEPT:
            found[named] = None
    return tuple(found)


def promised(packet: Packet, trusted: list[Network]) -> bool:
    """Whether the client is in a network that Postfix counts as its own (mynetworks): it is meant to get in."""
    client = ipaddress.ip_address(packet.source)
    return any(client.version == each.version and client in each for each in trusted)
