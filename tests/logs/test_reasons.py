"""Reasons for deferral, bounce and reject as real servers give them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maildiag.logs.reasons import MEANINGS, classify_reason

REASONS = [
    ("connect to relay.example.test[127.0.0.1]:2525: Connection refused", "connect.refused"),
    ("connect to gmail-smtp-in.l.google.com[142.250.1.26]:25: Connection timed out", "connect.timeout"),
    ("connect to mx.example.test[2a00:1450::1a]:25: Network is unreachable", "connect.unreachable"),
    ("connect to relay.example.test[10.0.1.10]:25: No route to host", "connect.no-route"),
    (
        "Host or domain name not found. Name service error for name=relay.example.test type=MX: Host not found, try again",
        "dns.tryagain",
    ),
    ("Host or domain name not found. Name service error for name=nosuch.test type=A: Host not found", "dns.not-found"),
    ("unable to look up host smtp.nosuch.test: Temporary failure in name resolution", "dns.tryagain"),
    (
        "host relay.example.test[10.0.1.10]:25 said: 554 5.7.1 <user@remote.test>: Relay access denied (in reply to RCPT TO command)",
        "relay.denied",
    ),
    ("454 4.7.1 <user@remote.test>: Relay access denied", "relay.denied"),
    (
        "host relay.test[10.0.1.10] said: 530 5.7.0 Authentication required (in reply to MAIL FROM command)",
        "auth.required",
    ),
    (
        "SASL authentication failed; server relay.test[10.0.1.10] said: 535 5.7.8 Error: authentication failed",
        "auth.rejected",
    ),
    ("TLS is required, but was not offered by host relay.test[10.0.1.10]", "tls.not-offered"),
    ("Server certificate not verified", "tls.unverified"),
    ("mail for [127.0.0.2] loops back to myself", "loop.self"),
    ('unknown user: "sender"', "mailbox.unknown-user"),
    (
        "host mail.example.test[private/dovecot-lmtp] said: 550 5.1.1 <b@v.test> User doesn't exist: b@v.test (in reply to RCPT TO command)",
        "mailbox.unknown-user",
    ),
    (
        "host mail.example.test[private/dovecot-lmtp] said: 552 5.2.2 <a@v.test> Quota exceeded (mailbox for user is full) (in reply to end of DATA command)",
        "mailbox.quota",
    ),
    ("connect to mail.example.test[private/dovecot-lmtp]: No such file or directory", "connect.socket-missing"),
    ("connect to mail.example.test[private/dovecot-lmtp]: Connection refused", "connect.refused"),
    ("connect to mail.example.test[private/dovecot-lmtp]: Permission denied", "connect.socket-denied"),
    (
        "host mx.test[192.0.2.9] said: 450 4.2.0 <a@b.test>: Recipient address rejected: Greylisted (in reply to RCPT TO command)",
        "greylisted",
    ),
    (
        "host mx.test[192.0.2.9] refused to talk to me: 421 4.7.0 mail.example.test Error: too many connections from 192.0.2.1",
        "rate-limited",
    ),
    ("message size 4389 exceeds size limit 1000 of server relay.test[10.0.1.10]", "size.exceeded"),
    ("504 5.5.2 <appserver>: Helo command rejected: need fully-qualified hostname", "helo.rejected"),
    ("450 4.1.8 <a@nodomain.test>: Sender address rejected: Domain not found", "sender.domain"),
    ("553 5.7.1 <x@y.test>: Sender address rejected: not owned by user bob", "sender.not-owned"),
    ("554 5.7.1 Service unavailable; Client host [192.0.2.1] blocked using zen.spamhaus.org", "dnsbl.blocked"),
    ("mail transport unavailable", "transport.unavailable"),
    ("alias database unavailable", "alias-db.unavailable"),
    ("452 4.3.1 Insufficient system storage", "disk.full"),
    ("local data error while talking to relay.test[10.0.1.10]", "local.data-error"),
    ("mail system configuration error", "local.data-error"),
    ("451 4.3.0 <root@v.test>: Temporary lookup failure", "lookup.temporary"),
    ("550 5.7.25 [192.0.2.1] The IP address sending this message does not have a PTR record setup", "client.no-ptr"),
    (
        "lost connection with relay.test[10.0.1.10] while sending end of data -- message may be sent more than once",
        "connect.lost-data",
    ),
    ("conversation with relay.test[10.0.1.10] timed out while sending message body", "connect.timeout-data"),
    ("530 5.7.0 Must issue a STARTTLS command first", "tls.required"),
    (
        "550 5.1.1 <nobody@example.test>: Recipient address rejected: User unknown in local recipient table",
        "mailbox.unknown-user",
    ),
]


@pytest.mark.parametrize(("text", "meaning"), REASONS)
def test_a_reason_has_its_class(text: str, meaning: str) -> None:
    assert classify_reason(text).meaning == meaning


def test_the_parts_of_a_remote_answer_are_told_apart() -> None:
    reason = classify_reason(
        "host mx.test[192.0.2.9]:25 said: 554 5.7.1 <u@r.test>: Relay access denied (in reply to RCPT TO command)"
    )
    assert (reason.host, reason.address, reason.code, reason.dsn, reason.phase) == (
        "mx.test",
        "192.0.2.9",
        "554",
        "5.7.1",
        "RCPT TO",
    )
    assert "u@r.test" not in reason.text
    assert "192.0.2.9" not in reason.text


def test_a_suspended_delivery_has_the_class_of_what_suspended_it() -> None:
    reason = classify_reason("delivery temporarily suspended: connect to a.test[192.0.2.9]:25: Connection refused")
    assert (reason.meaning, reason.suspended) == ("connect.refused", True)


@given(st.text())
def test_any_text_has_a_class_of_the_closed_list(text: str) -> None:
    assert classify_reason(text).meaning in MEANINGS


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ('unknown user: "bob"', 'unknown user: "carol.smith"'),
        (
            "maildir delivery failed: create maildir file /nonexistent/Maildir/tmp/1795412967.P225.mail: Permission denied",
            "maildir delivery failed: create maildir file /nonexistent/Maildir/tmp/1795412978.P224.mail: Permission denied",
        ),
    ],
)
def test_what_differs_with_each_message_does_not_make_another_reason(one: str, other: str) -> None:
    assert classify_reason(one).text == classify_reason(other).text
