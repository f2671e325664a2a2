"""Settings that are well written and cannot work together: loops, missing halves, quotes, protocols that exclude each other.

Source: postconf(5), FILTER_README, VIRTUAL_README, TLS_README.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator

from maildiag.lint.context import Context, words
from maildiag.lint.main_cf import Entry
from maildiag.lint.master_cf import Service
from maildiag.lint.problem import DropParameter, Problem, Repair, SetOverride, SetParameter
from maildiag.lint.values import has_comment
from maildiag.model import Status

_UNQUOTED = re.compile(
    r"my(hostname|domain|origin|destination|networks)|relayhost|inet_interfaces|.*_(domains|maps|transport|directory|milters|restrictions)"
    r"|content_filter|.*_(cert|key)_file|.*_CA(file|path)|smtpd_sasl_path|home_mailbox|fallback_relay|smtp_fallback_relay"
)
_PROTOCOLS = ("SSLv2", "SSLv3", "TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3")
_SPOKEN = frozenset(_PROTOCOLS[2:])
_PROTOCOL_LISTS = re.compile(r"(smtpd?|lmtp|tlsproxy)_tls_(mandatory_)?protocols")
_VERIFYING = ("fingerprint", "verify", "secure", "dane", "dane-only")
CLIENT_FILES = re.compile(r"(smtp|lmtp)_tls_(CAfile|CApath|(ec|d)?(cert|key)_file)|smtpd_tls_CA(file|path)")
"""Parameters that name a file whose absence switches TLS off; the certificates of smtpd are judged by a check of their own."""

DIRECTORIES = {"daemon_directory": "master", "command_directory": "postdrop"}
"""Directories of Postfix's programs, and one that must be in each."""


def contradictions(context: Context) -> Iterator[Problem]:
    """Everything that each value alone does not show."""
    for entry in context.main.entries:
        if context.main.entry(entry.name) is not entry or has_comment(entry.value):
            continue
        yield from _quotes(context, entry)
        yield from _protocols(context, entry)
        yield from _missing_file(context, entry)
        yield from _directory(context, entry)
        yield from _home_of_dovecot(context, entry)
    yield from _filter_loop(context)
    yield from _virtual_base(context)
    yield from _home_mailbox(context)
    yield from _proxy_protocol(context)
    yield from _service_names(context)
    yield from _no_ipv6(context)
    yield from _dane_without_dnssec(context)
    yield from _unspoken(context)
    yield from _unmapped(context)


def _problem(
    context: Context,
    entry: Entry,
    kind: str,
    status: Status,
    title: str,
    detail: str,
    repairs: tuple[Repair, ...] = (),
) -> Problem:
    return Problem(
        kind=kind,
        subject=entry.name,
        status=status,
        title=f"main.cf line {entry.line}: {title}",
        detail=detail,
        place=context.main.place(entry),
        repairs=repairs,
    )


def _quotes(context: Context, entry: Entry) -> Iterator[Problem]:
    """Postfix takes quotes for a part of the name, the address or the path."""
    if (
        not _UNQUOTED.fullmatch(entry.name)
        or "{" in entry.value
        or not re.search(r"""(^|[\s,])["'][^"']*["']([\s,]|$)""", entry.value)
    ):
        return
    better = re.sub(r"""["']""", "", entry.value)
    yield _problem(
        context, entry, "quotes", Status.CRITICAL,
        f"{entry.name} has quotes, which Postfix takes for a part of the value",
        "There are no quotes around values in main.cf: what stands between them matches nothing.",
        (Repair(f"set {entry.name} to {better}", (SetParameter(entry.name, better),), certain=True),),
    )  # fmt: skip


