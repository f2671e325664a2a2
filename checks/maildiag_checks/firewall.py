"""Step 6: does this host's own packet filter let clients in?"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Sequence
from dataclasses import replace

from maildiag.facts.dovecot import Dovecot
from maildiag.facts.firewall import SERVICES, Backend, Firewall
from maildiag.facts.postfix import Postfix
from maildiag.facts.routes import Link, Network, Routes
from maildiag.facts.smtp import OwnDialogues
from maildiag.facts.sockets import MAIL_PORTS, Owner, Port, Sockets
from maildiag.firewall.rules import Judgement, Outcome, Packet
from maildiag.model import (
    Confidence,
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
from maildiag_checks import _firewall_fixes as fixes
from maildiag_checks._firewall_scope import admitted, promised

_VIRTUAL = ("docker", "br-", "virbr", "veth", "lxc", "cni", "tailscale", "wg", "tun")
_IMAP, _POP3 = frozenset((143, 993)), frozenset((110, 995))
_PUBLIC = (25, 110, 143, 465, 587, 993, 995)
_FILTERED = (Connect.REFUSED, Connect.TIMEOUT, Connect.NO_ROUTE, Connect.PROHIBITED, Connect.RESET)
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
    own: OwnDialogues | None,
) -> Iterator[Verdict]:
    """A new connection from the own networks to each served port, through every chain. Source: nft(8), iptables(8)."""
    if not firewall.rules.filters:
        yield ok("No rule of this host filters packets")
        return
    served = [each for each in sockets.expected if sockets.open_to_others(each.number)]
    yield from _own_traffic(firewall, routes, list(dict.fromkeys(each.number for each in served)))
    links = _links(routes, postfix)
    if role.role is not Role.MAIL_SERVER or not served or not links:
        yield ok(f"{firewall.backend}: no port is served to other hosts")
        return
    judged = {each: _from(links, each.number, firewall) for each in served}
    by_number = {each.number: one[1] for each, one in judged.items()}
    verdicts = [
        _inbound(port, found, by_number, firewall, dovecot, postfix, sockets, own) for port, found in judged.items()
    ]
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


def keeps_out(firewall: Firewall, routes: Routes, postfix: Postfix | None, number: int) -> bool:
    """True where no client of the own networks gets through to this port."""
    links = _links(routes, postfix)
    if not firewall.rules.filters or not links:
        return False
    return _from(links, number, firewall)[1].outcome in (Outcome.DROP, Outcome.REJECT)


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
    sockets: Sockets,
    own: OwnDialogues | None,
) -> Verdict:
    link, judgement = found
    subject = str(port.number)
    shown = shown_by(judgement)
    data = {"backend": firewall.backend.value, "interface": link.name, "outcome": judgement.outcome.value}
    if judgement.outcome is Outcome.ACCEPT:
        return ok(f"Port {subject} ({port.name}) is open on {link.name}", subject=subject, data=data)
    if judgement.outcome is Outcome.DIVERT:
        return _diverted(port, found, firewall, sockets)
    if judgement.outcome is Outcome.UNKNOWN:
        return replace(_untold(port, judgement, own), subject=subject, data=data, evidence=shown)
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
        explained_by=(f"connectivity.ports@{port.name if port.owner is Owner.DOVECOT else 'submission'}",)
        if port.number not in MAIL_PORTS
        else None,
    )


def _untold(port: Port, judgement: Judgement, own: OwnDialogues | None) -> Verdict:
    """The rules alone do not tell; what happens to this host's own connection may."""
    if judgement.hits and _stopped_here_too(port, own):
        return critical(
            f"A rule of the firewall that looks at rates, marks or counts stops connections to port {port.number} ({port.name})",
            detail="The rule alone does not tell, but a socket listens there, and this host's own connection to it is stopped too.",
            confidence=Confidence.LIKELY,
        )
    return unknown(
        f"Whether port {port.number} ({port.name}) is open cannot be told from the rules",
        detail="A rule looks at what is not known from here (a rate, a mark, a list); test it from another host."
        if judgement.hits
        else "nft printed nothing, and may know more rules than iptables does; test it from another host.",
    )


