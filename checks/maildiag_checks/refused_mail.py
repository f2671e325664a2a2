"""Step 4, from the log: are own clients let in?"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

from maildiag.facts.mail_log import MailLog
from maildiag.facts.postfix_config import PostfixConfig
from maildiag.facts.postfix_process import PostfixProcess
from maildiag.facts.tables import Table, Tables
from maildiag.lint import restrictions
from maildiag.lint.access import Decision, address_keys, client_keys, decision
from maildiag.lint.context import words
from maildiag.lint.cure import CHECKED
from maildiag.lint.master_cf import Service
from maildiag.logs.events import Reject, event_of
from maildiag.logs.lines import parse_line
from maildiag.logs.summary import ReasonGroup
from maildiag.model import Confidence, Evidence, Fix, Risk, Step, Verdict, critical, ok, skipped, warning
from maildiag.probes import FileText
from maildiag.records import dataclass
from maildiag.registry import SERVER, check
from maildiag.text import plural
from maildiag_checks._main_cf import setting, shown
from maildiag_checks._own_clients import CLIENTS, is_own, own_networks
from maildiag_checks._postscreen import denylisted

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
    """Equal refusals of an own client, the latest line among them, and what of the configuration refused; `service` where
    its entry in master.cf has a list of its own.
    """

    group: ReasonGroup
    event: Reject
    line: str
    list: str
    word: str
    table: Table | None = None
    decided: Decision | None = None
    service: Service | None = None


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
    found: dict[tuple[str, str], list[_Refusal]] = {}
    for each in _refusals(log, config, tables):
        found.setdefault((each.list, each.service.key if each.service else ""), []).append(each)
    told = [_refused(name, refusals, log, config, postfix_process) for (name, _), refusals in found.items()]
    told += denylisted(log, config, postfix_process, tables)
    yield from told
    if not told:
        yield ok("No client of the own networks was refused by a rule", evidence=shown(config, "mynetworks"))


def _refusals(log: MailLog, config: PostfixConfig, tables: Tables | None) -> Iterator[_Refusal]:
    own = own_networks(config)
    for group in log.summary.reasons:
        if group.status != "rejected" or group.over or _NOT_HERE.fullmatch(group.reason.meaning):
            continue
        if group.reason.code == "451":
            continue  # a table, a policy service or the configuration failed: no rule refused
        for line in reversed(group.samples):
            parsed = parse_line(line, log.since)
            event = event_of(parsed) if parsed else None
            if isinstance(event, Reject) and is_own(event.address, own) and not _CLIENTS_FAULT.search(event.reason):
                service = _service(line, config)
                refusal = _origin(group, event, line, _Lists(config, service), tables)
                own_list = service is not None and service.override(refusal.list) is not None
                yield replace(refusal, service=service if own_list else None)
                break


@dataclass(frozen=True, slots=True)
class _Lists:
    """The settings as a service of master.cf has them: its own `-o`, or main.cf's."""

    config: PostfixConfig
    service: Service | None

    def words(self, name: str) -> tuple[str, ...]:
        """The words of a list; a name in an `-o` stands for the parameter's value."""
        own = self.service.override(name) if self.service else None
        if own is None:
            return self.config.context.words(name)
        return tuple(
            each
            for word in words(own)
            for each in (self.config.context.words(word.strip("${}()")) if word[0] == "$" else (word,))
        )


_TAG = re.compile(r"\s(?P<name>\S+)/smtpd\[\d+\]:")


def _service(line: str, config: PostfixConfig) -> Service | None:
    """The service of master.cf whose log name the line has, where it is the only one."""
    tag = _TAG.search(line)
    usual = config.get("syslog_name") or "postfix"
    found = [
        each
        for each in config.master.running("smtpd")
        if tag and (each.override("syslog_name") or usual) == tag["name"]
    ]
    return found[0] if len(found) == 1 else None


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


_OTHER_LOGIN = re.compile(r"not (?:owned by user|logged in)", re.IGNORECASE)
_LOGIN_MAPS = "smtpd_sender_login_maps"