def _protocols(context: Context, entry: Entry) -> Iterator[Problem]:
    """TLS protocols that are misspelt, or lists that leave none."""
    if not _PROTOCOL_LISTS.fullmatch(entry.name) or "$" in entry.value:
        return
    listed = [word for word in re.split(r"[,:\s]+", entry.value) if word]
    plain = [re.sub(r"^(!|>=|<=)", "", word) for word in listed]
    wrong = [word for word in plain if word.lower() not in {each.lower() for each in _PROTOCOLS}]
    default = context.defaults.get(entry.name, "")
    back = Repair(f"set {entry.name} back to its default, {default}", (DropParameter(entry.name),), certain=True)
    if wrong and not any(re.fullmatch(r"0x[0-9a-fA-F]+|[0-9]+", word) for word in wrong):
        meant = [_meant_protocol(word) for word in wrong]
        better = entry.value
        for word, right in zip(wrong, meant, strict=True):
            better = better.replace(word, right) if right else better
        mend = Repair(f"set {entry.name} to {better}", (SetParameter(entry.name, better),), certain=True)
        yield _problem(
            context, entry, "tls-protocol", Status.CRITICAL,
            f"{entry.name} names {', '.join(wrong)}, which is no TLS protocol",
            f"There are {', '.join(_PROTOCOLS)}. Postfix says: warning: Invalid TLS protocol list, and uses no TLS.",
            (mend if all(meant) else back,),
        )  # fmt: skip
    elif listed and not _left(listed):
        yield _problem(
            context, entry, "no-tls-protocol", Status.CRITICAL,
            f"{entry.name} = {entry.value} leaves no TLS protocol that is still spoken",
            "Every TLS handshake fails.", (back,),
        )  # fmt: skip


def _meant_protocol(word: str) -> str:
    match = re.fullmatch(r"(ssl|tls)\s*v?\s*(\d)(?:[._]?(\d))?", word, re.IGNORECASE)
    if match is None:
        return ""
    name = (
        ("SSLv" if match[1].lower() == "ssl" else "TLSv")
        + match[2]
        + (f".{match[3]}" if match[3] not in (None, "0") else "")
    )
    return name if name in _PROTOCOLS else ""


def _left(listed: list[str]) -> frozenset[str]:
    """The protocols that a list allows (postconf(5), smtp_tls_protocols): named ones only, or all but the excluded."""
    order = {name.lower(): place for place, name in enumerate(_PROTOCOLS)}
    named = {word.lower() for word in listed if word[0] not in "!<>"}
    allowed = {name for name in order if name in named} if named else set(order)
    for word in listed:
        name = re.sub(r"^(!|>=|<=)", "", word).lower()
        if word.startswith("!"):
            allowed.discard(name)
        elif word.startswith(">="):
            allowed &= {each for each in order if order[each] >= order[name]}
        elif word.startswith("<="):
            allowed &= {each for each in order if order[each] <= order[name]}
    return frozenset(name for name in _SPOKEN if name.lower() in allowed)


def _missing_file(context: Context, entry: Entry) -> Iterator[Problem]:
    value = context.settings.get(entry.name, entry.value)
    if not CLIENT_FILES.fullmatch(entry.name) or value not in context.absent:
        return
    prefix = entry.name.partition("_")[0]
    level = context.value(f"{prefix}_tls_security_level")
    demanded = prefix != "smtpd" and level not in ("", "none", "may")
    other = context.value(f"{prefix}_tls_CApath")
    instead = entry.name.endswith("CAfile") and other and other not in context.absent
    idle = not _asks_for_tls(context, prefix)
    effect = (
        "its mail waits: TLS is required, but our TLS engine is unavailable."
        if demanded
        else "main.cf asks for no TLS."
        if idle
        else "TLS is switched off by it."
    )
    status = Status.CRITICAL if demanded else Status.NOTICE if idle else Status.WARNING
    yield _problem(
        context, entry, "missing-file", status,
        f"{entry.name} names {value}, which does not exist",
        f"Postfix's TLS code cannot start without it; {effect}",
        (
            Repair(
                f"take {entry.name} out{f': {prefix}_tls_CApath = {other} counts' if instead else ''}",
                (DropParameter(entry.name),),
                certain=bool(instead) or level not in _VERIFYING,
                why="Debian has the certificate authorities in /etc/ssl/certs, Red Hat in /etc/pki/tls/certs/ca-bundle.crt.",
            ),
        ),
    )  # fmt: skip


def _asks_for_tls(context: Context, prefix: str) -> bool:
    """True where main.cf or a service of master.cf has TLS spoken by `smtp`, `lmtp` or `smtpd`."""
    name = f"{prefix}_tls_security_level"
    levels = {context.value(name), *(each.override(name) or "" for each in context.master.services)}
    asked = context.yes(f"{prefix}_use_tls") or context.yes(f"{prefix}_enforce_tls")
    return bool(levels - {"", "none"}) or asked or bool(context.value(f"{prefix}_tls_policy_maps"))


