"""Mail that a rule of this host threw away: nobody is told, neither sender nor recipient."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator

from maildiag.facts.mail_log import MailLog
from maildiag.facts.postfix_config import PostfixConfig
from maildiag.facts.tables import Tables
from maildiag.lint import networks
from maildiag.lint.lines import logical_lines
from maildiag.logs.normal import normalise
from maildiag.logs.summary import ReasonGroup
from maildiag.model import Evidence, JsonValue, Status, Verdict
from maildiag.probes import FileText
from maildiag.text import plural
from maildiag_checks._own_clients import own_networks
from maildiag_checks._queue_reasons import ROOTS, log_evidence

_FEW = 3
_BY = {
    "header": "header_checks",
    "mime": "mime_header_checks",
    "nested": "nested_header_checks",
    "body": "body_checks",
    "END-OF-MESSAGE": "a milter",
}


def discarded(log: MailLog, config: PostfixConfig | None, tables: Tables | None) -> Iterator[Verdict]:
    """Few are a rule against spam; where own clients' mail goes and none was delivered since, the rule fits too much.

    Source: header_checks(5), access(5): DISCARD.
    """
    found = tuple(each for each in log.summary.reasons if each.status == "discarded")
    if not found:
        return
    count = sum(each.count for each in found)
    kinds = dict.fromkeys(each.reason.text.partition(":")[0] for each in found)
    rules = tuple(_rules(found, tables))
    ids: list[JsonValue] = [*[one for each in found for one in each.queue_ids][:20]]
    yield Verdict(
        status=Status.WARNING if _too_much(found, log, config) else Status.NOTICE,
        title=f"{plural(count, 'message')} {'was' if count == 1 else 'were'} thrown away without a word by "
        + (
            rules[0].source.replace(":", " line ")
            if rules
            else ", ".join(_BY.get(each, "an access table") for each in kinds)
        ),
        detail="DISCARD tells neither the sender nor the recipient, and keeps no copy.",
        subject="discarded",
        evidence=(*rules[:2], *log_evidence(log, found)),
        explained_by=(*(f"connectivity.restrictions@{name}" for name in _names(tables)), *ROOTS),
        data={"messages": count, "status": "discarded", "ids": ids},
    )


def _too_much(found: tuple[ReasonGroup, ...], log: MailLog, config: PostfixConfig | None) -> bool:
    """Several of own clients since the last start, and no delivery after the first of them."""
    own = [each for each in found if not each.over and _of_own_clients(each, config)]
    first = min((each.first for each in own if each.first), default=None)
    success = log.summary.last_success
    since = first is not None and (success is None or success < first)
    return sum(each.since_start for each in own) >= _FEW and since


def _of_own_clients(group: ReasonGroup, config: PostfixConfig | None) -> bool:
    """All of them came from mynetworks or from this host."""
    own = own_networks(config) if config else []
    return all(not client or _within(client, own) for client in group.clients)


def _within(client: str, own: list[networks.Network]) -> bool:
    try:
        address = ipaddress.ip_address(client)
    except ValueError:
        return False
    return address.is_loopback or any(address in each for each in own if each.version == address.version)


def _rules(found: tuple[ReasonGroup, ...], tables: Tables | None) -> Iterator[Evidence]:
    """The lines of tables that discard with the words that the log repeats."""
    said = {each.reason.text.partition(": ")[2].lower() for each in found}
    for table in tables.tables if tables else ():
        if not isinstance(table.text, FileText):
            continue
        for logical in logical_lines(table.text.text):
            before, action, text = logical.text.strip().partition("DISCARD")
            own = normalise(text.strip()).lower()
            if action and before and any(own == each or (own and each.endswith(f" {own}")) for each in said):
                yield Evidence(f"{table.use.path}:{logical.first}", logical.text.strip())


def _names(tables: Tables | None) -> tuple[str, ...]:
    return tuple(each.name for each in tables.tables) if tables else ()