def _diverted(port: Port, found: tuple[Link, Judgement], firewall: Firewall, sockets: Sockets) -> Verdict:
    """A rule of address translation takes the port away. Source: nft(8), NAT statements; iptables-extensions(8), DNAT."""
    link, judgement = found
    hit = judgement.hits[0]
    target = hit.rule.target if hit.rule else ""
    address, _, number = target.rpartition(":")
    here = not address or address in sockets.own
    served = here and number.isdigit() and sockets.open_to_others(int(number))
    subject = str(port.number)
    if served:
        return ok(f"Port {subject} ({port.name}) is led to port {number} of this host, which listens", subject=subject)
    where = f"port {number} of this host, where nothing listens" if here else target.rstrip(":")
    return critical(
        f"A rule of the firewall leads connections to port {subject} ({port.name}) on {link.name} elsewhere: to {where}",
        detail="The program that listens on the port here never sees them.",
        subject=subject,
        data={"backend": firewall.backend.value, "interface": link.name, "outcome": judgement.outcome.value},
        evidence=shown_by(judgement),
        fixes=fixes.removal(firewall, hit, "firewall.inbound"),
    )


def _weight(port: Port, judgement: Judgement, others: dict[int, Judgement], dovecot: Dovecot | None) -> Status:
    """A port that only the general policy closes is no fault while its encrypted sibling is open and meant to be used; the
    encrypted one itself is what mail programs try first.

    POP3 as a whole closed beside open IMAP is not offered, though its package is installed.
    Other ports than those of mail programs are often for the host alone: filters give mail back there, and ManageSieve
    listens wherever its package is installed.
    """
    if port.number not in _PUBLIC and port.owner is not Owner.SETTINGS:
        return Status.NOTICE
    open_now = {number for number, each in others.items() if each.outcome is Outcome.ACCEPT}
    only_imap = bool(open_now & _IMAP) and not open_now & _POP3
    if port.number in _POP3 and only_imap and port.owner is Owner.DOVECOT and not judgement.explicit:
        return Status.NOTICE
    sibling = others.get(_SIBLINGS.get(port.number, 0))
    if judgement.explicit or port.owner is Owner.SETTINGS:
        return Status.CRITICAL
    if port.number == 25 or sibling is None or sibling.blocked:
        return Status.CRITICAL
    cleartext = dovecot is not None and (
        "disable_plaintext_auth = no" in dovecot.text or "auth_allow_cleartext = yes" in dovecot.text
    )
    used = port.number in (993, 995) or (port.number in (143, 110) and cleartext)
    return Status.WARNING if used else Status.NOTICE


def _stopped_here_too(port: Port, own: OwnDialogues | None) -> bool:
    """True where this host's own attempts fail as a filter makes them fail, although a socket listens."""
    tried = [
        each.transcript.connect
        for each in (own.talks if own else ())
        if each.port.number == port.number and each.listening and isinstance(each.transcript, Transcript)
    ]
    return bool(tried) and all(each in _FILTERED for each in tried)


def _own_traffic(firewall: Firewall, routes: Routes, served: Sequence[int]) -> Iterator[Verdict]:
    """Connections on loopback, the answers to connections that this host opens, and its own answers to clients."""
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
    for number in served:
        user = firewall.account if number in (25, 465, 587) else ()
        reply = firewall.rules.judge(Packet(own, peer, 40000, number, state="established", out=link.name, user=user))
        if reply.blocked:
            yield _stopped(
                "replies", f"The firewall stops what this host answers to clients of port {number}", reply, firewall
            )
            return


def _stopped(subject: str, title: str, judgement: Judgement, firewall: Firewall) -> Verdict:
    hit = judgement.hits[0]
    what = fixes.LOOPBACK if subject == "loopback" else fixes.ANSWERS
    return critical(
        title,
        subject=subject,
        evidence=shown_by(judgement),
        fixes=fixes.removal(firewall, hit, "firewall.inbound") or fixes.acceptance(firewall, hit, what),
    )


def shown_by(judgement: Judgement) -> tuple[Evidence, ...]:
    """The rules that decide, as evidence."""
    if not judgement.hits:
        return ()
    origin = judgement.hits[0].chain.origin
    source = "nft list ruleset" if origin == "nft" else f"{origin}-save"
    return (Evidence(source, "\n".join(dict.fromkeys(hit.text for hit in judgement.hits[:5]))),)


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