def _origin(group: ReasonGroup, event: Reject, line: str, own: _Lists, tables: Tables | None) -> _Refusal:
    """The restriction that says what the client was told: a table's line, a test of its kind, a plain `reject`."""
    config = own.config
    if _OTHER_LOGIN.search(event.reason):
        return _Refusal(group, event, line, _LOGIN_MAPS, ", ".join(own.words(_LOGIN_MAPS)))
    about = next((name for pattern, name in _SUBJECTS if pattern.search(event.reason)), "")
    keys = _keys(about, event, line)
    lists = {name: restrictions.parse(own.words(name)) for name in restrictions.LISTS}
    for name, parsed in lists.items():
        for each in parsed:
            table = tables.named(each.argument or each.name) if tables else None
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


def _refused(
    name: str, refusals: list[_Refusal], log: MailLog, config: PostfixConfig, process: PostfixProcess | None
) -> Verdict:
    first = refusals[0]
    success, last = log.summary.last_success, first.group.last
    passed_since = success is not None and last is not None and success > last
    clients = list(dict.fromkeys(f"{each.event.client}[{each.event.address}]" for each in refusals))
    place = f"{name} of {first.service.key} in master.cf" if first.service else name
    where = f"{first.table.use.path} line {first.decided.number}" if first.table and first.decided else place
    by = f"{where}: {first.decided.text}" if first.decided else f"{place}: {first.word}" if first.word else place
    logins = first.service is not None and "permit_sasl_authenticated" in words(first.service.override(name) or "")
    return (warning if passed_since or logins else critical)(
        f"The own client {clients[0]} is refused by {by}" + (", for it has not logged in" if logins else ""),
        subject=f"{first.service.key}/{name}" if first.service else name,
        detail=f"It was told: {first.event.reason}. {plural(sum(each.group.count for each in refusals), 'refusal')} since the last "
        "start or reload; what it sends is returned to the sender, or waits there.",
        data={"clients": list(clients), "list": name, "restriction": first.word},
        evidence=(
            *(_option(first.service, name, config) if first.service else shown(config, name)),
            *_lines(first),
            *(Evidence(log.source, each.line) for each in refusals[:2]),
        ),
        fixes=_let_in(name, first, config, process),
        explained_by=(f"connectivity.restrictions@{name}", *_ROOTS, "connectivity.recipients"),
        confidence=Confidence.LIKELY,
    )


def _lines(refusal: _Refusal) -> tuple[Evidence, ...]:
    if refusal.table is None or refusal.decided is None:
        return ()
    return (Evidence(f"{refusal.table.use.path}:{refusal.decided.number}", refusal.decided.text),)


def _option(service: Service, name: str, config: PostfixConfig) -> tuple[Evidence, ...]:
    """The lines of the service that set it."""
    lines = [each for each in service.logical.lines if f"{name}=" in each.text or f"{name} =" in each.text]
    return tuple(Evidence(config.master.path, f"{each.number}: {each.text.strip()}") for each in lines)


def _let_in(name: str, refusal: _Refusal, config: PostfixConfig, process: PostfixProcess | None) -> tuple[Fix, ...]:
    if name == _LOGIN_MAPS:
        return (
            Fix(
                id=f"{CLIENTS}/owner",
                title="Name the login beside the address in the table, or send with an address of one's own",
                verify=(CLIENTS,),
                why="Who may use the address cannot be told from here.",
                ask=f"{refusal.event.reason}\n"
                + "\n".join(f"postmap -q ADDRESS {each}" for each in refusal.word.split(", ")),
            ),
        )
    if refusal.service is not None:
        return _let_logins_in(name, refusal.service, config, process)
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


def _let_logins_in(
    name: str, service: Service, config: PostfixConfig, process: PostfixProcess | None
) -> tuple[Fix, ...]:
    """A service for users' programs lets those in that have logged in."""
    rest = words(service.override(name) or "")
    if "permit_sasl_authenticated" in rest or not all(re.fullmatch(r"\w+", each) for each in rest):
        return ()
    effect = (process or PostfixProcess(False, False)).reload
    value = ",".join(["permit_sasl_authenticated", *rest])
    return (
        Fix(
            id=f"{CLIENTS}/logins-{name}",
            title=f"Let logins in first in {name} of {service.key}",
            commands=(("postconf", "-P", f"{service.key}/{name}={value}"), effect),
            risk=Risk.MEDIUM,
            changes=(config.master.path,),
            undo=(effect,),
            verify=(CLIENTS,),
            guards=CHECKED,
            why="If the client is refused on purpose, leave it.",
        ),
    )
