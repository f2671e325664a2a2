"""Does each domain belong to one class, and do the own names belong to any?"""

from __future__ import annotations

import re
from collections.abc import Iterator

from maildiag.facts.domains import Domains, OwnName
from maildiag.facts.mail_log import MailLog
from maildiag.facts.postfix_config import PostfixConfig
from maildiag.facts.postfix_process import PostfixProcess
from maildiag.lint.context import words
from maildiag.model import Evidence, Fix, HostRole, Role, Step, Verdict, critical, notice, ok, skipped, warning
from maildiag.registry import check
from maildiag_checks._main_cf import setting, shown

ID = "connectivity.domains"


@check(
    ID,
    step=Step.CONNECTIVITY,
    asks="Does each own domain belong to exactly one class of domains?",
    explained_by=("services.main-cf", "services.lookup-tables"),
)
def own_domains(
    postfix_config: PostfixConfig,
    postfix_process: PostfixProcess | None,
    domains: Domains,
    role: HostRole | None,
    log: MailLog | None,
) -> Iterator[Verdict]:
    """Postfix treats a domain by its class: local, virtual, relay, or somebody else's. Source: ADDRESS_CLASS_README."""
    config = postfix_config
    if not config.settings:
        yield skipped("Postfix refuses its configuration; see services.main-cf")
        return
    server = role is None or role.role is Role.MAIL_SERVER
    found = [*_twice(config, postfix_process, domains), *_nowhere(config, postfix_process, domains, server)]
    found += _relayed_here(config, domains)
    if server and log is not None:
        found += _comes_back(config, postfix_process, domains, log, {each.subject for each in found})
    if not server:
        found += _taken(config, postfix_process, domains)
    yield from found
    if not any(each.status.failing for each in found):
        classes = ", ".join(dict.fromkeys(each.parameter for each in domains.claims)) or "no class"
        yield ok(f"Each own domain is in one class ({classes})", evidence=shown(config, "mydestination"))


def _twice(config: PostfixConfig, process: PostfixProcess | None, domains: Domains) -> Iterator[Verdict]:
    """A domain of two classes: trivial-rewrite(8) takes the first and warns."""
    for domain in dict.fromkeys(each.domain for each in domains.claims):
        names = list(dict.fromkeys(each.parameter for each in domains.classes_of(domain)))
        if len(names) < 2 or (set(names) == {"mydestination", "relay_domains"} and _relay_default(config)):
            continue
        first, other = _pair(names)
        virtual = other != "relay_domains"
        rest = ", ".join(word for word in words(_raw(config, first)) if _expands(config, word) != domain)
        written = any(each.source == first for each in domains.classes_of(domain) if each.parameter == first)
        yield (critical if virtual else warning)(
            f"{domain} is in {first} and in {other}: Postfix serves it by the first only",
            subject=domain,
            detail=f"Its users in the other class do not exist for Postfix: 550 User unknown. {domain} is found in "
            + ", ".join(dict.fromkeys(each.source for each in domains.classes_of(domain)))
            + ".",
            data={"domain": domain, "classes": list(names)},
            evidence=shown(config, first, other),
            fixes=(setting(ID, f"take-out-{domain}", f"Take {domain} out of {first}", config, process, (first, rest)),)
            if written and rest != _raw(config, first)
            else (),
        )


def _relayed_here(config: PostfixConfig, domains: Domains) -> Iterator[Verdict]:
    """A relay domain is handed on to its MX; where that is this host and no table says otherwise, mail loops (RFC 5321 5.1)."""
    forwarded = config.get("relayhost") or config.get("transport_maps") or ":" in config.get("relay_transport")
    for own in domains.own if not forwarded else ():
        classes = {each.parameter for each in domains.classes_of(own.name)}
        if classes != {"relay_domains"} or not own.ours:
            continue
        yield critical(
            f"{own.name} is in relay_domains, and its MX is this host: its mail goes round and is returned",
            subject=own.name,
            detail="smtp(8) says: mail for the domain loops back to myself. A domain whose mailboxes are here belongs to mydestination; "
            "one that is passed on needs a line in transport_maps with the host it goes to.",
            evidence=(*shown(config, "relay_domains", "mydestination", "transport_maps"), Evidence("DNS", own.text)),
        )


def _pair(names: list[str]) -> tuple[str, str]:
    first = names[0]
    virtual = [name for name in names[1:] if name.startswith("virtual")]
    return first, (virtual or names[1:])[0]


