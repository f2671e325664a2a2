"""Holds mail-protocol dialogues as a polite client would, phase by phase, and always takes leave."""

from __future__ import annotations

import contextlib
import errno
import re
import socket
import ssl
import time
from collections.abc import Iterator
from dataclasses import field, replace

from maildiag.probes import Certificate, Connect, Connection, Dialogue, Exchange, Protocol, Tls, Transcript, TryConnect
from maildiag.records import dataclass

_MOST_REPLY = 64 * 1024
_CONNECT_LIMIT_S = 5.0  # two lost packets; a greeting may take longer, a connection does not
_OUTCOMES = {
    errno.ECONNREFUSED: Connect.REFUSED,
    errno.ETIMEDOUT: Connect.TIMEOUT,
    errno.EHOSTUNREACH: Connect.NO_ROUTE,
    errno.ENETUNREACH: Connect.UNREACHABLE,
    errno.EADDRNOTAVAIL: Connect.UNREACHABLE,
    errno.ECONNRESET: Connect.RESET,
    errno.ENOENT: Connect.ABSENT,
    errno.EACCES: Connect.DENIED,
    errno.EPERM: Connect.PROHIBITED,
}


class _Broken(Exception):  # noqa: N818 (the dialogue broke off; that is an answer)
    """The dialogue broke off in this phase."""

    def __init__(self, phase: str, error: str, *, silent: bool = False) -> None:
        super().__init__(error)
        self.phase = phase
        self.error = error
        self.silent = silent


def try_connect(probe: TryConnect) -> Connection:
    """Connect and close again."""
    try:
        connected, address = _connect(probe.host, probe.port, min(probe.timeout, _CONNECT_LIMIT_S))
    except OSError as error:
        return Connection(_outcome(error), probe.host, _words(error))
    connected.close()
    return Connection(Connect.CONNECTED, address)


def hold(probe: Dialogue) -> Transcript:
    """The dialogue as far as it went; a broken one is an answer and tells its phase."""
    started = time.monotonic()
    try:
        connected, address = _connect(probe.host, probe.port, min(probe.timeout, _CONNECT_LIMIT_S), probe.bind)
    except OSError as error:
        return Transcript(_outcome(error), probe.host, failed="connect", error=_words(error))
    first = Exchange("connect", "", address, "", time.monotonic() - started)
    talk = _Talk(connected, probe, [first], started + probe.limit_s)
    try:
        with talk:
            _SCRIPTS[probe.protocol](talk)
    except _Broken as broken:
        return replace(talk.transcript(address, broken.phase, broken.error), silent=broken.silent)
    return talk.transcript(address)


def _connect(host: str, port: int, timeout: float, bind: str = "") -> tuple[socket.socket, str]:
    if host.startswith("/"):
        connected = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connected.settimeout(timeout)
        try:
            connected.connect(host)
        except OSError:
            connected.close()
            raise
        return connected, host
    connected = socket.create_connection((host, port), timeout, (bind, 0) if bind else None)
    return connected, str(connected.getpeername()[0])


def _outcome(error: OSError) -> Connect:
    if isinstance(error, socket.gaierror):
        return Connect.NO_ADDRESS
    if isinstance(error, TimeoutError):
        return Connect.TIMEOUT
    return _OUTCOMES.get(error.errno or 0, Connect.FAILED)


def _words(error: OSError) -> str:
    return error.strerror or str(error) or type(error).__name__


