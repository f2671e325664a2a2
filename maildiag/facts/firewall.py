"""The packet filter of the host: its back-end, its rules, firewalld's permanent zones, and fail2ban's bans."""

from __future__ import annotations

import re
from enum import StrEnum

from maildiag.asking import Ask
from maildiag.facts.processes import ProcessTable
from maildiag.firewall import iptables, nft
from maildiag.firewall.rules import Chain, Ruleset
from maildiag.model import Gap, GapReason, Missing, is_absent, is_unseen
from maildiag.probes import CommandResult, FileText, Identity, ListDirectory, ReadFile, Stat, command
from maildiag.records import dataclass
from maildiag.registry import gatherer

SERVICES = {
    "smtp": 25,
    "smtp-submission": 587,
    "smtps": 465,
    "imap": 143,
    "imaps": 993,
    "pop3": 110,
    "pop3s": 995,
    "managesieve": 4190,
}
_NONE = Gap(GapReason.ABSENT, "not asked: nothing calls for it")
_ETC, _LIB = "/etc/firewalld", "/usr/lib/firewalld"


class Backend(StrEnum):
    """Who manages the rules of the packet filter."""

    FIREWALLD = "firewalld"
    UFW = "ufw"
    NFTABLES = "nftables"
    IPTABLES = "iptables"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Zone:
    """A zone of firewalld's permanent configuration: ports by number (tcp), bound interfaces, target, source file."""

    name: str
    ports: frozenset[int]
    interfaces: tuple[str, ...]
    target: str
    rich: bool
    path: str


@dataclass(frozen=True, slots=True)
class Firewall:
    """The packet filter. `zones` and `default_zone` are firewalld's permanent ones; `added` ufw's rules as they were typed;
    `boot_rules` the files that a boot loads; `account` name and number of Postfix's account, as rules by sender name it.
    """

    backend: Backend
    rules: Ruleset
    zones: tuple[Zone, ...] = ()
    default_zone: str = ""
    added: tuple[str, ...] = ()
    boot_rules: tuple[tuple[str, str], ...] = ()
    account: tuple[str, ...] = ("postfix",)

    def zone(self, name: str) -> Zone | None:
        """The permanent zone of that name."""
        return next((each for each in self.zones if each.name == name), None)

    def permanent_zone(self, interface: str) -> str:
        """The zone that the permanent configuration gives an interface: the one that lists it, or the default zone."""
        bound = [each.name for each in self.zones if interface in each.interfaces]
        return bound[0] if bound else self.default_zone

    def active_zone(self, interface: str) -> str:
        """The zone that the running rules give an interface: `iifname "eth0" goto filter_IN_public`."""
        for chain in self.rules.chains:
            for rule in chain.rules:
                place = re.fullmatch(r"(?:filter_)?IN_(?!policy_)(.+)", rule.target)
                if place and any(value in (interface, "*") for test in rule.tests for value in test.values):
                    return place[1]
        return self.default_zone


@dataclass(frozen=True, slots=True)
class Ban:
    """An address that fail2ban keeps out, and the jail that does."""

    jail: str
    address: str


@dataclass(frozen=True, slots=True)
class Bans:
    """What fail2ban bans; `running` is False where there is no fail2ban."""

    running: bool
    bans: tuple[Ban, ...] = ()


@gatherer
def firewall(ask: Ask, identity: Identity | None, processes: ProcessTable | None = None) -> Firewall:
    """Ask nft and iptables-save for every rule; and firewalld's files, or ufw, for what belongs to them."""
    if identity is not None and not identity.privileged:
        raise Missing(Gap(GapReason.DENIED, "the rules of the packet filter are shown to root only", "needs root"))
    account = command("getent", "passwd", "postfix")
    ask.begin(account)
    ruleset, saved = ask.all([command("nft", "-j", "list", "ruleset"), command("iptables-save")])
    if is_absent(ruleset) and processes is not None and processes.named("firewalld"):
        raise Missing(
            Gap(GapReason.ABSENT, "nft is not installed: firewalld's rules cannot be seen", "install nftables")
        )
    rules = read_rules(ruleset, saved, *_further(ask, ruleset, saved))
    users = _account(ask.maybe(account))
    match backend_of(rules):
        case Backend.FIREWALLD:
            zones, default = _firewalld(ask)
            return Firewall(Backend.FIREWALLD, rules, zones, default, account=users)
        case Backend.UFW:
            added = ask.maybe(command("ufw", "show", "added"))
            return Firewall(Backend.UFW, rules, added=_added(added), account=users)
        case backend:
            return Firewall(backend, rules, boot_rules=_boot_rules(ask, backend), account=users)


