"""Step 4, from the log: are own clients let in, and is mail taken for the people whose mailboxes are here?"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator
from dataclasses import dataclass

from maildiag.facts.accounts import Accounts
from maildiag.facts.mail_log import MailLog
from maildiag.facts.postfix_config import PostfixConfig
from maildiag.facts.postfix_process import PostfixProcess
from maildiag.facts.tables import Table, Tables
from maildiag.lint import networks, restrictions
from maildiag.lint.access import Decision, address_keys, client_keys, decision
from maildiag.lint.context import words
from maildiag.logs.events import Reject, event_of
from maildiag.logs.lines import parse_line
from maildiag.logs.summary import ReasonGroup
from maildiag.model import Confidence, Evidence, Fix, Risk, Step, Verdict, critical, ok, skipped, warning
from maildiag.probes import FileText
from maildiag.registry import SERVER, check
from maildiag.text import plural
from maildiag_checks._main_cf import setting, shown

CLIENTS = "connectivity.own-clients"
RECIPIENTS = "connectivity.recipients"

# Refusals that are the client's fault, that pass, or that other checks judge by their own evidence.
_NOT_HERE = re.compile(
    r"relay\.denied|mailbox\..*|(sender|recipient)\.domain|lookup\.temporary|filter\.unavailable|greylisted|disk\.full"
    r"|size\.exceeded|tls\..*|auth\..*|dns\..*|rate-limited|loop\..*"
)
# What no rule of access decides, and addresses that are wrong in themselves.
_CLIENTS_FAULT = re.compile(
    r"^(?!.*(rejected: |blocked using))|undeliverable|unverified|fully-qualified address|malformed|domain not found|not accept mail"
    r"|recipient address rejected: user unknown",
    re.IGNORECASE | re.DOTALL,
)
_ROOTS = (
    "services.lookup-tables",
    "services.main-cf",
    "services.master-cf",
    "connectivity.policy",
    "connectivity.milter",
    "connectivity.relay-access",
)


@dataclass(frozen=True, slots=True)
class _Refusal:
    """Equal refusals of an own client, the latest line among them, and what of the configuration refused."""

    group: ReasonGroup
    event: Reject
    line: str
    list: str
    word: str
    table: Table | None = None
    decided: Decision | None = None


@check(
    CLIENTS,
    step=Step.CONNECTIVITY,
    asks="Are the clients of the own networks let in?",
    roles=SERVER,
    explained_by=("connectivity.restrictions", *_ROOTS),
)
def own_clients(
    log: MailLog, postfix_config: PostfixConfig, postfix_process: PostfixProcess | None, tables: Tables | None
) -> Iterator[Verdict]:
    """A rule against strangers that stands before permit_mynetworks meets application servers too. Source: SMTPD_ACCESS_README."""
    config = postfix_config
    if not config.settings:
        yield skipped("Postfix refuses its configuration; see services.main-cf")
        return
    found: dict[str, list[_Refusal]] = {}
    for each in _refusals(log, config, tables):
        found.setdefault(each.list, []).append(each)
    for name, refusals in found.items():
        yield _refused(name, refusals, log, config, postfix_process)
    if not found:
        yield ok("No client of the own networks was refused by a rule", evidence=shown(config, "mynetworks"))


def _refusals(log: MailLog, config: PostfixConfig, tables: Tables | None) -> Iterator[_Refusal]:
    own = [found for word in words(config.get("mynetworks")) if (found := networks.network(word))]
    for group in log.summary.reasons:
        if group.status != "rejected" or group.over or _NOT_HERE.fullmatch(group.reason.meaning):
            continue
        if group.reason.code == "451":
            continue  # a table, a policy service or the configuration failed: no rule refused
        for line in reversed(group.samples):
            parsed = parse_line(line, log.since)
            event = event_of(parsed) if parsed else None
            if isinstance(event, Reject) and _within(event.address, own) and not _CLIENTS_FAULT.search(event.reason):
                yield _origin(group, event, line, config, tables)
                break


def _within(address: str, own: list[networks.Network]) -> bool:
    """In mynetworks, and another host: what this host says to itself is judged by connectivity.smtp."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return False
    return not found.is_loopback and any(found in each for each in own if each.version == found.version)


