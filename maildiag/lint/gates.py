"""Whether smtpd(8) will start and serve at all: its own test of the relay lists, services that are switched off."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

from maildiag.lint import restrictions
from maildiag.lint.context import Context, words
from maildiag.lint.master_cf import Service
from maildiag.lint.problem import DropOverride, DropParameter, Problem, Repair, SetParameter
from maildiag.lint.values import has_comment
from maildiag.model import Status

_SAFE = "permit_mynetworks, permit_sasl_authenticated, reject_unauth_destination"


def gate_problems(context: Context) -> Iterator[Problem]:
    """What keeps smtpd from starting, and interfaces or services that Postfix will not open."""
    yield from _relay_lists(context)
    yield from _disabled(context)
    yield from _interfaces(context)
    yield from _sizes(context)


def _relay_lists(context: Context) -> Iterator[Problem]:
    """smtpd stops where neither list could refuse to relay (smtpd_check(3)); each service may override both."""
    if not context.settings:
        return
    told = False
    for service in context.master.running("smtpd"):
        lists = {
            name: _list(context, service, name) for name in ("smtpd_relay_restrictions", "smtpd_recipient_restrictions")
        }
        if _satisfied(context, *lists.values()):
            continue
        own = [name for name in lists if service.override(name) is not None]
        if own:
            yield _service_gate(context, service, own[0])
        elif not told:
            told = True
            yield _main_gate(context)


def _list(context: Context, service: Service, name: str) -> tuple[str, ...]:
    value = service.override(name)
    if value is None:
        return context.words(name)
    return words(re.sub(r"\$[({]?(\w+)[)}]?", lambda match: context.value(match[1]), value))


def _satisfied(context: Context, relay: tuple[str, ...], recipient: tuple[str, ...]) -> bool:
    own_classes = context.words("smtpd_restriction_classes")
    flat = [word for name in (*relay, *recipient) if name in own_classes for word in context.words(name)]
    parsed = restrictions.parse((*relay, *recipient, *flat))
    return restrictions.satisfies_postfix(parsed, ())


_SAID = (
    "smtpd stops: fatal: in parameter smtpd_relay_restrictions or smtpd_recipient_restrictions, specify at least one working "
    "instance of: reject_unauth_destination, defer_unauth_destination, reject, defer, defer_if_permit or check_relay_domains"
)


def _main_gate(context: Context) -> Problem:
    name = "smtpd_relay_restrictions"
    entry = context.main.entry(name) or context.main.entry("smtpd_recipient_restrictions")
    return Problem(
        kind="no-relay-gate",
        subject=name,
        status=Status.CRITICAL,
        title="Neither smtpd_relay_restrictions nor smtpd_recipient_restrictions keeps strangers from relaying: smtpd does not start",
        detail=f"{_SAID}. Port 25 accepts connections and shows no banner.",
        place=context.main.place(entry, otherwise=f"{name} = {context.value(name)}"),
        repairs=(
            Repair(
                f"set {name} to the usual {_SAFE}",
                (SetParameter(name, _SAFE),),
                certain=True,
                why="What every Postfix since 2.10 does by default: own networks and logged in users may relay, nobody else.",
            ),
        ),
    )


def _service_gate(context: Context, service: Service, option: str) -> Problem:
    line = next((each.line for each in service.overrides if each.name == option), service.line)
    return Problem(
        kind="no-relay-gate",
        subject=f"{service.key}/{option}",
        status=Status.CRITICAL,
        title=f"master.cf line {line}: {service.key} sets {option} to {service.override(option) or '(empty)'}, and its smtpd does not start",
        detail=f"{_SAID}.",
        place=replace(service.logical.at(context.master.path), line=line),
        repairs=(
            Repair(
                "take the option out: main.cf's list counts then",
                (DropOverride(service.name, service.type, option),),
                certain=True,
            ),
        ),
    )


def _disabled(context: Context) -> Iterator[Problem]:
    off = context.words("master_service_disable")
    entry = context.main.entry("master_service_disable")
    if not off or entry is None:
        return
    hit = [service.key for service in context.master.services if service.type == "inet" and _matches(service, off)]
    if hit:
        yield Problem(
            kind="service-disabled",
            subject=entry.name,
            status=Status.CRITICAL,
            title=f"main.cf line {entry.line}: master_service_disable = {entry.value} switches {', '.join(hit)} off",
            detail="master(8) does not listen for them: connections are refused.",
            place=context.main.place(entry),
            repairs=(Repair("take master_service_disable out", (DropParameter(entry.name),), certain=False),),
        )


def _matches(service: Service, off: tuple[str, ...]) -> bool:
    return bool({service.type, f"{service.name}/{service.type}", f"{service.name}.{service.type}"} & set(off))


def _interfaces(context: Context) -> Iterator[Problem]:
    """Postfix does not start with an address that no interface has, or a name that does not resolve."""
    entry = context.main.entry("inet_interfaces")
    if entry is None or has_comment(entry.value):
        return
    value = context.settings.get("inet_interfaces", entry.value)
    for word in words(value):
        problem = _interface_problem(context, word)
        if problem:
            yield Problem(
                kind="no-such-interface",
                subject=entry.name,
                status=Status.CRITICAL,
                title=f"main.cf line {entry.line}: inet_interfaces names {word}, {problem}; Postfix does not start",
                detail=f"Postfix says: fatal: {_interface_says(word)}. This host has {', '.join(sorted(context.addresses)) or 'no address'}.",
                place=context.main.place(entry),
                repairs=_interface_repairs(context, value, word),
            )


def _interface_problem(context: Context, word: str) -> str:
    plain = word.strip("[]")
    if word in context.unresolved:
        return "a name that does not resolve"
    if re.fullmatch(r"[\d.]+|[0-9a-fA-F:]*:[0-9a-fA-F:.]*", plain) and context.addresses:
        wanted = context.value("inet_protocols")
        if ":" in plain and wanted == "ipv4":
            return ""
        if plain not in context.addresses:
            return "an address that no interface of this host has"
    return ""


def _interface_says(word: str) -> str:
    if re.fullmatch(r"[\d.:a-fA-F\[\]]+", word) and not word.isalpha():
        return f"parameter inet_interfaces: no local interface found for {word}"
    return f"config variable inet_interfaces: host not found: {word}"


def _interface_repairs(context: Context, value: str, word: str) -> tuple[Repair, ...]:
    rest = [each for each in words(value) if each != word]
    if rest:
        told = Repair(
            f"listen on {', '.join(rest)} only", (SetParameter("inet_interfaces", ", ".join(rest)),), restart=True
        )
    else:
        told = Repair("listen on all interfaces", (SetParameter("inet_interfaces", "all"),), restart=True)
    return (told,)


def _sizes(context: Context) -> Iterator[Problem]:
    """A mailbox limit below the message limit: local(8) and virtual(8) stop at once."""
    message = _number(context.value("message_size_limit"))
    for name, daemon in (("mailbox_size_limit", "local"), ("virtual_mailbox_limit", "virtual")):
        limit = _number(context.value(name))
        entry = context.main.entry(name) or context.main.entry("message_size_limit")
        if message is None or limit is None or limit == 0 or not context.master.running(daemon) or entry is None:
            continue
        if message and limit >= message:
            continue
        if daemon == "virtual" and not context.words("virtual_mailbox_maps"):
            continue
        best = str(max(message, 51_200_000)) if message else "0"
        yield Problem(
            kind="size-limits",
            subject=name,
            status=Status.CRITICAL,
            title=f"main.cf line {entry.line}: {name} ({limit}) is smaller than message_size_limit ({message or 'unlimited'}), {daemon} does not start",
            detail=f"{daemon}(8) stops: fatal: main.cf configuration error: {name} is smaller than message_size_limit. Mail waits in the queue.",
            place=context.main.place(entry),
            repairs=(Repair(f"set {name} to {best}", (SetParameter(name, best),), certain=True),),
        )


def _number(value: str) -> int | None:
    return int(value) if re.fullmatch(r"\d+", value) else None
