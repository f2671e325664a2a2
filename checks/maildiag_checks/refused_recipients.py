"""Step 4, from the log: is mail taken for the people whose mailboxes are here?"""

from __future__ import annotations

from collections.abc import Iterator

from maildiag.facts.accounts import Accounts
from maildiag.facts.mail_log import MailLog
from maildiag.facts.postfix_config import PostfixConfig
from maildiag.facts.postfix_process import PostfixProcess
from maildiag.lint.context import words
from maildiag.logs.events import Reject, event_of
from maildiag.logs.lines import parse_line
from maildiag.logs.summary import ReasonGroup
from maildiag.model import Evidence, Fix, Step, Verdict, critical, ok, skipped
from maildiag.registry import SERVER, check
from maildiag.text import plural
from maildiag_checks._main_cf import setting, shown

RECIPIENTS = "connectivity.recipients"

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
