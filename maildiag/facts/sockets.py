"""Which ports should accept connections by the configuration, and which sockets really listen."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import field
from enum import StrEnum

from maildiag.asking import Ask
from maildiag.facts.dovecot import Dovecot
from maildiag.facts.postfix import Postfix
from maildiag.model import Gap, GapReason, HostRole, Missing, Role
from maildiag.probes import CommandResult, Interface, Interfaces, Listener, Listeners, Protocol, Tls, command
from maildiag.records import dataclass
from maildiag.registry import begins
from maildiag.settings import Settings

MASTER = command("postconf", "-M")
_KINDS = ("inet", "unix", "unix-dgram", "fifo", "pass")  # master(5)
PORTS = {
    "smtp": 25,
    "submission": 587,
    "smtps": 465,
    "submissions": 465,
    "urd": 465,
    "imap": 143,
    "imap2": 143,
    "imaps": 993,
    "pop3": 110,
    "pop-3": 110,
    "pop3s": 995,
    "sieve": 4190,
}
MAIL_PORTS = {25: "smtp", 587: "submission", 465: "submissions", 143: "imap", 993: "imaps", 110: "pop3", 995: "pop3s"}
_SPEAKS = {
    143: (Protocol.IMAP, Tls.STARTTLS),
    993: (Protocol.IMAP, Tls.IMPLICIT),
    110: (Protocol.POP3, Tls.STARTTLS),
    995: (Protocol.POP3, Tls.IMPLICIT),
}


class Owner(StrEnum):
    """Which program a port belongs to."""

    POSTFIX = "postfix"
    DOVECOT = "dovecot"
    SETTINGS = "settings"


@dataclass(frozen=True, slots=True)
class Port:
    """A TCP port that the configuration says should accept connections.

    `addresses` are those to bind (empty: every address); `line` is the configuration that says so; `options` the `-o`
    overrides of master.cf; `protocol` is None where another language than a mail protocol is spoken.
    """

    owner: Owner
    name: str
    number: int
    addresses: tuple[str, ...]
    line: str
    protocol: Protocol | None = None
    tls: Tls = Tls.NONE
    options: Mapping[str, str] = field(default_factory=dict)

    def __hash__(self) -> int:
        return hash((self.owner, self.name, self.number, self.addresses))

    @property
    def for_others(self) -> bool:
        """True where an address that other hosts can reach is to be bound."""
        return not self.addresses or any(not is_loopback(each) for each in self.addresses)


@dataclass(frozen=True, slots=True)
class Expected:
    """The ports that the configuration opens, and the host's interfaces: enough to speak to them."""

    ports: tuple[Port, ...]
    interfaces: tuple[Interface, ...]


@dataclass(frozen=True, slots=True)
class Sockets:
    """Ports that should listen, sockets that do, and the host's interfaces."""

    expected: tuple[Port, ...]
    listening: tuple[Listener, ...]
    interfaces: tuple[Interface, ...]

    def on(self, number: int) -> tuple[Listener, ...]:
        """The sockets that listen on a port."""
        return tuple(each for each in self.listening if each.port == number)

    @property
    def own(self) -> tuple[str, ...]:
        """The host's addresses but for loopback and link-local ones; those of interfaces that are up first."""
        ranked = sorted(self.interfaces, key=lambda each: not each.up)
        return tuple(a for each in ranked for a in each.addresses if not is_loopback(a) and not a.startswith("fe80"))

    def open_to_others(self, number: int) -> bool:
        """True where something listens on the port on an address that other hosts can reach."""
        return any(not is_loopback(each.address) for each in self.on(number))


@dataclass(frozen=True, slots=True)
class MasterLine:
    """An active service of master.cf (postconf -M), with its `-o` overrides."""

    name: str
    kind: str
    chroot: str
    program: str
    options: Mapping[str, str]
    text: str


@begins(MASTER, Interfaces())
def expected(
    ask: Ask, postfix: Postfix | None, dovecot: Dovecot | None, settings: Settings, role: HostRole | None
) -> Expected:
    """Read the ports from the configuration; a relay client serves no mailboxes."""
    interfaces = ask(Interfaces())
    expected: list[Port] = []
    if postfix and postfix.installed:
        expected += postfix_ports(postfix, master_lines(ask))
    if dovecot and dovecot.installed and (role is None or role.role is Role.MAIL_SERVER):
        expected += dovecot_ports(dovecot)
    named = {each.number for each in expected}
    expected += [
        Port(Owner.SETTINGS, MAIL_PORTS.get(each, str(each)), each, (), f"ports = [{each}] in maildiag's configuration")
        for each in settings.ports
        if each not in named
    ]
    return Expected(tuple(expected), interfaces)


@begins(Listeners())
def sockets(ask: Ask, expected: Expected) -> Sockets:
    """Compare what the configuration wants with what the kernel has."""
    return Sockets(expected.ports, ask(Listeners()), expected.interfaces)


def is_loopback(address: str) -> bool:
    """True for 127.0.0.0/8 and ::1."""
    return address.startswith("127.") or address in ("::1", "::ffff:127.0.0.1")


def is_any(address: str) -> bool:
    """True for the wildcard addresses."""
    return address in ("0.0.0.0", "::", "*", "")


def master_lines(ask: Ask) -> list[MasterLine]:
    """The services of master.cf as postconf lists them. Raises Missing where what it prints is no such list."""
    told = ask(MASTER)
    found = parse_master(told)
    if told.stdout.strip() and not any(each.kind in _KINDS for each in found):
        raise Missing(Gap(GapReason.FAILED, "postconf -M printed no services"))
    return found


