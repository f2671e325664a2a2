"""A mail client as people have one; it is sent to a host as text and runs there on nothing but the standard library."""

from __future__ import annotations

import imaplib
import poplib
import smtplib
import ssl
import sys
import time
from collections.abc import Callable
from email.message import EmailMessage
from email.utils import make_msgid

TIMEOUT = 10.0


def imap(host: str, security: str, user: str, password: str) -> imaplib.IMAP4:
    """An IMAP session, logged in; `security` is "plain", "starttls" or "tls"."""
    session: imaplib.IMAP4
    if security == "tls":
        session = imaplib.IMAP4_SSL(host, timeout=TIMEOUT, ssl_context=ssl.create_default_context())
    else:
        session = imaplib.IMAP4(host, timeout=TIMEOUT)
        if security == "starttls":
            session.starttls(ssl.create_default_context())
    session.login(user, password)
    return session


def pop3(host: str, security: str, user: str, password: str) -> poplib.POP3:
    """A POP3 session, logged in; `security` as for IMAP."""
    session: poplib.POP3
    if security == "tls":
        session = poplib.POP3_SSL(host, timeout=TIMEOUT, context=ssl.create_default_context())
    else:
        session = poplib.POP3(host, timeout=TIMEOUT)
        if security == "starttls":
            session.stls(ssl.create_default_context())
    session.user(user)
    session.pass_(password)
    return session


def login(protocol: str, host: str, security: str, user: str, password: str) -> None:
    """Log in and out again."""
    if protocol == "imap":
        session = imap(host, security, user, password)
        session.select("INBOX", readonly=True)
        session.logout()
    else:
        pop3(host, security, user, password).quit()


def wait(protocol: str, host: str, user: str, password: str, token: str, limit: str) -> None:
    """Return when a message whose subject is `token` is in the mailbox; fail after `limit` seconds."""
    deadline = time.monotonic() + float(limit)
    while not (_seen_over_imap if protocol == "imap" else _seen_over_pop3)(host, user, password, token, deadline):
        if time.monotonic() > deadline:
            raise TimeoutError(f"no message {token} for {user} within {limit} s")
        time.sleep(0.1)


def _seen_over_imap(host: str, user: str, password: str, token: str, deadline: float) -> bool:
    session = imap(host, "plain", user, password)
    try:
        while time.monotonic() < deadline:
            session.select("INBOX", readonly=True)
            if session.search(None, "SUBJECT", token)[1][0]:
                return True
            time.sleep(0.1)
        return False
    finally:
        session.logout()


def _seen_over_pop3(host: str, user: str, password: str, token: str, _: float) -> bool:
    session = pop3(host, "plain", user, password)
    try:
        count = session.stat()[0]
        return any(token.encode() in line for number in range(count, 0, -1) for line in session.top(number, 0)[1])
    finally:
        session.quit()


def submit(host: str, port: str, user: str, password: str, sender: str, recipient: str, token: str) -> None:
    """Send a message through the submission service, after STARTTLS and AUTH."""
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = sender, recipient, token
    message["Message-ID"] = make_msgid(domain=sender.partition("@")[2])
    message.set_content("A message of the lab.\n")
    with smtplib.SMTP(host, int(port), timeout=TIMEOUT) as session:
        session.starttls(context=ssl.create_default_context())
        session.login(user, password)
        session.send_message(message)


def main(command: str, *arguments: str) -> None:
    """Do one of the above."""
    commands: dict[str, Callable[..., None]] = {"login": login, "wait": wait, "submit": submit}
    commands[command](*arguments)


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except Exception as problem:  # noqa: BLE001 - whatever it is, the person who reads the test's failure wants its text
        sys.exit(f"{' '.join(sys.argv[1:4])}: {type(problem).__name__}: {problem}")
