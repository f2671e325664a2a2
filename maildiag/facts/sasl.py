"""The sockets where Postfix asks Dovecot for passwords (SASL) and hands mail over (LMTP): configured, there, usable?"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from enum import StrEnum
from pathlib import PurePosixPath

from maildiag.asking import Ask
from maildiag.facts.mail_users import MailUsers
from maildiag.facts.postfix import WITHOUT, Postfix
from maildiag.facts.sockets import MasterLine, master_lines
from maildiag.model import Gap, Missing
from maildiag.probes import (
    CommandResult,
    Connection,
    Dialogue,
    FileInfo,
    Protocol,
    Stat,
    Transcript,
    TryConnect,
    command,
)
from maildiag.records import dataclass
from maildiag.registry import gatherer

_LMTP = re.compile(r"^lmtp:(?P<where>unix:\S+|inet:\S+|\[?[\w.:-]+\]?\S*)$")
_TRANSPORTS = ("mailbox_transport", "virtual_transport", "local_transport", "fallback_transport")


class Purpose(StrEnum):
    SASL = "sasl"
    LMTP = "lmtp"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A socket that Postfix uses: `setting` and `value` as configured, `path` on this host ("" for TCP).

    `info` and `directory` are the socket and its directory, `answer` how a connection as ourselves ended, `hidden`
    names the services whose chroot hides an absolute path.
    """

    purpose: Purpose
    setting: str
    value: str
    path: str
    services: tuple[str, ...]
    info: FileInfo | Gap | None
    directory: FileInfo | Gap | None
    answer: Connection | Transcript | Gap
    hidden: tuple[str, ...] = ()

    @property
    def shown(self) -> str:
        """The path, or the address."""
        return self.path or self.value


@dataclass(frozen=True, slots=True)
class MailSockets:
    """What Postfix uses of Dovecot: `sasl_types` of its smtpd services that offer AUTH, and the endpoints.

    `owner` and `groups` are the account that connects (mail_owner). `cyrus` tells whether a Cyrus SASL back end is
    configured at all, `recipient` the address that LMTP was asked about.
    """

    owner: str
    groups: tuple[str, ...]
    sasl_types: Mapping[str, str]
    endpoints: tuple[Endpoint, ...]
    queue_directory: str
    cyrus: bool = False
    recipient: str = ""

    def of(self, purpose: Purpose) -> tuple[Endpoint, ...]:
        """The endpoints for this purpose."""
        return tuple(each for each in self.endpoints if each.purpose is purpose)


@dataclass(frozen=True, slots=True)
class MasterService:
    """A line of master.cf with its `-o` settings."""

    name: str
    chroot: bool
    program: str
    overrides: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class _Use:
    """An endpoint before it is looked at."""

    purpose: Purpose
    setting: str
    value: str
    services: tuple[str, ...]
    hidden: tuple[str, ...]


@gatherer
def mail_sockets(ask: Ask, postfix: Postfix, users: MailUsers | None) -> MailSockets:
    """Look at each socket that Postfix is configured to use, as main.cf and the `-o` settings of master.cf have it.

    LMTP is asked whether it would take mail for a user that Dovecot finds; nothing is delivered.
    """
    if not postfix.installed:
        raise Missing(WITHOUT)
    member = ask.maybe(command("id", "-Gn", _owner(postfix)))
    services = _services(master_lines(ask), postfix)
    uses = [*_sasl(postfix, services), *_lmtp(postfix, services)]
    types = {each.name: _effective(postfix, each, "smtpd_sasl_type") for each in services if _offers(postfix, each)}
    recipient = _recipient(postfix, users)
    return MailSockets(
        owner=_owner(postfix),
        groups=tuple(_text(member).split()) or (_owner(postfix),),
        sasl_types=types,
        endpoints=tuple(_look(ask, postfix, each, recipient) for each in uses),
        recipient=recipient,
        queue_directory=_queue(postfix),
        cyrus="cyrus" in types.values() and _cyrus(ask),
    )


def _text(answer: CommandResult | Gap) -> str:
    return answer.stdout if isinstance(answer, CommandResult) else ""


def _owner(postfix: Postfix) -> str:
    return postfix.get("mail_owner", "postfix")


def _queue(postfix: Postfix) -> str:
    return postfix.get("queue_directory", "/var/spool/postfix")


def _services(lines: Iterable[MasterLine], postfix: Postfix) -> tuple[MasterService, ...]:
    """A chroot of `-` is `y` below compatibility level 1 (postconf(5))."""
    level = postfix.get("compatibility_level", "0").split(".")[0]
    default = "n" if level.isdigit() and int(level) >= 1 else "y"
    return tuple(
        MasterService(f"{each.name}/{each.kind}", each.chroot.replace("-", default) == "y", each.program, each.options)
        for each in lines
    )