_SUBJECTS = (
    (re.compile(r"client host (?:\S+ )?(?:rejected|blocked)|blocked using", re.IGNORECASE), "client"),
    (re.compile(r"helo command rejected", re.IGNORECASE), "helo"),
    (re.compile(r"sender address rejected", re.IGNORECASE), "sender"),
    (re.compile(r"recipient address rejected", re.IGNORECASE), "recipient"),
)
_OWN_NAMES = {
    "client": r"check_(client|reverse_client_hostname|ccert|sasl)_.*access|reject_unknown_(reverse_)?client.*|reject_rbl_client|reject_maps_rbl",
    "helo": r"check_helo_.*access|reject_(invalid|non_fqdn|unknown)_(helo_)?hostname",
    "sender": r"check_sender_.*access|reject_\w*sender\w*|reject_rhsbl_sender",
    "recipient": r"check_recipient_.*access|reject_\w*recipient\w*|reject_multi_recipient_bounce",
}
# What smtpd says of each test, where several of a kind may be set (smtpd_check.c).
_SAID = (
    (r"need fully-qualified", "non_fqdn"),
    (r"invalid (name|ip address)", "invalid"),
    (r"cannot find your reverse hostname", "reverse_client"),
    (r"cannot find your hostname", r"unknown_client(_hostname)?$"),
    (r"blocked using", "rbl|rhsbl"),
    (r"not found", "unknown"),
    (r"undeliverable|unverified", "unverified"),
)


def _said_by(name: str, reason: str) -> bool:
    """True where these words are this restriction's own."""
    own = next((words for said, words in _SAID if re.search(said, reason, re.IGNORECASE)), "")
    return bool(own and re.search(own, name))


def _origin(group: ReasonGroup, event: Reject, line: str, config: PostfixConfig, tables: Tables | None) -> _Refusal:
    """The restriction that says what the client was told: a table's line, a test of its kind, a plain `reject`."""
    about = next((name for pattern, name in _SUBJECTS if pattern.search(event.reason)), "")
    keys = _keys(about, event, line)
    lists = {name: restrictions.parse(config.context.words(name)) for name in restrictions.LISTS}
    for name, parsed in lists.items():
        for each in parsed:
            table = _table(each.argument or each.name, tables)
            if (
                table is not None
                and isinstance(table.text, FileText)
                and re.fullmatch(_OWN_NAMES.get(about, ""), each.name)
            ):
                decided = decision(table.text.text, table.use.type, keys)
                if decided is not None and decided.refuses:
                    return _Refusal(group, event, line, name, f"{each.name} {each.argument}", table, decided)
    if (
        about == "sender"
        and "user unknown" in event.reason.lower()
        and config.context.yes("smtpd_reject_unlisted_sender")
    ):
        return _Refusal(group, event, line, "smtpd_reject_unlisted_sender", "smtpd_reject_unlisted_sender = yes")
    tests = [
        (name, each)
        for name, parsed in lists.items()
        for each in parsed
        if about and re.fullmatch(_OWN_NAMES[about], each.name) and not each.name.startswith("check_")
    ]
    if tests:
        name, test = min(tests, key=lambda found: not _said_by(found[1].name, event.reason))
        return _Refusal(group, event, line, name, f"{test.name} {test.argument}".strip())
    plain = f"smtpd_{about}_restrictions" if about else "smtpd_recipient_restrictions"
    last = [each.name for each in lists.get(plain, ()) if each.name in ("reject", "defer")]
    return _Refusal(group, event, line, plain, last[-1] if last else "")


def _keys(about: str, event: Reject, line: str) -> tuple[str, ...]:
    if about == "client":
        return client_keys(event.client, event.address)
    field = {"sender": "from", "recipient": "to", "helo": "helo"}.get(about, "from")
    match = re.search(rf"\b{field}=<?([^>\s]*)>?", line)
    return address_keys(match[1]) if match else ()


def _table(word: str, tables: Tables | None) -> Table | None:
    return next((each for each in tables.tables if each.name == word), None) if tables else None


def _refused(
    name: str, refusals: list[_Refusal], log: MailLog, config: PostfixConfig, process: PostfixProcess | None
) -> Verdict:
    first = refusals[0]
    success, last = log.summary.last_success, first.group.last
    passed_since = success is not None and last is not None and success > last
    clients = list(dict.fromkeys(f"{each.event.client}[{each.event.address}]" for each in refusals))
    where = f"{first.table.use.path} line {first.decided.number}" if first.table and first.decided else name
    by = f"{where}: {first.decided.text}" if first.decided else f"{name}: {first.word}" if first.word else name
    return (warning if passed_since else critical)(
        f"The own client {clients[0]} is refused by {by}",
        subject=name,
        detail=f"It was told: {first.event.reason}. {plural(sum(each.group.count for each in refusals), 'refusal')} since the last "
        "start or reload; what it sends is returned to the sender, or waits there.",
        data={"clients": list(clients), "list": name, "restriction": first.word},
        evidence=(*shown(config, name), *_lines(first), *(Evidence(log.source, each.line) for each in refusals[:2])),
        fixes=_let_in(name, config, process),
        explained_by=(f"connectivity.restrictions@{name}", *_ROOTS, "connectivity.recipients"),
        confidence=Confidence.LIKELY,
    )


def _lines(refusal: _Refusal) -> tuple[Evidence, ...]:
    if refusal.table is None or refusal.decided is None:
        return ()
    return (Evidence(f"{refusal.table.use.path}:{refusal.decided.number}", refusal.decided.text),)


