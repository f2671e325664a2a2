"""Step 6, outwards: does this host's own packet filter let Postfix's connections leave?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from maildiag.facts.firewall import Firewall
from maildiag.facts.names import Resolver
from maildiag.facts.outbound import Outbound
from maildiag.facts.postfix import Postfix
from maildiag.facts.relay import Relay
from maildiag.facts.routes import Routes
from maildiag.facts.ways import Ways
from maildiag.firewall.rules import Judgement, Outcome, Packet
from maildiag.model import Step, Verdict, critical, ok, unknown, warning
from maildiag.probes import Connect, Transcript
from maildiag.registry import BOTH, check
from maildiag_checks import _firewall_fixes as fixes
from maildiag_checks.firewall import shown_by

_OTHERS = "connections to other mail servers"


@check(
    "firewall.outbound",
    step=Step.FIREWALL,
    asks="Does the firewall let Postfix reach the relay, other servers and the DNS?",
    roles=BOTH,
)
def outbound(
    firewall: Firewall,
    routes: Routes,
    relay: Relay | None,
    resolver: Resolver | None,
    postfix: Postfix | None,
    waiting: Outbound | None,
    ways: Ways | None,
) -> Iterator[Verdict]:
    """The packets that Postfix would send, through every chain; as its own account sends them. Source: nft(8)."""
    if not firewall.rules.filters:
        yield ok("No rule of this host filters packets")
        return
    failing = False
    for name, packet, reached in _wanted(firewall, routes, relay, resolver, postfix, ways):
        judgement = firewall.rules.judge(packet)
        if judgement.outcome is Outcome.UNKNOWN and not reached:
            failing = True
            yield unknown(
                f"Whether {name} passes cannot be told from the rules",
                subject=str(packet.port),
                evidence=shown_by(judgement),
            )
        diverted = judgement.outcome is Outcome.DIVERT and not reached
        if not judgement.blocked and not diverted:
            continue
        failing = True
        how = _HOW[judgement.outcome]
        idle = name == _OTHERS and not (waiting and waiting.targets)
        yield (warning if idle else critical)(
            f"The firewall of this host {how} {name}{_where(judgement)}",
            detail=f"From {packet.source or 'this host'} to {packet.destination} port {packet.port}/{packet.protocol}.",
            subject=str(packet.port),
            data={"destination": packet.destination, "outcome": judgement.outcome.value},
            evidence=shown_by(judgement),
            fixes=fixes.removal(firewall, judgement.hits[0], "firewall.outbound"),
        )
    if not failing:
        yield ok(f"{firewall.backend}: Postfix may connect to where it must")


_HOW = {Outcome.DROP: "drops", Outcome.REJECT: "rejects", Outcome.DIVERT: "leads elsewhere"}


def _where(judgement: Judgement) -> str:
    """` (to 10.0.1.99:25)`, where a rule of address translation says so."""
    rule = judgement.hits[0].rule
    return f" (to {rule.target.strip(':')})" if judgement.outcome is Outcome.DIVERT and rule and rule.target else ""


def _wanted(
    firewall: Firewall,
    routes: Routes,
    relay: Relay | None,
    resolver: Resolver | None,
    postfix: Postfix | None,
    ways: Ways | None,
) -> Iterator[tuple[str, Packet, bool]]:
    """What Postfix sends: to whom, the packet, and whether a probe got through."""
    if relay is not None and relay.hop is not None:
        for talk in relay.talks[:2]:
            reached = isinstance(talk.transcript, Transcript) and talk.transcript.connect is Connect.CONNECTED
            way = ways.to(talk.address) if ways and ":" in talk.address else None
            packet = _packet(firewall, routes, talk.address, relay.hop.port)
            packet = replace(packet, source=way.source, out=way.device) if way and way.device else packet
            yield "connections to the relay", packet, reached
    elif postfix is not None and routes.towards("192.0.2.25") is not None:
        yield _OTHERS, _packet(firewall, routes, "192.0.2.25", 25), False
    for server in resolver.servers[:3] if resolver else ():
        if ":" not in server:
            yield "questions to the name server", _packet(firewall, routes, server, 53, "udp"), True


def _packet(firewall: Firewall, routes: Routes, destination: str, port: int, protocol: str = "tcp") -> Packet:
    route = routes.towards(destination)
    local = routes.link_of(destination)
    device = "lo" if local or destination.startswith("127.") else route.device if route else ""
    link = next((each for each in routes.links if each.name == device), None)
    source = next((each.split("/")[0] for each in link.prefixes if ":" not in each), "") if link else ""
    return Packet(source, destination, port, protocol=protocol, out=device or "?", user=firewall.account)
