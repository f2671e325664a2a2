"""The commands that let a packet pass again, for each back-end of the packet filter."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from maildiag import edits
from maildiag.facts.firewall import SERVICES, Backend, Firewall
from maildiag.firewall.rules import Field, Hit, Judgement
from maildiag.model import Fix, Risk
from maildiag.records import dataclass

_FLUSH = (("postqueue", "-f"),)  # what waited for the way out need not wait for its next turn
_UFW_FILES = ("/etc/ufw/user.rules", "/etc/ufw/user6.rules")
# The files are put back first; ufw then takes a rule that stands in them for there already, and only a reload loads it.
_UFW_RELOAD = (("ufw", "reload"),)


def opening(firewall: Firewall, judgement: Judgement, ports: Sequence[int], interface: str) -> tuple[Fix, ...]:
    """How to let new connections to these ports in."""
    hit = judgement.hits[0] if judgement.hits else None
    match firewall.backend:
        case Backend.FIREWALLD if hit is None or hit.chain.table == "firewalld":
            return (_firewalld(firewall, ports, interface),)
        case Backend.UFW if hit is None or hit.chain.name.startswith("ufw") or hit.rule is None:
            return (_ufw(firewall, ports),)
    what = Passing(
        f"connections to {'port' if len(ports) == 1 else 'the ports'} {', '.join(map(str, ports))}",
        ("-p", "tcp", "-m", "multiport", "--dports", ",".join(map(str, ports))),
        ("tcp", "dport", "{", *f"{', '.join(map(str, ports))}".split(" "), "}"),
        automatic=False,
    )
    return removal(firewall, hit, "firewall.inbound") or acceptance(firewall, hit, what)


@dataclass(frozen=True, slots=True)
class Passing:
    """What is to pass: in words, and as iptables and nft match it."""

    words: str
    iptables: tuple[str, ...]
    nft: tuple[str, ...]
    automatic: bool = True


LOOPBACK = Passing("connections of this host to itself", ("-i", "lo"), ("iifname", "lo"))
ANSWERS = Passing(
    "answers to connections of this host",
    ("-m", "conntrack", "--ctstate", "ESTABLISHED,RELATED"),
    ("ct", "state", "established,related"),
)


def acceptance(firewall: Firewall, hit: Hit | None, what: Passing) -> tuple[Fix, ...]:
    """A rule before all others of the chain whose policy stops the packet; nothing where another program makes the rules."""
    if hit is None or not hit.chain.hook or firewall.backend not in (Backend.NFTABLES, Backend.IPTABLES):
        return ()
    chain = hit.chain
    if chain.origin != "nft":
        rule = (*what.iptables, "-j", "ACCEPT")
        commands = ((chain.origin, "-t", chain.table, "-I", chain.name, "1", *rule),)
        undo: tuple[tuple[str, ...], ...] = ((chain.origin, "-t", chain.table, "-D", chain.name, *rule),)
    else:
        commands = (("nft", "insert", "rule", chain.family, chain.table, chain.name, *what.nft, "accept"),)
        undo = ()
    return (
        Fix(
            id="firewall.inbound/accept",
            title=f"Let {what.words} pass",
            commands=(*commands, *_FLUSH) if what is ANSWERS else commands,
            undo=undo,
            risk=Risk.LOW if what.automatic else Risk.MEDIUM,
            verify=("firewall.inbound",),
            automatic=what.automatic and bool(undo),
            why="The running rules only: put the same into the file or program that loads them at boot.",
        ),
    )


def _firewalld(firewall: Firewall, ports: Sequence[int], interface: str) -> Fix:
    """Restore what the permanent configuration has, or add it to both."""
    active, permanent = firewall.active_zone(interface), firewall.permanent_zone(interface)
    zone = firewall.zone(permanent)
    what = [_service(port) for port in ports]
    named = "port " + ", ".join(map(str, ports)) if len(ports) == 1 else "the ports " + ", ".join(map(str, ports))
    runtime = ("firewall-cmd", f"--zone={active}")
    if zone is not None and set(ports) <= zone.ports:
        if active != permanent:
            return Fix(
                id="firewall.inbound/zone",
                title=f"Put {interface} back into the zone {permanent}, as the permanent configuration has it",
                commands=(("firewall-cmd", f"--zone={permanent}", f"--change-interface={interface}"),),
                undo=(("firewall-cmd", f"--zone={active}", f"--change-interface={interface}"),),
                verify=("firewall.inbound",),
                automatic=True,
            )
        return Fix(
            id="firewall.inbound/runtime",
            title=f"Open {named} in the running firewall, as the permanent configuration has it",
            commands=((*runtime, *(f"--add-{each}" for each in what)),),
            undo=((*runtime, *(f"--remove-{each}" for each in what)),),
            verify=("firewall.inbound",),
            automatic=True,
        )
    forever = ("firewall-cmd", "--permanent", f"--zone={active}")
    return Fix(
        id="firewall.inbound/open",
        title=f"Open {named} in the zone {active}, now and after a reload",
        commands=((*runtime, *(f"--add-{each}" for each in what)), (*forever, *(f"--add-{each}" for each in what))),
        risk=Risk.MEDIUM,
        undo=((*forever, *(f"--remove-{each}" for each in what)), (*runtime, *(f"--remove-{each}" for each in what))),
        changes=(f"/etc/firewalld/zones/{active}.xml",),
        verify=("firewall.inbound",),
        why="It lets in every host that the zone covers.",
    )


def _service(port: int) -> str:
    name = next((name for name, number in SERVICES.items() if number == port), "")
    return f"service={name}" if name else f"port={port}/tcp"


def _ufw(firewall: Firewall, ports: Sequence[int]) -> Fix:
    denying = [shlex.split(each)[1:] for each in firewall.added if any(_denies(each, port) for port in ports)]
    allow = [("ufw", "allow", f"{port}/tcp") for port in ports]
    return Fix(
        id="firewall.inbound/ufw-allow",
        title=f"Allow {'port' if len(ports) == 1 else 'the ports'} {', '.join(map(str, ports))} in ufw",
        commands=(*(("ufw", "delete", *words) for words in denying), *allow),
        undo=_UFW_RELOAD,
        risk=Risk.MEDIUM,
        changes=_UFW_FILES,
        verify=("firewall.inbound",),
        why="It lets in every host; `ufw allow from NETWORK to any port …` is narrower.",
    )


def _denies(line: str, port: int) -> bool:
    words = line.split()
    return words[1:2] in (["deny"], ["reject"]) and any(
        word in (str(port), f"{port}/tcp") or (word.isalpha() and SERVICES.get(word) == port) for word in words[2:]
    )


def removal(firewall: Firewall, hit: Hit | None, check: str) -> tuple[Fix, ...]:
    """How to take away the one rule that stops the packet; nothing for a policy."""
    if hit is None or hit.rule is None:
        return ()
    automatic = check == "firewall.outbound" and hit.rule.exact and hit.rule.names(Field.PORT)
    if firewall.backend is Backend.UFW and hit.chain.name.startswith("ufw-user"):
        return _ufw_removal(firewall, hit, check)
    place = (hit.chain.family, hit.chain.table, hit.chain.name)
    boot, files = _boot_edit(firewall, hit)
    if hit.chain.origin != "nft":
        program, words = hit.chain.origin, shlex.split(hit.rule.text)
        table = ("-t", hit.chain.table) if hit.chain.table != "filter" else ()
        back = (program, *table, "-I", words[1], str(hit.rule.index + 1), *words[2:])
        return (_take_away(check, hit, ((program, *table, "-D", *words[1:]), *boot), (back,), files, automatic),)
    delete = ("nft", "delete", "rule", *place, "handle", str(hit.rule.handle))
    last = hit.rule.index >= len({each.index for each in hit.chain.rules}) - 1
    where = ("nft", "add", "rule", *place) if last else ("nft", "insert", "rule", *place, "index", str(hit.rule.index))
    undo = ((*where, *shlex.split(hit.rule.text, posix=False)),) if hit.rule.exact else ()
    return (_take_away(check, hit, (delete, *boot), undo, files, automatic),)


def _take_away(
    check: str,
    hit: Hit,
    commands: tuple[tuple[str, ...], ...],
    undo: tuple[tuple[str, ...], ...],
    files: tuple[str, ...],
    automatic: bool,
) -> Fix:
    return Fix(
        id=f"{check}/delete-rule",
        title=f"Take the rule away: {hit.text}",
        commands=(*commands, *_FLUSH) if check == "firewall.outbound" else commands,
        undo=undo,
        risk=Risk.MEDIUM,
        changes=files,
        verify=(check,),
        automatic=automatic and bool(undo),
        why="" if files else "It comes back at the next boot if a file or a program that loads the rules has it.",
    )


def _boot_edit(firewall: Firewall, hit: Hit) -> tuple[tuple[tuple[str, ...], ...], tuple[str, ...]]:
    """Comment the same rule out in the file that a boot loads, where it is there exactly once."""
    assert hit.rule is not None
    wanted = hit.rule.text.replace("counter ", "").split()
    for path, text in firewall.boot_rules:
        lines = [
            at for at, line in enumerate(text.splitlines(), 1) if line.strip().replace("counter ", "").split() == wanted
        ]
        if len(lines) == 1:
            return (edits.comment_line(path, lines[0]),), (path,)
    return (), ()


def _ufw_removal(firewall: Firewall, hit: Hit, check: str) -> tuple[Fix, ...]:
    out = "output" in hit.chain.name
    found = [
        each
        for each in firewall.added
        if each.split()[1:2] in (["deny"], ["reject"]) and (not out or " out" in each) and _same_port(each, hit)
    ]
    if not found:
        return ()
    words = shlex.split(found[0])
    return (
        Fix(
            id=f"{check}/ufw-delete",
            title=f"Take the rule `{' '.join(words[1:])}` away",
            commands=(("ufw", "delete", *words[1:]), *(_FLUSH if out else ())),
            undo=_UFW_RELOAD,
            risk=Risk.MEDIUM,
            changes=_UFW_FILES,
            verify=(check,),
            automatic=out,
        ),
    )


def _same_port(line: str, hit: Hit) -> bool:
    assert hit.rule is not None
    ports = [value for test in hit.rule.tests if test.field is Field.PORT for value in test.values]
    words = line.split()
    return not ports or any(word.split("/")[0] in ports or str(SERVICES.get(word, "")) in ports for word in words)