def _relay_default(config: PostfixConfig) -> bool:
    """Postfix 2 made relay_domains what mydestination is, and compatibility_level below 2 still does."""
    return config.main.entry("relay_domains") is None


def _raw(config: PostfixConfig, name: str) -> str:
    entry = config.main.entry(name)
    return entry.value if entry else config.get(name)


def _expands(config: PostfixConfig, word: str) -> str:
    return config.get(word.strip("${}()")).lower() if word.startswith("$") else word.lower()


def _nowhere(
    config: PostfixConfig, process: PostfixProcess | None, domains: Domains, server: bool
) -> Iterator[Verdict]:
    """An own name whose mail the DNS sends here, and that Postfix takes for somebody else's."""
    if not server:
        return
    for own in domains.own:
        if domains.classes_of(own.name) or not own.ours:
            continue
        if own.name == config.get("myhostname") and own.targets == (own.name,) and own.role == "myhostname":
            judge, title = notice, f"{own.name} is in no class of domains, though its address is this host's"
        else:
            judge, title = critical, f"Mail for {own.name} comes to this host, but no class of domains holds it"
        yield judge(
            title,
            subject=own.name,
            detail="Postfix takes it for somebody else's domain: it refuses mail for it (Relay access denied), and what it "
            "sends there itself comes back (mail loops back to myself).",
            data={"domain": own.name, "role": own.role},
            evidence=(*shown(config, "mydestination"), Evidence(f"dig {own.name} MX", own.text)),
            fixes=_take_in(config, process, own.name, _word(own)) if domains.complete else (),
        )


def _word(own: OwnName) -> str:
    return f"${own.role}" if own.role in ("mydomain", "myhostname") else own.name


_LOOPS = re.compile(r"\(mail for (?P<domain>[\w.-]+\.[\w-]+) loops back to myself\)")


def _comes_back(
    config: PostfixConfig, process: PostfixProcess | None, domains: Domains, log: MailLog, told: set[str]
) -> Iterator[Verdict]:
    """What smtp(8) says of a domain whose MX is this host, and that no class holds: the name may be in no setting at all."""
    groups = [each for each in log.summary.reasons if each.reason.meaning == "loop.self" and not each.over]
    for group in groups:
        match = _LOOPS.search(group.samples[-1])
        domain = match["domain"].lower() if match else ""
        if not domain or domain in told or domains.classes_of(domain):
            continue
        told.add(domain)
        yield critical(
            f"Mail for {domain} comes to this host, but no class of domains holds it",
            subject=domain,
            detail="The DNS names this host as its mail exchanger, and Postfix takes it for somebody else's domain.",
            data={"domain": domain, "role": "looped"},
            evidence=(*shown(config, "mydestination", "mydomain"), Evidence(log.source, group.samples[-1], group.last)),
            fixes=_take_in(config, process, domain, domain) if domains.complete else (),
        )


def _take_in(config: PostfixConfig, process: PostfixProcess | None, name: str, word: str) -> tuple[Fix, ...]:
    value = ", ".join([*words(_raw(config, "mydestination")), word])
    return (setting(ID, f"take-in-{name}", f"Add {name} to mydestination", config, process, ("mydestination", value)),)


def _taken(config: PostfixConfig, process: PostfixProcess | None, domains: Domains) -> Iterator[Verdict]:
    """A relay client that keeps the mail of the domain that the relay serves."""
    for own in domains.own:
        local = [each for each in domains.classes_of(own.name) if each.parameter == "mydestination"]
        if not local or own.ours is not False or own.name == config.get("myhostname") or not config.get("relayhost"):
            continue
        rest = ", ".join(word for word in words(_raw(config, "mydestination")) if _expands(config, word) != own.name)
        yield critical(
            f"mydestination holds {own.name}: this host keeps its mail instead of forwarding it",
            subject=own.name,
            detail=f"The DNS sends mail for {own.name} to {', '.join(own.targets)}. Here its users do not exist: bounced, unknown user.",
            evidence=(*shown(config, "mydestination", "relayhost"), Evidence(f"dig {own.name} MX", own.text)),
            fixes=(
                setting(
                    ID,
                    f"take-out-{own.name}",
                    f"Take {own.name} out of mydestination",
                    config,
                    process,
                    ("mydestination", rest),
                ),
            ),
        )
