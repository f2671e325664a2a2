"""Small servers on loopback that say line by line what a test tells them to."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

DATA = Path(__file__).parent.parent / "data" / "network"


@dataclass
class Server:
    """A server's port, and every line that its client sent."""

    port: int
    heard: list[str] = field(default_factory=list)


@contextlib.contextmanager
def serving(
    banner: str | None,
    answers: Mapping[str, str] | None = None,
    *,
    tls: ssl.SSLContext | None = None,
    implicit: bool = False,
    hang: bool = False,
    drip: bool = False,
) -> Iterator[Server]:
    """Serve one client: greet with `banner` (None: hang up at once), answer a line by its first word (IMAP: its second).

    `STARTTLS` and `STLS` go on with a handshake where there is a `tls` context; `hang` accepts and says nothing, `drip` says
    a byte of an endless banner now and then.
    """
    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = Server(listening.getsockname()[1])
        stop = threading.Event()

        def serve() -> None:
            with contextlib.suppress(OSError):
                connected, _ = listening.accept()
                with connected:
                    if hang:
                        stop.wait(20)
                    elif drip:
                        while not stop.wait(0.1):
                            connected.sendall(b"2")
                    else:
                        _talk(connected, server, banner, answers or {}, tls, implicit)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield server
        finally:
            stop.set()
            with contextlib.suppress(OSError):
                listening.shutdown(socket.SHUT_RDWR)
            thread.join(10)


def _talk(
    connected: socket.socket,
    server: Server,
    banner: str | None,
    answers: Mapping[str, str],
    tls: ssl.SSLContext | None,
    implicit: bool,
) -> None:
    if tls and implicit:
        connected = tls.wrap_socket(connected, server_side=True)
    if banner is None:
        return
    connected.sendall(banner.encode() + b"\r\n")
    file = connected.makefile("rb")
    while line := file.readline().decode(errors="replace").strip():
        server.heard.append(line)
        words = line.split() or [""]
        word = (words[1] if words[0].startswith("m") and len(words) > 1 else words[0]).upper()
        answer = answers.get(word, "500 what?")
        connected.sendall(answer.replace("TAG", words[0]).encode() + b"\r\n")
        if word in ("QUIT", "LOGOUT"):
            break
        if word in ("STARTTLS", "STLS") and tls and answer[:3] in ("220", "+OK", "TAG"):
            file.close()
            connected = tls.wrap_socket(connected, server_side=True)
            file = connected.makefile("rb")
    file.close()
    connected.close()
