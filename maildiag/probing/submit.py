"""Hands the test message in the way users' mail goes: sendmail(1), SMTP, or submission with authentication."""

from __future__ import annotations

import smtplib
import socket
import ssl
import subprocess
from enum import StrEnum

from maildiag.hosts.commands import ENVIRONMENT
from maildiag.probing.message import TestMessage
from maildiag.records import dataclass


class Way(StrEnum):
    """How the message enters the mail system."""

    SENDMAIL = "sendmail"
    SMTP = "smtp"
    SUBMISSION = "submission"


@dataclass(frozen=True, slots=True)
class Submitted:
    """What came of handing the message in: `queue_id` where the server told it."""

    accepted: bool
    said: str
    queue_id: str = ""


@dataclass(frozen=True, slots=True)
class Credentials:
    """A user who may submit mail and read the mailbox."""

    user: str
    password: str


def submit(message: TestMessage, way: Way, host: str, credentials: Credentials | None) -> Submitted:
    """Hand the message in; every refusal and failure is an answer, in the server's or the system's own words."""
    if way is Way.SENDMAIL:
        return _sendmail(message)
    try:
        return _smtp(message, way, host, credentials)
    except smtplib.SMTPResponseException as error:
        said = (
            error.smtp_error.decode("utf-8", "replace")
            if isinstance(error.smtp_error, bytes)
            else str(error.smtp_error)
        )
        return Submitted(False, f"{error.smtp_code} {said}")
    except smtplib.SMTPRecipientsRefused as error:
        code, said_bytes = next(iter(error.recipients.values()))
        return Submitted(False, f"{code} {said_bytes.decode('utf-8', 'replace')}")
    except (OSError, smtplib.SMTPException) as error:
        return Submitted(False, f"SMTP to {host} port {_port(way)}: {_words(error)}")


def _port(way: Way) -> int:
    return 587 if way is Way.SUBMISSION else 25


def _words(error: Exception) -> str:
    """What failed, without Python's number of it."""
    return (isinstance(error, OSError) and error.strerror) or str(error) or type(error).__name__


def _sendmail(message: TestMessage) -> Submitted:
    argv = ["sendmail", "-i", "-f", message.sender, "--", message.recipient]
    try:
        done = subprocess.run(
            argv, input=message.text.encode(), capture_output=True, env=ENVIRONMENT, timeout=20, check=False
        )
    except FileNotFoundError:
        return Submitted(False, "sendmail is not installed")
    except subprocess.TimeoutExpired:
        return Submitted(False, "sendmail gave no answer within 20 s")
    said = done.stderr.decode("utf-8", "replace").strip()
    if done.returncode == 0:
        return Submitted(True, said or "sendmail took it")
    return Submitted(False, said or f"sendmail exited with {done.returncode}")


def _smtp(message: TestMessage, way: Way, host: str, credentials: Credentials | None) -> Submitted:
    with smtplib.SMTP(host, _port(way), local_hostname=socket.getfqdn(), timeout=20) as server:
        server.ehlo()
        if way is Way.SUBMISSION and server.has_extn("starttls"):
            context = ssl.create_default_context()
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            server.starttls(context=context)
            server.ehlo()
        if credentials is not None and way is Way.SUBMISSION:
            server.login(credentials.user, credentials.password)
        for code, said in (server.mail(message.sender), server.rcpt(message.recipient)):
            if code >= 400:
                server.rset()
                return Submitted(False, f"{code} {said.decode('utf-8', 'replace')}")
        code, said = server.data(message.text)
    text = f"{code} {said.decode('utf-8', 'replace')}"
    queue_id = text.rpartition("queued as ")[2].split()[0] if "queued as " in text else ""
    return Submitted(code < 400, text, queue_id)
