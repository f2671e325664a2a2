"""Packets, chains and rules, and a three-valued evaluation: accepted, dropped, rejected, or not decidable from here."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import field, replace
from enum import StrEnum

from maildiag.firewall.values import contains
from maildiag.records import dataclass


class Outcome(StrEnum):
    """What becomes of a packet."""

    ACCEPT = "accepted"
    DROP = "dropped"
    REJECT = "rejected"
    DIVERT = "sent elsewhere"
    UNKNOWN = "not decidable"


class Do(StrEnum):
    """What a rule does with a packet that it matches."""

    ACCEPT = "accept"
    DROP = "drop"
    REJECT = "reject"
    RETURN = "return"
    JUMP = "jump"
    GOTO = "goto"
    NOTHING = "nothing"
    DIVERT = "divert"
    REWRITE = "rewrite"


class Field(StrEnum):
    """What of a packet a rule looks at; `OTHER` is what cannot be told from outside (rates, marks, contents)."""

    PROTOCOL = "protocol"
    FAMILY = "family"
    SOURCE = "source"
    DESTINATION = "destination"
    SOURCE_PORT = "source port"
    PORT = "port"
    STATE = "state"
    STATUS = "connection status"
    OPENING = "opening"
    IN = "in"
    OUT = "out"
    USER = "user"
    KIND = "kind of destination"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Packet:
    """A packet as a filter sees it; `user` are the names and numbers of the account that sends it, where it is ours.

    `untracked`: a rule keeps it from connection tracking, so that its state is none of those of a connection.
    """

    source: str
    destination: str
    port: int
    source_port: int = 40000
    protocol: str = "tcp"
    state: str = "new"
    into: str = ""
    out: str = ""
    user: tuple[str, ...] = ()
    untracked: bool = False


@dataclass(frozen=True, slots=True)
class Test:
    """One condition of a rule: the field is (or with `negated` is not) among the values."""

    __test__ = False  # (pytest collects what is called Test)

    field: Field
    values: tuple[str, ...] = ()
    negated: bool = False

    def holds(self, packet: Packet) -> bool | None:
        """True or False, or None where it cannot be told."""
        values = _of(packet, self.field)
        if values is None:
            return None
        found = [contains(value, each) for value in values for each in self.values]
        fits = True if True in found else None if None in found else False
        return fits if fits is None else fits is not self.negated


_TRACKING = -200  # netfilter's priority of connection tracking: what comes before it may leave a packet out

NEVER = Test(Field.PROTOCOL, ("never",))
"""A condition that no mail client meets."""


def flags_test(mask: Sequence[str], wanted: Sequence[str], negated: bool) -> Test:
    """A condition on TCP's flags: of those in `mask` just `wanted` are set. SYN alone opens a connection, SYN and ACK answer it,
    and ACK is set in all that follows (RFC 9293, 3.5); other combinations are looked at to catch packets that no honest client sends.
    """
    seen, named = {each.lower() for each in mask}, {each.lower() for each in wanted} - {"none"}
    if named == {"syn"} and seen >= {"syn", "ack"}:
        return Test(Field.OPENING, ("new",), negated)
    if "ack" in named and named <= {"syn", "ack", "psh"}:
        return Test(Field.OPENING, ("established",), negated)
    return Test(Field.PROTOCOL, ("*",)) if negated else NEVER


def _of(packet: Packet, wanted: Field) -> tuple[str, ...] | None:
    match wanted:
        case Field.PROTOCOL:
            return (packet.protocol, {"tcp": "6", "udp": "17"}[packet.protocol])
        case Field.FAMILY:
            return ("ipv6", "10") if ":" in packet.destination else ("ipv4", "2")
        case Field.SOURCE:
            return (packet.source,)
        case Field.DESTINATION:
            return (packet.destination,)
        case Field.SOURCE_PORT:
            return (str(packet.source_port),)
        case Field.PORT:
            return (str(packet.port),)
        case Field.STATE:
            return ("untracked",) if packet.untracked else (packet.state,)
        case Field.OPENING:
            return (packet.state,)
        case Field.STATUS:
            return ("",)
        case Field.IN:
            return (packet.into,)
        case Field.OUT:
            return (packet.out,)
        case Field.USER:
            return packet.user or None
        case Field.KIND:
            return ("local",) if packet.into else ("local",) if packet.out == "lo" else ("unicast",)
        case Field.OTHER:
            return None


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule: all its tests must hold. `target` is the chain that it leads to, or (DIVERT) the `address:port`. `text` is how the back-end writes it, `at` its place as the back-end's commands name it.

    `exact` tells that `text` puts the same rule back when it is typed; `untracks`, that what it matches is not tracked.
    """

    tests: tuple[Test, ...]
    do: Do
    target: str = ""
    text: str = ""
    handle: int = 0
    index: int = 0
    exact: bool = True
    untracks: bool = False

    def fits(self, packet: Packet) -> bool | None:
        """True or False, or None where it cannot be told."""
        sure = True
        for each in self.tests:
            holds = each.holds(packet)
            if holds is False:
                return False
            sure = sure and holds is not None
        return True if sure else None

    def names(self, wanted: Field) -> bool:
        """True where the rule looks at this field."""
        return any(each.field is wanted for each in self.tests)


