"""Step 5, as others see this host: its own name, its hosts file, MX, PTR and the policies of its domains."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from dataclasses import replace

from maildiag import edits
from maildiag.dns_text import said
from maildiag.facts.names import DomainRecords, OwnName, PublicNames, texts
from maildiag.facts.postfix import Postfix
from maildiag.facts.relay import is_address
from maildiag.facts.sockets import Sockets, is_loopback
from maildiag.model import Evidence, Fix, Gap, Step, Verdict, notice, ok, skipped, unknown, warning
from maildiag.probes import DnsAnswer, DnsStatus
from maildiag.registry import BOTH, SERVER, check

_HOSTS = "/etc/hosts"


@check(
    "dns.own-name",
    step=Step.DNS,
    asks="Has this host a full name that leads back to it?",
    roles=BOTH,
    explained_by=("dns.resolver", "connectivity.route", "dns.hosts-file"),
)
def own_name(own: OwnName, sockets: Sockets, postfix: Postfix) -> Iterator[Verdict]:
    """The name in HELO and banner. Source: RFC 5321 section 4.1.1.1, postconf(5) myhostname, hostname(1)."""
    if not postfix.installed:
        yield skipped("Postfix is not installed")
        return
    name = own.myhostname
    shown = (Evidence("postconf -x", f"myhostname = {name}"), Evidence("hostname -f", own.fqdn or "(no answer)"))
    bare = "." not in name or name.startswith("localhost") or name.endswith((".localdomain", ".local.localdomain"))
    if bare:
        yield warning(
            f"myhostname = {name} is no full host name",
            detail="It is what Postfix says in HELO; many servers refuse it (504 5.5.2 need fully-qualified hostname).",
            subject=name,
            evidence=shown,
            fixes=_full_name(own, postfix),
            explained_by=() if postfix.explicit else ("services.main-cf@main.cf",),
        )
        return
    yield _leads_here(own, sockets, shown)
    yield from _leads_here_too(own, sockets)
    if own.fqdn and "." not in own.fqdn and "myhostname" not in postfix.explicit:
        yield notice(f"hostname -f says {own.fqdn}, which is no full name", subject="hostname", evidence=shown)


def _full_name(own: OwnName, postfix: Postfix) -> tuple[Fix, ...]:
    """Only where a full name is known: what the system says, or the short name with the configured domain."""
    domain = postfix.get("mydomain")
    short = (own.fqdn or own.myhostname).split(".")[0]
    name = own.fqdn if "." in own.fqdn and "localdomain" not in own.fqdn else f"{short}.{domain}"
    if "localdomain" in name or not domain or name.startswith("localhost"):
        return ()
    return (
        Fix(
            id="dns.own-name/set",
            title=f"Call this host {name}",
            commands=(("postconf", "-e", f"myhostname = {name}"), ("postfix", "reload")),
            changes=("/etc/postfix/main.cf",),
            guards=(("postfix", "check"),),
            verify=("dns.own-name",),
        ),
    )


def _leads_here(own: OwnName, sockets: Sockets, shown: tuple[Evidence, ...]) -> Verdict:
    name, answer = own.myhostname, own.dns
    shown = (*shown, Evidence(f"getent ahostsv4 {name}", ", ".join(own.system) or "not found"))
    if isinstance(answer, DnsAnswer):
        shown = (*shown, Evidence(f"dig {name} A", ", ".join(answer.records) or said(answer)))
    if isinstance(answer, DnsAnswer) and answer.status is DnsStatus.ANSWER:
        strange = [each for each in answer.records if each not in sockets.own and not is_loopback(each)]
        if not strange:
            return ok(f"{name} leads to this host", subject=name, evidence=shown)
        verdict = notice if _behind_nat(strange, sockets.own) else warning
        return verdict(
            f"The DNS says that {name} is {', '.join(strange)}, which is no address of this host",
            subject=name,
            evidence=shown,
            explained_by=(),
        )
    if isinstance(answer, Gap) or (answer is not None and not answer.knows):
        return unknown(f"The DNS could not be asked for {name}", subject=name, evidence=shown)
    if any(each in sockets.own or is_loopback(each) for each in own.system):
        return ok(f"{name} leads to this host (by the hosts file alone)", subject=name, evidence=shown)
    return notice(f"{name} is in neither the DNS nor the hosts file", subject=name, evidence=shown)


def _leads_here_too(own: OwnName, sockets: Sockets) -> Iterator[Verdict]:
    """An AAAA record is tried first by most: RFC 6724, RFC 5321 section 5.1."""
    published = own.published6
    shown = (Evidence(f"dig {own.myhostname} AAAA", "\n".join(published)),)
    strange = [each for each in published if each not in sockets.own]
    if strange:
        yield warning(
            f"The DNS says that {own.myhostname} is also {', '.join(strange)}, which is no address of this host",
            detail="Others try the IPv6 address first, wait, and then take IPv4; those that know IPv6 alone never get here.",
            subject="AAAA",
            evidence=shown,
            explained_by=(),
        )
    elif published and sockets.open_to_others(25) and not any(":" in each.address for each in sockets.on(25)):
        yield notice(
            f"{own.myhostname} has an IPv6 address in the DNS ({published[0]}), but nothing listens on port 25 over IPv6",
            detail="Others are refused there and then take IPv4: inet_protocols = all, or no AAAA record.",
            subject="AAAA",
            evidence=shown,
        )


def _behind_nat(strange: list[str], own: tuple[str, ...]) -> bool:
    """True where the world sees a public address and this host has private ones only."""
    public = [each for each in strange if is_address(each) and ipaddress.ip_address(each).is_global]
    return bool(public) and not any(ipaddress.ip_address(each).is_global for each in own)


@check(
    "dns.hosts-file",
    step=Step.DNS,
    asks="Does the hosts file tell the truth about this host?",
    roles=BOTH,
    explained_by=("connectivity.route",),
)
def hosts_file(own: OwnName, sockets: Sockets) -> Iterator[Verdict]:
    """Source: hosts(5)."""
    wrong = False
    names = {own.myhostname, own.fqdn} - {""}
    for line in own.hosts:
        if "localhost" in line.names and not is_loopback(line.address):
            wrong = True
            yield _wrong_line(line.number, line.text, "localhost", line.address, "127.0.0.1 localhost")
        own_line = names & set(line.names) and "localhost" not in line.names
        own_line = own_line and not _behind_nat([line.address], sockets.own)
        if own_line and line.address not in sockets.own and not is_loopback(line.address) and line.address != "::1":
            wrong = True
            here = next((each for each in sockets.own if ":" not in each), "")
            name = sorted(names & set(line.names))[0]
            yield _wrong_line(
                line.number, line.text, name, line.address, f"{here} {' '.join(line.names)}" if here else ""
            )
    if not any("localhost" in line.names for line in own.hosts) and own.hosts:
        wrong = True
        yield warning(
            "/etc/hosts has no line for localhost",
            detail="Programs that connect to `localhost` (milters, data bases) ask the DNS for it.",
            subject="localhost",
            evidence=(Evidence(_HOSTS, "\n".join(each.text for each in own.hosts)),),
        )
    if not wrong:
        yield ok("/etc/hosts has nothing wrong about this host")


def _wrong_line(number: int, text: str, name: str, address: str, better: str) -> Verdict:
    fix = Fix(
        id="dns.hosts-file/correct",
        title=f"Give {name} its own address in /etc/hosts",
        commands=(edits.replace_line(_HOSTS, number, better), ("systemctl", "restart", "postfix")),
        changes=(_HOSTS,),
        verify=("dns.hosts-file",),
        why="A restart, because Postfix's chroot has a copy of the file.",
    )
    return warning(
        f"/etc/hosts gives {name} the address {address}, which this host does not have",
        subject=name,
        evidence=(Evidence(_HOSTS, f"{number}: {text}"),),
        fixes=(fix,) if better else (),
    )


@check(
    "dns.mx",
    step=Step.DNS,
    asks="Do the MX records of the own domains lead here?",
    roles=SERVER,
    explained_by=("dns.resolver",),
)
def mx(public: PublicNames, sockets: Sockets, postfix: Postfix) -> Iterator[Verdict]:
    """Without MX the address record counts; an internal domain needs neither. Source: RFC 5321 section 5.1, RFC 7505,
    RFC 2181 section 10.3."""
    if not public.domains:
        yield skipped("This host has no domain of its own")
    for each in public.domains:
        verdict = _mx(each, dict(public.mx_addresses), sockets, postfix)
        yield verdict if verdict.status.failing else _alias(each, dict(public.aliases)) or verdict


def _mx(each: DomainRecords, addresses: dict[str, DnsAnswer | Gap], sockets: Sockets, postfix: Postfix) -> Verdict:
    answer, domain = each.mx, each.domain
    if isinstance(answer, Gap) or not answer.knows:
        return unknown(f"The MX of {domain} could not be looked up", detail=said(answer), subject=domain)
    shown = Evidence(f"dig {domain} MX", "\n".join(answer.records) or said(answer))
    targets = [record.split()[-1].rstrip(".").lower() for record in answer.records]
    if not targets:
        return notice(
            f"{domain} has no MX record", detail="Fine for a domain of internal use.", subject=domain, evidence=(shown,)
        )
    if targets == [""]:
        return warning(
            f"{domain} publishes a null MX: it tells the world that it takes no mail",
            detail="Other servers bounce mail for it at once (RFC 7505), although this host has it among its own domains.",
            subject=domain,
            evidence=(shown,),
        )
    found = {target: addresses.get(target) for target in targets}
    own, named = set(sockets.own), postfix.get("myhostname").lower()
    here = [
        name
        for name, told in found.items()
        if name == named or (isinstance(told, DnsAnswer) and own & set(told.records))
    ]
    return replace(_leads(domain, found, here, _first_targets(answer)), subject=domain, evidence=(shown,))


def _leads(domain: str, found: dict[str, DnsAnswer | Gap | None], here: list[str], first: set[str]) -> Verdict:
    """Whether mail gets to an address, and to this host first. `found` are the MX's targets with what the DNS says of each."""
    dangling = [name for name, told in found.items() if isinstance(told, DnsAnswer) and told.knows and not told.records]
    if dangling:
        return warning(
            f"The MX of {domain} leads to {', '.join(dangling)}, which has no address",
            detail="Other servers cannot deliver mail there.",
        )
    if here and not first & set(here):
        return notice(
            f"The MX of {domain} with the best preference is {', '.join(sorted(first))}, not this host",
            detail="Others try it first. Right for a filtering service; a server that is gone delays every message.",
        )
    if here:
        return ok(f"The MX of {domain} is this host ({here[0]})")
    return notice(
        f"The MX of {domain} is {', '.join(found)}, not this host",
        detail="Right where a filtering service takes the mail first; otherwise mail from outside goes elsewhere.",
    )


