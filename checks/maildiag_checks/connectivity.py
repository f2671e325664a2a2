"""Step 4, this host's side: do the ports listen that should?"""

from __future__ import annotations

from collections.abc import Iterator

from maildiag.facts.dovecot import Dovecot
from maildiag.facts.firewall import Firewall
from maildiag.facts.names import PublicNames
from maildiag.facts.postfix import Postfix
from maildiag.facts.routes import Routes
from maildiag.facts.sockets import PORTS, Owner, Port, Sockets, dovecot_protocols, is_any, is_loopback
from maildiag.model import (
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
    warning,
)
from maildiag.probes import Listener
from maildiag.registry import BOTH, check
from maildiag_checks._own_mail import nobody_is_sent_here, takes_logins_alone
from maildiag_checks.firewall import keeps_out

_BLAME = {
    Owner.POSTFIX: (
        "services.sandbox",
        "services.port-taken",
        "services.postfix",
        "services.master-cf",
        "services.main-cf",
        "services.unloaded-changes",
    ),
    Owner.DOVECOT: ("services.sandbox", "services.port-taken", "services.dovecot", "services.dovecot-config"),
    Owner.SETTINGS: ("services.port-taken", "services.postfix", "services.dovecot"),
}
_PROXIES = ("systemd", "docker-proxy", "haproxy", "nginx")  # these listen in the place of others
_PROGRAMS = {  # a child process holds its parent's socket too, and the kernel names any of them
    Owner.POSTFIX: ("master", "smtpd", "postscreen", "qmqpd", "spawn", "tlsproxy", *_PROXIES),
    Owner.DOVECOT: ("dovecot", "imap-login", "pop3-login", "managesieve-login", "submission-login", "lmtp", *_PROXIES),
}
_SOURCE = "listening sockets"


@check(
    "connectivity.listeners",
    step=Step.CONNECTIVITY,
    asks="Does everything listen where the configuration says?",
    roles=BOTH,
    explained_by=tuple(dict.fromkeys(edge for edges in _BLAME.values() for edge in edges)),
)
def listeners(
    sockets: Sockets,
    role: HostRole,
    postfix: Postfix | None,
    dovecot: Dovecot | None,
    public: PublicNames | None = None,
    firewall: Firewall | None = None,
    routes: Routes | None = None,
) -> Iterator[Verdict]:
    """Configured ports against the kernel's sockets. Source: master(5), postconf(5) inet_interfaces, doveconf(1).

    Mailboxes on loopback alone are meant where the firewall keeps clients from these ports too: a web mailer serves them.
    """
    server = role.role is Role.MAIL_SERVER
    if not sockets.expected:
        yield skipped("No port is configured")
    # A Postfix that only brings its own host's mail to Dovecot, or takes it from a fetching program, is a client.
    # And beside further instances the default one is a client, too (MULTI_INSTANCE_README).
    apart = nobody_is_sent_here(public, postfix, sockets) or bool(postfix and postfix.others)
    for port in sockets.expected:
        inside = port.owner is Owner.DOVECOT and bool(
            firewall and routes and keeps_out(firewall, routes, postfix, port.number)
        )
        yield _port(port, sockets, server and not (apart and port.owner is Owner.POSTFIX), inside)
    if server and postfix is not None and postfix.installed:
        yield from _without_smtp(sockets, postfix, takes_logins_alone(public, postfix, sockets))
    if server and dovecot is not None and dovecot.installed:
        yield from _without_imap(dovecot, sockets)


def _port(port: Port, sockets: Sockets, server: bool, inside: bool) -> Verdict:
    found = sockets.on(port.number)
    shown = (Evidence(_SOURCE, _shown(found) or f"nothing listens on port {port.number}"), _configured(port))
    subject = str(port.number)
    if not found:
        return critical(
            f"Nothing listens on port {port.number} ({port.name})",
            detail=f"{_name(port)} should: {port.line}",
            subject=subject,
            evidence=shown,
            explained_by=_BLAME[port.owner],
        )
    strangers = [each for each in found if each.program and each.program not in _PROGRAMS.get(port.owner, ())]
    if strangers and port.owner is not Owner.SETTINGS:
        return critical(
            f"Port {port.number} ({port.name}) is held by {strangers[0].program}, not by {_name(port)}",
            subject=subject,
            evidence=shown,
            explained_by=("services.port-taken",),
        )
    return _bound(port, sockets, server, shown, inside)


def _bound(port: Port, sockets: Sockets, server: bool, shown: tuple[Evidence, ...], inside: bool) -> Verdict:
    """The addresses that are bound against those that the configuration names."""
    found = sockets.on(port.number)
    subject = str(port.number)
    wanted = _wanted(port, sockets)
    missing = [each for each in wanted if not any(is_any(one.address) or one.address == each for one in found)]
    if missing:
        return (critical if server else warning)(
            f"Port {port.number} ({port.name}) does not listen on {', '.join(missing)}",
            detail="The configuration says so, but the running program was not restarted since: a reload is not enough.",
            subject=subject,
            evidence=shown,
            fixes=(_restart(port),),
            explained_by=(),
        )
    if server and not port.for_others and not inside:
        return _loopback_only(port, shown)
    if not server and port.addresses and sockets.open_to_others(port.number) and not port.for_others:
        return notice(
            f"Port {port.number} still listens on the network although the configuration says loopback",
            subject=subject,
            evidence=shown,
            fixes=(_restart(port),),
        )
    return ok(f"Port {port.number} ({port.name}) listens", subject=subject, evidence=shown[:1])


