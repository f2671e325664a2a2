"""Which way a test message goes on this host, and where it can be watched."""

from __future__ import annotations

import os

from maildiag.model import HostInfo, Role
from maildiag.probing.journey import Route
from maildiag.probing.mailbox import DoveadmMailbox, ImapMailbox, Mailbox, doveadm_installed
from maildiag.probing.submit import Credentials, Way, submit
from maildiag.probing.tail import open_tail

_ELSEWHERE = "this host has no mailboxes; give --imap HOST, --user and --password-file to look on the mail server"


def addresses(to: str, sender: str, host: str) -> tuple[str, str]:
    """Sender and recipient: by default to whoever called sudo, or else to postmaster, and from the recipient itself."""
    recipient = to or os.environ.get("SUDO_USER", "") or "postmaster"
    return sender or (recipient if "@" in recipient or "." not in host else f"{recipient}@{host}"), recipient


def way_for(role: str, credentials: Credentials | None) -> Way:
    """As users' mail of this host goes: sendmail on a relay client, submission with a password, SMTP otherwise."""
    if role == Role.RELAY_CLIENT:
        return Way.SENDMAIL
    return Way.SUBMISSION if credentials is not None else Way.SMTP


def route(
    host: HostInfo, recipient: str, credentials: Credentials | None = None, way: Way | None = None, imap: str = ""
) -> Route:
    """How to hand the message in on this host, its log, and the mailbox; what cannot be looked into says why."""
    chosen = way or way_for(host.role, credentials)
    mailbox, reason = _mailbox(host, recipient, credentials, imap)
    return Route(
        lambda message: submit(message, chosen, "localhost", credentials), open_tail(host.log_source), mailbox, reason
    )


def _mailbox(host: HostInfo, recipient: str, credentials: Credentials | None, imap: str) -> tuple[Mailbox | None, str]:
    server = host.role == Role.MAIL_SERVER
    if credentials is not None and (imap or server):
        return ImapMailbox(imap or "localhost", credentials.user, credentials.password), ""
    if not server or not doveadm_installed():
        return None, _ELSEWHERE
    if not host.privileged:
        return None, "looking into another user's mailbox needs root"
    return DoveadmMailbox(recipient.partition("@")[0]), ""