def _effective(postfix: Postfix, service: MasterService, setting: str) -> str:
    return service.overrides.get(setting, postfix.get(setting))


def _offers(postfix: Postfix, service: MasterService) -> bool:
    return service.program == "smtpd" and _effective(postfix, service, "smtpd_sasl_auth_enable") == "yes"


def _sasl(postfix: Postfix, services: tuple[MasterService, ...]) -> Iterator[_Use]:
    paths: dict[str, list[MasterService]] = {}
    for each in services:
        if _offers(postfix, each) and _effective(postfix, each, "smtpd_sasl_type") == "dovecot":
            paths.setdefault(_effective(postfix, each, "smtpd_sasl_path"), []).append(each)
    for path, users in paths.items():
        hidden = tuple(each.name for each in users if each.chroot and path.startswith("/"))
        yield _Use(Purpose.SASL, "smtpd_sasl_path", path, tuple(each.name for each in users), hidden)


def _lmtp(postfix: Postfix, services: tuple[MasterService, ...]) -> Iterator[_Use]:
    client = next((each for each in services if each.name == "lmtp/unix"), None)
    seen: set[str] = set()
    for setting in _TRANSPORTS:
        match = _LMTP.match(postfix.get(setting))
        if match and match["where"] not in seen and _used(postfix, setting):
            seen.add(match["where"])
            absolute = match["where"].startswith("unix:/")
            hidden = (client.name,) if client and client.chroot and absolute else ()
            yield _Use(Purpose.LMTP, setting, postfix.get(setting), ("lmtp/unix",), hidden)


def _used(postfix: Postfix, setting: str) -> bool:
    return setting != "virtual_transport" or bool(postfix.get("virtual_mailbox_domains"))


def _look(ask: Ask, postfix: Postfix, use: _Use, recipient: str) -> Endpoint:
    where = use.value.removeprefix("lmtp:")
    if where.startswith("inet:") or (use.purpose is Purpose.LMTP and not where.startswith("unix:")):
        host, port = _address(where.removeprefix("inet:"), "24")
        answer = _knock(ask, use.purpose, recipient, host, port)
        return Endpoint(use.purpose, use.setting, use.value, "", use.services, None, None, answer)
    path = str(PurePosixPath(_queue(postfix)) / where.removeprefix("unix:"))
    info = ask.maybe(Stat(path))
    directory = ask.maybe(Stat(str(PurePosixPath(path).parent)))
    answer = _knock(ask, use.purpose, recipient, path)
    return Endpoint(use.purpose, use.setting, use.value, path, use.services, info, directory, answer, use.hidden)


def _recipient(postfix: Postfix, users: MailUsers | None) -> str:
    """The address of the first user that Dovecot finds, as Postfix writes it: with the first domain that is local."""
    found = [each.name for each in users.users if each.status == 0] if users else []
    if not found:
        return ""
    domains = [each for each in postfix.list("mydestination") if "." in each and "/" not in each and ":" not in each]
    domain = next((each for each in domains if each == postfix.get("myorigin")), domains[0] if domains else "")
    return found[0] if "@" in found[0] or not domain else f"{found[0]}@{domain}"


def _knock(ask: Ask, purpose: Purpose, recipient: str, host: str, port: int = 0) -> Connection | Transcript | Gap:
    """Connect, and see whether who is there speaks: the kernel takes a connection for a process that hangs. LMTP is spoken
    to properly, the authentication socket logs nothing of a silent client.
    """
    if purpose is Purpose.LMTP:
        to = (recipient,) if recipient else ()
        return ask.maybe(Dialogue(Protocol.LMTP, host, port, mail_from="" if to else None, rcpt_to=to))
    told = ask.maybe(Dialogue(Protocol.AUTH, host, port))
    # older recordings hold the connection alone
    return ask.maybe(TryConnect(host, port)) if isinstance(told, Gap) else told


def _address(where: str, port: str) -> tuple[str, int]:
    match = re.match(r"\[?(?P<host>[^\]]*?)\]?(?::(?P<port>\d+))?$", where)
    assert match is not None
    return match["host"], int(match["port"] or port)


def _cyrus(ask: Ask) -> bool:
    """True where something of Cyrus SASL's own is set up: its smtpd.conf, or saslauthd's socket."""
    places = (
        "/etc/postfix/sasl/smtpd.conf",
        "/etc/sasl2/smtpd.conf",
        "/usr/lib/sasl2/smtpd.conf",
        "/run/saslauthd/mux",
        "/var/spool/postfix/var/run/saslauthd/mux",
    )
    return any(not isinstance(each, Gap) for each in ask.all([Stat(place) for place in places]))