def parse_master(told: CommandResult) -> list[MasterLine]:
    """`postconf -M`: one service a line, its `-o` overrides on lines that begin with blanks (master(5))."""
    logical: list[str] = []
    for line in told.stdout.splitlines():
        if line[:1].isspace() and logical:
            logical[-1] += " " + line.strip()
        elif line.strip():
            logical.append(line)
    return [_master_line(text) for text in logical if len(text.split()) >= 8]


def _master_line(text: str) -> MasterLine:
    words = text.split(None, 7)
    options = {}
    for match in re.finditer(r"-o\s+(?:\{\s*([^=}]+?)\s*=\s*([^}]*)\}|([^=\s]+)=(\S*))", words[7]):
        name, value = (match[1], match[2]) if match[1] else (match[3], match[4])
        options[name] = value.strip()
    return MasterLine(words[0], words[1], words[4], words[7].split()[0], options, " ".join(text.split()))


def postfix_ports(postfix: Postfix, table: list[MasterLine]) -> Iterator[Port]:
    """The ports that master(8) opens for its `inet` services."""
    for line in table:
        if line.kind != "inet":
            continue
        host, _, name = line.name.rpartition(":")
        number = int(name) if name.isdigit() else PORTS.get(name, 0)
        if not number:
            continue
        host = host.strip("[]")
        interfaces = line.options.get("inet_interfaces", postfix.get("inet_interfaces", "all"))
        protocols = line.options.get("inet_protocols", postfix.get("inet_protocols", "all"))
        proxied = f"{line.program}_upstream_proxy_protocol"  # such a port waits for the PROXY line of its load balancer
        speaks = line.program in ("smtpd", "postscreen") and not line.options.get(proxied, postfix.get(proxied))
        wrapped = line.options.get("smtpd_tls_wrappermode", postfix.get("smtpd_tls_wrappermode")) == "yes"
        yield Port(
            Owner.POSTFIX,
            name if not name.isdigit() else MAIL_PORTS.get(number, name),
            number,
            (host,) if host else _addresses(interfaces, protocols),
            line.text,
            Protocol.SMTP if speaks else None,
            Tls.IMPLICIT if wrapped else Tls.STARTTLS,
            line.options,
        )


def _addresses(interfaces: str, protocols: str) -> tuple[str, ...]:
    """inet_interfaces as addresses; names other than localhost are left out, the system knows them."""
    found: list[str] = []
    for word in re.split(r"[,\s]+", interfaces):
        if word == "all":
            return ()
        if word in ("loopback-only", "localhost"):
            found += ["127.0.0.1"] if "ipv4" in protocols or "all" in protocols else ["::1"]
        elif re.fullmatch(r"\[?[0-9a-fA-F:.]+\]?", word) and re.search(r"[.:]", word):
            found.append(word.strip("[]"))
        elif word:
            found.append(word)
    return tuple(dict.fromkeys(found))


# -- Dovecot -----------------------------------------------------------------------------------------------------------

_LOGIN = {
    "imap": ("imap-login", (("imap", 143, False), ("imaps", 993, True))),
    "pop3": ("pop3-login", (("pop3", 110, False), ("pop3s", 995, True))),
    "sieve": ("managesieve-login", (("sieve", 4190, False),)),
}


def dovecot_ports(dovecot: Dovecot) -> Iterator[Port]:
    """The ports that Dovecot opens: those of its protocols, as the `inet_listener` blocks of `doveconf -n` change them."""
    listen = _addresses_of(_top(dovecot.text, "listen"))
    encrypts = _top(dovecot.text, "ssl") != "no"
    for protocol in dovecot_protocols(dovecot):
        service, listeners = _LOGIN.get(protocol, ("", ()))
        for name, usual, secure in listeners:
            if secure and not encrypts:
                continue
            number, addresses, line = _listener(dovecot.text, service, name, usual)
            if not number:
                continue
            speaks, tls = _SPEAKS.get(usual, (None, Tls.NONE))
            yield Port(Owner.DOVECOT, name, number, addresses or listen, line or f"protocols = {protocol}", speaks, tls)


def dovecot_protocols(dovecot: Dovecot) -> tuple[str, ...]:
    """`protocols` as `doveconf -n` prints it: a word list in 2.3, a block of `name = yes` lines in 2.4."""
    value = _top(dovecot.text, "protocols")
    if value:
        return tuple(word for word in value.split() if word != "none")
    block = re.search(r"^protocols \{\n(.*?)^\}", dovecot.text, re.M | re.S)
    if block is None:
        return ()
    return tuple(re.findall(r"^\s*(\S+) = yes", block[1], re.M))


def _top(text: str, name: str) -> str:
    found = re.search(rf"^{name} = (.*)$", text, re.M)
    return found[1].strip() if found else ""


def _addresses_of(listen: str) -> tuple[str, ...]:
    words = tuple(word for word in re.split(r"[,\s]+", listen) if word)
    return () if any(is_any(word) for word in words) else words


def _listener(text: str, service: str, name: str, usual: int) -> tuple[int, tuple[str, ...], str]:
    """Port, addresses and the line that sets them, of one `inet_listener`."""
    block = re.search(rf"^service {re.escape(service)} \{{\n(.*?)^\}}", text, re.M | re.S)
    inner = block and re.search(rf"^  inet_listener {re.escape(name)} \{{\n(.*?)^  \}}", block[1], re.M | re.S)
    if not inner:
        return usual, (), ""
    values = dict(re.findall(r"^\s*(\w+) = (.*)$", inner[1], re.M))
    port = values.get("port", str(usual))
    shown = "; ".join(f"{key} = {value}" for key, value in values.items())
    line = f"service {service} {{ inet_listener {name} {{ {shown} }} }}" if values else ""
    return (
        int(port) if port.isdigit() else usual,
        _addresses_of(str(values.get("address") or values.get("listen") or "")),
        line,
    )