@dataclass(frozen=True, slots=True)
class Chain:
    """A chain; a base chain has a hook, a priority and a policy, and on the ingress hook perhaps a device.

    `origin` is `nft`, or the program whose rules these are (`iptables`, `iptables-legacy`, `ip6tables`).
    """

    origin: str
    family: str
    table: str
    name: str
    rules: tuple[Rule, ...] = field(default=(), repr=False)
    hook: str = ""
    priority: int = 0
    policy: Do = Do.ACCEPT
    device: str = ""

    @property
    def place(self) -> str:
        """`inet filter input`."""
        return f"{self.family} {self.table} {self.name}"


@dataclass(frozen=True, slots=True)
class Hit:
    """A possible end of a packet's way: the outcome (None: it left the chain) and where it was decided."""

    outcome: Outcome | None
    chain: Chain
    rule: Rule | None = None

    @property
    def text(self) -> str:
        """The line that decides, as evidence."""
        if self.rule is None:
            return f"{self.chain.place}: policy {self.chain.policy}"
        handle = f" # handle {self.rule.handle}" if self.rule.handle else ""
        return f"{self.chain.place}: {self.rule.text}{handle}"


@dataclass(frozen=True, slots=True)
class Judgement:
    """What becomes of a packet, and the rules (or policies) that decide it or might."""

    outcome: Outcome
    hits: tuple[Hit, ...] = ()

    @property
    def blocked(self) -> bool:
        """True where the packet surely does not pass."""
        return self.outcome in (Outcome.DROP, Outcome.REJECT)

    @property
    def explicit(self) -> bool:
        """True where the rule that decides names a port, an address or an account, and is not a general policy."""
        named = (Field.PORT, Field.SOURCE, Field.DESTINATION, Field.USER, Field.SOURCE_PORT)
        return any(hit.rule is not None and any(hit.rule.names(each) for each in named) for hit in self.hits)


