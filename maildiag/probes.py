"""The read-only questions that can be put to a host, and the answers they get, as frozen values."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Generic, TypeVar

A = TypeVar("A", covariant=True)


class Probe(Generic[A]):
    """A question whose answer has the type `A`. Equal probes are asked once in a run."""

    __slots__ = ()

    @property
    def source(self) -> str:
        """What a report names as the origin of the answer."""
        raise NotImplementedError

    @property
    def limit_s(self) -> float:
        """Seconds after which the question counts as unanswered."""
        raise NotImplementedError


# -- programs ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class CommandResult:
    """What a program printed and its exit status (negative: the signal that ended it). A non-zero exit is an answer."""

    status: int
    stdout: str
    stderr: str
    truncated: bool = False

    @property
    def text(self) -> str:
        """Standard output and standard error, in this order."""
        return self.stdout + self.stderr


@dataclass(frozen=True, slots=True)
class Command(Probe[CommandResult]):
    """Run a program of `maildiag.programs.PROGRAMS`, never through a shell.

    `tty` puts standard error on a pseudo-terminal: postfix(1) tells its errors to nothing else. `user` runs it as that
    account where maildiag is root, and otherwise as the caller. `stdin` is given to it (default: nothing). Output past
    `most` bytes a stream is cut and `truncated` set. With `discard_stdout` what it prints on standard output is never
    read, because it may hold secrets; exit status and standard error are the answer.
    """

    argv: tuple[str, ...]
    timeout: float = 5.0
    tty: bool = False
    user: str = ""
    stdin: str = ""
    most: int = 8 * 1024 * 1024
    discard_stdout: bool = False

    @property
    def source(self) -> str:
        return shlex.join(self.argv)

    @property
    def limit_s(self) -> float:
        return self.timeout


def command(*argv: str, timeout: float = 5.0, tty: bool = False, user: str = "", stdin: str = "") -> Command:
    """`Command` with the arguments written out: `command("postconf", "-n")`."""
    return Command(tuple(argv), timeout, tty, user, stdin)


# -- files -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class FileText:
    """A file's text (undecodable bytes as surrogate escapes), its whole size in bytes and its time of change."""

    text: str
    size: int
    modified: datetime
    truncated: bool = False


@dataclass(frozen=True, slots=True)
class ReadFile(Probe[FileText]):
    """Read a text file: the first `most` bytes, or with `tail` the last `most` bytes from a whole line on.

    What the regular expression `hide` matches (behind its first group, where it has one that took part) is replaced by
    `(hidden)` before the text leaves the host, so that no secret gets into a reading.
    """

    path: str
    most: int = 4 * 1024 * 1024
    tail: bool = False
    timeout: float = 5.0
    hide: str = ""

    @property
    def source(self) -> str:
        return self.path

    @property
    def limit_s(self) -> float:
        return self.timeout


class FileKind(StrEnum):
    FILE = "file"
    DIRECTORY = "directory"
    SOCKET = "socket"
    FIFO = "fifo"
    DEVICE = "device"


@dataclass(frozen=True, slots=True)
class FileInfo:
    """stat(2) of a path, links followed: owner and group by name (by number where there is none), mode bits as 0o755."""

    path: str
    kind: FileKind
    mode: int
    owner: str
    group: str
    size: int
    modified: datetime
    link_to: str = ""


@dataclass(frozen=True, slots=True)
class Stat(Probe[FileInfo]):
    """Look at a path without opening it; a `Gap` with the reason `absent` when there is none."""

    path: str
    timeout: float = 3.0

    @property
    def source(self) -> str:
        return f"stat {self.path}"

    @property
    def limit_s(self) -> float:
        return self.timeout


@dataclass(frozen=True, slots=True)
class Directory:
    """The entries of a directory, sorted by name; `truncated` when there were more than asked for."""

    entries: tuple[FileInfo, ...]
    truncated: bool = False


@dataclass(frozen=True, slots=True)
class ListDirectory(Probe[Directory]):
    """List a directory with a stat of each entry; at most `most` of them."""

    path: str
    most: int = 2000
    timeout: float = 5.0

    @property
    def source(self) -> str:
        return f"ls {self.path}"

    @property
    def limit_s(self) -> float:
        return self.timeout


@dataclass(frozen=True, slots=True)
class FileSystem:
    """The file system that holds a path: sizes in bytes, inodes, mount point and whether it is mounted read-only."""

    mount: str
    kind: str
    read_only: bool
    size: int
    available: int
    inodes: int
    inodes_free: int


@dataclass(frozen=True, slots=True)
class DiskSpace(Probe[FileSystem]):
    """Ask for the file system that holds a path."""

    path: str
    timeout: float = 3.0

    @property
    def source(self) -> str:
        return f"df {self.path}"

    @property
    def limit_s(self) -> float:
        return self.timeout


# -- the host itself ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Identity:
    """The host's name, kernel, time (UTC) and boot time, and whether maildiag looks at it as root."""

    hostname: str
    kernel: str
    now: datetime
    booted: datetime
    privileged: bool


@dataclass(frozen=True, slots=True)
class WhoAmI(Probe[Identity]):
    """Ask for the host's identity and clock: the only `now` that anything judges by."""

    @property
    def source(self) -> str:
        return "uname, clock"

    @property
    def limit_s(self) -> float:
        return 3.0