def _alias(each: DomainRecords, aliases: dict[str, str]) -> Verdict | None:
    """RFC 2181 section 10.3 forbids it, and most senders follow it all the same."""
    records = each.mx.records if isinstance(each.mx, DnsAnswer) else ()
    found = [name for name in (record.split()[-1].rstrip(".").lower() for record in records) if name in aliases]
    if not found:
        return None
    return warning(
        f"The MX of {each.domain} is {found[0]}, which is an alias (CNAME) of {aliases[found[0]]}",
        detail=f"An MX must name a host with an address of its own (RFC 2181, 10.3): some servers do not deliver there. "
        f"Let it name {aliases[found[0]]}.",
        subject=each.domain,
        evidence=(
            Evidence(f"dig {each.domain} MX", "\n".join(records)),
            Evidence(f"dig {found[0]} CNAME", aliases[found[0]]),
        ),
        explained_by=(),
    )


def _first_targets(answer: DnsAnswer) -> set[str]:
    """The hosts with the lowest preference number (RFC 5321 section 5.1)."""
    pairs = [record.split() for record in answer.records if record.split()[0].isdigit()]
    best = min((int(number) for number, *_ in pairs), default=0)
    return {words[-1].rstrip(".").lower() for words in pairs if int(words[0]) == best}