def _directory(context: Context, entry: Entry) -> Iterator[Problem]:
    """A directory of the other distribution, or one that was never made."""
    value = context.settings.get(entry.name, entry.value)
    default = context.defaults.get(entry.name, "")
    needed = DIRECTORIES.get(entry.name)
    if needed is None or not {value, f"{value}/{needed}"} & context.absent:
        return
    lacks = "does not exist" if value in context.absent else f"has no {needed}"
    back = Repair(
        f"set {entry.name} back to its default, {default}", (DropParameter(entry.name),), certain=True, restart=True
    )
    yield _problem(
        context, entry, "missing-directory", Status.CRITICAL,
        f"{entry.name} = {value}, which {lacks}",
        "Postfix's programs are where the package puts them: the default of postconf -d knows the place.",
        (back,) if default and default != value else (),
    )  # fmt: skip


def _filter_loop(context: Context) -> Iterator[Problem]:
    """A content filter on this host whose port is an smtpd of our own that filters again: mail goes round until it bounces."""
    entry = context.main.entry("content_filter")
    match = re.fullmatch(
        r"\w+:\[?(?:127\.\d+\.\d+\.\d+|localhost|::1)\]?:(\d+)", context.value("content_filter").strip()
    )
    if entry is None or match is None:
        return
    way_back = _way_back(context, entry, match[1])
    if way_back is not None:
        yield _problem(
            context, entry, "filter-loop", Status.CRITICAL,
            f"{way_back.key} (master.cf line {way_back.line}) takes mail back from the filter, and gives it to content_filter again",
            "After 50 rounds it is returned: too many hops. The service behind a filter needs -o content_filter= (FILTER_README).",
            (
                Repair(
                    f"let {way_back.name} filter nothing",
                    (SetOverride(way_back.name, way_back.type, "content_filter", ""),),
                    certain=True,
                ),
            ),
        )  # fmt: skip
    for service in context.master.running("smtpd"):
        own = service.override("content_filter")
        if service.name.rpartition(":")[2] == match[1] and (own is None or own == entry.value):
            yield _problem(
                context, entry, "filter-loop", Status.CRITICAL,
                f"content_filter = {entry.value} is Postfix itself (master.cf line {service.line}), which filters again: mail goes in a circle",
                "After 50 rounds it is returned: too many hops. The service behind a filter needs -o content_filter= (FILTER_README).",
                (
                    Repair(
                        f"let {service.name} filter nothing",
                        (SetOverride(service.name, service.type, "content_filter", ""),),
                        certain=True,
                        why="Mail then passes unfiltered where no filter stands in between: point content_filter at the filter.",
                    ),
                ),
            )  # fmt: skip


_FOR_CLIENTS = frozenset({"25", "465", "587"})


def _way_back(context: Context, entry: Entry, filter_port: str) -> Service | None:
    """The smtpd on loopback that the filter gives mail back to and that filters again; None where another does not."""
    services = [each for each in context.master.running("smtpd") if each.type == "inet"]
    if any(each.override("content_filter") not in (None, entry.value) for each in services):
        return None
    return next((each for each in services if _on_loopback(each.name, filter_port)), None)


def _on_loopback(name: str, filter_port: str) -> bool:
    host, _, port = name.rpartition(":")
    loopback = host.strip("[]") == "localhost" or host.startswith("127.") or host.strip("[]") == "::1"
    return loopback and port.isdigit() and port not in _FOR_CLIENTS and port != filter_port


def _virtual_base(context: Context) -> Iterator[Problem]:
    """virtual(8) does not start without virtual_mailbox_base; a domain that is in mydestination too goes to local(8)."""
    entry = context.main.entry("virtual_mailbox_domains")
    used = context.value("virtual_transport").partition(":")[0] == "virtual" and not context.value("transport_maps")
    local = context.words("mydestination")
    domains = [each for each in context.words("virtual_mailbox_domains") if each not in local]
    if entry is None or not used or not domains or context.value("virtual_mailbox_base"):
        return
    yield _problem(
        context, entry, "virtual-base", Status.CRITICAL,
        f"virtual(8) is to deliver the mail of {', '.join(domains[:3])}, and virtual_mailbox_base is empty: it does not start",
        "It says: fatal: bad string length 0 < 1: virtual_mailbox_base =. It also needs virtual_mailbox_maps, virtual_uid_maps "
        "and virtual_gid_maps. Mailboxes of system accounts belong to a domain in mydestination instead; with Dovecot set "
        "virtual_transport = lmtp:unix:private/dovecot-lmtp.",
    )  # fmt: skip


