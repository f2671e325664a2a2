"""Dialogues with servers that a test opens on loopback: each end of a dialogue is told for what it is."""

from __future__ import annotations

import contextlib
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from maildiag.hosts.dialogues import hold, try_connect
from maildiag.probes import Connect, Dialogue, Protocol, Tls, TryConnect
from tests.network.servers import serving

SMTP = {
    "EHLO": "250-mail.example.test\r\n250-SIZE 10240000\r\n250-STARTTLS\r\n250 AUTH PLAIN LOGIN",
    "MAIL": "250 2.1.0 Ok",
    "RCPT": "250 2.1.5 Ok",
    "RSET": "250 2.0.0 Ok",
    "QUIT": "221 2.0.0 Bye",
    "STARTTLS": "220 2.0.0 Ready to start TLS",
}
IMAP = {
    "CAPABILITY": "* CAPABILITY IMAP4rev1 STARTTLS\r\nTAG OK done",
    "STARTTLS": "TAG OK Begin TLS negotiation now.",
    "LOGOUT": "* BYE Logging out\r\nTAG OK done",
}
POP3 = {"CAPA": "+OK\r\nSTLS\r\nUSER\r\n.", "STLS": "+OK Begin TLS negotiation now.", "QUIT": "+OK Logging out"}


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> ssl.SSLContext:
    place: Path = tmp_path_factory.mktemp("pki")
    key, certificate = place / "key.pem", place / "certificate.pem"
    argv = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=mail.example.test", "-days", "2"]
    subprocess.run([*argv, "-keyout", str(key), "-out", str(certificate)], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return context


def smtp(port: int, **more: object) -> Dialogue:
    return Dialogue(Protocol.SMTP, "127.0.0.1", port, timeout=2.0, **more)  # type: ignore[arg-type]


def test_a_whole_dialogue_ends_with_quit() -> None:
    with serving("220 mail.example.test ESMTP Postfix", SMTP) as server:
        told = hold(smtp(server.port, mail_from="", rcpt_to=("postmaster@example.test",)))
    assert told.connect is Connect.CONNECTED
    assert not told.failed
    assert [each.phase for each in told.exchanges] == ["connect", "banner", "ehlo", "mail", "rcpt", "rset", "quit"]
    assert server.heard[1:3] == ["MAIL FROM:<>", "RCPT TO:<postmaster@example.test>"]
    assert server.heard[-1] == "QUIT"


def test_a_refused_recipient_is_an_answer_and_quit_follows() -> None:
    with serving("220 mail", SMTP | {"RCPT": "451 4.3.0 <a@b>: Temporary lookup failure"}) as server:
        told = hold(smtp(server.port, mail_from="", rcpt_to=("a@b",)))
    rcpt = told.exchange("rcpt")
    assert rcpt is not None
    assert rcpt.code == "451"
    assert server.heard[-1] == "QUIT"


def test_a_greeting_of_554_is_kept_and_answered_with_quit() -> None:
    with serving("554 5.7.1 You are not allowed to connect", SMTP) as server:
        told = hold(smtp(server.port))
    banner = told.exchange("banner")
    assert banner is not None
    assert banner.code == "554"
    assert server.heard == ["QUIT"]


def test_a_server_that_hangs_up_before_it_greets_is_told_apart() -> None:
    with serving(None) as server:
        told = hold(smtp(server.port))
    assert (told.connect, told.failed) == (Connect.CONNECTED, "banner")
    assert "closed" in told.error or "reset" in told.error.lower()


def test_a_server_that_says_nothing_times_out_in_the_banner() -> None:
    with serving("", hang=True) as server:
        told = hold(Dialogue(Protocol.SMTP, "127.0.0.1", server.port, timeout=0.3))
    assert told.failed == "banner"
    assert "0.3 s" in told.error


def test_a_server_that_drips_a_banner_for_ever_is_left_at_twice_the_limit() -> None:
    with serving(None, drip=True) as server:
        begun = time.monotonic()
        told = hold(Dialogue(Protocol.SMTP, "127.0.0.1", server.port, timeout=0.5))
        took = time.monotonic() - begun
    assert told.failed == "banner"
    assert took < 3.0


def test_a_closed_port_is_refused() -> None:
    with socket.create_server(("127.0.0.1", 0)) as once:
        port = once.getsockname()[1]
    assert hold(smtp(port)).connect is Connect.REFUSED
    assert try_connect(TryConnect("127.0.0.1", port)).outcome is Connect.REFUSED


def test_a_socket_that_is_not_there_is_absent(tmp_path: Path) -> None:
    assert try_connect(TryConnect(str(tmp_path / "none"))).outcome is Connect.ABSENT


def test_starttls_shows_the_certificate_and_greets_again(tls: ssl.SSLContext) -> None:
    with serving("220 mail", SMTP, tls=tls) as server:
        told = hold(smtp(server.port, tls=Tls.STARTTLS, server_name="mail.example.test"))
    assert told.certificate is not None
    assert told.certificate.chain[0].startswith("-----BEGIN CERTIFICATE-----")
    assert [line.split()[0] for line in server.heard] == ["EHLO", "STARTTLS", "EHLO", "QUIT"]


@pytest.mark.parametrize(("until_1_2", "version"), [(False, "TLSv1.3"), (True, "TLSv1.2")])
def test_no_newer_version_is_offered_than_is_wanted(tls: ssl.SSLContext, until_1_2: bool, version: str) -> None:
    with serving("220 mail", SMTP, tls=tls) as server:
        told = hold(smtp(server.port, tls=Tls.STARTTLS, until_1_2=until_1_2))
    assert told.certificate is not None
    assert told.certificate.protocol == version


def test_starttls_that_is_refused_is_an_answer() -> None:
    with serving("220 mail", SMTP | {"STARTTLS": "454 4.7.0 TLS not available due to local problem"}) as server:
        told = hold(smtp(server.port, tls=Tls.STARTTLS))
    answer = told.exchange("starttls")
    assert answer is not None
    assert answer.code == "454"
    assert server.heard[-1] == "QUIT"


def test_starttls_that_is_not_offered_is_not_asked_for() -> None:
    with serving("220 mail", SMTP | {"EHLO": "250 mail"}) as server:
        told = hold(smtp(server.port, tls=Tls.STARTTLS))
    assert told.exchange("starttls") is None
    assert server.heard == ["EHLO localhost", "QUIT"]


def test_a_handshake_with_something_else_than_tls_fails_in_the_phase_tls() -> None:
    with serving("220 mail", SMTP) as server:
        told = hold(smtp(server.port, tls=Tls.IMPLICIT))
    assert told.failed == "tls"
    assert "_ssl.c" not in told.error


def test_imap_logs_out(tls: ssl.SSLContext) -> None:
    with serving("* OK Dovecot ready.", IMAP, tls=tls) as server:
        told = hold(Dialogue(Protocol.IMAP, "127.0.0.1", server.port, Tls.STARTTLS, timeout=2.0))
    assert not told.failed
    assert told.certificate is not None
    assert server.heard[-1].endswith("LOGOUT")


def test_imap_that_says_bye_is_kept() -> None:
    with serving("* BYE [UNAVAILABLE] TLS initialization failed.", IMAP) as server:
        told = hold(Dialogue(Protocol.IMAP, "127.0.0.1", server.port, timeout=2.0))
    banner = told.exchange("banner")
    assert banner is not None
    assert "[UNAVAILABLE]" in banner.reply


def test_imap_under_tls_from_the_start(tls: ssl.SSLContext) -> None:
    with serving("* OK Dovecot ready.", IMAP, tls=tls, implicit=True) as server:
        told = hold(Dialogue(Protocol.IMAP, "127.0.0.1", server.port, Tls.IMPLICIT, timeout=2.0))
    assert told.certificate is not None
    assert not told.failed


def test_pop3_takes_leave(tls: ssl.SSLContext) -> None:
    with serving("+OK Dovecot ready.", POP3, tls=tls) as server:
        told = hold(Dialogue(Protocol.POP3, "127.0.0.1", server.port, Tls.STARTTLS, timeout=2.0))
    assert told.certificate is not None
    assert server.heard == ["CAPA", "STLS", "CAPA", "QUIT"]


def test_an_address_cannot_smuggle_a_second_command() -> None:
    with serving("220 mail", SMTP) as server:
        hold(smtp(server.port, mail_from="a@b>\r\nDATA\r\n"))
    assert server.heard == ["EHLO localhost", "MAIL FROM:<a@bDATA>", "RSET", "QUIT"]


# What opendkim 2.11 answers: version 6, the actions and the steps that it wants.
NEGOTIATED = bytes.fromhex("0000000d4f000000060000011100100702")


@contextlib.contextmanager
def milter(answer: bytes | None) -> Iterator[tuple[int, list[bytes]]]:
    """A program that takes one connection, hears what is said, and answers so once; None: it never does."""
    heard: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            if answer is None:
                return
            connected, _ = listening.accept()
            with connected:
                heard.append(connected.recv(17))
                connected.sendall(answer)
                with contextlib.suppress(ConnectionResetError):  # who was answered wrongly hangs up
                    heard.append(connected.recv(5))

        thread = threading.Thread(target=serve)
        thread.start()
        yield listening.getsockname()[1], heard
        thread.join(10)


def test_a_milter_negotiates_and_is_taken_leave_of() -> None:
    with milter(NEGOTIATED) as (port, heard):
        told = hold(Dialogue(Protocol.MILTER, "127.0.0.1", port, timeout=2.0))
    assert (told.failed, [each.phase for each in told.exchanges]) == ("", ["connect", "negotiate"])
    assert told.exchanges[-1].reply == "version 6"
    assert heard[0][:5] == b"\0\0\0\x0dO"
    assert heard[1] == b"\0\0\0\x01Q"


def test_a_milter_that_hangs_is_connected_to_by_the_kernel_alone() -> None:
    with milter(None) as (port, _):
        told = hold(Dialogue(Protocol.MILTER, "127.0.0.1", port, timeout=0.2))
    assert (told.connect, told.failed, told.silent) == (Connect.CONNECTED, "negotiate", True)


@pytest.mark.parametrize("answer", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\0\0", b"220 mail ESMTP\r\n"])
def test_what_answers_otherwise_is_no_milter(answer: bytes) -> None:
    with milter(answer) as (port, _):
        told = hold(Dialogue(Protocol.MILTER, "127.0.0.1", port, timeout=0.5))
    assert (told.connect, told.failed) == (Connect.CONNECTED, "negotiate")
    assert told.exchange("negotiate") is None


def test_dovecot_s_authentication_speaks_first() -> None:
    with serving("VERSION\t1\t2\r\nMECH\tPLAIN\tplaintext\r\nSPID\t258\r\nDONE") as server:
        told = hold(Dialogue(Protocol.AUTH, "127.0.0.1", server.port, timeout=2.0))
    assert (told.failed, [each.phase for each in told.exchanges]) == ("", ["connect", "banner"])
    assert told.exchanges[-1].reply == "VERSION\t1\t2"
    assert server.heard == []


def test_an_authentication_socket_that_another_program_holds_or_that_hangs() -> None:
    with serving("220 mail ESMTP") as server:
        told = hold(Dialogue(Protocol.AUTH, "127.0.0.1", server.port, timeout=2.0))
    assert (told.failed, told.silent) == ("banner", False)
    with serving("", hang=True) as server:
        told = hold(Dialogue(Protocol.AUTH, "127.0.0.1", server.port, timeout=0.2))
    assert (told.failed, told.silent) == ("banner", True)