@check(
    "dns.ptr",
    step=Step.DNS,
    asks="Do the addresses of this host have names?",
    roles=SERVER,
    explained_by=("dns.resolver",),
)
def ptr(public: PublicNames, postfix: Postfix) -> Iterator[Verdict]:
    """Many servers refuse mail from an address without PTR. Source: RFC 1912 section 2.1, RFC 8601.

    Where a relayhost sends the mail, or another address of this host has its name, it is no more than worth knowing.
    """
    if not public.pointers:
        yield skipped("This host has no address of its own")
    named = any(postfix.get("myhostname").lower() in _names(answer) for _, answer in public.pointers)
    bare = notice if named or postfix.get("relayhost") else warning
    for address, answer in public.pointers:
        private = not ipaddress.ip_address(address).is_global
        if isinstance(answer, Gap) or not answer.knows:
            title = f"The PTR of {address} could not be looked up"
            yield skipped(title, subject=address) if private else unknown(title, subject=address)
            continue
        shown = (Evidence(f"dig -x {address}", "\n".join(answer.records) or said(answer)),)
        names = _names(answer)
        if postfix.get("myhostname").lower() in names:
            yield ok(f"{address} is {names[0]}", subject=address, evidence=shown)
        elif private:
            yield notice(f"{address} is {', '.join(names) or 'without a PTR record'}", subject=address, evidence=shown)
        else:
            title = (
                f"{address} has the name {names[0]}, not {postfix.get('myhostname')}"
                if names
                else f"{address} has no PTR record"
            )
            yield (notice if names else bare)(title, subject=address, evidence=shown)


