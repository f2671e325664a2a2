"""The names that mail depends on: resolver, hosts file, own name, MX and PTR, as the DNS, the system and Postfix see them."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator

from maildiag.access import mode_for
from maildiag.asking import Ask
from maildiag.facts.postfix import WITHOUT, Postfix
from maildiag.facts.relay import is_address, parse_hosts
from maildiag.facts.sockets import Sockets, master_lines
from maildiag.model import Gap, HostRole, Missing, Reading, Role, is_unseen
from maildiag.probes import CommandResult, DnsAnswer, DnsLookup, DnsStatus, FileInfo, FileText, ReadFile, Stat, command
from maildiag.records import dataclass
from maildiag.registry import begins, gatherer

_RESOLV_CONF = "/etc/resolv.conf"
_PATIENCE_S = 5.5
CHROOT_FILES = ("etc/resolv.conf", "etc/hosts", "etc/services", "etc/nsswitch.conf", "etc/localtime")


@dataclass(frozen=True, slots=True)
class Resolver:
    """resolv.conf(5): its servers and their answers to a question for the own name; `text` is the file, `mode` None where
    there is none (a link to nothing is none). `slow` are the seconds that servers take which answer too late for most programs.
    """

    servers: tuple[str, ...]
    search: tuple[str, ...]
    text: str
    asked: str
    answers: tuple[DnsAnswer | Gap, ...]
    mode: int | None = 0o644
    slow: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True, slots=True)
class NameSwitch:
    """The `hosts:` line of nsswitch.conf(5): its words, number and text; no words where there is no such line."""

    words: tuple[str, ...]
    number: int = 0
    text: str = ""

    @property
    def asks_dns(self) -> bool:
        """True where a name that is in no file is looked up in the DNS; the C library's default does."""
        if not self.words:
            return True
        before = [each.lower() for each in self.words[: self._place]]
        return self._place < len(self.words) and "[notfound=return]" not in before

    @property
    def _place(self) -> int:
        found = [at for at, each in enumerate(self.words) if each in ("dns", "resolve")]
        return found[0] if found else len(self.words)


@dataclass(frozen=True, slots=True)
class HostsLine:
    """A line of hosts(5)."""

    number: int
    address: str
    names: tuple[str, ...]
    text: str


@dataclass(frozen=True, slots=True)
class OwnName:
    """The host's own names: what `hostname -f` says, myhostname, and its addresses by system and DNS (`dns` A, `dns6` AAAA)."""

    fqdn: str
    myhostname: str
    system: tuple[str, ...]
    dns: DnsAnswer | Gap | None
    hosts: tuple[HostsLine, ...]
    dns6: DnsAnswer | Gap | None = None

    @property
    def published6(self) -> tuple[str, ...]:
        """The IPv6 addresses that the DNS gives myhostname."""
        found = self.dns6 if isinstance(self.dns6, DnsAnswer) else None
        return tuple(each for each in found.records if is_address(each)) if found and found.knows else ()


@dataclass(frozen=True, slots=True)
class DomainRecords:
    """What the DNS says of one of the own domains."""

    domain: str
    mx: DnsAnswer | Gap
    txt: DnsAnswer | Gap
    dmarc: DnsAnswer | Gap


@dataclass(frozen=True, slots=True)
class PublicNames:
    """The records by which others find and judge this server: MX and policies of its domains, PTR of its addresses, and which
    hosts of an MX are aliases of which name.
    """

    domains: tuple[DomainRecords, ...]
    mx_addresses: tuple[tuple[str, DnsAnswer | Gap], ...]
    pointers: tuple[tuple[str, DnsAnswer | Gap], ...]
    aliases: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class ChrootFile:
    """A file of the system and its copy in the chroot; None where it is not there or not readable. `mode` is the copy's, as
    Postfix's account meets it.
    """

    name: str
    system: str | None
    copy: str | None
    mode: int = 0o644

    @property
    def closed(self) -> bool:
        """True where Postfix's account cannot read the copy."""
        return not self.mode & 0o004


@dataclass(frozen=True, slots=True)
class Chroot:
    """Postfix's chroot: which services run in it, its copies of the system's files, and what the name servers answer
    that only the copy of resolv.conf names.
    """

    directory: str
    services: tuple[str, ...]
    files: tuple[ChrootFile, ...]
    answers: tuple[tuple[str, DnsAnswer | Gap], ...] = ()

    @property
    def stale(self) -> tuple[ChrootFile, ...]:
        """The copies that say something else than the system's file, comments and blank lines aside, or to nobody."""
        return tuple(
            each
            for each in self.files
            if each.system is not None and (each.closed or _differ(each.system, each.copy or ""))
        )


def _differ(one: str, other: str) -> bool:
    return one != other and _essence(one) != _essence(other)


def _essence(text: str) -> list[str]:
    lines = (line.split("#")[0].split() for line in text.splitlines())
    return [" ".join(words) for words in lines if words]


