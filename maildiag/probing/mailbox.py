"""Looks for the test message in the mailbox, with doveadm or over IMAP, and takes it out again."""

from __future__ import annotations

import contextlib
import imaplib
import shutil
import ssl
import subprocess
from collections.abc import Iterator
from typing import Protocol

from maildiag.hosts.commands import ENVIRONMENT
from maildiag.programs import PATH
from maildiag.records import dataclass

_LOCAL = ("localhost", "127.0.0.1", "::1")


class Mailbox(Protocol):
    """Where a delivered message can be seen."""

    def find(self, message_id: str) -> bool:
        """True where the message is there. Raises OSError where the mailbox cannot be looked into."""
        ...

    def remove(self, message_id: str) -> bool:
        """Take the message out; True where it was done."""
        ...


@dataclass(frozen=True, slots=True)
class DoveadmMailbox:
    """The mailbox of a local user, looked at as root: doveadm-search(1), doveadm-expunge(1)."""

    user: str

    def find(self, message_id: str) -> bool:
        """True where any mailbox of the user holds it."""
        done = self._doveadm("search", "-u", self.user, "header", "message-id", message_id)
        return bool(done.strip())

    def remove(self, message_id: str) -> bool:
        """Expunge it wherever it is."""
        self._doveadm("expunge", "-u", self.user, "mailbox", "*", "header", "message-id", message_id)
        return not self.find(message_id)

    def _doveadm(self, *arguments: str) -> str:
        try:
            done = subprocess.run(
                ["doveadm", *arguments], capture_output=True, env=ENVIRONMENT, timeout=20, check=False
            )
        except subprocess.TimeoutExpired as error:
            raise OSError("doveadm timed out") from error
        if done.returncode:
            said = "; ".join(done.stderr.decode("utf-8", "replace").strip().splitlines())
            raise OSError(said or f"doveadm exited with {done.returncode}")
        return done.stdout.decode("utf-8", "replace")


@dataclass(frozen=True, slots=True)
class ImapMailbox:
    """The inbox of a user whose password is known, over IMAP with STARTTLS (RFC 3501).

    To another host the password goes only with STARTTLS and a certificate that holds.
    """

    host: str
    user: str
    password: str

    def find(self, message_id: str) -> bool:
        """True where the inbox holds it."""
        with self._inbox() as inbox:
            return bool(self._search(inbox, message_id))

    def remove(self, message_id: str) -> bool:
        """Flag it as deleted and expunge it."""
        with self._inbox() as inbox:
            for number in self._search(inbox, message_id):
                inbox.store(number, "+FLAGS", r"(\Deleted)")
            inbox.expunge()
            return not self._search(inbox, message_id)

    @contextlib.contextmanager
    def _inbox(self) -> Iterator[imaplib.IMAP4]:
        try:
            with imaplib.IMAP4(self.host, timeout=10) as inbox:
                local = self.host in _LOCAL
                if "STARTTLS" in inbox.capabilities:
                    inbox.starttls(_unverified() if local else ssl.create_default_context())
                elif not local:
                    raise OSError(f"IMAP: {self.host} offers no STARTTLS, and a password is not sent in the clear")
                inbox.login(self.user, self.password)
                inbox.select("INBOX")
                yield inbox
        except imaplib.IMAP4.error as error:
            raise OSError(f"IMAP: {error}") from error

    @staticmethod
    def _search(inbox: imaplib.IMAP4, message_id: str) -> list[str]:
        _, found = inbox.search(None, "HEADER", "Message-ID", f'"{message_id}"')
        return found[0].decode().split() if found and found[0] else []


def _unverified() -> ssl.SSLContext:
    """The check of certificates is a finding of its own; here only the mailbox is of interest, on our own host."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def doveadm_installed() -> bool:
    """True where this host has Dovecot's tools."""
    return shutil.which("doveadm", path=PATH) is not None