def _account(told: CommandResult | Gap) -> tuple[str, ...]:
    words = told.stdout.split(":") if isinstance(told, CommandResult) else []
    return (words[0], words[2]) if len(words) > 2 else ("postfix",)


def _further(ask: Ask, ruleset: CommandResult | Gap, saved: CommandResult | Gap) -> tuple[CommandResult | Gap, ...]:
    """What only further programs show: tables of the older kernel interface, and IPv6 rules with iptables' extensions."""
    told = f"{saved.stdout}{saved.stderr}" if isinstance(saved, CommandResult) else ""
    legacy = ask.maybe(command("iptables-legacy-save")) if "iptables-legacy tables present" in told else _NONE
    listed = ruleset.stdout if isinstance(ruleset, CommandResult) else ""
    return legacy, ask.maybe(command("ip6tables-save")) if '"xt"' in listed and '"ip6"' in listed else _NONE


def read_rules(
    ruleset: CommandResult | Gap,
    saved: CommandResult | Gap,
    legacy: CommandResult | Gap = _NONE,
    saved6: CommandResult | Gap = _NONE,
) -> Ruleset:
    """The rules of all programs as one set. Raises Missing where neither nft nor iptables could be had.

    A chain that iptables-nft made holds extensions that nft cannot spell: those are read from iptables-save alone; of chains
    that were made with nft in a table of that name, iptables-save says that they are incompatible, and shows none. An nft
    that prints nothing at all, where it always tells at least its own version, may hide rules: what is seen may stop a
    packet, and nothing lets it pass for certain.
    """
    chains: list[Chain] = []
    foreign: frozenset[tuple[str, str]] = frozenset()
    if isinstance(ruleset, CommandResult) and ruleset.status == 0:
        try:
            chains, foreign = nft.parse(ruleset.stdout or '{"nftables": []}')
        except (ValueError, KeyError, TypeError) as error:
            raise Missing(Gap(GapReason.FAILED, f"nft -j list ruleset: {error}")) from error
    else:
        _demand(ruleset, saved)
    silent = isinstance(ruleset, CommandResult) and not ruleset.status and not ruleset.stdout.strip()
    spelt = [*_saved(saved, "iptables"), *_saved(saved6, "ip6tables")]
    both = {(each.family, each.table) for each in spelt}
    named = {(each.family, each.table, each.name) for each in spelt}
    chains = [each for each in chains if (each.family, each.table, each.name) not in named] + spelt
    kept = [each for each in chains if each.family != "ip6" or (each.family, each.table) not in foreign - both]
    found = [*kept, *_saved(legacy, "iptables-legacy")]
    if silent and not any(each.rules for each in found):
        raise Missing(Gap(GapReason.FAILED, "nft -j list ruleset printed nothing, not even an empty ruleset"))
    return Ruleset.of(found, partial=silent)


def _saved(told: CommandResult | Gap, program: str) -> list[Chain]:
    """The chains that the program printed. Raises Missing where it is there and gave no answer, or printed something else."""
    if isinstance(told, Gap) and told.reason in (GapReason.TIMEOUT, GapReason.FAILED):
        raise Missing(told)
    if isinstance(told, Gap) or told.status != 0:
        return []
    try:
        return iptables.parse(told.stdout, program)
    except ValueError as error:
        raise Missing(Gap(GapReason.FAILED, f"{program}-save: {error}")) from error


def _demand(ruleset: CommandResult | Gap, saved: CommandResult | Gap) -> None:
    """Without nft the rules of iptables must be there; a host with neither program has no filter that it could manage.

    An nft that is there and tells nothing may hide rules that iptables-save does not know; a kernel without nf_tables has none.
    """
    unsupported = isinstance(ruleset, CommandResult) and "not supported" in ruleset.stderr
    if (unsupported or is_absent(ruleset)) and isinstance(saved, CommandResult) and saved.status == 0:
        return
    for each in (ruleset, saved):
        if is_unseen(each):
            raise Missing(each)
        if isinstance(each, CommandResult):
            denied = "Operation not permitted" in each.stderr or "you must be root" in each.stderr
            reason = GapReason.DENIED if denied else GapReason.FAILED
            raise Missing(Gap(reason, each.stderr.strip()[:200], "needs root" if denied else ""))