@dataclass(frozen=True, slots=True)
class Ruleset:
    """Every chain of the packet filter; `partial` where there may be more that could not be seen."""

    chains: tuple[Chain, ...] = ()
    partial: bool = False
    _by_name: Mapping[tuple[str, str, str, str], Chain] = field(default_factory=dict, compare=False, repr=False)

    @classmethod
    def of(cls, chains: Sequence[Chain], *, partial: bool = False) -> Ruleset:
        """A ruleset whose chains find each other by name."""
        return cls(tuple(chains), partial, {(each.origin, each.family, each.table, each.name): each for each in chains})

    @property
    def filters(self) -> bool:
        """True where anything could stop a packet."""
        return any(each.rules or each.policy is not Do.ACCEPT for each in self.chains)

    def chain(self, near: Chain, name: str) -> Chain | None:
        """The chain of that name in the same table."""
        return self._by_name.get((near.origin, near.family, near.table, name))

    def addresses(self) -> Iterator[str]:
        """Every source address or network that a rule names."""
        for chain in self.chains:
            for rule in chain.rules:
                for test in rule.tests:
                    if test.field is Field.SOURCE:
                        yield from test.values

    def judge(self, packet: Packet) -> Judgement:
        """Send a packet through every base chain that it meets, in order of hook and priority (nft(8), iptables(8))."""
        hooks = ("ingress", "prerouting", "input") if packet.into else ("output", "postrouting")
        maybe: list[Hit] = []
        for hook in hooks:
            met = [each for each in self.chains if each.hook == hook and _meets(each, packet)]
            for base in sorted(met, key=lambda each: each.priority):
                if base.priority < _TRACKING and self._untracked(base, packet, 0):
                    packet = replace(packet, untracked=True)
                hits = self._base(base, packet)
                outcomes = {hit.outcome for hit in hits}
                if outcomes <= {Outcome.DROP, Outcome.REJECT} or outcomes == {Outcome.DIVERT}:
                    return Judgement(hits[0].outcome or Outcome.UNKNOWN, tuple(hits[:1]))
                if outcomes != {Outcome.ACCEPT}:
                    maybe += [hit for hit in hits if hit.outcome is not Outcome.ACCEPT]
        return Judgement(Outcome.UNKNOWN, tuple(maybe)) if maybe or self.partial else Judgement(Outcome.ACCEPT)

    def _untracked(self, chain: Chain, packet: Packet, depth: int) -> bool:
        """True where a rule surely takes the packet out of connection tracking: notrack of nft(8), CT of iptables-extensions(8)."""
        for rule in chain.rules if depth < 32 else ():
            if not rule.fits(packet):
                continue
            target = self.chain(chain, rule.target) if rule.do in (Do.JUMP, Do.GOTO) else None
            if rule.untracks or (target and self._untracked(target, packet, depth + 1)):
                return True
            if rule.do in (Do.ACCEPT, Do.RETURN, Do.GOTO):
                return False
        return False

    def _base(self, base: Chain, packet: Packet) -> list[Hit]:
        policy = {Do.DROP: Outcome.DROP, Do.REJECT: Outcome.REJECT}.get(base.policy, Outcome.ACCEPT)
        return [
            hit if hit.outcome is not None else replace(hit, outcome=policy, chain=base, rule=None)
            for hit in self._walk(base, packet, 0)
        ]

    def _walk(self, chain: Chain, packet: Packet, depth: int) -> list[Hit]:
        """Every way that a packet's passage of the chain may end; more than one where a rule cannot be decided."""
        found: list[Hit] = []
        for rule in chain.rules if depth < 32 else ():
            if rule.do is Do.NOTHING or self._leads_nowhere(chain, rule):
                continue
            fits = rule.fits(packet)
            if fits is False:
                continue
            ends = self._ends(chain, rule, packet, depth)
            found += [hit for hit in ends if hit.outcome is not None]
            falls = any(hit.outcome is None for hit in ends)
            if fits and not falls:
                return found
            if fits and rule.do in (Do.RETURN, Do.GOTO):
                return [*found, Hit(None, chain, rule)]
        return [*found, Hit(None, chain)]

    def _leads_nowhere(self, chain: Chain, rule: Rule) -> bool:
        """A jump to an empty chain, of which firewalld has dozens."""
        if rule.do is not Do.JUMP:
            return False
        target = self.chain(chain, rule.target)
        return target is not None and not target.rules

    def _ends(self, chain: Chain, rule: Rule, packet: Packet, depth: int) -> list[Hit]:
        match rule.do:
            case Do.ACCEPT:
                return [Hit(Outcome.ACCEPT, chain, rule)]
            case Do.DROP:
                return [Hit(Outcome.DROP, chain, rule)]
            case Do.REJECT:
                return [Hit(Outcome.REJECT, chain, rule)]
            case Do.DIVERT:
                return [Hit(Outcome.DIVERT, chain, rule)]
            case Do.REWRITE:
                return [Hit(Outcome.UNKNOWN, chain, rule), Hit(None, chain, rule)]
            case Do.JUMP | Do.GOTO:
                target = self.chain(chain, rule.target)
                return self._walk(target, packet, depth + 1) if target else [Hit(Outcome.UNKNOWN, chain, rule)]
        return [Hit(None, chain, rule)]


def _meets(base: Chain, packet: Packet) -> bool:
    """nft(8), address families: netdev and the ingress hook see what comes in by a device, whatever its family.

    nft before 1.1 does not tell the device in JSON; it is hardly ever loopback.
    """
    families = ("inet", "netdev", "ip6" if ":" in packet.destination else "ip")
    here = packet.into != "lo" if base.hook == "ingress" and not base.device else base.device in ("", packet.into)
    return base.family in families and here


def address_in(address: str, networks: Sequence[ipaddress.IPv4Network | ipaddress.IPv6Network]) -> bool:
    """True where the address is in one of the networks."""
    found = ipaddress.ip_address(address)
    return any(found.version == each.version and found in each for each in networks)