@begins(ReadFile("/etc/resolv.conf"))
def resolver(ask: Ask, postfix: Postfix | None) -> Resolver:
    """Ask each name server of resolv.conf for the host's own name, all side by side."""
    file, told = ask.all([ReadFile(_RESOLV_CONF), Stat(_RESOLV_CONF)])
    if is_unseen(file):
        raise Missing(file)
    text = file.text if isinstance(file, FileText) else ""
    servers, search = parse_resolv_conf(text)
    asked = (postfix.get("myhostname") if postfix and postfix.installed else "") or "localhost"
    patient = {each: DnsLookup(asked, "A", each, timeout=_PATIENCE_S, tries=1) for each in servers[:3]}
    for probe in patient.values():
        ask.begin(probe)
    answers = ask.all([DnsLookup(asked, "A", each) for each in servers[:3]])
    slow = _slow(ask, [patient[server] for server, each in zip(servers, answers, strict=False) if _late(each)])
    owner = (postfix.get("mail_owner") if postfix and postfix.installed else "") or "postfix"
    mode = (
        mode_for(told, owner, (owner,)) if isinstance(told, FileInfo) else 0o644 if isinstance(file, FileText) else None
    )
    return Resolver(servers, search, text, asked, tuple(answers), mode, slow)


def _late(answer: DnsAnswer | Gap) -> bool:
    return isinstance(answer, DnsAnswer) and answer.status is DnsStatus.TIMEOUT


def _slow(ask: Ask, probes: list[DnsLookup]) -> tuple[tuple[str, float], ...]:
    """Those that answer once somebody waits as long as the C library does: 5 seconds (resolv.conf(5), timeout)."""
    readings = [(probe.server, ask.reading(probe)) for probe in probes]
    return tuple((server, each.seconds) for server, each in readings if isinstance(each, Reading) and each.value.knows)


@gatherer
def name_switch(ask: Ask) -> NameSwitch:
    """Read the `hosts:` line; without the file the C library has its default."""
    file = ask.maybe(ReadFile("/etc/nsswitch.conf"))
    if is_unseen(file):
        raise Missing(file)
    return parse_name_switch(file.text if isinstance(file, FileText) else "")


def parse_name_switch(text: str) -> NameSwitch:
    """nsswitch.conf(5): the last `hosts:` line; actions in brackets are one word."""
    found = NameSwitch(())
    for number, line in enumerate(text.splitlines(), 1):
        match = re.match(r"\s*hosts:(.*)", line.split("#")[0])
        if match:
            words = re.findall(r"\[[^\]]*\]|[^\s\[\]]+", match[1])
            found = NameSwitch(tuple(re.sub(r"\s+", "", each) for each in words), number, line.strip())
    return found


