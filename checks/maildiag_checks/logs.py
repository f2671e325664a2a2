"""Step 3: what errors are reported?"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime

from maildiag.dovecot.mentioned import mentioned
from maildiag.dovecot.tree import Setting
from maildiag.facts.dovecot import DovecotConfig
from maildiag.facts.local_time import LocalTime
from maildiag.facts.mail_log import MailLog
from maildiag.facts.postfix import Postfix
from maildiag.facts.postfix_config import PostfixConfig
from maildiag.facts.queue import Queue
from maildiag.facts.services import Services
from maildiag.facts.smtp import OwnDialogues
from maildiag.logs.classify import SENTENCES
from maildiag.logs.reasons import classify_reason
from maildiag.logs.summary import Group
from maildiag.model import (
    Confidence,
    Evidence,
    Fix,
    Status,
    Step,
    Verdict,
    critical,
    notice,
    ok,
    skipped,
    warning,
)
from maildiag.registry import check
from maildiag.settings import Settings
from maildiag.text import plural
from maildiag_checks import _owners
from maildiag_checks._current import held_back, is_current, lines, origin, works_again
from maildiag_checks._main_cf import shown

# Meanings that a healthy host logs now and then, or that only accompany what another line says.
_HARMLESS = frozenset(
    {
        "process.signal", "process.limit-advice", "dovecot.signal", "dovecot.stats-writer", "dovecot.auth-failed", "dovecot.ssl",
        "sasl.auth-failed", "tls.library", "tls.handshake", "client.protocol", "client.rate-limit", "dns.client-name",
        "network.no-host", "fail2ban.ban", "smtp.server-features", "tls.client-wants",
    }
)  # fmt: skip
# Meanings that logs.crashes or other checks report as their own subject.
_CRASHES = frozenset(
    {
        "process.killed", "process.exit", "process.throttled", "process.watchdog", "dovecot.killed", "dovecot.child-died",
        "dovecot.throttled", "dovecot.crash", "kernel.crash", "systemd.core-dump",
    }
)  # fmt: skip
_ROOTS = (
    "services.postfix",
    "services.dovecot",
    "services.disk",
    "services.clock",
    "services.memory",
    "services.sandbox",
    "services.main-cf",
    "services.master-cf",
    "services.lookup-tables",
    "services.dovecot-config",
    "services.backend",
    "services.port-taken",
    "queue.directories",
    "connectivity.certificate",
    "authentication.sasl-socket",
    "authentication.mailbox",
    "dns.resolver",
    "firewall.mac",
)


@check("logs.problems", step=Step.LOGS, asks="Which known problems does the log report?", explained_by=_ROOTS)
def problems(
    log: MailLog, time: LocalTime, services: Services | None, postfix_config: PostfixConfig | None
) -> Iterator[Verdict]:
    """One answer for each kind of problem that the log reports; what is over is a notice. Source: RELEASE wording of Postfix
    and Dovecot, see maildiag.logs.
    """
    by_meaning: dict[str, list[Group]] = {}
    for each in log.summary.groups:
        if each.meaning not in _HARMLESS | _CRASHES | {"other"}:
            by_meaning.setdefault(each.meaning, []).append(each)
    found = [
        _problem(meaning, groups, log, time.now, services, postfix_config) for meaning, groups in by_meaning.items()
    ]
    yield from found
    if not any(each.status.failing for each in found):
        told = f"{plural(log.summary.lines, 'line')} read"
        yield ok("The log reports no known problem that is current", evidence=(Evidence(log.source, told),))


def _problem(
    meaning: str,
    groups: list[Group],
    log: MailLog,
    now: datetime,
    services: Services | None,
    config: PostfixConfig | None,
) -> Verdict:
    count = sum(each.count for each in groups)
    last = max((each.last for each in groups if each.last), default=None)
    first = min((each.first for each in groups if each.first), default=None)
    current = is_current(groups, log, now, services)
    severity = max((_severity(each) for each in groups), key=("notice", "warning", "critical").index)
    status = Status(severity) if current else Status.NOTICE
    sentence = SENTENCES[meaning].rstrip(".")
    return Verdict(
        status=status,
        title=f"{sentence}{_named(groups)} ({plural(count, 'line')})" + ("" if current else "; this looks over"),
        detail=_span(first, last),
        subject=meaning,
        evidence=(*lines(groups, log), *_set_at(meaning, groups, config)),
        explained_by=_owners.of_meaning(meaning),
        data={"count": count, "class": meaning, "current": current},
        confidence=Confidence.LIKELY,
    )


def _severity(group: Group) -> str:
    """postscreen(8) goes on without a table that it cannot open."""
    return "warning" if group.daemon == "postscreen" and group.meaning.startswith("map.") else group.severity


# What the lines of a meaning are about, where they do not name the setting themselves.
_SETTINGS: Mapping[str, str] = {
    "submit.refused": "authorized_submit_users",
    "loop.hops": "hopcount_limit",
    "tls.entropy": "tls_random_source",
}
_NAMES = ("map", "setting", "service", "socket", "program", "file", "user", "name", "type", "restriction", "value")


def _named(groups: list[Group]) -> str:
    """What the latest line names: a setting with its value, else a table, a service, a file."""
    fields = groups[0].fields
    setting, value = fields.get("setting", ""), fields.get("value", "").strip()
    if setting:
        return f": {setting}{f' = {value[:60]}' if value else ''}"
    found = next((fields[name].strip() for name in _NAMES if fields.get(name)), "")
    return f": {found[:80]}" if found else ""


def _set_at(meaning: str, groups: list[Group], config: PostfixConfig | None) -> tuple[Evidence, ...]:
    """The lines of main.cf that set what the log complains of."""
    if config is None:
        return ()
    names = [_SETTINGS.get(meaning, ""), *(each.fields.get("setting", "") for each in groups)]
    return tuple(shown(config, *dict.fromkeys(name for name in names if config.main.entry(name))))


def _span(first: datetime | None, last: datetime | None) -> str:
    if first is None or last is None:
        return ""
    if first == last:
        return f"at {last.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
    return f"from {first.astimezone(UTC):%Y-%m-%d %H:%M:%S} to {last.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


_START_NOW = Fix(
    id="logs.crashes/restart-postfix",
    title="Restart Postfix, so that it does not wait",
    commands=(("systemctl", "restart", "postfix"),),
    guards=(("postfix", "check"),),
    verify=("connectivity.smtp", "connectivity.submission"),
    automatic=True,
    disrupts="connections under way are cut",
    why="master(8) holds a program that died as it started back for a minute; a reload does not end that.",
)


@check(
    "logs.crashes",
    step=Step.LOGS,
    asks="Do processes crash, get killed or die at start?",
    explained_by=("services.memory", *_ROOTS),
)
def crashes(
    log: MailLog,
    time: LocalTime,
    services: Services | None,
    config: DovecotConfig | None,
    own: OwnDialogues | None = None,
) -> Iterator[Verdict]:
    """`bad command startup -- throttling` stands beside the line that tells why; a signal 9 is often memory. Source: master(8)."""
    found: dict[str, list[Group]] = {}
    for each in log.summary.groups:
        if each.meaning in _CRASHES:
            named = each.fields.get("service") or each.fields.get("program") or each.daemon
            found.setdefault(named.rpartition("/")[2], []).append(each)
    for name, groups in found.items():
        yield _crash(name, groups, log, time.now, services, config, own)
    if not found:
        yield ok("No process crashed", evidence=(Evidence(log.source, f"{plural(log.summary.lines, 'line')} read"),))


def _crash(
    name: str,
    groups: list[Group],
    log: MailLog,
    now: datetime,
    services: Services | None,
    config: DovecotConfig | None,
    own: OwnDialogues | None,
) -> Verdict:
    count = sum(each.count for each in groups)
    throttled = any(each.meaning.endswith(".throttled") for each in groups)
    current = is_current(groups, log, now, services) and not (throttled and works_again(name, groups, log, own))
    owners = dict.fromkeys(one for each in groups for one in _owners.of_meaning(each.meaning) if one != "logs.crashes")
    words = _last_words(name, log)
    why = f": {words[0].key[:200]}" if words else f" ({plural(count, 'line')})"
    make = (critical if throttled else warning) if current else notice
    last = max((each.last for each in groups if each.last), default=None)
    first = min((each.first for each in groups if each.first), default=None)
    about = _about(words, name, config)
    where = f"{about[0].place}: " if about else ""
    held = throttled and current and held_back(name, groups, log, services)
    over = "; what it died of is over, and master(8) starts it again within a minute" if held else ""
    return make(
        f"{where}{name} {'dies as soon as it starts' if throttled else 'ended abnormally'}{why}"
        + (over if current else "; this looks over"),
        detail=_span(first, last),
        subject=name,
        evidence=(
            *lines([*words, *groups], log),
            *(Evidence(each.place.file, f"{each.place.line}: {each.raw}") for each in about[:2]),
        ),
        fixes=(_START_NOW,) if held else (),
        explained_by=(*owners, "logs.problems"),
        data={"count": count, "current": current},
        confidence=Confidence.LIKELY,
    )


def _about(words: list[Group], name: str, config: DovecotConfig | None) -> tuple[Setting, ...]:
    """The lines of Dovecot's configuration that the last words of one of its processes are about."""
    if config is None or not words or words[0].family != "dovecot":
        return ()
    found = mentioned(f"service({name}): {words[0].samples[-1].partition(': ')[2]}", config.source)
    return tuple(each for each in found if each.place.file)


