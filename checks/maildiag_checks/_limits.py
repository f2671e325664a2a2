"""Numbers of main.cf with which good mail is turned away or waits: sizes, rates, processes, hops, delays."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from maildiag.facts.postfix_config import PostfixConfig
from maildiag.facts.postfix_process import PostfixProcess
from maildiag.lint.cure import CHECKED
from maildiag.model import Confidence, Evidence, Fix, Verdict, critical, notice, warning
from maildiag.text import plural
from maildiag_checks._main_cf import setting, shown

ID = "connectivity.restrictions"
_RATES = ("smtpd_client_connection_rate_limit", "smtpd_client_message_rate_limit", "smtpd_client_recipient_rate_limit")
_SMALLEST_MAIL = 1000  # bytes: the header that a message has after one hop is as long


def limits(config: PostfixConfig, process: PostfixProcess | None, server: bool) -> Iterator[Verdict]:
    """Sizes, rates and counts so low that ordinary mail is over them. Source: postconf(5)."""
    size = _number(config, "message_size_limit")
    if 0 < size < 1_000_000:
        default, nothing = ("message_size_limit", "10240000"), size < _SMALLEST_MAIL
        refused = "every message is larger, and is" if nothing else "larger messages, even small attachments, are"
        yield (critical if nothing else warning)(
            f"message_size_limit = {size}: {refused} refused",
            subject="message_size_limit",
            evidence=shown(config, "message_size_limit"),
            fixes=(setting(ID, "size", "Set message_size_limit to its default, 10240000", config, process, default),),
        )
    if server:
        yield from _for_clients(config, process)
    processes = _number(config, "default_process_limit")
    if 0 < processes < 5:
        default, title = ("default_process_limit", "100"), "Set it to its default, 100"
        yield warning(
            f"default_process_limit = {processes}: so few clients and deliveries are served at once",
            subject="default_process_limit",
            evidence=shown(config, "default_process_limit"),
            fixes=(setting(ID, "processes", title, config, process, default, automatic=True),),
        )


def _for_clients(config: PostfixConfig, process: PostfixProcess | None) -> Iterator[Verdict]:
    for name in _RATES:
        limit = _number(config, name)
        if 0 < limit < 10:
            title = f"Take the limit away ({name} = 0)"
            yield warning(
                f"{name} = {limit} a minute: an application server is refused after {limit}",
                subject=name,
                detail=f"smtpd answers 450 or 421 to a client that is over it; smtpd_client_event_limit_exceptions "
                f"({config.get('smtpd_client_event_limit_exceptions') or 'empty'}) tells who is not counted.",
                evidence=shown(config, name),
                confidence=Confidence.LIKELY,
                fixes=(setting(ID, f"limit-{name}", title, config, process, (name, "0")),),
            )
    count = _number(config, "smtpd_client_connection_count_limit")
    if 0 < count < 3:
        default = ("smtpd_client_connection_count_limit", "50")
        yield warning(
            f"smtpd_client_connection_count_limit = {count}: a client may hold {count} at once only",
            subject="smtpd_client_connection_count_limit",
            evidence=shown(config, "smtpd_client_connection_count_limit"),
            fixes=(setting(ID, "connections", "Set it to its default, 50", config, process, default),),
        )


_TOO_FEW = 5


def few_processes(config: PostfixConfig, process: PostfixProcess | None) -> Iterator[Verdict]:
    """maxproc of master.cf: while so many clients are served, the next one is connected and greeted by nobody (master(5)).

    A service on loopback for a filter has as many as the filter.
    """
    effect = (process or PostfixProcess(False, False)).reload
    for service in config.master.running("smtpd"):
        host = service.name.rpartition(":")[0].strip("[]")
        local = host.startswith("127.") or host in ("localhost", "::1")
        if service.type != "inet" or local or not service.limit.isdigit() or not 0 < int(service.limit) < _TOO_FEW:
            continue
        yield warning(
            f"master.cf line {service.line}: {service.name} serves {plural(int(service.limit), 'client')} at once, and lets all others wait"
            " without a greeting",
            subject=service.key,
            detail=f"maxproc, the seventh field, is {service.limit}: one slow client is enough. `-` stands for default_process_limit"
            f" ({config.get('default_process_limit')}).",
            data={"limit": int(service.limit)},
            evidence=(Evidence(f"{config.master.path}:{service.line}", service.logical.text.strip()),),
            fixes=(
                Fix(
                    id=f"{ID}/more-{service.name.replace('.', '-')}",
                    title=f"Let {service.name} have as many processes as default_process_limit says",
                    commands=(("postconf", "-F", f"{service.key}/process_limit=-"), effect),
                    automatic=True,
                    undo=(effect,),
                    changes=(config.master.path,),
                    verify=(f"{ID}@{service.key}",),
                    guards=CHECKED,
                ),
            ),
        )


_DELAYS = ("default_destination_rate_delay", "smtp_destination_rate_delay", "relay_destination_rate_delay",
           "local_destination_rate_delay", "lmtp_destination_rate_delay", "default_transport_rate_delay")  # fmt: skip


def delays(config: PostfixConfig, process: PostfixProcess | None) -> Iterator[Verdict]:
    """Numbers far from what can work: each message counts hops and waits for the one before it. Source: postconf(5)."""
    hops = _number(config, "hopcount_limit")
    if 0 <= hops < 10:
        effect = f"a message that came through {plural(hops + 1, 'server')} is returned as a loop"
        detail = "Each server on the way adds a Received: header; Postfix counts them (default 50)."
        yield _far(critical, config, process, ("hopcount_limit", "50"), effect, detail)
    if 0 <= _number(config, "header_size_limit") < 1024:
        effect = "longer headers are cut, and messages lose subject, sender or Message-ID"
        detail = "cleanup(8) cuts each header there (default 102400)."
        yield _far(warning, config, process, ("header_size_limit", "102400"), effect, detail)
    for name in _DELAYS:
        if config.main.entry(name) and (wait := _seconds(config.get(name))) > 60:
            effect = f"one message in {wait} seconds leaves for a destination, the rest waits"
            detail = "qmgr(8) waits that long after each delivery to the same destination."
            yield _far(critical, config, process, (name, "0s"), effect, detail)
    for name in ("maximal_queue_lifetime", "bounce_queue_lifetime"):
        if config.main.entry(name) and _seconds(config.get(name)) < 3600:
            ours = name.startswith("max")
            effect = f"mail that cannot be delivered at once is {'returned' if ours else 'lost'}"
            detail = "An outage of the next server, or its greylisting, is longer than that (default 5 days)."
            yield _far(warning if ours else notice, config, process, (name, "5d"), effect, detail)
    for name in ("queue_run_delay", "minimal_backoff_time", "maximal_backoff_time"):
        if config.main.entry(name) and _seconds(config.get(name)) > 86400:
            usual = {"maximal_backoff_time": "4000s"}.get(name, "300s")
            effect = "mail that was put off is not tried again for more than a day"
            yield _far(warning, config, process, (name, usual), effect)


def _far(
    judge: Callable[..., Verdict],
    config: PostfixConfig,
    process: PostfixProcess | None,
    usual: tuple[str, str],
    effect: str,
    detail: str = "",
) -> Verdict:
    """A setting that is far from its usual value, with what that does."""
    name, value = usual
    return judge(
        f"{name} = {config.get(name)}: {effect}",
        subject=name,
        detail=detail,
        evidence=shown(config, name),
        fixes=(_default(config, process, name, value),),
    )


def _default(config: PostfixConfig, process: PostfixProcess | None, name: str, value: str) -> Fix:
    slug = name.replace("_", "-")
    return setting(ID, slug, f"Set {name} to its default, {value}", config, process, (name, value), automatic=True)


def _seconds(value: str) -> int:
    """A time of postconf(5) in seconds; -1 where it is none (the linter tells that)."""
    match = re.fullmatch(r"(\d+)([smhdw]?)", value.strip().lower())
    return int(match[1]) * {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}[match[2]] if match else -1


def _number(config: PostfixConfig, name: str) -> int:
    value = config.get(name)
    return int(value) if value.isdigit() else -1