def _home_mailbox(context: Context) -> Iterator[Problem]:
    """Without the slash at its end home_mailbox is a file in mbox format; local(8) finds the directory there and bounces.

    It looks at home_mailbox last: where mailbox_transport or mailbox_command is set, the value does not matter (local(8)).
    """
    entry = context.main.entry("home_mailbox")
    unread = context.value("mailbox_transport") or context.value("mailbox_command")
    if entry is None or unread or not re.fullmatch(r"\.?([Mm]ail[Dd]ir)", entry.value):
        return
    yield _problem(
        context, entry, "no-slash", Status.CRITICAL,
        f"home_mailbox = {entry.value} has no slash at its end: local(8) takes it for a file, not for a Maildir",
        "It says: cannot update mailbox ~/Maildir. cannot open file: Is a directory; the mail is returned.",
        (Repair(f"set home_mailbox to {entry.value}/", (SetParameter("home_mailbox", f"{entry.value}/"),), certain=True),),
    )  # fmt: skip


def _proxy_protocol(context: Context) -> Iterator[Problem]:
    """smtpd waits for a PROXY line that only a load balancer sends; everybody else is dropped."""
    entry = context.main.entry("smtpd_upstream_proxy_protocol")
    port25 = _port_25(context)
    if entry is None or not entry.value or port25 is None or port25.override(entry.name) is not None:
        return
    yield _problem(
        context, entry, "proxy-protocol", Status.WARNING,
        f"smtpd_upstream_proxy_protocol = {entry.value}: every client that does not come through the proxy is dropped without a greeting",
        "smtpd expects the PROXY line of a load balancer first. Set it with -o at a service of its own, for the balancer only.",
        (Repair("take it out: clients connect directly", (DropParameter(entry.name),)),),
    )  # fmt: skip


def _port_25(context: Context) -> Service | None:
    return next(
        (each for each in context.master.running("smtpd") if each.name.rpartition(":")[2] in ("smtp", "25")), None
    )


_PORT_NAMES = frozenset({"smtp", "submission", "submissions", "smtps", "lmtp", "urd", "ssmtp"})


def _service_names(context: Context) -> Iterator[Problem]:
    """A port given by a name that no list of services has."""
    for name in ("relayhost", "smtp_fallback_relay", "content_filter", "default_transport", "relay_transport"):
        entry = context.main.entry(name)
        match = re.fullmatch(r"(?:\w+:)?\[?[\w.-]+\]?:([a-zA-Z][\w-]*)", entry.value) if entry else None
        if entry is None or match is None or match[1].lower() in _PORT_NAMES:
            continue
        near = difflib.get_close_matches(match[1].lower(), sorted(_PORT_NAMES), 1, 0.7)
        if not near:
            continue
        better = entry.value[: match.start(1)] + near[0]
        yield _problem(
            context, entry, "port-name", Status.CRITICAL,
            f'{name} = {entry.value} ends in the port "{match[1]}", which no host knows; {near[0]} was meant?',
            f"smtp(8) stops: fatal: unknown service: {match[1]}/tcp.",
            (Repair(f"set {name} to {better}", (SetParameter(name, better),), certain=True),),
        )  # fmt: skip


def _no_ipv6(context: Context) -> Iterator[Problem]:
    """IPv6 alone, on a host that has an IPv4 address only: nothing reaches it, and it reaches nothing."""
    entry = context.main.entry("inet_protocols")
    usable = [each for each in context.addresses if not each.startswith(("127.", "fe80:")) and each != "::1"]
    if entry is None or entry.value.lower() != "ipv6" or not usable or any(":" in each for each in usable):
        return
    yield _problem(
        context, entry, "no-ipv6", Status.CRITICAL,
        f"inet_protocols = ipv6, but this host has IPv4 addresses only ({', '.join(sorted(usable))})",
        "Postfix neither listens on an address that others reach, nor delivers to an IPv4 address.",
        (Repair("set inet_protocols to ipv4", (SetParameter("inet_protocols", "ipv4"),), certain=True, restart=True),),
    )  # fmt: skip


def _dane_without_dnssec(context: Context) -> Iterator[Problem]:
    """TLSA records count where DNSSEC proves them (RFC 7672, section 2.1), and smtp(8) asks for that by another setting."""
    for name, support in (
        ("smtp_tls_security_level", "smtp_dns_support_level"),
        ("lmtp_tls_security_level", "lmtp_dns_support_level"),
    ):
        entry = context.main.entry(name)
        if entry is None or entry.value not in ("dane", "dane-only") or context.value(support) == "dnssec":
            continue
        only = entry.value == "dane-only"
        yield _problem(
            context, entry, "dane-without-dnssec", Status.CRITICAL if only else Status.WARNING,
            f"{name} = {entry.value}, but {support} is not dnssec: "
            + ("no mail leaves" if only else "no server's certificate is checked"),
            "smtp(8) says: dane-only configured with dnssec lookups disabled, and defers: client TLS configuration problem."
            if only
            else "smtp(8) says: dane configured with dnssec lookups disabled, and goes on as with the level may.",
            (
                Repair(
                    f"set {support} to dnssec; the name server of resolv.conf must validate", (SetParameter(support, "dnssec"),)
                ),
                *((Repair(f"set {name} to may, as long as other servers have no TLSA records", (SetParameter(name, "may"),)),) if only else ()),
            ),
        )  # fmt: skip