def backend_of(rules: Ruleset) -> Backend:
    """Who made the rules, by the names of tables and chains."""
    if any(each.table == "firewalld" or each.name in ("IN_public", "INPUT_ZONES") for each in rules.chains):
        return Backend.FIREWALLD
    if any(each.name == "ufw-user-input" for each in rules.chains):
        return Backend.UFW
    if not rules.filters:
        return Backend.NONE
    return Backend.NFTABLES if any(each.origin == "nft" and each.rules for each in rules.chains) else Backend.IPTABLES


def _firewalld(ask: Ask) -> tuple[tuple[Zone, ...], str]:
    config = ask.maybe(ReadFile(f"{_ETC}/firewalld.conf"))
    default = re.search(r"^DefaultZone=(\S+)", config.text if isinstance(config, FileText) else "", re.M)
    listed = ask.all([ListDirectory(f"{_ETC}/zones"), ListDirectory(f"{_LIB}/zones")])
    paths: dict[str, str] = {}
    for each in listed:
        for entry in () if isinstance(each, Gap) else each.entries:
            name = entry.path.rpartition("/")[2]
            if name.endswith(".xml"):
                paths.setdefault(name.removesuffix(".xml"), entry.path)
    texts = ask.all([ReadFile(path) for path in paths.values()])
    zones = [
        parse_zone(name, path, text.text)
        for (name, path), text in zip(paths.items(), texts, strict=True)
        if isinstance(text, FileText)
    ]
    return tuple(zones), default[1] if default else "public"


def parse_zone(name: str, path: str, text: str) -> Zone:
    """A zone file, firewalld.zone(5); read by its elements alone, as firewalld itself writes them."""
    text = re.sub(r"<!--.*?-->", "", text, flags=re.S)
    outside = re.sub(r"<rule\b.*?</rule>", "", text, flags=re.S)
    ports = {SERVICES[each] for each in re.findall(r'<service\s+name="([^"]+)"', outside) if each in SERVICES}
    for first, second in re.findall(r"<port\s+([^>]*?)\s*/?>()", outside):
        del second
        number, protocol = (re.search(rf'{key}="([^"]+)"', first) for key in ("port", "protocol"))
        if number and protocol and protocol[1] == "tcp":
            low, _, high = number[1].partition("-")
            ports |= {each for each in SERVICES.values() if int(low) <= each <= int(high or low)}
    target = re.search(r'<zone\b[^>]*\btarget="([^"]+)"', text)
    return Zone(
        name,
        frozenset(ports),
        tuple(re.findall(r'<interface\s+name="([^"]+)"', text)),
        target[1] if target else "default",
        "<rule" in text,
        path,
    )


def _added(told: CommandResult | Gap) -> tuple[str, ...]:
    if isinstance(told, Gap):
        return ()
    return tuple(line.strip() for line in told.stdout.splitlines() if line.startswith("ufw "))


def _boot_rules(ask: Ask, backend: Backend) -> tuple[tuple[str, str], ...]:
    """The files that a boot loads the rules from, with their text."""
    paths = {
        Backend.NFTABLES: ("/etc/nftables.conf", "/etc/sysconfig/nftables.conf"),
        Backend.IPTABLES: ("/etc/iptables/rules.v4", "/etc/sysconfig/iptables"),
    }.get(backend, ())
    texts = ask.all([ReadFile(path) for path in paths])
    return tuple((path, text.text) for path, text in zip(paths, texts, strict=True) if isinstance(text, FileText))


@gatherer
def bans(ask: Ask) -> Bans:
    """Ask fail2ban, where it runs, which addresses it bans."""
    socket = ask.maybe(Stat("/run/fail2ban/fail2ban.sock"))
    if isinstance(socket, Gap):
        if socket.reason is GapReason.ABSENT:
            return Bans(running=False)
        raise Missing(socket)
    told = ask(command("fail2ban-client", "banned"))
    if told.status != 0:
        raise Missing(Gap(GapReason.FAILED, told.text.strip()[:200], "needs root" if "ermission" in told.text else ""))
    return Bans(True, parse_banned(told.stdout))


def parse_banned(text: str) -> tuple[Ban, ...]:
    """`fail2ban-client banned`: `[{'sshd': ['192.0.2.1']}, {'postfix-sasl': []}]`."""
    found = re.findall(r"'([^']+)': \[([^\]]*)\]", text)
    return tuple(Ban(jail, address) for jail, some in found for address in re.findall(r"'([^']+)'", some))