def _wanted(port: Port, sockets: Sockets) -> list[str]:
    """The addresses that must be bound: named ones that the host has, or its first own address where all are meant."""
    own = [each for each in sockets.own if ":" not in each]
    if not port.addresses:
        return own[:1]
    return [each for each in port.addresses if each in own or (is_loopback(each) and ":" not in each)]


def _loopback_only(port: Port, shown: tuple[Evidence, ...]) -> Verdict:
    subject = str(port.number)
    if port.owner is Owner.DOVECOT:
        return warning(
            f"Dovecot serves {port.name} on loopback only: mail clients on other hosts are refused",
            subject=subject,
            evidence=shown,
            explained_by=(),
        )
    if port.number not in (25, 465, 587):
        return ok(f"Port {port.number} listens on loopback, as configured", subject=subject, evidence=shown[:1])
    own_setting = not port.line.split()[0].rpartition(":")[0]
    fix = Fix(
        id="connectivity.listeners/all-interfaces",
        title="Let Postfix listen on every interface",
        commands=(("postconf", "-e", "inet_interfaces = all"), ("postfix", "stop"), ("postfix", "start")),
        risk=Risk.MEDIUM,
        changes=("/etc/postfix/main.cf",),
        guards=(("postfix", "check"),),
        verify=("connectivity.listeners",),
        disrupts="Postfix is stopped for a second",
        why="A mail server that listens on loopback alone refuses every other host; inet_interfaces needs a restart.",
    )
    return critical(
        f"Postfix listens on loopback only: other hosts are refused on port {port.number}",
        subject=subject,
        evidence=shown,
        fixes=(fix,) if own_setting else (),
        explained_by=(),
    )


def _restart(port: Port) -> Fix:
    unit = "dovecot" if port.owner is Owner.DOVECOT else "postfix"
    commands = (("systemctl", "restart", unit),) if unit == "dovecot" else (("postfix", "stop"), ("postfix", "start"))
    return Fix(
        id=f"connectivity.listeners/restart-{unit}",
        title=f"Restart {unit.capitalize()}, so that it binds the configured addresses",
        commands=commands,
        guards=(("doveconf", "-x", "-n") if unit == "dovecot" else ("postfix", "check"),),
        verify=("connectivity.listeners",),
        automatic=True,
        disrupts="connections under way are cut",
        why="master(8) reads inet_interfaces when it starts, not when it is reloaded.",
    )


def _without_smtp(sockets: Sockets, postfix: Postfix, logins_alone: bool) -> Iterator[Verdict]:
    if any(port.owner is Owner.POSTFIX and port.number == 25 for port in sockets.expected):
        return
    shown = (Evidence("postconf -M", _postfix_lines(sockets) or "no inet service for port 25"),)
    if logins_alone:
        yield ok("Postfix takes mail from logins alone: nobody is sent to port 25", subject="25", evidence=shown)
        return
    line = "smtp inet n - y - - smtpd"
    fix = Fix(
        id="connectivity.listeners/enable-smtp",
        title="Put the smtp service back into master.cf",
        commands=(("postconf", "-M", f"smtp/inet={line}"), ("postfix", "reload")),
        risk=Risk.MEDIUM,
        changes=(f"{postfix.config_directory}/master.cf",),
        guards=(("postfix", "check"),),
        verify=("connectivity.listeners",),
    )
    yield critical(
        "master.cf has no active smtp service: the server takes no mail on port 25",
        subject="25",
        evidence=shown,
        fixes=(fix,),
        explained_by=("services.master-cf",),
    )


def _postfix_lines(sockets: Sockets) -> str:
    return "\n".join(each.line for each in sockets.expected if each.owner is Owner.POSTFIX)


def _without_imap(dovecot: Dovecot, sockets: Sockets) -> Iterator[Verdict]:
    """A protocol that is not named, and one whose every listener has port 0, are served to nobody."""
    protocols = dovecot_protocols(dovecot)
    imap, pop3 = (each in protocols and _is_served(each, sockets) for each in ("imap", "pop3"))
    if imap or not dovecot.text:
        return
    told = Evidence("doveconf -n", f"protocols = {' '.join(protocols)}")
    off = "imap" in protocols
    if pop3:
        yield warning(
            "Dovecot serves no IMAP, only POP3",
            detail="Its listeners have port = 0."
            if off
            else "`imap` is missing from `protocols`; the documentation serves both.",
            subject="imap",
            evidence=(told,),
            explained_by=(),
        )
    else:
        yield critical(
            "Dovecot serves neither IMAP nor POP3: nobody can read mail",
            detail="Their listeners have port = 0." if off else "",
            subject="imap",
            evidence=(told,),
            explained_by=("services.dovecot-config",),
        )


def _is_served(protocol: str, sockets: Sockets) -> bool:
    """True where a listener of the protocol has a port, or something listens on a port that is the protocol's by right."""
    names = (protocol, f"{protocol}s")
    offered = any(each.owner is Owner.DOVECOT and each.name in names for each in sockets.expected)
    return offered or any(sockets.on(PORTS[each]) for each in names)


def _name(port: Port) -> str:
    return {"postfix": "Postfix", "dovecot": "Dovecot"}.get(port.owner, "a service")


def _configured(port: Port) -> Evidence:
    source = {"postfix": "postconf -M", "dovecot": "doveconf -n"}.get(port.owner, "settings")
    where = f"\naddresses: {', '.join(port.addresses)}" if port.addresses else ""
    return Evidence(source, port.line + where)


def _shown(found: tuple[Listener, ...]) -> str:
    return "\n".join(
        f"LISTEN {each.address}:{each.port}" + (f" {each.program} (pid {each.pid})" if each.program else "")
        for each in found
    )