def parse_resolv_conf(text: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The name servers and the search list of resolv.conf(5); without a server the resolver asks 127.0.0.1."""
    servers, search = [], list[str]()
    for line in text.splitlines():
        words = line.split()
        if len(words) > 1 and words[0] == "nameserver":
            servers.append(words[1])
        elif len(words) > 1 and words[0] in ("search", "domain"):
            search = words[1:]
    return tuple(servers), tuple(search)


def parse_hosts_file(text: str) -> tuple[HostsLine, ...]:
    """hosts(5): address, names, and where the line is."""
    found = []
    for number, line in enumerate(text.splitlines(), 1):
        words = line.split("#")[0].split()
        if len(words) > 1:
            found.append(HostsLine(number, words[0], tuple(words[1:]), line))
    return tuple(found)


@begins(command("hostname", "-f"), ahead=True)
def own_name(ask: Ask, postfix: Postfix | None) -> OwnName:
    """Ask the system for its name, and system and DNS for the address of myhostname."""
    name = postfix.get("myhostname") if postfix and postfix.installed else ""
    question, question6 = (DnsLookup(name, record) if "." in name else None for record in ("A", "AAAA"))
    for each in (question, question6):
        if each is not None:
            ask.begin(each)
    told = ask.all([command("hostname", "-f"), *([command("getent", "ahostsv4", name)] if name else [])])
    hosts = ask.maybe(ReadFile("/etc/hosts"))
    fqdn = told[0].stdout.strip() if isinstance(told[0], CommandResult) and told[0].status == 0 else ""
    return OwnName(
        fqdn,
        name,
        parse_hosts(told[1]) if name else (),
        ask.maybe(question) if question else None,
        parse_hosts_file(hosts.text) if isinstance(hosts, FileText) else (),
        ask.maybe(question6) if question6 else None,
    )


@gatherer
def public_names(ask: Ask, postfix: Postfix, role: HostRole, sockets: Sockets) -> PublicNames:
    """Ask for the records of the own domains (at most five) and of the own addresses; a relay client has none."""
    domains = own_domains(postfix)[:5] if role.role is Role.MAIL_SERVER else ()
    questions = [
        DnsLookup(name, record)
        for each in domains
        for name, record in ((each, "MX"), (each, "TXT"), (f"_dmarc.{each}", "TXT"))
    ]
    own = [each for each in sockets.own if ":" not in each][:2] if role.role is Role.MAIL_SERVER else []
    pointers = [DnsLookup(ipaddress.ip_address(each).reverse_pointer, "PTR") for each in own]
    answers = ask.all([*questions, *pointers])
    records = [DomainRecords(each, *answers[at * 3 : at * 3 + 3]) for at, each in enumerate(domains)]
    names = dict.fromkeys(name for each in records for name in _targets(each.mx))
    for name in names:
        ask.begin(DnsLookup(name, "CNAME"))
    addresses = _addresses(ask, list(names))
    return PublicNames(
        tuple(records),
        tuple(zip(names, addresses, strict=True)),
        tuple(zip(own, answers[len(questions) :], strict=True)),
        tuple(_aliases(ask, list(names))),
    )


def _aliases(ask: Ask, names: list[str]) -> Iterator[tuple[str, str]]:
    for name, told in zip(names, ask.all([DnsLookup(name, "CNAME") for name in names]), strict=True):
        if isinstance(told, DnsAnswer) and told.status is DnsStatus.ANSWER and told.records:
            yield name, told.records[0].rstrip(".")


def _addresses(ask: Ask, names: list[str]) -> list[DnsAnswer | Gap]:
    """The A records of the names, or the AAAA records of those that have no other."""
    found = ask.all([DnsLookup(name, "A") for name in names])
    bare = [name for name, each in zip(names, found, strict=True) if _bare(each)]
    other = dict(zip(bare, ask.all([DnsLookup(name, "AAAA") for name in bare]), strict=True))
    return [other[name] if _bare(each) else each for name, each in zip(names, found, strict=True)]


def _bare(answer: DnsAnswer | Gap) -> bool:
    return isinstance(answer, DnsAnswer) and answer.status is DnsStatus.NO_DATA


DOMAIN_CLASSES = ("mydestination", "virtual_mailbox_domains", "virtual_alias_domains")


def own_domains(postfix: Postfix) -> tuple[str, ...]:
    """The domains that mail is accepted for, host names of this machine left out."""
    names = [postfix.list(name) for name in DOMAIN_CLASSES]
    host = postfix.get("myhostname").lower()
    found = dict.fromkeys(each.lower() for some in names for each in some)
    return tuple(
        each
        for each in found
        if re.fullmatch(r"[a-z0-9-]+(\.[a-z0-9-]+)+", each) and each != host and not each.startswith("localhost.")
    )


def _targets(mx: DnsAnswer | Gap) -> list[str]:
    return [each.split()[-1].rstrip(".") for each in mx.records] if isinstance(mx, DnsAnswer) else []


@gatherer
def chroot(ask: Ask, postfix: Postfix) -> Chroot:
    """Compare the files in the chroot with the system's, where a service that needs them runs in it."""
    if not postfix.installed:
        raise Missing(WITHOUT)
    table = master_lines(ask)
    default = "n" if _compatibility(postfix) >= 1 else "y"
    inside = [
        each.name
        for each in table
        if each.program in ("smtp", "smtpd", "lmtp", "postscreen", "trivial-rewrite", "cleanup")
        and (each.chroot if each.chroot != "-" else default) == "y"
    ]
    directory = postfix.get("queue_directory", "/var/spool/postfix")
    if not inside:
        return Chroot(directory, (), ())
    asked = [ReadFile(path) for name in CHROOT_FILES[:4] for path in (f"/{name}", f"{directory}/{name}")]
    copies = [Stat(f"{directory}/{name}") for name in CHROOT_FILES[:4]]
    for probe in copies:
        ask.begin(probe)
    texts = [_text(each) for each in ask.all(asked)]
    owner = postfix.get("mail_owner") or "postfix"
    modes = [mode_for(each, owner, (owner,)) if isinstance(each, FileInfo) else 0o644 for each in ask.all(copies)]
    files = tuple(ChrootFile(*each) for each in zip(CHROOT_FILES, texts[::2], texts[1::2], modes, strict=False))
    return Chroot(directory, tuple(inside), files, _chroot_servers(ask, postfix, files[0]))


def _chroot_servers(ask: Ask, postfix: Postfix, file: ChrootFile) -> tuple[tuple[str, DnsAnswer | Gap], ...]:
    known, _ = parse_resolv_conf(file.system or "")
    used, _ = parse_resolv_conf(file.copy or "")
    others = [each for each in used if each not in known]
    name = postfix.get("myhostname") or "localhost"
    return tuple(zip(others, ask.all([DnsLookup(name, "A", each) for each in others]), strict=True))


def _compatibility(postfix: Postfix) -> float:
    found = re.match(r"\d+(\.\d+)?", postfix.get("compatibility_level"))
    return float(found[0]) if found else 0.0


def _text(answer: FileText | Gap) -> str | None:
    return answer.text if isinstance(answer, FileText) else None


def texts(answer: DnsAnswer | Gap) -> list[str]:
    """TXT records as one string each (RFC 7208 section 3.3)."""
    if isinstance(answer, Gap):
        return []
    return ["".join(record.strip('"').split('" "')) for record in answer.records]