def _let_in(name: str, config: PostfixConfig, process: PostfixProcess | None) -> tuple[Fix, ...]:
    if name == "smtpd_reject_unlisted_sender":
        return (setting(CLIENTS, "any-sender", f"Set {name} to no", config, process, (name, "no")),)
    rest = [f"{each.name} {each.argument}".strip() for each in restrictions.parse(config.context.words(name))]
    if rest[:1] == ["permit_mynetworks"]:
        return ()
    value = ", ".join(["permit_mynetworks", *(each for each in rest if each != "permit_mynetworks")])
    return (
        setting(
            CLIENTS, f"order-{name}", f"Put permit_mynetworks first in {name}", config, process, (name, value),
            risk=Risk.MEDIUM, why="If the client is refused on purpose, leave it. Better than this: correct the rule itself.",
        ),
    )  # fmt: skip


_CLASSES = {
    "local recipient table": "local_recipient_maps",
    "virtual alias table": "virtual_alias_domains",
    "virtual mailbox table": "virtual_mailbox_domains",
    "relay recipient table": "relay_recipient_maps",
}


@check(
    RECIPIENTS,
    step=Step.CONNECTIVITY,
    asks="Does Postfix take mail for the people who have their mailboxes here?",
    roles=SERVER,
    explained_by=("connectivity.domains", "services.lookup-tables", "services.main-cf", "dns.chroot"),
)
def recipients(
    log: MailLog, postfix_config: PostfixConfig, postfix_process: PostfixProcess | None, accounts: Accounts | None
) -> Iterator[Verdict]:
    """Who is known is told by the table of the domain's class, not by the system. Source: LOCAL_RECIPIENT_README, ADDRESS_CLASS_README."""
    if accounts is None:
        yield skipped("The accounts of this host are not known")
        return
    people = {each.name.lower() for each in accounts.people}
    own = _own_domains(postfix_config)
    unknown: dict[str, list[tuple[Reject, str, ReasonGroup]]] = {}
    for group in log.summary.reasons:
        if group.status != "rejected" or group.over or group.reason.meaning != "mailbox.unknown-user":
            continue
        for line in group.samples:
            parsed = parse_line(line, log.since)
            event = event_of(parsed) if parsed else None
            if isinstance(event, Reject) and (name := _named(event, people, own)):
                unknown.setdefault(name, []).append((event, line, group))
    for name, events in unknown.items():
        yield _unknown(name, events, log, postfix_config, postfix_process)
    if not unknown:
        yield ok(
            "Nobody who has an account here was called unknown", evidence=(Evidence(log.source, "no such refusal"),)
        )


def _own_domains(config: PostfixConfig) -> frozenset[str]:
    names = [
        config.get("myhostname"),
        config.get("mydomain"),
        config.get("myorigin"),
        *words(config.get("mydestination")),
    ]
    return frozenset(name.lower() for name in names if "." in name)


def _named(event: Reject, people: set[str], own: frozenset[str]) -> str:
    """The parameter that calls a person of this host unknown, or ""."""
    user, _, domain = event.to.lower().rpartition("@")
    table = next((name for words_, name in _CLASSES.items() if words_ in event.reason), "")
    return table if user in people and domain in own else ""


def _unknown(
    name: str,
    events: list[tuple[Reject, str, ReasonGroup]],
    log: MailLog,
    config: PostfixConfig,
    process: PostfixProcess | None,
) -> Verdict:
    addresses = list(dict.fromkeys(event.to for event, *_ in events))
    domain = addresses[0].rpartition("@")[2]
    by = (
        f"{config.main.where(name).rpartition('/')[2].replace(':', ' line ')}: {name}"
        if config.main.entry(name)
        else name
    )
    told = (
        f"{by} makes {domain} a domain of another class than the accounts"
        if name.endswith("_domains")
        else f"{by} does not name them"
    )
    return critical(
        f"Mail for {addresses[0]} is refused as unknown, though the account is here: {told}",
        subject=name,
        detail=f"{plural(len(addresses), 'address')} of people with an account: {', '.join(addresses[:5])}. smtpd says: {events[-1][0].reason}",
        data={"addresses": list(addresses), "setting": name},
        evidence=(*shown(config, name, "mydestination"), Evidence(log.source, events[-1][1])),
        fixes=_know(name, config, process),
    )


def _know(name: str, config: PostfixConfig, process: PostfixProcess | None) -> tuple[Fix, ...]:
    if name != "local_recipient_maps" or config.main.entry(name) is None:
        return ()
    usual = "proxy:unix:passwd.byname $alias_maps"
    return (
        setting(
            RECIPIENTS, "know-accounts", f"Set {name} to its default: {usual}", config, process, (name, usual),
            automatic=True, why="The accounts and the aliases, as Postfix does without the setting.",
        ),
    )  # fmt: skip
