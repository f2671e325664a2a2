"""Step 6: does this host's own packet filter let mail through, in and out?"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Sequence
from dataclasses import replace

from maildiag.facts.dovecot import Dovecot
from maildiag.facts.firewall import SERVICES, Backend, Bans, Firewall
from maildiag.facts.names import Resolver
from maildiag.facts.outbound import Outbound
from maildiag.facts.postfix import Postfix
from maildiag.facts.relay import Relay
from maildiag.facts.routes import Link, Network, Routes
from maildiag.facts.sockets import Owner, Port, Sockets
from maildiag.firewall.rules import Judgement, Outcome, Packet, address_in
from maildiag.model import (
    Evidence,
    Fix,
    HostRole,
    Role,
    Status,
    Step,
    Verdict,
    critical,
    notice,
    ok,
    skipped,
    unknown,
    warning,
)
from maildiag.probes import Connect, Transcript
from maildiag.registry import BOTH, SERVER, check
from maildiag.settings import Settings
from maildiag.text import plural
from maildiag_checks import _firewall_fixes as fixes
from maildiag_checks._firewall_scope import admitted, promised

_VIRTUAL = ("docker", "br-", "virbr", "veth", "lxc", "cni", "tailscale", "wg", "tun")
_OTHERS = "connections to other mail servers"
_SIEVE = 4190
_SIBLINGS = {143: 993, 993: 143, 110: 995, 995: 110, 465: 587, 587: 465}


@check(
    "firewall.inbound",
    step=Step.FIREWALL,
    asks="Does the firewall let clients reach the ports that this host serves?",
    roles=BOTH,
)
def inbound(
    firewall: Firewall,
    sockets: Sockets,
    routes: Routes,
    role: HostRole,
    dovecot: Dovecot | None,
    postfix: Postfix | None,
) -> Iterator[Verdict]:
    """A new connection from the own networks to each served port, through every chain. Source: nft(8), iptables(8)."""
    if not firewall.rules.filters:
        yield ok("No rule of this host filters packets")
        return
    yield from _own_traffic(firewall, routes)
    served = [each for each in sockets.expected if sockets.open_to_others(each.number)]
    links = _links(routes, postfix)
    if role.role is not Role.MAIL_SERVER or not served or not links:
        yield ok(f"{firewall.backend}: no port is served to other hosts")
        return
    judged = {each: _from(links, each.number, firewall) for each in served}
    by_number = {each.number: one[1] for each, one in judged.items()}
    verdicts = [_inbound(port, found, by_number, firewall, dovecot, postfix) for port, found in judged.items()]
    yield from _grouped(verdicts, {str(each.number): one for each, one in judged.items()}, firewall)


def _grouped(
    verdicts: list[Verdict], judged: dict[str, tuple[Link, Judgement]], firewall: Firewall
) -> Iterator[Verdict]:
    """Ports that one and the same rule or policy closes are one cause, and one cure opens them all."""
    groups: dict[tuple[str, ...], list[Verdict]] = {}
    for each in sorted(verdicts, key=lambda one: (-one.status.weight, int(one.subject) != 25)):
        closed = each.status.failing and not judged[each.subject][1].explicit
        where = tuple(hit.text for hit in judged[each.subject][1].hits) if closed else (each.subject, "")
        groups.setdefault(where, []).append(each)
    for first, *more in groups.values():
        if more:
            link, judgement = judged[first.subject]
            numbers = [int(each.subject) for each in (first, *more)]
            title = f"{first.title.split(' connections to ')[0]} connections to ports {', '.join(map(str, numbers))} on {link.name}"
            cures = fixes.opening(firewall, judgement, numbers, link.name)
            yield replace(first, title=title, fixes=cures, data={**first.data, "ports": [*numbers]})
        else:
            yield first
        for each in more:
            yield replace(each, explained_by=(f"firewall.inbound@{first.subject}",), fixes=())


def _from(links: Sequence[Link], number: int, firewall: Firewall) -> tuple[Link, Judgement]:
    """The judgement on the first interface that lets the port in, or on the first interface."""
    found = [(link, firewall.rules.judge(packet)) for link in links for packet in _packets(link, number, firewall)]
    passing = [each for each in found if each[1].outcome is Outcome.ACCEPT]
    return passing[0] if passing else found[0]


def _packets(link: Link, number: int, firewall: Firewall) -> list[Packet]:
    """A new connection of a client in each of `link`'s IPv4 networks."""
    prefixes = (each for each in link.prefixes if ":" not in each)
    return [Packet(stranger(each, firewall), each.split("/")[0], number, into=link.name) for each in prefixes]


