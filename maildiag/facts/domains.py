"""The domains that this host answers for, by class, and where the DNS sends mail for its own names."""

from __future__ import annotations

from maildiag.asking import Ask
from maildiag.facts.postfix_config import PostfixConfig
from maildiag.facts.relay import is_address
from maildiag.lint.context import words
from maildiag.lint.look_up import PATTERNS
from maildiag.lint.tables import tables_in
from maildiag.model import Gap
from maildiag.probes import Command, CommandResult, DnsAnswer, DnsLookup, DnsStatus, FileText, ReadFile, command
from maildiag.records import dataclass
from maildiag.registry import gatherer

CLASSES = ("mydestination", "virtual_alias_domains", "virtual_mailbox_domains", "relay_domains")
_MOST = 12
_NOBODYS = "maildiag-asks-for-nothing.invalid"


@dataclass(frozen=True, slots=True)
class Claim:
    """A domain in a class: `source` is the setting itself, or the table that has it."""

    domain: str
    parameter: str
    source: str


@dataclass(frozen=True, slots=True)
class OwnName:
    """A name of this host or its domain: what it is to Postfix, and the addresses that mail for it is sent to.

    `targets` are the hosts of its MX (or itself), `addresses` theirs; `ours` is true where one of them is this host,
    None where the DNS did not tell.
    """

    name: str
    role: str
    targets: tuple[str, ...] = ()
    addresses: tuple[str, ...] = ()
    ours: bool | None = None
    text: str = ""


@dataclass(frozen=True, slots=True)
class Domains:
    """All claims to domains that are written down, and this host's own names. `complete`: every table could be asked."""

    claims: tuple[Claim, ...]
    own: tuple[OwnName, ...]
    complete: bool = True

    def classes_of(self, domain: str) -> tuple[Claim, ...]:
        """The claims to a domain."""
        return tuple(each for each in self.claims if each.domain == domain)


@gatherer
def domains(ask: Ask, postfix_config: PostfixConfig) -> Domains:
    """Read the classes, ask their tables for the domains that are written down, and the DNS for the own names."""
    config = postfix_config
    written = [claim for name in CLASSES for claim in _written(config, name)]
    own = _own_names(ask, config)
    wanted = list(dict.fromkeys([*(claim.domain for claim in written), *(name for name, _ in own)]))[:_MOST]
    for name, _ in own:
        ask.begin(DnsLookup(name, "MX"))
    found, complete = _in_tables(ask, config, wanted)
    return Domains((*written, *found), tuple(_look_up(ask, config, name, role) for name, role in own), complete)


def _written(config: PostfixConfig, name: str) -> list[Claim]:
    listed = [word.lower() for word in words(config.get(name)) if ":" not in word and not word.startswith(("/", "!"))]
    return [Claim(word, name, name) for word in dict.fromkeys(listed)]


def _own_names(ask: Ask, config: PostfixConfig) -> list[tuple[str, str]]:
    origin = config.get("myorigin")
    if origin.startswith("/"):
        text = ask.maybe(ReadFile(origin))
        origin = text.text.strip().split("\n")[0] if isinstance(text, FileText) else ""
    named = {"myorigin": origin, "mydomain": config.get("mydomain"), "myhostname": config.get("myhostname")}
    found: dict[str, str] = {}
    for role, name in named.items():
        if "." in name and not name.startswith("localhost") and not name.endswith((".localdomain", ".local")):
            found.setdefault(name.lower(), role)
    return list(found.items())


def _in_tables(ask: Ask, config: PostfixConfig, wanted: list[str]) -> tuple[list[Claim], bool]:
    if config.fatal:
        return [], False
    questions: list[tuple[str, str, str, Command]] = []
    for name in CLASSES:
        for kind, path, _ in tables_in(config.get(name)):
            table = f"{kind}:{path}"
            if not _fits_everything(ask, kind, table):
                questions += [(name, table, domain, command("postmap", "-q", domain, table)) for domain in wanted]
    answers = ask.all([question for *_, question in questions])
    found: list[Claim] = []
    complete = True
    for (name, table, domain, _), answer in zip(questions, answers, strict=True):
        if isinstance(answer, CommandResult) and answer.status == 0 and answer.stdout.strip():
            found.append(Claim(domain, name, table))
        complete = complete and isinstance(answer, CommandResult) and not answer.stderr
    return found, complete


def _fits_everything(ask: Ask, kind: str, table: str) -> bool:
    """Patterns such as `/./` fit any text: a table of them is no list of domains."""
    told = ask.maybe(command("postmap", "-q", _NOBODYS, table)) if kind in PATTERNS else None
    return isinstance(told, CommandResult) and told.status == 0 and bool(told.stdout.strip())


def _look_up(ask: Ask, config: PostfixConfig, name: str, role: str) -> OwnName:
    mx = ask.maybe(DnsLookup(name, "MX"))
    if isinstance(mx, Gap) or not mx.knows:
        return OwnName(name, role)
    hosts = mx_hosts(mx) or (name,)
    answers = ask.all([DnsLookup(host, "A") for host in hosts])
    addresses = tuple(record for answer in answers if isinstance(answer, DnsAnswer) for record in answer.records)
    addresses = tuple(each for each in addresses if is_address(each))
    known = all(isinstance(answer, DnsAnswer) and answer.knows for answer in answers)
    text = f"{name} MX {', '.join(mx_hosts(mx)) or 'none'}; A {', '.join(addresses) or 'none'}"
    ours = bool(set(addresses) & config.addresses)
    return OwnName(name, role, hosts, addresses, ours if known or ours else None, text)


def mx_hosts(answer: DnsAnswer) -> tuple[str, ...]:
    """The hosts of an MX answer, the preferred first."""
    if answer.status is not DnsStatus.ANSWER:
        return ()
    pairs = sorted((int(parts[0]), parts[1].rstrip(".")) for each in answer.records if len(parts := each.split()) == 2)
    return tuple(host for _, host in pairs if host)
