"""Whether other hosts are meant to bring their mail here: what the DNS and mynetworks promise them."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping

from maildiag.facts.names import DomainRecords, PublicNames
from maildiag.facts.postfix import Postfix
from maildiag.facts.sockets import Owner, Sockets
from maildiag.probes import DnsAnswer


def nobody_is_sent_here(public: PublicNames | None, postfix: Postfix | None, sockets: Sockets) -> bool:
    """True where the MX of every own domain surely is another host, and mynetworks holds no host but this one."""
    if public is None or postfix is None or not public.domains:
        return False
    found = dict(public.mx_addresses)
    elsewhere = all(_elsewhere(each, found, postfix, sockets) for each in public.domains)
    return elsewhere and _alone(postfix)


def takes_logins_alone(public: PublicNames | None, postfix: Postfix | None, sockets: Sockets | None) -> bool:
    """True where Postfix listens for users' programs, on 465 or 587, and nobody needs port 25: no domain is its own, or
    the mail of all of them is sent elsewhere, and mynetworks holds no host but this one.
    """
    if public is None or postfix is None or sockets is None:
        return False
    submits = any(each.owner is Owner.POSTFIX and each.number in (465, 587) for each in sockets.expected)
    return submits and _alone(postfix) and (not public.domains or nobody_is_sent_here(public, postfix, sockets))


def _elsewhere(each: DomainRecords, addresses: Mapping[str, object], postfix: Postfix, sockets: Sockets) -> bool:
    if not isinstance(each.mx, DnsAnswer) or not each.mx.records:
        return False
    targets = [record.split()[-1].rstrip(".").lower() for record in each.mx.records]
    found = [addresses.get(target) for target in targets]
    known = all(isinstance(one, DnsAnswer) and one.records for one in found)
    here = any(isinstance(one, DnsAnswer) and set(one.records) & set(sockets.own) for one in found)
    return known and not here and postfix.get("myhostname").lower() not in targets


def _alone(postfix: Postfix) -> bool:
    return all(_only_this_host(word) for word in postfix.list("mynetworks"))


def _only_this_host(word: str) -> bool:
    try:
        network = ipaddress.ip_network(word.replace("[", "").replace("]", ""), strict=False)
    except ValueError:
        return False
    mapped = network.version == 6 and str(network).startswith("::ffff:")
    return network.is_loopback or network.num_addresses == 1 or mapped
