"""Step 4, this host's side: has it addresses, and a way to the relay?"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator

from maildiag.facts.postfix import Postfix
from maildiag.facts.relay import Relay, RelayTalk
from maildiag.facts.routes import Link, Routes
from maildiag.facts.ways import Way, Ways
from maildiag.model import Confidence, Evidence, Fix, Step, Verdict, critical, notice, ok, warning
from maildiag.probes import Connect, Transcript
from maildiag.registry import BOTH, check
from maildiag.text import plural

_NOWHERE = ("blackhole", "unreachable", "prohibit", "throw")
_UNREACHED = (Connect.TIMEOUT, Connect.NO_ROUTE, Connect.UNREACHABLE, Connect.FAILED, Connect.DENIED)
_FLUSH = ("postqueue", "-f")


@check(
    "connectivity.route",
    step=Step.CONNECTIVITY,
    asks="Has the host an address, an interface that is up, and a route?",
    roles=BOTH,
)
def route(routes: Routes, postfix: Postfix | None, relay: Relay | None, ways: Ways | None) -> Iterator[Verdict]:
    """Interfaces, addresses and the default route. Source: ip-address(8), ip-route(8), postconf(5) smtp_bind_address."""
    links = [each for each in routes.links if not each.loopback]
    up = [each for each in links if each.up and any(":" not in one for one in each.prefixes)]
    shown = Evidence("ip -j addr", "\n".join(_link(each) for each in routes.links))
    if not up:
        yield critical("No interface but loopback is up and has an IPv4 address", evidence=(shown,), explained_by=())
        return
    yield from _loopback(routes, shown)
    yield from _bind_address(routes, postfix, shown)
    yield from _to_relay(routes, relay, ways)
    default = [each for each in routes.routes if each.destination == "default"]
    table = _table(routes)
    if default and default[0].kind in _NOWHERE:
        yield warning(f"The default route is {default[0].kind}", subject="default", evidence=(table,))
    elif not default:
        yield notice("There is no default route: only hosts in the own networks are reached", evidence=(table,))
    else:
        yield ok(f"{plural(len(up), 'interface')} up, default route via {default[0].gateway}", evidence=(table,))


def _to_relay(routes: Routes, relay: Relay | None, ways: Ways | None) -> Iterator[Verdict]:
    """The way that the kernel takes to each address of the relay: none, or one that leads nowhere."""
    reached = relay is not None and relay.answered is not None
    for address in relay.addresses if relay else ():
        if address.startswith("127.") or routes.link_of(address) or (reached and ":" in address):
            continue  # Postfix takes the next address at once where there is no IPv6
        way = ways.to(address) if ways else None
        found = list(_by_table(routes, address)) or list(_by_kernel(routes, way, ways))
        yield from found
        talk = next((each for each in relay.talks if each.address == address), None) if relay else None
        if not found and way is not None and _unreached(talk):
            yield from _on_the_way(routes, way)


def _by_table(routes: Routes, address: str) -> Iterator[Verdict]:
    """What the main table says of an IPv4 address."""
    if ":" in address:
        return
    found = routes.towards(address)
    if found is None:
        yield critical(f"There is no route to the relay {address}", subject=address, evidence=(_table(routes),))
    elif found.kind in _NOWHERE:
        words = (found.kind, found.destination)
        fix = Fix(
            id="connectivity.route/delete",
            title=f"Take the route `{found}` away",
            commands=(("ip", "route", "del", *words), _FLUSH),
            undo=(("ip", "route", "add", *words),),
            verify=("connectivity.route",),
            automatic=found.destination != "default",
            why="The running table only: it comes back at the next boot if the network configuration has it.",
        )
        yield critical(
            f"The route to the relay {address} leads nowhere: {found}",
            subject=address,
            evidence=(_table(routes),),
            fixes=(fix,),
        )


def _by_kernel(routes: Routes, way: Way | None, ways: Ways | None) -> Iterator[Verdict]:
    """The kernel's own answer, where a policy rule or the IPv6 table says no. Source: ip-rule(8), ip-route(8)."""
    if way is None or ways is None or not way.error:
        return
    rule = next((each for each in ways.rules if each.nowhere and each.selects(way.address)), None)
    told = Evidence(f"ip route get {way.address}", f"RTNETLINK answers: {way.error}")
    rules = Evidence("ip rule", "\n".join(map(str, ways.rules)))
    if rule is None:
        yield critical(
            f"This host has no way to the relay {way.address}: {way.error}",
            detail="No IPv6 route leads there." if ":" in way.address else "",
            subject=way.address,
            evidence=(told, *((rules,) if ways.rules else (_table(routes),))),
        )
        return
    words = (*rule.selector, "pref", str(rule.priority), rule.action)
    fix = Fix(
        id="connectivity.route/delete-rule",
        title=f"Take the policy rule `{rule}` away",
        commands=(("ip", rule.family, "rule", "del", *words), _FLUSH),
        undo=(("ip", rule.family, "rule", "add", *words),),
        verify=("connectivity.route",),
        automatic=rule.destination == way.address,
        why="The running rules only: it comes back at the next boot if the network configuration has it.",
    )
    yield critical(
        f"A policy rule of this host forbids the way to the relay {way.address}: {rule}",
        detail="ping and `ip route` look right; `ip rule` shows it.",
        subject=way.address,
        evidence=(told, rules),
        fixes=(fix,),
    )


