"""The test message: recognisable by a token, harmless to every filter and auto-responder."""

from __future__ import annotations

import secrets
from datetime import datetime
from email.message import EmailMessage
from email.utils import format_datetime

from maildiag.records import dataclass


@dataclass(frozen=True, slots=True)
class TestMessage:
    """A message with a unique token in its Message-ID and subject."""

    __test__ = False

    token: str
    sender: str
    recipient: str
    text: str

    @property
    def message_id(self) -> str:
        """The Message-ID with its angle brackets."""
        return f"<maildiag-{self.token}@{domain_of(self.sender)}>"


def domain_of(address: str) -> str:
    """The domain of an address; `localhost` where it has none."""
    return address.rpartition("@")[2] if "@" in address else "localhost"


def make(sender: str, recipient: str, now: datetime, token: str = "") -> TestMessage:
    """A test message from `sender` to `recipient`; `now` with a time zone.

    `Auto-Submitted` (RFC 3834 section 5) keeps vacation programs silent. Raises ValueError for an address that is none.
    """
    for address in (sender, recipient):
        if not address or any(each.isspace() or each in "<>,;\"'`\\" or ord(each) < 33 for each in address):
            raise ValueError(f"{address!r} is no address")
    token = token or secrets.token_hex(8)
    mail = EmailMessage()
    mail["From"], mail["To"] = sender, recipient
    mail["Subject"] = f"maildiag test message {token}"
    mail["Date"] = format_datetime(now)
    mail["Message-ID"] = f"<maildiag-{token}@{domain_of(sender)}>"
    mail["Auto-Submitted"] = "auto-generated"
    mail.set_content("This message was sent by maildiag to see whether mail arrives. It may be deleted.\n")
    return TestMessage(token, sender, recipient, mail.as_string())
