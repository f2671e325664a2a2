"""The relayhost: how Postfix looks it up, what the system says of the name, and what it answers."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import replace
from enum import StrEnum

from maildiag.asking import Ask
from maildiag.facts.postfix import Postfix
from maildiag.facts.sockets import PORTS
from maildiag.model import Gap
from maildiag.probes import (
    Command,
    CommandResult,
    Dialogue,
    DnsAnswer,
    DnsLookup,
    DnsStatus,
    Interfaces,
    Protocol,
    Tls,
    Transcript,
    command,
)
from maildiag.records import dataclass
from maildiag.registry import begins

Answers = tuple[tuple[str, DnsAnswer | Gap], ...]
Locals = tuple[tuple[str, tuple[str, ...]], ...]


@dataclass(frozen=True, slots=True)
class NextHop:
    """A next hop as postconf(5) writes it: `[host]:port` (no MX look-up) or `domain:port`."""

    text: str
    host: str
    port: int
    bracketed: bool

    @property
    def literal(self) -> bool:
        """True where the host is an address."""
        return is_address(self.host)


class Level(StrEnum):
    """smtp_tls_security_level, grouped by what it demands."""

    NONE = "none"
    MAY = "may"
    ENCRYPT = "encrypt"
    VERIFY = "verify"
    DANE = "dane"

    @property
    def demands(self) -> bool:
        """True where mail waits rather than goes in clear text."""
        return self in (Level.ENCRYPT, Level.VERIFY, Level.DANE)


@dataclass(frozen=True, slots=True)
class RelayTalk:
    """One address of the relay and the dialogue with it; `verified` is what openssl said of its certificate, offline."""

    address: str
    probe: Dialogue
    transcript: Transcript | Gap
    verified: CommandResult | Gap | None = None


@dataclass(frozen=True, slots=True)
class Relay:
    """The relay as Postfix reaches it.

    `mx` is None where no MX look-up is made; `dns` and `dns6` what the DNS says of each host name (A, AAAA), `system` the
    addresses that the system's own look-up gives (hosts file included), `addresses` those that Postfix gets, `lookup` its
    way to them. `unused` are addresses of a family that inet_protocols leaves out, told where Postfix gets none.
    """

    hop: NextHop | None
    lookup: str = "dns"
    mx: DnsAnswer | Gap | None = None
    names: tuple[str, ...] = ()
    dns: Answers = ()
    system: Locals = ()
    addresses: tuple[str, ...] = ()
    talks: tuple[RelayTalk, ...] = ()
    level: Level = Level.NONE
    level_text: str = ""
    dns6: Answers = ()
    unused: tuple[str, ...] = ()

    @property
    def answered(self) -> RelayTalk | None:
        """The first dialogue that reached a greeting."""
        return next((each for each in self.talks if _greeted(each)), None)


def _greeted(talk: RelayTalk) -> bool:
    return isinstance(talk.transcript, Transcript) and talk.transcript.exchange("banner") is not None


@begins(ahead=True)
def relay(ask: Ask, postfix: Postfix) -> Relay:
    """Look the relayhost up as Postfix does and as the system does, and speak to it."""
    hop = parse_next_hop(postfix.get("relayhost"), PORTS.get(postfix.get("smtp_tcp_port", "smtp"), 25))
    if hop is None:
        return Relay(None)
    level, text = tls_level(postfix)
    families = protocols(postfix)
    if hop.literal:
        used = family(hop.host) in families
        names: tuple[str, ...] = (hop.host,)
        found = Relay(hop, "literal", names=names, level=level, level_text=text)
        if not used:
            return replace(found, unused=names)
        return _with_talks(ask, postfix, replace(found, addresses=names))
    lookup = lookup_way(postfix)
    mx = None if hop.bracketed or lookup == "native" else ask.maybe(DnsLookup(hop.host, "MX"))
    names = mx_hosts(mx) or (hop.host,) if mx_allows(mx) else ()
    found = _looked_up(ask, Relay(hop, lookup, mx, names, level=level, level_text=text), families)
    return _with_talks(ask, postfix, found)


def _looked_up(ask: Ask, relay: Relay, families: frozenset[str]) -> Relay:
    """The addresses by both families; the unused one is asked for only where the other gives nothing."""
    for name in relay.names if "ipv6" in families else ():
        ask.begin(DnsLookup(name, "AAAA"))
    dns, local = _look_up(ask, relay, "ipv4")
    v4 = addresses_of(relay.lookup, dns, local)
    relay = replace(relay, dns=dns, system=local, addresses=v4 if "ipv4" in families else ())
    dead = any(not (isinstance(answer, DnsAnswer) and answer.knows) for _, answer in dns)
    if "ipv6" not in families and (v4 or dead):
        return relay
    dns6, local6 = _look_up(ask, relay, "ipv6")
    v6 = addresses_of(relay.lookup, dns6, local6)
    used = (*relay.addresses, *(v6 if "ipv6" in families else ()))
    return replace(relay, dns6=dns6, addresses=used, unused=() if used else (*v4, *v6))


def protocols(postfix: Postfix) -> frozenset[str]:
    """The families that Postfix uses: inet_protocols, postconf(5)."""
    named = set(postfix.list("inet_protocols"))
    return frozenset(named & {"ipv4", "ipv6"}) or frozenset({"ipv4", "ipv6"})


def family(address: str) -> str:
    """`ipv4` or `ipv6`, as inet_protocols names them."""
    return "ipv6" if ":" in address else "ipv4"


_RECORDS = {"ipv4": ("A", "ahostsv4"), "ipv6": ("AAAA", "ahostsv6")}


def _look_up(ask: Ask, relay: Relay, of: str) -> tuple[Answers, Locals]:
    assert relay.hop is not None
    record, database = _RECORDS[of]
    asked = relay.names or (relay.hop.host,)
    questions = [DnsLookup(name, record) for name in relay.names]
    for question in questions:
        ask.begin(question)
    local = ask.all([command("getent", database, name) for name in asked])
    answers = ask.all(questions)
    found = tuple((name, parse_hosts(told)) for name, told in zip(asked, local, strict=True))
    return tuple(zip(relay.names, answers, strict=True)), found


def parse_next_hop(text: str, port: int = 25) -> NextHop | None:
    """`relayhost` as postconf(5) has it, of several the first; None where it is empty or no next hop at all."""
    words = text.replace(",", " ").split()
    if not words:
        return None
    match = re.fullmatch(r"(?:smtp:|relay:)?\[([^\]\s]+)\](?::(\w[\w-]*))?", words[0])
    bracketed = match is not None
    match = match or re.fullmatch(r"([^:\[\]\s]+)(?::(\w[\w-]*))?", words[0])
    if match is None:
        return None
    named = match[2] or ""
    number = int(named) if named.isdigit() else PORTS.get(named, port)
    host = re.sub(r"^ipv6:", "", match[1], flags=re.I)
    return NextHop(words[0], host, number, bracketed)


def is_address(text: str) -> bool:
    """True for an IPv4 or IPv6 address."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def lookup_way(postfix: Postfix) -> str:
    """`dns`, `native` or `dns, native`: smtp_host_lookup, and disable_dns_lookups or smtp_dns_support_level = disabled."""
    if postfix.yes("disable_dns_lookups") or postfix.get("smtp_dns_support_level") == "disabled":
        return "native"
    return ", ".join(postfix.list("smtp_host_lookup")) or "dns"


