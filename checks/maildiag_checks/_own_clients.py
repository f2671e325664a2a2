"""Which clients are own ones: hosts of mynetworks."""

from __future__ import annotations

import ipaddress

from maildiag.facts.postfix_config import PostfixConfig
from maildiag.lint import networks
from maildiag.lint.context import words

CLIENTS = "connectivity.own-clients"


def own_networks(config: PostfixConfig) -> list[networks.Network]:
    """The networks that mynetworks lists; what stands in tables is left out."""
    return [found for word in words(config.get("mynetworks")) if (found := networks.network(word))]


def is_own(address: str, own: list[networks.Network]) -> bool:
    """In mynetworks, and another host: what this host says to itself is judged by connectivity.smtp."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return False
    return not found.is_loopback and any(found in each for each in own if each.version == found.version)