def _unreached(talk: RelayTalk | None) -> bool:
    return talk is not None and isinstance(talk.transcript, Transcript) and talk.transcript.connect in _UNREACHED


def _on_the_way(routes: Routes, way: Way) -> Iterator[Verdict]:
    """What stands between this host and a relay that no connection reaches: a fixed or silent neighbour, a strange source."""
    met = way.neighbour
    told = Evidence(f"ip route get {way.address}", _way(way))
    if met is not None and met.state == "PERMANENT":
        fix = Fix(
            id="connectivity.route/delete-neighbour",
            title=f"Let this host ask the network again who has {met.address}",
            commands=(("ip", "neigh", "del", met.address, "dev", met.device), _FLUSH),
            undo=(
                ("ip", "neigh", "replace", met.address, "lladdr", met.hardware, "dev", met.device, "nud", "permanent"),
            ),
            verify=("connectivity.route", "connectivity.relayhost"),
            why="It comes back at the next boot if a script or the network configuration sets it.",
        )
        yield critical(
            f"A fixed neighbour entry says that {met.address} is {met.hardware}, and the relay does not answer there",
            detail="A network card that was exchanged, or a moved address, leaves such an entry wrong.",
            subject=way.address,
            evidence=(told, Evidence("ip neigh", f"{met.address} dev {met.device} lladdr {met.hardware} {met.state}")),
            fixes=(fix,),
            confidence=Confidence.LIKELY,
        )
    elif met is not None and met.silent and way.gateway:
        yield critical(
            f"The gateway {way.gateway} to the relay {way.address} does not answer",
            detail=f"The way leads through it ({_way(way)}), but nobody in the network has its address.",
            subject=way.address,
            evidence=(told, Evidence("ip neigh", f"{met.address} dev {met.device} {met.state}"), _table(routes)),
        )
    elif _foreign(routes, way):
        yield critical(
            f"Packets to the relay {way.address} leave with the address {way.source}, which is not of the relay's network",
            detail="The relay is a neighbour, but its answers to that address go elsewhere: `src` of the route is wrong.",
            subject=way.address,
            evidence=(told, _table(routes)),
            confidence=Confidence.LIKELY,
        )


def _foreign(routes: Routes, way: Way) -> bool:
    """True where a neighbour is spoken to from an address outside the network that it is in, while there is one inside."""
    link = next((each for each in routes.links if each.name == way.device), None)
    if link is None or way.gateway or not way.source or ":" in way.address:
        return False
    target, source = ipaddress.ip_address(way.address), ipaddress.ip_address(way.source)
    shared = [each for each in link.networks if each.version == 4 and target in each]
    return bool(shared) and all(source not in each for each in shared)


def _way(way: Way) -> str:
    words = [way.address, *(("via", way.gateway) if way.gateway else ()), "dev", way.device, "src", way.source]
    return " ".join((*words, *(("table", way.table) if way.table not in ("", "main") else ())))


def _table(routes: Routes) -> Evidence:
    return Evidence("ip -j -4 route", "\n".join(map(str, routes.routes)) or "no route")


def _loopback(routes: Routes, shown: Evidence) -> Iterator[Verdict]:
    lo = next((each for each in routes.links if each.loopback), None)
    if lo is None or not lo.up or not any(each.startswith("127.0.0.1") for each in lo.prefixes):
        fix = Fix(
            id="connectivity.route/loopback-up",
            title="Bring loopback up",
            commands=(("ip", "link", "set", "lo", "up"),),
            undo=(("ip", "link", "set", "lo", "down"),),
            verify=("connectivity.route",),
            automatic=lo is not None and not lo.up,
        )
        yield critical("Loopback is down or has no 127.0.0.1", subject="lo", evidence=(shown,), fixes=(fix,))


def _bind_address(routes: Routes, postfix: Postfix | None, shown: Evidence) -> Iterator[Verdict]:
    bind = postfix.get("smtp_bind_address") if postfix else ""
    if bind and routes.link_of(bind) is None:
        fix = Fix(
            id="connectivity.route/bind-address",
            title="Let the kernel choose the source address again",
            commands=(("postconf", "-X", "smtp_bind_address"), ("postfix", "reload")),
            changes=("/etc/postfix/main.cf",),
            guards=(("postfix", "check"),),
            verify=("connectivity.route",),
            why=f"No interface has {bind}: Postfix logs a warning for each connection, or gives up where it is enforced.",
        )
        enforced = postfix is not None and postfix.yes("smtp_bind_address_enforce")
        yield (critical if enforced else warning)(
            f"smtp_bind_address = {bind}, which no interface of this host has",
            subject="smtp_bind_address",
            evidence=(Evidence("postconf -x", f"smtp_bind_address = {bind}"), shown),
            fixes=(fix,),
            explained_by=("connectivity.restrictions@smtp_bind_address",),
        )


def _link(each: Link) -> str:
    return f"{each.name}: {'up' if each.up else 'down'}, mtu {each.mtu}, {' '.join(each.prefixes) or 'no address'}"