def _last_words(name: str, log: MailLog) -> list[Group]:
    """What the process, or master(8) of it, said that no known class explains."""
    return [
        each
        for each in log.summary.groups
        if each.meaning == "other"
        and not each.over
        and each.severity == "critical"
        and (each.daemon == name or name in each.key)
    ][:2]


_CONFIGURATION = ("services.main-cf", "services.lookup-tables", "services.master-cf")


def _settings_named(group: Group, config: PostfixConfig | None) -> tuple[str, ...]:
    """The parameters that main.cf sets and the line names."""
    words = re.findall(r"\b[a-z0-9]+(?:_[a-z0-9A-Z]+)+\b", group.key) if config is not None else []
    return tuple(dict.fromkeys(word for word in words if config is not None and config.main.entry(word)))


@check("logs.unclassified", step=Step.LOGS, asks="Does the log warn of anything unknown?", explained_by=_CONFIGURATION)
def unclassified(
    log: MailLog, time: LocalTime, services: Services | None, queue: Queue | None, postfix_config: PostfixConfig | None
) -> Iterator[Verdict]:
    """What no class fits is still shown; it counts as a possible cause when mail is failing and nothing better is known.

    A line that names a parameter of Postfix hangs beneath what is wrong with the configuration.
    """
    found = [each for each in log.summary.groups if each.meaning == "other"]
    failing = _mail_fails(log, queue)
    for number, each in enumerate(found[:20]):
        current = is_current([each], log, time.now, services)
        make = warning if current and failing and each.severity != "notice" else notice
        settings = _settings_named(each, postfix_config)
        yield make(
            f"{each.daemon} says: {each.key[:200]} ({plural(each.count, 'line')})"
            + ("" if current else "; this looks over"),
            detail=_span(each.first, each.last),
            subject=f"{each.daemon}: {each.key[:120]}",
            evidence=(
                *(Evidence(origin(each, log), sample) for sample in each.samples[-2:]),
                *(shown(postfix_config, *settings) if postfix_config else ()),
            ),
            data={"count": each.count, "number": number, "current": current},
            explained_by=_CONFIGURATION if settings else (),
            confidence=Confidence.POSSIBLE,
        )
    if not found:
        yield ok(
            "Every warning of the log is known",
            evidence=(Evidence(log.source, f"{plural(log.summary.lines, 'line')} read"),),
        )


