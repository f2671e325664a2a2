"""Is this host set up to hand its mail to the relay, and does it have the password that the relay asks for?"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator
from dataclasses import replace

from maildiag.facts.domains import mx_hosts
from maildiag.facts.postfix_config import PostfixConfig
from maildiag.facts.postfix_process import PostfixProcess
from maildiag.facts.relay import Relay
from maildiag.facts.relay_password import Key, RelayPassword
from maildiag.lint.context import words
from maildiag.lint.values import has_comment
from maildiag.model import (
    Confidence,
    Evidence,
    Fix,
    HostRole,
    Risk,
    Role,
    Step,
    Verdict,
    critical,
    notice,
    ok,
    skipped,
)
from maildiag.probes import DnsAnswer, DnsStatus, Transcript
from maildiag.registry import BOTH, check
from maildiag_checks._main_cf import setting, shown

SETTINGS = "connectivity.relay-settings"
PASSWORD = "authentication.relay-password"


@check(
    SETTINGS,
    step=Step.CONNECTIVITY,
    asks="Is the relayhost set as it must be?",
    roles=BOTH,
    explained_by=("services.main-cf",),
)
def relay_settings(
    postfix_config: PostfixConfig, postfix_process: PostfixProcess | None, relay: Relay | None, role: HostRole | None
) -> Iterator[Verdict]:
    """What main.cf says of the way to the relay. Source: postconf(5) relayhost, smtp_host_lookup."""
    config = postfix_config
    client = role is not None and role.role is Role.RELAY_CLIENT
    entry = config.main.entry("relayhost")
    if not config.settings or (entry is not None and has_comment(entry.value)):
        yield skipped("Postfix cannot use its configuration; see services.main-cf")
        return
    relayhost = config.get("relayhost").strip()
    if not relayhost:
        yield from _without(config, client)
        return
    found = [*_syntax(config, postfix_process, relayhost)]
    if not found:
        found = [
            *_self(config, postfix_process, relay),
            *_family(config, postfix_process, relay),
            *_lookup(config, postfix_process, relay),
            *_wrapped(config, postfix_process, relay),
            *_listens(config, client),
        ]
    yield from found
    if not any(each.status.failing for each in found):
        yield ok(f"Mail goes to the relay {relayhost}", evidence=shown(config, "relayhost"))


def _without(config: PostfixConfig, client: bool) -> Iterator[Verdict]:
    if not client:
        yield skipped("No relayhost is set: this host delivers to other domains itself")
        return
    yield notice(
        "No relayhost is set, though this host only sends: its mail goes straight to the Internet",
        subject="relayhost",
        detail="An application server without a relay is refused by many (no reverse name, blocked port 25).",
        evidence=shown(config, "relayhost", "inet_interfaces"),
        confidence=Confidence.LIKELY,
        fixes=(
            Fix(
                id=f"{SETTINGS}/name-the-relay",
                title="Name the relay: postconf -e 'relayhost = [mail server]:25' && postfix reload",
                ask="Which mail server does this host send through? Its name or address is needed for relayhost.",
            ),
        ),
    )


def _syntax(config: PostfixConfig, process: PostfixProcess | None, relayhost: str) -> Iterator[Verdict]:
    """Forms that smtp(8) cannot take: ports within the brackets, URLs, brackets that do not close."""
    for hop in words(relayhost):
        better = _better(hop)
        if better is None:
            continue
        yield critical(
            f"relayhost = {relayhost} is not written as Postfix reads it",
            subject="relayhost",
            detail="It takes host, host:port, [host], [host]:port or [address]:port; no mail leaves with anything else.",
            evidence=shown(config, "relayhost"),
            fixes=(
                setting(
                    SETTINGS, "write-relayhost", f"Set relayhost to {better}", config, process, ("relayhost", better)
                ),
            )
            if better
            else (),
        )
        return


def _better(hop: str) -> str | None:
    """None where the hop is well written, "" where it is not and cannot be mended."""
    if re.fullmatch(
        r"\[[^\[\]\s:/]+\](:[\w-]+)?|\[(ipv6:|IPv6:)?[0-9a-fA-F]*:[0-9a-fA-F]*:[0-9a-fA-F:.]*\](:[\w-]+)?|[\w.-]+(:[\w-]+)?",
        hop,
    ):
        return (
            ""
            if hop.rpartition(":")[2].isdigit()
            and ":" in hop.rpartition("]")[2]
            and int(hop.rpartition(":")[2]) > 65535
            else None
        )
    match = re.fullmatch(r"\[([\w.-]+):(\d+)\]", hop)
    if match:
        return f"[{match[1]}]:{match[2]}"
    match = re.fullmatch(r"(?:smtps?|smtp\+tls)://([\w.-]+)(?::(\d+))?/?", hop)
    if match:
        return f"[{match[1]}]:{match[2] or '25'}"
    match = re.fullmatch(r"(?:smtp|relay):(\[?[\w.-]+\]?(?::\d+)?)", hop)
    if match:
        return match[1]
    match = re.fullmatch(r"\[([\w.-]+)(:\d+)?", hop) or re.fullmatch(r"([\w.-]+)\](:\d+)?", hop)
    return f"[{match[1]}]{match[2] or ''}" if match else ""


def _self(config: PostfixConfig, process: PostfixProcess | None, relay: Relay | None) -> Iterator[Verdict]:
    """A relay that is this host: mail goes round (4.3.5, mail loops back to myself)."""
    if relay is None or relay.hop is None:
        return
    own = config.addresses | {"127.0.0.1", "::1"}
    names = {config.get("myhostname").lower(), "localhost"}
    here = [each for each in relay.addresses if each in own]
    if (not here and relay.hop.host.lower() not in names) or relay.hop.port not in _own_ports(config):
        return
    yield critical(
        f"relayhost = {relay.hop.text} is this host itself: its mail goes round and waits",
        subject="relayhost",
        detail="smtp(8) says: mail for … loops back to myself; warning: relayhost configuration problem.",
        evidence=(*shown(config, "relayhost"), Evidence("network interfaces", ", ".join(sorted(config.addresses)))),
        fixes=(
            setting(SETTINGS, "empty-relayhost", "Empty relayhost: mail then goes to its destinations directly", config, process,
                    ("relayhost", ""), risk=Risk.MEDIUM, why="Or name the mail server that is meant."),
        ),
    )  # fmt: skip


def _wrapped(config: PostfixConfig, process: PostfixProcess | None, relay: Relay | None) -> Iterator[Verdict]:
    """Port 465 begins with TLS, ports 25 and 587 with a greeting. Source: RFC 8314 section 3.3, postconf(5)."""
    name = "smtp_tls_wrappermode"
    wrapped = config.context.yes(name)
    if relay is None or relay.hop is None or relay.hop.port not in (25, 587, 465) or wrapped == (relay.hop.port == 465):
        return
    talk = relay.talks[0].transcript if relay.talks else None
    if isinstance(talk, Transcript) and talk.exchange("banner") is not None:
        return  # it works all the same
    port, better = relay.hop.port, "no" if wrapped else "yes"
    yield critical(
        f"{name} = {'yes' if wrapped else 'no'}, but the relay's port {port} "
        + ("greets first and begins TLS with STARTTLS" if wrapped else "begins with TLS at once"),
        subject=name,
        detail="Each side waits for the other to speak, until the connection times out.",
        evidence=shown(config, name, "relayhost"),
        fixes=(
            setting(
                SETTINGS, "wrapper-mode", f"Set {name} to {better}", config, process,
                *((name, better), *(() if wrapped else (("smtp_tls_security_level", "encrypt"),))), automatic=wrapped,
            ),
        ),
    )  # fmt: skip


def _own_ports(config: PostfixConfig) -> frozenset[int]:
    known = {"smtp": 25, "submission": 587, "submissions": 465, "smtps": 465}
    ports = [each.name.rpartition(":")[2] for each in config.master.services if each.type == "inet"]
    return frozenset(known.get(port) or int(port) for port in ports if port in known or port.isdigit())


def _family(config: PostfixConfig, process: PostfixProcess | None, relay: Relay | None) -> Iterator[Verdict]:
    """A relay whose addresses are all of the family that inet_protocols leaves out. Source: postconf(5) inet_protocols."""
    if relay is None or relay.hop is None or not relay.unused:
        return
    kind = "IPv6" if ":" in relay.unused[0] else "IPv4"
    yield critical(
        f"The relay has {kind} addresses alone ({', '.join(relay.unused)}), and inet_protocols = {config.get('inet_protocols')} leaves {kind} out",
        subject="inet_protocols",
        detail=f"No mail leaves for {relay.hop.text}, although ping and telnet reach it.",
        evidence=(*shown(config, "relayhost", "inet_protocols"), *_dns(relay)),
        fixes=(_both_families(config, process, kind),),
    )


def _both_families(config: PostfixConfig, process: PostfixProcess | None, kind: str) -> Fix:
    """Automatic where Postfix listens on loopback alone, so that it then serves nobody else, and has such an address."""
    local = set(words(config.get("inet_interfaces"))) <= {"loopback-only", "localhost", "127.0.0.1", "[::1]"}
    outside = [each for each in config.addresses if not each.startswith(("127.", "::1", "fe80"))]
    restarts = (process or PostfixProcess(False, False)).restarts
    plain = setting(
        SETTINGS, "both-families", "Let Postfix use IPv4 and IPv6", config, process, ("inet_protocols", "all")
    )
    return replace(
        plain,
        commands=(plain.commands[0], *restarts, ("postqueue", "-f")),
        undo=restarts,
        automatic=local and any((":" in each) == (kind == "IPv6") for each in outside),
        verify=(SETTINGS, "connectivity.relayhost"),
        why="Postfix then listens on the addresses of both families that inet_interfaces names.",
    )


def _lookup(config: PostfixConfig, process: PostfixProcess | None, relay: Relay | None) -> Iterator[Verdict]:
    """Names that Postfix looks up in another way than the administrator thinks."""
    if relay is None or relay.hop is None:
        return
    hop = relay.hop
    if hop.literal:
        if not hop.bracketed:
            yield _unbracketed(config, process, hop.text, hop.host, hop.port)
        return
    if relay.unused:
        return
    known_here = {address for _, found in relay.system for address in found}
    in_dns = any(isinstance(answer, DnsAnswer) and answer.status is DnsStatus.ANSWER for _, answer in relay.dns)
    nothing = all(isinstance(answer, DnsAnswer) and answer.knows for _, answer in relay.dns)
    if not relay.addresses and known_here and not in_dns and relay.lookup == "dns" and (nothing or not relay.dns):
        yield critical(
            f"{hop.host} is known to this system (hosts file), but Postfix looks in the DNS only, where it is not",
            subject="smtp_host_lookup",
            detail=f"The system finds {', '.join(sorted(known_here))}; smtp_host_lookup = {config.get('smtp_host_lookup')}.",
            evidence=(*shown(config, "relayhost", "smtp_host_lookup"), *_dns(relay)),
            fixes=(
                setting(SETTINGS, "native", "Look names up as the system does", config, process,
                        ("smtp_host_lookup", "native"), why="Or put the name into the DNS."),
            ),
        )  # fmt: skip
    elif (
        not hop.bracketed
        and isinstance(relay.mx, DnsAnswer)
        and (hosts := mx_hosts(relay.mx))
        and hop.host not in hosts
    ):
        value = ("relayhost", f"[{hop.host}]:{hop.port}")
        yield notice(
            f"relayhost = {hop.text} has no brackets: mail goes to the MX of {hop.host}, {', '.join(hosts)}",
            subject="relayhost",
            detail=f"Where the host {hop.host} itself is meant, write [{hop.host}].",
            evidence=(*shown(config, "relayhost"), Evidence(f"dig {hop.host} MX", "\n".join(relay.mx.records))),
            fixes=(setting(SETTINGS, "bracket", f"Send to {hop.host} itself", config, process, value),),
        )


def _unbracketed(config: PostfixConfig, process: PostfixProcess | None, text: str, host: str, port: int) -> Verdict:
    """It works (tried with Postfix 3.7 and 3.10): no MX is looked up for an address."""
    return notice(
        f"relayhost = {text} is an address without brackets, which postconf(5) has around it",
        detail="Postfix takes it for the address that it is.",
        subject="relayhost",
        evidence=shown(config, "relayhost"),
        fixes=(
            setting(
                SETTINGS,
                "bracket",
                f"Put {host} in brackets",
                config,
                process,
                ("relayhost", f"[{host}]:{port}"),
            ),
        ),
    )


def _dns(relay: Relay) -> tuple[Evidence, ...]:
    return tuple(
        Evidence(f"dig {name} A", answer.status.value) for name, answer in relay.dns if isinstance(answer, DnsAnswer)
    )


def _listens(config: PostfixConfig, client: bool) -> Iterator[Verdict]:
    """Loopback must be open to the programs of a relay client that speak SMTP."""
    if client and config.master.service("smtp", "inet") is None and not config.master.running("smtpd"):
        yield notice(
            "Nothing listens on port 25 here: programs that speak SMTP to localhost cannot send, those that call sendmail can",
            subject="smtp/inet",
            evidence=(Evidence(config.master.path, "no service smtp inet"),),
        )


@check(
    PASSWORD,
    step=Step.AUTHENTICATION,
    asks="Does this host have the login that its relay asks for?",
    roles=BOTH,
    explained_by=("services.lookup-tables", SETTINGS, "services.main-cf"),
)
def relay_password(
    postfix_config: PostfixConfig, postfix_process: PostfixProcess | None, relay_password: RelayPassword
) -> Iterator[Verdict]:
    """The key that smtp(8) looks up, the mechanisms, and what it is ready to use. Source: SASL_README, client."""
    config, password = postfix_config, relay_password
    if not config.get("relayhost"):
        yield skipped("No relayhost is set")
    elif not password.enabled:
        yield skipped("This host does not log in to its relay (smtp_sasl_auth_enable = no)")
    else:
        found = [*_key(config, postfix_process, password), *_mechanisms(config, postfix_process, password)]
        yield from found
        if not any(each.status.failing for each in found):
            yield ok(f"A login for {password.found or config.get('relayhost')} is in {password.table}",
                     evidence=shown(config, "smtp_sasl_password_maps"))  # fmt: skip


def _key(config: PostfixConfig, process: PostfixProcess | None, password: RelayPassword) -> Iterator[Verdict]:
    if not password.table:
        yield critical(
            "smtp_sasl_auth_enable = yes, but smtp_sasl_password_maps names no table: smtp does not start",
            subject="smtp_sasl_password_maps",
            detail="smtp(8) stops: fatal: specify a password table via the `smtp_sasl_password_maps' configuration parameter.",
            evidence=shown(config, "smtp_sasl_auth_enable", "smtp_sasl_password_maps"),
            fixes=(setting(PASSWORD, "off", "Send without a login", config, process, ("smtp_sasl_auth_enable", "no")),),
        )
    elif password.asked and not password.found:
        near = _nearest(config.get("relayhost"), password.written)
        yield critical(
            f"{password.table} has no login for {' or '.join(password.keys)}",
            subject=password.table,
            detail="Postfix logs in only where the key is one of these, brackets and port included; without it the relay "
            "answers 530 Authentication required, and the mail bounces."
            + (f" It has {', '.join(each.text for each in password.written)}." if password.written else ""),
            data={"keys": list(password.keys), "written": [each.text for each in password.written]},
            evidence=(
                *shown(config, "relayhost", "smtp_sasl_password_maps"),
                Evidence(f"postmap -q '{config.get('relayhost')}' {password.table}", "(nothing, exit status 1)"),
            ),
            fixes=(_rename(config, password, near),) if near else (),
        )


def _nearest(relayhost: str, written: tuple[Key, ...]) -> Key | None:
    host = re.sub(r"[\[\]]|:\d+$", "", relayhost).lower()
    same = [key for key in written if re.sub(r"[\[\]]|:\d+$", "", key.text).lower() == host]
    if same:
        return same[0]
    near = difflib.get_close_matches(relayhost, [key.text for key in written], 1, 0.75)
    return next((key for key in written if near and key.text == near[0]), None)


def _rename(config: PostfixConfig, password: RelayPassword, near: Key) -> Fix:
    relayhost = config.get("relayhost")
    quoted = re.sub(r"([\\/&])", r"\\\1", relayhost)
    host = re.sub(r"[\[\]]|:\d+$", "", relayhost).lower()
    return Fix(
        id=f"{PASSWORD}/rename-key",
        title=f"Write the key {near.text} (line {near.line}) as {relayhost}",
        commands=(
            ("sed", "-i", "--follow-symlinks", f"{near.line}s/^[^[:blank:]]*/{quoted}/", password.source),
            ("postmap", password.table),
            ("postqueue", "-f"),
        ),
        automatic=re.sub(r"[\[\]]|:\d+$", "", near.text).lower() == host,
        verify=(PASSWORD,),
        changes=(
            password.source,
            *(password.source + suffix for suffix in (".db",) if password.table.startswith(("hash:", "btree:"))),
        ),
    )


def _mechanisms(config: PostfixConfig, process: PostfixProcess | None, password: RelayPassword) -> Iterator[Verdict]:
    if password.plugins is False and config.get("smtp_sasl_type") == "cyrus":
        yield critical(
            "Cyrus SASL has no plug-in for PLAIN or LOGIN here: Postfix cannot log in to the relay",
            subject="sasl-plug-ins",
            detail="smtp(8) says: SASL authentication failure: No worthy mechs found.",
            evidence=(Evidence("stat /usr/lib*/sasl2/libplain.so", "No such file or directory"),),
            fixes=(
                Fix(
                    id=f"{PASSWORD}/install",
                    title="Install the plug-ins: apt-get install libsasl2-modules (Debian, Ubuntu), dnf install cyrus-sasl-plain (RHEL)",
                    ask="Please install libsasl2-modules (Debian) or cyrus-sasl-plain (RHEL) on this host.",
                ),
            ),
        )
    plain_only = password.offered and not set(password.offered) - {"PLAIN", "LOGIN"}
    options = _options(config)
    if "noplaintext" in options and (plain_only or (not password.offered and _encrypted(config))):
        judge = critical if plain_only else notice
        offers = " and ".join(password.offered)
        yield judge(
            f"The relay offers {offers} only, and smtp_sasl_security_options forbids them (noplaintext)"
            if plain_only
            else "smtp_sasl_security_options forbids PLAIN and LOGIN (noplaintext), which most relays offer alone",
            subject="smtp_sasl_security_options",
            detail="smtp(8) says: SASL authentication failure: No worthy mechs found. noplaintext is the default.",
            evidence=shown(config, "smtp_sasl_security_options", "smtp_tls_security_level"),
            fixes=(
                setting(PASSWORD, "allow-plain", "Allow PLAIN and LOGIN over TLS", config, process,
                        *_over_tls(config), why="The password goes over the wire as it is: TLS must protect it."),
            ),
        )  # fmt: skip


def _encrypted(config: PostfixConfig) -> bool:
    return config.get("smtp_tls_security_level") in ("encrypt", "verify", "secure", "dane-only", "fingerprint")


def _options(config: PostfixConfig) -> tuple[str, ...]:
    tls = config.get("smtp_tls_security_level") not in ("", "none")
    return words(config.get("smtp_sasl_tls_security_options" if tls else "smtp_sasl_security_options"))


def _over_tls(config: PostfixConfig) -> tuple[tuple[str, str], ...]:
    if config.get("smtp_tls_security_level") in ("", "none"):
        return (("smtp_sasl_security_options", "noanonymous"), ("smtp_tls_security_level", "encrypt"))
    return (("smtp_sasl_tls_security_options", "noanonymous"),)
