"""Step 5, as this host looks names up: resolver, relayhost, disagreements between sources, and the chroot's copies."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from maildiag import edits
from maildiag.dns_text import knows, said
from maildiag.facts.names import Chroot, ChrootFile, NameSwitch, OwnName, Resolver
from maildiag.facts.postfix import Postfix
from maildiag.facts.relay import Relay, is_address
from maildiag.model import (
    Evidence,
    Fix,
    Gap,
    GapReason,
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
from maildiag.probes import DnsAnswer, DnsStatus
from maildiag.registry import BOTH, check
from maildiag.text import plural

_FILE = "/etc/resolv.conf"
_SWITCH = "/etc/nsswitch.conf"
_BLAME = (
    "firewall.outbound@53",
    "firewall.inbound@answers",
    "connectivity.route",
    "connectivity.mtu",
    "services.backend",
)


@check(
    "dns.resolver",
    step=Step.DNS,
    asks="Does every name server of this host answer?",
    roles=BOTH,
    explained_by=(
        "firewall.outbound",
        "firewall.inbound",
        "connectivity.route",
        "connectivity.mtu",
        "services.backend",
    ),
)
def resolver(resolver: Resolver, relay: Relay | None, role: HostRole) -> Iterator[Verdict]:
    """Each server of resolv.conf is asked by itself. Source: resolv.conf(5), RFC 1035 section 4.1.1."""
    needed = role.role is Role.MAIL_SERVER or (relay is not None and relay.hop is not None and not relay.hop.literal)
    if not resolver.servers:
        absent = resolver.mode is None
        yield (warning if needed else notice)(
            f"{_FILE} is missing, or a link to nothing" if absent else "resolv.conf names no name server",
            detail="The resolver then asks 127.0.0.1.",
            evidence=(Evidence(_FILE, resolver.text.strip() or ("(missing)" if absent else "(empty)")),),
        )
        return
    if resolver.mode is not None and not resolver.mode & 0o004:
        yield _closed_file(resolver)
    late = dict(resolver.slow)
    yield from (_slow(resolver, *each) for each in resolver.slow)
    if any(isinstance(each, Gap) and each.reason is GapReason.NOT_RECORDED for each in resolver.answers):
        yield unknown(
            "Whether the name servers answer is not in this recording", subject=", ".join(resolver.servers[:3])
        )
        return
    alive = [knows(each) for each in resolver.answers]
    shown = (Evidence(_FILE, resolver.text.strip()), *_answers(resolver))
    if all(alive):
        yield ok(f"{plural(len(alive), 'name server')} answered: {', '.join(resolver.servers[:3])}", evidence=shown)
    elif not any(alive) and not late:
        yield _all_dead(resolver, needed, shown)
    else:
        for server, answer in zip(resolver.servers, resolver.answers, strict=False):
            if not knows(answer) and server not in late:
                yield _one_dead(resolver, server, answer, shown)


def _closed_file(resolver: Resolver) -> Verdict:
    """Root looks names up, and every other account asks 127.0.0.1 (resolv.conf(5)); a chrooted Postfix has its copy."""
    was = f"{resolver.mode or 0:04o}"
    fix = Fix(
        id="dns.resolver/readable",
        title=f"Let every account read {_FILE}",
        commands=(("chmod", "0644", _FILE),),
        undo=(("chmod", was, _FILE),),
        verify=("dns.resolver",),
        automatic=True,
    )
    return warning(
        f"Only its owner can read {_FILE} (mode {was}): other accounts look no name up",
        detail="Programs that run as root find every name, those that run as another account none.",
        subject=_FILE,
        evidence=(Evidence(f"stat {_FILE}", f"mode {was}"),),
        fixes=(fix,),
        explained_by=(),
    )


def _slow(resolver: Resolver, server: str, seconds: float) -> Verdict:
    return warning(
        f"The name server {server} is slow: it takes {seconds:.1f} s for an answer",
        detail="smtpd(8) looks up every client before it greets, and every delivery needs several names: mail crawls, clients "
        "give up, and programs that wait for less time find no name at all.",
        subject=server,
        data={"seconds": round(seconds, 1)},
        evidence=(
            Evidence(_FILE, resolver.text.strip()),
            Evidence(f"dig {resolver.asked} A @{server}", f"answered after {seconds:.1f} s"),
        ),
        explained_by=_BLAME,
    )


def _all_dead(resolver: Resolver, needed: bool, shown: tuple[Evidence, ...]) -> Verdict:
    return (critical if needed else warning)(
        f"No name server answers: {said(resolver.answers[0])}",
        detail=(
            f"Asked for {resolver.asked}: {', '.join(resolver.servers[:3])}. Names cannot be looked up, mail waits."
            if needed
            else "The relayhost is an address, so that mail still flows; every other look-up fails or is slow."
        ),
        subject=", ".join(resolver.servers[:3]),
        data={"servers": list(resolver.servers[:3])},
        evidence=shown,
        explained_by=_BLAME,
    )


def _one_dead(resolver: Resolver, server: str, answer: DnsAnswer | Gap, shown: tuple[Evidence, ...]) -> Verdict:
    first = resolver.servers[0] == server
    number = next(
        (at for at, line in enumerate(resolver.text.splitlines(), 1) if line.split()[:2] == ["nameserver", server]), 0
    )
    fix = Fix(
        id="dns.resolver/drop-server",
        title=f"Do not ask {server} any more",
        commands=(edits.comment_line(_FILE, number),),
        changes=(_FILE,),
        verify=("dns.resolver",),
        why="Where a program writes resolv.conf (NetworkManager, systemd-resolved, DHCP), change its settings instead.",
    )
    return warning(
        f"The name server {server} does not answer: {said(answer)}",
        detail=(
            "It is asked first: every look-up waits for it, 5 seconds by default." if first else "It is no reserve."
        ),
        subject=server,
        evidence=shown,
        fixes=(fix,) if number else (),
        explained_by=_BLAME,
    )


def _answers(resolver: Resolver) -> Iterator[Evidence]:
    for server, answer in zip(resolver.servers, resolver.answers, strict=False):
        yield Evidence(f"dig {resolver.asked} A @{server}", said(answer))


@check(
    "dns.relayhost",
    step=Step.DNS,
    asks="Does Postfix find the relayhost's address?",
    roles=BOTH,
    explained_by=("dns.resolver", "dns.chroot"),
)
def relayhost(relay: Relay, switch: NameSwitch | None) -> Iterator[Verdict]:
    """MX and address look-ups as smtp(8) makes them. Source: postconf(5) relayhost, smtp_host_lookup, RFC 5321 section 5."""
    if relay.hop is None:
        yield skipped("No relayhost is set")
        return
    host, subject = relay.hop.host, relay.hop.text
    if relay.hop.literal:
        yield ok(f"The relayhost {subject} is an address: no look-up is needed", subject=subject)
        return
    shown = tuple(_look_ups(relay))
    if relay.addresses:
        yield ok(f"The relayhost {subject} is {', '.join(relay.addresses)}", subject=subject, evidence=shown)
        return
    if relay.unused:
        yield critical(
            f"The relayhost {host} has no address that Postfix may use, only {', '.join(relay.unused)}",
            subject=subject,
            evidence=shown,
            explained_by=("connectivity.relay-settings",),
        )
        return
    if relay.lookup == "native" and switch is not None and not switch.asks_dns and _in_dns(relay):
        yield _not_asked(relay, switch, shown)
        return
    yield _unknown_host(relay, shown)


def _unknown_host(relay: Relay, shown: tuple[Evidence, ...]) -> Verdict:
    """Neither MX nor address: the look-up fails, Postfix does not look where the name is, or there is no such name."""
    assert relay.hop is not None
    host, subject = relay.hop.host, relay.hop.text
    local = tuple(each for _, some in relay.system for each in some)
    failed = [answer for _, answer in relay.dns if not knows(answer)]
    mx_failed = relay.mx is not None and not knows(relay.mx)
    if local and "native" not in relay.lookup:
        return critical(
            f"The system knows {host}, the DNS does not, and Postfix asks the DNS only",
            detail="smtp_host_lookup = dns: /etc/hosts does not count for Postfix, although ping and getent find the name.",
            subject=subject,
            evidence=shown,
            fixes=(_native(relay),),
            explained_by=("dns.resolver",) if failed or mx_failed else (),
        )
    if failed or mx_failed:
        answer = relay.mx if mx_failed and relay.mx is not None else failed[0]
        return critical(f"The look-up of the relayhost {host} fails: {said(answer)}", subject=subject, evidence=shown)
    return critical(
        f"The relayhost {host} does not exist: {said(relay.mx or relay.dns[0][1])}",
        detail="Is the name misspelt? Without [ ] Postfix looks for an MX record of the name first.",
        subject=subject,
        evidence=shown,
        explained_by=("connectivity.relay-settings",),
    )


def _in_dns(relay: Relay) -> bool:
    return any(isinstance(each, DnsAnswer) and each.status is DnsStatus.ANSWER for _, each in relay.dns)


def _not_asked(relay: Relay, switch: NameSwitch, shown: tuple[Evidence, ...]) -> Verdict:
    """The DNS knows the relay, and the system does not ask it. Source: nsswitch.conf(5)."""
    assert relay.hop is not None
    kept = [each for each in switch.words if each.lower() != "[notfound=return]"]
    line = " ".join(("hosts:", *kept, *(() if "dns" in kept else ("dns",))))
    fix = Fix(
        id="dns.relayhost/ask-the-dns",
        title="Let the system ask the DNS for names that are in no file",
        commands=(
            edits.replace_line(_SWITCH, switch.number, line),
            ("systemctl", "restart", "postfix"),
            ("postqueue", "-f"),
        ),
        changes=(_SWITCH,),
        guards=(("postfix", "check"),),
        verify=("dns.relayhost",),
        automatic=True,
        why="A restart, because Debian copies the file into Postfix's chroot only when Postfix starts.",
    )
    return critical(
        f"The DNS knows {relay.hop.host}, but this system does not ask it: `{switch.text}` in {_SWITCH}",
        detail="Postfix looks names up as the system does (smtp_host_lookup = native).",
        subject=relay.hop.text,
        evidence=(Evidence(_SWITCH, f"{switch.number}: {switch.text}"), *shown),
        fixes=(fix,),
        explained_by=(),
    )


def _look_ups(relay: Relay) -> Iterator[Evidence]:
    assert relay.hop is not None
    yield Evidence("postconf -x", f"relayhost = {relay.hop.text}\nsmtp_host_lookup = {relay.lookup}")
    if relay.mx is not None:
        yield Evidence(f"dig {relay.hop.host} MX", said(relay.mx))
    for name, answer in relay.dns:
        yield Evidence(f"dig {name} A", said(answer))
    for name, answer in relay.dns6:
        yield Evidence(f"dig {name} AAAA", said(answer))
    for name, local in relay.system:
        yield Evidence(f"getent ahostsv4 {name}", ", ".join(local) or "not found")


def _native(relay: Relay) -> Fix:
    assert relay.hop is not None
    hop = f"[{relay.hop.host}]:{relay.hop.port}"
    return Fix(
        id="dns.relayhost/native",
        title="Let Postfix look host names up as the system does",
        commands=(
            ("postconf", "-e", "smtp_host_lookup = native", f"relayhost = {hop}"),
            ("systemctl", "restart", "postfix"),
            ("postqueue", "-f"),
        ),
        changes=("/etc/postfix/main.cf",),
        guards=(("postfix", "check"),),
        verify=("dns.relayhost", "connectivity.relayhost"),
        automatic=True,
        why="A restart, because Debian copies /etc/hosts into the chroot only when Postfix starts.",
    )


@check(
    "dns.disagreement",
    step=Step.DNS,
    asks="Do the hosts file and the DNS agree on the names that mail needs?",
    roles=BOTH,
    explained_by=("dns.resolver", "dns.hosts-file"),
)
def disagreement(relay: Relay | None, own: OwnName) -> Iterator[Verdict]:
    """Two sources for one name. Source: nsswitch.conf(5), hosts(5), postconf(5) smtp_host_lookup."""
    found = list(_relay_disagreement(relay, own)) if relay else []
    yield from found
    if not found:
        yield ok("The hosts file and the DNS tell no different addresses")


def _relay_disagreement(relay: Relay, own: OwnName) -> Iterator[Verdict]:
    dns = dict(relay.dns)
    for name, local in relay.system:
        answer = dns.get(name)
        if not local or not isinstance(answer, DnsAnswer) or answer.status is not DnsStatus.ANSWER:
            continue
        records = [each for each in answer.records if is_address(each)]
        if set(records) & set(local) or not records:
            continue
        uses = "the system's look-up" if relay.lookup.startswith("native") else "the DNS"
        lines = "\n".join(f"{each.number}: {each.text}" for each in own.hosts if name in each.names)
        reached = relay.answered is not None
        yield (warning if reached else critical)(
            f"{name} is {', '.join(records)} in the DNS, but {', '.join(local)} for the system",
            detail=f"Postfix uses {uses}" + ("." if reached else ", and does not reach the relay there."),
            subject=name,
            evidence=(*_look_ups(relay), *([Evidence("/etc/hosts", lines)] if lines else [])),
        )


@check(
    "dns.chroot",
    step=Step.DNS,
    asks="Are Postfix's copies of the system's files in its chroot up to date?",
    roles=BOTH,
    explained_by=(),
)
def chroot(chroot: Chroot, postfix: Postfix) -> Iterator[Verdict]:
    """Debian copies resolv.conf, hosts, services and nsswitch.conf when Postfix starts. Source: master(5) chroot."""
    if not chroot.services:
        yield skipped("No service that looks names up runs chrooted")
        return
    if not chroot.stale:
        yield ok(f"The copies in {chroot.directory}/etc are those of the system")
        return
    dead = [server for server, answer in chroot.answers if not knows(answer)]
    useless = bool(chroot.answers) and len(dead) == len(chroot.answers)
    names = [each.name for each in chroot.stale]
    matters = "etc/resolv.conf" in names or "native" in postfix.get("smtp_host_lookup")
    unread = any(each.name == "etc/resolv.conf" and (each.closed or each.copy is None) for each in chroot.stale)
    status = Status.CRITICAL if useless or unread else Status.WARNING if matters else Status.NOTICE
    yield Verdict(
        status=status,
        title=f"{', '.join(names)} in Postfix's chroot {_out_of_order(chroot.stale)}",
        detail=(
            f"{', '.join(dict.fromkeys(chroot.services))} run chrooted in {chroot.directory} and read the copy, not the system's file."
            + (f" The name server that only the copy names does not answer: {', '.join(dead)}." if dead else "")
        ),
        subject=names[0],
        data={"files": list(names)},
        evidence=tuple(
            Evidence(f"{place}/{each.name}", text if text is not None else "(missing)")
            for each in chroot.stale
            for place, text in ((chroot.directory, each.copy), ("", each.system))
        ),
        fixes=(_copy_again(chroot),),
        explained_by=(f"queue.directories@{chroot.directory}",),
    )


def _copy_again(chroot: Chroot) -> Fix:
    """A copy that says the same is not made again everywhere, and keeps its mode."""
    closed = [(f"{chroot.directory}/{each.name}", f"{each.mode:04o}") for each in chroot.stale if each.closed]
    return Fix(
        id="dns.chroot/copy-again",
        title="Restart Postfix, which copies the files again",
        commands=(
            *(("chmod", "0644", path) for path, _ in closed),
            ("systemctl", "restart", "postfix"),
            ("postqueue", "-f"),
        ),
        undo=tuple(("chmod", was, path) for path, was in closed),
        guards=(("postfix", "check"),),
        verify=("dns.chroot",),
        automatic=True,
        disrupts="Postfix is stopped for a second",
    )


def _out_of_order(stale: Sequence[ChrootFile]) -> str:
    verb = "is" if len(stale) == 1 else "are"
    if all(each.closed for each in stale):
        return f"{verb} closed to Postfix's account"
    return f"{verb} missing" if all(each.copy is None for each in stale) else f"{verb} out of date"
