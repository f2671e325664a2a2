"""Step 6: is a host shut out that should get in, by fail2ban or by a rule against it alone?"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Sequence

from maildiag.facts.firewall import Bans, Firewall
from maildiag.facts.postfix import Postfix
from maildiag.facts.relay import is_address
from maildiag.facts.routes import Link, Network, Routes
from maildiag.facts.sockets import Sockets
from maildiag.firewall.rules import Packet, address_in
from maildiag.model import Evidence, Fix, Step, Verdict, critical, ok, unknown
from maildiag.registry import BOTH, check
from maildiag.settings import Settings
from maildiag.text import plural
from maildiag_checks import _firewall_fixes as fixes
from maildiag_checks.firewall import networks, shown_by, stranger

_MOST_NAMED = 50


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
        if is_address(ban.address) and address_in(ban.address, mine):
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
    """Hosts and parts of the own networks that a rule names and that cannot reach a port which others can."""
    ports = list(dict.fromkeys(each.number for each in sockets.expected if sockets.open_to_others(each.number)))
    for name, address in list(_named(firewall, sockets, mine, told))[:_MOST_NAMED]:
        link = next((each for each in routes.links if address_in(address, each.networks) and not each.loopback), None)
        prefix = _prefix(link, address) if link else ""
        if link is None or not prefix:
            continue
        own = prefix.split("/")[0]
        for number in ports:
            judgement = firewall.rules.judge(Packet(address, own, number, into=link.name))
            general = firewall.rules.judge(Packet(stranger(prefix, firewall), own, number, into=link.name))
            if judgement.blocked and not general.blocked:
                what = "a host" if name == address else "a part"
                yield critical(
                    f"A rule of the firewall shuts out {name}, {what} of the own networks",
                    detail=f"Port {number} and perhaps more: other hosts get in, this {'one' if name == address else 'part'} does not.",
                    subject=name,
                    evidence=shown_by(judgement),
                    fixes=fixes.removal(firewall, judgement.hits[0], "firewall.bans"),
                )
                break


def _named(firewall: Firewall, sockets: Sockets, mine: Sequence[Network], told: set[str]) -> Iterator[tuple[str, str]]:
    """What rules name of the own networks, and an address in it that is not this host's."""
    for text in dict.fromkeys(each.removesuffix("/32").removesuffix("/128") for each in firewall.rules.addresses()):
        if is_address(text):
            if text not in told and text not in sockets.own and address_in(text, mine):
                yield text, text
            continue
        inside = _part(text)
        if inside is not None and any(_within(inside, each) for each in mine):
            found = next((str(each) for each in inside.hosts() if str(each) not in sockets.own), "")
            if found:
                yield text, found


def _part(text: str) -> Network | None:
    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError:
        return None


def _within(inner: Network, outer: Network) -> bool:
    """True for a real part: what names all of the network is no rule against some of it."""
    if isinstance(inner, ipaddress.IPv4Network) and isinstance(outer, ipaddress.IPv4Network):
        return inner != outer and inner.subnet_of(outer)
    if isinstance(inner, ipaddress.IPv6Network) and isinstance(outer, ipaddress.IPv6Network):
        return inner != outer and inner.subnet_of(outer)
    return False


def _prefix(link: Link, address: str) -> str:
    """The interface's own address in the network of that address, with its length."""
    return next((each for each in link.prefixes if address_in(address, [ipaddress.ip_network(each, strict=False)])), "")
