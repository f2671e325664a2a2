"""What postscreen refuses by its own list."""

from __future__ import annotations

from collections.abc import Iterator

from maildiag.facts.mail_log import MailLog
from maildiag.facts.postfix_config import PostfixConfig
from maildiag.facts.postfix_process import PostfixProcess
from maildiag.facts.tables import Tables
from maildiag.lint.access import Decision, client_keys, decision
from maildiag.model import Confidence, Evidence, Risk, Verdict, critical
from maildiag.probes import FileText
from maildiag.records import dataclass
from maildiag_checks._main_cf import setting, shown
from maildiag_checks._own_clients import CLIENTS, is_own, own_networks

_POSTSCREEN = "postscreen_access_list"


def denylisted(
    log: MailLog, config: PostfixConfig, process: PostfixProcess | None, tables: Tables | None
) -> Iterator[Verdict]:
    """Own clients on postscreen's list: it hears them, and lets nothing of them through. Source: postscreen(8)."""
    own = own_networks(config)
    clients = [each for each in log.summary.denylisted if is_own(each, own)]
    action = config.get("postscreen_denylist_action") or config.get("postscreen_blacklist_action")
    if not clients or action == "ignore":
        return
    decided = _decided(clients[0], config, tables)
    lines = (Evidence(f"{decided.path}:{decided.line.number}", decided.line.text),) if decided else ()
    by = f"{decided.path} line {decided.line.number}: {decided.line.text}" if decided else _POSTSCREEN
    rest = [each for each in config.context.words(_POSTSCREEN) if each != "permit_mynetworks"]
    yield critical(
        f"The own client {clients[0]} is refused by postscreen: {by}",
        subject=_POSTSCREEN,
        detail="postscreen answers 521 or 550, Service currently unavailable; what the client sends waits there, or is returned.",
        data={"clients": list(clients), "list": _POSTSCREEN},
        evidence=(*lines, *shown(config, _POSTSCREEN), Evidence(log.source, log.summary.denylisted[clients[0]])),
        fixes=(
            setting(
                CLIENTS, "order-postscreen", f"Put permit_mynetworks first in {_POSTSCREEN}", config, process,
                (_POSTSCREEN, ", ".join(("permit_mynetworks", *rest))), risk=Risk.MEDIUM,
                why="If the client is refused on purpose, leave it. Better than this: take its line out of the table.",
            ),
        ),
        confidence=Confidence.LIKELY,
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Decided:
    path: str
    line: Decision


def _decided(client: str, config: PostfixConfig, tables: Tables | None) -> _Decided | None:
    """The line of the first table of the list that has the client."""
    for word in config.context.words(_POSTSCREEN):
        table = tables.named(word) if tables else None
        if table is not None and isinstance(table.text, FileText):
            line = decision(table.text.text, table.use.type, client_keys("", client))
            if line is not None:
                return _Decided(table.use.path, line)
    return None
