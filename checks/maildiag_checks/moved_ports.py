"""Step 4, this host's side: are mailboxes and submission on the ports that mail programs look for?"""

from __future__ import annotations

from collections.abc import Iterator

from maildiag.dovecot import edits as editing
from maildiag.dovecot.edits import Edit
from maildiag.facts.dovecot import DovecotConfig
from maildiag.facts.firewall import Firewall
from maildiag.facts.sockets import PORTS, Owner, Port, Sockets
from maildiag.model import Evidence, Fix, Step, Verdict, ok, skipped, warning
from maildiag.registry import SERVER, check
from maildiag.settings import Settings
from maildiag_checks._sockets import GUARDS, RESTART

ID = "connectivity.ports"
_USUAL = {"imap": (143, 993), "imaps": (993, 143), "pop3": (110, 995), "pop3s": (995, 110)}
_SUBMISSION = (587, 465)


@check(
    ID,
    step=Step.CONNECTIVITY,
    asks="Are mailboxes and submission served on their usual ports?",
    roles=SERVER,
    explained_by=("services.dovecot", "services.postfix", "services.dovecot-config", "services.master-cf"),
)
def ports(
    sockets: Sockets, settings: Settings, config: DovecotConfig | None, firewall: Firewall | None
) -> Iterator[Verdict]:
    """Mail programs try the registered ports; a service on another one is found by those alone who were told of it.

    A port is as expected where something else (a proxy) listens on the usual one, a rule of the firewall leads there, a load
    balancer is spoken to (PROXY protocol), only this host is served, or the settings name it. Sources: RFC 8314, RFC 6409,
    Dovecot's documentation of services (`inet_listener`).
    """
    offered = [each for each in sockets.expected if each.name in _USUAL and each.owner is Owner.DOVECOT]
    moved = [each for each in offered if _moved(each, (PORTS[each.name],), sockets, settings, firewall)]
    for each in moved:
        yield _mailboxes(each, offered, config)
    logins = [each for each in sockets.expected if _takes_logins(each)]
    lost = [each for each in logins if _moved(each, _SUBMISSION, sockets, settings, firewall)]
    for each in lost:
        yield _submission(each)
    if moved or lost:
        return
    if not offered and not logins:
        yield skipped("Neither mailboxes nor submission are served")
        return
    shown = "\n".join(f"{each.name}: {each.number}" for each in (*offered, *logins))
    yield ok(
        "Mailboxes and submission are served on their usual ports, or where the settings say",
        evidence=(Evidence("listening sockets", shown),),
    )


def _moved(port: Port, usual: tuple[int, ...], sockets: Sockets, settings: Settings, firewall: Firewall | None) -> bool:
    """True where nothing leads a mail program from the usual ports to this one."""
    away = port.number not in (*usual, *settings.ports)
    proxied = "haproxy = yes" in port.line or any(name.endswith("upstream_proxy_protocol") for name in port.options)
    taken = any(sockets.on(each) for each in usual)
    return away and port.for_others and not proxied and not taken and not _led(port.number, firewall)


def _led(number: int, firewall: Firewall | None) -> bool:
    """True where a rule of address translation leads to the port (nft(8), REDIRECT in iptables-extensions(8))."""
    rules = [rule for chain in firewall.rules.chains for rule in chain.rules] if firewall else []
    return any(each.target.rpartition(":")[2] == str(number) for each in rules)


def _takes_logins(port: Port) -> bool:
    """A service of master.cf with options of its own for logins: made for users' programs."""
    options = port.options
    logins = options.get("smtpd_sasl_auth_enable") == "yes" or any(
        "permit_sasl_authenticated" in each for each in options.values()
    )
    return (
        port.owner is Owner.POSTFIX and logins and options.get("smtpd_sasl_auth_enable") != "no" and port.number != 25
    )


def _mailboxes(port: Port, offered: list[Port], config: DovecotConfig | None) -> Verdict:
    usual, sibling = _USUAL[port.name]
    protocol = port.name.removesuffix("s").upper()
    other = any(each.number == sibling for each in offered)
    return warning(
        f"Dovecot serves {port.name} on port {port.number}, and mail programs look for it on {usual}",
        detail=(
            f"Only those that use port {sibling} still find {protocol}. "
            if other
            else f"No mail program that was not told finds {protocol}. "
        )
        + f"Nothing listens on {usual}. Where the port is meant, name it in the setting ports of maildiag's configuration.",
        subject=port.name,
        data={"port": port.number, "usual": usual},
        evidence=(
            Evidence("doveconf -n", port.line),
            Evidence("listening sockets", f"nothing listens on port {usual}"),
        ),
        fixes=_back(port, config),
    )


def _back(port: Port, config: DovecotConfig | None) -> tuple[Fix, ...]:
    """The line of the listener's port, set to the usual one."""
    found = [
        each
        for each in (config.source.settings if config else ())
        if each.name == "port"
        and each.within
        and (each.within[-1].kind, each.within[-1].name) == ("inet_listener", port.name)
    ]
    if not found or not found[-1].place.file:
        return ()
    last = found[-1]
    indent = last.raw[: len(last.raw) - len(last.raw.lstrip())]
    usual = PORTS[port.name]
    return (
        Fix(
            id=f"{ID}/back",
            title=f"Let Dovecot serve {port.name} on port {usual} again",
            commands=(*editing.commands((Edit(last.place, (f"{indent}port = {usual}",)),)), RESTART),
            changes=(last.place.file,),
            verify=(f"{ID}@{port.name}",),
            guards=GUARDS,
            disrupts="logged-in mail clients are disconnected and come back by themselves",
        ),
    )


def _submission(port: Port) -> Verdict:
    return warning(
        f"Submission is on port {port.number}, and mail programs look for it on 587 or 465",
        detail="Users' programs cannot send: nothing listens on 587 nor on 465. Where the port is meant, name it in the setting ports of"
        " maildiag's configuration.",
        subject="submission",
        data={"port": port.number},
        evidence=(
            Evidence("postconf -M", port.line),
            Evidence("listening sockets", "nothing listens on ports 587 and 465"),
        ),
    )
