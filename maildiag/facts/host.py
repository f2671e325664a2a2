"""The host itself: who it is, which distribution, which role, and what the report's head says of it."""

from __future__ import annotations

from maildiag.asking import Ask
from maildiag.facts.dovecot import Dovecot
from maildiag.facts.firewall import Firewall
from maildiag.facts.mail_log import MailLog
from maildiag.facts.postfix import Postfix
from maildiag.lint.main_cf import parse_main_cf
from maildiag.model import Gap, HostInfo, HostRole, Role
from maildiag.probes import FileText, Identity, ReadFile, WhoAmI
from maildiag.records import dataclass
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
    return decide_role(postfix if isinstance(postfix, Postfix) else _as_written(ask), dovecot)


def _as_written(ask: Ask) -> Postfix | None:
    """What main.cf says where postconf stops, as it does at a broken master.cf."""
    path = "/etc/postfix/main.cf"
    file = ask.maybe(ReadFile(path))
    if not isinstance(file, FileText):
        return None
    return Postfix(True, settings={each.name: each.value for each in parse_main_cf(path, file.text).entries})


def decide_role(postfix: Postfix | None, dovecot: Dovecot | None) -> HostRole:
    """A relay client forwards everything and takes no mail from the network; all else is a mail server.

    Two of three signs decide (a relayhost, listening on loopback only, no domain of its own), so that one broken
    setting does not change what the host is for.
    """
    if postfix is None or not postfix.installed:
        return HostRole(Role.MAIL_SERVER, "no Postfix configuration could be read; assumed")
    signs = _relay_signs(postfix)
    if len(signs) >= 2:
        return HostRole(Role.RELAY_CLIENT, ", ".join(signs))
    if dovecot is not None and dovecot.installed:
        return HostRole(Role.MAIL_SERVER, f"Dovecot is installed{f', although {signs[0]}' if signs else ''}")
    if postfix.get("relayhost"):
        return HostRole(Role.RELAY_CLIENT, f"{signs[0]}, and there is no Dovecot")
    return HostRole(Role.MAIL_SERVER, "Postfix has no relayhost and takes mail")


def _relay_signs(postfix: Postfix) -> list[str]:
    interfaces = postfix.list("inet_interfaces")[:1]
    signs = {
        f"relayhost = {postfix.get('relayhost')}": bool(postfix.get("relayhost")),
        "Postfix listens on loopback only": interfaces in (("loopback-only",), ("localhost",), ("127.0.0.1",)),
        "Postfix delivers for no domain of its own": not _own_domains(postfix),
    }
    return [sign for sign, there in signs.items() if there]


def _own_domains(postfix: Postfix) -> set[str]:
    lists = ("mydestination", "virtual_mailbox_domains", "virtual_alias_domains", "relay_domains")
    local = {"localhost", "localhost.localdomain", f"localhost.{postfix.get('mydomain')}"}
    return {word for name in lists for word in postfix.list(name)} - local


@gatherer
def host_info(
    ask: Ask,
    identity: Identity | None,
    distribution: Distribution | None,
    role: HostRole | None,
    postfix: Postfix | None,
    dovecot: Dovecot | None,
    firewall: Firewall | None,
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
        firewall=firewall.backend if firewall else "",
        log_source=log.source if log else "",
        privileged=identity.privileged if identity else False,
        source=ask.source,
        seen=identity.now if identity else None,
    )