@dataclass(slots=True)
class _Talk:
    """One connection: sends lines, reads replies, keeps the exchanges."""

    connected: socket.socket
    probe: Dialogue
    exchanges: list[Exchange]
    ends: float
    certificate: Certificate | None = None
    _rest: bytes = b""
    _tag: int = 0
    _open: bool = field(default=True)

    def __enter__(self) -> _Talk:
        if self.probe.tls is Tls.IMPLICIT:
            self.encrypt()
        return self

    def __exit__(self, *_: object) -> None:
        self.connected.close()

    def transcript(self, address: str, failed: str = "", error: str = "") -> Transcript:
        return Transcript(Connect.CONNECTED, address, tuple(self.exchanges), failed, error, self.certificate)

    def say(self, phase: str, line: str, reply: Iterator[str] | None = None) -> Exchange:
        """Send one line and keep the reply; `reply` yields the reply's lines where it is not SMTP's form."""
        started = time.monotonic()
        try:
            self._limit()
            if line:
                self.connected.sendall(line.encode("utf-8", "surrogateescape") + b"\r\n")
            lines = list(reply if reply is not None else self.smtp_reply())
        except TimeoutError as error:
            raise _Broken(phase, f"no reply within {self.probe.timeout:g} s", silent=True) from error
        except OSError as error:
            raise _Broken(phase, _words(error)) from error
        text = "\n".join(lines)
        code = lines[-1][:3] if lines and lines[-1][:3].isdigit() else ""
        exchange = Exchange(phase, line, text, code, time.monotonic() - started)
        self.exchanges.append(exchange)
        return exchange

    def line(self) -> str:
        """The next line from the server. Raises ConnectionError at the end of the stream."""
        while b"\n" not in self._rest:
            if len(self._rest) > _MOST_REPLY:
                raise ConnectionError("the reply never ends")
            self._limit()
            chunk = self.connected.recv(4096)
            if not chunk:
                raise ConnectionError("the server closed the connection")
            self._rest += chunk
        line, self._rest = self._rest.split(b"\n", 1)
        return line.rstrip(b"\r").decode("utf-8", "surrogateescape")

    def bytes(self, count: int) -> bytes:
        """The next bytes from the server, fewer where it has no more. Raises ConnectionError where it has none."""
        found = b""
        while len(found) < count:
            self._limit()
            chunk = self.connected.recv(count - len(found))
            if not chunk:
                break
            found += chunk
        if not found:
            raise ConnectionError("the server closed the connection")
        return found

    def _limit(self) -> None:
        """Each wait has the probe's limit, and all of them together twice that: a server may not drip for ever."""
        left = self.ends - time.monotonic()
        if left <= 0:
            raise TimeoutError
        self.connected.settimeout(min(self.probe.timeout, left))

    def smtp_reply(self) -> Iterator[str]:
        """RFC 5321 section 4.2: lines `250-…` up to one `250 …`."""
        for _ in range(200):
            line = self.line()
            yield line
            if line[3:4] != "-":
                return

    def imap_reply(self, tag: str) -> Iterator[str]:
        """RFC 3501 section 2.2.2: untagged lines up to the tagged one."""
        for _ in range(200):
            line = self.line()
            yield line
            if line.startswith(f"{tag} ") or (line.startswith("* BYE") and tag != "bye"):
                return

    def tag(self) -> str:
        self._tag += 1
        return f"m{self._tag}"

    def single(self) -> Iterator[str]:
        yield self.line()

    def pop3_list(self) -> Iterator[str]:
        """RFC 1939 section 3: a multi-line reply ends with a dot; an error is a single line."""
        first = self.line()
        yield first
        while first.startswith("+OK"):
            line = self.line()
            if line == ".":
                return
            yield line

    def encrypt(self) -> None:
        """Handshake without verifying (a broken-off handshake would leave a warning in the server's log)."""
        started = time.monotonic()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        if self.probe.any_tls:
            context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
            context.set_ciphers("ALL:@SECLEVEL=0")
        if self.probe.until_1_2:
            context.maximum_version = ssl.TLSVersion.TLSv1_2
        name = self.probe.server_name or (None if self.probe.host.startswith("/") else self.probe.host)
        try:
            self._limit()
            secured = context.wrap_socket(self.connected, server_hostname=name)
        except TimeoutError as error:
            raise _Broken("tls", f"no TLS handshake within {self.probe.timeout:g} s") from error
        except (OSError, ValueError) as error:
            raise _Broken("tls", _tls_words(error)) from error
        self.connected = secured
        self._rest = b""
        self.certificate = _presented(secured)
        said = f"{self.certificate.protocol} {self.certificate.cipher}"
        self.exchanges.append(Exchange("tls", "", said, "", time.monotonic() - started))


def _tls_words(error: OSError | ValueError) -> str:
    """OpenSSL's reason, or the system's words, without places in our own source."""
    reason = str(getattr(error, "reason", None) or getattr(error, "strerror", None) or error)
    return re.sub(r"\s*\(_ssl\.c:\d+\)", "", reason)


def _presented(secured: ssl.SSLSocket) -> Certificate:
    leaf = ssl.DER_cert_to_PEM_cert(secured.getpeercert(binary_form=True) or b"")
    chain = [leaf]
    with contextlib.suppress(AttributeError, ssl.SSLError, ValueError):
        inner = secured._sslobj  # type: ignore[attr-defined]  # public only from Python 3.13 on
        chain = [each.public_bytes() for each in inner.get_unverified_chain() or ()] or chain
    cipher = secured.cipher()
    return Certificate(tuple(chain), secured.version() or "", cipher[0] if cipher else "")


