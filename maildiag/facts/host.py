"""The host itself: who it is, which distribution, which role, and what the report's head says of it."""

from __future__ import annotations

from dataclasses import dataclass

from maildiag.engine import Ask
from maildiag.facts.dovecot import Dovecot
from maildiag.facts.mail_log import MailLog
from maildiag.facts.postfix import Postfix
from maildiag.model import Gap, HostInfo, HostRole, Role
from maildiag.probes import Identity, ReadFile, WhoAmI
from maildiag.registry import gatherer
from maildiag.settings import Settings


@dataclass(frozen=True, slots=True)
class Distribution:
    """os-release(5): `id` as "debian", `version` as "12", `family` "debian", "redhat", or the id itself."""

    id: str
    version: str
    name: str
    family: str


@gatherer
def identity(ask: Ask) -> Identity:
    """The host's name, clock and our privileges; `Identity.now` is the only clock that checks may judge by."""
    return ask(WhoAmI())


@gatherer
def distribution(ask: Ask) -> Distribution:
    """Which distribution the host runs."""
    return parse_os_release(ask(ReadFile("/etc/os-release")).text)


def parse_os_release(text: str) -> Distribution:
    """os-release(5) as a `Distribution`."""
    values = dict(line.split("=", 1) for line in text.splitlines() if "=" in line and not line.startswith("#"))
    values = {name: value.strip().strip("\"'") for name, value in values.items()}
    name = values.get("ID", "linux")
    kin = {name, *values.get("ID_LIKE", "").split()}
    family = "debian" if kin & {"debian", "ubuntu"} else "redhat" if kin & {"rhel", "fedora", "centos"} else name
    return Distribution(name, values.get("VERSION_ID", ""), values.get("PRETTY_NAME", name), family)


@gatherer
def role(ask: Ask, settings: Settings, postfix: Postfix | Gap, dovecot: Dovecot | None) -> HostRole:
    """Mail server or relay client: forced, or read from the configuration. See `decide_role`."""
    if settings.role is not None:
        return HostRole(settings.role, "forced with --role or role in the configuration")
    return decide_role(postfix if isinstance(postfix, Postfix) else None, dovecot)


def decide_role(postfix: Postfix | None, dovecot: Dovecot | None) -> HostRole:
    """A host that forwards everything to a relayhost, delivers nothing itself and has no Dovecot is a relay client."""
    if dovecot is not None and dovecot.installed:
        return HostRole(Role.MAIL_SERVER, "Dovecot is installed")
    if postfix is None or not postfix.installed:
        return HostRole(Role.MAIL_SERVER, "no Postfix configuration could be read; assumed")
    relayhost = postfix.get("relayhost")
    if relayhost:
        return HostRole(Role.RELAY_CLIENT, f"relayhost = {relayhost}, and no Dovecot")
    if postfix.get("inet_interfaces") in ("loopback-only", "localhost"):
        return HostRole(Role.RELAY_CLIENT, "Postfix listens on loopback only, and there is no Dovecot")
    return HostRole(Role.MAIL_SERVER, "Postfix has no relayhost and listens on the network")


@gatherer
def host_info(
    ask: Ask,
    identity: Identity | None,
    distribution: Distribution | None,
    role: HostRole | None,
    postfix: Postfix | None,
    dovecot: Dovecot | None,
    log: MailLog | None,
) -> HostInfo:
    """The head of the report."""
    return HostInfo(
        name=identity.hostname if identity else "",
        role=role.role if role else "",
        role_reason=role.reason if role else "",
        os=distribution.name if distribution else "",
        postfix=postfix.version if postfix else "",
        dovecot=dovecot.version if dovecot else "",
        firewall="",
        log_source=log.source if log else "",
        privileged=identity.privileged if identity else False,
        source=ask.source,
    )