def stranger(prefix: str, firewall: Firewall) -> str:
    """An address of that network that no rule names: what a client without a rule of its own meets."""
    interface = ipaddress.ip_interface(prefix)
    named = {each.removesuffix("/32") for each in firewall.rules.addresses()}
    size = interface.network.num_addresses
    for offset in range(2, min(size, 200)):
        address = str(interface.network.network_address + size - offset)
        if address != str(interface.ip) and address not in named:
            return address
    return str(interface.network.network_address + 1)


def _links(routes: Routes, postfix: Postfix | None) -> list[Link]:
    """The interfaces that clients come in by: those in mynetworks, or all but virtual ones."""
    real = [
        each
        for each in routes.links
        if each.up
        and not each.loopback
        and not each.name.startswith(_VIRTUAL)
        and any(":" not in one for one in each.prefixes)
    ]
    mine = networks(postfix)
    trusted = [each for each in real if any(_overlap(one, two) for one in each.networks for two in mine)]
    return trusted or real


def networks(postfix: Postfix | None) -> list[Network]:
    """The networks in mynetworks, loopback left out."""
    found = []
    for word in postfix.list("mynetworks") if postfix else ():
        try:
            found.append(ipaddress.ip_network(word.replace("[", "").replace("]", ""), strict=False))
        except ValueError:
            continue
    return [each for each in found if not each.is_loopback]


def _overlap(one: Network, two: Network) -> bool:
    return one.version == two.version and one.overlaps(two)


def _inbound(
    port: Port,
    found: tuple[Link, Judgement],
    others: dict[int, Judgement],
    firewall: Firewall,
    dovecot: Dovecot | None,
    postfix: Postfix | None,
) -> Verdict:
    link, judgement = found
    subject = str(port.number)
    shown = _evidence(firewall, judgement)
    data = {"backend": firewall.backend.value, "interface": link.name, "outcome": judgement.outcome.value}
    if judgement.outcome is Outcome.ACCEPT:
        return ok(f"Port {subject} ({port.name}) is open on {link.name}", subject=subject, data=data)
    if judgement.outcome is Outcome.UNKNOWN:
        return unknown(
            f"Whether port {subject} ({port.name}) is open cannot be told from the rules",
            detail="A rule looks at what is not known from here (a rate, a mark, a list); test it from another host.",
            subject=subject,
            evidence=shown,
        )
    packet = _packets(link, port.number, firewall)[0]
    if (
        not judgement.explicit
        and not promised(packet, networks(postfix))
        and (some := admitted(firewall.rules, packet))
    ):
        title = f"Port {subject} ({port.name}) is open on {link.name} to {', '.join(some[:3])} only"
        return notice(title, subject=subject, data=data, evidence=shown)
    how = "drops" if judgement.outcome is Outcome.DROP else "rejects"
    return Verdict(
        status=_weight(port, judgement, others, dovecot),
        title=f"The firewall {how} connections to port {subject} ({port.name}) on {link.name}",
        detail=f"{'Postfix' if port.owner is Owner.POSTFIX else 'Dovecot'} serves the port, but no other host reaches it.",
        subject=subject,
        data=data,
        evidence=shown,
        fixes=fixes.opening(firewall, judgement, [port.number], link.name),
    )


def _weight(port: Port, judgement: Judgement, others: dict[int, Judgement], dovecot: Dovecot | None) -> Status:
    """A port that only the general policy closes is no fault while its encrypted sibling is open and meant to be used.

    ManageSieve listens wherever its package is installed, and most sites use it from their webmail only.
    """
    if port.number == _SIEVE and not judgement.explicit:
        return Status.NOTICE
    sibling = others.get(_SIBLINGS.get(port.number, 0))
    if judgement.explicit or port.owner is Owner.SETTINGS:
        return Status.CRITICAL
    if port.number == 25 or sibling is None or sibling.blocked:
        return Status.CRITICAL
    cleartext = dovecot is not None and (
        "disable_plaintext_auth = no" in dovecot.text or "auth_allow_cleartext = yes" in dovecot.text
    )
    return Status.WARNING if port.number in (143, 110) and cleartext else Status.NOTICE


