"""Settings that turn good mail away: lists that refuse everybody, filters, deliveries switched off; numbers are in `_limits`."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace

from maildiag import edits
from maildiag.facts.postfix_config import PostfixConfig
from maildiag.facts.postfix_process import PostfixProcess
from maildiag.facts.tables import Tables
from maildiag.lint import restrictions
from maildiag.lint.context import words
from maildiag.lint.cure import CHECKED
from maildiag.lint.lines import logical_lines
from maildiag.lint.restrictions import Restriction
from maildiag.model import (
    Confidence,
    Evidence,
    Fix,
    HostRole,
    Role,
    Step,
    Verdict,
    critical,
    notice,
    ok,
    skipped,
    warning,
)
from maildiag.probes import FileText
from maildiag.registry import check
from maildiag_checks._limits import ID, delays, few_processes, limits
from maildiag_checks._main_cf import setting, shown
from maildiag_checks._own_clients import own_networks

_ALL = ("smtpd_client_restrictions", "smtpd_helo_restrictions", "smtpd_sender_restrictions", "smtpd_relay_restrictions",
        "smtpd_recipient_restrictions", "smtpd_data_restrictions", "smtpd_end_of_data_restrictions")  # fmt: skip
_REFUSES_ALL = ("reject", "defer", "defer_if_permit")
_CATCH_ALL = re.compile(
    r"(!?)(/(\^?\.\*?\$?|\^|\.|\^(?:from|to|subject|date|received|message-id):?(?:\.\*)?\$?)/[a-zA-Z]*|(0\.0\.0\.0|::)/0)\s+(REJECT|DISCARD|HOLD|REDIRECT|DEFER\w*|[45]\d\d)\b.*",
    re.IGNORECASE,
)
_EVERY_LINE = re.compile(r"(!?)(/(\^?\.\*?\$?|\^|\.)/[a-zA-Z]*)()\s+(IGNORE)\b.*", re.IGNORECASE)
_EFFECTS = {
    "DISCARD": "Every message is thrown away without a word.",
    "REDIRECT": "Every message goes to that address, and to none of its recipients.",
    "IGNORE": "Each line that is looked at is taken out of the message: nothing of it is left.",
}


@check(
    ID,
    step=Step.CONNECTIVITY,
    asks="Does any setting turn good mail away or hold it back?",
    explained_by=("services.main-cf", "services.master-cf"),
)
def restriction_lists(
    postfix_config: PostfixConfig, postfix_process: PostfixProcess | None, tables: Tables | None, role: HostRole | None
) -> Iterator[Verdict]:
    """Lists, limits and switches of main.cf that refuse, defer or drop what should pass. Source: postconf(5)."""
    config = postfix_config
    if not config.settings:
        yield skipped("Postfix refuses its configuration; see services.main-cf")
        return
    server = role is None or role.role is Role.MAIL_SERVER
    found = [
        *_refused(config, postfix_process, server),
        *_order(config, postfix_process),
        *_catch_all(tables),
        *_switches(config, postfix_process),
        *limits(config, postfix_process, server),
        *few_processes(config, postfix_process),
        *delays(config, postfix_process),
        *_bind(config, postfix_process),
        *_tls(config, postfix_process, server),
    ]
    yield from found
    if not any(each.status.failing for each in found):
        yield ok("No setting turns good mail away", evidence=shown(config, "smtpd_recipient_restrictions"))


def _refused(config: PostfixConfig, process: PostfixProcess | None, server: bool) -> Iterator[Verdict]:
    """A `reject` that every stranger, or everybody, reaches in a list of the service on port 25."""
    services = config.master.services if server else ()
    port25 = next(
        (each for each in services if each.name.rpartition(":")[2] in ("smtp", "25") and each.type == "inet"), None
    )
    for name in _ALL if server else ():
        override = port25.override(name) if port25 else None
        parsed = restrictions.parse(words(override) if override is not None else config.context.words(name))
        refusing = (n for n, each in enumerate(parsed) if each.name in _REFUSES_ALL and not each.warned)
        place = next(refusing, None)
        if place is None or any(each.name in ("permit", "permit_auth_destination") for each in parsed[:place]):
            continue
        verdict = _refusal(config, name, parsed, place)
        if verdict.status.failing and override is None:
            title = f"Take the {parsed[place].name} out of {name}"
            value = (name, _without(name, parsed, place))
            verdict = replace(verdict, fixes=(setting(ID, f"open-{name}", title, config, process, value),))
        yield verdict


def _refusal(config: PostfixConfig, name: str, parsed: Sequence[Restriction], place: int) -> Verdict:
    before = [each.name for each in parsed[:place]]
    passes = [each for each in before if each.startswith(("permit_", "check_"))]
    whom = f"everybody but {', '.join(passes)}" if passes else "everybody"
    title, evidence = f"{name} refuses {whom}: {parsed[place].name}", shown(config, name)
    if not passes:
        detail = "No client gets past it: all mail to this host is refused."
    elif _shuts_own_out(config, name, before):
        detail = "Application servers and other mail servers do not log in; the list of a submission service does not fit port 25."
    else:
        detail = "Mail from other servers for own users is refused with it."
        return notice(title, subject=name, detail=detail, evidence=evidence)
    return critical(title, subject=name, detail=detail, evidence=evidence)


def _without(name: str, parsed: Sequence[Restriction], place: int) -> str:
    """The list without the refusal; one that has to keep strangers from relaying still does."""
    kept = [each for number, each in enumerate(parsed) if number != place]
    told = [f"{each.name} {each.argument}".strip() for each in kept]
    relaying = "relay" in name or name == "smtpd_recipient_restrictions"
    if relaying and not any(each.name in restrictions.STOPS_RELAY for each in kept):
        told.append("reject_unauth_destination")
    return ", ".join(told)


def _shuts_own_out(config: PostfixConfig, name: str, before: list[str]) -> bool:
    """Only those who log in pass, though mynetworks holds hosts that are to send without: a list pasted from submission."""
    only_logins = all(each == "permit_sasl_authenticated" or each.startswith("reject_") for each in before)
    if name == "smtpd_relay_restrictions" or not only_logins or config.main.entry("mynetworks") is None:
        return False
    found = own_networks(config)
    return any(not each.is_loopback and each.num_addresses > 1 for each in found)


def _order(config: PostfixConfig, process: PostfixProcess | None) -> Iterator[Verdict]:
    """Tests of names and HELO that own clients meet before permit_mynetworks lets them pass."""
    for name in ("smtpd_client_restrictions", "smtpd_helo_restrictions", "smtpd_recipient_restrictions"):
        parsed = restrictions.parse(config.context.words(name))
        names = [each.name for each in parsed if not each.warned]
        harsh = [each for each in names if each in _HARSH]
        if not harsh or ("permit_mynetworks" in names and names.index("permit_mynetworks") < names.index(harsh[0])):
            continue
        rest = [f"{each.name} {each.argument}".strip() for each in parsed if each.name != "permit_mynetworks"]
        value = ", ".join(["permit_mynetworks", *rest])
        yield notice(
            f"{name} tests own clients with {harsh[0]} before permit_mynetworks lets them pass",
            subject=name,
            detail="Application servers and printers often have no reverse name or a short HELO name, and are refused then.",
            evidence=shown(config, name),
            fixes=(
                setting(ID, f"order-{name}", f"Put permit_mynetworks first in {name}", config, process, (name, value)),
            ),
        )


_HARSH = frozenset(
    {
        "reject_unknown_client_hostname", "reject_unknown_client", "reject_unknown_reverse_client_hostname",
        "reject_unknown_helo_hostname", "reject_unknown_hostname", "reject_non_fqdn_helo_hostname", "reject_non_fqdn_hostname",
        "reject_invalid_helo_hostname", "reject_rbl_client",
    }
)  # fmt: skip


def _catch_all(tables: Tables | None) -> Iterator[Verdict]:
    """A pattern that every message matches, with an action that loses or refuses it."""
    for table in tables.tables if tables else ():
        if table.use.type not in ("regexp", "pcre", "cidr") or not isinstance(table.text, FileText):
            continue
        depth = 0  # what stands between if and endif is for some messages only (regexp_table(5))
        for logical in logical_lines(table.text.text):
            text = logical.text.strip()
            depth += bool(re.match(r"if\b", text, re.IGNORECASE)) - (text.lower() == "endif")
            match = None if depth else _CATCH_ALL.fullmatch(text) or _EVERY_LINE.fullmatch(text)
            if match and not match[1]:
                yield critical(
                    f"{table.use.path} line {logical.first} matches everything: {match[5].upper()}",
                    subject=table.name,
                    detail=f"{', '.join(table.users)} names the table. "
                    + _EFFECTS.get(match[5].upper(), "No message gets past it."),
                    evidence=(Evidence(f"{table.use.path}:{logical.first}", logical.text.strip()),),
                    confidence=Confidence.LIKELY,
                    fixes=_comment_out(table.use.path, logical.first),
                )
                break


def _comment_out(path: str, number: int) -> tuple[Fix, ...]:
    return (
        Fix(
            id=f"{ID}/comment-{re.sub('[^a-z0-9]+', '-', path.lower()).strip('-')}",
            title=f"Comment line {number} of {path} out",
            commands=(edits.comment_line(path, number), ("postfix", "reload")),
            changes=(path,),
            undo=(("postfix", "reload"),),
            verify=(ID,),
            guards=CHECKED,
        ),
    )


def _switches(config: PostfixConfig, process: PostfixProcess | None) -> Iterator[Verdict]:
    deferred = words(config.get("defer_transports"))
    if deferred:
        yield critical(
            f"defer_transports holds all mail for {', '.join(deferred)} back",
            subject="defer_transports",
            detail="The queue manager delivers nothing through them until the queue is flushed by hand (postqueue -f).",
            evidence=shown(config, "defer_transports"),
            fixes=(
                setting(
                    ID, "deliver", "Empty defer_transports", config, process, ("defer_transports", ""), automatic=True
                ),
            ),
        )
    if config.context.yes("soft_bounce"):
        yield warning(
            "soft_bounce = yes: what should be refused for good is put off, and tried again for days",
            subject="soft_bounce",
            detail="It is meant for trying a configuration out: senders do not learn that their mail cannot be delivered.",
            evidence=shown(config, "soft_bounce"),
            fixes=(
                setting(ID, "bounce", "Set soft_bounce to no", config, process, ("soft_bounce", "no"), automatic=True),
            ),
        )
    transport = config.get("default_transport").partition(":")[0]
    if transport in ("error", "retry", "discard"):
        default = (("default_transport", "smtp"),)
        yield critical(
            f"default_transport = {config.get('default_transport')}: no mail leaves this host",
            subject="default_transport",
            detail={"discard": "It is thrown away without a word."}.get(
                transport, "All mail for other hosts is returned or put off."
            ),
            evidence=shown(config, "default_transport"),
            fixes=(setting(ID, "send", "Deliver with smtp again", config, process, *default),),
        )
    yield from _without_dns(config, process)


def _without_dns(config: PostfixConfig, process: PostfixProcess | None) -> Iterator[Verdict]:
    """Without the DNS the mail of a domain goes to the address of its name, not to its MX (smtp(8), postconf(5))."""
    if config.get("relayhost"):
        return
    switches = {"disable_dns_lookups": ("yes", "no"), "smtp_dns_support_level": ("disabled", "enabled")}
    for name, (off, on) in switches.items():
        if config.get(name) == off:
            yield critical(
                f"{name} = {off}: Postfix finds no MX, and mail for other domains goes astray",
                subject=name,
                evidence=shown(config, name),
                fixes=(setting(ID, "look-up", f"Set {name} to {on}", config, process, (name, on), automatic=True),),
            )
            return


def _bind(config: PostfixConfig, process: PostfixProcess | None) -> Iterator[Verdict]:
    for name in ("smtp_bind_address", "smtp_bind_address6"):
        value = config.get(name).strip()
        if value.strip("[]").startswith(("127.", "::1")) and not _relay_is_here(config):
            yield _bound_to_loopback(config, process, name, value)
        elif value and config.addresses and value.strip("[]") not in {*config.addresses, "0.0.0.0", "::"}:
            enforced = config.context.yes("smtp_bind_address_enforce")
            yield (critical if enforced else warning)(
                f"{name} = {value} is no address of this host"
                + (": mail for other hosts does not leave" if enforced else "; smtp(8) warns, and sends from another"),
                subject=name,
                detail=f"smtp(8) cannot bind to it: Cannot assign requested address. This host has {', '.join(sorted(config.addresses))}.",
                evidence=shown(config, name),
                fixes=(_unbind(config, process, name),),
            )


def _relay_is_here(config: PostfixConfig) -> bool:
    return re.match(r"\[?(127\.|localhost|::1)", config.get("relayhost")) is not None


def _bound_to_loopback(config: PostfixConfig, process: PostfixProcess | None, name: str, value: str) -> Verdict:
    return critical(
        f"{name} = {value}: mail for other hosts cannot leave from a loopback address",
        subject=name,
        detail="The kernel refuses each connection (Invalid argument, Network is unreachable), and the mail waits.",
        evidence=shown(config, name),
        fixes=(_unbind(config, process, name),),
    )


def _unbind(config: PostfixConfig, process: PostfixProcess | None, name: str) -> Fix:
    title = f"Empty {name}: the system then chooses"
    return setting(ID, f"unbind-{name}", title, config, process, (name, ""), automatic=True)


def _tls(config: PostfixConfig, process: PostfixProcess | None, server: bool) -> Iterator[Verdict]:
    level = config.get("smtpd_tls_security_level")
    files = any(
        config.get(name) not in ("", "none")
        for name in ("smtpd_tls_cert_file", "smtpd_tls_chain_files", "smtpd_tls_eccert_file")
    )
    if level == "encrypt" and not files:
        yield critical(
            "smtpd_tls_security_level = encrypt, but no certificate is set: no client can send",
            subject="smtpd_tls_security_level",
            detail="smtpd asks every client for STARTTLS (530 5.7.0) and cannot do it: nobody gets through.",
            evidence=shown(config, "smtpd_tls_security_level", "smtpd_tls_cert_file"),
            fixes=(
                setting(
                    ID,
                    "tls",
                    "Make TLS optional until there is a certificate",
                    config,
                    process,
                    ("smtpd_tls_security_level", "may"),
                ),
            ),
            explained_by=("connectivity.certificate", "services.main-cf"),
        )
    elif level == "encrypt" and server:
        port25 = config.master.service("smtp", "inet")
        if port25 is not None and port25.override("smtpd_tls_security_level") is None:
            yield warning(
                "smtpd_tls_security_level = encrypt on port 25: servers and programs without TLS cannot send to this host",
                subject="smtpd_tls_security_level",
                detail="RFC 3207 forbids a public server to demand TLS on port 25; demand it on the submission service instead.",
                evidence=shown(config, "smtpd_tls_security_level"),
                fixes=(
                    setting(
                        ID, "tls", "Make TLS optional on port 25", config, process, ("smtpd_tls_security_level", "may")
                    ),
                ),
            )