def _names(answer: DnsAnswer | Gap) -> list[str]:
    return [] if isinstance(answer, Gap) else [each.rstrip(".").lower() for each in answer.records]


@check(
    "dns.sender-records",
    step=Step.DNS,
    asks="Do the own domains publish SPF and DMARC?",
    roles=SERVER,
    explained_by=("dns.resolver",),
)
def sender_records(public: PublicNames) -> Iterator[Verdict]:
    """Advice for domains that send to the world; an internal domain needs none. Source: RFC 7208, RFC 7489."""
    if not public.domains:
        yield skipped("This host has no domain of its own")
    for each in public.domains:
        yield _sender_records(each)


def _sender_records(each: DomainRecords) -> Verdict:
    if any(isinstance(answer, Gap) or not answer.knows for answer in (each.txt, each.dmarc)):
        return unknown(f"The TXT records of {each.domain} could not be looked up", subject=each.domain)
    spf = [text for text in texts(each.txt) if text.lower().split(" ")[0] == "v=spf1"]
    dmarc = [text for text in texts(each.dmarc) if text.lower().startswith("v=dmarc1")]
    shown = (Evidence(f"dig {each.domain} TXT", "\n".join([*spf, *dmarc]) or "neither SPF nor DMARC"),)
    if len(spf) > 1:
        return notice(
            f"{each.domain} publishes {len(spf)} SPF records: receivers ignore them all",
            subject=each.domain,
            evidence=shown,
        )
    missing = [name for name, there in (("SPF", spf), ("DMARC", dmarc)) if not there]
    if missing:
        detail = "Advice for domains that send mail to the world; an internal domain needs neither."
        return notice(
            f"{each.domain} publishes no {' and no '.join(missing)}", detail=detail, subject=each.domain, evidence=shown
        )
    return ok(f"{each.domain} publishes SPF and DMARC", subject=each.domain, evidence=shown)