def _own_traffic(firewall: Firewall, routes: Routes) -> Iterator[Verdict]:
    """Connections on loopback, and the answers to connections that this host opens."""
    local = firewall.rules.judge(Packet("127.0.0.1", "127.0.0.1", 25, into="lo"))
    if local.blocked:
        yield _stopped("loopback", "The firewall stops connections of this host to itself", local, firewall)
    link = next((each for each in routes.links if not each.loopback and each.up and each.prefixes), None)
    if link is None or ":" in link.prefixes[0]:
        return
    own = link.prefixes[0].split("/")[0]
    peer = stranger(link.prefixes[0], firewall)
    answer = firewall.rules.judge(Packet(peer, own, 40000, 25, state="established", into=link.name))
    if answer.blocked:
        yield _stopped(
            "answers", "The firewall stops the answers to connections that this host opens", answer, firewall
        )


def _stopped(subject: str, title: str, judgement: Judgement, firewall: Firewall) -> Verdict:
    hit = judgement.hits[0]
    what = fixes.LOOPBACK if subject == "loopback" else fixes.ANSWERS
    return critical(
        title,
        subject=subject,
        evidence=_evidence(firewall, judgement),
        fixes=fixes.removal(firewall, hit, "firewall.inbound") or fixes.acceptance(firewall, hit, what),
    )


def _evidence(firewall: Firewall, judgement: Judgement) -> tuple[Evidence, ...]:
    if not judgement.hits:
        return ()
    source = "iptables-save" if judgement.hits[0].chain.origin == "iptables" else "nft list ruleset"
    return (Evidence(source, "\n".join(dict.fromkeys(hit.text for hit in judgement.hits[:5]))),)


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
) -> Iterator[Verdict]:
    """The packets that Postfix would send, through every chain; as its own account sends them. Source: nft(8)."""
    if not firewall.rules.filters:
        yield ok("No rule of this host filters packets")
        return
    failing = False
    for name, packet, reached in _wanted(firewall, routes, relay, resolver, postfix):
        judgement = firewall.rules.judge(packet)
        if judgement.outcome is Outcome.UNKNOWN and not reached:
            failing = True
            yield unknown(
                f"Whether {name} passes cannot be told from the rules",
                subject=str(packet.port),
                evidence=_evidence(firewall, judgement),
            )
        if not judgement.blocked:
            continue
        failing = True
        how = "drops" if judgement.outcome is Outcome.DROP else "rejects"
        idle = name == _OTHERS and not (waiting and waiting.targets)
        yield (warning if idle else critical)(
            f"The firewall of this host {how} {name}",
            detail=f"From {packet.source or 'this host'} to {packet.destination} port {packet.port}/{packet.protocol}.",
            subject=str(packet.port),
            data={"destination": packet.destination, "outcome": judgement.outcome.value},
            evidence=_evidence(firewall, judgement),
            fixes=fixes.removal(firewall, judgement.hits[0], "firewall.outbound"),
        )
    if not failing:
        yield ok(f"{firewall.backend}: Postfix may connect to where it must")


def _wanted(
    firewall: Firewall, routes: Routes, relay: Relay | None, resolver: Resolver | None, postfix: Postfix | None
) -> Iterator[tuple[str, Packet, bool]]:
    """What Postfix sends: to whom, the packet, and whether a probe got through."""
    if relay is not None and relay.hop is not None:
        for talk in relay.talks[:2]:
            reached = isinstance(talk.transcript, Transcript) and talk.transcript.connect is Connect.CONNECTED
            yield "connections to the relay", _packet(firewall, routes, talk.address, relay.hop.port), reached
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


@check(
    "firewall.persistent",
    step=Step.FIREWALL,
    asks="Will the firewall still let mail through after a reload or a reboot?",
    roles=SERVER,
    explained_by=("firewall.inbound",),
)
def persistent(firewall: Firewall, sockets: Sockets, routes: Routes, postfix: Postfix | None) -> Iterator[Verdict]:
    """firewalld's running rules against its permanent zones. Source: firewall-cmd(1), --permanent."""
    links = _links(routes, postfix)
    if firewall.backend is not Backend.FIREWALLD or not links:
        yield skipped("Only firewalld keeps a permanent configuration apart from the running one")
        return
    link = links[0]
    zone = firewall.zone(firewall.permanent_zone(link.name))
    if zone is None or zone.target == "ACCEPT" or zone.rich:
        yield skipped("The permanent configuration of the zone cannot be compared port by port")
        return
    lost = []
    for number in dict.fromkeys(each.number for each in sockets.expected if sockets.open_to_others(each.number)):
        _, judgement = _from([link], number, firewall)
        if judgement.outcome is Outcome.ACCEPT and number not in zone.ports and number in SERVICES.values():
            lost.append(number)
    for number in lost:
        yield _lost(number, zone.name, zone.path)
    if not lost:
        yield ok(f"The permanent zone {zone.name} has every port that is open now")


