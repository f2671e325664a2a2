"""Connections to open and mail protocols to speak, as a well-behaved client."""

from __future__ import annotations

from enum import StrEnum

from maildiag.probes.probe import Probe
from maildiag.records import dataclass


class Connect(StrEnum):
    """How a connection attempt ended; each one means something else (connect(2))."""

    CONNECTED = "connected"
    REFUSED = "refused"
    TIMEOUT = "timed out"
    NO_ROUTE = "no route to host"
    UNREACHABLE = "network unreachable"
    PROHIBITED = "administratively prohibited"
    RESET = "reset"
    ABSENT = "no such socket"
    DENIED = "permission denied"
    NO_ADDRESS = "name does not resolve"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Certificate:
    """What a server presented in the TLS handshake: PEM texts, the leaf first; not verified here.

    Verifying happens later and offline: a handshake that the client breaks off leaves a warning in the server's log.
    """

    chain: tuple[str, ...]
    protocol: str
    cipher: str


@dataclass(frozen=True, slots=True)
class Exchange:
    """One phase of a dialogue: what was sent, what came back, the reply code (SMTP) or state word, seconds taken."""

    phase: str
    sent: str
    reply: str
    code: str
    seconds: float


class Tls(StrEnum):
    NONE = "none"
    STARTTLS = "starttls"
    IMPLICIT = "implicit"


class Protocol(StrEnum):
    SMTP = "smtp"
    LMTP = "lmtp"
    IMAP = "imap"
    POP3 = "pop3"
    MILTER = "milter"
    AUTH = "auth"


@dataclass(frozen=True, slots=True)
class Transcript:
    """A protocol dialogue phase by phase.

    `connect` tells how the connection ended up; `failed` names the phase that broke off ("banner", "ehlo",
    "starttls", "tls", "mail", "rcpt", …) with `error` in words; both are empty when all went through. `silent` tells that
    it broke off because nothing came for as long as we waited: the other side may only be slow. A reply that
    refuses (5xx) is no failure of the dialogue: read it from the exchange.
    """

    connect: Connect
    address: str
    exchanges: tuple[Exchange, ...] = ()
    failed: str = ""
    error: str = ""
    certificate: Certificate | None = None
    silent: bool = False

    def exchange(self, phase: str) -> Exchange | None:
        """The last exchange of that phase, or None when the dialogue did not get there."""
        return next((each for each in reversed(self.exchanges) if each.phase == phase), None)


@dataclass(frozen=True, slots=True)
class Dialogue(Probe[Transcript]):
    """Speak a mail protocol as a well-behaved client and always take leave (QUIT, LOGOUT), so that no log line is left
    that a diagnosis would report.

    SMTP and LMTP: connect, banner, ehlo, starttls, tls, ehlo, then `mail_from` and `rcpt_to` (answered, then RSET; never
    DATA), quit. IMAP: connect, banner, capability, starttls, tls, capability, logout. POP3 likewise. A milter: connect,
    negotiate, quit, as smtpd(8) does before it greets. Dovecot's authentication: connect, banner.
    `host` may be a name (resolved by the system) or an address; an absolute path is a unix socket. `any_tls` takes every
    version, cipher and key that OpenSSL knows, as smtp(8) does by its defaults, and not only what the system calls safe.
    `until_1_2` offers no newer version of TLS than 1.2. `bind` is the own address to connect from.
    """

    protocol: Protocol
    host: str
    port: int = 0
    tls: Tls = Tls.NONE
    helo: str = "localhost"
    mail_from: str | None = None
    rcpt_to: tuple[str, ...] = ()
    server_name: str = ""
    timeout: float = 5.0
    any_tls: bool = False
    bind: str = ""
    until_1_2: bool = False

    @property
    def source(self) -> str:
        where = self.host if not self.port else f"{self.host}:{self.port}"
        return f"{self.protocol.value} dialogue with {where}" + (f" ({self.tls.value})" if self.tls != Tls.NONE else "")

    @property
    def limit_s(self) -> float:
        return self.timeout * 2


@dataclass(frozen=True, slots=True)
class Connection:
    """How a connection attempt ended, to which address, with the system's words."""

    outcome: Connect
    address: str
    error: str = ""


@dataclass(frozen=True, slots=True)
class TryConnect(Probe[Connection]):
    """Open a TCP connection (or, for an absolute path, a unix socket) and close it.

    Only for services that do not log a silent client; for SMTP, IMAP and POP3 use `Dialogue`.
    """

    host: str
    port: int = 0
    timeout: float = 4.0

    @property
    def source(self) -> str:
        return f"connect {self.host}" + (f":{self.port}" if self.port else "")

    @property
    def limit_s(self) -> float:
        return self.timeout