def tls_level(postfix: Postfix) -> tuple[Level, str]:
    """What the smtp client demands of the relay's TLS, and the setting that says so."""
    text = postfix.get("smtp_tls_security_level")
    if not text:
        enforce, use = postfix.yes("smtp_enforce_tls"), postfix.yes("smtp_use_tls")
        setting = "smtp_enforce_tls = yes" if enforce else "smtp_use_tls = yes" if use else "smtp_tls_security_level ="
        return (Level.ENCRYPT if enforce else Level.MAY if use else Level.NONE), setting
    levels = {"none": Level.NONE, "may": Level.MAY, "encrypt": Level.ENCRYPT, "fingerprint": Level.ENCRYPT}
    levels |= {"verify": Level.VERIFY, "secure": Level.VERIFY, "dane": Level.DANE, "dane-only": Level.DANE}
    return levels.get(text, Level.MAY), f"smtp_tls_security_level = {text}"


_VERSIONS = ("SSLv2", "SSLv3", "TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3")


def protocols_setting(level: Level) -> str:
    """The parameter that lists the TLS protocols at this level."""
    return "smtp_tls_mandatory_protocols" if level.demands else "smtp_tls_protocols"


def takes_protocol(setting: str, version: str) -> bool:
    """Whether a list of TLS protocols lets this version be used (postconf(5), smtp_tls_mandatory_protocols): `>=TLSv1.2`,
    `<=TLSv1.2`, exclusions `!TLSv1`, else only what is named.
    """
    words = re.split(r"[\s,:]+", setting.strip())
    named = [word for word in words if word in _VERSIONS]
    place = _VERSIONS.index(version) if version in _VERSIONS else len(_VERSIONS)
    for word in words:
        bound = re.fullmatch(r"([<>]=|!)(.+)", word)
        if bound is None or bound[2] not in _VERSIONS:
            continue
        limit = _VERSIONS.index(bound[2])
        if {"!": place == limit, ">=": place < limit, "<=": place > limit}[bound[1]]:
            return False
    return not named or version in named


def mx_hosts(mx: DnsAnswer | Gap | None) -> tuple[str, ...]:
    """The hosts of an MX answer, best preference first."""
    if not isinstance(mx, DnsAnswer):
        return ()
    pairs = [record.split() for record in mx.records]
    ranked = sorted((int(each[0]), each[1].rstrip(".")) for each in pairs if len(each) == 2 and each[0].isdigit())
    return tuple(name for _, name in ranked if name)


def mx_allows(mx: DnsAnswer | Gap | None) -> bool:
    """RFC 5321 section 5.1: without an MX record the address counts; after a failed look-up mail waits."""
    return mx is None or (isinstance(mx, DnsAnswer) and mx.knows and mx.status is not DnsStatus.NO_SUCH_NAME)