def _lost(number: int, zone: str, path: str) -> Verdict:
    name = next(name for name, port in SERVICES.items() if port == number)
    fix = Fix(
        id="firewall.persistent/add",
        title=f"Keep port {number} open: add {name} to the permanent zone {zone}",
        commands=(("firewall-cmd", "--permanent", f"--zone={zone}", f"--add-service={name}"),),
        undo=(("firewall-cmd", "--permanent", f"--zone={zone}", f"--remove-service={name}"),),
        changes=(f"/etc/firewalld/zones/{zone}.xml",),
        verify=("firewall.persistent",),
        automatic=True,
    )
    return warning(
        f"Port {number} ({name}) is open now, but not in firewalld's permanent configuration",
        detail="The next reload of firewalld, or the next boot, closes it.",
        subject=str(number),
        evidence=(Evidence(path, f"zone {zone} has no service {name}"),),
        fixes=(fix,),
    )


@check(
    "firewall.bans",
    step=Step.FIREWALL,
    asks="Is a host shut out that should get in?",
    roles=BOTH,
    explained_by=(),
)
def bans(
    bans: Bans | None,
    firewall: Firewall | None,
    routes: Routes,
    sockets: Sockets,
    postfix: Postfix | None,
    settings: Settings,
) -> Iterator[Verdict]:
    """Bans of fail2ban and rules against single hosts, where they hit the own networks. Source: fail2ban-client(1)."""
    mine = [*networks(postfix), *(ipaddress.ip_network(each, strict=False) for each in settings.client_networks)]
    mine += [] if mine else list(routes.networks)
    if bans is None and firewall is None:
        yield unknown("Neither fail2ban nor the packet filter could be read", detail="needs root")
        return
    found = False
    for ban in bans.bans if bans else ():
        if _is_address(ban.address) and address_in(ban.address, mine):
            found = True
            yield _banned(ban.jail, ban.address)
    told = {ban.address for ban in bans.bans} if bans else set()
    for verdict in _single_hosts(firewall, routes, sockets, mine, told) if firewall else ():
        found = True
        yield verdict
    if not found:
        count = len(bans.bans) if bans else 0
        yield ok(f"No host of the own networks is shut out ({plural(count, 'ban')} in all)")


def _banned(jail: str, address: str) -> Verdict:
    fix = Fix(
        id="firewall.bans/unban",
        title=f"Let {address} in again",
        commands=(("fail2ban-client", "set", jail, "unbanip", address),),
        undo=(("fail2ban-client", "set", jail, "banip", address),),
        verify=("firewall.bans",),
        why="Mend first what got it banned (mostly a wrong password that is retried), or it is banned again; then ignoreip.",
    )
    return critical(
        f"fail2ban shuts out {address} (jail {jail}), a host of the own networks",
        detail="All its connections time out or are refused, whatever the mail server does.",
        subject=address,
        data={"jail": jail},
        evidence=(Evidence("fail2ban-client banned", f"{jail}: {address}"),),
        fixes=(fix,),
    )


def _single_hosts(
    firewall: Firewall, routes: Routes, sockets: Sockets, mine: Sequence[Network], told: set[str]
) -> Iterator[Verdict]:
    """Hosts of the own networks that a rule names and that cannot reach a port which others can."""
    texts = [each.removesuffix("/32") for each in firewall.rules.addresses()]
    named = dict.fromkeys(each for each in texts if _is_address(each) and each not in told)
    ports = list(dict.fromkeys(each.number for each in sockets.expected if sockets.open_to_others(each.number)))
    for address in [each for each in named if address_in(each, mine) and each not in sockets.own][:50]:
        link = next((each for each in routes.links if address_in(address, each.networks) and not each.loopback), None)
        if link is None:
            continue
        own = link.prefixes[0].split("/")[0]
        for number in ports:
            judgement = firewall.rules.judge(Packet(address, own, number, into=link.name))
            general = firewall.rules.judge(Packet(stranger(link.prefixes[0], firewall), own, number, into=link.name))
            if judgement.blocked and not general.blocked:
                yield critical(
                    f"A rule of the firewall shuts out {address}, a host of the own networks",
                    detail=f"Port {number} and perhaps more: other hosts get in, this one does not.",
                    subject=address,
                    evidence=_evidence(firewall, judgement),
                    fixes=fixes.removal(firewall, judgement.hits[0], "firewall.bans"),
                )
                break


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
