"""Step 6: does the firewall let over IPv6 in what it lets in over IPv4?"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator

from maildiag.dns_text import said
from maildiag.facts.firewall import Firewall
from maildiag.facts.names import OwnName
from maildiag.facts.routes import Link, Routes
from maildiag.facts.sockets import Sockets
from maildiag.firewall.rules import Judgement, Packet
from maildiag.model import Gap, Step, Verdict, critical, ok, skipped, unknown, warning
from maildiag.probes import DnsAnswer
from maildiag.registry import SERVER, check
from maildiag_checks import _firewall_fixes as fixes
from maildiag_checks.firewall import shown_by, stranger


@check(
    "firewall.ipv6",
    step=Step.FIREWALL,
    asks="Does the firewall let clients in over IPv6 where the DNS sends them there?",
    roles=SERVER,
    explained_by=("firewall.inbound", "dns.own-name", "dns.resolver"),
)
def ipv6(firewall: Firewall, sockets: Sockets, routes: Routes, own: OwnName) -> Iterator[Verdict]:
    """Only for IPv6 addresses that the DNS gives out: nobody comes to others. Source: RFC 6724, nft(8), ip6tables(8)."""
    if isinstance(own.dns6, Gap) or (own.dns6 is not None and not own.dns6.knows):
        yield unknown(
            "Whether the DNS gives an IPv6 address of this host out could not be asked", detail=said(own.dns6)
        )
        return
    ways = [(link, each.split("/")[0], each) for link in routes.links for each in link.prefixes]
    found = [(link, prefix) for link, address, prefix in ways if _same(address, own.published6)]
    if not found:
        yield skipped("The DNS gives no IPv6 address of this host out")
        return
    link, prefix = found[0]
    closed = list(_closed(firewall, sockets, link, prefix))
    if not closed:
        yield ok(f"The ports that listen on {prefix.split('/')[0]} are open")
        return
    numbers = [number for number, _ in closed]
    judgement = closed[0][1]
    alone = not (isinstance(own.dns, DnsAnswer) and own.dns.records)
    yield (critical if alone else warning)(
        f"The firewall stops IPv6 connections to {'port' if len(numbers) == 1 else 'ports'} "
        f"{', '.join(map(str, numbers))}, which are open over IPv4",
        detail=f"The DNS sends clients to {prefix.split('/')[0]}"
        + ("." if alone else " first; they wait there before they take IPv4."),
        subject=str(numbers[0]),
        data={"ports": [*numbers], "interface": link.name},
        evidence=shown_by(judgement),
        fixes=fixes.opening(firewall, judgement, numbers, link.name),
    )


def _same(address: str, others: tuple[str, ...]) -> bool:
    return ":" in address and any(ipaddress.ip_address(address) == ipaddress.ip_address(each) for each in others)


def _closed(firewall: Firewall, sockets: Sockets, link: Link, prefix: str) -> Iterator[tuple[int, Judgement]]:
    """The ports that listen there, are stopped over IPv6, and are not stopped over IPv4."""
    own4 = next((each for each in link.prefixes if ":" not in each), "")
    for number in dict.fromkeys(each.number for each in sockets.expected):
        if not any(":" in each.address and each.address != "::1" for each in sockets.on(number)):
            continue
        judgement = firewall.rules.judge(_packet(prefix, number, link, firewall))
        open4 = not own4 or not firewall.rules.judge(_packet(own4, number, link, firewall)).blocked
        if judgement.blocked and open4:
            yield number, judgement


def _packet(prefix: str, number: int, link: Link, firewall: Firewall) -> Packet:
    return Packet(stranger(prefix, firewall), prefix.split("/")[0], number, into=link.name)