def _mail_fails(log: MailLog, queue: Queue | None) -> bool:
    statuses = log.summary.statuses
    waiting = queue is not None and any(
        each.reason.meaning in ("none", "other") for each in queue.grouped.groups if "deferred" in each.queues
    )
    return waiting or (statuses.get("deferred", 0) > 0 and not statuses.get("sent", 0))


@check("logs.unparsed", step=Step.LOGS, asks="Can every line of the log be read?", explained_by=())
def unparsed(log: MailLog) -> Iterator[Verdict]:
    """Lines that maildiag cannot read may hold what matters."""
    count = log.summary.unparsed
    if not count:
        yield ok(
            "Every line could be read", evidence=(Evidence(log.source, f"{plural(log.summary.lines, 'line')} read"),)
        )
        return
    yield notice(
        f"{plural(count, 'line')} of the log could not be read",
        detail="not judged; a program wrote them past the logger, or the format is not known",
        evidence=tuple(Evidence(log.source, each) for each in log.summary.unparsed_samples[:3]),
        data={"count": count},
    )


@check(
    "logs.delivery-rate",
    step=Step.LOGS,
    asks="Is mail delivered as usual?",
    explained_by=("services.postfix", "queue.deferred", "queue.lost", "connectivity.relayhost", "logs.source"),
)
def delivery_rate(log: MailLog, settings: Settings, postfix: Postfix | None = None) -> Iterator[Verdict]:
    """A sudden drop of successful deliveries is one of the documentation's indicators.

    A quiet host whose few messages are all for one server elsewhere tells nothing of itself.
    """
    statuses = log.summary.statuses
    sent, failed = statuses.get("sent", 0), sum(statuses.get(name, 0) for name in ("deferred", "bounced", "expired"))
    told = ", ".join(f"{count:,} {name}" for name, count in sorted(statuses.items())) or "no delivery in the window"
    shown = (Evidence(log.source, told),)
    data = {"sent": sent, "failed": failed}
    if not sent and not failed:
        yield skipped("No delivery was tried in the window of the log", evidence=shown)
    elif sent == 0 and failed >= 3 and (other := _one_server_elsewhere(log, postfix)):
        yield notice(
            f"No message was delivered: {plural(failed, 'attempt')} to {other} failed",
            detail="A single server that takes no mail is mostly its own fault.",
            evidence=shown,
            data=data,
        )
    elif sent == 0 and failed >= 3 and _messages(log) < 3 and postfix is not None and not postfix.get("relayhost"):
        yield notice(
            f"No message was delivered, and {plural(_messages(log), 'message')} {'was' if _messages(log) == 1 else 'were'} tried again and again",
            detail="On a quiet host that tells nothing of it; queue.deferred says what the messages wait for.",
            evidence=shown,
            data=data,
        )
    elif sent == 0 and failed >= 3:
        yield critical(f"No message was delivered: {plural(failed, 'attempt')} failed", evidence=shown, data=data)
    elif failed >= 20 and failed > 4 * sent and _messages(log) > sent:
        yield warning(f"Most attempts fail: {failed:,} of {sent + failed:,}", evidence=shown, data=data)
    else:
        yield ok(f"{plural(sent, 'message')} delivered, {plural(failed, 'attempt')} failed", evidence=shown, data=data)


def _messages(log: MailLog) -> int:
    """How many messages failed: one that waits is tried again and again. At least, where more failed than the log's reasons name."""
    groups = [each for each in log.summary.reasons if each.status in ("deferred", "bounced", "expired")]
    return len({queue_id for each in groups for queue_id in each.queue_ids})


def _one_server_elsewhere(log: MailLog, postfix: Postfix | None) -> str:
    """The only server that failed deliveries were for, where it is neither the relay nor this host; else ""."""
    if postfix is None or postfix.get("relayhost"):
        return ""
    failed = [each for each in log.summary.reasons if each.status in ("deferred", "bounced", "expired")]
    names = {classify_reason(sample).host.lower() for each in failed for sample in each.samples}
    name = names.pop() if len(names) == 1 else ""
    here = name == postfix.get("myhostname").lower() or name.startswith(("localhost", "127."))
    return "" if here else name