def _smtp(talk: _Talk) -> None:
    hello = "LHLO" if talk.probe.protocol is Protocol.LMTP else "EHLO"
    banner = talk.say("banner", "")
    if banner.code != "220":
        _leave(talk, "QUIT")
        return
    greeting = talk.say("ehlo", f"{hello} {talk.probe.helo}")
    if talk.probe.tls is Tls.STARTTLS and "STARTTLS" in greeting.reply.upper():
        if talk.say("starttls", "STARTTLS").code == "220":
            talk.encrypt()
            talk.say("ehlo", f"{hello} {talk.probe.helo}")
        else:
            _leave(talk, "QUIT")
            return
    if talk.probe.mail_from is not None:
        _envelope(talk, talk.probe.mail_from)
    _leave(talk, "QUIT")


def _envelope(talk: _Talk, sender: str) -> None:
    if talk.say("mail", f"MAIL FROM:<{_plain(sender)}>").code.startswith("2"):
        for recipient in talk.probe.rcpt_to:
            talk.say("rcpt", f"RCPT TO:<{_plain(recipient)}>")
    talk.say("rset", "RSET")


def _plain(address: str) -> str:
    """Nothing that could start a second command line."""
    return address.translate({10: None, 13: None, 60: None, 62: None})


def _imap(talk: _Talk) -> None:
    if not talk.say("banner", "", talk.single()).reply.startswith("* OK"):
        return
    tag = talk.tag()
    capability = talk.say("capability", f"{tag} CAPABILITY", talk.imap_reply(tag))
    if talk.probe.tls is Tls.STARTTLS and "STARTTLS" in capability.reply.upper():
        tag = talk.tag()
        if talk.say("starttls", f"{tag} STARTTLS", talk.imap_reply(tag)).reply.startswith(f"{tag} OK"):
            talk.encrypt()
            tag = talk.tag()
            talk.say("capability", f"{tag} CAPABILITY", talk.imap_reply(tag))
    tag = talk.tag()
    _leave(talk, f"{tag} LOGOUT")


def _pop3(talk: _Talk) -> None:
    if not talk.say("banner", "", talk.single()).reply.startswith("+OK"):
        return
    capability = talk.say("capability", "CAPA", talk.pop3_list())
    secure = talk.probe.tls is Tls.STARTTLS and "STLS" in capability.reply.upper()
    if secure and talk.say("starttls", "STLS", talk.single()).reply.startswith("+OK"):
        talk.encrypt()
        talk.say("capability", "CAPA", talk.pop3_list())
    _leave(talk, "QUIT")


# SMFIC_OPTNEG of protocol version 6 with all actions and steps that it knows, and SMFIC_QUIT, each behind its length: what
# Postfix's milter8.c sends. A milter answers the first, and no mail is concerned.
_NEGOTIATE = b"\0\0\0\x0dO" + bytes.fromhex("00000006000001ff001fffff")
_QUIT = b"\0\0\0\x01Q"


def _milter(talk: _Talk) -> None:
    started = time.monotonic()
    try:
        talk.connected.sendall(_NEGOTIATE)
        reply = talk.bytes(17)
    except TimeoutError as error:
        raise _Broken("negotiate", f"no reply within {talk.probe.timeout:g} s", silent=True) from error
    except OSError as error:
        raise _Broken("negotiate", _words(error)) from error
    if not (len(_NEGOTIATE) - 4 <= int.from_bytes(reply[:4], "big") < _MOST_REPLY and reply[4:5] == b"O"):
        raise _Broken("negotiate", "what answers there is no milter")
    version = int.from_bytes(reply[5:9], "big")
    told = Exchange("negotiate", "SMFIC_OPTNEG", f"version {version}", "", time.monotonic() - started)
    talk.exchanges.append(told)
    with contextlib.suppress(OSError):
        talk.connected.sendall(_QUIT)


def _auth(talk: _Talk) -> None:
    """Dovecot's authentication server speaks first (`VERSION 1 2`), and logs nothing of a client that asks nothing."""
    if not talk.say("banner", "", talk.single()).reply.startswith("VERSION\t"):
        raise _Broken("banner", "what answers there is not Dovecot's authentication")


def _leave(talk: _Talk, line: str) -> None:
    """Take leave; a server that hangs up first has said all that was asked of it."""
    with contextlib.suppress(_Broken):
        talk.say("quit", line, talk.single())


_SCRIPTS = {
    Protocol.SMTP: _smtp,
    Protocol.LMTP: _smtp,
    Protocol.IMAP: _imap,
    Protocol.POP3: _pop3,
    Protocol.MILTER: _milter,
    Protocol.AUTH: _auth,
}