def _unspoken(context: Context) -> Iterator[Problem]:
    """smtpd_discard_ehlo_keywords hides what other settings offer."""
    entry = context.main.entry("smtpd_discard_ehlo_keywords")
    hidden = {word.lower() for word in context.words("smtpd_discard_ehlo_keywords")}
    offered = {
        "starttls": context.value("smtpd_tls_security_level") in ("may", "encrypt"),
        "auth": context.yes("smtpd_sasl_auth_enable")
        or any(each.override("smtpd_sasl_auth_enable") == "yes" for each in context.master.running("smtpd")),
    }
    lost = [word for word, wanted in offered.items() if wanted and word in hidden]
    if entry is None or not lost:
        return
    rest = ", ".join(word for word in words(entry.value) if word.lower() not in lost)
    keep = SetParameter(entry.name, rest) if rest else DropParameter(entry.name)
    yield _problem(
        context, entry, "hidden-keyword", Status.CRITICAL,
        f"{entry.name} hides {' and '.join(word.upper() for word in lost)}, which other settings offer",
        "Clients do not see it in the answer to EHLO: they cannot encrypt, or not log in.",
        (Repair(f"take {', '.join(lost)} out of it", (keep,), certain=True),),
    )  # fmt: skip


_MAPPINGS = ("virtual_alias_maps", "canonical_maps", "recipient_canonical_maps", "sender_canonical_maps", "always_bcc",
             "recipient_bcc_maps", "sender_bcc_maps", "masquerade_domains")  # fmt: skip


def _unmapped(context: Context) -> Iterator[Problem]:
    """no_address_mappings belongs to the smtpd before a filter; without one nobody expands aliases afterwards (FILTER_README)."""
    entry = context.main.entry("receive_override_options")
    filters = [
        context.value("content_filter"),
        *(each.override("content_filter") or "" for each in context.master.services),
    ]
    idle = [name for name in _MAPPINGS if context.main.entry(name) and context.value(name)]
    if entry is None or "no_address_mappings" not in words(entry.value) or any(filters) or not idle:
        return
    rest = ", ".join(word for word in words(entry.value) if word != "no_address_mappings")
    keep = SetParameter(entry.name, rest) if rest else DropParameter(entry.name)
    yield _problem(
        context, entry, "no-mappings", Status.CRITICAL,
        f"receive_override_options = {entry.value} switches {', '.join(idle)} off, and no content filter comes after it",
        "cleanup(8) neither expands aliases nor rewrites addresses: mail for an alias is returned as unknown.",
        (Repair("take no_address_mappings out", (keep,), certain=True),),
    )  # fmt: skip


_HOME = re.compile(r"(?:~|%h|%~|\$\{?(?:HOME|home)\}?|/home/(?:%[A-Za-z]*[un]|\$\{?user\}?))/")


def _home_of_dovecot(context: Context, entry: Entry) -> Iterator[Problem]:
    """local(8) takes the value for a path below the home directory, letter by letter (postconf(5) home_mailbox)."""
    value = context.settings.get(entry.name, entry.value)
    if entry.name != "home_mailbox" or not (value.startswith(("/", "~")) or "%" in value or "$" in entry.value):
        return
    if value.startswith("$") or (not value.startswith(("/", "~")) and "%" not in value):
        return
    rest = _HOME.sub("", entry.value, count=1)
    repairs = (
        (Repair(f"set it to {rest}, below the home", (SetParameter(entry.name, rest),), certain=True),)
        if rest and rest != entry.value and not set(rest) & set("%$~") and not rest.startswith("/")
        else ()
    )
    yield _problem(
        context, entry, "home-mailbox", Status.CRITICAL,
        f"home_mailbox = {value}: Postfix knows no variables there, and takes it for a path below the home directory",
        f"Mail goes to HOME/{value.lstrip('/')}, where nobody looks for it; the log says delivered. ~ and % are Dovecot's.",
        repairs,
    )  # fmt: skip