def parse_hosts(told: CommandResult | Gap) -> tuple[str, ...]:
    """The addresses that `getent ahostsv4` (or ahostsv6) prints, each once; mapped IPv4 addresses are none of IPv6."""
    if isinstance(told, Gap) or told.status != 0:
        return ()
    found = (line.split()[0] for line in told.stdout.splitlines() if line.strip())
    return tuple(dict.fromkeys(each for each in found if not each.startswith("::ffff:")))


def addresses_of(lookup: str, dns: Answers, system: Locals) -> tuple[str, ...]:
    """The addresses that Postfix gets by its way of looking up (postconf(5), smtp_host_lookup)."""
    local = dict(system)
    found: list[str] = []
    for name, answer in dns:
        records = answer.records if isinstance(answer, DnsAnswer) and answer.status is DnsStatus.ANSWER else ()
        by_dns = [each for each in records if is_address(each)]
        known = isinstance(answer, DnsAnswer) and answer.knows
        for way in [each.strip() for each in lookup.split(",")]:
            some = list(local.get(name, ())) if way == "native" else by_dns
            found += some
            if some or (way == "dns" and not known):
                break
    return tuple(dict.fromkeys(found))


def _with_talks(ask: Ask, postfix: Postfix, relay: Relay) -> Relay:
    probes = [dialogue_with(postfix, relay, each, _bound(ask, postfix, each)) for each in relay.addresses[:4]]
    answers = [_lenient(ask, probe, answer) for probe, answer in zip(probes, ask.all(probes), strict=True)]
    proofs = [_proof(ask, postfix, relay, answer) for answer in answers]
    talks = tuple(RelayTalk(*each) for each in zip(relay.addresses[:4], probes, answers, proofs, strict=True))
    return replace(relay, talks=talks)


def _lenient(ask: Ask, probe: Dialogue, answer: Transcript | Gap) -> Transcript | Gap:
    """smtp(8) takes old versions and weak keys that this system's OpenSSL refuses by its defaults; and which version a
    server speaks that none of ours suits is known when it is offered all.
    """
    if isinstance(answer, Gap) or answer.failed != "tls":
        return answer
    for until_1_2 in dict.fromkeys((probe.until_1_2, False)):
        again = ask.maybe(replace(probe, any_tls=True, until_1_2=until_1_2))
        if isinstance(again, Transcript) and again.certificate is not None:
            return again
    return answer


def _bound(ask: Ask, postfix: Postfix, address: str) -> str:
    """The address that smtp(8) connects from, where it is set and an interface has it; else it takes any (postconf(5))."""
    bind = postfix.get("smtp_bind_address6" if ":" in address else "smtp_bind_address").strip("[]")
    interfaces = ask.maybe(Interfaces()) if bind else ()
    known = () if isinstance(interfaces, Gap) else interfaces
    return bind if any(bind in each.addresses for each in known) else ""


def dialogue_with(postfix: Postfix, relay: Relay, address: str, bind: str) -> Dialogue:
    """The question that an address of the relay is asked, as smtp(8) would ask it."""
    assert relay.hop is not None
    helo = postfix.get("smtp_helo_name") or postfix.get("myhostname", "localhost")
    tls = Tls.NONE if relay.level is Level.NONE else Tls.STARTTLS
    if postfix.yes("smtp_tls_wrappermode"):
        tls = Tls.IMPLICIT
    return Dialogue(
        Protocol.SMTP,
        address,
        relay.hop.port,
        tls,
        helo,
        server_name=_name(relay),
        timeout=12.0,
        bind=bind,
        until_1_2=not takes_protocol(postfix.get(protocols_setting(relay.level)), _VERSIONS[-1]),
    )


def _name(relay: Relay) -> str:
    return relay.names[0] if relay.names else relay.hop.host if relay.hop else ""


def _proof(ask: Ask, postfix: Postfix, relay: Relay, answer: Transcript | Gap) -> CommandResult | Gap | None:
    """What openssl says of the presented certificate, from files alone; None where Postfix does not verify it."""
    if relay.level is not Level.VERIFY or isinstance(answer, Gap) or answer.certificate is None:
        return None
    return ask.maybe(verification(postfix, _name(relay), "".join(answer.certificate.chain)))


def verification(postfix: Postfix, name: str, chain: str) -> Command:
    """The openssl command that verifies a presented chain against the CAs that the smtp client is given."""
    argv = ["openssl", "verify", "-purpose", "sslserver", "-verify_hostname", name]
    file, directory = postfix.get("smtp_tls_CAfile"), postfix.get("smtp_tls_CApath")
    if not postfix.yes("tls_append_default_CA"):
        argv += ["-no-CAstore", *([] if file else ["-no-CAfile"]), *([] if directory else ["-no-CApath"])]
    argv += ["-CAfile", file] if file else []
    argv += ["-CApath", directory] if directory else []
    return Command((*argv, "-untrusted", "/dev/stdin", "/dev/stdin"), stdin=chain)