@dataclass(frozen=True, slots=True)
class Listener:
    """A socket that accepts: `address` as bound (`0.0.0.0`, `::`, …); pid 0 and no program where it may not be seen."""

    protocol: str
    address: str
    port: int
    pid: int
    program: str


@dataclass(frozen=True, slots=True)
class Listeners(Probe[tuple[Listener, ...]]):
    """Ask the kernel for every listening TCP socket (psutil)."""

    @property
    def source(self) -> str:
        return "listening sockets"

    @property
    def limit_s(self) -> float:
        return 5.0


@dataclass(frozen=True, slots=True)
class Process:
    """A running process; `started` in UTC, `cpu_s` seconds of processor time, `memory` resident bytes."""

    pid: int
    parent: int
    name: str
    user: str
    command: tuple[str, ...]
    started: datetime
    memory: int
    state: str


@dataclass(frozen=True, slots=True)
class Processes(Probe[tuple[Process, ...]]):
    """Ask for the running processes (psutil)."""

    @property
    def source(self) -> str:
        return "processes"

    @property
    def limit_s(self) -> float:
        return 5.0


@dataclass(frozen=True, slots=True)
class Interface:
    """A network interface with its addresses (without prefix length) and whether it is up."""

    name: str
    up: bool
    addresses: tuple[str, ...]
    mtu: int


@dataclass(frozen=True, slots=True)
class Interfaces(Probe[tuple[Interface, ...]]):
    """Ask for the network interfaces (psutil)."""

    @property
    def source(self) -> str:
        return "network interfaces"

    @property
    def limit_s(self) -> float:
        return 3.0


# -- earlier runs ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Indicator:
    """A number that people watch over time, as one run found it; the names are those of `maildiag.indicators`."""

    name: str
    value: float


@dataclass(frozen=True, slots=True)
class EarlierRun:
    """When an earlier run began (UTC), and what it measured."""

    started: datetime
    indicators: tuple[Indicator, ...]

    def get(self, name: str) -> float | None:
        """The value of an indicator, or None where that run could not tell it."""
        return next((each.value for each in self.indicators if each.name == name), None)


@dataclass(frozen=True, slots=True)
class EarlierRuns(Probe[tuple[EarlierRun, ...]]):
    """Ask for the newest `most` runs in the local history, newest first."""

    most: int = 2000

    @property
    def source(self) -> str:
        return "maildiag history"

    @property
    def limit_s(self) -> float:
        return 3.0


# -- names -------------------------------------------------------------------------------------------------------------


class DnsStatus(StrEnum):
    """RFC 1035 section 4.1.1 and RFC 2308: what a name server said, or why it said nothing."""

    ANSWER = "answer"
    NO_DATA = "no-data"
    NO_SUCH_NAME = "nxdomain"
    SERVER_FAILURE = "servfail"
    REFUSED = "refused"
    TIMEOUT = "timeout"
    UNREACHABLE = "unreachable"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class DnsAnswer:
    """The answer to a DNS question: its records in presentation form, and which server gave it.

    `SERVER_FAILURE`, `REFUSED`, `TIMEOUT`, `UNREACHABLE` and `FAILED` say nothing about the name itself.
    """

    status: DnsStatus
    records: tuple[str, ...] = ()
    server: str = ""
    detail: str = ""

    @property
    def knows(self) -> bool:
        """True where the answer tells something of the name: it is there, or it is not."""
        return self.status in (DnsStatus.ANSWER, DnsStatus.NO_DATA, DnsStatus.NO_SUCH_NAME)


@dataclass(frozen=True, slots=True)
class DnsLookup(Probe[DnsAnswer]):
    """Ask the DNS for records of one type; of `server` (an address), or of the servers in resolv.conf, in order."""

    name: str
    record: str
    server: str = ""
    timeout: float = 3.0

    @property
    def source(self) -> str:
        return f"dig {self.name} {self.record}" + (f" @{self.server}" if self.server else "")

    @property
    def limit_s(self) -> float:
        return self.timeout


# -- connections and dialogues -----------------------------------------------------------------------------------------


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


@dataclass(frozen=True, slots=True)
class Transcript:
    """A protocol dialogue phase by phase.

    `connect` tells how the connection ended up; `failed` names the phase that broke off ("banner", "ehlo",
    "starttls", "tls", "mail", "rcpt", …) with `error` in words; both are empty when all went through. A reply that
    refuses (5xx) is no failure of the dialogue: read it from the exchange.
    """

    connect: Connect
    address: str
    exchanges: tuple[Exchange, ...] = ()
    failed: str = ""
    error: str = ""
    certificate: Certificate | None = None

    def exchange(self, phase: str) -> Exchange | None:
        """The last exchange of that phase, or None when the dialogue did not get there."""
        return next((each for each in reversed(self.exchanges) if each.phase == phase), None)


@dataclass(frozen=True, slots=True)
class Dialogue(Probe[Transcript]):
    """Speak a mail protocol as a well-behaved client and always take leave (QUIT, LOGOUT), so that no log line is left
    that a diagnosis would report.

    SMTP and LMTP: connect, banner, ehlo, starttls, tls, ehlo, then `mail_from` and `rcpt_to` (answered, then RSET; never
    DATA), quit. IMAP: connect, banner, capability, starttls, tls, capability, logout. POP3 likewise.
    `host` may be a name (resolved by the system) or an address; an absolute path is a unix socket.
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
